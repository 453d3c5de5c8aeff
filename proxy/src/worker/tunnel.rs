//! Two connections joined: bytes both ways until both sides have ended, each end passed on for itself.
//!
//! Every byte goes through the worker's receive buffer; only what a socket did not take rests with the connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Worker;
use super::client::Client;
use super::scratch::{INPUT_BYTES, OutBuffer, Scratch, write_or_keep};
use super::stream::poll_read_some;
use crate::upstream::local::Lease;

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// Both sides said their ends.
    Done,
    /// The client broke off.
    ClientGone,
    /// The endpoint broke off.
    EndpointGone,
    /// Nothing moved for too long.
    Idle,
    /// The process ends.
    Drained,
}

/// One direction.
struct Flow {
    pending: OutBuffer,
    n_bytes: u64,
    /// How much is read at once: less where a sink is slow, so that little rests here.
    n_room: usize,
    state: FlowState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlowState {
    Open,
    /// The source ended; what is left goes out, then the end is passed on.
    Ending,
    Ended,
}

/// Which side of a flow failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Sink,
}

/// Runs the tunnel; tells `moved` of bytes from and to the client as they go.
pub(crate) async fn tunnel(
    worker: &Worker,
    client: &mut Client,
    lease: &mut Lease,
    idle: Duration,
    mut moved: impl FnMut(u64, u64),
) -> TunnelEnd {
    let _counted = worker.shared.count_tunnel();
    let mut up = Flow::new();
    let mut down = Flow::new();
    let mut is_first = true;
    client.timer.set(worker.wheel.after(idle));
    let end = poll_fn(|cx| {
        let scratch = &worker.scratch;
        let before = (up.n_bytes, down.n_bytes);
        if is_first {
            // What the client sent before the tunnel stood belongs to it.
            is_first = false;
            let early = client.unread.bytes();
            up.n_bytes = early.len() as u64;
            if write_or_keep(scratch, &mut up.pending, &mut lease.stream, cx, early).is_err() {
                return Poll::Ready(TunnelEnd::EndpointGone);
            }
            client.unread.discard(scratch);
        }
        let upward = up.poll(scratch, &mut client.stream, &mut lease.stream, cx);
        let downward = down.poll(scratch, &mut lease.stream, &mut client.stream, cx);
        if before != (up.n_bytes, down.n_bytes) {
            moved(up.n_bytes - before.0, down.n_bytes - before.1);
            client.timer.set(worker.wheel.after(idle));
        }
        match (upward, downward) {
            (Err(Side::Source), _) | (_, Err(Side::Sink)) => return Poll::Ready(TunnelEnd::ClientGone),
            (Err(Side::Sink), _) | (_, Err(Side::Source)) => return Poll::Ready(TunnelEnd::EndpointGone),
            (Ok(()), Ok(())) => {}
        }
        if (up.state, down.state) == (FlowState::Ended, FlowState::Ended) {
            return Poll::Ready(TunnelEnd::Done);
        }
        if client.timer.poll_expired(cx) {
            return Poll::Ready(TunnelEnd::Idle);
        }
        if worker.tunnels_end() { Poll::Ready(TunnelEnd::Drained) } else { Poll::Pending }
    })
    .await;
    up.pending.discard(&worker.scratch);
    down.pending.discard(&worker.scratch);
    end
}

// === impl Flow ===

impl Flow {
    fn new() -> Self {
        Self { pending: OutBuffer::default(), n_bytes: 0, n_room: INPUT_BYTES, state: FlowState::Open }
    }

    /// Moves at most one buffer, then lets others go first.
    fn poll<R, W>(
        &mut self,
        scratch: &Scratch,
        source: &mut R,
        sink: &mut W,
        cx: &mut Context<'_>,
    ) -> Result<(), Side>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut n_left = INPUT_BYTES;
        while n_left > 0 {
            match self.pending.poll_flush(scratch, sink, cx) {
                Poll::Ready(flushed) => flushed.map_err(|_| Side::Sink)?,
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
            let n_room = self.n_room.min(input.len());
            match poll_read_some(source, cx, &mut input[..n_room]) {
                Poll::Ready(Ok(0)) => self.state = FlowState::Ending,
                Poll::Ready(Ok(n_read)) => {
                    self.n_bytes += n_read as u64;
                    n_left = n_left.saturating_sub(n_read);
                    let n_sent = write_or_keep(scratch, &mut self.pending, sink, cx, &input[..n_read])
                        .map_err(|_| Side::Sink)?;
                    if n_sent < n_read {
                        self.n_room = (self.n_room / 2).max(ROOM_MIN);
                    } else if n_read == n_room {
                        self.n_room = (self.n_room * 2).min(INPUT_BYTES);
                    }
                }
                Poll::Ready(Err(_)) => return Err(Side::Source),
                Poll::Pending => return Ok(()),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

/// What is read at once for the slowest sinks, in bytes.
const ROOM_MIN: usize = 16 * 1024;
