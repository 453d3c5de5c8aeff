//! Coarse timers of one worker: a wheel of 50 ms ticks, shared by all its connections.
//!
//! A connection owns one [`Timer`] for its life and moves its deadline as it goes; nothing is queued again
//! while the deadline moves later, so a request costs a store. The wheel looks at a timer when the tick
//! comes at which it was queued, and queues it again if its deadline has moved. Deadlines fire at most one
//! tick late, never early.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// The wheel of one worker.
#[derive(Clone)]
pub(crate) struct Wheel {
    inner: Rc<RefCell<Inner>>,
    now: Rc<Cell<u64>>,
}

/// One deadline. Dropping it forgets the deadline.
pub(crate) struct Timer {
    wheel: Wheel,
    index: usize,
}

/// A moment on the wheel's clock, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

struct Inner {
    started: Instant,
    now: u64,
    buckets: Vec<Vec<usize>>,
    entries: Vec<Entry>,
    free: Vec<usize>,
    due: Vec<usize>,
}

struct Entry {
    deadline: u64,
    /// Tick of the earliest bucket that holds this entry; `NEVER` when no bucket does.
    queued: u64,
    waker: Option<Waker>,
    live: bool,
}

// === impl Wheel ===

impl Wheel {
    /// Starts a wheel at tick 0.
    pub(crate) fn new(now: Instant) -> Self {
        let inner = Inner {
            started: now,
            now: 0,
            buckets: (0..BUCKETS).map(|_| Vec::with_capacity(BUCKET_ROOM)).collect(),
            entries: Vec::new(),
            free: Vec::new(),
            due: Vec::with_capacity(BUCKET_ROOM),
        };
        Self { inner: Rc::new(RefCell::new(inner)), now: Rc::new(Cell::new(0)) }
    }

    /// A timer without a deadline.
    pub(crate) fn timer(&self) -> Timer {
        let mut inner = self.inner.borrow_mut();
        let entry = Entry { deadline: NEVER, queued: NEVER, waker: None, live: true };
        let index = match inner.free.pop() {
            Some(index) => {
                // A freed entry may still lie in a bucket; its tick stays known so that it is not queued twice.
                let queued = inner.entries[index].queued;
                inner.entries[index] = Entry { queued, ..entry };
                index
            }
            None => {
                inner.entries.push(entry);
                inner.entries.len() - 1
            }
        };
        Timer { wheel: self.clone(), index }
    }

    /// The current tick.
    pub(crate) fn now(&self) -> Tick {
        Tick(self.now.get())
    }

    /// The tick that is `after` from now, at least the next one; `None` (no limit) for zero.
    pub(crate) fn after(&self, after: Duration) -> Option<Tick> {
        if after.is_zero() {
            return None;
        }
        Some(self.now().plus(after))
    }

    /// Wakes the owner of every timer, so that all look at the world again.
    pub(crate) fn wake_all(&self) {
        for entry in &mut self.inner.borrow_mut().entries {
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// Moves the clock and wakes the owners of deadlines that have passed.
    pub(crate) fn advance(&self, now: Instant) {
        let mut guard = self.inner.borrow_mut();
        let inner = &mut *guard;
        let target = (now.saturating_duration_since(inner.started).as_millis() / u128::from(TICK_MS)) as u64;
        // After a long stall every bucket is looked at once, not once per missed tick.
        let first = inner.now.max(target.saturating_sub(BUCKETS as u64)) + 1;
        for tick in first..=target {
            inner.now = tick;
            let bucket = (tick % BUCKETS as u64) as usize;
            let mut due = std::mem::take(&mut inner.due);
            std::mem::swap(&mut due, &mut inner.buckets[bucket]);
            for index in due.drain(..) {
                let entry = &mut inner.entries[index];
                if entry.queued > tick {
                    // An older place of an entry that is queued elsewhere, or not at all.
                    continue;
                }
                entry.queued = NEVER;
                if !entry.live || entry.deadline == NEVER {
                    continue;
                }
                if entry.deadline <= tick {
                    if let Some(waker) = entry.waker.take() {
                        waker.wake();
                    }
                } else {
                    let at = entry.deadline.min(tick + BUCKETS as u64 - 1);
                    entry.queued = at;
                    inner.buckets[(at % BUCKETS as u64) as usize].push(index);
                }
            }
            inner.due = due;
        }
        inner.now = inner.now.max(target);
        self.now.set(inner.now);
    }
}

// === impl Tick ===

impl Tick {
    /// The first tick at which `after` has surely passed.
    pub(crate) fn plus(self, after: Duration) -> Tick {
        // In 64 bits: a division of 128 costs more than all the rest of this.
        let ms = after.as_secs().saturating_mul(1_000).saturating_add(after.subsec_millis().into());
        Tick(self.0.saturating_add(ms.div_ceil(TICK_MS)).saturating_add(1))
    }

    /// The earlier of two optional deadlines.
    pub(crate) fn earlier(a: Option<Tick>, b: Option<Tick>) -> Option<Tick> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Time from `earlier` to `self`.
    pub(crate) fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0) * TICK_MS)
    }
}

// === impl Timer ===

impl Timer {
    /// Moves the deadline; `None` takes it away.
    pub(crate) fn set(&self, deadline: Option<Tick>) {
        let mut guard = self.wheel.inner.borrow_mut();
        let inner = &mut *guard;
        let entry = &mut inner.entries[self.index];
        entry.deadline = deadline.map_or(NEVER, |tick| tick.0);
        if entry.deadline < entry.queued {
            let at = entry.deadline.max(inner.now + 1).min(inner.now + BUCKETS as u64 - 1);
            if at < entry.queued {
                entry.queued = at;
                inner.buckets[(at % BUCKETS as u64) as usize].push(self.index);
            }
        }
    }

    /// True once the deadline has passed; otherwise the task of `cx` is woken when it does.
    pub(crate) fn poll_expired(&self, cx: &mut Context<'_>) -> bool {
        let mut inner = self.wheel.inner.borrow_mut();
        let now = inner.now;
        let entry = &mut inner.entries[self.index];
        if entry.deadline <= now {
            return true;
        }
        match &entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => entry.waker = Some(cx.waker().clone()),
        }
        false
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut inner = self.wheel.inner.borrow_mut();
        let entry = &mut inner.entries[self.index];
        entry.live = false;
        entry.deadline = NEVER;
        entry.waker = None;
        inner.free.push(self.index);
    }
}

/// Length of a tick.
pub(crate) const TICK: Duration = Duration::from_millis(TICK_MS);
const TICK_MS: u64 = 50;
/// A deadline that is further away is looked at now and then.
const BUCKETS: usize = 64;
/// Timers that a bucket has room for from the start.
const BUCKET_ROOM: usize = 8;
const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[track_caller]
    fn check(deadlines_ms: &[u64], steps_ms: &[u64], fires_at_ms: Option<u64>) {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let timer = wheel.timer();
        for ms in deadlines_ms {
            timer.set(wheel.after(Duration::from_millis(*ms)));
        }
        assert!(!timer.poll_expired(&mut cx));
        let mut fired = None;
        for ms in steps_ms {
            wheel.advance(start + Duration::from_millis(*ms));
            if count.0.load(Ordering::Relaxed) > 0 && fired.is_none() {
                assert!(timer.poll_expired(&mut cx));
                fired = Some(*ms);
            }
        }
        assert_eq!(fired, fires_at_ms);
    }

    #[test]
    fn fires_at_the_latest_deadline_set() {
        let steps: Vec<u64> = (0..4000).map(|n| n * 50).collect();
        check(&[100], &steps, Some(150));
        check(&[100, 60_000], &steps, Some(60_050));
        check(&[60_000, 100], &steps, Some(150));
        check(&[100, 0], &steps, None);
        check(&[40_000], &steps, Some(40_050));
        check(&[1], &steps, Some(100));
    }

    #[test]
    fn a_stall_of_the_clock_fires_once_it_ends() {
        check(&[1_000], &[50, 90_000], Some(90_000));
        check(&[80_000], &[50, 79_000, 79_500, 80_050], Some(80_050));
    }

    #[test]
    fn a_dropped_timer_wakes_nobody_and_its_place_is_used_again() {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let first = wheel.timer();
        first.set(wheel.after(Duration::from_millis(100)));
        first.poll_expired(&mut cx);
        drop(first);
        let second = wheel.timer();
        second.set(wheel.after(Duration::from_millis(300)));
        assert!(!second.poll_expired(&mut cx));
        for ms in (0..300).step_by(50) {
            wheel.advance(start + Duration::from_millis(ms));
            assert_eq!(count.0.load(Ordering::Relaxed), 0);
        }
        wheel.advance(start + Duration::from_millis(400));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(wheel.inner.borrow().entries.len(), 1);
    }
}
