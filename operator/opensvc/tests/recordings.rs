//! Every exchange recorded from a real daemon, replayed: the call that belongs to it sends exactly that request, and
//! makes of that answer what `recordings.txt` says. `IGW_BLESS=1` writes that table anew, to be read before it is kept.
//!
//! Calls that no typed call makes (bad requests on purpose, keyword documentation, logs, networks) are sent as they
//! are through [`Client::call`]; the table marks them `raw`.

mod served;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use igw_opensvc::{
    Action, Budget, Client, Credentials, Error, Evaluate, Event, EventKind, Filter, Frame, Grant,
    InstanceAction, InstanceOptions, KeyChange, KeyName, KeywordChanges, Method, ObjectPath, Origin, Parsed,
    Received, RefreshToken, Request, Settings, SseParser, Subscription, Target, TokenRequest, Trust,
};
use secrecy::SecretString;
use serde_json::Value;
use served::{Asked, Reply, Served};

/// One recorded exchange.
struct Exchange {
    file: String,
    index: usize,
    listener: String,
    method: String,
    segments: Vec<String>,
    parameters: Vec<(String, String)>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    /// The body was too large to be kept; its size was this.
    left_out: Option<usize>,
    reply: Reply,
}

/// What a call made of an answer.
struct Outcome {
    call: &'static str,
    text: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/emulator/recordings")
}

fn table() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings.txt")
}

fn files(ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

// === impl Exchange ===

impl Exchange {
    fn read(file: &str, index: usize, recorded: &Value) -> anyhow::Result<Self> {
        let (request, response) = (&recorded["request"], &recorded["response"]);
        let path = request["path"].as_str().context("path")?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let segments = path.trim_start_matches('/').split('/');
        let mut headers = BTreeMap::new();
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            headers.insert(name.to_lowercase(), value.as_str().unwrap_or_default().to_owned());
        }
        let left_out = request["body_note"].as_str().and_then(|note| note.split(' ').next()?.parse().ok());
        Ok(Self {
            file: file.to_owned(),
            index,
            listener: request["listener"].as_str().unwrap_or_default().to_owned(),
            method: request["method"].as_str().context("method")?.to_owned(),
            segments: segments.map(|segment| served::decode(segment, false)).collect(),
            parameters: served::parameters(query),
            headers,
            body: body_of(request)?,
            left_out,
            reply: reply_of(file, index, response)?,
        })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        let named = self.parameters.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    fn sent_body(&self) -> Bytes {
        match self.left_out {
            Some(size) => Bytes::from(vec![b'x'; size]),
            None => Bytes::from(self.body.clone()),
        }
    }
}

/// A body that the recording left out is the one of another exchange with the same answer.
fn reply_of(file: &str, index: usize, response: &Value) -> anyhow::Result<Reply> {
    let status =
        response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).context("status")?;
    let mut headers = Vec::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if name != "content-length" && !value.is_empty() {
            headers.push((name.clone(), value.to_owned()));
        }
    }
    let body = match response["body_note"].as_str() {
        None => body_of(response)?,
        Some(_) => {
            let start = response["body_start"].as_str().unwrap_or_default();
            let (other, other_index) = match start.get(..12).unwrap_or_default() {
                "{\"data\":{\"in" => ("12-cfg-object-and-list.json", 0),
                "{\"items\":[{\""
                    if response["body_note"].as_str().is_some_and(|n| n.starts_with("3794")) =>
                {
                    ("36-instance-actions-and-reads.json", 6)
                }
                "{\"items\":[{\"" => ("12-cfg-object-and-list.json", 3),
                "{\"cluster\":{" => ("36-instance-actions-and-reads.json", 10),
                "event: NodeS" | "event: Insta" => return Ok(Reply { status, headers, body: start.into() }),
                _ if start.is_empty() => {
                    return Ok(Reply { status, headers, body: b"{\"items\":[]}".to_vec() });
                }
                other => anyhow::bail!("{file} {index}: a body that starts with {other:?} was left out"),
            };
            let text = std::fs::read_to_string(folder().join(other))?;
            let whole: Value = serde_json::from_str(&text)?;
            body_of(&whole["exchanges"][other_index]["response"])?
        }
    };
    Ok(Reply { status, headers, body })
}

fn body_of(part: &Value) -> anyhow::Result<Vec<u8>> {
    match (&part["body"], part["body_base64"].as_str()) {
        (_, Some(text)) => Ok(STANDARD.decode(text)?),
        (Value::String(text), _) => Ok(text.as_bytes().to_vec()),
        (Value::Null, _) => Ok(Vec::new()),
        (other, _) => Ok(serde_json::to_vec(other)?),
    }
}

/// Sums up what a call gave.
fn outcome<T>(call: &'static str, result: Result<T, Error>, sum: impl Fn(&T) -> String) -> Outcome {
    let text = match &result {
        Ok(value) => sum(value),
        Err(Error::Forbidden { needs, .. }) => format!("! Forbidden needs {needs}"),
        Err(Error::Busy { expect, .. }) => format!("! Busy with {expect}"),
        Err(Error::UnknownKey { key, .. }) => format!("! UnknownKey {key}"),
        Err(Error::KeyExists { key, .. }) => format!("! KeyExists {key}"),
        Err(Error::TooLarge { key, .. }) => format!("! TooLarge {key}"),
        Err(error) => {
            let shown = format!("{error:?}");
            format!("! {}", shown.split([' ', '{']).next().unwrap_or_default())
        }
    };
    Outcome { call, text }
}

fn done<T>(_: &T) -> String {
    "done".to_owned()
}

fn raw(exchange: &Exchange) -> Request {
    let segments: Vec<&str> = exchange.segments.iter().map(String::as_str).collect();
    let method = Method::from_bytes(exchange.method.as_bytes()).unwrap_or(Method::GET);
    let mut request = Request::raw(method, &segments);
    for (name, value) in &exchange.parameters {
        request = request.with_query(name, value);
    }
    let content_type = match exchange.headers.get("content-type").map(String::as_str) {
        Some("application/json") => Some("application/json"),
        Some("text/plain") => Some("text/plain"),
        Some(_) => Some("application/octet-stream"),
        None => None,
    };
    match content_type {
        Some(content_type) => request.with_body(content_type, exchange.sent_body()),
        None => request,
    }
}

async fn call_raw(client: &Client, exchange: &Exchange) -> Outcome {
    outcome("raw", client.call(&raw(exchange)).await, |answer| {
        let kind = if answer.is_silent() { "silent" } else { "answer" };
        format!("{} {kind}", answer.status)
    })
}

fn path_of(segments: &[&str]) -> Option<ObjectPath> {
    let [namespace, kind, name] = segments else { return None };
    ObjectPath::new(namespace, kind.parse().ok()?, name).ok()
}

async fn replay(client: &Client, exchange: &Exchange) -> Outcome {
    let segments: Vec<&str> = exchange.segments.iter().map(String::as_str).collect();
    let method = exchange.method.as_str();
    let selector = exchange.parameter("path").unwrap_or_default();
    match (method, segments.as_slice()) {
        ("GET", ["api", "object", "path"]) => {
            outcome("paths", client.paths(selector).await, |paths| format!("{} paths", paths.len()))
        }
        ("GET", ["api", "object"]) => {
            outcome("objects", client.objects(selector).await, |items| format!("{} objects", items.len()))
        }
        ("GET", ["api", "instance"]) => {
            let found = client.instances(selector, exchange.parameter("node")).await;
            outcome("instances", found, |items| format!("{} instances", items.len()))
        }
        ("GET", ["api", "resource"]) => {
            let (node, resource) = (exchange.parameter("node"), exchange.parameter("resource"));
            let found = client.resources(selector, node, resource).await;
            outcome("resources", found, |items| {
                let rids: Vec<&str> = items.iter().map(|item| item.rid.as_str()).collect();
                rids.join(" ")
            })
        }
        ("GET", ["api", "cluster", "status"]) => {
            let status = client.cluster_status(exchange.parameter("selector").unwrap_or_default()).await;
            outcome("cluster_status", status, |status| {
                let cluster = &status.cluster;
                let (objects, nodes) = (cluster.objects.len(), cluster.nodes.len());
                format!(
                    "{} {objects} objects {nodes} nodes lost {:?}",
                    cluster.settings.name,
                    cluster.lost_nodes()
                )
            })
        }
        ("GET", ["api", "cluster", "config"]) => {
            let name = exchange.parameter("kw").unwrap_or_default();
            outcome("cluster_keyword", client.cluster_keyword(name).await, String::clone)
        }
        ("GET", ["api", "node", "info"]) => {
            outcome("node_summaries", client.node_summaries().await, |nodes| format!("{} nodes", nodes.len()))
        }
        ("GET", ["api", "node"]) => {
            outcome("nodes", client.nodes().await, |nodes| format!("{} nodes", nodes.len()))
        }
        ("GET", ["api", "node", "name", node, "ping"]) => outcome("ping", client.ping(node).await, done),
        ("GET", ["api", "node", "name", node, "daemon", "dns", "dump"]) => {
            outcome("dns_dump", client.dns_dump(node).await, |records| format!("{} records", records.len()))
        }
        ("GET", ["api", "node", "name", "localhost", "daemon", "event"]) => match subscription(exchange) {
            Some(subscription) => outcome("events", client.try_events(&subscription).await, done),
            None => call_raw(client, exchange).await,
        },
        ("GET", ["api", "auth", "whoami"]) => outcome("whoami", client.whoami().await, |identity| {
            let roles: Vec<&str> = identity.grants.keys().map(String::as_str).collect();
            format!("{} as {} {}", identity.auth, identity.name, roles.join(" ")).trim_end().to_owned()
        }),
        ("GET", ["api", "auth", "info"]) => {
            outcome("auth_methods", client.auth_methods().await, |found| found.methods.join(" "))
        }
        ("POST", ["api", "auth", "token"]) => match token_request(exchange) {
            Some(wanted) => outcome("create_token", client.create_token(&wanted).await, |tokens| {
                format!("token, refresh {}", tokens.refresh_token.is_some())
            }),
            None => call_raw(client, exchange).await,
        },
        ("GET" | "POST" | "PUT" | "PATCH" | "DELETE", ["api", "object", "path", rest @ ..])
            if rest.len() >= 3 =>
        {
            let (place, rest) = rest.split_at(3);
            match path_of(place) {
                Some(path) => on_object(client, exchange, &path, rest).await,
                None => call_raw(client, exchange).await,
            }
        }
        (_, ["api", "node", "name", node, "instance", "path", rest @ ..]) if rest.len() >= 3 => {
            let (place, rest) = rest.split_at(3);
            match path_of(place) {
                Some(path) => on_instance(client, exchange, node, &path, rest).await,
                None => call_raw(client, exchange).await,
            }
        }
        _ => call_raw(client, exchange).await,
    }
}

async fn on_object(client: &Client, exchange: &Exchange, path: &ObjectPath, rest: &[&str]) -> Outcome {
    let name = exchange.parameter("name").map(KeyName::unchecked);
    let value = exchange.sent_body();
    match (exchange.method.as_str(), rest, name) {
        ("GET", [], _) => outcome("object", client.object(path).await, |item| {
            let divergent = item.divergent_nodes();
            let divergent =
                if divergent.is_empty() { String::new() } else { format!(" divergent {divergent:?}") };
            let avail = item.status.avail.as_ref().map(|avail| format!(" {avail}")).unwrap_or_default();
            let busy = item.orchestration().map(|(id, expect)| format!(" busy {} {expect}", id.is_some()));
            format!("{} instances{avail}{divergent}{}", item.instances.len(), busy.unwrap_or_default())
        }),
        ("GET", ["data", "keys"], _) => {
            outcome("keys", client.keys(path).await, |keys| format!("{} keys", keys.len()))
        }
        ("GET", ["data", "key"], Some(name)) => {
            outcome("key", client.key(path, &name).await, |value| format!("{} bytes", value.len()))
        }
        ("GET", ["data"], Some(_)) => {
            let names: Vec<KeyName> =
                exchange.all("name").iter().map(|name| KeyName::unchecked(name)).collect();
            outcome("key_values", client.key_values(path, &names).await, |values| {
                format!("{} values", values.len())
            })
        }
        ("POST", ["data", "key"], Some(name)) => {
            outcome("add_key", client.add_key(path, &name, value).await, done)
        }
        ("PUT", ["data", "key"], Some(name)) => {
            outcome("replace_key", client.replace_key(path, &name, value).await, done)
        }
        ("DELETE", ["data", "key"], Some(name)) => {
            outcome("remove_key", client.remove_key(path, &name).await, done)
        }
        ("PATCH", ["data"], _) => match changes(exchange) {
            Some(changes) => outcome("change_keys", client.change_keys(path, &changes).await, done),
            None => call_raw(client, exchange).await,
        },
        ("GET", ["config", "file"], _) if exchange.headers.contains_key("range") => {
            call_raw(client, exchange).await
        }
        ("GET", ["config", "file"], _) => match exchange.headers.get("if-modified-since") {
            Some(time) => outcome("stored_since", client.stored_since(path, time).await, |file| {
                if file.is_some() { "changed".to_owned() } else { "unchanged".to_owned() }
            }),
            None => outcome("stored", client.stored(path).await, |file| {
                format!("{} bytes, time {}", file.text.len(), file.modified.is_some())
            }),
        },
        ("POST", ["config", "file"], _) => outcome("create", client.create(path, value).await, done),
        ("PUT", ["config", "file"], _) => outcome("replace", client.replace(path, value).await, done),
        ("GET", ["config"], _) => match (exchange.parameter("evaluate"), exchange.parameter("impersonate")) {
            (None, Some(_)) => call_raw(client, exchange).await,
            (evaluate, node) => {
                let evaluate = match (evaluate, node) {
                    (_, Some(node)) => Evaluate::As(node),
                    (Some(_), None) => Evaluate::Here,
                    _ => Evaluate::No,
                };
                let names = exchange.all("kw");
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let found = client.keywords(path, &names, evaluate).await;
                outcome("keywords", found, |items| format!("{} keywords", items.len()))
            }
        },
        ("PATCH", ["config"], _) => {
            let (set, unset, delete) = (exchange.all("set"), exchange.all("unset"), exchange.all("delete"));
            let changed = client.change_keywords(path, &KeywordChanges { delete, unset, set }).await;
            outcome("change_keywords", changed, |changed| format!("changed {changed}"))
        }
        ("POST", ["action", verb], _) => match action(verb, &exchange.body) {
            Some(action) => outcome("act", client.act(path, &action).await, |_| "accepted".to_owned()),
            None => call_raw(client, exchange).await,
        },
        _ => call_raw(client, exchange).await,
    }
}

async fn on_instance(
    client: &Client,
    exchange: &Exchange,
    node: &str,
    path: &ObjectPath,
    rest: &[&str],
) -> Outcome {
    let rid = exchange.parameter("rid").map(str::to_owned);
    match (exchange.method.as_str(), rest) {
        ("GET", []) => outcome("instance", client.instance(node, path).await, |instance| {
            let csum = instance.settings.as_ref().map(|settings| settings.csum.get(..4).unwrap_or_default());
            format!("csum {}… addresses {:?}", csum.unwrap_or_default(), instance.addresses())
        }),
        ("GET", ["config", "file"]) => outcome("stored_on", client.stored_on(node, path).await, |file| {
            format!("{} bytes", file.text.len())
        }),
        ("POST", ["action", verb]) => {
            let action = match *verb {
                "status" => InstanceAction::Status,
                "restart" => InstanceAction::Restart,
                "start" => InstanceAction::Start,
                _ => return call_raw(client, exchange).await,
            };
            let options = InstanceOptions { rid, ..InstanceOptions::default() };
            let started = client.act_on_instance(node, path, action, &options).await;
            outcome("act_on_instance", started, |_| "started".to_owned())
        }
        _ => call_raw(client, exchange).await,
    }
}

fn action(verb: &str, body: &[u8]) -> Option<Action> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    Some(match verb {
        "provision" => Action::Provision,
        "unprovision" => Action::Unprovision,
        "start" => Action::Start,
        "stop" => Action::Stop,
        "restart" => Action::Restart { force: body["force"].as_bool()? },
        "freeze" => Action::Freeze,
        "unfreeze" => Action::Unfreeze,
        "switch" => {
            let nodes = body["destination"].as_array()?.iter();
            Action::Switch {
                destination: nodes.filter_map(|node| node.as_str().map(str::to_owned)).collect(),
            }
        }
        "giveback" => Action::Giveback,
        "delete" => Action::Delete,
        "purge" => Action::Purge,
        "abort" => Action::Abort,
        _ => return None,
    })
}

/// The changes of a PATCH, if they are such as the client sends.
fn changes(exchange: &Exchange) -> Option<Vec<KeyChange>> {
    if exchange.headers.get("content-type").map(String::as_str) != Some("application/json") {
        return None;
    }
    if let Some(size) = exchange.left_out {
        return Some(vec![KeyChange::Set {
            name: KeyName::unchecked("p"),
            value: Bytes::from(vec![b'x'; size]),
        }]);
    }
    let items: Vec<Value> = serde_json::from_slice(&exchange.body).ok()?;
    let change = |item: &Value| {
        let name = KeyName::unchecked(item["name"].as_str()?);
        let value = match (item["string"].as_str(), item["bytes"].as_str()) {
            (Some(text), None) => Some(Bytes::from(text.to_owned())),
            (None, Some(text)) => Some(Bytes::from(STANDARD.decode(text).ok()?)),
            _ => None,
        };
        Some(match item["action"].as_str()? {
            "change" => KeyChange::Set { name, value: value? },
            "add" => KeyChange::Add { name, value: value? },
            "remove" => KeyChange::Remove { name },
            "rename" => KeyChange::Rename { name, to: KeyName::unchecked(item["to"].as_str()?) },
            _ => return None,
        })
    };
    items.iter().map(change).collect::<Option<Vec<_>>>().filter(|changes| !changes.is_empty())
}

fn subscription(exchange: &Exchange) -> Option<Subscription> {
    let mut subscription = Subscription::default();
    for (name, value) in &exchange.parameters {
        match (name.as_str(), value.as_str()) {
            ("filter", text) => {
                let (kind, rest) = text.split_once(',').unwrap_or((text, ""));
                let filter = Filter::kinds([EventKind::from(kind)]);
                let filter = if rest.is_empty() { filter } else { filter.with_matcher(rest) };
                subscription.filters.push(filter);
            }
            ("selector", text) => subscription.selector = Some(text.to_owned()),
            ("duration", text) => {
                subscription.duration = Some(Duration::from_secs(text.strip_suffix('s')?.parse().ok()?));
            }
            _ => return None,
        }
    }
    Some(subscription)
}

fn token_request(exchange: &Exchange) -> Option<TokenRequest> {
    let mut wanted = TokenRequest::default();
    let mut grant = Grant { role: String::new(), namespace: None };
    for (name, value) in &exchange.parameters {
        match name.as_str() {
            "access_duration" => {
                let hours: u64 = value.strip_suffix('h')?.parse().ok()?;
                wanted.access_duration = Some(Duration::from_secs(hours * 3600));
            }
            "refresh" => wanted.refresh = RefreshToken::Yes,
            "role" => grant.role.clone_from(value),
            "scope" => grant.namespace = Some(value.clone()),
            "subject" => wanted.subject = Some(value.clone()),
            _ => return None,
        }
    }
    wanted.grants = vec![grant];
    Some(wanted)
}

/// Asserts that the request is the recorded one.
fn assert_same(exchange: &Exchange, asked: &Asked) {
    let place = format!("{} {}", exchange.file, exchange.index);
    assert_eq!(asked.method, exchange.method, "{place}");
    assert_eq!(asked.segments(), exchange.segments, "{place}");
    assert_eq!(asked.parameters(), exchange.parameters, "{place}");
    assert_eq!(asked.header("x-forwarded-for"), None, "{place}");
    for name in ["content-type", "accept", "if-modified-since"] {
        if let Some(value) = exchange.headers.get(name) {
            assert_eq!(asked.header(name), Some(value.as_str()), "{place}: {name}");
        }
    }
    if exchange.listener == "tcp" {
        let scheme = |header: Option<&str>| header.map(|header| header.split(' ').next().map(str::to_owned));
        let wanted = exchange.headers.get("authorization").map(String::as_str);
        assert_eq!(scheme(asked.header("authorization")), scheme(wanted), "{place}: authorization");
    }
    match exchange.left_out {
        Some(size) => assert!(asked.body.len() >= size, "{place}: {} bytes", asked.body.len()),
        None => assert_eq!(comparable(&asked.body), comparable(&exchange.body), "{place}"),
    }
}

/// JSON is compared as such, values of keys as bytes: the client writes them all in base64.
fn comparable(body: &[u8]) -> Value {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return Value::String(String::from_utf8_lossy(body).into_owned());
    };
    for item in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if !item.contains_key("bytes") {
            if let Some(Value::String(text)) = item.remove("string") {
                item.insert("bytes".to_owned(), Value::String(STANDARD.encode(text)));
            }
        }
    }
    value
}

fn client_for(served: &Served, exchange: &Exchange) -> anyhow::Result<Client> {
    let settings = Settings { budget: Some(Budget::new(10_000, 10_000)), ..Settings::default() };
    if exchange.listener == "unix" {
        return Ok(Client::connect_with(Target::Unix(served.socket.clone()), &settings)?);
    }
    let secret = || SecretString::from("eyJ.SCRUBBED.TOKEN");
    let header = exchange.headers.get("authorization").map(String::as_str).unwrap_or_default();
    let credentials = match header.split(' ').next() {
        Some("Bearer") => Credentials::Token { access: secret(), refresh: None },
        Some("Basic") => Credentials::Basic { user: "adm1".to_owned(), password: secret() },
        _ => Credentials::Anonymous,
    };
    let target = Target::Tcp {
        url: format!("https://{}", served.address),
        trust: Trust::AuthorityPem(served.authority.ca.clone()),
        server_name: Some("n1".to_owned()),
        credentials,
    };
    Ok(Client::connect_with(target, &settings)?)
}

#[tokio::test]
async fn every_recorded_exchange_is_sent_and_understood() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let mut clients: BTreeMap<(String, String), Client> = BTreeMap::new();
    let (mut found, mut n_raw, mut n_exchanges) = (String::new(), 0, 0);
    for path in files("json")? {
        let file = path.file_name().and_then(|name| name.to_str()).context("name")?.to_owned();
        let recorded: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        for (index, recorded) in recorded["exchanges"].as_array().context("exchanges")?.iter().enumerate() {
            let exchange = Exchange::read(&file, index, recorded)?;
            let refused = recorded["response"]["transport_error"].as_str().is_some_and(|e| e.contains("(7)"));
            let header = exchange.headers.get("authorization").cloned().unwrap_or_default();
            let scheme = header.split(' ').next().unwrap_or_default().to_owned();
            let client = match clients.get(&(exchange.listener.clone(), scheme.clone())) {
                Some(client) => client.clone(),
                None => client_for(&served, &exchange)?,
            };
            clients.insert((exchange.listener.clone(), scheme), client.clone());
            served.will_answer(exchange.reply.clone());
            let outcome = if refused {
                let nowhere = Client::connect(Target::Unix(served.socket.with_extension("gone")))?;
                replay(&nowhere, &exchange).await
            } else {
                replay(&client, &exchange).await
            };
            let asked = served.take_asked();
            if !refused {
                assert!(!asked.is_empty(), "{file} {index}: nothing was sent");
                for asked in &asked {
                    assert_same(&exchange, asked);
                }
            }
            served.clear();
            n_exchanges += 1;
            n_raw += usize::from(outcome.call == "raw");
            writeln!(found, "{} {index} {} {}: {}", file, exchange.method, outcome.call, outcome.text)?;
        }
    }
    if std::env::var_os("IGW_BLESS").is_some() {
        std::fs::write(table(), &found)?;
    }
    let kept = std::fs::read_to_string(table())?;
    for (found, kept) in found.lines().zip(kept.lines()) {
        assert_eq!(found, kept);
    }
    assert_eq!(found.lines().count(), kept.lines().count());
    assert!(n_exchanges > 500, "{n_exchanges}");
    assert!(n_raw < 60, "{n_raw} of {n_exchanges} are sent raw");
    Ok(())
}

/// The raw stream of a recording: what follows the first empty line.
fn stream_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read_to_string(path)?;
    let (_, stream) = text.split_once("\n\n").context("an empty line")?;
    Ok(format!("{stream}\n\n").into_bytes())
}

fn events_of(path: &Path) -> anyhow::Result<Vec<(Frame, Received)>> {
    let mut events = Vec::new();
    for parsed in SseParser::new().push(&stream_of(path)?) {
        let Parsed::Frame(frame) = parsed else { anyhow::bail!("{}: too large", path.display()) };
        let received = Received::parse(&frame).with_context(|| {
            format!("{}: {} {}", path.display(), frame.name, String::from_utf8_lossy(&frame.body))
        })?;
        events.push((frame, received));
    }
    Ok(events)
}

#[test]
fn every_recorded_event_is_understood() -> anyhow::Result<()> {
    let mut n_by_kind: BTreeMap<String, usize> = BTreeMap::new();
    for path in files("sse")? {
        let text = String::from_utf8(stream_of(&path)?)?;
        let events = events_of(&path)?;
        let n_written = text.lines().filter(|line| line.starts_with("event:")).count();
        assert_eq!(events.len(), n_written, "{}", path.display());
        for (frame, received) in events {
            let about_object = !frame.name.starts_with("Node") && !frame.name.starts_with("Heartbeat");
            assert_eq!(received.path.is_some(), about_object, "{}: {}", path.display(), frame.name);
            let kind = EventKind::of(&received.event);
            // Deletions of records are told as changes.
            if frame.name != "ZoneRecordDeleted" {
                assert_eq!(kind.as_str(), frame.name);
            }
            *n_by_kind.entry(frame.name).or_default() += 1;
        }
    }
    for (kind, n) in [
        ("InstanceConfigUpdated", 66),
        ("ObjectDeleted", 5),
        ("ObjectOrchestrationEnd", 25),
        ("NodeStale", 2),
    ] {
        assert_eq!(n_by_kind.get(kind), Some(&n), "{kind}");
    }
    Ok(())
}

#[test]
fn a_replay_ignores_namespaces_and_says_that_it_is_one() -> anyhow::Result<()> {
    let events = events_of(&folder().join("22-sse-replay-filters.sse"))?;
    assert!(events.iter().all(|(_, received)| received.origin == Origin::Replay));
    let is_elsewhere =
        |received: &Received| received.path.as_ref().is_some_and(|path| path.namespace() != "edge");
    assert!(events.iter().any(|(_, received)| is_elsewhere(received)));
    Ok(())
}

#[test]
fn the_end_of_an_orchestration_may_carry_an_id_that_nobody_has() -> anyhow::Result<()> {
    let events = events_of(&folder().join("35-sse-svc-orchestration-id-swap.sse"))?;
    let ids = |wanted: fn(&Event) -> Option<&String>| -> Vec<String> {
        events.iter().filter_map(|(_, received)| wanted(&received.event)).cloned().collect()
    };
    let accepted = ids(|event| match event {
        Event::OrchestrationAccepted { id, .. } => Some(id),
        _ => None,
    });
    let ended = ids(|event| match event {
        Event::OrchestrationEnd { id, .. } => Some(id),
        _ => None,
    });
    assert!(accepted.len() >= 2, "{accepted:?}");
    assert!(ended.first().is_some_and(|id| Some(id) != accepted.first()), "{accepted:?} {ended:?}");
    Ok(())
}
