//! One client connection from accept to end: a loop of head, decision, forward or answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use igw_crds::snapshot::Settings;
use igw_h1::{Body, Limits, Parsed};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::Worker;
use super::authorize::body::{NotKept, Whole, receive};
use super::authorize::{Stopped, Uploader, authorize};
use super::client::{Client, Peer};
use super::decide::{decide, refuse};
use super::exchange::{AttemptLimits, Exchange, Failure, Progress};
use super::forward::{Downstream, End, Forwarded, forward, head_limits};
use super::greeting::greet;
use super::h2::{PREFACE, serve_http2};
use super::message::http1_client::Http1Client;
use super::message::http2_server::Http2Server;
use super::message::pump::Pump;
use super::parking::{Idle, PARKED_AFTER, park};
use super::relay::{Passage, relay};
use super::request::{Answer, Outcome, Request};
use super::response_head::write_answer;
use super::scratch::{OutBuffer, write_or_keep};
use super::secure::{Secured, secure};
use super::stream::poll_read_some;
use super::timer::{Tick, Timer};
use super::tunnel::tunnel;
use crate::shared::Admission;
use crate::upstream::local::{Leased, SharedLease};

/// What came of waiting for a head. A request is moved, not boxed: the path of a request does not allocate.
#[allow(clippy::large_enum_variant)]
enum Incoming {
    Request(Request),
    /// The client speaks HTTP/2, as it knows that the gateway does.
    Http2,
    /// Not a byte, for as long as the timer says.
    Nothing,
    /// The client is gone, or asked to go.
    End,
}

/// Begins to serve a connection. Its errors end it and nothing else.
pub(crate) fn start(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    port: usize,
    admission: Admission,
) {
    let kind = {
        let tables = worker.tables();
        let port = tables.shared.ports.get(port).and_then(Option::as_ref);
        port.map_or(PortKind::default(), |port| PortKind {
            is_tcp: port.is_tcp,
            has_tls: port.tls.is_some(),
            is_announced: port.announces(peer.ip()),
        })
    };
    let client = Client::new(&worker, stream, peer);
    if kind == PortKind::default() {
        let idle = Idle::begin(&worker, client, port, admission);
        return park(worker, idle);
    }
    tokio::task::spawn_local(serve(worker, client, port, kind, admission));
}

/// Serves a connection on which more than requests has to come.
async fn serve(
    worker: Rc<Worker>,
    mut client: Client,
    port: usize,
    kind: PortKind,
    mut admission: Admission,
) {
    if kind.is_announced {
        client = match Box::pin(greet(&worker, client, port, &mut admission)).await {
            Some(client) => client,
            None => return,
        };
    }
    if kind.is_tcp {
        match Passage::find(&worker, port, Vec::new(), "TCP") {
            Some(passage) => Box::pin(relay(&worker, client, passage)).await,
            None => client.stream.reset(),
        }
        return;
    }
    // A connection carries the state of what it does alone: an idle one over HTTP/1 is the smallest.
    if kind.has_tls {
        client = match Box::pin(secure(&worker, client, port)).await {
            Some(Secured::Http(client)) if client.peer.is_http2 => {
                return Box::pin(serve_http2(worker, client, port)).await;
            }
            Some(Secured::Http(client)) => client,
            Some(Secured::Stream(client, passage)) => {
                return Box::pin(relay(&worker, client, passage)).await;
            }
            None => return,
        };
    }
    let idle = Idle::begin(&worker, client, port, admission);
    // What came with a handshake or a greeting has no socket to tell of it, and tickets may wait to be sent.
    match kind.has_tls || !idle.client.unread.bytes().is_empty() {
        true => Box::pin(serve_http1(worker, idle)).await,
        false => park(worker, idle),
    }
}

/// Serves requests over HTTP/1 until the connection ends or is idle.
pub(crate) async fn serve_http1(worker: Rc<Worker>, idle: Idle) {
    let Idle { mut client, port, mut n_requests, mut until, admission } = idle;
    let mut policy = Policy::new(&worker, port);
    loop {
        if policy.generation != worker.generation() {
            policy = Policy::new(&worker, port);
        }
        let incoming = {
            let mut reading = Reading { is_started: false, is_first: n_requests == 0 };
            client.timer.set(Tick::earlier(until, worker.wheel.after(PARKED_AFTER)));
            poll_fn(|cx| reading.poll(&worker, &mut client, port, &policy, cx)).await
        };
        let mut request = match incoming {
            Incoming::Request(request) => request,
            Incoming::Http2 => return Box::pin(serve_http2(worker, client.into_http2(), port)).await,
            Incoming::Nothing if until.is_none_or(|until| worker.wheel.now() < until) => {
                return park(worker, Idle { client, port, n_requests, until, admission });
            }
            Incoming::Nothing | Incoming::End => break,
        };
        n_requests = n_requests.saturating_add(1);
        let limit = policy.settings.requests_per_connection;
        if worker.is_draining() || (limit > 0 && n_requests >= limit) {
            request.keep_alive = false;
        }
        if !handle(&worker, &mut client, &mut request, &policy).await {
            break;
        }
        until = worker.wheel.after(policy.idle(n_requests));
    }
    client.unread.discard(&worker.scratch);
}

/// What comes on a port before requests, or instead of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PortKind {
    is_tcp: bool,
    has_tls: bool,
    /// The peer tells first who it speaks for.
    is_announced: bool,
}

/// What a connection needs of its gateway's settings.
pub(super) struct Policy {
    pub(super) generation: u64,
    pub(super) settings: std::sync::Arc<Settings>,
    pub(super) head: Limits,
}

struct Reading {
    is_started: bool,
    /// Nothing was asked on this connection yet.
    is_first: bool,
}

// === impl Idle ===

impl Idle {
    /// A connection before its first request.
    fn begin(worker: &Worker, client: Client, port: usize, admission: Admission) -> Self {
        let until = worker.wheel.after(Policy::new(worker, port).idle(0));
        Self { client, port, n_requests: 0, until, admission }
    }
}

// === impl Policy ===

impl Policy {
    pub(super) fn new(worker: &Worker, port: usize) -> Self {
        let tables = worker.tables();
        let settings = tables
            .shared
            .ports
            .get(port)
            .and_then(Option::as_ref)
            .map_or_else(|| worker.default_settings(), |tables| std::sync::Arc::clone(&tables.settings));
        Self { generation: worker.generation(), head: head_limits(&settings), settings }
    }

    /// How long the connection may wait for its next head to begin.
    pub(super) fn idle(&self, n_requests: u32) -> Duration {
        match n_requests {
            0 => Duration::from_millis(self.settings.head_timeout_ms),
            _ => Duration::from_millis(self.settings.idle_timeout_ms),
        }
    }
}

// === impl Reading ===

impl Reading {
    /// Reads until a head is complete and decides over it, all within the poll that completes it.
    fn poll(
        &mut self,
        worker: &Rc<Worker>,
        client: &mut Client,
        port: usize,
        policy: &Policy,
        cx: &mut Context<'_>,
    ) -> Poll<Incoming> {
        let scratch = &worker.scratch;
        let mut input = scratch.input();
        let mut n_input = client.unread.bytes().len().min(input.len());
        input[..n_input].copy_from_slice(&client.unread.bytes()[..n_input]);
        let mut wants_read = n_input == 0 || self.is_started;
        loop {
            if wants_read {
                match poll_read_some(&mut client.stream, cx, &mut input[n_input..]) {
                    Poll::Ready(Ok(n_read)) if n_read > 0 => n_input += n_read,
                    Poll::Ready(_) => return Poll::Ready(Incoming::End),
                    Poll::Pending => {
                        let is_idle = n_input == 0;
                        if is_idle && worker.is_stopping() {
                            return Poll::Ready(Incoming::End);
                        }
                        client.unread.set(scratch, &input[..n_input]);
                        if !client.timer.poll_expired(cx) {
                            return Poll::Pending;
                        }
                        return Poll::Ready(match is_idle {
                            true => Incoming::Nothing,
                            false => Incoming::Request(refuse(worker, &client.peer, port, 408)),
                        });
                    }
                }
            }
            let bytes = &input[..n_input];
            let n_preface = PREFACE.len().min(n_input);
            let is_preface =
                self.is_first && client.may_speak_http2() && bytes[..n_preface] == PREFACE[..n_preface];
            if is_preface && n_preface == PREFACE.len() {
                client.unread.set(scratch, bytes);
                return Poll::Ready(Incoming::Http2);
            }
            let mut head = scratch.request();
            let parsed = if is_preface { Ok(Parsed::Partial) } else { head.parse(bytes, &policy.head) };
            match parsed {
                Ok(Parsed::Complete { len }) => {
                    let rest = &bytes[len..];
                    let (request, n_taken) = decide(worker, &client.peer, port, bytes, &head, rest);
                    client.unread.set(scratch, &rest[n_taken..]);
                    return Poll::Ready(Incoming::Request(request));
                }
                Ok(Parsed::Partial) => {
                    wants_read = true;
                    if !self.is_started {
                        self.is_started = true;
                        // From its first byte on, a head has a time of its own.
                        let limit = Duration::from_millis(policy.settings.head_timeout_ms);
                        client.timer.set(worker.wheel.after(limit));
                    }
                }
                Err(error) => {
                    client.unread.discard(scratch);
                    return Poll::Ready(Incoming::Request(refuse(
                        worker,
                        &client.peer,
                        port,
                        error.status(),
                    )));
                }
            }
        }
    }
}

impl Downstream for Client {
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
        let lease = match leased {
            Leased::Own(lease) => lease,
            Leased::Shared(lease) => {
                // What two sides of HTTP/1 do not need is not carried by their connections.
                return Box::pin(attempt_shared(worker, self, request, lease, limits, head_limits)).await;
            }
        };
        let mut exchange = Exchange::new(worker, self, &mut lease.stream, request, limits, head_limits);
        let outcome = poll_fn(|cx| exchange.poll(cx)).await;
        (outcome, exchange.close())
    }
}

impl Uploader for Client {
    async fn receive(
        &mut self,
        worker: &Worker,
        request: &Request,
        settings: &Settings,
        head_limits: &Limits,
        n_max: usize,
    ) -> Result<Whole, NotKept> {
        let Self { stream, unread, timer, .. } = self;
        let mut client = Http1Client::new(worker, stream, unread, request, head_limits);
        let received = receive(worker, &mut client, request, timer, settings, n_max).await;
        client.close();
        received
    }
}

/// Exchanges messages with an endpoint that speaks HTTP/2.
async fn attempt_shared(
    worker: &Worker,
    client: &mut Client,
    request: &Request,
    lease: &SharedLease,
    limits: AttemptLimits<'_>,
    head_limits: &Limits,
) -> (Result<(), Failure>, Progress) {
    let Client { stream, unread, timer, .. } = client;
    let server = Http2Server::new(worker, lease, request);
    let mut client = Http1Client::new(worker, stream, unread, request, head_limits);
    let mut pump = Pump::new(worker, &mut client, server, request, timer, limits);
    let outcome = poll_fn(|cx| pump.poll(cx)).await;
    let (mut progress, _) = pump.close();
    progress.client_reusable = client.close();
    (outcome, progress)
}

/// Forwards or answers one request; true if the connection goes on. The request stays where it is: moves of something so
/// large are dear.
async fn handle(worker: &Rc<Worker>, client: &mut Client, request: &mut Request, policy: &Policy) -> bool {
    if request.is_open() {
        // Few requests ask: those that do not carry no room for it.
        let asking = Box::pin(authorize(worker, client, request, &policy.settings, &policy.head));
        match asking.await {
            Ok(()) => {}
            Err(Stopped::Answer(given, end)) => return answer(worker, client, request, given, end).await,
            Err(Stopped::Gone(failure)) => {
                request.finish(worker, End::default().facts(0, Some(failure.cause())));
                return false;
            }
        }
    }
    let local = match &request.outcome {
        Outcome::Answer(given) => {
            let given = given.clone();
            return answer(worker, client, request, given, End::default()).await;
        }
        Outcome::Forward(local) => Rc::clone(local),
    };
    match forward(worker, client, request, &local, &policy.settings, &policy.head).await {
        Forwarded::Answered(end) => {
            let goes_on = end.progress.client_reusable;
            request.finish(worker, end.facts(end.progress.status, None));
            if !goes_on {
                linger(worker, client).await;
            }
            goes_on
        }
        Forwarded::Failed(given, end) => answer(worker, client, request, given, end).await,
        Forwarded::Tunnel(mut lease, mut end) => {
            let limit = Duration::from_millis(policy.settings.tunnel_idle_ms);
            let progress = &mut end.progress;
            let moved = |bytes_in, bytes_out| {
                progress.bytes_in += bytes_in;
                progress.bytes_out += bytes_out;
            };
            Box::pin(tunnel(worker, client, &mut lease, limit, moved)).await;
            drop(lease);
            request.finish(worker, end.facts(101, None));
            false
        }
        Forwarded::Broken(failure, end) => {
            let status = if end.progress.is_answered { end.progress.status } else { 0 };
            request.finish(worker, end.facts(status, Some(failure.cause())));
            if end.progress.is_answered {
                // The client must not take a broken answer for a whole one.
                client.stream.reset();
            }
            false
        }
    }
}

/// Sends an answer of the gateway; true if the connection goes on.
async fn answer(
    worker: &Rc<Worker>,
    client: &mut Client,
    request: &mut Request,
    given: Answer,
    end: End,
) -> bool {
    let is_body_open = match request.body {
        Body::None | Body::Length(0) => false,
        _ if request.is_complete => false,
        // A body that came whole with its head is skipped.
        Body::Length(length) if !end.progress.is_consumed => {
            let n_here = client.unread.bytes().len() as u64;
            if length <= n_here {
                client.unread.consume(&worker.scratch, usize::try_from(length).unwrap_or(usize::MAX));
            }
            length > n_here
        }
        _ => true,
    };
    let keep_alive = request.keep_alive && !is_body_open && !worker.is_draining();
    let mut pending = OutBuffer::default();
    let limit = worker.wheel.after(ANSWER_STALL);
    client.timer.set(limit);
    let mut n_out = 0;
    let mut is_written = false;
    let sent = poll_fn(|cx| {
        if !is_written {
            is_written = true;
            let mut out = worker.scratch.output();
            write_answer(worker, &mut out, request, &given, keep_alive);
            n_out = out.len() as u64;
            if write_or_keep(&worker.scratch, &mut pending, &mut client.stream, cx, &out).is_err() {
                return Poll::Ready(false);
            }
        }
        match pending.poll_flush(&worker.scratch, &mut client.stream, cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.is_ok()),
            Poll::Pending if client.timer.poll_expired(cx) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    pending.discard(&worker.scratch);
    let mut facts = end.facts(given.status, Some(given.cause.as_str()));
    facts.bytes_out = n_out;
    request.finish(worker, facts);
    if sent && !keep_alive {
        linger(worker, client).await;
    }
    sent && keep_alive
}

/// Closes without losing the answer: the client's unread bytes would otherwise turn the close into a reset.
async fn linger(worker: &Worker, client: &mut Client) {
    client.timer.set(worker.wheel.after(LINGER));
    let mut left = LINGER_BYTES;
    let mut is_shut = false;
    poll_fn(|cx| {
        if !is_shut {
            match Pin::new(&mut client.stream).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => is_shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        let mut input = worker.scratch.input();
        loop {
            match poll_read_some(&mut client.stream, cx, &mut input) {
                Poll::Ready(Ok(n_read)) if n_read > 0 && n_read < left => left -= n_read,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if client.timer.poll_expired(cx) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Time in which a client must take an answer of the gateway.
const ANSWER_STALL: Duration = Duration::from_secs(30);
/// Time and bytes given to a client to finish what it is sending after its answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 * 1024 * 1024;
