//! Two connections joined after a change of protocol (101): bytes both ways until both sides ended.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Worker;
use super::client::Client;
use super::scratch::{OutBuffer, Scratch, write_or_keep};
use super::stream::poll_read_some;
use crate::upstream::local::Lease;

/// One direction.
#[derive(Default)]
struct Flow {
    pending: OutBuffer,
    n_bytes: u64,
    state: FlowState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FlowState {
    #[default]
    Open,
    /// The source ended; what is left goes out, then the end is passed on.
    Ending,
    Ended,
}

/// Runs the tunnel; returns bytes to and from the endpoint.
pub(crate) async fn tunnel(
    worker: &Worker,
    client: &mut Client,
    mut lease: Lease,
    idle: Duration,
) -> (u64, u64) {
    let mut up = Flow::default();
    let mut down = Flow::default();
    let mut is_first = true;
    client.timer.set(worker.wheel.after(idle));
    poll_fn(|cx| {
        let scratch = &worker.scratch;
        if is_first {
            // What the client sent behind its head belongs to the tunnel.
            is_first = false;
            let early = client.unread.bytes();
            up.n_bytes = early.len() as u64;
            if write_or_keep(scratch, &mut up.pending, &mut lease.stream, cx, early).is_err() {
                return Poll::Ready(());
            }
            client.unread.discard(scratch);
        }
        let before = (up.n_bytes, down.n_bytes);
        let upward = up.poll(scratch, &mut client.stream, &mut lease.stream, cx);
        let downward = down.poll(scratch, &mut lease.stream, &mut client.stream, cx);
        if upward.is_err()
            || downward.is_err()
            || (up.state, down.state) == (FlowState::Ended, FlowState::Ended)
        {
            return Poll::Ready(());
        }
        if before != (up.n_bytes, down.n_bytes) {
            client.timer.set(worker.wheel.after(idle));
        }
        if client.timer.poll_expired(cx) || worker.tunnels_end() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    up.pending.discard(&worker.scratch);
    down.pending.discard(&worker.scratch);
    (up.n_bytes, down.n_bytes)
}

// === impl Flow ===

impl Flow {
    fn poll<R, W>(
        &mut self,
        scratch: &Scratch,
        source: &mut R,
        sink: &mut W,
        cx: &mut Context<'_>,
    ) -> Result<(), ()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..ROUNDS_PER_POLL {
            match self.pending.poll_flush(scratch, sink, cx) {
                Poll::Ready(flushed) => flushed.map_err(|_| ())?,
                Poll::Pending => return Ok(()),
            }
            match self.state {
                FlowState::Ended => return Ok(()),
                FlowState::Ending => match Pin::new(&mut *sink).poll_shutdown(cx) {
                    Poll::Ready(_) => {
                        self.state = FlowState::Ended;
                        return Ok(());
                    }
                    Poll::Pending => return Ok(()),
                },
                FlowState::Open => {}
            }
            let mut input = scratch.input();
            match poll_read_some(source, cx, &mut input) {
                Poll::Ready(Ok(0)) => self.state = FlowState::Ending,
                Poll::Ready(Ok(n_read)) => {
                    self.n_bytes += n_read as u64;
                    write_or_keep(scratch, &mut self.pending, sink, cx, &input[..n_read]).map_err(|_| ())?;
                }
                Poll::Ready(Err(_)) => return Err(()),
                Poll::Pending => return Ok(()),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

const ROUNDS_PER_POLL: usize = 4;
