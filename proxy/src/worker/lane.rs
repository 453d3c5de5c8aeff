//! The turns of transfers that move much: one at a time, and before the next one whatever else is ready.
//!
//! A task that wakes itself goes on before the runtime looks what has arrived, and so do all that do the same: a small
//! request would wait for a piece of each of them, many times. Here one transfer moves one piece, then the runtime looks
//! for news, serves them, and the next transfer moves its piece.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Worker;
use super::exchange::Progress;
use super::timer::Tick;

/// The lane of one worker.
#[derive(Default)]
pub(crate) struct Lane {
    waiting: RefCell<VecDeque<Rc<Place>>>,
    /// A piece was moved, or is about to be, since the runtime looked for news.
    is_spent: Cell<bool>,
    conductor: RefCell<Option<Waker>>,
    /// Small requests come, and pieces are small, up to here.
    quick_until: Cell<Option<Tick>>,
}

/// One transfer's side of the lane. It costs nothing until the transfer has moved much.
#[derive(Default)]
pub(crate) struct Turn {
    place: Option<Rc<Place>>,
}

struct Place {
    state: Cell<State>,
    waker: RefCell<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in the lane.
    Out,
    Waiting,
    /// Its turn has come.
    Granted,
}

// === impl Turn ===

impl Turn {
    /// Ready when the transfer may move a piece.
    pub(crate) fn poll(&self, lane: &Lane, cx: &Context<'_>) -> Poll<()> {
        let Some(place) = &self.place else { return Poll::Ready(()) };
        match place.state.get() {
            State::Granted => {
                place.state.set(State::Out);
                Poll::Ready(())
            }
            State::Out if !lane.is_spent.get() => Poll::Ready(()),
            State::Out => {
                lane.line_up(place, cx);
                Poll::Pending
            }
            State::Waiting => {
                place.waker.borrow_mut().clone_from(cx.waker());
                Poll::Pending
            }
        }
    }

    /// The transfer moved so many bytes and could move more: it goes on when its next turn comes.
    pub(crate) fn pause(&mut self, lane: &Lane, cx: &Context<'_>, n_bytes: u64) {
        match n_bytes >= PIECE_BYTES {
            true => self.end(lane, cx),
            // Many small steps delay nobody as long as others run between them.
            false => cx.waker().wake_by_ref(),
        }
    }

    fn end(&mut self, lane: &Lane, cx: &Context<'_>) {
        let place = self.place.get_or_insert_with(|| {
            Rc::new(Place { state: Cell::new(State::Out), waker: RefCell::new(cx.waker().clone()) })
        });
        lane.is_spent.set(true);
        lane.line_up(place, cx);
    }

    /// How much of `room` the transfer may read at once: large pieces cost less, small ones delay requests less.
    pub(crate) fn room(&self, lane: &Lane, now: Tick, room: usize) -> usize {
        let is_quick = self.place.is_some() && lane.quick_until.get().is_some_and(|until| now < until);
        if is_quick { room.min(QUICK_BYTES) } else { room }
    }

    /// The transfer moved so many bytes and waits for a socket now.
    pub(crate) fn moved(&self, lane: &Lane, n_bytes: u64) {
        if self.place.is_some() && n_bytes >= LITTLE_BYTES {
            lane.is_spent.set(true);
            lane.wake_conductor();
        }
    }
}

// === impl Lane ===

impl Lane {
    /// A request was answered. If it was a small one, others may follow until then.
    pub(crate) fn served(&self, progress: &Progress, until: Option<Tick>) {
        if progress.n_moved() < PIECE_BYTES {
            self.quick_until.set(until);
        }
    }

    fn line_up(&self, place: &Rc<Place>, cx: &Context<'_>) {
        place.waker.borrow_mut().clone_from(cx.waker());
        place.state.set(State::Waiting);
        self.waiting.borrow_mut().push_back(Rc::clone(place));
        self.wake_conductor();
    }

    fn wake_conductor(&self) {
        if let Some(conductor) = self.conductor.borrow_mut().take() {
            conductor.wake();
        }
    }

    /// Ready when there is something to conduct.
    fn poll_use(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_spent.get() || !self.waiting.borrow().is_empty() {
            return Poll::Ready(());
        }
        *self.conductor.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Gives the next transfer its turn.
    fn next(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        self.is_spent.set(next.is_some());
        if let Some(place) = next {
            place.state.set(State::Granted);
            place.waker.borrow().wake_by_ref();
        }
    }
}

/// Gives turns for as long as the worker runs.
pub(crate) async fn conduct(worker: Rc<Worker>) {
    loop {
        poll_fn(|cx| worker.lane.poll_use(cx)).await;
        // Comes back when everything that was ready has run and the runtime has looked for news.
        tokio::task::yield_now().await;
        worker.lane.next();
    }
}

/// A transfer that moved so many bytes in its turn lets others go first.
pub(crate) const PIECE_BYTES: u64 = 64 * 1024;
/// Largest piece while small requests come.
const QUICK_BYTES: usize = 64 * 1024;
/// Time after a small request in which another one is expected.
pub(crate) const QUICK_TIME: Duration = Duration::from_millis(100);
/// Fewer bytes delay nobody.
const LITTLE_BYTES: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_in_order() {
        let lane = Lane::default();
        let cx = Context::from_waker(Waker::noop());
        let (mut one, mut two) = (Turn::default(), Turn::default());
        assert!(one.poll(&lane, &cx).is_ready() && two.poll(&lane, &cx).is_ready(), "small ones do not wait");
        one.end(&lane, &cx);
        two.end(&lane, &cx);
        assert!(one.poll(&lane, &cx).is_pending() && two.poll(&lane, &cx).is_pending());
        lane.next();
        assert!(two.poll(&lane, &cx).is_pending());
        assert!(one.poll(&lane, &cx).is_ready());
        assert!(one.poll(&lane, &cx).is_pending(), "it is the other's turn");
        lane.next();
        assert!(one.poll(&lane, &cx).is_pending());
        assert!(two.poll(&lane, &cx).is_ready());
        lane.next();
        assert!(one.poll(&lane, &cx).is_ready());
    }

    #[test]
    fn who_waits_for_a_socket_has_had_its_turn() {
        let lane = Lane::default();
        let cx = Context::from_waker(Waker::noop());
        let (mut one, mut two) = (Turn::default(), Turn::default());
        one.end(&lane, &cx);
        two.end(&lane, &cx);
        lane.next();
        lane.next();
        lane.next();
        assert!(lane.poll_use(&cx).is_pending(), "nothing to conduct");
        assert!(one.poll(&lane, &cx).is_ready());
        one.moved(&lane, 1);
        assert!(one.poll(&lane, &cx).is_ready(), "that was little");
        one.moved(&lane, PIECE_BYTES);
        assert!(two.poll(&lane, &cx).is_ready(), "its turn had come before");
        assert!(two.poll(&lane, &cx).is_pending());
        assert!(lane.poll_use(&cx).is_ready());
        lane.next();
        assert!(two.poll(&lane, &cx).is_ready());
    }

    #[test]
    fn who_left_costs_one_turn() {
        let lane = Lane::default();
        let cx = Context::from_waker(Waker::noop());
        let mut one = Turn::default();
        one.end(&lane, &cx);
        drop(one);
        lane.next();
        lane.next();
        assert!(lane.poll_use(&cx).is_pending());
    }
}
