//! A back end: the endpoints of one `Backend` of the snapshot, kept over snapshots, DNS answers and checks.
//!
//! The control thread is the only writer. Workers read the current [`EndpointSet`] through a pointer that
//! they cache by generation.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use igw_crds::snapshot::{self, BackendProtocol, Balance, PassiveCheck};
use tokio::sync::mpsc;
use tracing::warn;

use super::endpoint::{Address, Administrative, Endpoint, Health, State};
use super::secure::BackendTls;
use crate::clock;

/// A back end.
pub(crate) struct Backend {
    /// Place in the per-worker lists; never used again for another back end.
    pub(crate) id: usize,
    /// `Service/<ns>/<name>:<port>` or `Backend/<ns>/<name>`.
    pub(crate) key: Arc<str>,
    /// The same for the same key in every process: what sessions name.
    pub(crate) identity: u64,
    n_workers: usize,
    generation: AtomicU64,
    current: ArcSwap<EndpointSet>,
    members: Mutex<Members>,
    ejections: mpsc::UnboundedSender<Arc<Backend>>,
}

/// What workers choose from. Immutable.
pub(crate) struct EndpointSet {
    pub(crate) generation: u64,
    /// Endpoints that may get requests.
    pub(crate) ready: Vec<Arc<Endpoint>>,
    /// Weights of `ready`.
    pub(crate) weights: Vec<u32>,
    /// All weights of `ready` are equal.
    pub(crate) uniform: bool,
    /// Every endpoint.
    pub(crate) all: Vec<Arc<Endpoint>>,
    pub(crate) balance: Balance,
    pub(crate) passive: Option<PassiveCheck>,
    pub(crate) connections: snapshot::Connections,
    pub(crate) protocol: BackendProtocol,
    pub(crate) tls: Security,
}

/// TLS to endpoints.
#[derive(Clone)]
pub(crate) enum Security {
    Cleartext,
    Tls(Arc<BackendTls>),
    /// The policy asks for what cannot be had: no connection is made, and none without TLS.
    Impossible,
}

/// One endpoint that a source asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) weight: u32,
}

struct Members {
    policy: snapshot::Backend,
    tls: Security,
    /// What each source of the policy names now.
    sources: Vec<Vec<Wanted>>,
    endpoints: BTreeMap<Address, Arc<Endpoint>>,
    /// Order of the sources.
    order: Vec<Address>,
}

// === impl Backend ===

impl Backend {
    pub(crate) fn new(
        id: usize,
        policy: snapshot::Backend,
        n_workers: usize,
        ejections: mpsc::UnboundedSender<Arc<Backend>>,
    ) -> Self {
        let tls = Security::new(&policy);
        let empty = EndpointSet {
            generation: 0,
            ready: Vec::new(),
            weights: Vec::new(),
            uniform: true,
            all: Vec::new(),
            balance: policy.balance,
            passive: None,
            connections: policy.connections.clone(),
            protocol: policy.protocol,
            tls: tls.clone(),
        };
        let sources = vec![Vec::new(); policy.sources.len()];
        Self {
            id,
            identity: crate::sessions::identity(&policy.key),
            key: policy.key.as_str().into(),
            n_workers,
            generation: AtomicU64::new(0),
            current: ArcSwap::from_pointee(empty),
            members: Mutex::new(Members {
                policy,
                tls,
                sources,
                endpoints: BTreeMap::new(),
                order: Vec::new(),
            }),
            ejections,
        }
    }

    /// Generation of the current set; workers compare it once per request.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn current(&self) -> Arc<EndpointSet> {
        self.current.load_full()
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> snapshot::Backend {
        self.members().policy.clone()
    }

    /// Takes a new policy. The caller names the endpoints of its sources again.
    pub(crate) fn set_policy(&self, policy: snapshot::Backend) {
        let mut members = self.members();
        members.sources.resize(policy.sources.len(), Vec::new());
        if members.policy.tls != policy.tls {
            members.tls = Security::new(&policy);
        }
        members.policy = policy;
        self.rebuild(&mut members);
    }

    /// Replaces what one source names. Endpoints whose address stays keep state, counters and pools.
    pub(crate) fn set_source(&self, source: usize, wanted: Vec<Wanted>) {
        let mut members = self.members();
        match members.sources.get_mut(source) {
            Some(place) if *place != wanted => *place = wanted,
            _ => return,
        }
        self.rebuild(&mut members);
    }

    /// Looks at states again and publishes a new set if the choice changed.
    pub(crate) fn refresh(&self) {
        let mut members = self.members();
        self.rebuild(&mut members);
    }

    /// Lets ejected endpoints back in once their time has passed.
    pub(crate) fn refresh_if_ejection_ended(&self) {
        let set = self.current();
        let now_ms = clock::now_ms();
        let has_returned = set.passive.is_some()
            && set.all.iter().any(|endpoint| {
                endpoint.state(now_ms) == State::Ready
                    && !set.ready.iter().any(|ready| ready.id == endpoint.id)
            });
        if has_returned {
            self.refresh();
        }
    }

    /// Tells the control thread that an endpoint has earned an ejection.
    pub(crate) fn ask_ejection(self: &Arc<Self>, endpoint: &Endpoint) {
        let set = self.current();
        let Some(passive) = &set.passive else { return };
        let now_ms = clock::now_ms();
        let n_ejected = set.all.iter().filter(|other| other.is_ejected(now_ms)).count();
        let limit = set.all.len() * usize::from(passive.max_percent) / 100;
        if n_ejected < limit {
            endpoint.eject(now_ms + passive.eject_ms);
            // The control thread outlives the workers; a closed channel means that the process ends.
            let _ = self.ejections.send(Arc::clone(self));
        }
    }

    /// Sets what an administrator asked for; false if no endpoint has the name or address.
    pub(crate) fn administer(&self, endpoint: &str, wish: Administrative) -> bool {
        let mut members = self.members();
        let mut found = false;
        for member in members.endpoints.values() {
            if member.name == endpoint || member.address.to_string() == endpoint {
                member.set_administrative(wish);
                found = true;
            }
        }
        if found {
            self.rebuild(&mut members);
        }
        found
    }

    fn rebuild(&self, members: &mut Members) {
        let mut order: Vec<Address> = Vec::new();
        let mut wanted: HashMap<&Address, &Wanted> = HashMap::new();
        for entry in members.sources.iter().flatten() {
            if wanted.insert(&entry.address, entry).is_none() {
                order.push(entry.address.clone());
            }
        }
        let mut taken: Vec<bool> = Vec::new();
        let mut kept = BTreeMap::new();
        for (address, endpoint) in &members.endpoints {
            if wanted.contains_key(address) {
                if taken.len() <= endpoint.slot {
                    taken.resize(endpoint.slot + 1, false);
                }
                taken[endpoint.slot] = true;
                kept.insert(address.clone(), Arc::clone(endpoint));
            }
        }
        for address in &order {
            let Some(entry) = wanted.get(address) else { continue };
            if let Some(endpoint) = kept.get(address) {
                endpoint.set_weight(entry.weight);
                continue;
            }
            let slot = taken.iter().position(|taken| !taken).unwrap_or(taken.len());
            if slot == taken.len() {
                taken.push(true);
            } else {
                taken[slot] = true;
            }
            let id = NEXT_ENDPOINT.fetch_add(1, Ordering::Relaxed);
            let endpoint =
                Endpoint::new(id, slot, entry.name.clone(), address.clone(), entry.weight, self.n_workers);
            kept.insert(address.clone(), Arc::new(endpoint));
        }
        members.endpoints = kept;
        members.order = order;
        let all: Vec<Arc<Endpoint>> =
            members.order.iter().filter_map(|address| members.endpoints.get(address)).cloned().collect();
        if members.policy.active.is_none() {
            for endpoint in &all {
                endpoint.set_health(Health::Unchecked);
            }
        }
        let ready = choose(&all, members.policy.panic_threshold);
        let weights: Vec<u32> = ready.iter().map(|endpoint| endpoint.weight()).collect();
        let generation = self.generation.load(Ordering::Relaxed) + 1;
        let set = EndpointSet {
            generation,
            uniform: weights.windows(2).all(|pair| pair[0] == pair[1]),
            weights,
            ready,
            all,
            balance: members.policy.balance,
            passive: members.policy.passive.clone(),
            connections: members.policy.connections.clone(),
            protocol: members.policy.protocol,
            tls: members.tls.clone(),
        };
        self.current.store(Arc::new(set));
        self.generation.store(generation, Ordering::Release);
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Members> {
        // Every change leaves the members whole, so a panic of another thread took nothing with it.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Security ===

impl PartialEq for Security {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cleartext, Self::Cleartext) | (Self::Impossible, Self::Impossible) => true,
            (Self::Tls(a), Self::Tls(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Security {
    fn new(policy: &snapshot::Backend) -> Self {
        match policy.tls.as_deref().map(BackendTls::new) {
            None => Self::Cleartext,
            Some(Ok(tls)) => Self::Tls(Arc::new(tls)),
            Some(Err(fault)) => {
                warn!(
                    backend = policy.key,
                    fault, "no TLS to the back end; its requests are answered with 502"
                );
                Self::Impossible
            }
        }
    }
}

/// Endpoints that may get requests: the ready ones, or in panic all but those taken out by hand.
fn choose(all: &[Arc<Endpoint>], panic_threshold: u8) -> Vec<Arc<Endpoint>> {
    let now_ms = clock::now_ms();
    let weighted = |endpoint: &&Arc<Endpoint>| endpoint.weight() > 0;
    let ready: Vec<Arc<Endpoint>> = all
        .iter()
        .filter(|endpoint| endpoint.state(now_ms) == State::Ready)
        .filter(weighted)
        .cloned()
        .collect();
    let candidates: Vec<Arc<Endpoint>> = all
        .iter()
        .filter(|endpoint| endpoint.administrative() == Administrative::Enabled)
        .filter(weighted)
        .cloned()
        .collect();
    if ready.len() * 100 < candidates.len() * usize::from(panic_threshold) { candidates } else { ready }
}

static NEXT_ENDPOINT: AtomicU64 = AtomicU64::new(1);
