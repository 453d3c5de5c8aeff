//! One endpoint of a back end: its address, its state and its counters. Shared by all threads.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use igw_crds::snapshot::PassiveCheck;

/// An endpoint. Its identity is its address within its back end; it outlives snapshots.
pub(crate) struct Endpoint {
    /// Unique in the process.
    pub(crate) id: u64,
    /// Place in the per-worker pools of its back end.
    pub(crate) slot: usize,
    pub(crate) address: Address,
    /// The same for the same address in every process: what sessions name.
    pub(crate) identity: u64,
    /// `<prefix>_<n>` for a slot of a template, else the address.
    pub(crate) name: String,
    weight: AtomicU32,
    health: AtomicU8,
    administrative: AtomicU8,
    errors: AtomicU32,
    first_error_ms: AtomicU64,
    ejected_until_ms: AtomicU64,
    cells: Box<[Cell]>,
}

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What the active check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Unchecked,
    Passing,
    Failing,
}

/// What an administrator asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Administrative {
    Enabled,
    /// No new requests.
    Draining,
    /// No requests, not even in panic.
    Disabled,
}

/// State as shown and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Ready,
    Unhealthy,
    Ejected,
    Draining,
    Disabled,
}

/// Counters of one worker; only that worker writes them.
#[derive(Default)]
#[repr(align(64))]
struct Cell {
    requests: AtomicU64,
    failures: AtomicU64,
    active: AtomicU32,
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn new(
        id: u64,
        slot: usize,
        name: String,
        address: Address,
        weight: u32,
        n_workers: usize,
    ) -> Self {
        Self {
            id,
            slot,
            identity: crate::sessions::identity(&address.to_string()),
            address,
            name,
            weight: AtomicU32::new(weight),
            health: AtomicU8::new(0),
            administrative: AtomicU8::new(0),
            errors: AtomicU32::new(0),
            first_error_ms: AtomicU64::new(0),
            ejected_until_ms: AtomicU64::new(0),
            cells: (0..n_workers.max(1)).map(|_| Cell::default()).collect(),
        }
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    pub(crate) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            1 => Health::Passing,
            2 => Health::Failing,
            _ => Health::Unchecked,
        }
    }

    /// Records what the active check found; true if it is news. An endpoint that it saw fail and now sees pass
    /// is well again: its ejection ends too.
    pub(crate) fn set_health(&self, health: Health) -> bool {
        let value = match health {
            Health::Unchecked => 0,
            Health::Passing => 1,
            Health::Failing => 2,
        };
        let before = self.health.swap(value, Ordering::Relaxed);
        if (before, value) == (2, 1) {
            self.ejected_until_ms.store(0, Ordering::Relaxed);
            self.errors.store(0, Ordering::Relaxed);
        }
        before != value
    }

    pub(crate) fn administrative(&self) -> Administrative {
        match self.administrative.load(Ordering::Relaxed) {
            1 => Administrative::Draining,
            2 => Administrative::Disabled,
            _ => Administrative::Enabled,
        }
    }

    pub(crate) fn set_administrative(&self, wish: Administrative) {
        let value = match wish {
            Administrative::Enabled => 0,
            Administrative::Draining => 1,
            Administrative::Disabled => 2,
        };
        self.administrative.store(value, Ordering::Relaxed);
    }

    /// State at a moment of [`crate::clock::now_ms`].
    pub(crate) fn state(&self, now_ms: u64) -> State {
        match self.administrative() {
            Administrative::Disabled => State::Disabled,
            Administrative::Draining => State::Draining,
            Administrative::Enabled if self.health() == Health::Failing => State::Unhealthy,
            Administrative::Enabled if self.is_ejected(now_ms) => State::Ejected,
            Administrative::Enabled => State::Ready,
        }
    }

    pub(crate) fn is_ejected(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) > now_ms
    }

    pub(crate) fn eject(&self, until_ms: u64) {
        self.ejected_until_ms.store(until_ms, Ordering::Relaxed);
        self.errors.store(0, Ordering::Relaxed);
    }

    /// Counts a request of worker `worker` that starts.
    pub(crate) fn begin(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            cell.requests.store(cell.requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            cell.active.store(cell.active.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Counts a request of worker `worker` that ended.
    pub(crate) fn finish(&self, worker: usize) {
        if let Some(cell) = self.cells.get(worker) {
            cell.active.store(cell.active.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// Requests under way, all workers together.
    pub(crate) fn active(&self) -> u32 {
        self.cells.iter().map(|cell| cell.active.load(Ordering::Relaxed)).sum()
    }

    /// Requests started, all workers together.
    pub(crate) fn requests(&self) -> u64 {
        self.cells.iter().map(|cell| cell.requests.load(Ordering::Relaxed)).sum()
    }

    /// Failures, all workers together.
    pub(crate) fn failures(&self) -> u64 {
        self.cells.iter().map(|cell| cell.failures.load(Ordering::Relaxed)).sum()
    }

    /// Notes an answer.
    pub(crate) fn succeeded(&self) {
        if self.errors.load(Ordering::Relaxed) != 0 {
            self.errors.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure; true if the endpoint has earned an ejection.
    pub(crate) fn failed(&self, worker: usize, now_ms: u64, passive: Option<&PassiveCheck>) -> bool {
        if let Some(cell) = self.cells.get(worker) {
            cell.failures.store(cell.failures.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        let Some(passive) = passive else { return false };
        let first = self.first_error_ms.load(Ordering::Relaxed);
        if self.errors.load(Ordering::Relaxed) == 0 || now_ms.saturating_sub(first) > passive.window_ms {
            self.first_error_ms.store(now_ms, Ordering::Relaxed);
            self.errors.store(0, Ordering::Relaxed);
        }
        self.errors.fetch_add(1, Ordering::Relaxed) + 1 >= passive.consecutive_errors
            && !self.is_ejected(now_ms)
    }
}

// === impl State ===

impl State {
    pub(crate) const ALL: [State; 5] =
        [State::Ready, State::Unhealthy, State::Ejected, State::Draining, State::Disabled];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Unhealthy => "unhealthy",
            State::Ejected => "ejected",
            State::Draining => "draining",
            State::Disabled => "disabled",
        }
    }
}

// === impl Address ===

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
