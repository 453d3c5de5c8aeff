//! Builds tables from a snapshot. Total: whatever a snapshot says becomes tables that answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use igw_crds::snapshot::{
    self, Action, AuthorizationProtocol, BackendId, Filter, PathMatch, Protocol, Snapshot, Transport,
};
use igw_route::PortRoutes;
use tokio::sync::mpsc;
use tracing::warn;

use super::challenges::Challenges;
use super::clients::{ClientTables, networks};
use super::tracing::TracingTables;
use super::{
    ActionTables, Bind, Filters, GateTables, PortTables, RuleTables, Tables, TargetTables, WeightedTables,
};
use crate::metrics::series::{Labels, SeriesIndex};
use crate::place::Place;
use crate::sessions::{SessionKey, SessionRule};
use crate::tls::clients::Ending;
use crate::tls::config::Configs;
use crate::tls::keys::Keys;
use crate::upstream::backend::Backend;
use crate::upstream::secure::ClientIdentity;

/// What outlives any snapshot: numbers of ports, back ends with their endpoints, counters.
pub(crate) struct Lasting {
    n_workers: usize,
    pub(crate) series: Arc<SeriesIndex>,
    /// Numbers of ports by gateway, transport and port; never used again for another.
    ports: HashMap<(String, Transport, u16), usize>,
    backends: HashMap<String, Arc<Backend>>,
    n_backends: usize,
    n_tables: u64,
    ejections: mpsc::UnboundedSender<Arc<Backend>>,
    pub(crate) keys: Keys,
    tls: Configs,
    /// What gateways show to endpoints, by fingerprint of the certificate.
    identities: HashMap<String, Arc<ClientIdentity>>,
}

// === impl Lasting ===

impl Lasting {
    pub(crate) fn new(
        n_workers: usize,
        series: Arc<SeriesIndex>,
        ejections: mpsc::UnboundedSender<Arc<Backend>>,
    ) -> Self {
        Self {
            n_workers,
            series,
            ports: HashMap::new(),
            backends: HashMap::new(),
            n_backends: 0,
            n_tables: 0,
            ejections,
            keys: Keys::default(),
            tls: Configs::default(),
            identities: HashMap::new(),
        }
    }

    /// Builds the tables of one generation.
    pub(crate) fn build(&mut self, snapshot: &Snapshot, epoch: u64, generation: u64) -> Tables {
        self.series.set_budget(snapshot.routes.len());
        self.series.sweep(crate::clock::now_ms());
        let backends = self.backends(snapshot);
        let rules = rules(snapshot, &backends);
        let mut taken: HashSet<Place> = HashSet::new();
        let mut binds = Vec::new();
        let mut faults = BTreeMap::new();
        let mut used_identities = HashMap::new();
        self.tls.begin();
        let session_names = snapshot.session_keys();
        let mut ports: Vec<Option<Arc<PortTables>>> = Vec::new();
        for (index, gateway) in snapshot.gateways.iter().enumerate() {
            let name: Arc<str> = format!("{}/{}", gateway.namespace, gateway.name).into();
            let settings = Arc::new(gateway.settings.clone());
            let listeners: Vec<Arc<str>> =
                gateway.listeners.iter().map(|listener| listener.name.as_str().into()).collect();
            let mut by_port: BTreeMap<(Transport, u16), Vec<usize>> = BTreeMap::new();
            for (position, listener) in gateway.listeners.iter().enumerate() {
                let port = (listener.protocol.transport(), listener.port);
                by_port.entry(port).or_default().push(position);
            }
            let session_key = self.session_key(&session_names, gateway);
            let client_identity = self.client_identity(gateway, &mut used_identities);
            let tracing = gateway.tracing.as_ref();
            let tracing = tracing.map(|rules| Arc::new(TracingTables::new(rules, &backends)));
            for ((transport, number), positions) in by_port {
                let port = self.port(&name, transport, number);
                let routes = PortRoutes::build(snapshot, index, &positions);
                let protocols: Vec<Protocol> =
                    gateway.listeners.iter().map(|listener| listener.protocol).collect();
                let targets = self.targets(&name, &listeners, &protocols, &routes, &rules);
                let here = || positions.iter().filter_map(|position| gateway.listeners.get(*position));
                let announcers = here()
                    .filter_map(|listener| listener.client.as_deref())
                    .flat_map(|rules| networks(&rules.proxy_protocol))
                    .collect();
                let unrouted_streams = listeners
                    .iter()
                    .map(|listener| {
                        let (gateway, listener) = (name.to_string(), listener.to_string());
                        self.series.stream(Labels { gateway, listener, ..Labels::default() })
                    })
                    .collect();
                let unrouted = listeners
                    .iter()
                    .map(|listener| listener.to_string())
                    .chain([String::new()])
                    .map(|listener| {
                        let gateway = name.to_string();
                        self.series.series(Labels { gateway, listener, ..Labels::default() })
                    })
                    .collect();
                let tls = self.tls(&name, gateway, &positions, &mut faults);
                let tables = PortTables {
                    tls,
                    session_key: session_key.clone(),
                    client_identity: client_identity.clone(),
                    is_tcp: here().any(|listener| listener.protocol == Protocol::Tcp),
                    clients: gateway
                        .listeners
                        .iter()
                        .map(|listener| ClientTables::new(listener.client.as_deref()))
                        .collect(),
                    gates: gates(gateway, &positions, &backends),
                    tracing: tracing.clone(),
                    protocols,
                    passing: gateway
                        .listeners
                        .iter()
                        .map(|listener| listener.protocol == Protocol::Tls && listener.tls.is_none())
                        .collect(),
                    announcers,
                    http2_streams: here()
                        .filter_map(|listener| listener.client.as_ref()?.http2_streams)
                        .min(),
                    unrouted_streams,
                    gateway: Arc::clone(&name),
                    settings: Arc::clone(&settings),
                    number,
                    routes,
                    targets,
                    listeners: listeners.clone(),
                    unrouted,
                };
                if ports.len() <= port {
                    ports.resize_with(port + 1, || None);
                }
                ports[port] = Some(Arc::new(tables));
                for address in addresses(gateway, number) {
                    let place = Place { address, transport };
                    // The older gateway has a place; gateways come in that order.
                    if taken.insert(place) {
                        binds.push(Bind { place, port });
                    }
                }
            }
        }
        self.tls.end();
        self.identities = used_identities;
        let challenges = Challenges::build(&snapshot.challenges, &self.keys);
        self.keys.retain(snapshot);
        let certificates: BTreeMap<&str, &snapshot::Certificate> = snapshot
            .certificates()
            .map(|certificate| (certificate.fingerprint.as_str(), certificate))
            .collect();
        let certificates = certificates.into_values().cloned().collect();
        self.n_tables += 1;
        let tells_clients =
            snapshot.backends.iter().any(|backend| backend.connections.proxy_protocol.is_some())
                || snapshot.filters().any(tells_clients);
        Tables {
            stamp: self.n_tables,
            epoch,
            generation,
            ports,
            tells_clients,
            backends,
            binds,
            certificates,
            challenges,
            faults,
        }
    }

    /// What handshakes on a port need, by listener index; nothing on a port without TLS.
    fn tls(
        &mut self,
        name: &Arc<str>,
        gateway: &snapshot::Gateway,
        positions: &[usize],
        faults: &mut BTreeMap<(Arc<str>, Arc<str>), String>,
    ) -> Option<Vec<Option<Ending>>> {
        let mut endings = vec![None; gateway.listeners.len()];
        let mut is_tls = false;
        for (position, listener) in
            gateway.listeners.iter().enumerate().filter(|(at, _)| positions.contains(at))
        {
            is_tls |= matches!(listener.protocol, Protocol::Https | Protocol::Tls);
            let Some(tls) = &listener.tls else { continue };
            let place = (Arc::clone(name), Arc::from(listener.name.as_str()));
            match self.tls.config(&format!("{name}/{}", listener.name), tls, &mut self.keys) {
                Ok((ending, missing)) => {
                    endings[position] = Some(ending);
                    if !missing.is_empty() {
                        faults.insert(place, missing.join("; "));
                    }
                }
                Err(why) => {
                    faults.insert(place, why);
                }
            }
        }
        is_tls.then_some(endings)
    }

    /// What seals the sessions of a gateway, where a rule has some.
    fn session_key(
        &self,
        names: &BTreeMap<String, String>,
        gateway: &snapshot::Gateway,
    ) -> Option<Arc<SessionKey>> {
        let name = gateway.session_key();
        if !names.contains_key(&name) {
            return None;
        }
        let key = self.keys.session(&name);
        if key.is_none() {
            warn!(gateway = gateway.name, "the key of sessions did not arrive; they stay with no endpoint");
        }
        key.map(Arc::new)
    }

    /// What a gateway shows to endpoints that ask. The same certificate keeps its connections.
    fn client_identity(
        &mut self,
        gateway: &snapshot::Gateway,
        used: &mut HashMap<String, Arc<ClientIdentity>>,
    ) -> Option<Arc<ClientIdentity>> {
        let certificate = gateway.client_certificate.as_deref()?;
        let identity = match self.identities.get(&certificate.fingerprint) {
            Some(identity) => Arc::clone(identity),
            None => match self.keys.certified(certificate) {
                Ok(key) => Arc::new(ClientIdentity::new(key)),
                Err(fault) => {
                    warn!(gateway = gateway.name, fault, "no certificate to show to back ends");
                    return None;
                }
            },
        };
        used.insert(certificate.fingerprint.clone(), Arc::clone(&identity));
        Some(identity)
    }

    fn port(&mut self, gateway: &str, transport: Transport, number: u16) -> usize {
        let next = self.ports.len();
        *self.ports.entry((gateway.to_owned(), transport, number)).or_insert(next)
    }

    /// Back ends by index of the snapshot. A known key keeps its back end with all its state.
    fn backends(&mut self, snapshot: &Snapshot) -> Vec<Arc<Backend>> {
        let mut known = HashMap::new();
        let mut list = Vec::with_capacity(snapshot.backends.len());
        for policy in &snapshot.backends {
            let backend = match self.backends.get(&policy.key) {
                Some(backend) => {
                    if backend.policy() != *policy {
                        backend.set_policy(policy.clone());
                    }
                    Arc::clone(backend)
                }
                None => {
                    let id = self.n_backends;
                    self.n_backends += 1;
                    Arc::new(Backend::new(id, policy.clone(), self.n_workers, self.ejections.clone()))
                }
            };
            known.insert(policy.key.clone(), Arc::clone(&backend));
            list.push(backend);
        }
        self.backends = known;
        list
    }

    fn targets(
        &self,
        gateway: &Arc<str>,
        listeners: &[Arc<str>],
        protocols: &[Protocol],
        routes: &PortRoutes,
        rules: &[Vec<Arc<RuleTables>>],
    ) -> Vec<TargetTables> {
        let rule_of = |route: usize, rule: usize| rules.get(route).and_then(|rules| rules.get(rule)).cloned();
        routes
            .targets()
            .iter()
            .map(|target| {
                let rule =
                    rule_of(target.route.0 as usize, target.rule).unwrap_or_else(|| Arc::new(missing_rule()));
                let listener = listeners.get(target.listener).map(ToString::to_string).unwrap_or_default();
                let labels = |backend: String| Labels {
                    gateway: gateway.to_string(),
                    listener: listener.clone(),
                    route: rule.route.to_string(),
                    rule: rule.name.clone(),
                    backend,
                };
                let candidates: &[WeightedTables] = match &rule.action {
                    ActionTables::Forward(candidates) => candidates,
                    ActionTables::Respond { .. } => &[],
                };
                let backends = candidates
                    .iter()
                    .map(|candidate| candidate.backend.as_ref().map(|backend| backend.key.to_string()))
                    .map(Option::unwrap_or_default)
                    .chain([String::new()]);
                let is_stream = protocols.get(target.listener).is_some_and(|protocol| protocol.is_stream());
                let (mut series, mut streams) = (Vec::new(), Vec::new());
                match is_stream {
                    true => streams.extend(backends.map(|backend| self.series.stream(labels(backend)))),
                    false => series.extend(backends.map(|backend| self.series.series(labels(backend)))),
                }
                TargetTables { rule, series, streams, listener: target.listener }
            })
            .collect()
    }
}

fn rules(snapshot: &Snapshot, backends: &[Arc<Backend>]) -> Vec<Vec<Arc<RuleTables>>> {
    snapshot
        .routes
        .iter()
        .map(|route| {
            let name: Arc<str> = format!("{}/{}", route.namespace, route.name).into();
            let speaks_http2 = &*route.kind == "GRPCRoute";
            route
                .rules
                .iter()
                .enumerate()
                .map(|(index, rule)| Arc::new(rule_tables(&name, index, rule, speaks_http2, backends)))
                .collect()
        })
        .collect()
}

/// Filters before routing of the listeners of a port, by index of the gateway's listeners; empty if there are none.
fn gates(
    gateway: &snapshot::Gateway,
    positions: &[usize],
    backends: &[Arc<Backend>],
) -> Vec<Vec<GateTables>> {
    let has_some = |position: &usize| {
        gateway.listeners.get(*position).is_some_and(|listener| !listener.filters.is_empty())
    };
    if !positions.iter().any(has_some) {
        return Vec::new();
    }
    let of_listener = |listener: &snapshot::Listener| {
        listener.filters.iter().map(|filter| GateTables::new(filter, backends)).collect()
    };
    gateway.listeners.iter().map(of_listener).collect()
}

/// Calls tell where clients connected to.
fn tells_clients(filter: &Filter) -> bool {
    matches!(filter, Filter::Authorize(rules) if rules.protocol == AuthorizationProtocol::Grpc)
}

fn rule_tables(
    route: &Arc<str>,
    index: usize,
    rule: &snapshot::Rule,
    speaks_http2: bool,
    backends: &[Arc<Backend>],
) -> RuleTables {
    let action = match &rule.action {
        Action::Respond { status, cause } => {
            ActionTables::Respond { status: *status, cause: cause.as_str().into() }
        }
        Action::Forward { backends: candidates } => {
            let mut upto = 0;
            let find = |id: BackendId| backends.get(id.0 as usize).cloned();
            let candidates = candidates
                .iter()
                .map(|candidate| {
                    upto += u64::from(candidate.weight);
                    WeightedTables {
                        upto,
                        backend: candidate.backend.and_then(find),
                        filters: Filters::new(&candidate.filters, backends),
                    }
                })
                .collect();
            ActionTables::Forward(candidates)
        }
    };
    let name = rule.name.clone().unwrap_or_else(|| index.to_string());
    RuleTables {
        route: Arc::clone(route),
        session: rule.session.as_ref().map(|session| SessionRule::new(session, route, &name)),
        name,
        prefixes: rule
            .matches
            .iter()
            .map(|one| match &one.path {
                PathMatch::Prefix(prefix) => Some(prefix.clone()),
                PathMatch::Exact(_) | PathMatch::Regex(_) | PathMatch::Method(_) => None,
            })
            .collect(),
        filters: Filters::new(&rule.filters, backends),
        action,
        speaks_http2,
        request_timeout_ms: rule.request_timeout_ms,
        backend_timeout_ms: rule.backend_timeout_ms,
        retry: rule.retry.clone(),
    }
}

/// Stands for a rule that a table names and the snapshot lacks: it answers, it never disappears.
fn missing_rule() -> RuleTables {
    RuleTables {
        route: "".into(),
        name: String::new(),
        prefixes: Vec::new(),
        filters: Filters::default(),
        action: ActionTables::Respond { status: 500, cause: "backend_invalid".into() },
        speaks_http2: false,
        request_timeout_ms: 0,
        backend_timeout_ms: None,
        retry: None,
        session: None,
    }
}

/// Addresses of a gateway on one port; all of IPv6 and all of IPv4 where it names none.
fn addresses(gateway: &snapshot::Gateway, port: u16) -> Vec<SocketAddr> {
    if gateway.addresses.is_empty() {
        return vec![
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
        ];
    }
    gateway.addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}
