//! Counts of connections that were ended because a client asked too much, by what it did.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a client did too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abuse {
    /// Streams given up before they had an answer.
    AbandonedStreams,
}

/// Counters of one process.
#[derive(Default)]
pub(crate) struct AbuseCounts {
    counts: [AtomicU64; Abuse::ALL.len()],
}

// === impl Abuse ===

impl Abuse {
    pub(crate) const ALL: [Abuse; 1] = [Abuse::AbandonedStreams];

    fn as_str(self) -> &'static str {
        match self {
            Self::AbandonedStreams => "abandoned_streams",
        }
    }
}

// === impl AbuseCounts ===

impl AbuseCounts {
    pub(crate) fn count(&self, abuse: Abuse) {
        if let Some(count) = self.counts.get(abuse as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Kinds with their counts.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Abuse::ALL.into_iter().map(Abuse::as_str).zip(counts)
    }
}
