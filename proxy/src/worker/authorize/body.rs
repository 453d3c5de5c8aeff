//! Bodies of requests that a service wants to see: kept whole before they go on, up to the size that its filter says and
//! within what a worker may keep of all of them together.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderMap;
use igw_crds::snapshot::Settings;
use igw_h1::Body;

use crate::worker::Worker;
use crate::worker::exchange::Failure;
use crate::worker::message::{BodyPiece, ClientSide, Piece};
use crate::worker::request::Request;
use crate::worker::timer::{Tick, Timer};

/// Bytes of bodies that one worker keeps.
#[derive(Default)]
pub(crate) struct Kept(Rc<Cell<usize>>);

/// A part of them, counted until dropped.
pub(crate) struct Room {
    total: Rc<Cell<usize>>,
    n_bytes: usize,
}

/// Why a body was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// It is larger than the filter says.
    TooLarge,
    /// Others keep too much.
    NoRoom,
    Failed(Failure),
}

/// A whole body.
pub(crate) struct Whole {
    pub(crate) bytes: Vec<u8>,
    pub(crate) room: Room,
}

/// Receives a whole body from `client`.
pub(crate) async fn receive<C: ClientSide>(
    worker: &Worker,
    client: &mut C,
    request: &Request,
    timer: &Timer,
    settings: &Settings,
    n_max: usize,
) -> Result<Whole, NotKept> {
    let mut whole = Whole { bytes: Vec::new(), room: worker.kept_bodies.room() };
    if let Body::Length(length) = request.body
        && length > n_max as u64
    {
        return Err(NotKept::TooLarge);
    }
    if request.has_whole_body() {
        return Ok(whole);
    }
    if request.expects_continue {
        let go_on = Piece::Interim(100, HeaderMap::new());
        client.give(go_on).map_err(NotKept::Failed)?;
    }
    let started = worker.wheel.now();
    poll_fn(|cx| poll(worker, client, request, timer, settings, n_max, started, &mut whole, cx)).await?;
    Ok(whole)
}

#[allow(clippy::too_many_arguments)]
fn poll<C: ClientSide>(
    worker: &Worker,
    client: &mut C,
    request: &Request,
    timer: &Timer,
    settings: &Settings,
    n_max: usize,
    started: Tick,
    whole: &mut Whole,
    cx: &mut Context<'_>,
) -> Poll<Result<(), NotKept>> {
    loop {
        let piece = match client.poll_room(cx) {
            Poll::Ready(Ok(())) => client.poll_body(cx),
            Poll::Ready(Err(failure)) => return Poll::Ready(Err(NotKept::Failed(failure))),
            Poll::Pending => Poll::Pending,
        };
        if piece.is_pending() {
            timer.set(Tick::earlier(request.deadline, deadline(settings, started, whole.bytes.len())));
            if !timer.poll_expired(cx) {
                return Poll::Pending;
            }
            let is_over = request.deadline.is_some_and(|deadline| deadline <= worker.wheel.now());
            let failure = if is_over { Failure::RequestTimeout } else { Failure::SlowBody };
            return Poll::Ready(Err(NotKept::Failed(failure)));
        }
        match ready!(piece) {
            None => return Poll::Ready(Ok(())),
            Some(Err(failure)) => return Poll::Ready(Err(NotKept::Failed(failure))),
            // Fields behind a body may be left out (RFC 9110 6.5.1).
            Some(Ok(BodyPiece::Trailers(_))) => return Poll::Ready(Ok(())),
            Some(Ok(BodyPiece::Data(bytes))) => {
                if whole.bytes.len() + bytes.len() > n_max {
                    return Poll::Ready(Err(NotKept::TooLarge));
                }
                if !whole.room.grow(bytes.len()) {
                    return Poll::Ready(Err(NotKept::NoRoom));
                }
                whole.bytes.extend_from_slice(&bytes);
                client.release(bytes.len());
            }
        }
    }
}

/// The client must have sent `rate * time` bytes at any time after the grace.
fn deadline(settings: &Settings, started: Tick, n_bytes: usize) -> Option<Tick> {
    let grace = (settings.body_grace_ms > 0).then(|| Duration::from_millis(settings.body_grace_ms))?;
    let earned_ms = (n_bytes as u64).saturating_mul(1_000).checked_div(settings.body_min_rate.into())?;
    Some(started.plus(Duration::from_millis(earned_ms).max(grace)))
}

// === impl Kept ===

impl Kept {
    fn room(&self) -> Room {
        Room { total: Rc::clone(&self.0), n_bytes: 0 }
    }
}

// === impl Room ===

impl Room {
    /// Counts more bytes; false if there is no room for them.
    pub(super) fn grow(&mut self, n_bytes: usize) -> bool {
        let total = self.total.get() + n_bytes;
        if total > KEPT_BYTES {
            return false;
        }
        self.total.set(total);
        self.n_bytes += n_bytes;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.total.set(self.total.get().saturating_sub(self.n_bytes));
    }
}

/// Bytes of bodies that one worker keeps until they are with their back ends.
const KEPT_BYTES: usize = 64 * 1024 * 1024;
