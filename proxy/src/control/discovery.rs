//! Sources of endpoints: literal addresses at once, server templates through a task each.
//!
//! A template keeps its task, its slots and its endpoints while its definition stays; a change of anything
//! else in the snapshot does not touch it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use igw_crds::snapshot::{self, EndpointSource, InitAddr, RecordKind, Snapshot, Template};
use igw_dns::guard::Guard;
use igw_dns::resolver::{QueryCounts, Resolver, ResolverSpec};
use igw_dns::slots::{HoldSpec, SlotEndpoint, SlotHealth, SlotsSpec};
use igw_dns::template::{self, RecordChoice, TemplateSpec, TemplateState};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::info;

use super::persist::{Remembered, RememberedEndpoint};
use crate::upstream::backend::{Backend, Wanted};
use crate::upstream::endpoint::{Address, Health};
use crate::upstream::template_states::TemplateStates;

/// Everything that names endpoints.
pub(crate) struct Discovery {
    announce: Rc<dyn Fn(Arc<Backend>)>,
    resolvers: HashMap<snapshot::Resolver, Rc<Resolver>>,
    counts: QueryCountsByResolver,
    running: HashMap<(usize, usize), Running>,
    remembered: Rc<RefCell<Remembered>>,
    states: TemplateStates,
}

/// Counts by name of the resolver, read by the metrics.
#[derive(Clone, Default)]
struct QueryCountsByResolver {
    counts: Arc<Mutex<BTreeMap<String, Vec<Arc<QueryCounts>>>>>,
}

/// A template's task.
struct Running {
    template: Template,
    resolver: snapshot::Resolver,
    hint: Rc<Notify>,
    task: JoinHandle<()>,
}

// === impl Discovery ===

impl Discovery {
    /// `announce` is told of every back end whose endpoints were named anew.
    pub(crate) fn new(remembered: Remembered, announce: impl Fn(Arc<Backend>) + 'static) -> Self {
        Self {
            announce: Rc::new(announce),
            resolvers: HashMap::new(),
            counts: QueryCountsByResolver::default(),
            running: HashMap::new(),
            remembered: Rc::new(RefCell::new(remembered)),
            states: TemplateStates::default(),
        }
    }

    /// Follows a snapshot. `backends` are its back ends in order.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot, backends: &[Arc<Backend>]) {
        let mut wanted = HashSet::new();
        for (policy, backend) in snapshot.backends.iter().zip(backends) {
            for (index, source) in policy.sources.iter().enumerate() {
                match source {
                    EndpointSource::Address { address } => {
                        backend.set_source(index, vec![literal(Address::Tcp(*address))]);
                    }
                    EndpointSource::Unix { path } => {
                        backend.set_source(index, vec![literal(Address::Unix(PathBuf::from(path)))]);
                    }
                    EndpointSource::Template(template) => {
                        wanted.insert((backend.id, index));
                        let resolver = snapshot.resolvers.get(template.resolver.0 as usize);
                        self.run(
                            backend,
                            index,
                            template,
                            &resolver.cloned().unwrap_or_else(default_resolver),
                        );
                    }
                }
            }
        }
        self.running.retain(|place, running| {
            let stays = wanted.contains(place);
            if !stays {
                running.task.abort();
            }
            stays
        });
        let keys: HashSet<&str> = snapshot.backends.iter().map(|policy| policy.key.as_str()).collect();
        self.states.retain(|key| keys.contains(key));
        let used: HashSet<&snapshot::Resolver> =
            self.running.values().map(|running| &running.resolver).collect();
        self.resolvers.retain(|spec, _| used.contains(spec));
    }

    /// Endpoints of all templates that run, to be remembered.
    pub(crate) fn persisted(&self) -> Remembered {
        self.remembered.borrow().clone()
    }

    pub(crate) fn states(&self) -> TemplateStates {
        self.states.clone()
    }

    /// Reads `(resolver, result, count)`.
    pub(crate) fn queries(&self) -> Box<dyn Fn() -> Vec<(String, &'static str, u64)> + Send + Sync> {
        let counts = self.counts.clone();
        Box::new(move || counts.all())
    }

    /// Makes templates of this name ask again now.
    pub(crate) fn hint(&self, fqdn: &str) {
        for running in self.running.values().filter(|running| running.template.fqdn == fqdn) {
            running.hint.notify_one();
        }
    }

    fn run(
        &mut self,
        backend: &Arc<Backend>,
        index: usize,
        template: &Template,
        resolver: &snapshot::Resolver,
    ) {
        let place = (backend.id, index);
        if let Some(running) = self.running.get(&place) {
            if running.template == *template && running.resolver == *resolver {
                return;
            }
            running.task.abort();
        }
        let shared = self.resolver(resolver);
        let hint = Rc::new(Notify::new());
        // What was remembered of another name is not this template's.
        let memory = format!("{}#{index}#{}", backend.key, template.fqdn);
        let initial = initial(template, self.remembered.borrow().get(&memory));
        let of_task = Rc::clone(&hint);
        let health = {
            let backend = Arc::clone(backend);
            move |address| health_of(&backend, address)
        };
        let publish = {
            let backend = Arc::clone(backend);
            let announce = Rc::clone(&self.announce);
            let remembered = Rc::clone(&self.remembered);
            let states = self.states.clone();
            let prefix = template.prefix.clone();
            move |endpoints: &[SlotEndpoint], state: TemplateState| {
                info!(
                    backend = &*backend.key,
                    endpoints = endpoints.len(),
                    state = state.as_str(),
                    "template answered"
                );
                states.set(&backend.key, &prefix, state);
                remembered.borrow_mut().insert(memory.clone(), endpoints.iter().map(remember).collect());
                backend
                    .set_source(index, endpoints.iter().map(|endpoint| wanted(&prefix, endpoint)).collect());
                announce(Arc::clone(&backend));
            }
        };
        let spec = template_spec(template);
        let task = tokio::task::spawn_local(async move {
            template::run(spec, &shared, &of_task, &initial, health, publish).await;
        });
        self.running
            .insert(place, Running { template: template.clone(), resolver: resolver.clone(), hint, task });
    }

    fn resolver(&mut self, spec: &snapshot::Resolver) -> Rc<Resolver> {
        let counts = &self.counts;
        let resolver = self.resolvers.entry(spec.clone()).or_insert_with(|| {
            let resolver = Resolver::new(ResolverSpec {
                name: spec.name.clone(),
                nameservers: spec.nameservers.clone(),
                resolv_conf: spec.from_resolv_conf.then(|| PathBuf::from("/etc/resolv.conf")),
                search: spec.search,
                edns_payload: spec.edns_payload,
                timeout: Duration::from_millis(spec.timeout_ms),
                retries: spec.retries,
            });
            counts.add(&spec.name, resolver.counts());
            Rc::new(resolver)
        });
        Rc::clone(resolver)
    }
}

// === impl QueryCountsByResolver ===

impl QueryCountsByResolver {
    fn add(&self, resolver: &str, counts: Arc<QueryCounts>) {
        // Every change leaves the map whole.
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(resolver.to_owned()).or_default().push(counts);
    }

    fn all(&self) -> Vec<(String, &'static str, u64)> {
        let all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
        for (resolver, counts) in all.iter() {
            for (result, count) in counts.iter().flat_map(|counts| counts.all()) {
                *sums.entry((resolver.clone(), result)).or_default() += count;
            }
        }
        sums.into_iter().map(|((resolver, result), count)| (resolver, result, count)).collect()
    }
}

fn literal(address: Address) -> Wanted {
    Wanted { name: address.to_string(), address, weight: 1 }
}

fn wanted(prefix: &str, endpoint: &SlotEndpoint) -> Wanted {
    Wanted {
        name: format!("{prefix}_{}", endpoint.slot + 1),
        address: Address::Tcp(endpoint.address),
        weight: endpoint.weight,
    }
}

fn remember(endpoint: &SlotEndpoint) -> RememberedEndpoint {
    RememberedEndpoint { address: endpoint.address, weight: endpoint.weight, slot: endpoint.slot }
}

/// The first way of `initAddr` that gives endpoints. `dns` gives none here: the first question goes out at
/// once and nothing waits for it.
fn initial(template: &Template, remembered: Option<&Vec<RememberedEndpoint>>) -> Vec<SlotEndpoint> {
    for way in &template.init {
        match way {
            InitAddr::Last => {
                let last: Vec<SlotEndpoint> = remembered
                    .into_iter()
                    .flatten()
                    .map(|one| SlotEndpoint { slot: one.slot, address: one.address, weight: one.weight })
                    .collect();
                if !last.is_empty() {
                    return last;
                }
            }
            InitAddr::Address(address) => {
                return vec![SlotEndpoint {
                    slot: 0,
                    address: SocketAddr::new(*address, template.port),
                    weight: 1,
                }];
            }
            InitAddr::Dns => {}
            InitAddr::None => break,
        }
    }
    Vec::new()
}

fn template_spec(template: &Template) -> TemplateSpec {
    let hold = |ms: Option<u64>| ms.map(Duration::from_millis);
    TemplateSpec {
        name: template.fqdn.clone(),
        port: template.port,
        records: match template.record {
            RecordKind::A => RecordChoice::A,
            RecordKind::Aaaa => RecordChoice::Aaaa,
            RecordKind::Both => RecordChoice::Both,
            RecordKind::Prefer4 => RecordChoice::Prefer4,
            RecordKind::Prefer6 => RecordChoice::Prefer6,
            RecordKind::Srv => RecordChoice::Srv,
        },
        ignore_weight: template.ignore_weight,
        slots: SlotsSpec {
            slots: template.slots,
            min_ttl: Duration::from_millis(template.min_ttl_ms),
            max_ttl: Duration::from_millis(template.max_ttl_ms),
            hold: HoldSpec {
                nxdomain: hold(template.hold.nxdomain_ms),
                obsolete: hold(template.hold.obsolete_ms),
                timeout: hold(template.hold.timeout_ms),
                refused: hold(template.hold.refused_ms),
                other: hold(template.hold.other_ms),
            },
        },
        guard: template.guard.as_ref().map(|guard| Guard {
            // A network that cannot be read opens nothing.
            allow: guard.allow.iter().filter_map(|network| network.parse().ok()).collect(),
            nodes: guard.nodes.clone(),
            never: guard.never.clone(),
            only_allowed: guard.only_allowed,
        }),
    }
}

fn health_of(backend: &Backend, address: SocketAddr) -> SlotHealth {
    let set = backend.current();
    let endpoint = set.all.iter().find(|endpoint| endpoint.address == Address::Tcp(address));
    match endpoint.map(|endpoint| endpoint.health()) {
        Some(Health::Passing) => SlotHealth::Passing,
        Some(Health::Failing) => SlotHealth::Failing,
        Some(Health::Unchecked) | None => SlotHealth::Unchecked,
    }
}

/// Stands for a resolver that the snapshot lacks.
fn default_resolver() -> snapshot::Resolver {
    snapshot::Resolver {
        name: "default".to_owned(),
        nameservers: Vec::new(),
        from_resolv_conf: true,
        search: false,
        edns_payload: 8_192,
        timeout_ms: 1_000,
        retries: 3,
    }
}
