//! Writes the head of the request to the back end. Always from the parsed form, never raw bytes.

use igw_crds::snapshot::HeaderEdit;
use igw_h1::{Body, Field, Known, RequestHead, encode};

use super::Worker;
use super::trace::{self, Trace};

/// What the gateway says about the request besides its fields.
pub(crate) struct Forwarded<'a> {
    /// Path after normalisation and rewrite.
    pub(crate) path: &'a [u8],
    /// Host for the back end.
    pub(crate) host: &'a [u8],
    /// Host that the client asked for.
    pub(crate) original_host: &'a [u8],
    /// Address of the client.
    pub(crate) peer: &'a [u8],
    /// Scheme of the request.
    pub(crate) scheme: &'static str,
    /// Port of the listener.
    pub(crate) port: u16,
    /// What the client says of others is believed.
    pub(crate) is_trusted: bool,
    /// Field that tells the subject of the client's certificate, and the subject if there is one.
    pub(crate) subject: Option<(&'a [u8], Option<&'a [u8]>)>,
    /// Where the request stands in its trace, if the gateway has traces.
    pub(crate) trace: Option<&'a Trace>,
    /// Header edits of the rule, then of the backendRef.
    pub(crate) edits: [&'a [HeaderEdit]; 2],
}

/// Appends the head to `out`.
pub(crate) fn write_request(
    worker: &Worker,
    out: &mut Vec<u8>,
    buf: &[u8],
    head: &RequestHead,
    forwarded: &Forwarded<'_>,
) {
    out.extend_from_slice(head.method.of(buf));
    out.push(b' ');
    out.extend_from_slice(forwarded.path);
    if let Some(query) = head.target.query {
        out.push(b'?');
        out.extend_from_slice(query.of(buf));
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    field(out, b"host", forwarded.host);
    let id = worker.request_id();
    let mut port = [0; 5];
    let port = decimal(&mut port, forwarded.port);
    let chain = forwarded.is_trusted.then(|| chain(worker, buf, head, forwarded.peer));
    let believed = |known: Known| {
        let said = head.fields.iter().find(|entry| entry.known == known && !entry.hop_by_hop);
        said.filter(|_| forwarded.is_trusted).map(|entry| entry.value.of(buf))
    };
    let identity: [(&[u8], &[u8]); 5] = [
        (b"x-forwarded-for", chain.as_deref().unwrap_or(forwarded.peer)),
        (b"x-forwarded-proto", believed(Known::XForwardedProto).unwrap_or(forwarded.scheme.as_bytes())),
        (b"x-forwarded-host", believed(Known::XForwardedHost).unwrap_or(forwarded.original_host)),
        (b"x-forwarded-port", believed(Known::XForwardedPort).unwrap_or(port)),
        (b"x-request-id", believed(Known::XRequestId).unwrap_or(&id)),
    ];
    let subject = forwarded.subject.and_then(|(name, subject)| Some((name, subject?)));
    let parent = forwarded.trace.map(Trace::parent);
    let traced = forwarded.trace.zip(parent.as_ref());
    let traced = || traced.into_iter().flat_map(|(trace, parent)| trace.fields(parent));
    let identity = || identity.into_iter().chain(subject).chain(traced());
    let is_passed = |entry: &&Field| {
        let is_subject =
            || forwarded.subject.is_some_and(|(name, _)| entry.name.of(buf).eq_ignore_ascii_case(name));
        let is_replaced = || forwarded.trace.is_some() && trace::is_field(entry.name.of(buf));
        is_forwarded(entry.known, entry.hop_by_hop, forwarded.is_trusted) && !is_subject() && !is_replaced()
    };
    if forwarded.edits.iter().all(|edits| edits.is_empty()) {
        for entry in head.fields.iter().filter(is_passed) {
            field(out, entry.name.of(buf), entry.value.of(buf));
        }
        for (name, value) in identity() {
            field(out, name, value);
        }
    } else {
        let mut list = worker.scratch.headers();
        list.clear();
        for entry in head.fields.iter().filter(is_passed) {
            list.push(entry.name.of(buf), entry.value.of(buf));
        }
        for (name, value) in identity() {
            list.push(name, value);
        }
        for edit in forwarded.edits.into_iter().flatten() {
            list.apply(edit);
        }
        for (name, value) in list.iter().filter(|(name, _)| !is_framing(name)) {
            field(out, name, value);
        }
    }
    if let Some(chain) = chain {
        worker.scratch.give(chain);
    }
    match head.body {
        Body::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            encode::decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Body::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Body::None | Body::UntilClose => {}
    }
    if head.expect_continue {
        out.extend_from_slice(b"expect: 100-continue\r\n");
    }
    match head.upgrade {
        Some(upgrade) => {
            field(out, b"connection", b"upgrade");
            field(out, b"upgrade", upgrade.of(buf));
        }
        None if head.te_trailers => out.extend_from_slice(b"connection: te\r\nte: trailers\r\n"),
        None => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// The addresses that a trusted client tells of, and its own behind them.
fn chain(worker: &Worker, buf: &[u8], head: &RequestHead, peer: &[u8]) -> Vec<u8> {
    let mut chain = worker.scratch.take();
    let said = head.fields.iter().filter(|entry| entry.known == Known::XForwardedFor && !entry.hop_by_hop);
    for entry in said.filter(|entry| !entry.value.of(buf).is_empty()) {
        chain.extend_from_slice(entry.value.of(buf));
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(peer);
    chain
}

/// Appends one field.
pub(crate) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Fields that frame or route a message are written by the engine alone, whatever an edit says.
pub(crate) fn is_framing(name: &[u8]) -> bool {
    const FRAMING: [&[u8]; 6] =
        [b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te"];
    FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing))
}

/// What the client says about itself or others is not believed unless it is trusted; the gateway says it anew.
fn is_forwarded(known: Known, hop_by_hop: bool, is_trusted: bool) -> bool {
    if matches!(known, Known::Forwarded | Known::XForwardedOther | Known::XRealIp) {
        return is_trusted && !hop_by_hop;
    }
    !hop_by_hop
        && !matches!(
            known,
            Known::Host
                | Known::Connection
                | Known::ContentLength
                | Known::TransferEncoding
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::Te
                | Known::Upgrade
                | Known::Expect
                | Known::XForwardedFor
                | Known::XForwardedProto
                | Known::XForwardedHost
                | Known::XForwardedPort
                | Known::XRequestId
                | Known::Proxy
                | Known::Underscored
        )
}

fn decimal(digits: &mut [u8; 5], mut value: u16) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[start..];
        }
    }
}
