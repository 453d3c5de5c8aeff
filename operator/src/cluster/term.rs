//! The operator's term: which of two operators counts.
//!
//! The cluster has no lock. A new operator writes a higher epoch with its own name; one that finds another name there
//! stands down before its next write. After a pause, as after a stop signal, nothing is written before the term was
//! read again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use igw_opensvc::{Kind, ObjectPath};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::layout::{OPERATOR, SYSTEM, TERM, path};
use super::owned::Owned;
use crate::objects::ledger::clock_epoch;

/// The term as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// One more at each start.
    pub epoch: u64,
    /// Who leads.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
}

/// This operator's term.
#[derive(Debug)]
pub struct Term {
    place: Option<ObjectPath>,
    holder: String,
    ours: Option<Stored>,
    /// Somebody led before.
    has_predecessor: bool,
    /// Our term was read back.
    settled_at: Option<Instant>,
    last_seen: Option<Instant>,
    is_doubtful: bool,
}

/// What a look at the term says.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not written yet.
    Pending,
    /// Ours.
    Ours,
    /// Somebody else leads.
    Lost(Stored),
}

// === impl Term ===

impl Term {
    /// A term that nobody has written yet; `holder` is unique to this process.
    #[must_use]
    pub fn new(holder: String) -> Self {
        let place = path(SYSTEM, Kind::Cfg, OPERATOR);
        Self {
            place,
            holder,
            ours: None,
            has_predecessor: false,
            settled_at: None,
            last_seen: None,
            is_doubtful: false,
        }
    }

    /// Whether this is the object that holds it.
    #[must_use]
    pub fn is_at(&self, path: &ObjectPath) -> bool {
        self.place.as_ref() == Some(path)
    }

    /// The epoch, once the term is stored and read back.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.settled_at.and(self.ours.as_ref()).map(|ours| ours.epoch)
    }

    /// Goes on: takes the term, reads it back, finds out that it was lost.
    pub fn follow(&mut self, owned: &mut Owned, now: Instant, wall: Timestamp) -> Verdict {
        let Some(place) = &self.place else { return Verdict::Pending };
        let is_pause = self.last_seen.is_some_and(|seen| now.saturating_duration_since(seen) > PAUSE);
        self.last_seen = Some(now);
        if is_pause && self.ours.is_some() {
            self.is_doubtful = true;
            owned.reread(place);
        }
        if !owned.is_known(place) {
            owned.watch(place);
            return if self.settled_at.is_some() && !self.is_doubtful {
                Verdict::Ours
            } else {
                Verdict::Pending
            };
        }
        let stored: Option<Stored> =
            owned.value(place, TERM).and_then(|value| serde_json::from_slice(value).ok());
        let Some(ours) = &self.ours else {
            self.has_predecessor = stored.is_some();
            let epoch = stored.map_or_else(|| clock_epoch(wall), |before| before.epoch.saturating_add(1));
            self.write(epoch, owned, wall);
            return Verdict::Pending;
        };
        match stored {
            Some(stored) if stored.holder != self.holder && stored.epoch >= ours.epoch => {
                return Verdict::Lost(stored);
            }
            _ => {}
        }
        if owned.is_settled(place) {
            self.is_doubtful = false;
            self.settled_at.get_or_insert(now);
            return Verdict::Ours;
        }
        Verdict::Pending
    }

    /// Goes above an epoch that a proxy has met.
    pub fn surpass(&mut self, seen: u64, owned: &mut Owned, wall: Timestamp) {
        self.write(seen.saturating_add(1).max(clock_epoch(wall)), owned, wall);
    }

    /// Whether the predecessor, if there was one, has had the time to notice.
    #[must_use]
    pub fn is_old_enough(&self, now: Instant) -> bool {
        let wait = if self.has_predecessor { HANDOVER } else { Duration::ZERO };
        !self.is_doubtful && self.settled_at.is_some_and(|at| now.saturating_duration_since(at) >= wait)
    }

    /// When [`Term::is_old_enough`] will be true.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.settled_at.map(|at| if self.has_predecessor { at + HANDOVER } else { at })
    }

    fn write(&mut self, epoch: u64, owned: &mut Owned, wall: Timestamp) {
        let Some(place) = &self.place else { return };
        let ours = Stored { epoch, holder: self.holder.clone(), since: wall };
        // Numbers and text always encode.
        let value = serde_json::to_vec(&ours).unwrap_or_default();
        self.ours = Some(ours);
        owned.want_key(place, TERM, Some(Bytes::from(value)));
    }
}

/// Longer than a write takes to reach every node.
const HANDOVER: Duration = Duration::from_secs(5);
/// A process that did nothing for so long may have missed its own end.
const PAUSE: Duration = Duration::from_secs(3);
