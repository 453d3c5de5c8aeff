//! Writes the head of an answer to the client: the back end's, rewritten, or the gateway's own.

use std::io::Write;

use igw_h1::{Body, Known, ResponseHead, Version, encode};

use super::Worker;
use super::request::{Answer, Method, Request};
use super::request_head::{field, is_framing};

/// How the body of an answer is framed towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As it came: no body, or a length.
    Same,
    /// In chunks of ours.
    Chunked,
    /// Ends with the connection.
    UntilClose,
}

/// Framing of the back end's answer towards this client.
pub(crate) fn framing(body: Body, version: Version) -> Framing {
    match (body, version) {
        (Body::None | Body::Length(_), _) => Framing::Same,
        (Body::Chunked | Body::UntilClose, Version::Http11) => Framing::Chunked,
        (Body::Chunked | Body::UntilClose, Version::Http10) => Framing::UntilClose,
    }
}

/// Appends the head of a final answer of the back end.
pub(crate) fn write_response(
    worker: &Worker,
    out: &mut Vec<u8>,
    buf: &[u8],
    head: &ResponseHead,
    request: &Request,
    keep_alive: bool,
) {
    status_line(out, head.status, head.reason.of(buf));
    let rule_edits = request.target_tables().map_or(&[][..], |target| &target.rule.filters.response);
    let candidate_edits = request.candidate_filters().map_or(&[][..], |filters| &filters.response);
    // A HEAD or 304 answer tells the length of a body that is not there.
    let tells_length = head.body == Body::None && (request.method == Method::Head || head.status == 304);
    let is_forwarded = |known: Known, hop_by_hop: bool| match known {
        Known::ContentLength => tells_length,
        Known::Connection
        | Known::TransferEncoding
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::Te
        | Known::Upgrade => false,
        _ => !hop_by_hop,
    };
    if rule_edits.is_empty() && candidate_edits.is_empty() {
        for entry in &head.fields {
            if is_forwarded(entry.known, entry.hop_by_hop) {
                field(out, entry.name.of(buf), entry.value.of(buf));
            }
        }
    } else {
        let mut list = worker.scratch.headers();
        list.clear();
        for entry in &head.fields {
            if is_forwarded(entry.known, entry.hop_by_hop) {
                list.push(entry.name.of(buf), entry.value.of(buf));
            }
        }
        for edit in candidate_edits.iter().chain(rule_edits) {
            list.apply(edit);
        }
        for (name, value) in list.iter() {
            if !is_framing(name) || (tells_length && name.eq_ignore_ascii_case(b"content-length")) {
                field(out, name, value);
            }
        }
    }
    match (head.body, framing(head.body, request.version)) {
        (Body::Length(length), _) => content_length(out, length),
        (_, Framing::Chunked) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    connection(out, request.version, keep_alive);
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim answer (1xx) or the answer that switches protocols (101).
pub(crate) fn write_interim(out: &mut Vec<u8>, buf: &[u8], head: &ResponseHead) {
    status_line(out, head.status, head.reason.of(buf));
    for entry in &head.fields {
        if !entry.hop_by_hop && !matches!(entry.known, Known::ContentLength | Known::TransferEncoding) {
            field(out, entry.name.of(buf), entry.value.of(buf));
        }
    }
    if head.status == 101 {
        field(out, b"connection", b"upgrade");
        if let Some(upgrade) = head.upgrade {
            field(out, b"upgrade", upgrade.of(buf));
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an answer of the gateway itself, body and all.
pub(crate) fn write_answer(
    worker: &Worker,
    out: &mut Vec<u8>,
    request: &Request,
    answer: &Answer,
    keep_alive: bool,
) {
    let reason = encode::reason(answer.status);
    let cause = answer.cause.as_str();
    status_line(out, answer.status, reason.as_bytes());
    let mut list = worker.scratch.headers();
    list.clear();
    let has_body = !matches!(answer.status, 100..=199 | 204 | 304);
    if has_body {
        list.push(b"content-type", b"text/plain; charset=utf-8");
    }
    worker.with_date(|date| list.push(b"date", date));
    if let Some(location) = &answer.location {
        list.push(b"location", location);
    } else {
        list.push(b"igw-cause", cause.as_bytes());
    }
    if answer.status == 503 {
        list.push(b"retry-after", b"1");
    }
    let rule_edits = request.target_tables().map_or(&[][..], |target| &target.rule.filters.response);
    let candidate_edits = request.candidate_filters().map_or(&[][..], |filters| &filters.response);
    for edit in candidate_edits.iter().chain(rule_edits) {
        list.apply(edit);
    }
    for (name, value) in list.iter().filter(|(name, _)| !is_framing(name)) {
        field(out, name, value);
    }
    drop(list);
    let n_body = 3 + 1 + reason.len() + 2 + cause.len() + 1;
    if has_body {
        content_length(out, n_body as u64);
    }
    connection(out, request.version, keep_alive);
    out.extend_from_slice(b"\r\n");
    if has_body && request.method != Method::Head {
        // Writing to a vector cannot fail.
        let _ = writeln!(out, "{} {reason}: {cause}", answer.status);
    }
}

fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    let digits =
        [b'0' + (status / 100 % 10) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8];
    out.extend_from_slice(&digits);
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "content-length: {length}\r\n");
}

fn connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (keep_alive, version) {
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
}
