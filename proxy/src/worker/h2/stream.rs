//! One request of an HTTP/2 connection from its head to its end.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use igw_crds::snapshot::Settings;
use igw_h1::{Limits, Parsed};

use super::head::{self, Refusal, Rest};
use super::servers::Job;
use super::{Http2Connection, tunnel};
use crate::upstream::local::Leased;
use crate::worker::Worker;
use crate::worker::authorize::body::{NotKept, Whole, receive};
use crate::worker::authorize::{Stopped, Uploader, authorize};
use crate::worker::client::Peer;
use crate::worker::connection::Policy;
use crate::worker::decide::{decide, refuse};
use crate::worker::exchange::{AttemptLimits, Failure, Progress};
use crate::worker::forward::{Downstream, End, Forwarded, forward};
use crate::worker::message::http2_client::Http2Client;
use crate::worker::message::{ClientSide as _, Piece, attempt, fields};
use crate::worker::request::{Answer, Method, Outcome, Request};
use crate::worker::response_head::{HSTS, answer_body, answer_fields, grpc_fields};
use crate::worker::timer::Timer;

/// The client's stream with its clock.
pub(crate) struct Stream<'t> {
    client: Http2Client,
    timer: &'t Timer,
    peer: Rc<Peer>,
    /// What an endpoint sent behind the answer that switched protocols.
    pub(super) behind: Vec<u8>,
}

/// A stream whose head was read.
pub(crate) struct Begun<'t> {
    connection: Rc<Http2Connection>,
    policy: Rc<Policy>,
    stream: Stream<'t>,
    request: Request,
}

// === impl Begun ===

impl<'t> Begun<'t> {
    /// Reads the head. Apart from the rest, which carries no room for what comes in pieces that are large.
    pub(crate) fn new(job: Job, timer: &'t Timer) -> Self {
        let Job { connection, request, respond } = job;
        let policy = connection.policy();
        let rest = if request.body().is_end_stream() { Rest::Ended } else { Rest::Open };
        let decided = decide_head(&connection, &policy, &request, rest);
        let stream = Stream {
            client: Http2Client::new(request.into_body(), rest == Rest::Ended, respond),
            timer,
            peer: Rc::clone(&connection.peer),
            behind: Vec::new(),
        };
        Self { connection, policy, stream, request: decided }
    }

    /// Serves the request.
    pub(crate) async fn serve(&mut self) {
        let Self { connection, policy, stream, request } = self;
        let was_abandoned = handle(connection, policy, stream, request).await;
        stream.timer.set(None);
        connection.stream_ended(was_abandoned);
    }
}

fn decide_head(
    connection: &Http2Connection,
    policy: &Policy,
    request: &http::Request<RecvStream>,
    rest: Rest,
) -> Request {
    let (worker, port) = (&connection.worker, connection.port);
    let mut text = worker.scratch.take();
    let key = |out: &mut Vec<u8>| {
        let bits = [worker.random.next().to_ne_bytes(), worker.random.next().to_ne_bytes()].concat();
        out.extend_from_slice(STANDARD.encode(bits).as_bytes());
    };
    let written = head::write(&mut text, request, rest, key);
    let decided = match written {
        Err(Refusal::Malformed) => refuse(worker, &connection.peer, port, 400),
        Err(Refusal::Connect) => refuse(worker, &connection.peer, port, 501),
        Ok(()) => {
            let mut parsed = worker.scratch.request();
            match parsed.parse(&text, &policy.head) {
                Ok(Parsed::Complete { .. }) => decide(worker, &connection.peer, port, &text, &parsed, &[]).0,
                Ok(Parsed::Partial) => refuse(worker, &connection.peer, port, 431),
                Err(error) => refuse(worker, &connection.peer, port, error.status()),
            }
        }
    };
    worker.scratch.give(text);
    decided
}

/// Forwards or answers; true if the client gave up before it had an answer.
async fn handle(
    connection: &Http2Connection,
    policy: &Policy,
    stream: &mut Stream<'_>,
    request: &mut Request,
) -> bool {
    let worker = &connection.worker;
    if request.is_open() {
        let asking = Box::pin(authorize(worker, stream, request, &policy.settings, &policy.head));
        match asking.await {
            Ok(()) => {}
            Err(Stopped::Answer(given, end)) => return answer(worker, stream, request, &given, end),
            Err(Stopped::Gone(failure)) => {
                request.finish(worker, End::default().facts(0, Some(failure.cause())));
                stream.client.reset(Reason::CANCEL);
                return true;
            }
        }
    }
    let local = match &request.outcome {
        Outcome::Answer(given) => {
            let given = given.clone();
            return answer(worker, stream, request, &given, End::default());
        }
        Outcome::Forward(local) => Rc::clone(local),
    };
    match forward(worker, stream, request, &local, &policy.settings, &policy.head).await {
        Forwarded::Answered(end) => {
            request.finish(worker, end.facts(end.progress.status, None));
            false
        }
        Forwarded::Failed(given, end) => answer(worker, stream, request, &given, end),
        Forwarded::Tunnel(lease, mut end) => {
            let limit = Duration::from_millis(policy.settings.tunnel_idle_ms);
            let moved = tunnel::run(worker, stream, lease, limit).await;
            end.progress.bytes_in += moved.0;
            end.progress.bytes_out += moved.1;
            request.finish(worker, end.facts(101, None));
            false
        }
        Forwarded::Broken(failure, end) => {
            let status = if end.progress.is_answered { end.progress.status } else { 0 };
            let is_gone = failure == Failure::ClientGone;
            request.finish(worker, end.facts(status, Some(failure.cause())));
            stream.client.reset(if is_gone { Reason::CANCEL } else { Reason::INTERNAL_ERROR });
            is_gone && !end.progress.is_answered
        }
    }
}

/// Sends an answer of the gateway; true if nobody was there to take it.
fn answer(worker: &Worker, stream: &mut Stream<'_>, request: &mut Request, given: &Answer, end: End) -> bool {
    let mut map = HeaderMap::new();
    let mut body = Vec::new();
    let (status, has_body) = if request.is_grpc {
        grpc_fields(given, |name, value| fields::push(&mut map, name, value));
        if let Some(value) = request.hsts().filter(|_| request.is_secure) {
            fields::push(&mut map, HSTS, value);
        }
        (200, false)
    } else {
        answer_fields(worker, request, given, |name, value| fields::push(&mut map, name, value));
        (given.status, answer_body(&mut body, given))
    };
    if has_body {
        map.insert(http::header::CONTENT_LENGTH, body.len().into());
    }
    let is_end = !has_body || request.method == Method::Head;
    let mut given_up = stream.client.give(Piece::Head { status, fields: map, is_end }).is_err();
    let mut n_out = 0;
    if !is_end && !given_up {
        n_out = body.len() as u64;
        given_up = stream.client.give(Piece::Data { bytes: body.into(), is_end: true }).is_err();
    }
    let mut facts = end.facts(given.status, Some(given.cause.as_str()));
    facts.bytes_out = n_out;
    request.finish(worker, facts);
    given_up
}

// === impl Stream ===

impl Stream<'_> {
    /// The halves of a stream that has become a tunnel.
    pub(crate) fn take_halves(&mut self) -> Option<(RecvStream, SendStream<Bytes>)> {
        self.client.take_tunnel()
    }
}

impl Downstream for Stream<'_> {
    fn timer(&self) -> &Timer {
        self.timer
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
        let Self { client, timer, behind, .. } = self;
        let ended = attempt::run(worker, client, request, timer, leased, limits, head_limits).await;
        *behind = ended.behind;
        (ended.outcome, ended.progress)
    }
}

impl Uploader for Stream<'_> {
    async fn receive(
        &mut self,
        worker: &Worker,
        request: &Request,
        settings: &Settings,
        _: &Limits,
        n_max: usize,
    ) -> Result<Whole, NotKept> {
        receive(worker, &mut self.client, request, self.timer, settings, n_max).await
    }
}
