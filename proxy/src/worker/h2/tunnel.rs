//! A stream of HTTP/2 joined with a connection to an endpoint, after a change of protocols: bytes both ways.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::io::AsyncWrite as _;

use super::stream::Stream;
use crate::upstream::local::Lease;
use crate::worker::Worker;
use crate::worker::forward::Downstream as _;
use crate::worker::scratch::{OutBuffer, write_or_keep};
use crate::worker::stream::poll_read_some;

/// The way from the client.
struct Upward {
    body: RecvStream,
    pending: OutBuffer,
    unreleased: usize,
    n_bytes: u64,
    is_ending: bool,
    is_done: bool,
}

/// The way to the client.
struct Downward {
    send: SendStream<Bytes>,
    waiting: Bytes,
    n_bytes: u64,
    is_ending: bool,
    is_done: bool,
}

/// Runs the tunnel; returns bytes to and from the endpoint.
pub(crate) async fn run(
    worker: &Worker,
    stream: &mut Stream<'_>,
    mut lease: Lease,
    idle: Duration,
) -> (u64, u64) {
    let _counted = worker.shared.count_tunnel();
    let behind = std::mem::take(&mut stream.behind);
    let Some((body, mut send)) = stream.take_halves() else { return (0, 0) };
    send.reserve_capacity(behind.len());
    let mut up = Upward {
        body,
        pending: OutBuffer::default(),
        unreleased: 0,
        n_bytes: 0,
        is_ending: false,
        is_done: false,
    };
    let n_bytes = behind.len() as u64;
    let mut down = Downward { send, waiting: behind.into(), n_bytes, is_ending: false, is_done: false };
    let timer = stream.timer();
    timer.set(worker.wheel.after(idle));
    poll_fn(|cx| {
        let before = (up.n_bytes, down.n_bytes);
        let has_failed =
            up.poll(worker, &mut lease, cx).is_err() || down.poll(worker, &mut lease, cx).is_err();
        if has_failed || (up.is_done && down.is_done) {
            return Poll::Ready(());
        }
        if before != (up.n_bytes, down.n_bytes) {
            timer.set(worker.wheel.after(idle));
        }
        if timer.poll_expired(cx) || worker.tunnels_end() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    up.pending.discard(&worker.scratch);
    (up.n_bytes, down.n_bytes)
}

// === impl Upward ===

impl Upward {
    fn poll(&mut self, worker: &Worker, lease: &mut Lease, cx: &mut Context<'_>) -> Result<(), ()> {
        let scratch = &worker.scratch;
        loop {
            match self.pending.poll_flush(scratch, &mut lease.stream, cx) {
                Poll::Ready(flushed) => flushed.map_err(|_| ())?,
                Poll::Pending => return Ok(()),
            }
            if self.unreleased > 0 {
                // A stream that is gone needs no room.
                let _ = self.body.flow_control().release_capacity(std::mem::take(&mut self.unreleased));
            }
            if self.is_done {
                return Ok(());
            }
            if self.is_ending {
                self.is_done = Pin::new(&mut lease.stream).poll_shutdown(cx).is_ready();
                return Ok(());
            }
            match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.n_bytes += bytes.len() as u64;
                    self.unreleased = bytes.len();
                    write_or_keep(scratch, &mut self.pending, &mut lease.stream, cx, &bytes)
                        .map_err(|_| ())?;
                }
                Poll::Ready(Some(Err(_))) => return Err(()),
                Poll::Ready(None) => self.is_ending = true,
                Poll::Pending => return Ok(()),
            }
        }
    }
}

// === impl Downward ===

impl Downward {
    fn poll(&mut self, worker: &Worker, lease: &mut Lease, cx: &mut Context<'_>) -> Result<(), ()> {
        for _ in 0..ROUNDS_PER_POLL {
            while !self.waiting.is_empty() {
                match self.send.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(capacity))) => {
                        let now = self.waiting.split_to(capacity.min(self.waiting.len()));
                        self.send.send_data(now, false).map_err(|_| ())?;
                    }
                    Poll::Ready(_) => return Err(()),
                    Poll::Pending => return Ok(()),
                }
            }
            if self.is_done {
                return Ok(());
            }
            if self.is_ending {
                self.is_done = true;
                return self.send.send_data(Bytes::new(), true).map_err(|_| ());
            }
            let mut input = worker.scratch.input();
            match poll_read_some(&mut lease.stream, cx, &mut input) {
                Poll::Ready(Ok(0)) => self.is_ending = true,
                Poll::Ready(Ok(n_read)) => {
                    self.n_bytes += n_read as u64;
                    self.waiting = Bytes::copy_from_slice(&input[..n_read]);
                    self.send.reserve_capacity(n_read);
                }
                Poll::Ready(Err(_)) => return Err(()),
                Poll::Pending => {
                    return if self.send.poll_reset(cx).is_ready() { Err(()) } else { Ok(()) };
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

const ROUNDS_PER_POLL: usize = 4;
