//! What the echo server says of a request, in the form that the suite decodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode, Version};
use serde::Serialize;

use super::container::Identity;
use super::session::Session;
use crate::query::parameter;

/// A request as handlers see it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: Parts,
    pub(crate) client: SocketAddr,
    pub(crate) session: Option<Session>,
}

#[derive(Serialize)]
struct Reply<'a> {
    path: String,
    host: &'a str,
    method: &'a str,
    proto: &'static str,
    headers: BTreeMap<String, Vec<String>>,
    #[serde(rename = "httpPort")]
    http_port: String,
    #[serde(flatten)]
    identity: &'a Identity,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a Session>,
}

// === impl Asked ===

impl Asked {
    /// The target as it was sent: path and query, with what came before them in absolute form.
    pub(crate) fn target(&self) -> String {
        let uri = &self.head.uri;
        match (self.head.version, uri.path_and_query()) {
            // In HTTP/2 scheme and authority are fields of their own.
            (Version::HTTP_2, Some(path)) => path.as_str().to_owned(),
            _ => uri.to_string(),
        }
    }

    /// A value of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.head.uri.query(), name)
    }

    /// The line of the log that the suite looks for.
    pub(crate) fn line(&self) -> String {
        format!("Echoing back request made to {} to client ({})", self.target(), self.client)
    }

    /// The echo.
    pub(crate) fn echo(&self, identity: &Identity, http_port: u16) -> Response<Full<Bytes>> {
        let headers = &self.head.headers;
        let host = headers.get(hyper::header::HOST).and_then(|host| host.to_str().ok());
        let reply = Reply {
            path: self.target(),
            host: self.head.uri.authority().map(|authority| authority.as_str()).or(host).unwrap_or_default(),
            method: self.head.method.as_str(),
            proto: match self.head.version {
                Version::HTTP_2 => "HTTP/2.0",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            headers: shown(headers),
            http_port: http_port.to_string(),
            identity,
            tls: self.session.as_ref(),
        };
        let body = serde_json::to_vec_pretty(&reply).unwrap_or_default();
        let mut response = Response::new(Full::from(body));
        set_wanted(headers, response.headers_mut());
        let types = [("content-type", "application/json"), ("x-content-type-options", "nosniff")];
        for (name, value) in types {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// A response without meaning beyond its status.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Headers with names as Go writes them. What Go takes out of the headers of a request is not among them.
fn shown(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if *name != hyper::header::HOST && *name != hyper::header::TRANSFER_ENCODING {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            shown.entry(canonical(name.as_str())).or_default().push(value);
        }
    }
    shown
}

/// `x-forwarded-for` becomes `X-Forwarded-For`.
fn canonical(name: &str) -> String {
    let mut begins = true;
    let letter = |letter: char| {
        let shown = if begins { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        begins = letter == '-';
        shown
    };
    name.chars().map(letter).collect()
}

/// Sets the headers that the request wants in the response: `X-Echo-Set-Header: A:1,B:2`. Values of one name are
/// joined by commas.
fn set_wanted(asked: &HeaderMap, response: &mut HeaderMap) {
    let lists = asked.get_all("x-echo-set-header").iter().filter_map(|list| list.to_str().ok());
    for wanted in lists.flat_map(|list| list.split(',')) {
        let (name, value) = wanted.trim().split_once(':').unwrap_or((wanted.trim(), ""));
        let Ok(name) = HeaderName::try_from(name) else { continue };
        let value = match response.get(&name).and_then(|before| before.to_str().ok()) {
            Some(before) => format!("{before},{}", value.trim()),
            None => value.trim().to_owned(),
        };
        if let Ok(value) = HeaderValue::try_from(value) {
            response.insert(name, value);
        }
    }
}
