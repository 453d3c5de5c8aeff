//! How upgrades of the binary went, as the supervisor tells the server that leads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::supervisor::channel::Upgrades;

/// Counts over all binaries that the supervisor has been.
#[derive(Default)]
pub(crate) struct UpgradeCounts {
    n_done: AtomicU64,
    n_failed: AtomicU64,
    n_retired: AtomicU64,
}

// === impl UpgradeCounts ===

impl UpgradeCounts {
    pub(crate) fn set(&self, upgrades: &Upgrades) {
        self.n_done.store(upgrades.n_done, Ordering::Relaxed);
        self.n_failed.store(upgrades.n_failed, Ordering::Relaxed);
        self.n_retired.store(upgrades.n_retired, Ordering::Relaxed);
    }

    /// Upgrades by result.
    pub(crate) fn all(&self) -> [(&'static str, u64); 2] {
        [("done", self.n_done.load(Ordering::Relaxed)), ("failed", self.n_failed.load(Ordering::Relaxed))]
    }

    /// Servers that finish what they began.
    pub(crate) fn n_retired(&self) -> u64 {
        self.n_retired.load(Ordering::Relaxed)
    }
}
