//! Counts of active health checks by back end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Good and bad checks by back end.
#[derive(Default)]
pub(crate) struct CheckCounts {
    counts: Mutex<BTreeMap<String, [u64; 2]>>,
}

// === impl CheckCounts ===

impl CheckCounts {
    pub(crate) fn count(&self, backend: &str, is_good: bool) {
        // Every change leaves the map whole.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(backend) {
            Some(both) => both[usize::from(is_good)] += 1,
            None => {
                let mut both = [0; 2];
                both[usize::from(is_good)] = 1;
                counts.insert(backend.to_owned(), both);
            }
        }
    }

    /// `(back end, bad, good)`.
    pub(crate) fn all(&self) -> Vec<(String, u64, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(backend, [bad, good])| (backend.clone(), *bad, *good)).collect()
    }
}
