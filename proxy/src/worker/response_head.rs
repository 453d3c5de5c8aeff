//! Writes the head of an answer to the client: the back end's, rewritten, or the gateway's own.

use std::cell::Ref;
use std::io::Write;

use igw_h1::{Body, Known, ResponseHead, Version, encode};

use super::Worker;
use super::cors;
use super::request::{Answer, AnswerField, Method, Request};
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

/// Fields that the gateway alone says: those of back ends by the same names are dropped.
struct Ours<'r> {
    hsts: Option<&'r [u8]>,
    cors: Option<&'r [u8]>,
    /// Name and value.
    session: Option<(&'r [u8], Ref<'r, Vec<u8>>)>,
    /// What who was asked says to the client.
    others: &'r [AnswerField],
    is_secure: bool,
}

// === impl Ours ===

impl<'r> Ours<'r> {
    fn of(request: &'r Request) -> Self {
        let extras = request.extras.as_ref();
        let session = extras.and_then(|extras| {
            let rule = request.target_tables()?.rule.session.as_ref()?;
            let value = extras.session_field.borrow();
            (!value.is_empty()).then_some((rule.field(), value))
        });
        Self {
            hsts: request.hsts(),
            cors: request.cors.as_deref(),
            session,
            others: extras.map_or(&[], |extras| &extras.answer_fields),
            is_secure: request.is_secure,
        }
    }

    fn contains(&self, name: &[u8]) -> bool {
        (self.hsts.is_some() && name.eq_ignore_ascii_case(HSTS))
            || (self.cors.is_some() && cors::is_field(name))
            || self.others.iter().any(|other| other.is_alone && name.eq_ignore_ascii_case(&other.name))
    }

    fn tell(&self, mut each: impl FnMut(&[u8], &[u8])) {
        for (name, value) in self.cors.into_iter().flat_map(cors::fields) {
            each(name, value);
        }
        if let Some(value) = self.hsts.filter(|_| self.is_secure) {
            each(HSTS, value);
        }
        if let Some((name, value)) = &self.session {
            each(name, value);
        }
        for other in self.others {
            each(&other.name, &other.value);
        }
    }
}

/// Framing of the back end's answer towards this client.
pub(crate) fn framing(body: Body, version: Version) -> Framing {
    match (body, version) {
        (Body::None | Body::Length(_), _) => Framing::Same,
        (Body::Chunked | Body::UntilClose, Version::Http11) => Framing::Chunked,
        (Body::Chunked | Body::UntilClose, Version::Http10) => Framing::UntilClose,
    }
}

/// Whether an answer tells the length of a body that is not there: to HEAD, or 304.
pub(crate) fn tells_length(body: Body, status: u16, request: &Request) -> bool {
    body == Body::None && (request.method == Method::Head || status == 304)
}

/// The fields of an answer of the back end, after the edits of the rule.
pub(crate) fn response_fields<'f>(
    worker: &Worker,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8], Known, bool)>,
    request: &Request,
    tells_length: bool,
    mut each: impl FnMut(&[u8], &[u8]),
) {
    let rule_edits = request.target_tables().map_or(&[][..], |target| &target.rule.filters.response);
    let candidate_edits = request.candidate_filters().map_or(&[][..], |filters| &filters.response);
    let fields = fields.filter(|(_, _, known, hop_by_hop)| match known {
        Known::ContentLength => tells_length,
        Known::Connection
        | Known::TransferEncoding
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::Te
        | Known::Upgrade => false,
        _ => !hop_by_hop,
    });
    if request.is_copy {
        // Not the client's answer: what the rule says of that changes nothing here.
        fields.for_each(|(name, value, _, _)| each(name, value));
        return;
    }
    let ours = Ours::of(request);
    if rule_edits.is_empty() && candidate_edits.is_empty() {
        for (name, value, _, _) in fields.filter(|(name, ..)| !ours.contains(name)) {
            each(name, value);
        }
        ours.tell(each);
        return;
    }
    let mut list = worker.scratch.headers();
    list.clear();
    for (name, value, _, _) in fields {
        list.push(name, value);
    }
    for edit in candidate_edits.iter().chain(rule_edits) {
        list.apply(edit);
    }
    for (name, value) in list.iter().filter(|(name, _)| !ours.contains(name)) {
        if !is_framing(name) || (tells_length && name.eq_ignore_ascii_case(b"content-length")) {
            each(name, value);
        }
    }
    ours.tell(each);
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
    let fields = head
        .fields
        .iter()
        .map(|entry| (entry.name.of(buf), entry.value.of(buf), entry.known, entry.hop_by_hop));
    let tells_length = tells_length(head.body, head.status, request);
    response_fields(worker, fields, request, tells_length, |name, value| field(out, name, value));
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

/// The fields of an answer of the gateway itself, but for those that frame it.
pub(crate) fn answer_fields(
    worker: &Worker,
    request: &Request,
    answer: &Answer,
    mut each: impl FnMut(&[u8], &[u8]),
) {
    let mut list = worker.scratch.headers();
    list.clear();
    if let Some(passed) = &answer.passed {
        for (name, value) in &passed.fields {
            list.push(name, value);
        }
    } else if has_body(answer) {
        list.push(b"content-type", b"text/plain; charset=utf-8");
    }
    if answer.passed.is_none() {
        worker.with_date(|date| list.push(b"date", date));
    }
    if let Some(location) = &answer.location {
        list.push(b"location", location);
    } else {
        list.push(b"igw-cause", answer.cause.as_str().as_bytes());
    }
    if answer.status == 503 && answer.passed.is_none() {
        list.push(b"retry-after", b"1");
    }
    let rule_edits = request.target_tables().map_or(&[][..], |target| &target.rule.filters.response);
    let candidate_edits = request.candidate_filters().map_or(&[][..], |filters| &filters.response);
    for edit in candidate_edits.iter().chain(rule_edits) {
        list.apply(edit);
    }
    // The endpoint did not answer: no session with it.
    let ours = Ours { session: None, ..Ours::of(request) };
    for (name, value) in list.iter().filter(|(name, _)| !is_framing(name) && !ours.contains(name)) {
        each(name, value);
    }
    ours.tell(each);
}

/// Appends the body of an answer of the gateway itself; false if it has none.
pub(crate) fn answer_body(out: &mut Vec<u8>, answer: &Answer) -> bool {
    if let Some(passed) = &answer.passed {
        out.extend_from_slice(&passed.body);
    } else if let Some(body) = &answer.body {
        out.extend_from_slice(body.as_bytes());
    } else if has_body(answer) {
        // Writing to a vector cannot fail.
        let _ =
            writeln!(out, "{} {}: {}", answer.status, encode::reason(answer.status), answer.cause.as_str());
    }
    has_body(answer)
}

/// The fields of an answer of the gateway itself to a call of gRPC: its status tells, and there is nothing else
/// (gRPC over HTTP/2, Trailers-Only).
pub(crate) fn grpc_fields(answer: &Answer, mut each: impl FnMut(&[u8], &[u8])) {
    let (code, name) = match answer.status {
        404 => ("12", "UNIMPLEMENTED"),
        400 | 431 | 501 | 505 => ("13", "INTERNAL"),
        401 => ("16", "UNAUTHENTICATED"),
        403 => ("7", "PERMISSION_DENIED"),
        408 | 504 => ("4", "DEADLINE_EXCEEDED"),
        413 | 414 | 429 => ("8", "RESOURCE_EXHAUSTED"),
        _ => ("14", "UNAVAILABLE"),
    };
    each(b"content-type", b"application/grpc");
    each(b"grpc-status", code.as_bytes());
    each(b"grpc-message", format!("{name}: {}", answer.cause.as_str()).as_bytes());
    each(b"igw-cause", answer.cause.as_str().as_bytes());
}

fn has_body(answer: &Answer) -> bool {
    !matches!(answer.status, 100..=199 | 204 | 304)
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
    status_line(out, answer.status, reason.as_bytes());
    answer_fields(worker, request, answer, |name, value| field(out, name, value));
    if has_body(answer) {
        let n_words = 3 + 1 + reason.len() + 2 + answer.cause.as_str().len() + 1;
        let n_body = match (&answer.passed, &answer.body) {
            (Some(passed), _) => passed.body.len(),
            (None, Some(body)) => body.len(),
            (None, None) => n_words,
        };
        content_length(out, n_body as u64);
    }
    connection(out, request.version, keep_alive);
    out.extend_from_slice(b"\r\n");
    if request.method != Method::Head {
        answer_body(out, answer);
    }
}

/// Appends a status line.
pub(crate) fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    let digits =
        [b'0' + (status / 100 % 10) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8];
    out.extend_from_slice(&digits);
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    encode::decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends what is said of the connection.
pub(crate) fn connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (keep_alive, version) {
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
}

/// Tells browsers to come over TLS alone (RFC 6797); never said without it.
pub(crate) const HSTS: &[u8] = b"strict-transport-security";
