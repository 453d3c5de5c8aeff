//! A request on its way: choice of an endpoint, connection, attempts, and the error answer if all fail.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use igw_crds::snapshot::Settings;
use igw_h1::Limits;

use super::Worker;
use super::client::Peer;
use super::exchange::{AttemptLimits, Failure, Progress};
use super::lane::QUICK_TIME;
use super::open::{ConnectFailure, Opening, Way};
use super::request::{Answer, Request, RequestEnd};
use super::timer::{Tick, Timer};
use super::tries::Tries;
use crate::clock;
use crate::sessions::Session;
use crate::upstream::local::{Lease, Leased, LocalBackend, PickError, Picked};

/// How forwarding ended.
pub(crate) enum Forwarded {
    /// The client has its answer.
    Answered(End),
    /// The connection is a tunnel between the client and this endpoint.
    Tunnel(Lease, End),
    /// No byte of an answer has left; the gateway answers.
    Failed(Answer, End),
    /// Something went wrong inside the answer, or the client is gone: the connection ends.
    Broken(Failure, End),
}

/// Facts for counters and logs.
#[derive(Default)]
pub(crate) struct End {
    pub(crate) progress: Progress,
    pub(crate) endpoint: Option<Picked>,
    pub(crate) n_retries: u32,
    pub(crate) connected_ms: Option<u64>,
}

/// The client's side of a request that is forwarded, whatever it speaks.
pub(crate) trait Downstream {
    /// The clock of the request.
    fn timer(&self) -> &Timer;

    /// Who asks.
    fn peer(&self) -> &Peer;

    /// Exchanges messages with an endpoint once.
    async fn attempt(
        &mut self,
        worker: &Worker,
        request: &Request,
        leased: &mut Leased,
        limits: AttemptLimits<'_>,
        head_limits: &Limits,
    ) -> (Result<(), Failure>, Progress);
}

/// Forwards `request` to an endpoint of `local`.
pub(crate) async fn forward<D: Downstream>(
    worker: &Rc<Worker>,
    client: &mut D,
    request: &Request,
    local: &Rc<LocalBackend>,
    settings: &Settings,
    head_limits: &Limits,
) -> Forwarded {
    let mut end = End::default();
    let mut tries = Tries::new(request.retry());
    let mut wants_fresh = request.method == super::request::Method::Other;
    local.note_request(worker.wheel.now());
    loop {
        let session = request.extras.as_ref().and_then(|extras| extras.session);
        let named = session.and_then(|session| local.pick_named(session.endpoint, tries.tried()));
        let picked = match named.map_or_else(|| local.pick(&worker.random, tries.tried()), Ok) {
            Ok(picked) => picked,
            Err(PickError::NoEndpoint) => return Forwarded::Failed(Answer::new(503, "no_endpoint"), end),
            Err(PickError::Saturated) => {
                match wait_for_room(worker, client.timer(), request.deadline, local, tries.tried()).await {
                    Some(picked) => picked,
                    None => return Forwarded::Failed(Answer::new(503, "no_connection"), end),
                }
            }
        };
        let mut leased = match lease(worker, client, request, local, &picked, settings, wants_fresh).await {
            Ok(leased) => leased,
            Err(failure) => {
                if failure.blames_endpoint() {
                    note_failure(worker, local, &picked);
                }
                let may_retry = failure != ConnectFailure::RequestTimeout;
                if may_retry && tries.go_on(local, picked.endpoint().id) {
                    end.n_retries = tries.n_retries();
                    if pause(worker, request, &tries).await {
                        continue;
                    }
                    end.endpoint = Some(picked);
                    return Forwarded::Failed(Answer::new(504, "request_timeout"), end);
                }
                end.endpoint = Some(picked);
                return Forwarded::Failed(connect_answer(failure), end);
            }
        };
        end.endpoint = Some(picked.clone());
        name_session(worker, request, local, &picked);
        if request.log.is_some() {
            end.connected_ms = Some(elapsed_ms(request));
        }
        let was_reused = leased.was_reused();
        let unwanted = if tries.may_go_on(local) { tries.codes() } else { &[] };
        let limits = attempt_limits(request, settings, unwanted);
        let (outcome, progress) = client.attempt(worker, request, &mut leased, limits, head_limits).await;
        end.progress = progress;
        let failure = match outcome {
            Ok(()) => {
                picked.endpoint().succeeded();
                worker.lane.served(&end.progress, worker.wheel.after(QUICK_TIME));
                match leased {
                    Leased::Own(lease) if end.progress.is_tunnel => return Forwarded::Tunnel(lease, end),
                    Leased::Own(lease) if end.progress.upstream_reusable => lease.release(worker.wheel.now()),
                    Leased::Own(_) | Leased::Shared(_) => {}
                }
                return Forwarded::Answered(end);
            }
            Err(failure) => failure,
        };
        drop(leased);
        // A kept connection that its server closed says nothing about the server.
        let is_stale = was_reused && failure == Failure::NoAnswer;
        if !is_stale && failure.blames_endpoint() {
            note_failure(worker, local, &picked);
        }
        let may_repeat = match failure {
            Failure::NoAnswer => !end.progress.is_sent || request.is_repeatable(),
            Failure::BackendTimeout => {
                tries.hurries() && !end.progress.is_answered && request.is_repeatable()
            }
            Failure::Unwanted => true,
            _ => false,
        };
        let nothing_lost = may_repeat && !end.progress.is_consumed;
        if nothing_lost && is_stale && !wants_fresh {
            wants_fresh = true;
            continue;
        }
        if nothing_lost && tries.go_on(local, picked.endpoint().id) {
            end.n_retries = tries.n_retries();
            if pause(worker, request, &tries).await {
                continue;
            }
            return Forwarded::Failed(Answer::new(504, "request_timeout"), end);
        }
        if end.progress.is_answered {
            return Forwarded::Broken(failure, end);
        }
        return match failure_answer(failure) {
            Some(answer) => Forwarded::Failed(answer, end),
            None => Forwarded::Broken(failure, end),
        };
    }
}

/// Lets the answer name the endpoint where the client has no session with it.
fn name_session(worker: &Worker, request: &Request, local: &LocalBackend, picked: &Picked) {
    let Some(extras) = &request.extras else { return };
    let Some(rule) = request.target_tables().and_then(|target| target.rule.session.as_ref()) else { return };
    let endpoint = picked.endpoint().identity;
    let mut field = extras.session_field.borrow_mut();
    field.clear();
    if extras.session.is_some_and(|session| session.endpoint == endpoint) {
        return;
    }
    let Some(key) = request.port_tables().and_then(|port| port.session_key.as_deref()) else { return };
    if field.capacity() == 0 {
        *field = worker.scratch.take();
    }
    rule.write(key, Session::new(local.shared.identity, endpoint), request.is_secure, &mut field);
}

/// Waits before the next try; false if the request's own limit passed meanwhile.
async fn pause(worker: &Worker, request: &Request, tries: &Tries<'_>) -> bool {
    if let Some(pause) = tries.pause(&worker.random) {
        // Few requests wait: those that do not carry no room for it.
        Box::pin(tokio::time::sleep(pause)).await;
    }
    request.deadline.is_none_or(|deadline| worker.wheel.now() < deadline)
}

/// Bounds of heads on a port, of requests and answers.
pub(crate) fn head_limits(settings: &Settings) -> Limits {
    Limits {
        head_bytes: settings.head_bytes as usize,
        head_fields: settings.head_fields as usize,
        line_bytes: Limits::default().line_bytes,
    }
}

fn attempt_limits<'l>(request: &Request, settings: &Settings, unwanted: &'l [u16]) -> AttemptLimits<'l> {
    let limit = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
    let of_rule = request.target_tables().and_then(|target| target.rule.backend_timeout_ms);
    AttemptLimits {
        answer: limit(of_rule.unwrap_or(settings.backend_timeout_ms)),
        idle: limit(settings.backend_idle_ms),
        client_stall: limit(settings.body_grace_ms),
        body_min_rate: settings.body_min_rate,
        unwanted,
    }
}

/// A way to the endpoint: an idle connection, a place on a shared one, or a new one.
async fn lease<D: Downstream>(
    worker: &Rc<Worker>,
    client: &D,
    request: &Request,
    local: &Rc<LocalBackend>,
    picked: &Picked,
    settings: &Settings,
    wants_fresh: bool,
) -> Result<Leased, ConnectFailure> {
    let way = Way::of(request, picked)?;
    let now = worker.wheel.now();
    if way.may_share()
        && let Some(lease) = local.share(picked, way.identity(), now)
    {
        return Ok(Leased::Shared(lease));
    }
    if way.may_own() {
        let max_idle_ms = match wants_fresh {
            // A request that must not be sent twice takes a connection only while it is surely warm.
            true => picked.set().connections.idle_ms.min(FRESH_IDLE_MS),
            false => picked.set().connections.idle_ms,
        };
        if let Some(lease) = local.checkout(picked, way.identity(), now, max_idle_ms) {
            return Ok(Leased::Own(lease));
        }
    }
    // Few requests open a connection: those that do not pay for them carry no room for it.
    let limit = Duration::from_millis(settings.connect_timeout_ms);
    let opening = Opening { worker, local, picked, way: &way, peer: client.peer() };
    Box::pin(opening.run(client.timer(), limit, request.deadline)).await
}

/// Waits in the queue of the back end; `None` if the queue is full or the wait too long.
pub(crate) async fn wait_for_room(
    worker: &Rc<Worker>,
    timer: &Timer,
    deadline: Option<Tick>,
    local: &Rc<LocalBackend>,
    tried: &[u64],
) -> Option<Picked> {
    let place = local.join_queue()?;
    let limit = Duration::from_millis(local.set().shared.connections.queue_timeout_ms);
    timer.set(Tick::earlier(worker.wheel.after(limit), deadline));
    let picked = poll_fn(|cx| match local.poll_pick(&place, &worker.random, tried, cx) {
        Poll::Ready(picked) => Poll::Ready(picked.ok()),
        Poll::Pending if timer.poll_expired(cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await;
    if picked.is_some() {
        place.served();
    }
    picked
}

pub(crate) fn note_failure(worker: &Worker, local: &LocalBackend, picked: &Picked) {
    let endpoint = picked.endpoint();
    if endpoint.failed(worker.index, clock::now_ms(), picked.set().passive.as_ref()) {
        local.shared.ask_ejection(endpoint);
    }
}

fn connect_answer(failure: ConnectFailure) -> Answer {
    match failure {
        ConnectFailure::Refused => Answer::new(502, "connect_refused"),
        ConnectFailure::Timeout => Answer::new(504, "connect_timeout"),
        ConnectFailure::Exhausted => Answer::new(503, "no_connection"),
        ConnectFailure::Insecure => Answer::new(502, "upstream_tls"),
        ConnectFailure::RequestTimeout => Answer::new(504, "request_timeout"),
    }
}

/// The answer for a failure before any byte of one; `None` if nobody is there to read it.
pub(crate) fn failure_answer(failure: Failure) -> Option<Answer> {
    match failure {
        Failure::NoAnswer | Failure::Truncated => Some(Answer::new(502, "upstream_reset")),
        Failure::Protocol => Some(Answer::new(502, "upstream_protocol")),
        Failure::BackendTimeout => Some(Answer::new(504, "backend_timeout")),
        Failure::RequestTimeout => Some(Answer::new(504, "request_timeout")),
        Failure::SlowBody => Some(Answer::new(408, "body_timeout")),
        Failure::BadBody => Some(Answer::new(400, "bad_request")),
        // Others spent the budget between the answer and the next try.
        Failure::Unwanted => Some(Answer::new(503, "retry_budget")),
        Failure::ClientStalled | Failure::ClientGone => None,
    }
}

pub(crate) fn elapsed_ms(request: &Request) -> u64 {
    u64::try_from(clock::now().saturating_duration_since(request.started).as_millis()).unwrap_or(u64::MAX)
}

// === impl End ===

impl End {
    /// Facts in the form of counters and logs.
    pub(crate) fn facts<'a>(&'a self, status: u16, cause: Option<&'a str>) -> RequestEnd<'a> {
        RequestEnd {
            status,
            cause,
            endpoint: self.endpoint.as_ref().map(|picked| picked.endpoint().name.as_str()),
            bytes_in: self.progress.bytes_in,
            bytes_out: self.progress.bytes_out,
            n_retries: self.n_retries,
            connected_ms: self.connected_ms,
            answered_ms: self.progress.answered_ms,
        }
    }
}

// === impl Failure ===

impl Failure {
    fn blames_endpoint(self) -> bool {
        matches!(self, Self::NoAnswer | Self::Truncated | Self::Protocol | Self::BackendTimeout)
    }

    /// Cause token of an answer that broke off.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::NoAnswer | Self::Truncated => "upstream_reset",
            Self::Protocol => "upstream_protocol",
            Self::BackendTimeout => "backend_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::SlowBody => "body_timeout",
            Self::BadBody => "bad_request",
            Self::Unwanted => "retry_budget",
            Self::ClientStalled => "client_stalled",
            Self::ClientGone => "client_gone",
        }
    }
}

/// A connection idle for longer is not used for a request that must not be sent twice, in milliseconds.
const FRESH_IDLE_MS: u64 = 5_000;
