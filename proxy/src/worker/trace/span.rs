//! Spans as a collector reads them (OTLP 1): messages of Protocol Buffers. Attributes have the names of OpenTelemetry's
//! semantic conventions for servers of HTTP; those that only igw has begin with `igw.`.

use std::borrow::Cow;
use std::time::Duration;

use igw_crds::snapshot::{AttributeValue, Tracing};
use igw_h1::Version;

use super::{Seen, TOLD, Trace};
use crate::worker::client::Peer;
use crate::worker::wire;

/// What is kept of a request until its span is told.
pub(super) struct Draft {
    /// What the request is a part of.
    parent: Option<[u8; 8]>,
    method: Vec<u8>,
    host: Vec<u8>,
    path: Vec<u8>,
    agent: Vec<u8>,
    client: String,
    scheme: &'static str,
    version: &'static str,
    /// Values of the policy's attributes that are fields, by attribute.
    fields: Vec<Option<Vec<u8>>>,
}

/// How a request ended.
pub(super) struct End<'a> {
    /// Since the epoch.
    pub(super) ended: Duration,
    pub(super) took: Duration,
    pub(super) port: u16,
    pub(super) status: u16,
    pub(super) cause: &'a str,
    pub(super) n_retries: u32,
    pub(super) gateway: &'a str,
    pub(super) listener: &'a str,
    pub(super) route: &'a str,
    pub(super) rule: &'a str,
    pub(super) backend: &'a str,
    pub(super) endpoint: &'a str,
}

/// The value of an attribute.
#[derive(Clone)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
}

// === impl Draft ===

impl Draft {
    pub(super) fn new(rules: &Tracing, client: &Peer, seen: &Seen<'_>, parent: Option<[u8; 8]>) -> Self {
        let field = |name: &str| seen.head.field(seen.buf, name).next().map(|value| cut(value).to_vec());
        let of_policy = rules.attributes.iter().map(|(_, value)| match value {
            AttributeValue::Field(name) => field(name),
            AttributeValue::Literal(_) | AttributeValue::Attribute(_) => None,
        });
        Self {
            parent,
            method: cut(seen.head.method.of(seen.buf)).to_vec(),
            host: cut(seen.host).to_vec(),
            path: cut(seen.path).to_vec(),
            agent: field("user-agent").unwrap_or_default(),
            client: client.text.clone(),
            scheme: client.scheme(),
            version: match (client.is_http2, seen.head.version) {
                (true, _) => "2",
                (false, Version::Http11) => "1.1",
                (false, Version::Http10) => "1.0",
            },
            fields: of_policy.collect(),
        }
    }

    /// Appends a span, as a field of its scope.
    pub(super) fn write(&self, out: &mut Vec<u8>, rules: &Tracing, trace: &Trace, end: &End<'_>) {
        let method = String::from_utf8_lossy(&self.method);
        let is_known = METHODS.contains(&&*method);
        let name = match &rules.span {
            Some(name) => name,
            None if is_known => &*method,
            None => "HTTP",
        };
        let mut span = Vec::with_capacity(512);
        wire::bytes(&mut span, 1, &trace.id);
        wire::bytes(&mut span, 2, &trace.span);
        if !trace.state.is_empty() {
            wire::bytes(&mut span, 3, String::from_utf8_lossy(&trace.state).as_bytes());
        }
        if let Some(parent) = &self.parent {
            wire::bytes(&mut span, 4, parent);
        }
        wire::bytes(&mut span, 5, name.as_bytes());
        wire::number(&mut span, 6, KIND_SERVER);
        wire::fixed64(&mut span, 7, nanoseconds(end.ended.saturating_sub(end.took)));
        wire::fixed64(&mut span, 8, nanoseconds(end.ended));
        for (name, value) in self.attributes(rules, &method, is_known, end) {
            wire::bytes(&mut span, 9, &attribute(name, &value));
        }
        if is_error(end.status) {
            let mut status = Vec::new();
            wire::number(&mut status, 3, STATUS_ERROR);
            wire::bytes(&mut span, 15, &status);
        }
        let of_parent =
            if self.parent.is_some() { PARENT_IS_KNOWN | PARENT_IS_REMOTE } else { PARENT_IS_KNOWN };
        wire::fixed32(&mut span, 16, u32::from(trace.flags | TOLD) | of_parent);
        wire::bytes(out, 2, &span);
    }

    /// What a span says, each name once: of two the policy's counts.
    fn attributes<'a>(
        &'a self,
        rules: &'a Tracing,
        method: &'a str,
        is_known: bool,
        end: &'a End<'_>,
    ) -> Vec<(&'a str, Value<'a>)> {
        let mut said: Vec<(&str, Value<'_>)> = Vec::with_capacity(20 + rules.attributes.len());
        let texts: [(&str, Cow<'_, str>); 16] = [
            ("http.request.method", if is_known { method.into() } else { "_OTHER".into() }),
            ("http.request.method_original", if is_known { "".into() } else { method.into() }),
            ("url.scheme", self.scheme.into()),
            ("url.path", text(&self.path)),
            ("server.address", text(&self.host)),
            ("client.address", self.client.as_str().into()),
            ("network.protocol.name", "http".into()),
            ("network.protocol.version", self.version.into()),
            ("user_agent.original", text(&self.agent)),
            ("error.type", error(end)),
            ("igw.gateway", end.gateway.into()),
            ("igw.listener", end.listener.into()),
            ("igw.route", end.route.into()),
            ("igw.rule", end.rule.into()),
            ("igw.backend", end.backend.into()),
            ("igw.endpoint", end.endpoint.into()),
        ];
        said.extend(
            texts
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(name, text)| (name, Value::Text(text))),
        );
        let numbers = [
            ("server.port", u64::from(end.port)),
            ("http.response.status_code", end.status.into()),
            ("http.request.resend_count", end.n_retries.into()),
        ];
        said.extend(
            numbers
                .into_iter()
                .filter(|(_, number)| *number > 0)
                .map(|(name, number)| (name, Value::Number(number))),
        );
        if !end.cause.is_empty() {
            said.push(("igw.cause", Value::Text(end.cause.into())));
        }
        let n_own = said.len();
        for ((name, source), field) in rules.attributes.iter().zip(&self.fields) {
            let value = match source {
                AttributeValue::Literal(literal) => Some(Value::Text(literal.as_str().into())),
                AttributeValue::Field(_) => field.as_ref().map(|value| Value::Text(text(value))),
                AttributeValue::Attribute(other) => {
                    let own = said.iter().take(n_own);
                    own.clone().find(|(name, _)| name == other).map(|(_, value)| value.clone())
                }
            };
            said.extend(value.map(|value| (name.as_str(), value)));
        }
        let of_policy: Vec<&str> = said.iter().skip(n_own).map(|(name, _)| *name).collect();
        let mut place = 0;
        said.retain(|(name, _)| {
            place += 1;
            place > n_own || !of_policy.contains(name)
        });
        said
    }
}

/// The head of a request to a collector: everything before its spans, which follow as they were written.
pub(super) fn envelope(service: &str, n_spans_bytes: usize) -> Vec<u8> {
    let mut resource = Vec::new();
    wire::bytes(&mut resource, 1, &attribute("service.name", &Value::Text(service.into())));
    let mut scope = Vec::new();
    wire::bytes(&mut scope, 1, b"igw");
    wire::bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
    let mut of_scope = Vec::new();
    wire::bytes(&mut of_scope, 1, &scope);
    let mut of_resource = Vec::new();
    wire::bytes(&mut of_resource, 1, &resource);
    wire::begin(&mut of_resource, 2, of_scope.len() + n_spans_bytes);
    of_resource.extend_from_slice(&of_scope);
    let mut request = Vec::new();
    wire::begin(&mut request, 1, of_resource.len() + n_spans_bytes);
    request.extend_from_slice(&of_resource);
    request
}

/// Spans that a collector says it refused.
pub(super) fn n_refused(answer: &[u8]) -> u64 {
    let first = |message| match wire::Fields::of(message).next() {
        Some(Ok((1, value))) => Some(value),
        _ => None,
    };
    match first(answer) {
        Some(wire::Value::Bytes(partly)) => match first(partly) {
            Some(wire::Value::Number(number)) => number,
            _ => 0,
        },
        _ => 0,
    }
}

fn attribute(name: &str, value: &Value<'_>) -> Vec<u8> {
    let mut any = Vec::new();
    match value {
        Value::Text(text) => wire::bytes(&mut any, 1, text.as_bytes()),
        Value::Number(number) => wire::number(&mut any, 3, *number),
    }
    let mut pair = Vec::with_capacity(name.len() + any.len() + 8);
    wire::bytes(&mut pair, 1, name.as_bytes());
    wire::bytes(&mut pair, 2, &any);
    pair
}

/// Answers of 5xx and none at all are errors of a server.
fn is_error(status: u16) -> bool {
    status == 0 || status >= 500
}

fn error<'a>(end: &End<'a>) -> Cow<'a, str> {
    match end.status {
        status if !is_error(status) => "".into(),
        _ if !end.cause.is_empty() => end.cause.into(),
        status => status.to_string().into(),
    }
}

/// Text of bytes; those that are no UTF-8 are replaced.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn cut(bytes: &[u8]) -> &[u8] {
    bytes.get(..TEXT_BYTES).unwrap_or(bytes)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Methods that are told by name (RFC 9110 9, RFC 5789).
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// Longest text that a span tells of a request, in bytes.
const TEXT_BYTES: usize = 1_024;
/// `SPAN_KIND_SERVER`.
const KIND_SERVER: u64 = 2;
/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: u64 = 2;
/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`.
const PARENT_IS_KNOWN: u32 = 0x100;
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`.
const PARENT_IS_REMOTE: u32 = 0x200;
