//! Gateways and their listeners: who is valid, who conflicts, who may attach.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use igw_crds::objects::gateway::{FromNamespaces, GatewaySpec, Listener, TlsMode};
use igw_crds::objects::gateway_config::{Bind, GatewayConfigSpec};
use igw_crds::objects::meta::{LabelSelector, ObjectReference};
use igw_crds::objects::names::Hostname;
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::{
    self, Attachment, ClientRules, Filter, HostBinding, Protocol, Settings, Tracing, Transport,
};

use crate::Warning;
use crate::classes::{ClassOf, Classes};
use crate::client_policies::{self, ClientPolicies};
use crate::deployments::{Deployment, deployment};
use crate::features::PROTOCOLS;
use crate::input::{Facts, ObjectSet, Stored};
use crate::issued::listener_tls;
use crate::listener_filters::unserved_filter;
use crate::listener_sets::{Set, SetNode, Sets, listener_id, takes};
use crate::permissions::Hostnames;
use crate::settings;
use crate::status::{Condition, GatewayStatus, ListenerStatus, Status, StatusAddress, SupportedKind};
use crate::tls::{ClientCertificate, TlsNode, client_certificate, terminate};

/// A gateway of ours.
pub(crate) struct GatewayNode {
    pub(crate) key: ObjectKey,
    generation: u64,
    addresses: Vec<IpAddr>,
    settings: Settings,
    deployment: Deployment,
    node_addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Which namespaces may use which hostnames here.
    pub(crate) hostnames: Hostnames,
    /// Why the gateway as a whole is refused.
    refused: Option<(&'static str, String)>,
    /// Its own and those of its sets, in order of precedence.
    pub(crate) listeners: Vec<ListenerNode>,
    pub(crate) sets: Vec<SetNode>,
    /// What is shown to back ends, if the gateway says so.
    client_certificate: Option<ClientCertificate>,
    /// Traces of requests, found once back ends can be named.
    pub(crate) tracing: Option<Box<Tracing>>,
}

/// One listener.
pub(crate) struct ListenerNode {
    /// Name, unique with its owner.
    pub(crate) name: String,
    /// Name, unique in the gateway.
    id: String,
    /// Place of the ListenerSet that it belongs to; none for one of the gateway's own.
    pub(crate) set: Option<usize>,
    pub(crate) port: u16,
    pub(crate) hostname: Option<Arc<str>>,
    namespaces: AllowedNamespaces,
    pub(crate) kinds: Vec<SupportedKind>,
    /// Why it takes no traffic: condition reason, message, and whether it is a conflict.
    refused: Option<Refusal>,
    /// What of its references is wrong.
    unresolved: Option<(&'static str, String)>,
    pub(crate) protocol: Protocol,
    /// What is believed of clients and asked of them.
    client: Option<ClientRules>,
    /// TLS of the listener, where its protocol has it.
    tls: Option<TlsNode>,
    /// What runs before a route is looked for.
    pub(crate) filters: Vec<Filter>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) n_attached: i32,
    /// Kinds of routes by hostname.
    claims: Option<HashMap<Option<Arc<str>>, Kind>>,
}

struct Refusal {
    reason: &'static str,
    message: String,
    is_conflict: bool,
}

/// Namespaces whose routes may attach.
enum AllowedNamespaces {
    All,
    One(Arc<str>),
    Selected(std::collections::BTreeSet<String>, LabelSelector),
}

/// Gateways of our classes, oldest first.
pub(crate) fn gateways(
    objects: &ObjectSet,
    facts: &Facts,
    classes: &Classes,
    policies: &ClientPolicies<'_>,
    warnings: &mut Vec<Warning>,
) -> Vec<GatewayNode> {
    let sets = Sets::new(objects);
    let mut nodes = Vec::new();
    for (key, stored) in objects.by_age(Kind::Gateway) {
        let Spec::Gateway(spec) = stored.spec() else { continue };
        match classes.find(&spec.gateway_class_name) {
            ClassOf::Ours(parameters) => {
                nodes.push(node(objects, facts, policies, key, stored, spec, parameters, sets.of(key)));
            }
            ClassOf::Foreign => {}
            ClassOf::Unknown => warnings.push(Warning {
                object: key.clone(),
                field: "spec.gatewayClassName".to_owned(),
                message: format!(
                    "there is no GatewayClass `{}`; write it, or use the built-in class `igw`",
                    spec.gateway_class_name
                ),
            }),
        }
    }
    if facts.members.is_none() {
        // In a cluster each gateway has a service of its own, whose nodes are not known here: binding tells.
        refuse_taken_ports(&mut nodes);
    }
    nodes
}

#[allow(clippy::too_many_arguments)]
fn node(
    objects: &ObjectSet,
    facts: &Facts,
    policies: &ClientPolicies<'_>,
    key: &ObjectKey,
    stored: &Stored,
    spec: &GatewaySpec,
    class_parameters: Option<&ObjectReference>,
    sets: &[Set<'_>],
) -> GatewayNode {
    let mut refused = None;
    let mut configs: Vec<&GatewayConfigSpec> = Vec::new();
    let own = settings::own_reference(key, spec);
    for reference in class_parameters.into_iter().chain(own.as_ref()) {
        match settings::find(objects, reference) {
            Ok(config) => configs.push(config),
            Err(message) => refused = Some(("InvalidParameters", message)),
        }
    }
    let mut addresses = Vec::new();
    for address in &spec.addresses {
        match (address.r#type.as_str(), address.value.parse::<IpAddr>()) {
            ("IPAddress", Ok(address)) => addresses.push(address),
            // An address without value asks for any: that of the pool, or all are bound.
            ("IPAddress", Err(_)) if address.value.is_empty() => {}
            (kind, _) => {
                let message = format!("address type {kind} is not served; use type IPAddress");
                refused = Some(("UnsupportedAddress", message));
            }
        }
    }
    if addresses.is_empty() {
        addresses.extend(facts.leases.get(&format!("{}/{}", key.namespace, key.name)));
    }
    addresses.sort_unstable();
    addresses.dedup();
    let mut listeners: Vec<ListenerNode> = spec
        .listeners
        .iter()
        .map(|listener| listener_node(objects, facts, policies, key, spec, key, listener))
        .collect();
    refuse_conflicts(spec, &mut listeners);
    let hostnames = Hostnames::new(objects, &configs);
    let mut set_nodes = Vec::new();
    for set in sets {
        let is_refused = !takes(objects, key, spec, set.key);
        for listener in set.spec.listeners.iter().filter(|_| !is_refused) {
            let mut node = listener_node(objects, facts, policies, key, spec, set.key, listener);
            node.set = Some(set_nodes.len());
            if node.refused.is_none() {
                node.refused =
                    conflict(&node, &listeners).or_else(|| foreign_hostname(&node, &hostnames, set.key));
            }
            listeners.push(node);
        }
        set_nodes.push(SetNode { key: set.key.clone(), generation: set.stored.generation, is_refused });
    }
    let deployment = deployment(objects, key, spec, &configs);
    let node_addresses = match (&facts.members, deployment.bind) {
        (Some(members), Bind::NodeAddress) if addresses.is_empty() => members.nodes.clone(),
        _ => BTreeMap::new(),
    };
    GatewayNode {
        key: key.clone(),
        generation: stored.generation,
        addresses,
        settings: settings::settings(objects, &configs),
        deployment,
        node_addresses,
        hostnames,
        refused,
        listeners,
        sets: set_nodes,
        client_certificate: client_certificate(objects, facts, key, spec),
        tracing: None,
    }
}

fn listener_node(
    objects: &ObjectSet,
    facts: &Facts,
    policies: &ClientPolicies<'_>,
    gateway: &ObjectKey,
    spec: &GatewaySpec,
    owner: &ObjectKey,
    listener: &Listener,
) -> ListenerNode {
    let protocol = listener.protocol.as_str();
    let port = listener.port.as_u16();
    let is_passed_through =
        protocol == "TLS" && listener.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Passthrough);
    let is_own = owner == gateway;
    // Policies name listeners of gateways; those of sets have what is for all.
    let policy = policies.find(gateway, if is_own { listener.name.as_str() } else { "" });
    let tls = (matches!(protocol, "HTTPS" | "TLS") && !is_passed_through).then(|| {
        match listener_tls(objects, owner, listener) {
            Some(tls) => {
                let policy = policy.and_then(|policy| policy.tls.as_ref());
                terminate(objects, facts, gateway, spec, owner, port, &tls, protocol == "TLS", policy)
            }
            None => TlsNode {
                refused: Some((
                    "UnsupportedValue",
                    format!("a listener of protocol {protocol} needs `tls.certificateRefs`"),
                )),
                ..TlsNode::default()
            },
        }
    });
    let refused = if !PROTOCOLS.contains(&protocol) {
        let message = format!(
            "protocol {protocol} is not served by this version; served are: {}",
            PROTOCOLS.join(", ")
        );
        Some(Refusal { reason: "UnsupportedProtocol", message, is_conflict: false })
    } else if let Some(message) = unserved_filter(listener) {
        Some(Refusal { reason: "UnsupportedValue", message, is_conflict: false })
    } else {
        let of_tls = tls.as_ref().and_then(|tls| tls.refused.clone());
        of_tls.map(|(reason, message)| Refusal { reason, message, is_conflict: false })
    };
    let served = served_kinds(protocol, is_passed_through);
    let asked = &listener.allowed_routes.kinds;
    let kinds: Vec<SupportedKind> = if asked.is_empty() {
        served
    } else {
        served
            .into_iter()
            .filter(|kind| asked.iter().any(|asked| is_same(asked.group.as_str(), asked.kind.as_str(), kind)))
            .collect()
    };
    let has_invalid_kinds = asked.iter().any(|asked| {
        !served_kinds(protocol, is_passed_through)
            .iter()
            .any(|kind| is_same(asked.group.as_str(), asked.kind.as_str(), kind))
    });
    let unresolved = if has_invalid_kinds {
        let message = "`allowedRoutes.kinds` names kinds that the protocol does not serve; remove them";
        Some(("InvalidRouteKinds", message.to_owned()))
    } else {
        tls.as_ref().and_then(|tls| tls.unresolved.clone())
    };
    let namespaces = match listener.allowed_routes.namespaces.from {
        FromNamespaces::All => AllowedNamespaces::All,
        FromNamespaces::Same => AllowedNamespaces::One(Arc::clone(&owner.namespace)),
        FromNamespaces::Selector => {
            let selector = listener.allowed_routes.namespaces.selector.clone().unwrap_or_default();
            let mut known: Vec<String> =
                objects.of_kind(Kind::Namespace).map(|(key, _)| key.name.to_string()).collect();
            for kind in Kind::ROUTES {
                known.extend(objects.of_kind(kind).map(|(key, _)| key.namespace.to_string()));
            }
            known.sort_unstable();
            known.dedup();
            let selected = known
                .into_iter()
                .filter(|namespace| selects(&selector, &objects.namespace_labels(namespace)))
                .collect();
            AllowedNamespaces::Selected(selected, selector)
        }
    };
    ListenerNode {
        name: listener.name.as_str().to_owned(),
        id: match is_own {
            true => listener.name.as_str().to_owned(),
            false => listener_id(owner, listener.name.as_str()),
        },
        set: None,
        port,
        hostname: listener.hostname.as_ref().map(Hostname::shared),
        namespaces,
        kinds,
        refused,
        unresolved,
        protocol: match protocol {
            "HTTPS" => Protocol::Https,
            "TLS" => Protocol::Tls,
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            _ => Protocol::Http,
        },
        client: policy.map(client_policies::rules),
        tls,
        filters: Vec::new(),
        attachments: Vec::new(),
        n_attached: 0,
        // Where there are no others, nobody can be in the way.
        claims: objects.of_kind(Kind::GrpcRoute).next().map(|_| HashMap::new()),
    }
}

/// Inside one gateway a conflict has no winner (semantics A.4).
fn refuse_conflicts(spec: &GatewaySpec, listeners: &mut [ListenerNode]) {
    // UDP stands beside the others; TCP, HTTP and the TLS family exclude each other.
    let mut by_port: BTreeMap<(Transport, u16), Vec<usize>> = BTreeMap::new();
    for (index, listener) in listeners.iter().enumerate() {
        by_port.entry((listener.protocol.transport(), listener.port)).or_default().push(index);
    }
    for ((_, port), members) in by_port {
        let protocol =
            |index: &usize| spec.listeners.get(*index).map_or("", |listener| listener.protocol.as_str());
        let family = |index: &usize| match protocol(index) {
            "HTTPS" | "TLS" => "TLS",
            other => other,
        };
        let families: std::collections::BTreeSet<&str> = members.iter().map(family).collect();
        if families.len() > 1 {
            let shown: Vec<&str> = members.iter().map(protocol).collect();
            for index in &members {
                if let Some(listener) = listeners.get_mut(*index) {
                    let message = format!(
                        "port {port} has listeners of protocols {}; use one port for each",
                        shown.join(" and ")
                    );
                    listener.refused =
                        Some(Refusal { reason: "ProtocolConflict", message, is_conflict: true });
                }
            }
            continue;
        }
        let mut by_host: HashMap<Option<&str>, Vec<usize>> = HashMap::new();
        for index in &members {
            let hostname = spec
                .listeners
                .get(*index)
                .and_then(|listener| listener.hostname.as_ref())
                .map(|name| name.as_str());
            by_host.entry(hostname).or_default().push(*index);
        }
        for same in by_host.into_values().filter(|same| same.len() > 1) {
            for index in same {
                if let Some(listener) = listeners.get_mut(index) {
                    let shown = listener.hostname.as_deref().unwrap_or("every host");
                    let message =
                        format!("another listener has port {port} and {shown} too; change one of them");
                    listener.refused =
                        Some(Refusal { reason: "HostnameConflict", message, is_conflict: true });
                }
            }
        }
    }
}

/// Why a listener of a set cannot stand beside those before it: they have precedence.
fn conflict(listener: &ListenerNode, before: &[ListenerNode]) -> Option<Refusal> {
    let family = |protocol: Protocol| if protocol == Protocol::Https { Protocol::Tls } else { protocol };
    let port = listener.port;
    let is_here = |other: &&ListenerNode| {
        other.port == port && other.protocol.transport() == listener.protocol.transport()
    };
    let mut there = before.iter().filter(is_here).filter(|other| other.refused.is_none());
    there.find_map(|other| {
        let refuse = |reason, message| Some(Refusal { reason, message, is_conflict: true });
        if family(other.protocol) != family(listener.protocol) {
            let message =
                format!("listener {} has port {port} for another protocol; choose another port", other.id);
            return refuse("ProtocolConflict", message);
        }
        if other.hostname != listener.hostname {
            return None;
        }
        let shown = listener.hostname.as_deref().unwrap_or("every host");
        let message = format!("listener {} has port {port} and {shown} before; change one of them", other.id);
        refuse("HostnameConflict", message)
    })
}

/// Why a set may not have a listener of this hostname: its requests would be taken from whoever may.
fn foreign_hostname(listener: &ListenerNode, hostnames: &Hostnames, set: &ObjectKey) -> Option<Refusal> {
    if matches!(listener.protocol, Protocol::Tcp | Protocol::Udp) {
        return None;
    }
    let message = hostnames.refusal(&set.namespace, listener.hostname.as_deref())?;
    Some(Refusal { reason: "UnsupportedValue", message, is_conflict: false })
}

/// Two gateways on one address and port: the older has it.
fn refuse_taken_ports(nodes: &mut [GatewayNode]) {
    let mut taken: HashMap<(Option<IpAddr>, Transport, u16), String> = HashMap::new();
    for node in nodes {
        let name = format!("{}/{}", node.key.namespace, node.key.name);
        let mut own: HashMap<(Option<IpAddr>, Transport, u16), String> = HashMap::new();
        for listener in &mut node.listeners {
            let places: Vec<Option<IpAddr>> = match &node.addresses[..] {
                [] => vec![None],
                addresses => addresses.iter().copied().map(Some).collect(),
            };
            let transport = listener.protocol.transport();
            let holder = places.iter().find_map(|address| taken.get(&(*address, transport, listener.port)));
            match holder {
                Some(holder) if listener.refused.is_none() => {
                    let message = format!(
                        "gateway {holder} is older and has port {} on the same address; choose another port, or other addresses",
                        listener.port
                    );
                    listener.refused =
                        Some(Refusal { reason: "PortUnavailable", message, is_conflict: false });
                }
                _ if listener.refused.is_none() && node.refused.is_none() => {
                    let of_address = |address| ((address, transport, listener.port), name.clone());
                    own.extend(places.into_iter().map(of_address));
                }
                _ => {}
            }
        }
        taken.extend(own);
    }
}

/// Routes of these kinds share listeners, and no hostname there.
fn is_claiming(kind: Kind) -> bool {
    matches!(kind, Kind::HttpRoute | Kind::GrpcRoute)
}

fn served_kinds(protocol: &str, is_passed_through: bool) -> Vec<SupportedKind> {
    let kinds: &[&str] = match protocol {
        "HTTP" | "HTTPS" => &["HTTPRoute", "GRPCRoute"],
        "TLS" if is_passed_through => &["TLSRoute"],
        "TLS" => &["TLSRoute", "TCPRoute"],
        "TCP" => &["TCPRoute"],
        "UDP" => &["UDPRoute"],
        _ => &[],
    };
    let kind = |kind: &&str| SupportedKind { group: GATEWAY_GROUP.to_owned(), kind: (*kind).to_owned() };
    kinds.iter().map(kind).collect()
}

fn is_same(group: &str, kind: &str, other: &SupportedKind) -> bool {
    group == other.group && kind == other.kind
}

/// True if a selector selects these labels.
pub(crate) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.match_labels.iter().all(|(name, value)| labels.get(name) == Some(value))
        && selector.match_expressions.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match requirement.operator.as_str() {
                "In" => value.is_some_and(|value| requirement.values.contains(value)),
                "NotIn" => value.is_none_or(|value| !requirement.values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

// === impl ListenerNode ===

impl ListenerNode {
    /// It takes no traffic.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// A reference leads nowhere. The first one is told.
    pub(crate) fn unresolve(&mut self, reason: &'static str, message: String) {
        self.unresolved.get_or_insert((reason, message));
    }

    /// Routes of this namespace may attach.
    pub(crate) fn allows_namespace(&self, objects: &ObjectSet, namespace: &str) -> bool {
        match &self.namespaces {
            AllowedNamespaces::All => true,
            AllowedNamespaces::One(own) => **own == *namespace,
            AllowedNamespaces::Selected(selected, selector) => {
                selected.contains(namespace) || selects(selector, &objects.namespace_labels(namespace))
            }
        }
    }

    /// Routes of this kind may attach.
    pub(crate) fn allows_kind(&self, kind: &str) -> bool {
        self.kinds.iter().any(|supported| supported.kind == kind)
    }

    /// Gives hostnames to a kind of routes (semantics A.5): the older route decides.
    pub(crate) fn claim(&mut self, kind: Kind, hosts: &[HostBinding]) {
        if let Some(claims) = self.claims.as_mut().filter(|_| is_claiming(kind)) {
            for host in hosts {
                claims.entry(host.serves.clone()).or_insert(kind);
            }
        }
    }

    /// The first hostname that belongs to routes of another kind.
    pub(crate) fn claimed_by_other<'h>(
        &self,
        kind: Kind,
        hosts: &'h [HostBinding],
    ) -> Option<(Kind, Option<&'h str>)> {
        let claims = self.claims.as_ref().filter(|_| is_claiming(kind))?;
        hosts.iter().find_map(|host| {
            let owner = claims.get(&host.serves).copied().filter(|owner| *owner != kind)?;
            Some((owner, host.serves.as_deref()))
        })
    }

    fn conditions(&self, gateway_refused: bool, generation: u64) -> Vec<Condition> {
        let accepted = match &self.refused {
            Some(refusal) => Condition::no("Accepted", refusal.reason, refusal.message.clone(), generation),
            None => Condition::yes("Accepted", "Accepted", "the listener is valid", generation),
        };
        let conflicted = match &self.refused {
            Some(refusal) if refusal.is_conflict => {
                Condition::yes("Conflicted", refusal.reason, refusal.message.clone(), generation)
            }
            _ => Condition::no("Conflicted", "NoConflicts", "no other listener is in the way", generation),
        };
        let resolved = match &self.unresolved {
            Some((reason, message)) => Condition::no("ResolvedRefs", reason, message.clone(), generation),
            None => Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved", generation),
        };
        let programmed = match &self.refused {
            Some(refusal) if refusal.is_conflict && self.set.is_some() => {
                Condition::no("Programmed", refusal.reason, refusal.message.clone(), generation)
            }
            Some(refusal) => Condition::no("Programmed", "Invalid", refusal.message.clone(), generation),
            None if gateway_refused => Condition::no(
                "Programmed",
                "Invalid",
                "the gateway is not accepted; see its conditions",
                generation,
            ),
            None if !self.is_served() => Condition::no(
                "Programmed",
                "Invalid",
                "there is no certificate to serve; see ResolvedRefs",
                generation,
            ),
            None => Condition::unknown("Programmed", "Pending", "no proxy has reported yet", generation),
        };
        let mut conditions = vec![accepted, conflicted, resolved, programmed];
        if let Some(warning) = self.tls.as_ref().and_then(|tls| tls.warning.clone()) {
            conditions.push(Condition::yes(CERTIFICATE_WARNING, "Attention", warning, generation));
        }
        conditions
    }

    fn status(&self, is_gateway_refused: bool, generation: u64) -> ListenerStatus {
        ListenerStatus {
            name: self.name.clone(),
            supported_kinds: self.kinds.clone(),
            attached_routes: self.n_attached,
            conditions: self.conditions(is_gateway_refused, generation),
        }
    }

    /// Proxies get it: it is not refused, and where it ends TLS it has a certificate.
    fn is_served(&self) -> bool {
        self.refused.is_none() && self.tls.as_ref().is_none_or(|tls| tls.served.is_some())
    }
}

// === impl GatewayNode ===

impl GatewayNode {
    /// What proxies serve of it; nothing if it is refused as a whole.
    pub(crate) fn snapshot(&self) -> Option<snapshot::Gateway> {
        if self.refused.is_some() {
            return None;
        }
        let listeners = self.listeners.iter().filter(|listener| listener.is_served());
        Some(snapshot::Gateway {
            namespace: self.key.namespace.to_string(),
            name: self.key.name.to_string(),
            addresses: self.addresses.clone(),
            node_addresses: self.node_addresses.clone(),
            settings: self.settings.clone(),
            listeners: listeners
                .map(|listener| snapshot::Listener {
                    name: listener.id.clone(),
                    port: listener.port,
                    protocol: listener.protocol,
                    hostname: listener.hostname.as_deref().map(str::to_owned),
                    tls: listener.tls.as_ref().and_then(|tls| tls.served.clone()).map(Box::new),
                    client: listener.client.clone().map(Box::new),
                    filters: listener.filters.clone(),
                    attachments: listener.attachments.clone(),
                })
                .collect(),
            client_certificate: match &self.client_certificate {
                Some(Ok(certificate)) => Some(Box::new(certificate.clone())),
                Some(Err(_)) | None => None,
            },
            tracing: self.tracing.clone(),
        })
    }

    /// How its proxies run; nothing if it is refused as a whole.
    pub(crate) fn deployment(&self) -> Option<Deployment> {
        self.refused.is_none().then(|| self.deployment.clone())
    }

    pub(crate) fn status(&self) -> Status {
        let generation = self.generation;
        let own = || self.listeners.iter().filter(|listener| listener.set.is_none());
        let listeners: Vec<ListenerStatus> =
            own().map(|listener| listener.status(self.refused.is_some(), generation)).collect();
        let bad: Vec<&str> = own()
            .filter(|listener| listener.refused.is_some())
            .map(|listener| listener.name.as_str())
            .collect();
        let (accepted, programmed) = match &self.refused {
            Some((reason, message)) => (
                Condition::no("Accepted", reason, message.clone(), generation),
                Condition::no("Programmed", "Invalid", message.clone(), generation),
            ),
            None if bad.len() == listeners.len() => {
                let message = format!("no listener is valid: {}; see their conditions", bad.join(", "));
                (
                    Condition::no("Accepted", "ListenersNotValid", message.clone(), generation),
                    Condition::no("Programmed", "Invalid", message, generation),
                )
            }
            None => {
                let pending =
                    Condition::unknown("Programmed", "Pending", "no proxy has reported yet", generation);
                let accepted = if bad.is_empty() {
                    Condition::yes("Accepted", "Accepted", "the gateway is valid", generation)
                } else {
                    let message =
                        format!("some listeners are not valid: {}; see their conditions", bad.join(", "));
                    Condition::yes("Accepted", "ListenersNotValid", message, generation)
                };
                (accepted, pending)
            }
        };
        let mut conditions = vec![accepted, programmed];
        conditions.extend(self.client_certificate.as_ref().map(|found| match found {
            Ok(_) => {
                Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved", generation)
            }
            Err((reason, message)) => Condition::no("ResolvedRefs", reason, message.clone(), generation),
        }));
        if self.listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.is_insecure)) {
            let message =
                "clients without a valid certificate are served: `tls.frontend` says AllowInsecureFallback";
            conditions.push(Condition::yes(
                "InsecureFrontendValidationMode",
                "ConfigurationChanged",
                message,
                generation,
            ));
        }
        let addresses = self
            .addresses
            .iter()
            .map(|address| StatusAddress { r#type: "IPAddress", value: address.to_string() });
        Status::Gateway(GatewayStatus {
            addresses: if self.refused.is_some() { Vec::new() } else { addresses.collect() },
            conditions,
            listeners,
            attached_listener_sets: self.n_attached_sets(),
        })
    }

    /// Sets of which a listener can be served.
    fn n_attached_sets(&self) -> i32 {
        let valid = self.listeners.iter().filter(|listener| listener.is_served());
        let sets: std::collections::BTreeSet<usize> = valid.filter_map(|listener| listener.set).collect();
        i32::try_from(sets.len()).unwrap_or(i32::MAX)
    }

    pub(crate) fn set_statuses(&self) -> Vec<(ObjectKey, Status)> {
        let is_refused = self.refused.is_some();
        let status = |(place, set): (usize, &SetNode)| {
            let own = self.listeners.iter().filter(|listener| listener.set == Some(place));
            let listeners =
                own.map(|listener| (listener.status(is_refused, set.generation), listener.is_served()));
            (set.key.clone(), set.status(&self.key, is_refused, listeners.collect()))
        };
        self.sets.iter().enumerate().map(status).collect()
    }
}

/// Condition of a listener whose certificate deserves attention.
pub const CERTIFICATE_WARNING: &str = "igw.opensvc.com/CertificateWarning";
pub(crate) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
