//! What the control thread and the workers share: the pointer to the tables, the phase, the connection count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::metrics::abuse::Abuse;
use crate::metrics::authorizations::Authorized;
use crate::metrics::counts::Counts;
use crate::metrics::datagrams::Dropped;
use crate::metrics::greetings::Greeting;
use crate::metrics::handshakes::Handshake;
use crate::metrics::mirrors::Mirrored;
#[cfg(feature = "otlp")]
use crate::metrics::spans::Told;
use crate::tables::Tables;

/// Shared by all threads of the server process.
pub(crate) struct Shared {
    pub(crate) n_workers: usize,
    tables: ArcSwap<Tables>,
    stamp: AtomicU64,
    phase: AtomicU8,
    n_connections: AtomicU32,
    n_tunnels: AtomicU32,
    max_connections: AtomicU32,
    /// Connections refused because of a limit, since the start.
    n_refused: AtomicU64,
    pub(crate) handshakes: Counts<Handshake>,
    pub(crate) abuse: Counts<Abuse>,
    pub(crate) authorizations: Counts<Authorized>,
    pub(crate) greetings: Counts<Greeting>,
    pub(crate) mirrors: Counts<Mirrored>,
    #[cfg(feature = "otlp")]
    pub(crate) spans: Counts<Told>,
    pub(crate) dropped: Counts<Dropped>,
    sources: Mutex<HashMap<IpAddr, u32>>,
}

/// Phase of the process, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving = 0,
    /// No new connections; answers say that the connection closes; idle ones may still ask.
    Draining = 1,
    /// As before, and idle connections end.
    Stopping = 2,
    /// As before, and tunnels end.
    Ending = 3,
    Ended = 4,
}

/// A counted connection; dropping it makes room.
pub(crate) struct Admission {
    shared: Arc<Shared>,
    source: Option<IpAddr>,
}

/// A counted tunnel, until it is dropped.
pub(crate) struct TunnelCount<'s>(&'s Shared);

// === impl Shared ===

impl Shared {
    pub(crate) fn new(n_workers: usize, max_connections: u32) -> Self {
        Self {
            n_workers,
            tables: ArcSwap::from_pointee(Tables::default()),
            stamp: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Serving as u8),
            n_connections: AtomicU32::new(0),
            n_tunnels: AtomicU32::new(0),
            max_connections: AtomicU32::new(max_connections),
            n_refused: AtomicU64::new(0),
            handshakes: Counts::default(),
            abuse: Counts::default(),
            authorizations: Counts::default(),
            greetings: Counts::default(),
            mirrors: Counts::default(),
            #[cfg(feature = "otlp")]
            spans: Counts::default(),
            dropped: Counts::default(),
            sources: Mutex::new(HashMap::new()),
        }
    }

    /// Publishes tables. Their stamp must be new.
    pub(crate) fn publish(&self, tables: Arc<Tables>) {
        let stamp = tables.stamp();
        self.tables.store(tables);
        self.stamp.store(stamp, Ordering::Release);
    }

    pub(crate) fn tables(&self) -> Arc<Tables> {
        self.tables.load_full()
    }

    /// Stamp of the newest tables; workers compare it once per request.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Acquire)
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            2 => Phase::Stopping,
            3 => Phase::Ending,
            _ => Phase::Ended,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_max_connections(&self, max: u32) {
        self.max_connections.store(max, Ordering::Relaxed);
    }

    /// UDP flows that one worker may have: datagrams leave room for connections.
    pub(crate) fn max_flows(&self) -> usize {
        let max = self.max_connections.load(Ordering::Relaxed) as usize;
        (max / 2 / self.n_workers).max(16)
    }

    pub(crate) fn n_connections(&self) -> u32 {
        self.n_connections.load(Ordering::Relaxed)
    }

    /// Counts a tunnel: an upgraded connection, or one that is passed on.
    pub(crate) fn count_tunnel(&self) -> TunnelCount<'_> {
        self.n_tunnels.fetch_add(1, Ordering::Relaxed);
        TunnelCount(self)
    }

    pub(crate) fn n_tunnels(&self) -> u32 {
        self.n_tunnels.load(Ordering::Relaxed)
    }

    pub(crate) fn n_refused(&self) -> u64 {
        self.n_refused.load(Ordering::Relaxed)
    }

    /// True while another connection may be accepted.
    pub(crate) fn has_room(&self) -> bool {
        self.n_connections.load(Ordering::Relaxed) < self.max_connections.load(Ordering::Relaxed)
    }

    /// Counts a connection; `None` if its source has as many as it may. `per_source` 0 = unlimited.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr, per_source: u32) -> Option<Admission> {
        self.n_connections.fetch_add(1, Ordering::Relaxed);
        let mut admission = Admission { shared: Arc::clone(self), source: None };
        admission.attribute(source, per_source).then_some(admission)
    }
}

// === impl Admission ===

impl Admission {
    /// Counts the connection for its source; false if the source has as many as it may. `per_source` 0 = unlimited.
    pub(crate) fn attribute(&mut self, source: IpAddr, per_source: u32) -> bool {
        if per_source == 0 {
            return true;
        }
        let mut sources = self.shared.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_insert(0);
        if *count >= per_source {
            self.shared.n_refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        *count += 1;
        self.source = Some(source);
        true
    }
}

impl Drop for TunnelCount<'_> {
    fn drop(&mut self) {
        self.0.n_tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.n_connections.fetch_sub(1, Ordering::Relaxed);
        let Some(source) = self.source else { return };
        let mut sources = self.shared.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&source);
            }
        }
    }
}
