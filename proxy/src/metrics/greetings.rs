//! Counts of PROXY headers of clients by what they were.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a connection of a trusted peer began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// A header with addresses.
    Proxied,
    /// A header of a peer that speaks for itself.
    Local,
    /// Something else, or nothing in time: the connection was closed.
    Refused,
}

/// Counters of one process.
#[derive(Default)]
pub(crate) struct GreetingCounts {
    counts: [AtomicU64; 3],
}

// === impl GreetingCounts ===

impl GreetingCounts {
    pub(crate) fn count(&self, greeting: Greeting) {
        if let Some(count) = self.counts.get(greeting as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Results with their counts.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        ["proxied", "local", "refused"].into_iter().zip(counts)
    }
}
