//! Routes: where they attach and what they say there.

use std::collections::HashMap;
use std::sync::Arc;

use igw_crds::objects::grpc_route::GrpcRouteSpec;
use igw_crds::objects::http_route::{HttpRouteSpec, ParentReference};
use igw_crds::objects::l4_route::{NamelessRouteSpec, TlsRouteSpec};
use igw_crds::objects::names::Hostname;
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::{Attachment, HostBinding, Protocol, Route, RouteId};

use crate::backends::{Backends, BadReference};
use crate::grpc_rules::grpc_rule;
use crate::hostnames::intersect;
use crate::input::{ObjectSet, Stored};
use crate::listeners::{GatewayNode, ListenerNode};
use crate::rules::{RuleNode, l4_rule, rule};
use crate::status::{CONTROLLER, Condition, ParentStatus, RouteStatus, Status};

/// Gateways and their sets by kind.
#[derive(Default)]
struct Parents(HashMap<Kind, ByName>);

/// By namespace and name.
type ByName = HashMap<Arc<str>, HashMap<Arc<str>, Parent>>;

/// What a parentRef names.
#[derive(Clone, Copy)]
struct Parent {
    gateway: usize,
    /// Listeners of this set of the gateway; its own where there is none.
    set: Option<usize>,
}

/// A route of any kind.
#[derive(Clone, Copy)]
enum AnyRoute<'o> {
    Http(&'o HttpRouteSpec),
    Grpc(&'o GrpcRouteSpec),
    /// A TCPRoute or a UDPRoute.
    Nameless(&'o NamelessRouteSpec),
    Tls(&'o TlsRouteSpec),
}

// === impl Parents ===

impl Parents {
    fn new(gateways: &[GatewayNode]) -> Self {
        let mut parents = Self::default();
        for (gateway, node) in gateways.iter().enumerate() {
            parents.add(&node.key, Parent { gateway, set: None });
            for (set, of_set) in node.sets.iter().enumerate() {
                parents.add(&of_set.key, Parent { gateway, set: Some(set) });
            }
        }
        parents
    }

    fn add(&mut self, key: &ObjectKey, parent: Parent) {
        let of_kind = self.0.entry(key.kind).or_default();
        let of_namespace = of_kind.entry(Arc::clone(&key.namespace)).or_default();
        of_namespace.insert(Arc::clone(&key.name), parent);
    }

    /// What of ours a parentRef names.
    fn find(&self, route: &ObjectKey, parent: &ParentReference) -> Option<Parent> {
        let kind = Kind::find(parent.group.as_str(), parent.kind.as_str())?;
        let namespace = parent.namespace.as_ref().map_or(&*route.namespace, |namespace| namespace.as_str());
        self.0.get(&kind)?.get(namespace)?.get(parent.name.as_str()).copied()
    }
}

// === impl AnyRoute ===

impl<'o> AnyRoute<'o> {
    fn new(spec: &'o Spec) -> Option<Self> {
        match spec {
            Spec::HttpRoute(spec) => Some(Self::Http(spec)),
            Spec::GrpcRoute(spec) => Some(Self::Grpc(spec)),
            Spec::TcpRoute(spec) | Spec::UdpRoute(spec) => Some(Self::Nameless(spec)),
            Spec::TlsRoute(spec) => Some(Self::Tls(spec)),
            _ => None,
        }
    }

    fn parents(self) -> &'o [ParentReference] {
        match self {
            Self::Http(spec) => &spec.parent_refs,
            Self::Grpc(spec) => &spec.parent_refs,
            Self::Nameless(spec) => &spec.parent_refs,
            Self::Tls(spec) => &spec.parent_refs,
        }
    }

    fn hostnames(self) -> &'o [Hostname] {
        match self {
            Self::Http(spec) => &spec.hostnames,
            Self::Grpc(spec) => &spec.hostnames,
            Self::Nameless(_) => &[],
            Self::Tls(spec) => &spec.hostnames,
        }
    }

    fn rules(self, key: &'o ObjectKey, backends: &mut Backends<'o>) -> Vec<RuleNode> {
        match self {
            Self::Http(spec) => spec.rules.iter().map(|one| rule(key, one, backends)).collect(),
            Self::Grpc(spec) => spec.rules.iter().map(|one| grpc_rule(key, one, backends)).collect(),
            Self::Nameless(spec) => spec.rules.iter().map(|one| l4_rule(key, one, backends)).collect(),
            Self::Tls(spec) => spec.rules.iter().map(|one| l4_rule(key, one, backends)).collect(),
        }
    }
}

/// Routes of every kind, oldest first, then by kind, namespace and name.
fn by_age(objects: &ObjectSet) -> Vec<(&ObjectKey, &Stored)> {
    let mut routes: Vec<_> = Kind::ROUTES.into_iter().flat_map(|kind| objects.by_age(kind)).collect();
    // The sort is stable: equal ages keep the order of their kinds and names.
    routes.sort_by_key(|(_, stored)| stored.created);
    routes
}

/// Routes of the snapshot, oldest first, and the statuses of all of them. Attaches them to listeners.
pub(crate) fn routes<'o>(
    objects: &'o ObjectSet,
    gateways: &mut [GatewayNode],
    backends: &mut Backends<'o>,
) -> (Vec<Route>, Vec<(ObjectKey, Status)>) {
    let known = Parents::new(gateways);
    let oldest_first = by_age(objects);
    let mut routes: Vec<Route> = Vec::with_capacity(oldest_first.len());
    let mut statuses = Vec::with_capacity(oldest_first.len());
    let mut kinds: HashMap<Kind, Arc<str>> = HashMap::new();
    for (key, stored) in oldest_first {
        let Some(spec) = AnyRoute::new(stored.spec()) else { continue };
        let mut parents = Vec::with_capacity(spec.parents().len());
        let mut places: Vec<((usize, usize), Vec<HostBinding>)> = Vec::new();
        for parent in spec.parents() {
            let Some(Parent { gateway, set }) = known.find(key, parent) else { continue };
            let (attached, refused) = match attach(objects, key, spec, parent, &gateways[gateway], set) {
                Ok(attached) => (attached, None),
                Err(refused) => (Vec::new(), Some(refused)),
            };
            parents.push((parent, refused));
            for (listener, hosts) in attached {
                let place = (gateway, listener);
                // A route that attaches twice to a listener counts once.
                if !places.iter().any(|(taken, _)| *taken == place) {
                    places.push((place, hosts));
                }
            }
        }
        if parents.is_empty() {
            continue;
        }
        places.sort_unstable_by_key(|(place, _)| *place);
        let nodes = spec.rules(key, backends);
        let id = RouteId(u32::try_from(routes.len()).unwrap_or(u32::MAX));
        for ((gateway, listener), hosts) in places {
            if let Some(listener) =
                gateways.get_mut(gateway).and_then(|gateway| gateway.listeners.get_mut(listener))
            {
                listener.n_attached += 1;
                listener.claim(key.kind, &hosts);
                listener.attachments.push(Attachment { route: id, hosts });
            }
        }
        let generation = stored.generation;
        let status = parents
            .into_iter()
            .map(|(parent, refused)| ParentStatus {
                parent_ref: parent.clone(),
                controller_name: CONTROLLER,
                conditions: conditions(refused, &nodes, generation),
            })
            .collect();
        statuses.push((key.clone(), Status::Route(RouteStatus { parents: status })));
        routes.push(Route {
            kind: Arc::clone(kinds.entry(key.kind).or_insert_with(|| key.kind.as_str().into())),
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
            rules: nodes.into_iter().map(|node| node.rule).collect(),
        });
    }
    (routes, statuses)
}

/// Listeners of a parent that take the route, with the hostnames it serves there (semantics A.5).
fn attach(
    objects: &ObjectSet,
    route: &ObjectKey,
    spec: AnyRoute<'_>,
    parent: &ParentReference,
    gateway: &GatewayNode,
    set: Option<usize>,
) -> Result<Vec<(usize, Vec<HostBinding>)>, BadReference> {
    let refuse = |reason: &'static str, message: String| Err(BadReference { reason, message });
    let fits = |listener: &&ListenerNode| {
        listener.set == set
            && parent.section_name.as_ref().is_none_or(|name| name.as_str() == listener.name)
            && parent.port.is_none_or(|port| port.as_u16() == listener.port)
    };
    let takes = |listener: &&ListenerNode| {
        listener.allows_kind(route.kind.as_str()) && listener.allows_namespace(objects, &route.namespace)
    };
    if !gateway.listeners.iter().any(|listener| fits(&listener)) {
        let there = gateway.listeners.iter().filter(|listener| listener.set == set);
        let names: Vec<&str> = there.map(|listener| listener.name.as_str()).collect();
        let message = format!(
            "no listener of the {} fits sectionName and port; it has: {}",
            if set.is_some() { "ListenerSet" } else { "gateway" },
            names.join(", ")
        );
        return refuse("NoMatchingParent", message);
    }
    let mut attached = Vec::new();
    let mut is_taken = false;
    for (index, listener) in gateway.listeners.iter().enumerate() {
        if !fits(&listener) || !takes(&listener) {
            continue;
        }
        is_taken = true;
        let bind = |own: Option<Arc<str>>| {
            let serves = intersect(listener.hostname.clone(), own.clone())?;
            Some(HostBinding { serves, ranks: own })
        };
        let hosts: Vec<HostBinding> = match spec.hostnames() {
            [] => bind(None).into_iter().collect(),
            [one] => bind(Some(one.shared())).into_iter().collect(),
            names => names.iter().filter_map(|name| bind(Some(name.shared()))).collect(),
        };
        let refusal =
            |host: &HostBinding| gateway.hostnames.refusal(&route.namespace, host.serves.as_deref());
        // Connections without TLS and datagrams have no name.
        if !matches!(listener.protocol, Protocol::Tcp | Protocol::Udp)
            && let Some(message) = hosts.iter().find_map(refusal)
        {
            return refuse("NotAllowedByListeners", message);
        }
        if let Some((kind, host)) = listener.claimed_by_other(route.kind, &hosts) {
            let message = format!(
                "hostname {} of listener {} belongs to an older {kind}; one hostname has routes of one kind",
                host.unwrap_or("* (all)"),
                listener.name
            );
            return refuse("NotAllowedByListeners", message);
        }
        if !hosts.is_empty() {
            attached.push((index, hosts));
        }
    }
    if !is_taken {
        let message = format!(
            "no listener takes {} objects of namespace {}; its owner must change `allowedRoutes`",
            route.kind, route.namespace
        );
        return refuse("NotAllowedByListeners", message);
    }
    if attached.is_empty() {
        let message = "no hostname of the route is served by a listener; compare `hostnames` with the listeners' `hostname`";
        return refuse("NoMatchingListenerHostname", message.to_owned());
    }
    Ok(attached)
}

fn conditions(refused: Option<BadReference>, nodes: &[RuleNode], generation: u64) -> Vec<Condition> {
    let dropped: Vec<String> = nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| Some(format!("rule {index}: {}", node.unserved.as_ref()?)))
        .collect();
    let mut conditions = Vec::with_capacity(2);
    conditions.push(match refused {
        Some(refused) => Condition::no("Accepted", refused.reason, refused.message, generation),
        None if !dropped.is_empty() && dropped.len() == nodes.len() => Condition::no(
            "Accepted",
            "UnsupportedValue",
            format!("{}; change or remove it", dropped.join("; ")),
            generation,
        ),
        None => Condition::yes("Accepted", "Accepted", "the route is attached", generation),
    });
    let bad = nodes.iter().flat_map(|node| &node.bad_references).next();
    conditions.push(match bad {
        Some(bad) => Condition::no("ResolvedRefs", bad.reason, bad.message.clone(), generation),
        None => Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved", generation),
    });
    if !dropped.is_empty() && dropped.len() < nodes.len() {
        let message = format!("Dropped Rule: {}; its requests are answered with 500", dropped.join("; "));
        conditions.push(Condition::yes("PartiallyInvalid", "UnsupportedValue", message, generation));
    }
    conditions
}
