//! Tells collectors of requests: OTLP over HTTP. A worker keeps what it has to tell of each gateway for a moment, and sends
//! it in one piece. A request never waits for that: where a collector is slow or gone, spans are dropped and counted.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use igw_h1::Body;
use tokio::sync::Notify;

use super::Trace;
use super::span::{self, Draft, End};
use crate::clock;
use crate::metrics::spans::Told;
use crate::tables::tracing::TracingTables;
use crate::worker::Worker;
use crate::worker::authorize::inquiry::Inquiry;
use crate::worker::client::Peer;
use crate::worker::decide::blank;
use crate::worker::forward::{Forwarded, forward, head_limits};
use crate::worker::request::{Outcome, Request, RequestEnd};
use crate::worker::request_head::{field, is_framing};

/// What a worker has to tell, by gateway.
pub(crate) struct Outbox {
    worker: Weak<Worker>,
    queues: RefCell<Vec<Rc<Queue>>>,
}

/// Spans of one gateway that wait.
struct Queue {
    gateway: Arc<str>,
    state: RefCell<State>,
    /// There is enough to send.
    is_due: Notify,
}

struct State {
    tables: Arc<TracingTables>,
    /// A port of the gateway.
    port: usize,
    /// As a collector reads them, one after another.
    spans: Vec<u8>,
    n_spans: u64,
    /// A task sends them.
    is_served: bool,
}

/// Adds the span of a request that has ended.
pub(super) fn tell(
    worker: &Worker,
    request: &Request,
    trace: &Trace,
    draft: &Draft,
    took: Duration,
    end: &RequestEnd<'_>,
) {
    let Some(port) = request.port_tables() else { return };
    let Some(tables) = &port.tracing else { return };
    let target = request.target_tables();
    let listener = target.map(|target| target.listener).or(request.listener);
    let end = End {
        ended: clock::wall(),
        took,
        port: port.number,
        status: end.status,
        cause: end.cause.unwrap_or_default(),
        n_retries: end.n_retries,
        gateway: &port.gateway,
        listener: listener.and_then(|listener| port.listeners.get(listener)).map_or("", |name| name),
        route: target.map_or("", |target| &target.rule.route),
        rule: target.map_or("", |target| &target.rule.name),
        backend: match &request.outcome {
            Outcome::Forward(local) => &local.shared.key,
            Outcome::Answer(_) => "",
        },
        endpoint: end.endpoint.unwrap_or_default(),
    };
    let queue = worker.outbox.queue(&port.gateway, tables, request.port);
    let is_new = {
        let mut state = queue.state.borrow_mut();
        if state.n_spans >= SPANS_MAX || state.spans.len() >= SPANS_BYTES {
            worker.count_spans(Told::Dropped, 1);
            return;
        }
        draft.write(&mut state.spans, &tables.rules, trace, &end);
        state.n_spans += 1;
        if state.n_spans == SPANS_DUE {
            queue.is_due.notify_one();
        }
        !std::mem::replace(&mut state.is_served, true)
    };
    if is_new && let Some(worker) = worker.outbox.worker.upgrade() {
        // Ends by itself once nothing waits, or with the set of tasks that it runs in.
        tokio::task::spawn_local(serve(worker, queue));
    }
}

/// Sends what waits, until nothing does.
async fn serve(worker: Rc<Worker>, queue: Rc<Queue>) {
    loop {
        if !worker.is_draining() {
            // Whichever comes first: enough, or the end of the pause.
            let _ = tokio::time::timeout(PAUSE, queue.is_due.notified()).await;
        }
        let (tables, port, spans, n_spans) = {
            let mut state = queue.state.borrow_mut();
            if state.n_spans == 0 {
                state.is_served = false;
                return;
            }
            let spans = std::mem::take(&mut state.spans);
            (Arc::clone(&state.tables), state.port, spans, std::mem::take(&mut state.n_spans))
        };
        let sent = tokio::time::timeout(PATIENCE, send(&worker, &tables, port, &spans)).await;
        let n_refused = sent.ok().flatten().map_or(n_spans, |n_refused| n_refused.min(n_spans));
        worker.count_spans(Told::Failed, n_refused);
        worker.count_spans(Told::Exported, n_spans - n_refused);
    }
}

/// Sends spans once; the number of those that the collector refused, or nothing if it did not take them.
async fn send(worker: &Rc<Worker>, tables: &TracingTables, port: usize, spans: &[u8]) -> Option<u64> {
    let collector = tables.collector.as_ref()?;
    let rules = &tables.rules;
    let envelope = span::envelope(&rules.service, spans.len());
    let mut head = worker.scratch.take();
    head.extend_from_slice(b"POST /v1/traces HTTP/1.1\r\n");
    field(&mut head, b"host", collector.authority.as_bytes());
    field(&mut head, b"content-type", b"application/x-protobuf");
    field(&mut head, b"user-agent", concat!("igw/", env!("CARGO_PKG_VERSION")).as_bytes());
    for (name, value) in rules.fields.iter().filter(|(name, _)| !is_own(name)) {
        field(&mut head, name.as_bytes(), value.as_bytes());
    }
    let n_bytes = envelope.len() + spans.len();
    field(&mut head, b"content-length", n_bytes.to_string().as_bytes());
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&envelope);
    head.extend_from_slice(spans);
    let peer = Peer::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), None);
    let local = worker.local(&collector.backend);
    let mut request = blank(worker, &peer, port);
    // Its body is behind its head, as that of a question is.
    (request.head, request.body, request.is_complete) = (head, Body::None, true);
    request.outcome = Outcome::Forward(Rc::clone(&local));
    let settings = worker.port_settings(port).unwrap_or_else(|| worker.default_settings());
    let limits = head_limits(&settings);
    let mut inquiry = Inquiry::new(worker, &peer);
    let forwarded = forward(worker, &mut inquiry, &request, &local, &settings, &limits).await;
    worker.scratch.give(request.head);
    let is_taken = matches!(forwarded, Forwarded::Answered(_)) && (200..300).contains(&inquiry.answer.status);
    is_taken.then(|| span::n_refused(&inquiry.answer.body))
}

/// Fields that a policy does not say.
fn is_own(name: &str) -> bool {
    is_framing(name.as_bytes()) || matches!(name, "content-type" | "content-encoding" | "expect")
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(worker: Weak<Worker>) -> Self {
        Self { worker, queues: RefCell::default() }
    }

    /// Everything that waits is sent now.
    pub(crate) fn flush(&self) {
        self.queues.borrow().iter().for_each(|queue| queue.is_due.notify_one());
    }

    /// The queue of a gateway, which its newest tables serve.
    fn queue(&self, gateway: &Arc<str>, tables: &Arc<TracingTables>, port: usize) -> Rc<Queue> {
        let mut queues = self.queues.borrow_mut();
        if let Some(queue) = queues.iter().find(|queue| queue.gateway == *gateway) {
            let mut state = queue.state.borrow_mut();
            if !Arc::ptr_eq(&state.tables, tables) {
                (state.tables, state.port) = (Arc::clone(tables), port);
            }
            drop(state);
            return Rc::clone(queue);
        }
        // Those of gateways that are gone have nothing to tell any more.
        queues.retain(|queue| queue.state.borrow().is_served);
        let state =
            State { tables: Arc::clone(tables), port, spans: Vec::new(), n_spans: 0, is_served: false };
        let queue = Rc::new(Queue {
            gateway: Arc::clone(gateway),
            state: RefCell::new(state),
            is_due: Notify::new(),
        });
        queues.push(Rc::clone(&queue));
        queue
    }
}

/// Longest time that a span waits for others.
const PAUSE: Duration = Duration::from_secs(1);
/// Spans that are sent before the pause ends.
const SPANS_DUE: u64 = 512;
/// Spans of one gateway that wait in one worker, while others are sent; more are dropped.
const SPANS_MAX: u64 = 2_048;
/// The same in bytes.
const SPANS_BYTES: usize = 1024 * 1024;
/// Time in which a collector must take what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);
