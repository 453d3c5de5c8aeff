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

/// Every series that is configured, and those that were until lately, up to the budget.
pub(crate) struct SeriesIndex {
    n_workers: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    requests: Shelf<Series>,
    streams: Shelf<StreamSeries>,
    budget: usize,
    /// All that was gone was let go since the budget was set.
    is_cleared: bool,
}

/// Series of one kind.
struct Shelf<S> {
    kept: HashMap<Labels, Kept<S>>,
}

/// A series, which is gone when nothing else holds it: no tables name it and no request counts in it.
struct Kept<S> {
    series: Arc<S>,
    /// When it was first found gone, in milliseconds.
    gone_since: Option<u64>,
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

// === impl Kept ===

impl<S> Kept<S> {
    fn is_gone(&self) -> bool {
        Arc::strong_count(&self.series) == 1
    }
}

// === impl Shelf ===

impl<S> Shelf<S> {
    /// Lets go what has been gone for [`KEEP_MS`].
    fn sweep(&mut self, now_ms: u64) {
        self.kept.retain(|_, kept| {
            kept.gone_since = kept.is_gone().then(|| kept.gone_since.unwrap_or(now_ms));
            kept.gone_since.is_none_or(|since| now_ms.saturating_sub(since) < KEEP_MS)
        });
    }

    fn series(&mut self, labels: Labels, new: impl FnOnce() -> S) -> Arc<S> {
        let new = || Kept { series: Arc::new(new()), gone_since: None };
        Arc::clone(&self.kept.entry(labels).or_insert_with(new).series)
    }

    /// What `sums` finds in each series, in order of their labels.
    fn used<T>(&self, sums: impl Fn(&S) -> Option<T>) -> Vec<(Labels, T)> {
        let sums = |(labels, kept): (&Labels, &Kept<S>)| Some((labels.clone(), sums(&kept.series)?));
        let mut used: Vec<(Labels, T)> = self.kept.iter().filter_map(sums).collect();
        used.sort_by(|a, b| a.0.cmp(&b.0));
        used
    }
}

impl<S> Default for Shelf<S> {
    fn default() -> Self {
        Self { kept: HashMap::new() }
    }
}

// === impl Inner ===

impl Inner {
    /// Those that are gone make room for new ones. They are looked for once for each budget: what goes later is few.
    fn has_room(&mut self) -> bool {
        if self.len() >= self.budget && !self.is_cleared {
            self.is_cleared = true;
            self.requests.kept.retain(|_, kept| !kept.is_gone());
            self.streams.kept.retain(|_, kept| !kept.is_gone());
        }
        self.len() < self.budget
    }

    fn len(&self) -> usize {
        self.requests.kept.len() + self.streams.kept.len()
    }
}

// === impl SeriesIndex ===

impl SeriesIndex {
    pub(crate) fn new(n_workers: usize) -> Self {
        Self { n_workers, inner: Mutex::new(Inner { budget: BUDGET_BASE, ..Inner::default() }) }
    }

    /// Sets the budget for a number of configured routes.
    pub(crate) fn set_budget(&self, n_routes: usize) {
        let mut inner = self.lock();
        inner.budget = n_routes * BUDGET_PER_ROUTE + BUDGET_BASE;
        inner.is_cleared = false;
    }

    /// Lets go the series of what is no longer configured, some time after their last change.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let mut inner = self.lock();
        inner.requests.sweep(now_ms);
        inner.streams.sweep(now_ms);
    }

    /// The series of these labels; `other` once the budget is spent.
    pub(crate) fn series(&self, labels: Labels) -> Arc<Series> {
        let mut inner = self.lock();
        let is_known = inner.requests.kept.contains_key(&labels);
        let labels = if is_known || inner.has_room() { labels } else { Labels::other() };
        inner.requests.series(labels, || Series::new(self.n_workers))
    }

    /// The series of connections of these labels; `other` once the budget is spent.
    pub(crate) fn stream(&self, labels: Labels) -> Arc<StreamSeries> {
        let mut inner = self.lock();
        let is_known = inner.streams.kept.contains_key(&labels);
        let labels = if is_known || inner.has_room() { labels } else { Labels::other() };
        inner.streams.series(labels, || StreamSeries::new(self.n_workers))
    }

    /// Series of connections that counted something, in order of their labels.
    pub(crate) fn used_streams(&self) -> Vec<(Labels, StreamSums)> {
        self.lock().streams.used(|series| Some(series.sums()).filter(|sums| *sums != StreamSums::default()))
    }

    /// Series that counted something, in order of their labels.
    pub(crate) fn used(&self) -> Vec<(Labels, Sums)> {
        let is_used = |sums: &Sums| sums.buckets.iter().any(|count| *count > 0);
        self.lock().requests.used(|series| Some(series.sums()).filter(is_used))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Every change leaves the map whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Upper bounds of the duration buckets, in milliseconds.
pub(crate) const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000];
const BUDGET_PER_ROUTE: usize = 40;
/// How long the counters of what is gone can still be scraped: twice the longest usual interval.
const KEEP_MS: u64 = 120_000;
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

    fn of_route(n: usize) -> Labels {
        Labels { route: format!("r{n:04}"), ..Labels::default() }
    }

    #[test]
    fn what_is_gone_can_be_scraped_for_a_while() {
        let index = SeriesIndex::new(1);
        let (held, passing) = (index.series(of_route(1)), index.series(of_route(2)));
        let stream = index.stream(of_route(3));
        held.count(0, 200, 1);
        passing.count(0, 200, 1);
        stream.moved(0, 1, 1);
        drop((passing, stream));
        let counts = |index: &SeriesIndex| (index.used().len(), index.used_streams().len());
        index.sweep(1_000);
        index.sweep(1_000 + KEEP_MS - 1);
        assert_eq!(counts(&index), (2, 1));
        // One that comes back goes on counting, and its time begins anew when it goes again.
        let again = index.stream(of_route(3));
        assert_eq!(again.sums().received, 1);
        index.sweep(1_000 + KEEP_MS);
        assert_eq!(counts(&index), (1, 1));
        drop(again);
        index.sweep(2_000 + KEEP_MS);
        index.sweep(2_000 + 2 * KEEP_MS - 1);
        assert_eq!(counts(&index), (1, 1));
        index.sweep(2_000 + 2 * KEEP_MS);
        assert_eq!(counts(&index), (1, 0));
        assert_eq!(index.used()[0].0, of_route(1));
    }

    #[test]
    fn what_is_gone_makes_room() {
        let index = SeriesIndex::new(1);
        index.set_budget(0);
        let held = index.series(of_route(0));
        held.count(0, 200, 1);
        for n in 1..=BUDGET_BASE {
            index.series(of_route(n)).count(0, 200, 1);
        }
        let used: Vec<Labels> = index.used().into_iter().map(|(labels, _)| labels).collect();
        assert_eq!(used, [of_route(0), of_route(BUDGET_BASE)]);
    }

    #[test]
    fn a_spent_budget_ends_in_other() {
        let index = SeriesIndex::new(1);
        index.set_budget(0);
        let mut held = Vec::new();
        for n in 0..3_000 {
            let series = index.series(of_route(n));
            series.count(0, 200, 1);
            held.push(series);
        }
        let used = index.used();
        assert_eq!(used.len(), BUDGET_BASE + 1);
        let (_, other) = used.iter().find(|(labels, _)| labels.route == OTHER).expect("other is a series");
        assert_eq!(other.classes[1], 2_000);
    }
}
