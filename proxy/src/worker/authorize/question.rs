//! What a service is asked: a request like the one that is to be allowed, or a call that tells of it. Begun while the head of
//! the request is at hand, ended when its body is there.

use igw_crds::snapshot::AuthorizationProtocol;
use igw_h1::{Body, Known, RequestHead, Version};

use super::call::{self, Around};
use crate::clock;
use crate::tables::AuthorizationTables;
use crate::worker::Worker;
use crate::worker::client::Peer;
use crate::worker::request_head::field;
use crate::worker::wire;

/// A question whose body is not known yet: the head of a request, or fields of the message of a call.
pub(crate) struct Question {
    text: Vec<u8>,
}

/// What a question tells of its request.
pub(crate) struct Told<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) query: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) peer: &'a [u8],
    pub(crate) scheme: &'static str,
    pub(crate) is_http2: bool,
}

// === impl Question ===

impl Question {
    /// Begins a question.
    pub(crate) fn new(
        worker: &Worker,
        rules: &AuthorizationTables,
        buf: &[u8],
        head: &RequestHead,
        told: &Told<'_>,
    ) -> Self {
        let mut text = worker.scratch.take();
        match rules.protocol {
            AuthorizationProtocol::Grpc => begin_call(&mut text, rules, buf, head, told),
            _ => begin_request(&mut text, rules, buf, head, told),
        }
        Self { text }
    }

    /// The request that asks, head and body.
    pub(super) fn end(
        self,
        worker: &Worker,
        rules: &AuthorizationTables,
        client: &Peer,
        id: Option<&[u8]>,
        body: &[u8],
    ) -> Vec<u8> {
        let mut text = self.text;
        if rules.protocol != AuthorizationProtocol::Grpc {
            field(&mut text, b"content-length", body.len().to_string().as_bytes());
            text.extend_from_slice(b"\r\n");
            text.extend_from_slice(body);
            return text;
        }
        let own = worker.request_id();
        call::string(&mut text, 1, id.unwrap_or(&own));
        if !body.is_empty() {
            // Of two the last one counts.
            wire::number(&mut text, 9, body.len() as u64);
        }
        let around = Around {
            source: client.address,
            principal: client.tls.as_ref().and_then(|tls| tls.subject.as_deref()),
            destination: client.destination,
            time: clock::wall(),
        };
        let mut frame = worker.scratch.take();
        call::write(&mut frame, &around, &text, body);
        text.clear();
        text.extend_from_slice(b"POST ");
        text.extend_from_slice(call::PATH.as_bytes());
        text.extend_from_slice(b" HTTP/1.1\r\n");
        field(&mut text, b"host", rules.authority.as_bytes());
        field(&mut text, b"content-type", b"application/grpc");
        field(&mut text, b"content-length", frame.len().to_string().as_bytes());
        text.extend_from_slice(b"connection: te\r\nte: trailers\r\n\r\n");
        text.extend_from_slice(&frame);
        worker.scratch.give(frame);
        text
    }
}

/// Writes the head of a request, but for the length of its body.
fn begin_request(
    out: &mut Vec<u8>,
    rules: &AuthorizationTables,
    buf: &[u8],
    head: &RequestHead,
    told: &Told<'_>,
) {
    out.extend_from_slice(head.method.of(buf));
    out.push(b' ');
    out.extend_from_slice(rules.path_prefix.as_bytes());
    out.extend_from_slice(told.path);
    if !told.query.is_empty() {
        out.push(b'?');
        out.extend_from_slice(told.query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    field(out, b"host", told.host);
    for entry in head.fields.iter().filter(|entry| !entry.hop_by_hop && entry.known != Known::Underscored) {
        let name = entry.name.of(buf);
        let is_sent = name.eq_ignore_ascii_case(b"authorization")
            || rules.request_fields.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()));
        if is_sent && !is_ours(entry.known) {
            field(out, name, entry.value.of(buf));
        }
    }
    field(out, b"x-forwarded-for", told.peer);
    field(out, b"x-forwarded-proto", told.scheme.as_bytes());
    field(out, b"x-forwarded-host", told.host);
}

/// Writes the fields of an `AttributeContext.HttpRequest`, but for its id and what tells of the body.
fn begin_call(
    out: &mut Vec<u8>,
    rules: &AuthorizationTables,
    buf: &[u8],
    head: &RequestHead,
    told: &Told<'_>,
) {
    let method = head.method.of(buf);
    let mut target = told.path.to_vec();
    if !told.query.is_empty() {
        target.push(b'?');
        target.extend_from_slice(told.query);
    }
    call::string(out, 2, method);
    call::string(out, 4, &target);
    call::string(out, 5, told.host);
    wire::bytes(out, 6, told.scheme.as_bytes());
    let protocol = match (told.is_http2, head.version) {
        (true, _) => "HTTP/2",
        (false, Version::Http11) => "HTTP/1.1",
        (false, Version::Http10) => "HTTP/1.0",
    };
    wire::bytes(out, 10, protocol.as_bytes());
    let size = match head.body {
        Body::None => 0,
        Body::Length(length) => length,
        // Not known is -1.
        Body::Chunked | Body::UntilClose => u64::MAX,
    };
    wire::number(out, 9, size);
    let is_sent = |name: &str| {
        rules.request_fields.is_empty() || rules.request_fields.iter().any(|wanted| wanted == name)
    };
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in head.fields.iter().filter(|entry| !entry.hop_by_hop && entry.known != Known::Underscored) {
        let name = String::from_utf8_lossy(entry.name.of(buf)).to_ascii_lowercase();
        let (is_length, value) = (entry.known == Known::ContentLength, entry.value.of(buf));
        if !is_sent(&name) || (is_ours(entry.known) && !is_length) {
            continue;
        }
        // Fields of one name are one value.
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                values.extend_from_slice(if entry.known == Known::Cookie { b"; " } else { b"," });
                values.extend_from_slice(value);
            }
            None => fields.push((name, value.to_vec())),
        }
    }
    let ours: [(&str, &[u8]); 7] = [
        (":method", method),
        (":authority", told.host),
        (":path", &target),
        (":scheme", told.scheme.as_bytes()),
        ("x-forwarded-for", told.peer),
        ("x-forwarded-proto", told.scheme.as_bytes()),
        ("x-forwarded-host", told.host),
    ];
    for (name, value) in ours.into_iter().filter(|(name, _)| is_sent(name)) {
        call::header(out, name, value);
    }
    for (name, value) in &fields {
        call::header(out, name, value);
    }
}

/// Fields that the gateway writes into questions itself.
fn is_ours(known: Known) -> bool {
    matches!(
        known,
        Known::Host
            | Known::ContentLength
            | Known::XForwardedFor
            | Known::XForwardedProto
            | Known::XForwardedHost
    )
}
