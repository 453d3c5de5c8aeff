//! The daemon's API on one node, with the answers that a real one gave.

mod config;
mod data;
mod nodes;
mod objects;
mod reply;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request};
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::callers::Caller;
use crate::path::Path;
use crate::policy;
use crate::world::World;
use reply::{Answer, decode, empty, json_of, message, pairs, problem};

/// Where a request came in.
#[derive(Clone, Debug)]
pub enum Peer {
    /// The socket of the node: root.
    Socket,
    /// TLS, from an address, perhaps with a client certificate for a name.
    Network(IpAddr, Option<String>),
}

/// The handler broke: the connection ends without an answer.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the handler broke")
    }
}

impl std::error::Error for Broken {}

/// A request that was read whole.
struct Call<'c> {
    world: &'c Arc<World>,
    node: String,
    caller: Caller,
    method: Method,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer, or a broken connection.
type Outcome = Result<Answer, Broken>;

/// Answers a request to a node.
///
/// # Errors
/// Where the real daemon ends the connection without a word.
pub async fn answer(world: Arc<World>, node: String, peer: Peer, request: Request<Incoming>) -> Outcome {
    let path = request.uri().path().to_owned();
    let (pause, failure) = {
        let mut inner = world.lock();
        *inner.n_requests.entry(node.clone()).or_default() += 1;
        let failing =
            inner.failing.as_ref().filter(|(part, _)| path.contains(part)).map(|(_, status)| *status);
        if let Some(status) = failing {
            inner.n_failing += 1;
            return Ok(problem(status, "emulated failure", "it was asked for"));
        }
        let state = inner.nodes.get_mut(&node);
        state.map_or((Duration::ZERO, None), |state| (state.slowness, state.failures.pop()))
    };
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    if let Some(status) = failure {
        return Ok(problem(status, "emulated failure", "it was asked for"));
    }
    let method = request.method().clone();
    let query = pairs(request.uri().query().unwrap_or_default());
    let headers = request.headers().clone();
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let caller = match &peer {
        Peer::Socket => Caller::root(),
        Peer::Network(address, certificate) => {
            if !world.admits(*address, header("x-forwarded-for")) {
                return Ok(json_of(403, &Value::Null));
            }
            let is_public = matches!(parts[..], ["api", "auth", "info"] | ["api", "openapi"]);
            let is_unknown =
                parts.first() != Some(&"api") || parts.get(1).is_none_or(|part| !ROOMS.contains(part));
            match world.authenticate(&node, header("authorization"), certificate.as_deref()) {
                Ok(caller) => caller,
                Err(_) if is_public || is_unknown => {
                    Caller { auth: "", name: String::new(), grants: Vec::new() }
                }
                Err(tried) => return Ok(problem(401, "Unauthorized", &tried)),
            }
        }
    };
    // What is too large is refused before it is read.
    let length: Option<usize> = header("content-length").and_then(|text| text.parse().ok());
    let is_value = matches!(parts[..], ["api", "object", "path", _, _, _, "data", "key"]);
    if is_value && length.is_some_and(|length| length > MAX_VALUE) {
        let _ = request.into_body().collect().await;
        return Ok(problem(413, "Body too large", "The request body exceeds the allowed size."));
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let call = Call { world: &world, node, caller, method, query, headers, body };
    call.route(&parts).await
}

// === impl Call ===

impl Call<'_> {
    async fn route(&self, parts: &[&str]) -> Outcome {
        let method = self.method.as_str();
        Ok(match (method, parts) {
            ("GET", ["api", "auth", "whoami"]) => json_of(200, &self.caller.shown()),
            ("GET", ["api", "auth", "info"]) => json_of(200, &json!({"methods": ["basic", "x509"]})),
            ("POST", ["api", "auth", verb @ ("token" | "refresh")]) => self.tokens(verb),
            (_, ["api", "auth", "token" | "refresh" | "whoami" | "info"]) => {
                message(405, "Method Not Allowed")
            }
            ("GET", ["api", "cluster", "status"]) => {
                let selector = self.param("selector").unwrap_or("**");
                json_of(200, &crate::shapes::cluster(self.world, &self.node, selector, &self.caller))
            }
            ("GET", ["api", "cluster", "config"]) => self.cluster_config(),
            ("GET", ["api", "node", "info"]) => {
                json_of(200, &crate::shapes::node_info(self.world, &self.node))
            }
            ("GET", ["api", "node"]) => match self.root_only() {
                Some(refusal) => refusal,
                None => json_of(200, &crate::shapes::node_list(self.world, &self.node)),
            },
            ("GET", ["api", "network"]) => match self.root_only() {
                Some(refusal) => refusal,
                None => json_of(200, &json!({"kind": "NetworkList", "items": []})),
            },
            ("GET", ["api", "object", "path"]) => self.names(),
            ("GET", ["api", "object"]) => self.list(),
            ("GET", ["api", "instance"]) => self.instances(),
            ("GET", ["api", "resource"]) => return self.resources(),
            (_, ["api", "object", "path", namespace, kind, name, rest @ ..]) => {
                return self.object(&Path::new(namespace, kind, name), rest).await;
            }
            (_, ["api", "node", "name", node, rest @ ..]) => return self.on_node(node, rest).await,
            _ => message(404, "Not Found"),
        })
    }

    fn tokens(&self, verb: &str) -> Answer {
        let header = self.headers.get("authorization").and_then(|value| value.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        let renewed = if verb == "refresh" { Some(token.unwrap_or_default()) } else { None };
        match self.world.give_tokens(&self.node, &self.caller, renewed, &self.query) {
            Ok(tokens) => json_of(200, &tokens),
            Err((status, title, words)) => problem(status, title, &words),
        }
    }

    async fn object(&self, path: &Path, rest: &[&str]) -> Outcome {
        if let Some(reason) = policy::bad_path(path) {
            return Ok(match self.method.as_str() {
                "GET" => message(500, "Internal Server Error"),
                _ => problem(400, "Bad request path", &reason),
            });
        }
        if let Some(refusal) = self.refusal(path, rest) {
            return Ok(refusal);
        }
        let members = self.members_for(path, rest);
        if members.is_empty() {
            return self.own_object(path, rest).await;
        }
        // A node that has no instance passes on what is asked for: a reading to any node that has one; a write to one
        // after the other, whose body is used up by the first, and which is told as what was not done.
        let is_write = self.method != Method::GET && rest.first() == Some(&"data");
        let members =
            if is_write { members } else { members.choose(&mut rand::rng()).cloned().into_iter().collect() };
        let mut answer = empty(200);
        for (n, member) in members.into_iter().enumerate() {
            let forwarded = Call {
                world: self.world,
                node: member,
                caller: self.caller.clone(),
                method: self.method.clone(),
                query: self.query.clone(),
                headers: self.headers.clone(),
                body: if n == 0 { self.body.clone() } else { Bytes::new() },
            };
            answer = Box::pin(forwarded.own_object(path, rest)).await?;
            if answer.status() != 204 {
                break;
            }
        }
        Ok(if is_write && answer.status() == 204 { empty(200) } else { answer })
    }

    async fn own_object(&self, path: &Path, rest: &[&str]) -> Outcome {
        match rest {
            ["data", rest @ ..] => self.data(path, rest).await,
            ["config", rest @ ..] => Ok(self.config(path, rest).await),
            _ => Ok(self.whole(path, rest)),
        }
    }

    /// The nodes to pass a call on to, where this one is not in the scope.
    fn members_for(&self, path: &Path, rest: &[&str]) -> Vec<String> {
        let inner = self.world.lock();
        let has = |node: &str| inner.nodes.get(node).is_some_and(|state| state.published.contains_key(path));
        let is_passed_on = matches!(rest, ["data", ..] | ["config", ..] | ["action", ..]);
        let is_creation = self.method == Method::POST && rest.first() == Some(&"config");
        if has(&self.node) || !is_passed_on || is_creation {
            return Vec::new();
        }
        let mut seen = crate::shapes::seen_nodes(&inner, &self.node);
        seen.retain(|node| has(node) && inner.nodes.get(node).is_some_and(|state| state.is_serving));
        seen
    }

    /// Why the caller may not do this.
    fn refusal(&self, path: &Path, rest: &[&str]) -> Option<Answer> {
        let ns = &path.namespace;
        let of = |roles: &[&str], more: &[&str]| -> Vec<String> {
            let scoped = roles.iter().map(|role| format!("{role}:{ns}"));
            scoped.chain(roles.iter().chain(more).map(|role| (*role).to_owned())).collect()
        };
        let read = || of(&["guest", "operator", "admin"], &["join", "root"]);
        let write = || of(&["admin"], &["root"]);
        let operate = || of(&["operator", "admin"], &["root"]);
        let needed = match (self.method.as_str(), rest) {
            // What may not be seen is not there.
            ("GET", []) => {
                return (!self.caller.sees(ns)).then(|| problem(404, "", ""));
            }
            ("GET", ["data", "keys"]) => read(),
            ("GET", ["data", ..]) if path.kind == "sec" => write(),
            ("GET", _) => read(),
            ("POST", ["action", verb]) if OPERATED.contains(verb) => operate(),
            _ => write(),
        };
        self.need(&needed)
    }

    fn root_only(&self) -> Option<Answer> {
        self.need(&["root".to_owned()])
    }

    fn need(&self, grants: &[String]) -> Option<Answer> {
        (!self.caller.has(grants))
            .then(|| problem(403, "Forbidden", &format!("need one of [{}] grant", grants.join(" "))))
    }

    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn params(&self, name: &str) -> Vec<&str> {
        self.query.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Actions that an operator of a namespace may do.
const OPERATED: [&str; 8] = ["start", "stop", "restart", "freeze", "unfreeze", "switch", "giveback", "abort"];
/// First parts of paths below `/api`.
const ROOMS: [&str; 7] = ["auth", "cluster", "node", "object", "instance", "resource", "network"];
/// Largest value of a key.
const MAX_VALUE: usize = 1_000_000;
