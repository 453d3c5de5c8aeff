//! Asks another service whether a request may go on (ExternalAuth). Without a clear yes it does not: the client gets what
//! the service said, or that there was no answer.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::HeaderMap;
use igw_crds::snapshot::Settings;
use igw_h1::{Body, Known, Limits, RequestHead};

use super::Worker;
use super::client::Peer;
use super::exchange::{AttemptLimits, Failure, Progress};
use super::forward::{Downstream, Forwarded, forward};
use super::message::{BodyPiece, ClientSide, Piece, attempt};
use super::mirror::mirror;
use super::request::{Answer, Outcome, Passed, Request};
use super::request_head::field;
use super::timer::Timer;
use crate::metrics::authorizations::Authorized;
use crate::tables::{ActionTables, AuthorizationTables};
use crate::upstream::local::Leased;

/// The head of a question, made while the head of its request is at hand.
pub(crate) struct Question {
    head: Vec<u8>,
}

/// What a question tells of its request.
pub(crate) struct Told<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) query: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) peer: &'a [u8],
    pub(crate) scheme: &'static str,
}

/// The client of a question: it sends no body and keeps the answer.
struct Inquiry {
    answer: Heard,
    timer: Timer,
    peer: Peer,
}

#[derive(Default)]
struct Heard {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
}

/// Writes the question.
pub(crate) fn question(
    worker: &Worker,
    rules: &AuthorizationTables,
    buf: &[u8],
    head: &RequestHead,
    told: &Told<'_>,
) -> Question {
    let mut out = worker.scratch.take();
    out.extend_from_slice(head.method.of(buf));
    out.push(b' ');
    out.extend_from_slice(rules.path_prefix.as_bytes());
    out.extend_from_slice(told.path);
    if !told.query.is_empty() {
        out.push(b'?');
        out.extend_from_slice(told.query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    field(&mut out, b"host", told.host);
    for entry in head.fields.iter().filter(|entry| !entry.hop_by_hop && entry.known != Known::Underscored) {
        let name = entry.name.of(buf);
        let is_sent = name.eq_ignore_ascii_case(b"authorization")
            || rules.request_fields.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()));
        if is_sent && !is_ours(name) {
            field(&mut out, name, entry.value.of(buf));
        }
    }
    field(&mut out, b"x-forwarded-for", told.peer);
    field(&mut out, b"x-forwarded-proto", told.scheme.as_bytes());
    field(&mut out, b"x-forwarded-host", told.host);
    // Whatever body the request has stays here.
    out.extend_from_slice(b"content-length: 0\r\n\r\n");
    Question { head: out }
}

/// Asks, and lets the request take on what a yes says.
///
/// # Errors
/// The answer for the client, if the request does not go on.
pub(crate) async fn authorize(
    worker: &Rc<Worker>,
    client: &Peer,
    request: &mut Request,
    settings: &Settings,
    head_limits: &Limits,
) -> Result<(), Answer> {
    let question = request.extras.as_mut().and_then(|extras| extras.question.take());
    let Some(question) = question else { return Ok(()) };
    let tables = Rc::clone(&request.tables);
    let target = request.target.and_then(|target| {
        let port = tables.shared.ports.get(request.port).and_then(Option::as_deref)?;
        port.targets.get(target)
    });
    let rules = target.and_then(|target| target.rule.filters.authorization.as_ref());
    let (Some(target), Some(rules)) = (target, rules) else { return Err(unanswered()) };
    let local = worker.local(&rules.backend);
    let mut copied = request.copied(Rc::clone(&local));
    worker.scratch.give(std::mem::replace(&mut copied.head, question.head));
    (copied.body, copied.is_complete, copied.upgrade) = (Body::None, true, false);
    let mut inquiry = Inquiry {
        answer: Heard::default(),
        timer: worker.wheel.timer(),
        peer: Peer::new(client.address, client.destination),
    };
    let forwarded = forward(worker, &mut inquiry, &copied, &local, settings, head_limits).await;
    worker.scratch.give(copied.head);
    let heard = inquiry.answer;
    match forwarded {
        Forwarded::Answered(_) if heard.status == 200 => {
            worker.count_authorized(Authorized::Allowed);
            take_on(worker, &mut request.head, &heard.fields, rules);
        }
        Forwarded::Answered(_) => {
            worker.count_authorized(Authorized::Denied);
            let passed = Passed::new(&heard.fields, heard.body);
            return Err(Answer {
                passed: Some(Arc::new(passed)),
                ..Answer::new(heard.status, "auth_denied")
            });
        }
        Forwarded::Failed(..) | Forwarded::Broken(..) | Forwarded::Tunnel(..) => {
            worker.count_authorized(Authorized::Failed);
            return Err(unanswered());
        }
    }
    if matches!(request.outcome, Outcome::Forward(_)) {
        // Nobody gets a copy of what was not allowed.
        let of_candidate = match (&target.rule.action, request.candidate) {
            (ActionTables::Forward(candidates), Some(index)) => candidates.get(index),
            _ => None,
        };
        let mirrors = of_candidate.into_iter().flat_map(|candidate| &candidate.filters.mirrors);
        mirror(worker, client, request, target.rule.filters.mirrors.iter().chain(mirrors));
    }
    Ok(())
}

/// No word from the service: not a yes.
fn unanswered() -> Answer {
    Answer::new(503, "auth_failed")
}

/// Puts fields of a yes into the head of the request, in place of its own of the same names.
fn take_on(worker: &Worker, head: &mut Vec<u8>, fields: &HeaderMap, rules: &AuthorizationTables) {
    let is_taken = |name: &str| match rules.answer_fields.is_empty() {
        true => !is_of_answer(name),
        false => rules.answer_fields.iter().any(|wanted| wanted == name) && !is_framing(name),
    };
    let taken = || fields.iter().filter(|(name, _)| is_taken(name.as_str()));
    if taken().next().is_none() {
        return;
    }
    let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { return };
    let mut out = worker.scratch.take();
    let (text, rest) = head.split_at(end + 2);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_replaced = taken().any(|(taken, _)| name.eq_ignore_ascii_case(taken.as_str().as_bytes()));
        if !is_replaced {
            out.extend_from_slice(line);
        }
    }
    for (name, value) in taken() {
        field(&mut out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(rest);
    worker.scratch.give(std::mem::replace(head, out));
}

/// Fields that the gateway writes into questions itself.
fn is_ours(name: &[u8]) -> bool {
    const OURS: [&[u8]; 5] =
        [b"host", b"content-length", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"];
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// Fields that frame a message or choose who gets it.
fn is_framing(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "connection"
            | "content-length"
            | "transfer-encoding"
            | "upgrade"
            | "te"
            | "trailer"
            | "keep-alive"
    )
}

/// Fields that say something of the answer and nothing of the client.
fn is_of_answer(name: &str) -> bool {
    is_framing(name)
        || name.starts_with("content-")
        || matches!(name, "date" | "server" | "vary" | "set-cookie")
}

// === impl Inquiry ===

impl Downstream for Inquiry {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    async fn attempt(
        &mut self,
        worker: &Worker,
        request: &Request,
        leased: &mut Leased,
        limits: AttemptLimits<'_>,
        head_limits: &Limits,
    ) -> (Result<(), Failure>, Progress) {
        self.answer = Heard::default();
        let ended =
            attempt::run(worker, &mut self.answer, request, &self.timer, leased, limits, head_limits).await;
        (ended.outcome, ended.progress)
    }
}

impl ClientSide for Heard {
    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<BodyPiece, Failure>>> {
        Poll::Ready(None)
    }

    fn release(&mut self, _: usize) {}

    fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn give(&mut self, piece: Piece) -> Result<(), Failure> {
        match piece {
            Piece::Head { status, fields, .. } => (self.status, self.fields) = (status, fields),
            Piece::Data { bytes, .. } => {
                if self.body.len() + bytes.len() > BODY_BYTES {
                    return Err(Failure::ClientGone);
                }
                self.body.extend_from_slice(&bytes);
            }
            // A service that changes protocols has not said yes.
            Piece::Switch => return Err(Failure::ClientGone),
            Piece::Interim(..) | Piece::Trailers(_) | Piece::End => {}
        }
        Ok(())
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        // The request waits for the answer, within its own time.
        Poll::Pending
    }
}

/// Largest body of a refusal.
const BODY_BYTES: usize = 64 * 1024;
