//! The part of a snapshot that one gateway needs: a proxy never sees what others serve.

use std::collections::BTreeMap;

use igw_crds::snapshot::{
    Backend, BackendId, EndpointSource, Resolver, ResolverId, Route, RouteId, Rule, Snapshot,
};

/// The snapshot of one gateway, by its place in the whole one. Indices are new, order and precedence the same.
#[must_use]
pub fn share(whole: &Snapshot, gateway: usize) -> Snapshot {
    let mut part =
        Part { whole, routes: BTreeMap::new(), backends: BTreeMap::new(), resolvers: BTreeMap::new() };
    let mut made = Snapshot {
        cluster: whole.cluster.clone(),
        // Any proxy may be asked.
        challenges: whole.challenges.clone(),
        ..Snapshot::default()
    };
    let Some(gateway) = whole.gateways.get(gateway) else { return made };
    let mut gateway = gateway.clone();
    let attached = gateway.listeners.iter().flat_map(|listener| &listener.attachments);
    for attachment in attached {
        part.routes.insert(attachment.route, RouteId(0));
    }
    number(part.routes.values_mut(), RouteId);
    for attachment in gateway.listeners.iter_mut().flat_map(|listener| &mut listener.attachments) {
        attachment.route = part.routes.get(&attachment.route).copied().unwrap_or(attachment.route);
    }
    for id in gateway.backends() {
        part.backends.insert(id, BackendId(0));
    }
    let routes: Vec<&Route> = part.routes.keys().filter_map(|id| whole.routes.get(index(id.0))).collect();
    for id in routes.iter().flat_map(|route| &route.rules).flat_map(Rule::backends) {
        part.backends.insert(id, BackendId(0));
    }
    number(part.backends.values_mut(), BackendId);
    for id in gateway.backends_mut() {
        *id = part.backends.get(id).copied().unwrap_or(*id);
    }
    made.gateways.push(gateway);
    let backends: Vec<&Backend> =
        part.backends.keys().filter_map(|id| whole.backends.get(index(id.0))).collect();
    // The first resolver is the default one, whoever uses it.
    part.resolvers.insert(ResolverId(0), ResolverId(0));
    for template in backends.iter().flat_map(|backend| &backend.sources) {
        if let EndpointSource::Template(template) = template {
            part.resolvers.insert(template.resolver, ResolverId(0));
        }
    }
    number(part.resolvers.values_mut(), ResolverId);
    made.routes = routes.into_iter().map(|route| part.route(route)).collect();
    made.backends = backends.into_iter().map(|backend| part.backend(backend)).collect();
    made.resolvers = part.resolvers().cloned().collect();
    made
}

/// Old indices with their new ones.
struct Part<'s> {
    whole: &'s Snapshot,
    routes: BTreeMap<RouteId, RouteId>,
    backends: BTreeMap<BackendId, BackendId>,
    resolvers: BTreeMap<ResolverId, ResolverId>,
}

// === impl Part ===

impl<'s> Part<'s> {
    fn resolvers(&self) -> impl Iterator<Item = &'s Resolver> {
        self.resolvers.keys().filter_map(|id| self.whole.resolvers.get(index(id.0)))
    }

    fn route(&self, route: &Route) -> Route {
        let mut route = route.clone();
        for id in route.rules.iter_mut().flat_map(Rule::backends_mut) {
            // Every one of them is there: they were collected from the same rules.
            *id = self.backends.get(id).copied().unwrap_or(*id);
        }
        route
    }

    fn backend(&self, backend: &Backend) -> Backend {
        let mut backend = backend.clone();
        for source in &mut backend.sources {
            if let EndpointSource::Template(template) = source {
                template.resolver =
                    self.resolvers.get(&template.resolver).copied().unwrap_or(template.resolver);
            }
        }
        backend
    }
}

fn number<'i, I: 'i>(ids: impl Iterator<Item = &'i mut I>, make: impl Fn(u32) -> I) {
    for (n, id) in (0..).zip(ids) {
        *id = make(n);
    }
}

fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}
