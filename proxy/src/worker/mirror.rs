//! Copies of requests for other back ends (RequestMirror). A copy travels in a task of its own: the request gives it the
//! pieces of its body and never waits for it. One that lags is dropped.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use igw_h1::Limits;

use super::Worker;
use super::client::Peer;
use super::exchange::{AttemptLimits, Failure, Progress};
use super::forward::{Downstream, Forwarded, forward, head_limits};
use super::message::{BodyPiece, ClientSide, Piece, attempt};
use super::request::{Outcome, Request};
use super::timer::Timer;
use crate::metrics::mirrors::Mirrored;
use crate::tables::MirrorTables;
use crate::upstream::local::Leased;

/// The copies of one request. When the request ends, they know.
pub(crate) struct Mirrors {
    feeds: Vec<Rc<Feed>>,
}

/// What a worker has of copies under way.
#[derive(Default)]
pub(crate) struct Copies {
    n_under_way: Cell<usize>,
    /// Bytes of bodies that wait for them.
    n_waiting: Cell<usize>,
}

/// The body of one copy, from its request to its task.
struct Feed {
    worker: Rc<Worker>,
    state: RefCell<FeedState>,
}

struct FeedState {
    pieces: VecDeque<BodyPiece>,
    n_bytes: usize,
    end: Option<BodyEnd>,
    is_request_over: bool,
    /// The copy's task.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyEnd {
    Whole,
    /// The request broke off.
    Broken,
    /// The copy lags.
    Lagging,
}

/// The client of a copy: it sends what its request sends, and reads nothing.
struct Copy {
    feed: FeedEnd,
    timer: Timer,
    peer: Peer,
}

/// The end of a feed that is read.
struct FeedEnd(Rc<Feed>);

/// Draws which of the mirrors get a copy, and sends the copies on their way. The request has its head already.
pub(crate) fn mirror<'t>(
    worker: &Rc<Worker>,
    client: &Peer,
    request: &mut Request,
    mirrors: impl Iterator<Item = &'t MirrorTables>,
) {
    // What travels in a tunnel is not a request.
    let drawn = mirrors
        .filter(|mirror| !request.upgrade && worker.random.below(mirror.denominator) < mirror.numerator);
    let mut feeds = Vec::new();
    for mirror in drawn {
        if worker.copies.n_under_way.get() >= COPIES_MAX {
            worker.count_mirrored(Mirrored::Dropped);
            continue;
        }
        let feed = Rc::new(Feed::new(worker, request.has_whole_body()));
        let copied = request.copied(worker.local(&mirror.backend));
        let peer = Peer::new(client.address, client.destination);
        worker.copies.n_under_way.set(worker.copies.n_under_way.get() + 1);
        tokio::task::spawn_local(send(copied, Rc::clone(&feed), peer));
        feeds.push(feed);
    }
    if !feeds.is_empty() {
        request.mirrors = Some(Box::new(Mirrors { feeds }));
    }
}

/// Sends one copy.
async fn send(request: Request, feed: Rc<Feed>, peer: Peer) {
    let worker = Rc::clone(&feed.worker);
    let result = match &request.outcome {
        Outcome::Answer(_) => Mirrored::Failed,
        Outcome::Forward(local) => {
            let settings = worker.port_settings(request.port).unwrap_or_else(|| worker.default_settings());
            let limits = head_limits(&settings);
            let timer = worker.wheel.timer();
            let mut copy = Copy { feed: FeedEnd(Rc::clone(&feed)), timer, peer };
            let mut sending = pin!(forward(&worker, &mut copy, &request, local, &settings, &limits));
            let mut patience = pin!(async {
                poll_fn(|cx| feed.poll_over(cx)).await;
                tokio::time::sleep(PATIENCE).await;
            });
            poll_fn(|cx| {
                if let Poll::Ready(forwarded) = sending.as_mut().poll(cx) {
                    return Poll::Ready(match forwarded {
                        Forwarded::Answered(_) => Mirrored::Answered,
                        _ if feed.is_lagging() => Mirrored::Dropped,
                        Forwarded::Failed(..) | Forwarded::Broken(..) | Forwarded::Tunnel(..) => {
                            Mirrored::Failed
                        }
                    });
                }
                patience.as_mut().poll(cx).map(|()| Mirrored::Dropped)
            })
            .await
        }
    };
    worker.count_mirrored(result);
    worker.copies.n_under_way.set(worker.copies.n_under_way.get() - 1);
    feed.end(BodyEnd::Broken);
    worker.scratch.give(request.head);
}

// === impl Mirrors ===

impl Mirrors {
    /// Gives a part of the body to every copy.
    pub(crate) fn data(&self, bytes: &[u8]) {
        if !bytes.is_empty() && self.feeds.iter().any(|feed| feed.is_open()) {
            self.shared_data(&Bytes::copy_from_slice(bytes));
        }
    }

    /// The same of memory that is shared.
    pub(crate) fn shared_data(&self, bytes: &Bytes) {
        self.feeds.iter().for_each(|feed| feed.push(BodyPiece::Data(bytes.clone()), bytes.len()));
    }

    /// The body ends with these trailers.
    pub(crate) fn trailers(&self, trailers: &http::HeaderMap) {
        self.feeds.iter().for_each(|feed| feed.push(BodyPiece::Trailers(trailers.clone()), 0));
        self.finish();
    }

    /// The body is complete.
    pub(crate) fn finish(&self) {
        self.feeds.iter().for_each(|feed| feed.end(BodyEnd::Whole));
    }
}

impl Drop for Mirrors {
    fn drop(&mut self) {
        for feed in &self.feeds {
            feed.end(BodyEnd::Broken);
            feed.state.borrow_mut().is_request_over = true;
            feed.wake();
        }
    }
}

// === impl Feed ===

impl Feed {
    fn new(worker: &Rc<Worker>, is_whole: bool) -> Self {
        let state = FeedState {
            pieces: VecDeque::new(),
            n_bytes: 0,
            end: is_whole.then_some(BodyEnd::Whole),
            is_request_over: false,
            waker: None,
        };
        Self { worker: Rc::clone(worker), state: RefCell::new(state) }
    }

    fn is_open(&self) -> bool {
        self.state.borrow().end.is_none()
    }

    fn is_lagging(&self) -> bool {
        self.state.borrow().end == Some(BodyEnd::Lagging)
    }

    fn push(&self, piece: BodyPiece, n_bytes: usize) {
        if !self.is_open() {
            return;
        }
        let waiting = &self.worker.copies.n_waiting;
        let has_room =
            self.state.borrow().n_bytes + n_bytes <= LAG_BYTES && waiting.get() + n_bytes <= LAGS_BYTES;
        if !has_room {
            return self.end(BodyEnd::Lagging);
        }
        let mut state = self.state.borrow_mut();
        state.pieces.push_back(piece);
        state.n_bytes += n_bytes;
        waiting.set(waiting.get() + n_bytes);
        drop(state);
        self.wake();
    }

    /// The first end counts. Nobody wants the rest of a body that breaks off.
    fn end(&self, end: BodyEnd) {
        let mut state = self.state.borrow_mut();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        if end != BodyEnd::Whole {
            state.pieces.clear();
            self.took(state.n_bytes);
            state.n_bytes = 0;
        }
        drop(state);
        self.wake();
    }

    fn took(&self, n_bytes: usize) {
        let waiting = &self.worker.copies.n_waiting;
        waiting.set(waiting.get().saturating_sub(n_bytes));
    }

    fn wake(&self) {
        if let Some(waker) = self.state.borrow_mut().waker.take() {
            waker.wake();
        }
    }

    /// Pending with the one task that looks here to be woken.
    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.state.borrow_mut().waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when the request has ended.
    fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        if self.state.borrow().is_request_over { Poll::Ready(()) } else { self.wait(cx) }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let n_bytes = self.state.get_mut().n_bytes;
        self.took(n_bytes);
    }
}

// === impl Copy ===

impl Downstream for Copy {
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
        let ended =
            attempt::run(worker, &mut self.feed, request, &self.timer, leased, limits, head_limits).await;
        (ended.outcome, ended.progress)
    }
}

impl ClientSide for FeedEnd {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<BodyPiece, Failure>>> {
        let mut state = self.0.state.borrow_mut();
        let Some(piece) = state.pieces.pop_front() else {
            return match state.end {
                Some(BodyEnd::Whole) => Poll::Ready(None),
                Some(BodyEnd::Broken | BodyEnd::Lagging) => Poll::Ready(Some(Err(Failure::ClientGone))),
                None => {
                    drop(state);
                    self.0.wait(cx)
                }
            };
        };
        if let BodyPiece::Data(bytes) = &piece {
            state.n_bytes -= bytes.len();
            self.0.took(bytes.len());
        }
        Poll::Ready(Some(Ok(piece)))
    }

    fn release(&mut self, _: usize) {}

    fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn give(&mut self, _: Piece) -> Result<(), Failure> {
        Ok(())
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = self.0.state.borrow().end;
        match end {
            Some(BodyEnd::Broken | BodyEnd::Lagging) => Poll::Ready(()),
            Some(BodyEnd::Whole) | None => self.0.wait(cx),
        }
    }
}

/// Copies under way in one worker; more are dropped.
const COPIES_MAX: usize = 1_024;
/// Bytes of a body by which a copy may lag behind its request: two reads.
const LAG_BYTES: usize = 1024 * 1024;
/// The same of all copies of a worker together.
const LAGS_BYTES: usize = 16 * LAG_BYTES;
/// How much longer than its request a copy may take.
const PATIENCE: Duration = Duration::from_secs(10);
