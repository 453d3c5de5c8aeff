//! Who waits for a connection to a busy back end: first come, first served.
//!
//! Each connection that ends wakes the one who has waited longest among those not woken yet. Whoever is woken and goes
//! without taking anything wakes the next, so that room is never left to somebody who gave up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Waker};

/// The queue of one worker before one back end.
#[derive(Default)]
pub(crate) struct Queue {
    /// Those who were not woken, by the order in which they came.
    sleeping: RefCell<BTreeMap<u64, Waker>>,
    n_waiting: Cell<u32>,
    next: Cell<u64>,
}

/// A place in a queue; dropping it leaves the queue.
pub(crate) struct Place {
    queue: Rc<Queue>,
    number: u64,
    /// It took what it waited for.
    is_served: bool,
}

// === impl Queue ===

impl Queue {
    /// Somebody waits: whoever comes now has to wait too.
    pub(crate) fn is_used(&self) -> bool {
        self.n_waiting.get() > 0
    }

    /// Takes a place behind all others, if fewer than `max` are taken.
    pub(crate) fn join(self: &Rc<Self>, max: u32) -> Option<Place> {
        if self.n_waiting.get() >= max {
            return None;
        }
        self.n_waiting.set(self.n_waiting.get() + 1);
        let number = self.next.get();
        self.next.set(number + 1);
        Some(Place { queue: Rc::clone(self), number, is_served: false })
    }

    /// There is room for one.
    pub(crate) fn wake_one(&self) {
        let first = self.sleeping.borrow_mut().pop_first();
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }

    /// All look again: who knows how much room there is now.
    pub(crate) fn wake_all(&self) {
        let all = std::mem::take(&mut *self.sleeping.borrow_mut());
        for waker in all.into_values() {
            waker.wake();
        }
    }
}

// === impl Place ===

impl Place {
    /// Waits at the same place as before.
    pub(crate) fn sleep(&self, cx: &Context<'_>) {
        self.queue.sleeping.borrow_mut().insert(self.number, cx.waker().clone());
    }

    /// Leaves with what it waited for.
    pub(crate) fn served(mut self) {
        self.is_served = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.n_waiting.set(self.queue.n_waiting.get().saturating_sub(1));
        let was_asleep = self.queue.sleeping.borrow_mut().remove(&self.number).is_some();
        if !was_asleep && !self.is_served {
            self.queue.wake_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// A place whose owner sleeps, and whether it was woken.
    fn sleeper(queue: &Rc<Queue>) -> (Place, Arc<Woken>) {
        let woken = Arc::new(Woken::default());
        let place = queue.join(10).expect("room for ten");
        place.sleep(&Context::from_waker(&Waker::from(Arc::clone(&woken))));
        (place, woken)
    }

    fn is_woken(woken: &Woken) -> bool {
        woken.0.swap(false, Ordering::Relaxed)
    }

    #[test]
    fn first_come_first_served_and_no_more_than_may_wait() {
        let queue = Rc::new(Queue::default());
        let (first, first_woken) = sleeper(&queue);
        let (second, second_woken) = sleeper(&queue);
        assert!(queue.join(2).is_none());
        queue.wake_one();
        assert_eq!((is_woken(&first_woken), is_woken(&second_woken)), (true, false));
        first.served();
        assert!(!is_woken(&second_woken), "the room is taken");
        assert!(queue.join(2).is_some());
        drop(second);
        assert!(!queue.is_used());
    }

    #[test]
    fn who_gives_up_leaves_room_to_the_next() {
        let queue = Rc::new(Queue::default());
        let (first, _) = sleeper(&queue);
        let (second, _) = sleeper(&queue);
        let (_third, third_woken) = sleeper(&queue);
        drop(first);
        assert!(!is_woken(&third_woken), "it gave up without having been woken");
        queue.wake_one();
        drop(second);
        assert!(is_woken(&third_woken), "the second was woken and took nothing");
    }

    #[test]
    fn who_sleeps_again_keeps_its_place() {
        let queue = Rc::new(Queue::default());
        let (first, first_woken) = sleeper(&queue);
        let (_second, second_woken) = sleeper(&queue);
        queue.wake_one();
        assert!(is_woken(&first_woken));
        first.sleep(&Context::from_waker(&Waker::from(Arc::clone(&first_woken))));
        queue.wake_one();
        assert_eq!((is_woken(&first_woken), is_woken(&second_woken)), (true, false));
        first.sleep(&Context::from_waker(&Waker::from(Arc::clone(&first_woken))));
        queue.wake_all();
        assert_eq!((is_woken(&first_woken), is_woken(&second_woken)), (true, true));
    }
}
