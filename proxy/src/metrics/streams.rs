//! Counters of connections that are passed on as they are. Each worker writes its own cell.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamResult {
    /// Both sides said their ends.
    Done,
    /// One side broke off.
    Broken,
    /// No endpoint took it.
    Failed,
    /// Nothing was said for too long.
    Idle,
    /// The process ends.
    Drained,
    /// No route or no valid back end.
    Refused,
}

/// Counters of one series.
pub(crate) struct StreamSeries {
    cells: Box<[Cell]>,
}

#[derive(Default)]
#[repr(align(64))]
struct Cell {
    results: [AtomicU64; StreamResult::ALL.len()],
    received: AtomicU64,
    sent: AtomicU64,
    active: AtomicU64,
}

/// Sums of a series at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamSums {
    /// By result.
    pub(crate) results: [u64; StreamResult::ALL.len()],
    /// Bytes of clients.
    pub(crate) received: u64,
    /// Bytes to clients.
    pub(crate) sent: u64,
    pub(crate) active: u64,
}

// === impl StreamResult ===

impl StreamResult {
    pub(crate) const ALL: [StreamResult; 6] =
        [Self::Done, Self::Broken, Self::Failed, Self::Idle, Self::Drained, Self::Refused];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Broken => "broken",
            Self::Failed => "failed",
            Self::Idle => "idle",
            Self::Drained => "drained",
            Self::Refused => "refused",
        }
    }
}

// === impl StreamSeries ===

impl StreamSeries {
    pub(crate) fn new(n_workers: usize) -> Self {
        Self { cells: (0..n_workers.max(1)).map(|_| Cell::default()).collect() }
    }

    /// Counts a connection of worker `worker` that begins.
    pub(crate) fn begin(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            change(&cell.active, |active| active + 1);
        }
    }

    /// Counts bytes of a connection under way.
    pub(crate) fn moved(&self, worker: usize, received: u64, sent: u64) {
        if let Some(cell) = self.cells.get(worker) {
            change(&cell.received, |sum| sum.wrapping_add(received));
            change(&cell.sent, |sum| sum.wrapping_add(sent));
        }
    }

    /// Counts the end of a connection that began.
    pub(crate) fn finish(&self, worker: usize, result: StreamResult) {
        if let Some(cell) = self.cells.get(worker) {
            change(&cell.active, |active| active.saturating_sub(1));
            if let Some(count) = cell.results.get(result as usize) {
                change(count, |count| count.wrapping_add(1));
            }
        }
    }

    pub(crate) fn sums(&self) -> StreamSums {
        let mut sums = StreamSums::default();
        for cell in &self.cells {
            for (sum, value) in sums.results.iter_mut().zip(&cell.results) {
                *sum += value.load(Ordering::Relaxed);
            }
            sums.received += cell.received.load(Ordering::Relaxed);
            sums.sent += cell.sent.load(Ordering::Relaxed);
            sums.active += cell.active.load(Ordering::Relaxed);
        }
        sums
    }
}

/// Changes without a locked instruction: the cell has one writer.
fn change(counter: &AtomicU64, by: impl FnOnce(u64) -> u64) {
    counter.store(by(counter.load(Ordering::Relaxed)), Ordering::Relaxed);
}
