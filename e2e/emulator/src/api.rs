//! The daemon's API on one node, with the answers that a real one gave.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::events::Filter;
use crate::orchestration::{act, freeze, start, stop};
use crate::path::Path;
use crate::shapes;
use crate::stored::Stored;
use crate::world::{Stream, World, time};

type Body = BoxBody<Bytes, Infallible>;
type Answer = Response<Body>;

/// A request that was read whole.
struct Call<'c> {
    world: &'c Arc<World>,
    node: &'c str,
    method: Method,
    query: Vec<(String, String)>,
    body: Bytes,
    is_json: bool,
}

/// Answers a request to a node.
///
/// # Errors
/// None.
pub async fn answer(
    world: Arc<World>,
    node: String,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let query = pairs(request.uri().query().unwrap_or_default());
    let (pause, failure) = {
        let mut inner = world.lock();
        *inner.n_requests.entry(node.clone()).or_default() += 1;
        let state = inner.nodes.get_mut(&node);
        state.map_or((std::time::Duration::ZERO, None), |state| (state.slowness, state.failures.pop()))
    };
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let kind = request.headers().get("content-type").and_then(|value| value.to_str().ok());
    let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if let Some(status) = failure {
        return Ok(problem(status, "emulated failure", "it was asked for"));
    }
    let call = Call { world: &world, node: &node, method, query, body, is_json };
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Ok(call.route(&parts).await)
}

// === impl Call ===

impl Call<'_> {
    async fn route(&self, parts: &[&str]) -> Answer {
        match parts {
            ["api", "auth", "whoami"] => json_of(
                200,
                &json!({"auth": "ux", "grant": {"root": null}, "name": "root", "namespace": "system", "raw_grant": "root"}),
            ),
            ["api", "auth", "info"] => json_of(200, &json!({"methods": ["basic", "x509"]})),
            ["api", "cluster", "status"] => {
                json_of(200, &shapes::cluster(self.world, self.node, self.param("selector").unwrap_or("**")))
            }
            ["api", "node", "info"] => json_of(200, &shapes::node_info(self.world, self.node)),
            ["api", "object", "path"] => self.names(),
            ["api", "object"] => self.list(),
            ["api", "object", "path", namespace, kind, name, rest @ ..] => {
                self.object(&Path::new(namespace, kind, name), rest).await
            }
            ["api", "node", "name", node, "daemon", "event"] => self.stream(node),
            ["api", "node", "name", node, "instance", "path", namespace, kind, name, rest @ ..] => {
                self.instance(node, &Path::new(namespace, kind, name), rest).await
            }
            ["api", "node", "name", _, "ping"] => empty(204),
            _ => json_of(404, &json!({"message": "Not Found"})),
        }
    }

    fn names(&self) -> Answer {
        let selector = self.param("path").unwrap_or("**");
        let names: Vec<String> = {
            let inner = self.world.lock();
            shapes::known(&inner, self.node)
                .iter()
                .filter(|path| path.is_selected(selector))
                .map(ToString::to_string)
                .collect()
        };
        if names.is_empty() && !selector.contains(['*', '?', ',']) {
            return problem(500, "Server error", "expand selection");
        }
        json_of(200, &json!(names))
    }

    fn list(&self) -> Answer {
        let selector = self.param("path").unwrap_or("**");
        let items: Vec<Value> = {
            let inner = self.world.lock();
            let known = shapes::known(&inner, self.node);
            known
                .iter()
                .filter(|path| path.is_selected(selector))
                .map(|path| shapes::object(&inner, self.node, path))
                .collect()
        };
        json_of(200, &json!({"kind": "ObjectList", "items": items}))
    }

    async fn object(&self, path: &Path, rest: &[&str]) -> Answer {
        let is_known = {
            let inner = self.world.lock();
            shapes::known(&inner, self.node).contains(path)
        };
        match (self.method.as_str(), rest) {
            ("GET", []) if is_known => {
                let inner = self.world.lock();
                json_of(200, &shapes::object(&inner, self.node, path))
            }
            ("GET", []) => problem(404, "", ""),
            (_, ["config", "file"]) => self.file(path, is_known).await,
            ("GET", ["config"]) => self.keywords(path),
            ("PATCH", ["config"]) if !is_known => {
                problem(404, "Not found", &format!("object not found: {path}"))
            }
            ("PATCH", ["config"]) => self.set_keywords(path).await,
            (_, ["data", ..]) => self.data(path, &rest[1..], is_known).await,
            ("POST", ["action", verb]) => {
                if !is_known {
                    return problem(404, "object not found", "");
                }
                let body = serde_json::from_slice(&self.body).unwrap_or_default();
                match act(self.world, self.node, path, verb, &body) {
                    Ok(id) => json_of(200, &json!({"orchestration_id": id})),
                    Err((404, detail)) if detail == "Not Found" => json_of(404, &json!({"message": detail})),
                    Err((status, detail)) => problem(status, &detail, &detail),
                }
            }
            _ => json_of(405, &json!({"message": "Method Not Allowed"})),
        }
    }

    async fn file(&self, path: &Path, is_known: bool) -> Answer {
        if self.method == Method::GET {
            let inner = self.world.lock();
            let file = inner.nodes.get(self.node).and_then(|node| node.files.get(path));
            return match file {
                Some(file) => {
                    let mut answer = text(200, file.stored.text());
                    if let Ok(value) = time(file.mtime).parse() {
                        answer.headers_mut().insert("om-last-modified", value);
                    }
                    answer
                }
                None => problem(404, "Not found", &format!("object not found: {path}")),
            };
        }
        let stored = match Stored::parse(&String::from_utf8_lossy(&self.body)) {
            Ok(stored) => stored,
            Err(reason) => {
                return problem(
                    403,
                    "Config validation",
                    &format!("new object: load config sources error: {reason}"),
                );
            }
        };
        let is_there =
            self.world.lock().nodes.get(self.node).is_some_and(|node| node.files.contains_key(path));
        match self.method.as_str() {
            "POST" if is_there => return problem(409, "Conflict", &format!("{path} already exists")),
            "PUT" if !is_known => {
                return problem(404, "Not found", "Use the POST method instead of PUT to create the object");
            }
            "POST" | "PUT" => {}
            _ => return json_of(405, &json!({"message": "Method Not Allowed"})),
        }
        let id = {
            let inner = self.world.lock();
            let file = inner.nodes.get(self.node).and_then(|node| node.files.get(path));
            file.and_then(|file| file.stored.keyword("DEFAULT", "id").map(ToOwned::to_owned))
        };
        let mut stored = stored;
        if let Some(id) = id {
            stored.set("DEFAULT", "id", &id);
        }
        self.world.install(self.node, path, stored, Timestamp::now().as_nanosecond());
        empty(204)
    }

    fn keywords(&self, path: &Path) -> Answer {
        let inner = self.world.lock();
        let wanted: Vec<&str> =
            self.query.iter().filter(|(name, _)| name == "kw").map(|(_, value)| value.as_str()).collect();
        let file = inner.nodes.get(self.node).and_then(|node| node.files.get(path));
        let mut items = Vec::new();
        for (section, keywords) in file.iter().flat_map(|file| &file.stored.sections) {
            for (keyword, value) in keywords {
                let name =
                    if section == "DEFAULT" { keyword.clone() } else { format!("{section}.{keyword}") };
                if wanted.is_empty() || wanted.contains(&name.as_str()) {
                    items.push(json!({"evaluated_as": "", "keyword": name, "node": "", "object": path.to_string(), "value": value}));
                }
            }
        }
        json_of(200, &json!({"items": items, "kind": "KeywordList"}))
    }

    async fn data(&self, path: &Path, rest: &[&str], is_known: bool) -> Answer {
        if !path.holds_keys() {
            return problem(400, "Bad request", "not a data store");
        }
        // Not published yet, or never made: nothing is done, and nothing is said.
        if !is_known {
            return empty(200);
        }
        let stored = {
            let inner = self.world.lock();
            inner.nodes.get(self.node).and_then(|node| node.files.get(path)).map(|file| file.stored.clone())
        };
        let stored = stored.unwrap_or_default();
        if let Some(damage) = &stored.damage {
            return problem(500, "NewDataStore", &format!("load config sources error: {damage}"));
        }
        let name = self.param("name").unwrap_or_default();
        if rest == ["key"] && self.param("name").is_none() {
            let message = "Invalid format for parameter name: query parameter 'name' is required";
            return json_of(400, &json!({"message": message}));
        }
        match (self.method.as_str(), rest) {
            ("GET", ["key"]) if name.is_empty() => problem(400, "DecodeKey", "key name is empty"),
            ("POST", ["key"]) if name.is_empty() => problem(400, "AddKey", ": key name is empty"),
            ("GET", ["keys"]) => {
                let item = |(name, size): (String, usize)| json!({"object": path.to_string(), "node": self.node, "name": name, "size": size});
                json_of(
                    200,
                    &json!({"kind": "DataKeyList", "items": stored.keys().into_iter().map(item).collect::<Vec<_>>()}),
                )
            }
            ("GET", ["key"]) => match stored.value(name) {
                Some(value) => bytes(200, value),
                None => problem(404, "DecodeKey", &format!("key does not exist: {name}")),
            },
            ("GET", []) => {
                let mut values = Vec::new();
                for (_, name) in self.query.iter().filter(|(parameter, _)| parameter == "name") {
                    match stored.value(name) {
                        Some(value) => values.push(json!({"name": name, "bytes": STANDARD.encode(value)})),
                        None => {
                            return problem(500, "DecodeKey", &format!("{name}: key does not exist: {name}"));
                        }
                    }
                }
                json_of(200, &json!(values))
            }
            ("PATCH", []) => self.patch(path).await,
            ("PUT", ["key"]) if stored.value(name).is_none() => {
                problem(404, "ChangeKey", &format!("{name}: %!s(<nil>). consider using the POST method."))
            }
            ("POST", ["key"]) if stored.value(name).is_some() => {
                problem(409, "AddKey", &format!("{name}: key already exists. consider using the PUT method."))
            }
            ("PUT" | "POST", ["key"]) => {
                let (name, value) = (name.to_owned(), self.body.clone());
                self.change(path, move |stored, is_secret| Ok(stored.set_value(&name, &value, is_secret)))
                    .await
            }
            ("DELETE", ["key"]) => {
                let name = name.to_owned();
                self.change(path, move |stored, _| Ok(stored.remove_value(&name))).await
            }
            _ => json_of(405, &json!({"message": "Method Not Allowed"})),
        }
    }

    async fn patch(&self, path: &Path) -> Answer {
        if self.body.is_empty() {
            return empty(204);
        }
        if !self.is_json {
            return problem(400, "Invalid body", "error: code=415, message=Unsupported Media Type");
        }
        let Ok(Value::Array(items)) = serde_json::from_slice::<Value>(&self.body) else {
            return problem(400, "Invalid body", "error: code=400, message=the body is no list of changes");
        };
        let coded = items.iter().filter_map(|item| item["bytes"].as_str());
        if coded.into_iter().any(|coded| STANDARD.decode(coded).is_err()) {
            return problem(400, "Invalid body", "error: code=400, message=illegal base64 data");
        }
        self.change(path, move |stored, is_secret| {
            let mut is_changed = false;
            for item in &items {
                is_changed |= apply(stored, item, is_secret)?;
            }
            Ok(is_changed)
        })
        .await
    }

    async fn set_keywords(&self, path: &Path) -> Answer {
        let of = |name: &str| -> Vec<String> {
            self.query.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone()).collect()
        };
        let (set, unset, delete) = (of("set"), of("unset"), of("delete"));
        if set.is_empty() && unset.is_empty() && delete.is_empty() {
            return problem(400, "Bad request", "nothing to do");
        }
        let mut is_changed = false;
        let done = self.world.write(self.node, path, |stored| -> Result<bool, ()> {
            let before = stored.clone();
            stored.sections.retain(|(name, _)| !delete.contains(name));
            for keyword in &unset {
                let (section, keyword) = keyword.split_once('.').unwrap_or(("DEFAULT", keyword));
                for (_, keywords) in stored.sections.iter_mut().filter(|(name, _)| name == section) {
                    keywords.retain(|(name, _)| name != keyword);
                }
            }
            for pair in &set {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let (section, keyword) = name.split_once('.').unwrap_or(("DEFAULT", name));
                stored.set(section, keyword, value);
            }
            is_changed = *stored != before;
            Ok(is_changed)
        });
        let _ = done.await;
        json_of(200, &json!({"is_changed": is_changed}))
    }

    async fn change(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Stored, bool) -> Result<bool, Refusal>,
    ) -> Answer {
        let is_secret = path.kind == "sec";
        match self.world.write(self.node, path, |stored| change(stored, is_secret)).await {
            Ok(()) => empty(204),
            Err((status, title, detail)) => problem(status, title, &detail),
        }
    }

    async fn instance(&self, node: &str, path: &Path, rest: &[&str]) -> Answer {
        let node = if matches!(node, "_" | "localhost") { self.node } else { node };
        let is_alive = self.world.lock().nodes.get(node).is_some_and(|state| state.is_alive);
        if !is_alive {
            return problem(
                400,
                "Invalid nodename",
                &format!("field 'nodename' with value '{node}' is not a cluster node"),
            );
        }
        match (self.method.as_str(), rest) {
            ("GET", ["config", "file"]) => {
                let inner = self.world.lock();
                match inner.nodes.get(node).and_then(|state| state.files.get(path)) {
                    Some(file) => text(200, file.stored.text()),
                    None => problem(404, "Not found", ""),
                }
            }
            ("GET", []) => {
                let inner = self.world.lock();
                let data = shapes::object(&inner, node, path)["data"]["instances"][node].clone();
                if data.is_null() {
                    return empty(404);
                }
                json_of(
                    200,
                    &json!({"kind": "InstanceItem", "meta": {"node": node, "object": path.to_string()}, "data": data}),
                )
            }
            ("POST", ["clear"]) => {
                let mut inner = self.world.lock();
                if let Some(monitor) =
                    inner.nodes.get_mut(node).and_then(|state| state.monitors.get_mut(path))
                {
                    "idle".clone_into(&mut monitor.state);
                }
                empty(200)
            }
            ("POST", ["action", verb]) => {
                match *verb {
                    "start" => {
                        start(self.world, node, path).await;
                    }
                    "stop" => stop(self.world, node, path).await,
                    "freeze" | "unfreeze" => freeze(self.world, node, path, *verb == "freeze"),
                    _ => {}
                }
                json_of(200, &json!({"session_id": "00000000-0000-0000-0000-000000000001"}))
            }
            _ => json_of(404, &json!({"message": "Not Found"})),
        }
    }

    fn stream(&self, node: &str) -> Answer {
        let node = if matches!(node, "_" | "localhost") { self.node } else { node };
        let filters = self
            .query
            .iter()
            .filter(|(name, _)| name == "filter")
            .map(|(_, text)| Filter::parse(text))
            .collect();
        let (sink, source) = mpsc::unbounded_channel::<String>();
        {
            let mut inner = self.world.lock();
            let Some(state) = inner.nodes.get_mut(node) else {
                return problem(400, "Invalid nodename", node);
            };
            state.streams.push(Stream { filters, sink, next: 0 });
        }
        let body = StreamBody::new(Source(source));
        let mut answer = Response::new(http_body_util::BodyExt::boxed(body));
        let headers = answer.headers_mut();
        for (name, value) in [("content-type", "text/event-stream"), ("cache-control", "no-store")] {
            headers.insert(name, hyper::header::HeaderValue::from_static(value));
        }
        answer
    }

    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Why a change of a key is refused: status, title, words.
type Refusal = (u16, &'static str, String);

/// Makes one change of a list; true if the file is another one now.
fn apply(stored: &mut Stored, item: &Value, is_secret: bool) -> Result<bool, Refusal> {
    let name = item["name"].as_str().unwrap_or_default();
    let action = item["action"].as_str().unwrap_or_default();
    let value = match (item["string"].as_str(), item["bytes"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(coded)) => STANDARD.decode(coded).unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    if value.len() > MAX_VALUE {
        return Err((
            413,
            "Request Entity Too Large",
            format!("{name}: value is larger than {MAX_VALUE} bytes"),
        ));
    }
    let title = match action {
        "add" => "AddKey",
        "change" => "ChangeKey",
        "remove" => "RemoveKey",
        "rename" => "RenameKey",
        other => {
            let detail = format!("{name}: action {other} is not supported, use add, change or remove");
            return Err((400, "Invalid parameters", detail));
        }
    };
    if name.is_empty() {
        return Err((500, title, ": key name is empty".to_owned()));
    }
    match action {
        "add" if stored.value(name).is_some() => Err((500, title, format!("{name}: key already exists"))),
        "remove" => Ok(stored.remove_value(name)),
        "rename" => {
            let to = item["to"].as_str().unwrap_or_default();
            if stored.value(to).is_some() {
                return Err((500, title, format!("{name}: key already exists: {to}")));
            }
            let Some(value) = stored.value(name) else {
                let detail = format!(
                    "{name}: configuration does not exist: key 'data.{name}' not found (unscopable kw)"
                );
                return Err((500, title, detail));
            };
            stored.remove_value(name);
            Ok(stored.set_value(to, &value, is_secret))
        }
        _ => Ok(stored.set_value(name, &value, is_secret)),
    }
}

/// Events as the frames of a body.
struct Source(mpsc::UnboundedReceiver<String>);

impl futures::Stream for Source {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(Bytes::from(text)))))
    }
}

fn problem(status: u16, title: &str, detail: &str) -> Answer {
    json_of(status, &json!({"detail": detail, "status": status, "title": title}))
}

fn json_of(status: u16, value: &Value) -> Answer {
    with_type(status, "application/json", format!("{value}\n").into_bytes())
}

fn text(status: u16, text: String) -> Answer {
    with_type(status, "text/plain; charset=utf-8", text.into_bytes())
}

fn bytes(status: u16, value: Vec<u8>) -> Answer {
    with_type(status, "application/octet-stream", value)
}

fn empty(status: u16) -> Answer {
    let mut answer = Response::new(Full::default().boxed());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    answer
}

fn with_type(status: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::from(body).boxed());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(content_type));
    answer
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decode(name), decode(&value.replace('+', " "))))
        .collect()
}

/// Undoes percent-encoding.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let code = if byte == b'%' { rest.clone().next().zip(rest.clone().nth(1)) } else { None };
        let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match code.and_then(|(high, low)| digit(high).zip(digit(low))) {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Largest value of a key.
const MAX_VALUE: usize = 1_000_000;
