//! The call that belongs to a recorded exchange.
//!
//! Calls that no typed call makes (bad requests on purpose, keyword documentation, logs, networks) are sent as they
//! are through [`Client::call`] and show as `raw`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use igw_opensvc::{
    Action, Client, Error, Evaluate, EventKind, Filter, InstanceAction, InstanceOptions, KeyChange, KeyName,
    KeywordChanges, Method, ObjectPath, RefreshToken, Request, Subscription, TokenRequest,
};
use serde_json::Value;

use crate::exchange::Exchange;

/// What a call made of an answer.
pub struct Outcome {
    pub call: &'static str,
    pub text: String,
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

/// Makes the call that belongs to an exchange.
pub async fn replay(client: &Client, exchange: &Exchange) -> Outcome {
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
    for (name, value) in &exchange.parameters {
        match name.as_str() {
            "access_duration" => {
                let hours: u64 = value.strip_suffix('h')?.parse().ok()?;
                wanted.access_duration = Some(Duration::from_secs(hours * 3600));
            }
            "refresh" => wanted.refresh = RefreshToken::Yes,
            "role" => wanted.roles.push(value.clone()),
            "scope" => wanted.scope = Some(value.clone()),
            "subject" => wanted.subject = Some(value.clone()),
            _ => return None,
        }
    }
    Some(wanted)
}
