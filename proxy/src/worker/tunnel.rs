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
use super::lane::{PIECE_BYTES, Turn};
use super::scratch::{INPUT_BYTES, OutBuffer, ROOM_MIN, Scratch, write_or_keep};
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

/// Whether a flow could go on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    More,
    Waiting,
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
    let mut turn = Turn::default();
    let mut is_first = true;
    client.timer.set(worker.wheel.after(idle));
    let end = poll_fn(|cx| {
        if turn.poll(&worker.lane, cx).is_pending() {
            return Poll::Pending;
        }
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
        let room = turn.room(&worker.lane, worker.wheel.now(), scratch.room());
        let upward = up.poll(scratch, room, &mut client.stream, &mut lease.stream, cx);
        let downward = down.poll(scratch, room, &mut lease.stream, &mut client.stream, cx);
        let n_moved = (up.n_bytes - before.0, down.n_bytes - before.1);
        if n_moved != (0, 0) {
            moved(n_moved.0, n_moved.1);
            client.timer.set(worker.wheel.after(idle));
        }
        match (upward, downward) {
            (Err(Side::Source), _) | (_, Err(Side::Sink)) => return Poll::Ready(TunnelEnd::ClientGone),
            (Err(Side::Sink), _) | (_, Err(Side::Source)) => return Poll::Ready(TunnelEnd::EndpointGone),
            (Ok(up), Ok(down)) if up == Pace::More || down == Pace::More => {
                turn.pause(&worker.lane, cx, n_moved.0 + n_moved.1);
            }
            (Ok(_), Ok(_)) => turn.moved(&worker.lane, n_moved.0 + n_moved.1),
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

    /// Moves about one piece.
    fn poll<R, W>(
        &mut self,
        scratch: &Scratch,
        room: usize,
        source: &mut R,
        sink: &mut W,
        cx: &mut Context<'_>,
    ) -> Result<Pace, Side>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut n_left = PIECE_BYTES as usize;
        while n_left > 0 {
            match self.pending.poll_flush(scratch, sink, cx) {
                Poll::Ready(flushed) => flushed.map_err(|_| Side::Sink)?,
                Poll::Pending => return Ok(Pace::Waiting),
            }
            match self.state {
                FlowState::Ended => return Ok(Pace::Waiting),
                FlowState::Ending => match Pin::new(&mut *sink).poll_shutdown(cx) {
                    Poll::Ready(_) => {
                        self.state = FlowState::Ended;
                        return Ok(Pace::Waiting);
                    }
                    Poll::Pending => return Ok(Pace::Waiting),
                },
                FlowState::Open => {}
            }
            let mut input = scratch.input();
            let n_room = self.n_room.min(room);
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
                Poll::Pending => return Ok(Pace::Waiting),
            }
        }
        Ok(Pace::More)
    }
}
