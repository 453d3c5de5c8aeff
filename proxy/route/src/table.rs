//! All listeners of one gateway on one port.

use std::collections::{HashMap, HashSet};

use igw_crds::snapshot::{RouteId, Snapshot};

use crate::RequestView;
use crate::condition::Candidate;
use crate::host_table::HostTable;
use crate::path_index::PathIndex;
use crate::patterns::Patterns;
use crate::rank::Rank;

/// Tables of one port.
pub struct PortRoutes {
    /// Index into `routes` by listener hostname.
    pub(crate) listeners: HostTable<Option<usize>>,
    pub(crate) routes: Vec<ListenerRoutes>,
    targets: Vec<Target>,
}

/// One rule on one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index into the gateway's listeners.
    pub listener: usize,
    /// The route.
    pub route: RouteId,
    /// Index of the rule in the route.
    pub rule: usize,
}

/// Result of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// A rule.
    Rule {
        /// Index into [`PortRoutes::targets`].
        target: u32,
        /// Index into the rule's matches.
        matched: u16,
    },
    /// No rule of the only eligible listener.
    NoRoute {
        /// Index into the gateway's listeners.
        listener: usize,
    },
    /// No listener for this host.
    NoListener,
}

pub(crate) struct ListenerRoutes {
    pub(crate) listener: usize,
    /// By the routes' own hostnames. A host that matches the listener and the route's own name matches their
    /// intersection, so the intersection needs no table.
    pub(crate) hosts: HostTable<PathIndex>,
    /// Targets of connections that are passed on as they are, by the routes' own hostnames.
    pub(crate) streams: HostTable<Option<u32>>,
}

// === impl PortRoutes ===

impl PortRoutes {
    /// Builds the tables of the listeners (indices into the gateway's list) that share a port. Total: a pattern
    /// that does not compile never matches, an index out of range is left out.
    #[must_use]
    pub fn build(snapshot: &Snapshot, gateway: usize, listeners: &[usize]) -> Self {
        let mut tables = Self { listeners: HostTable::default(), routes: Vec::new(), targets: Vec::new() };
        let Some(gateway) = snapshot.gateways.get(gateway) else { return tables };
        let mut patterns = Patterns::default();
        for index in listeners {
            let Some(listener) = gateway.listeners.get(*index) else { continue };
            let place = tables.listeners.entry(listener.hostname.as_deref());
            // Two listeners of one name do not get here; the first would keep it.
            if place.is_some() {
                continue;
            }
            *place = Some(tables.routes.len());
            let mut routes = ListenerRoutes {
                listener: *index,
                hosts: HostTable::default(),
                streams: HostTable::default(),
            };
            for attachment in &listener.attachments {
                let Some(route) = snapshot.routes.get(attachment.route.0 as usize) else { continue };
                let mut of_rule: HashMap<usize, u32> = HashMap::new();
                let mut own_names = HashSet::new();
                // A name that a route writes twice counts once.
                for binding in attachment.hosts.iter().filter(|binding| own_names.insert(&binding.ranks)) {
                    let is_stream = listener.protocol.is_stream();
                    for (rule_index, rule) in route.rules.iter().enumerate() {
                        let targets = &mut tables.targets;
                        let target = *of_rule.entry(rule_index).or_insert_with(|| {
                            targets.push(Target {
                                listener: *index,
                                route: attachment.route,
                                rule: rule_index,
                            });
                            u32::try_from(targets.len() - 1).unwrap_or(u32::MAX)
                        });
                        if is_stream {
                            // The oldest route of a name has all of it.
                            routes.streams.entry(binding.ranks.as_deref()).get_or_insert(target);
                            continue;
                        }
                        let paths = routes.hosts.entry(binding.ranks.as_deref());
                        for (matched, one) in rule.matches.iter().enumerate() {
                            let rank = Rank::new(one, attachment.route.0, rule_index, matched);
                            let matched = u16::try_from(matched).unwrap_or(u16::MAX);
                            let candidate = Candidate::new(one, rank, target, matched, &mut patterns);
                            paths.insert(&one.path, candidate, &mut patterns);
                        }
                    }
                }
            }
            routes.hosts.values_mut().for_each(PathIndex::sort);
            tables.routes.push(routes);
        }
        tables
    }

    /// Every rule on every listener, dense; [`Selection::Rule`] points into it.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Finds the rule for a request.
    pub fn select(&self, request: &impl RequestView) -> Selection {
        let Some(routes) = self.listener(request.host()) else { return Selection::NoListener };
        match routes.hosts.matching(request.host()).find_map(|paths| paths.select(request)) {
            Some(found) => Selection::Rule { target: found.target, matched: found.matched },
            None => Selection::NoRoute { listener: routes.listener },
        }
    }

    /// Finds the route of a connection by the name that its client asks for; an empty name is one that nobody gave.
    #[must_use]
    pub fn stream(&self, name: &[u8]) -> Selection {
        let Some(routes) = self.listener(name) else { return Selection::NoListener };
        match routes.streams.matching(name).find_map(|target| *target) {
            Some(target) => Selection::Rule { target, matched: 0 },
            None => Selection::NoRoute { listener: routes.listener },
        }
    }

    /// Index into the gateway's listeners of the one that serves a name; an empty name is one that nobody gave.
    #[must_use]
    pub fn listener_of(&self, host: &[u8]) -> Option<usize> {
        self.listener(host).map(|routes| routes.listener)
    }

    /// The one eligible listener.
    pub(crate) fn listener(&self, host: &[u8]) -> Option<&ListenerRoutes> {
        self.listeners.matching(host).find_map(|index| self.routes.get((*index)?))
    }
}
