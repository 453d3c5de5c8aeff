//! Request counters. A series is named by configured objects alone; each worker writes its own cell.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::streams::{StreamSeries, StreamSums};

/// Labels of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Labels {
    pub(crate) gateway: String,
    pub(crate) listener: String,
    /// `<ns>/<name>`, empty where no route was found.
    pub(crate) route: String,
    /// Name of the rule, or its index.
    pub(crate) rule: String,
    /// Key of the back end, empty where none was asked.
    pub(crate) backend: String,
}

/// Counters of one series.
pub(crate) struct Series {
    cells: Box<[Cell]>,
}

/// Every series that was ever configured, up to the budget.
pub(crate) struct SeriesIndex {
    n_workers: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    series: HashMap<Labels, Arc<Series>>,
    streams: HashMap<Labels, Arc<StreamSeries>>,
    budget: usize,
}

#[repr(align(64))]
struct Cell {
    classes: [AtomicU64; 6],
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

/// Sums of a series at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// By status class: `1xx` to `5xx`, and answers that were never made.
    pub(crate) classes: [u64; 6],
    /// By duration, not cumulated.
    pub(crate) buckets: [u64; BOUNDS_MS.len() + 1],
    pub(crate) sum_us: u64,
}

// === impl Series ===

impl Series {
    pub(crate) fn new(n_workers: usize) -> Self {
        Self { cells: (0..n_workers.max(1)).map(|_| Cell::new()).collect() }
    }

    /// Counts one request of worker `worker`; status 0 stands for an answer that was never made.
    pub(crate) fn count(&self, worker: usize, status: u16, duration_us: u64) {
        let Some(cell) = self.cells.get(worker) else { return };
        let class = match status / 100 {
            class @ 1..=5 => usize::from(class) - 1,
            _ => 5,
        };
        bump(&cell.classes[class], 1);
        let ms = duration_us / 1_000;
        let bucket = BOUNDS_MS.iter().position(|bound| ms < *bound).unwrap_or(BOUNDS_MS.len());
        bump(&cell.buckets[bucket], 1);
        bump(&cell.sum_us, duration_us);
    }

    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for cell in &self.cells {
            for (sum, value) in sums.classes.iter_mut().zip(&cell.classes) {
                *sum += value.load(Ordering::Relaxed);
            }
            for (sum, value) in sums.buckets.iter_mut().zip(&cell.buckets) {
                *sum += value.load(Ordering::Relaxed);
            }
            sums.sum_us += cell.sum_us.load(Ordering::Relaxed);
        }
        sums
    }
}

/// Adds without a locked instruction: the cell has one writer.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

// === impl Cell ===

impl Cell {
    fn new() -> Self {
        Self { classes: Default::default(), buckets: Default::default(), sum_us: AtomicU64::new(0) }
    }
}

// === impl Labels ===

impl Labels {
    /// Stands for all that have no series of their own.
    fn other() -> Self {
        let other = || OTHER.to_owned();
        Self { gateway: other(), listener: other(), route: other(), rule: other(), backend: other() }
    }
}

// === impl Inner ===

impl Inner {
    fn has_room(&self) -> bool {
        self.series.len() + self.streams.len() < self.budget
    }
}

// === impl SeriesIndex ===

impl SeriesIndex {
    pub(crate) fn new(n_workers: usize) -> Self {
        Self { n_workers, inner: Mutex::new(Inner { budget: BUDGET_BASE, ..Inner::default() }) }
    }

    /// Sets the budget for a number of configured routes.
    pub(crate) fn set_budget(&self, n_routes: usize) {
        self.lock().budget = n_routes * BUDGET_PER_ROUTE + BUDGET_BASE;
    }

    /// The series of these labels; `other` once the budget is spent.
    pub(crate) fn series(&self, labels: Labels) -> Arc<Series> {
        let mut inner = self.lock();
        let is_known = inner.series.contains_key(&labels);
        let labels = if is_known || inner.has_room() { labels } else { Labels::other() };
        let n_workers = self.n_workers;
        Arc::clone(inner.series.entry(labels).or_insert_with(|| Arc::new(Series::new(n_workers))))
    }

    /// The series of connections of these labels; `other` once the budget is spent.
    pub(crate) fn stream(&self, labels: Labels) -> Arc<StreamSeries> {
        let mut inner = self.lock();
        let is_known = inner.streams.contains_key(&labels);
        let labels = if is_known || inner.has_room() { labels } else { Labels::other() };
        let n_workers = self.n_workers;
        Arc::clone(inner.streams.entry(labels).or_insert_with(|| Arc::new(StreamSeries::new(n_workers))))
    }

    /// Series of connections that counted something, in order of their labels.
    pub(crate) fn used_streams(&self) -> Vec<(Labels, StreamSums)> {
        let inner = self.lock();
        let mut used: Vec<(Labels, StreamSums)> = inner
            .streams
            .iter()
            .map(|(labels, series)| (labels.clone(), series.sums()))
            .filter(|(_, sums)| *sums != StreamSums::default())
            .collect();
        drop(inner);
        used.sort_by(|a, b| a.0.cmp(&b.0));
        used
    }

    /// Series that counted something, in order of their labels.
    pub(crate) fn used(&self) -> Vec<(Labels, Sums)> {
        let inner = self.lock();
        let mut used: Vec<(Labels, Sums)> = inner
            .series
            .iter()
            .map(|(labels, series)| (labels.clone(), series.sums()))
            .filter(|(_, sums)| sums.buckets.iter().any(|count| *count > 0))
            .collect();
        drop(inner);
        used.sort_by(|a, b| a.0.cmp(&b.0));
        used
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Every change leaves the map whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Upper bounds of the duration buckets, in milliseconds.
pub(crate) const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000];
const BUDGET_PER_ROUTE: usize = 40;
const BUDGET_BASE: usize = 1_000;
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_workers_by_class_and_bucket() {
        let series = Series::new(2);
        series.count(0, 200, 500);
        series.count(1, 204, 3_000);
        series.count(1, 503, 60_000_000);
        series.count(1, 0, 0);
        series.count(9, 200, 0);
        let sums = series.sums();
        assert_eq!(sums.classes, [0, 2, 0, 0, 1, 1]);
        assert_eq!(sums.buckets, [2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(sums.sum_us, 60_003_500);
    }

    #[test]
    fn a_spent_budget_ends_in_other() {
        let index = SeriesIndex::new(1);
        index.set_budget(0);
        for n in 0..3_000 {
            let labels = Labels { route: format!("r{n}"), ..Labels::default() };
            index.series(labels).count(0, 200, 1);
        }
        let used = index.used();
        assert_eq!(used.len(), BUDGET_BASE + 1);
        let (_, other) = used.iter().find(|(labels, _)| labels.route == OTHER).expect("other is a series");
        assert_eq!(other.classes[1], 2_000);
    }
}
