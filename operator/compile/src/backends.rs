//! Back ends of the snapshot: one for each Service and port, one for each Backend, made when a route names it.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use igw_crds::objects::backend::{BackendEndpoint, BackendSpec};
use igw_crds::objects::backend_policy::{
    self, AddressFamily, AppProtocol, BackendPolicySpec, Discovery, HoldTime, LoadBalancerType, RecordType,
    SrvWeight,
};
use igw_crds::objects::names::TimeSpan;
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::{
    ActiveCheck, Backend, BackendId, BackendProtocol, Balance, Connections, EndpointSource, Guard, Hold,
    InitAddr, PassiveCheck, Probe, ProxyVersion, RecordKind, Resolver, ResolverId, Route, Template,
    Transport,
};

use crate::backend_tls::{BackendTlsPolicies, Target};
use crate::grants::{Reference, is_allowed};
use crate::input::{Facts, Members, ObjectSet};
use crate::listeners::GatewayNode;
use crate::named::Named;
use crate::permissions::{allowed_networks, allows_name, refused_endpoint};
use crate::policies::Policies;
use crate::services::Services;
use crate::status::Status;

/// Back ends as routes ask for them.
pub(crate) struct Backends<'o> {
    objects: &'o ObjectSet,
    cluster: &'o str,
    members: Option<&'o Members>,
    services: Option<&'o Services>,
    policies: &'o Policies<'o>,
    tls: BackendTlsPolicies<'o>,
    made: Vec<Backend>,
    /// What each of `made` was made of.
    targets: Vec<Target>,
    /// What references to one thing lead to. Only the grant depends on who refers to it.
    judged: HashMap<(Named<'o>, Transport), Result<BackendId, BadReference>>,
}

/// Why a reference leads nowhere.
#[derive(Clone)]
pub(crate) struct BadReference {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

// === impl Backends ===

impl<'o> Backends<'o> {
    pub(crate) fn new(objects: &'o ObjectSet, facts: &'o Facts, policies: &'o Policies<'o>) -> Self {
        Self {
            objects,
            cluster: &facts.cluster,
            members: facts.members.as_ref(),
            services: facts.services.as_ref(),
            policies,
            tls: BackendTlsPolicies::new(objects, facts),
            made: Vec::new(),
            targets: Vec::new(),
            judged: HashMap::new(),
        }
    }

    /// The back end that a route's reference names.
    pub(crate) fn resolve(
        &mut self,
        route: &ObjectKey,
        reference: Named<'o>,
    ) -> Result<BackendId, BadReference> {
        let Named { group, kind, namespace, name, .. } = reference;
        let is_service = group.is_empty() && kind == "Service";
        let is_backend = group == "igw.opensvc.com" && kind == "Backend";
        if !is_service && !is_backend {
            let shown = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
            let message =
                format!("{shown} takes no requests; use Service (core group) or Backend (igw.opensvc.com)");
            return Err(BadReference { reason: "InvalidKind", message });
        }
        let crossing = Reference {
            from_group: route.kind.group(),
            from_kind: route.kind.as_str(),
            from_namespace: &route.namespace,
            to_group: group,
            to_kind: kind,
            to_namespace: namespace,
            to_name: name,
        };
        if !is_allowed(self.objects, &crossing) {
            let message = format!(
                "no ReferenceGrant in namespace {namespace} lets {} of {} refer to {kind} {name}; its owner must write one",
                route.kind, route.namespace
            );
            return Err(BadReference { reason: "RefNotPermitted", message });
        }
        // A Backend has ports of its own.
        let asked = Named { port: reference.port.filter(|_| is_service), ..reference };
        let transport = if route.kind == Kind::UdpRoute { Transport::Udp } else { Transport::Tcp };
        if let Some(judged) = self.judged.get(&(asked, transport)) {
            return judged.clone();
        }
        let judged = match is_backend {
            true => self.judge_backend(namespace, name, transport),
            false => self.judge_service(namespace, name, asked.port, transport),
        };
        self.judged.insert((asked, transport), judged.clone());
        judged
    }

    fn judge_backend(
        &mut self,
        namespace: &'o str,
        name: &'o str,
        transport: Transport,
    ) -> Result<BackendId, BadReference> {
        let found = self.objects.find(Kind::Backend, namespace, name).map(|stored| stored.spec());
        let Some(Spec::Backend(spec)) = found else {
            let message =
                format!("Backend {namespace}/{name} does not exist; write it, or change the reference");
            return Err(BadReference { reason: "BackendNotFound", message });
        };
        if transport == Transport::Udp && spec.endpoints.iter().any(|endpoint| endpoint.unix.is_some()) {
            let message = format!(
                "Backend {namespace}/{name} has Unix sockets, which take no datagrams of a UDPRoute; use ip or fqdn"
            );
            return Err(BadReference { reason: "UnsupportedProtocol", message });
        }
        self.check_services(namespace, name, spec)?;
        let is_own = |endpoint: &BackendEndpoint| !self.services_behind(endpoint).is_empty();
        if let Some(refused) = refused_endpoint(self.objects, namespace, spec, is_own, self.members.is_some())
        {
            let message = format!(
                "Backend {namespace}/{name} names {refused}, which `backends` of GatewayConfig system/default does not allow"
            );
            return Err(BadReference { reason: "RefNotPermitted", message });
        }
        for fqdn in spec.endpoints.iter().filter_map(|endpoint| endpoint.fqdn.as_ref()) {
            let host = fqdn.hostname.as_str();
            self.check_asked("Backend", namespace, name, host, fqdn.port.as_u16(), transport)?;
        }
        Ok(self.backend(namespace, name, spec, transport))
    }

    fn judge_service(
        &mut self,
        namespace: &'o str,
        name: &'o str,
        port: Option<u16>,
        transport: Transport,
    ) -> Result<BackendId, BadReference> {
        let Some(port) = port else {
            let message = format!("Service {namespace}/{name} needs a port; add `port`");
            return Err(BadReference { reason: "BackendNotFound", message });
        };
        if let Some(services) = self.services {
            let told = services.endpoints(namespace, name, port)?;
            return Ok(self.service(namespace, name, port, transport, Some(told)));
        }
        let fqdn = format!("{name}.{namespace}.svc.{}", self.cluster);
        self.check_asked("Service", namespace, name, &fqdn, port, transport)?;
        if self.members.is_some_and(|members| !members.services.contains(&format!("{namespace}/{name}"))) {
            let message =
                format!("service {namespace}/svc/{name} does not exist; deploy it, or change the reference");
            return Err(BadReference { reason: "BackendNotFound", message });
        }
        Ok(self.service(namespace, name, port, transport, None))
    }

    /// Everything that was asked for: back ends, resolvers, statuses of policies.
    pub(crate) fn finish(
        self,
        gateways: &[GatewayNode],
        routes: &[Route],
    ) -> (Vec<Backend>, Vec<Resolver>, Vec<(ObjectKey, Status)>) {
        let mut statuses = self.policies.statuses();
        statuses.extend(self.tls.statuses(&self.targets, gateways, routes));
        (self.made, self.policies.resolvers.clone(), statuses)
    }

    /// Names and addresses of the cluster's services inside a Backend need the grants that references to the services
    /// need. Where several services share an address, one grant opens it.
    fn check_services(&self, namespace: &str, backend: &str, spec: &BackendSpec) -> Result<(), BadReference> {
        for endpoint in &spec.endpoints {
            let services = self.services_behind(endpoint);
            let is_open = services.iter().any(|(owner, service)| {
                let crossing = Reference {
                    from_group: "igw.opensvc.com",
                    from_kind: "Backend",
                    from_namespace: namespace,
                    to_group: "",
                    to_kind: "Service",
                    to_namespace: owner,
                    to_name: service,
                };
                is_allowed(self.objects, &crossing)
            });
            if let Some((owner, service)) = services.first().filter(|_| !is_open) {
                let how = if endpoint.ip.is_some() { "names an address of" } else { "names" };
                let message = format!(
                    "Backend {namespace}/{backend} {how} service {owner}/{service}, and no ReferenceGrant in namespace {owner} \
                     lets Backend of {namespace} refer to Service {service}; its owner must write one"
                );
                return Err(BadReference { reason: "RefNotPermitted", message });
            }
        }
        Ok(())
    }

    /// A policy may ask for another name than the back end has: that name is judged as if it were written there.
    fn check_asked(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        fqdn: &str,
        port: u16,
        transport: Transport,
    ) -> Result<(), BadReference> {
        let policy = self.policies.find(kind, namespace, name, (kind == "Service").then_some(port));
        let Some(discovery) = policy.and_then(|policy| policy.discovery.as_ref()) else { return Ok(()) };
        let asked = self.asked_name(namespace, name, fqdn, (port, transport), discovery);
        let of_ports = format!(".{}.{fqdn}", label(transport));
        if self.members.is_none() || asked == fqdn || asked.ends_with(&of_ports) {
            return Ok(());
        }
        let refused = match service_of(&asked, self.cluster) {
            Some((owner, service)) => {
                let crossing = Reference {
                    from_group: "igw.opensvc.com",
                    from_kind: "BackendPolicy",
                    from_namespace: namespace,
                    to_group: "",
                    to_kind: "Service",
                    to_namespace: owner,
                    to_name: service,
                };
                (!is_allowed(self.objects, &crossing)).then(|| {
                    format!(
                        "no ReferenceGrant in namespace {owner} lets BackendPolicy of {namespace} refer to Service {service}"
                    )
                })
            }
            None => (!allows_name(self.objects, namespace, &asked))
                .then(|| "`backends` of GatewayConfig system/default does not allow it".to_owned()),
        };
        match refused {
            None => Ok(()),
            Some(why) => {
                let message = format!(
                    "`discovery` of the BackendPolicy of {kind} {namespace}/{name} asks for {asked}, and {why}"
                );
                Err(BadReference { reason: "RefNotPermitted", message })
            }
        }
    }

    /// What may be used of what a name leads to; in a cluster only.
    fn guard(&self, namespace: &str, asked: &str, resolver: ResolverId) -> Option<Guard> {
        let members = self.members?;
        let is_foreign = |services: &BTreeSet<String>| {
            !services
                .iter()
                .any(|service| service.split_once('/').is_some_and(|(owner, _)| owner == namespace))
        };
        let never = members.addresses.iter().filter(|(_, services)| is_foreign(services));
        let is_service = service_of(asked, self.cluster).is_some();
        Some(Guard {
            allow: allowed_networks(self.objects, namespace).iter().map(ToString::to_string).collect(),
            nodes: members.nodes.values().flatten().copied().collect(),
            // The cluster's own names lead to the cluster's own services.
            never: if is_service { Vec::new() } else { never.map(|(address, _)| *address).collect() },
            only_allowed: !is_service && resolver != ResolverId(0),
        })
    }

    /// Namespaces and names of the services that an endpoint belongs to.
    fn services_behind<'n>(&'n self, endpoint: &'n BackendEndpoint) -> Vec<(&'n str, &'n str)> {
        let Some(members) = self.members else { return Vec::new() };
        if let Some(fqdn) = &endpoint.fqdn {
            return service_of(fqdn.hostname.as_str(), self.cluster).into_iter().collect();
        }
        let found = endpoint.ip.as_ref().and_then(|ip| members.addresses.get(&ip.address));
        found.into_iter().flatten().filter_map(|name| name.split_once('/')).collect()
    }

    /// A service: its endpoints and their protocol where they are told, and whoever tells them judges their health; else
    /// DNS is asked.
    fn service(
        &mut self,
        namespace: &str,
        name: &str,
        port: u16,
        transport: Transport,
        told: Option<(Vec<EndpointSource>, BackendProtocol)>,
    ) -> BackendId {
        let key = format!("Service/{namespace}/{name}:{port}{}", suffix(transport));
        let policy = self.policies.find("Service", namespace, name, Some(port));
        let (sources, protocol) = told.unwrap_or_else(|| {
            let fqdn = format!("{name}.{namespace}.svc.{}", self.cluster);
            let template = self.template(namespace, name, &fqdn, (port, transport), policy);
            (vec![EndpointSource::Template(template)], BackendProtocol::Http1)
        });
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let target = Target { kind: "Service", namespace, name, port: Some(port) };
        self.make(key, transport, target, sources, protocol, policy)
    }

    fn backend(
        &mut self,
        namespace: &str,
        name: &str,
        spec: &BackendSpec,
        transport: Transport,
    ) -> BackendId {
        let key = format!("Backend/{namespace}/{name}{}", suffix(transport));
        let policy = self.policies.find("Backend", namespace, name, None);
        let sources = spec
            .endpoints
            .iter()
            .filter_map(|endpoint| {
                if let Some(ip) = &endpoint.ip {
                    let address = SocketAddr::new(ip.address, ip.port.as_u16());
                    return Some(EndpointSource::Address { address });
                }
                if let Some(unix) = &endpoint.unix {
                    return Some(EndpointSource::Unix { path: unix.path.clone() });
                }
                let fqdn = endpoint.fqdn.as_ref()?;
                let place = (fqdn.port.as_u16(), transport);
                let host = fqdn.hostname.as_str();
                Some(EndpointSource::Template(self.template(namespace, name, host, place, policy)))
            })
            .collect();
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let target = Target { kind: "Backend", namespace, name, port: None };
        self.make(key, transport, target, sources, BackendProtocol::Http1, policy)
    }

    /// `protocol` is spoken where no policy says another.
    fn make(
        &mut self,
        key: String,
        transport: Transport,
        target: Target,
        sources: Vec<EndpointSource>,
        protocol: BackendProtocol,
        policy: Option<&BackendPolicySpec>,
    ) -> BackendId {
        let is_dynamic = sources.iter().any(|source| matches!(source, EndpointSource::Template(_)));
        let health = policy.and_then(|policy| policy.health_check.as_ref());
        let balancer = policy.and_then(|policy| policy.load_balancer.as_ref());
        let backend = Backend {
            transport,
            sources,
            balance: match balancer.map(|balancer| balancer.r#type) {
                Some(LoadBalancerType::LeastRequest) => Balance::LeastRequest,
                Some(LoadBalancerType::Random) => Balance::Random,
                Some(LoadBalancerType::RoundRobin) | None => Balance::RoundRobin,
            },
            active: match health.and_then(|health| health.active.as_ref()) {
                Some(check) => active(check),
                // Whoever takes datagrams need not take connections.
                None if is_dynamic && transport == Transport::Tcp => Some(active_defaults(Probe::Tcp)),
                None => None,
            },
            passive: match health.and_then(|health| health.passive.as_ref()) {
                Some(check) => passive(check),
                None => Some(passive_defaults()),
            },
            panic_threshold: health.and_then(|health| health.panic_threshold).unwrap_or(PANIC_PERCENT),
            connections: policy
                .and_then(|policy| policy.connections.as_ref())
                .map(connections)
                .unwrap_or_default(),
            protocol: match policy.and_then(|policy| policy.app_protocol) {
                Some(AppProtocol::H2c) => BackendProtocol::Http2,
                Some(AppProtocol::Http | AppProtocol::Ws) => BackendProtocol::Http1,
                None => protocol,
            },
            tls: self.tls.find(target.kind, &target.namespace, &target.name, target.port).map(Box::new),
            key,
        };
        let id = BackendId(u32::try_from(self.made.len()).unwrap_or(u32::MAX));
        self.made.push(backend);
        self.targets.push(target);
        id
    }

    fn template(
        &self,
        namespace: &str,
        name: &str,
        fqdn: &str,
        (port, transport): (u16, Transport),
        policy: Option<&BackendPolicySpec>,
    ) -> Template {
        let empty = Discovery::default();
        let discovery = policy.and_then(|policy| policy.discovery.as_ref()).unwrap_or(&empty);
        let owner = self.asked_name(namespace, name, fqdn, (port, transport), discovery);
        let srv = discovery.srv.as_ref();
        let record = record_of(discovery);
        let wanted = discovery.resolver_ref.as_ref().map(|one| one.name.as_str());
        // In a cluster its own names are asked of its own servers.
        let is_own = self.members.is_some() && service_of(&owner, self.cluster).is_some();
        let resolver = ResolverId(if is_own { 0 } else { self.policies.resolver(namespace, wanted) });
        let guard = self.guard(namespace, &owner, resolver).map(Box::new);
        let admits = |address: IpAddr| {
            guard.as_ref().is_none_or(|guard| {
                let networks = allowed_networks(self.objects, namespace);
                networks.iter().any(|network| network.contains(address)) && !guard.never.contains(&address)
            })
        };
        let hold = discovery.hold.as_ref();
        let time = |time: Option<&HoldTime>, default: Option<u64>| match time {
            None => default,
            Some(HoldTime::Forever) => None,
            Some(HoldTime::For(span)) => Some(span.as_millis()),
        };
        let defaults = Hold::default();
        Template {
            prefix: discovery.prefix.clone().unwrap_or_else(|| name.to_owned()),
            fqdn: owner,
            port,
            record,
            resolver,
            slots: discovery.slots.unwrap_or(0),
            drop_duplicates: true,
            ignore_weight: srv.and_then(|srv| srv.weight) == Some(SrvWeight::Ignore),
            min_ttl_ms: span_or(&discovery.min_ttl, 1_000),
            max_ttl_ms: span_or(&discovery.max_ttl, 60_000),
            init: match &discovery.init_addr {
                None => vec![InitAddr::Last, InitAddr::Dns, InitAddr::None],
                Some(ways) => {
                    let ways = ways.iter().map(init_addr);
                    ways.filter(|way| !matches!(way, InitAddr::Address(address) if !admits(*address)))
                        .collect()
                }
            },
            init_timeout_ms: span_or(&discovery.init_timeout, 0),
            hold: Hold {
                nxdomain_ms: time(hold.and_then(|hold| hold.nxdomain.as_ref()), defaults.nxdomain_ms),
                obsolete_ms: time(hold.and_then(|hold| hold.obsolete.as_ref()), defaults.obsolete_ms),
                timeout_ms: time(hold.and_then(|hold| hold.timeout.as_ref()), defaults.timeout_ms),
                refused_ms: time(hold.and_then(|hold| hold.refused.as_ref()), defaults.refused_ms),
                other_ms: time(hold.and_then(|hold| hold.other.as_ref()), defaults.other_ms),
            },
            guard,
        }
    }

    /// The name that is asked for: the back end's, unless a policy has another one.
    fn asked_name(
        &self,
        namespace: &str,
        name: &str,
        fqdn: &str,
        (port, transport): (u16, Transport),
        discovery: &Discovery,
    ) -> String {
        let fill = |pattern: &str| {
            pattern
                .replace("{name}", name)
                .replace("{namespace}", namespace)
                .replace("{cluster}", self.cluster)
                .replace("{port}", &port.to_string())
        };
        let host = discovery.name.as_deref().map_or_else(|| fqdn.to_owned(), fill);
        match record_of(discovery) {
            RecordKind::Srv => match discovery.srv.as_ref().and_then(|srv| srv.name.as_deref()) {
                Some(pattern) => fill(pattern),
                None => format!("_{port}.{}.{host}", label(transport)),
            },
            _ => host,
        }
    }
}

/// What the keys of back ends of a transport end with.
fn suffix(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "",
        Transport::Udp => "/udp",
    }
}

/// The label of a transport in the names of SRV records (RFC 2782).
fn label(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "_tcp",
        Transport::Udp => "_udp",
    }
}

fn record_of(discovery: &Discovery) -> RecordKind {
    match (discovery.record, discovery.family) {
        (Some(RecordType::Srv), _) => RecordKind::Srv,
        (Some(RecordType::A), _) | (_, Some(AddressFamily::Only4)) => RecordKind::A,
        (Some(RecordType::Aaaa), _) | (_, Some(AddressFamily::Only6)) => RecordKind::Aaaa,
        (_, Some(AddressFamily::Both)) => RecordKind::Both,
        (_, Some(AddressFamily::Prefer6)) => RecordKind::Prefer6,
        (_, Some(AddressFamily::Prefer4) | None) => RecordKind::Prefer4,
    }
}

fn init_addr(way: &backend_policy::InitAddr) -> InitAddr {
    match way {
        backend_policy::InitAddr::Last => InitAddr::Last,
        backend_policy::InitAddr::Dns => InitAddr::Dns,
        backend_policy::InitAddr::None => InitAddr::None,
        backend_policy::InitAddr::Address(address) => InitAddr::Address(*address),
    }
}

/// `{}` turns checks off.
fn active(check: &backend_policy::ActiveCheck) -> Option<ActiveCheck> {
    let probe = match (&check.http, &check.tcp) {
        (Some(http), _) => Probe::Http {
            method: http.method.clone(),
            path: http.path.clone(),
            hostname: http.hostname.clone(),
            expected: http.expected_statuses.iter().map(|range| (range.first, range.last)).collect(),
        },
        (None, Some(_)) => Probe::Tcp,
        (None, None) => return None,
    };
    let defaults = active_defaults(probe);
    Some(ActiveCheck {
        interval_ms: span_or(&check.interval, defaults.interval_ms),
        timeout_ms: span_or(&check.timeout, defaults.timeout_ms),
        rise: check.rise.unwrap_or(defaults.rise),
        fall: check.fall.unwrap_or(defaults.fall),
        probe: defaults.probe,
    })
}

fn active_defaults(probe: Probe) -> ActiveCheck {
    ActiveCheck { probe, interval_ms: 2_000, timeout_ms: 1_000, rise: 2, fall: 3 }
}

/// `{}` turns ejection off.
fn passive(check: &backend_policy::PassiveCheck) -> Option<PassiveCheck> {
    if *check == backend_policy::PassiveCheck::default() {
        return None;
    }
    let defaults = passive_defaults();
    Some(PassiveCheck {
        consecutive_errors: check.consecutive_errors.unwrap_or(defaults.consecutive_errors),
        window_ms: span_or(&check.window, defaults.window_ms),
        eject_ms: span_or(&check.eject_for, defaults.eject_ms),
        max_percent: check.max_ejection_percent.unwrap_or(defaults.max_percent),
    })
}

fn passive_defaults() -> PassiveCheck {
    PassiveCheck { consecutive_errors: 5, window_ms: 10_000, eject_ms: 30_000, max_percent: 50 }
}

fn connections(wanted: &backend_policy::Connections) -> Connections {
    let defaults = Connections::default();
    let queue = wanted.queue.as_ref();
    Connections {
        max_per_endpoint: wanted.max_per_endpoint.unwrap_or(defaults.max_per_endpoint),
        idle_ms: span_or(&wanted.idle, defaults.idle_ms),
        queue_max: queue.and_then(|queue| queue.max).unwrap_or(defaults.queue_max),
        queue_timeout_ms: queue.map_or(defaults.queue_timeout_ms, |queue| span_or(&queue.timeout, 0)),
        proxy_protocol: match wanted.proxy_protocol {
            Some(backend_policy::ProxyProtocol::V1) => Some(ProxyVersion::V1),
            Some(backend_policy::ProxyProtocol::V2) => Some(ProxyVersion::V2),
            Some(backend_policy::ProxyProtocol::None) | None => None,
        },
    }
}

fn span_or(span: &Option<TimeSpan>, default: u64) -> u64 {
    span.as_ref().map_or(default, TimeSpan::as_millis)
}

/// Below this share of healthy endpoints, health is ignored.
const PANIC_PERCENT: u8 = 50;

/// Namespace and name of the service behind a name of the cluster's zone: `<svc>.<ns>.svc.<cluster>`, perhaps with the
/// label of an instance or a port before it, or `<svc>.<ns>.svc.<node>.node.<cluster>`.
fn service_of<'n>(name: &'n str, cluster: &str) -> Option<(&'n str, &'n str)> {
    let inside = name.trim_end_matches('.').strip_suffix(cluster)?.strip_suffix('.')?;
    let inside = match inside.strip_suffix(".node") {
        Some(on_node) => on_node.rsplit_once('.')?.0,
        None => inside,
    };
    let mut labels = inside.strip_suffix(".svc")?.rsplit('.');
    let namespace = labels.next().filter(|label| !label.is_empty())?;
    labels.next().filter(|label| !label.is_empty()).map(|service| (namespace, service))
}
