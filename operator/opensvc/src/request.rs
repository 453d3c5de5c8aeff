//! One request, made of typed parts, and one answer, still raw.
//!
//! Invariant: what ends up in a path is percent-encoded here and nowhere else; what ends up in messages is the
//! path without the query, because queries carry values.

use bytes::Bytes;
use reqwest::{Method, Url};

use crate::error::Place;
use crate::path::ObjectPath;

/// A request, ready to be sent as often as needed.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<(&'static str, Bytes)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) area: Area,
    pub(crate) object: Option<ObjectPath>,
    pub(crate) key: Option<String>,
}

/// An answer whose body was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Content-Type`, absent when there was none.
    pub content_type: Option<String>,
    /// `OM-Last-Modified`, the time of the file that was read.
    pub modified: Option<String>,
    /// `Last-Modified`, in whole seconds.
    pub last_modified: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// The part of the API a request goes to: the daemon gives the same status other meanings in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    /// Login and tokens.
    Login,
    /// Lists, and objects as a whole.
    Object,
    /// The file that stores an object, and its keywords.
    Stored,
    /// The keys of an object.
    Keys,
    /// Orchestrated actions.
    Action,
    /// One instance on one node.
    Instance,
    /// Nodes and the cluster.
    Cluster,
}

// === impl Request ===

impl Request {
    /// A request with a path given in full, for calls that have no type of their own. Segments are encoded here.
    pub fn raw(method: Method, segments: &[&str]) -> Self {
        let (area, object) = match segments {
            ["api", "auth", ..] => (Area::Login, None),
            ["api", "object", "path", namespace, kind, name, rest @ ..] => {
                let area = match rest {
                    ["data", ..] => Area::Keys,
                    ["config", ..] => Area::Stored,
                    ["action", ..] => Area::Action,
                    _ => Area::Object,
                };
                (area, kind.parse().ok().and_then(|kind| ObjectPath::new(namespace, kind, name).ok()))
            }
            ["api", "object" | "instance" | "resource", ..] => (Area::Object, None),
            ["api", "node", "name", _, "instance", "path", namespace, kind, name, ..] => (
                Area::Instance,
                kind.parse().ok().and_then(|kind| ObjectPath::new(namespace, kind, name).ok()),
            ),
            _ => (Area::Cluster, None),
        };
        Self { object, ..Self::new(method, area, segments.iter().copied()) }
    }

    pub(crate) fn new<'a>(method: Method, area: Area, segments: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            method,
            segments: segments.into_iter().map(str::to_owned).collect(),
            query: Vec::new(),
            body: None,
            headers: Vec::new(),
            area,
            object: None,
            key: None,
        }
    }

    /// `/api/object/path/{namespace}/{kind}/{name}/…`.
    pub(crate) fn object(method: Method, area: Area, path: &ObjectPath, rest: &[&str]) -> Self {
        let head = ["api", "object", "path", path.namespace(), path.kind().as_str(), path.name()];
        let mut request = Self::new(method, area, head.into_iter().chain(rest.iter().copied()));
        request.object = Some(path.clone());
        request
    }

    /// `/api/node/name/{node}/instance/path/{namespace}/{kind}/{name}/…`.
    pub(crate) fn instance(method: Method, node: &str, path: &ObjectPath, rest: &[&str]) -> Self {
        let (namespace, kind) = (path.namespace(), path.kind().as_str());
        let head = ["api", "node", "name", node, "instance", "path", namespace, kind, path.name()];
        let mut request = Self::new(method, Area::Instance, head.into_iter().chain(rest.iter().copied()));
        request.object = Some(path.clone());
        request
    }

    /// `/api/node/name/{node}/…`.
    pub(crate) fn node(method: Method, node: &str, rest: &[&str]) -> Self {
        Self::new(
            method,
            Area::Cluster,
            ["api", "node", "name", node].into_iter().chain(rest.iter().copied()),
        )
    }

    /// Adds a parameter to the query.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn with_body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type, body.into()));
        self
    }

    pub(crate) fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self.with_query("name", key)
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(&self.segments);
        }
        url.set_query(None);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            call: format!("{} /{}", self.method, self.segments.join("/")),
            object: self.object.clone().map(Box::new),
        }
    }
}

// === impl Answer ===

impl Answer {
    /// Whether the daemon did nothing because it does not know the object: 200 without a body and without a type.
    /// A key that exists and is empty has a type (contract §6.5).
    pub fn is_silent(&self) -> bool {
        self.status == 200 && self.body.is_empty() && self.content_type.is_none()
    }
}

/// The type of whole files and of single values.
pub(crate) const OCTETS: &str = "application/octet-stream";
/// The type that the daemon asks for in front of JSON.
pub(crate) const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_encoded_and_queries_stay_out_of_messages() {
        let path: ObjectPath = "edge/cfg/gw".parse().expect("a path");
        let request =
            Request::object(Method::GET, Area::Keys, &path, &["data", "key"]).with_key("a b/c#d&e=f");
        let url = request.url(&Url::parse("http://localhost").expect("a URL"));
        assert_eq!(url.path(), "/api/object/path/edge/cfg/gw/data/key");
        assert_eq!(url.query(), Some("name=a+b%2Fc%23d%26e%3Df"));
        assert_eq!(request.place().to_string(), "edge/cfg/gw: GET /api/object/path/edge/cfg/gw/data/key");
        let odd = Request::node(Method::GET, "../x y", &["ping"]);
        let url = odd.url(&Url::parse("http://localhost").expect("a URL"));
        assert_eq!(url.path(), "/api/node/name/..%2Fx%20y/ping");
    }
}
