//! Slots of a server template: a pure state machine from answers to endpoints.
//!
//! Invariants: no address twice; a slot keeps its address while answers name it, in whatever order; no more
//! slots than allowed; nothing goes because a resolver has trouble, unless asked for.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What decides over slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsSpec {
    /// Largest number of endpoints; 0 = [`SLOTS_MAX`].
    pub slots: u32,
    /// Bounds of the time between two questions.
    pub min_ttl: Duration,
    /// See `min_ttl`.
    pub max_ttl: Duration,
    /// How long endpoints outlive what happened to their name; `None` = for ever.
    pub hold: HoldSpec,
}

/// How long endpoints are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldSpec {
    /// After a negative answer: then those whose check does not pass go, the rest after [`NEGATIVE_MAX`].
    pub nxdomain: Option<Duration>,
    /// After an answer that does not name them.
    pub obsolete: Option<Duration>,
    /// Without answer in time.
    pub timeout: Option<Duration>,
    /// After a refusal.
    pub refused: Option<Duration>,
    /// After any other failure.
    pub other: Option<Duration>,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Endpoints with weights.
    Found {
        /// Address and weight of each.
        endpoints: Vec<(SocketAddr, u32)>,
        /// How long this holds.
        ttl: Duration,
    },
    /// Endpoints, but not all: a part of the question met trouble.
    Partial {
        /// Address and weight of each that was found.
        endpoints: Vec<(SocketAddr, u32)>,
        /// How long this holds.
        ttl: Duration,
        /// What happened to the rest.
        trouble: Trouble,
    },
    /// The name does not exist or has no records.
    Nothing {
        /// How long this holds.
        ttl: Duration,
    },
    /// No answer that says anything.
    Trouble(Trouble),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No answer in time.
    Timeout,
    /// Refused.
    Refused,
    /// Anything else.
    Failed,
}

/// What a check says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotHealth {
    /// It passes.
    Passing,
    /// It fails.
    Failing,
    /// Nobody checks.
    Unchecked,
}

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotEndpoint {
    /// Number of the slot, from 0.
    pub slot: u32,
    /// Address and port.
    pub address: SocketAddr,
    /// Weight, at least 1.
    pub weight: u32,
}

/// The slots of one template.
#[derive(Clone, Debug)]
pub struct Slots {
    spec: SlotsSpec,
    slots: Vec<Option<Slot>>,
    nothing_since: Option<Instant>,
    failing_since: Option<Instant>,
    n_failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    address: SocketAddr,
    weight: u32,
    /// When an answer named it last; `None` for one that was only remembered.
    named: Option<Instant>,
    obsolete_since: Option<Instant>,
}

// === impl Slots ===

impl Slots {
    /// Empty slots.
    #[must_use]
    pub fn new(spec: SlotsSpec) -> Self {
        Self { spec, slots: Vec::new(), nothing_since: None, failing_since: None, n_failures: 0 }
    }

    /// Puts remembered endpoints back into their slots.
    pub fn restore(&mut self, endpoints: &[SlotEndpoint]) {
        for endpoint in endpoints {
            let index = endpoint.slot as usize;
            if index >= self.limit() || self.holds(endpoint.address) {
                continue;
            }
            if self.slots.len() <= index {
                self.slots.resize(index + 1, None);
            }
            if let Some(place @ None) = self.slots.get_mut(index) {
                *place = Some(Slot {
                    address: endpoint.address,
                    weight: endpoint.weight.max(1),
                    named: None,
                    obsolete_since: None,
                });
            }
        }
        self.check_invariants();
    }

    /// Takes in what came of asking. Returns the time to the next question.
    pub fn apply(
        &mut self,
        now: Instant,
        outcome: &Outcome,
        health: &dyn Fn(SocketAddr) -> SlotHealth,
    ) -> Duration {
        let wait = match outcome {
            Outcome::Found { endpoints, ttl } => {
                self.nothing_since = None;
                self.failing_since = None;
                self.n_failures = 0;
                self.mark_obsolete(now, endpoints);
                // Those that are kept no longer make room first.
                self.expire_obsolete(now);
                self.fill(now, endpoints);
                self.clamp(*ttl)
            }
            Outcome::Partial { endpoints, ttl, trouble } => {
                self.nothing_since = None;
                self.fill(now, endpoints);
                self.fail(now, *trouble).min(self.clamp(*ttl))
            }
            Outcome::Nothing { ttl } => {
                self.failing_since = None;
                self.n_failures = 0;
                let since = *self.nothing_since.get_or_insert(now);
                self.expire_nothing(now.saturating_duration_since(since), health);
                (*ttl).clamp(self.spec.min_ttl, NEGATIVE_WAIT.max(self.spec.min_ttl))
            }
            Outcome::Trouble(trouble) => self.fail(now, *trouble),
        };
        let wait = self.expire_obsolete(now).map_or(wait, |due| wait.min(due));
        self.check_invariants();
        wait
    }

    /// Endpoints in order of their slots.
    pub fn endpoints(&self) -> impl Iterator<Item = SlotEndpoint> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let slot = slot.as_ref()?;
            Some(SlotEndpoint {
                slot: u32::try_from(index).ok()?,
                address: slot.address,
                weight: slot.weight,
            })
        })
    }

    fn limit(&self) -> usize {
        match self.spec.slots as usize {
            0 => SLOTS_MAX,
            slots => slots.min(SLOTS_MAX),
        }
    }

    fn holds(&self, address: SocketAddr) -> bool {
        self.slots.iter().flatten().any(|slot| slot.address == address)
    }

    fn clamp(&self, ttl: Duration) -> Duration {
        ttl.clamp(self.spec.min_ttl, self.spec.max_ttl.max(self.spec.min_ttl))
    }

    fn mark_obsolete(&mut self, now: Instant, endpoints: &[(SocketAddr, u32)]) {
        let named: HashSet<SocketAddr> = endpoints.iter().map(|(address, _)| *address).collect();
        for slot in self.slots.iter_mut().flatten() {
            slot.obsolete_since = match named.contains(&slot.address) {
                true => None,
                false => slot.obsolete_since.or(Some(now)),
            };
        }
    }

    /// Endpoints that stand in slots stay there; new ones take the lowest free slots.
    fn fill(&mut self, now: Instant, endpoints: &[(SocketAddr, u32)]) {
        let mut known: HashMap<SocketAddr, usize> = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some((slot.as_ref()?.address, index)))
            .collect();
        let mut next_free = 0;
        for (address, weight) in endpoints {
            let weight = (*weight).max(1);
            if let Some(slot) =
                known.get(address).and_then(|index| self.slots.get_mut(*index)).and_then(Option::as_mut)
            {
                // The first of several records of one address counts.
                if slot.named != Some(now) {
                    slot.weight = weight;
                    slot.named = Some(now);
                    slot.obsolete_since = None;
                }
                continue;
            }
            while self.slots.get(next_free).is_some_and(Option::is_some) {
                next_free += 1;
            }
            if next_free >= self.limit() {
                break;
            }
            if next_free == self.slots.len() {
                self.slots.push(None);
            }
            if let Some(place) = self.slots.get_mut(next_free) {
                *place = Some(Slot { address: *address, weight, named: Some(now), obsolete_since: None });
                known.insert(*address, next_free);
            }
        }
    }

    /// Frees slots that answers have not named for too long; returns the time to the next such moment.
    fn expire_obsolete(&mut self, now: Instant) -> Option<Duration> {
        let hold = self.spec.hold.obsolete?;
        let mut next = None;
        for place in &mut self.slots {
            let Some(since) = place.as_ref().and_then(|slot| slot.obsolete_since) else { continue };
            let age = now.saturating_duration_since(since);
            if age >= hold {
                *place = None;
            } else {
                let due = hold - age;
                next = Some(next.map_or(due, |next: Duration| next.min(due)));
            }
        }
        next
    }

    fn expire_nothing(&mut self, age: Duration, health: &dyn Fn(SocketAddr) -> SlotHealth) {
        let Some(hold) = self.spec.hold.nxdomain else { return };
        for place in &mut self.slots {
            let is_over = place.as_ref().is_some_and(|slot| {
                age >= NEGATIVE_MAX.max(hold) || (age >= hold && health(slot.address) != SlotHealth::Passing)
            });
            if is_over {
                *place = None;
            }
        }
    }

    fn fail(&mut self, now: Instant, trouble: Trouble) -> Duration {
        let since = *self.failing_since.get_or_insert(now);
        let hold = match trouble {
            Trouble::Timeout => self.spec.hold.timeout,
            Trouble::Refused => self.spec.hold.refused,
            Trouble::Failed => self.spec.hold.other,
        };
        if let Some(hold) = hold {
            for place in &mut self.slots {
                let is_over = place.as_ref().is_some_and(|slot| {
                    // What a partial answer has just named is not in trouble.
                    let since = slot.named.map_or(since, |named| named.max(since));
                    slot.named != Some(now) && now.saturating_duration_since(since) >= hold
                });
                if is_over {
                    *place = None;
                }
            }
        }
        let wait = FAILURE_WAIT * 2_u32.saturating_pow(self.n_failures.min(8));
        self.n_failures = self.n_failures.saturating_add(1);
        wait.min(FAILURE_WAIT_MAX).min(self.spec.max_ttl.max(self.spec.min_ttl))
    }

    fn check_invariants(&self) {
        let addresses: HashSet<SocketAddr> = self.slots.iter().flatten().map(|slot| slot.address).collect();
        debug_assert_eq!(
            addresses.len(),
            self.slots.iter().flatten().count(),
            "an address stands in two slots"
        );
        debug_assert!(self.slots.len() <= self.limit(), "more slots than allowed");
    }
}

/// Largest number of slots of any template.
pub const SLOTS_MAX: usize = 1_024;
/// After this long without the name, endpoints go however healthy they are.
pub const NEGATIVE_MAX: Duration = Duration::from_secs(300);
const NEGATIVE_WAIT: Duration = Duration::from_secs(5);
const FAILURE_WAIT: Duration = Duration::from_millis(500);
const FAILURE_WAIT_MAX: Duration = Duration::from_secs(2);
