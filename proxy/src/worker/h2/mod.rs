//! HTTP/2 with clients (RFC 9113): one connection, a task for each of its streams.

pub(crate) mod head;
mod replay;
pub(crate) mod servers;
mod stream;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::Connection;

use super::Worker;
use super::client::{Client, ClientTls, Peer};
use super::connection::Policy;
use crate::metrics::abuse::Abuse;
use crate::tables::PortTables;
use replay::{Dry, Replay};
use servers::Job;

/// What the streams of a connection share.
pub(crate) struct Http2Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: Rc<Peer>,
    pub(crate) port: usize,
    policy: RefCell<Rc<Policy>>,
    n_streams: Cell<u32>,
    /// Streams that the client gave up before it had an answer.
    n_abandoned: Cell<u32>,
}

/// Serves an HTTP/2 connection to its end.
pub(crate) async fn serve_http2(worker: Rc<Worker>, client: Client, port: usize) {
    let Client { stream, timer, peer, mut unread } = client;
    let dry = Dry::default();
    let stream = Replay::new(unread.bytes().to_vec(), stream, dry.clone());
    unread.discard(&worker.scratch);
    timer.set(worker.wheel.after(PREFACE_TIME));
    let n_streams = {
        let tables = worker.tables();
        let port_tables = tables.shared.ports.get(port).and_then(Option::as_deref);
        let of_listener = |port: &PortTables, tls: &ClientTls| {
            let listener = tls.listener(tables.shared.stamp(), port)?;
            port.clients.get(listener)?.http2_streams
        };
        let limit = port_tables.and_then(|port| match &peer.tls {
            Some(tls) => of_listener(port, tls),
            None => port.http2_streams,
        });
        limit.unwrap_or(STREAMS_MAX)
    };
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(n_streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_send_buffer_size(SEND_BUFFER_MAX)
        .max_concurrent_reset_streams(RESET_MEMORY)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(EMITTED_RESETS_MAX))
        .enable_connect_protocol();
    let mut shaking = std::pin::pin!(builder.handshake::<Replay, Bytes>(stream));
    let shaken = poll_fn(|cx| {
        dry.begin();
        match shaking.as_mut().poll(cx) {
            Poll::Ready(shaken) => Poll::Ready(shaken.ok()),
            Poll::Pending if timer.poll_expired(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    let Some(mut connection) = shaken.await else { return };
    let shared = Rc::new(Http2Connection {
        policy: RefCell::new(Rc::new(Policy::new(&worker, port))),
        worker: Rc::clone(&worker),
        peer,
        port,
        n_streams: Cell::new(0),
        n_abandoned: Cell::new(0),
    });
    let idle = || worker.wheel.after(shared.policy().idle(1));
    timer.set(idle());
    let mut n_accepted: u32 = 0;
    let mut is_closing = false;
    loop {
        let next = poll_fn(|cx| {
            dry.begin();
            let n_before = n_accepted;
            loop {
                if shared.n_abandoned.get() > ABANDONED_MAX && shared.n_abandoned.get() > n_accepted / 2 {
                    return Poll::Ready(Next::Calm);
                }
                let Poll::Ready(accepted) = connection.poll_accept(cx) else { break };
                let Some(Ok((request, respond))) = accepted else { return Poll::Ready(Next::End) };
                n_accepted = n_accepted.saturating_add(1);
                shared.n_streams.set(shared.n_streams.get() + 1);
                worker.stream_servers.serve(Job { connection: Rc::clone(&shared), request, respond });
            }
            if n_accepted != n_before {
                timer.set(idle());
            }
            let is_idle = shared.n_streams.get() == 0;
            let has_expired = timer.poll_expired(cx);
            if is_closing {
                return if worker.tunnels_end() { Poll::Ready(Next::End) } else { Poll::Pending };
            }
            if worker.is_draining() || (has_expired && is_idle) {
                return Poll::Ready(Next::Close);
            }
            if has_expired {
                timer.set(idle());
                // Registers for the new deadline.
                let _ = timer.poll_expired(cx);
            }
            Poll::Pending
        });
        match next.await {
            Next::Close => {
                is_closing = true;
                connection.graceful_shutdown();
                timer.set(None);
            }
            Next::Calm => {
                worker.count_abuse(Abuse::AbandonedStreams);
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                finish(&mut connection, &dry, &worker).await;
                return;
            }
            Next::End => return,
        }
    }
}

/// What comes next on a connection.
enum Next {
    /// No more streams; those under way finish.
    Close,
    /// The client asks too much.
    Calm,
    End,
}

/// Sends what is left and ends.
async fn finish(connection: &mut Connection<Replay, Bytes>, dry: &Dry, worker: &Worker) {
    let timer = worker.wheel.timer();
    timer.set(worker.wheel.after(GOODBYE_TIME));
    poll_fn(|cx| {
        dry.begin();
        match connection.poll_closed(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending if timer.poll_expired(cx) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

// === impl Http2Connection ===

impl Http2Connection {
    /// What the gateway's settings say now.
    fn policy(&self) -> Rc<Policy> {
        let mut policy = self.policy.borrow_mut();
        if policy.generation != self.worker.generation() {
            *policy = Rc::new(Policy::new(&self.worker, self.port));
        }
        Rc::clone(&policy)
    }

    /// A stream ended; `was_abandoned` if the client gave it up before it had an answer.
    fn stream_ended(&self, was_abandoned: bool) {
        self.n_streams.set(self.n_streams.get().saturating_sub(1));
        if was_abandoned {
            self.n_abandoned.set(self.n_abandoned.get().saturating_add(1));
        }
    }
}

/// What a connection of HTTP/2 begins with (RFC 9113 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams of one connection at a time, where no ClientPolicy says otherwise.
const STREAMS_MAX: u32 = 100;
/// Bytes of one stream under way.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;
/// Bytes of all streams of a connection under way.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const FRAME_MAX: u32 = 16 * 1024;
/// Bytes of a request's fields.
const HEADER_LIST_MAX: u32 = 64 * 1024;
/// Bytes that wait to be sent for one connection.
const SEND_BUFFER_MAX: usize = 256 * 1024;
/// Streams that were reset and are remembered.
const RESET_MEMORY: usize = 50;
/// Streams that may be reset before this side has looked at them (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;
/// Streams that this side may reset because of errors of the client (CVE-2025-8671).
const EMITTED_RESETS_MAX: usize = 500;
/// Streams of one connection that a client may give up before it has an answer, if they are more than half of all.
const ABANDONED_MAX: u32 = 50;
/// Time for the preface of a connection.
const PREFACE_TIME: Duration = Duration::from_secs(10);
/// Time in which a client must take the end of a connection.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
