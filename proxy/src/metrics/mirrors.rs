//! Counts of copies of requests by how they ended.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mirrored {
    /// Its back end answered, whatever it said.
    Answered,
    /// It lagged behind its request, took too long after it, or there were too many.
    Dropped,
    /// There was no answer, or its request broke off.
    Failed,
}

/// Counters of one process.
#[derive(Default)]
pub(crate) struct MirrorCounts {
    counts: [AtomicU64; Mirrored::ALL.len()],
}

// === impl Mirrored ===

impl Mirrored {
    pub(crate) const ALL: [Mirrored; 3] = [Mirrored::Answered, Mirrored::Dropped, Mirrored::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

// === impl MirrorCounts ===

impl MirrorCounts {
    pub(crate) fn count(&self, mirrored: Mirrored) {
        if let Some(count) = self.counts.get(mirrored as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Results with their counts.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Mirrored::ALL.into_iter().map(Mirrored::as_str).zip(counts)
    }
}
