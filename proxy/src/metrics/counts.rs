//! Counts of what happened in the process, by kind. For what is rare: all threads write one counter.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// Kinds that are counted apart.
pub(crate) trait Counted: Copy + 'static {
    /// Every kind, in the order of [`Counted::index`].
    const ALL: &'static [Self];

    /// Place in [`Counted::ALL`].
    fn index(self) -> usize;

    /// Value of the metric's label.
    fn as_str(self) -> &'static str;
}

/// Counters of one process.
pub(crate) struct Counts<K> {
    counts: Box<[AtomicU64]>,
    kind: PhantomData<fn(K)>,
}

// === impl Counts ===

impl<K: Counted> Counts<K> {
    pub(crate) fn count(&self, kind: K) {
        self.add(kind, 1);
    }

    pub(crate) fn add(&self, kind: K, n: u64) {
        if let Some(count) = self.counts.get(kind.index()) {
            count.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Kinds with their counts.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        K::ALL.iter().map(|kind| kind.as_str()).zip(counts)
    }
}

impl<K: Counted> Default for Counts<K> {
    fn default() -> Self {
        Self { counts: K::ALL.iter().map(|_| AtomicU64::new(0)).collect(), kind: PhantomData }
    }
}
