//! How many writes of clients have ended: views that have taken in as many are as new as what clients were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts writes that were given to an engine.
#[derive(Debug, Default)]
pub struct Writes {
    n_done: AtomicU64,
}

/// Counts a write when nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Done(Arc<Writes>);

// === impl Writes ===

impl Writes {
    /// Those that the engine has answered, or whose clients have left.
    pub(super) fn n_done(&self) -> u64 {
        self.n_done.load(Ordering::Acquire)
    }

    /// One that the engine gets. It counts when this is dropped: a client that leaves ends its future, and the engine
    /// writes all the same.
    pub(super) fn begin(self: &Arc<Self>) -> Done {
        Done(Arc::clone(self))
    }
}

// === impl Done ===

impl Drop for Done {
    fn drop(&mut self) {
        self.0.n_done.fetch_add(1, Ordering::AcqRel);
    }
}
