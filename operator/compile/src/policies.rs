//! BackendPolicies and Resolvers: which one counts for a target.

use std::collections::{BTreeMap, HashMap};

use igw_crds::objects::backend_policy::BackendPolicySpec;
use igw_crds::objects::resolver::ResolverSpec;
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot;

use crate::input::{Facts, ObjectSet};
use crate::status::{AncestorReference, AncestorStatus, Condition, PolicyStatus, Status};

/// Policies by target.
pub(crate) struct Policies<'o> {
    /// By kind, namespace, name and port (as text; empty for all).
    by_target: HashMap<(String, String, String, String), (&'o ObjectKey, &'o BackendPolicySpec)>,
    statuses: BTreeMap<ObjectKey, PolicyStatus>,
    /// The default resolver first.
    pub(crate) resolvers: Vec<snapshot::Resolver>,
    resolver_ids: HashMap<(String, String), u32>,
}

// === impl Policies ===

impl<'o> Policies<'o> {
    pub(crate) fn new(objects: &'o ObjectSet, facts: &Facts) -> Self {
        let mut policies = Self {
            by_target: HashMap::new(),
            statuses: BTreeMap::new(),
            resolvers: vec![default_resolver(facts)],
            resolver_ids: HashMap::new(),
        };
        for (key, stored) in objects.of_kind(Kind::Resolver) {
            let Spec::Resolver(spec) = stored.spec() else { continue };
            let id = u32::try_from(policies.resolvers.len()).unwrap_or(0);
            policies.resolvers.push(resolver(&format!("{}/{}", key.namespace, key.name), spec));
            policies.resolver_ids.insert((key.namespace.to_string(), key.name.to_string()), id);
        }
        for (key, stored) in objects.by_age(Kind::BackendPolicy) {
            let Spec::BackendPolicy(spec) = stored.spec() else { continue };
            let mut status = PolicyStatus::default();
            for target in &spec.target_refs {
                let condition = policies.attach(objects, key, spec, target, stored.generation);
                let ancestor = AncestorReference::new(
                    target.group.as_str(),
                    target.kind.as_str(),
                    &key.namespace,
                    &target.name,
                );
                status.ancestors.push(AncestorStatus::new(ancestor, vec![condition]));
            }
            policies.statuses.insert(key.clone(), status);
        }
        policies
    }

    /// The policy for a target: one for its port before one for all of it.
    pub(crate) fn find(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        port: Option<u16>,
    ) -> Option<&'o BackendPolicySpec> {
        let key = |section: String| (kind.to_owned(), namespace.to_owned(), name.to_owned(), section);
        port.and_then(|port| self.by_target.get(&key(port.to_string())))
            .or_else(|| self.by_target.get(&key(String::new())))
            .map(|(_, spec)| *spec)
    }

    /// The resolver that a policy of a namespace names.
    pub(crate) fn resolver(&self, namespace: &str, name: Option<&str>) -> u32 {
        name.and_then(|name| self.resolver_ids.get(&(namespace.to_owned(), name.to_owned())))
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn statuses(&self) -> Vec<(ObjectKey, Status)> {
        self.statuses.iter().map(|(key, status)| (key.clone(), Status::Policy(status.clone()))).collect()
    }

    fn attach(
        &mut self,
        objects: &ObjectSet,
        key: &'o ObjectKey,
        spec: &'o BackendPolicySpec,
        target: &igw_crds::objects::backend_policy::PolicyTargetReference,
        generation: u64,
    ) -> Condition {
        let is_backend = target.group.as_str() == "igw.opensvc.com" && target.kind.as_str() == "Backend";
        let is_service = target.group.as_str().is_empty() && target.kind.as_str() == "Service";
        if !is_backend && !is_service {
            let message = format!(
                "kind {} is no target; use Service (core group) or Backend (igw.opensvc.com)",
                target.kind
            );
            return Condition::no("Accepted", "Invalid", message, generation);
        }
        if is_backend && objects.find(Kind::Backend, &key.namespace, &target.name).is_none() {
            let message = format!(
                "Backend {}/{} does not exist; write it, or change targetRefs",
                key.namespace, target.name
            );
            return Condition::no("Accepted", "TargetNotFound", message, generation);
        }
        if let Some(unserved) = unserved(spec) {
            return Condition::no(
                "Accepted",
                "Invalid",
                format!("{unserved} is not served by this version; remove it"),
                generation,
            );
        }
        let resolver = spec.discovery.as_ref().and_then(|discovery| discovery.resolver_ref.as_ref());
        if let Some(resolver) = resolver
            && !self.resolver_ids.contains_key(&(key.namespace.to_string(), resolver.name.clone()))
        {
            let message = format!(
                "Resolver {}/{} does not exist; write it, or remove resolverRef",
                key.namespace, resolver.name
            );
            return Condition::no("Accepted", "Invalid", message, generation);
        }
        let section =
            target.section_name.as_ref().map(|section| section.as_str().to_owned()).unwrap_or_default();
        let place =
            (target.kind.as_str().to_owned(), key.namespace.to_string(), target.name.clone(), section);
        if let Some((older, _)) = self.by_target.get(&place) {
            let message = format!("{older} is older and counts for this target; remove one of the two");
            return Condition::no("Accepted", "Conflicted", message, generation);
        }
        self.by_target.insert(place, (key, spec));
        Condition::yes("Accepted", "Accepted", "the policy counts for this target", generation)
    }
}

/// The first field that is known and not served yet.
fn unserved(spec: &BackendPolicySpec) -> Option<&'static str> {
    use igw_crds::objects::backend_policy::{DiscoveryMode, Duplicates, InitState};
    if spec.load_balancer.as_ref().is_some_and(|balancer| balancer.slow_start.is_some()) {
        return Some("loadBalancer.slowStart");
    }
    let discovery = spec.discovery.as_ref()?;
    match discovery {
        _ if matches!(discovery.mode, Some(DiscoveryMode::Events | DiscoveryMode::Static)) => {
            Some("discovery.mode Events and Static")
        }
        _ if discovery.duplicates == Some(Duplicates::Keep) => Some("discovery.duplicates Keep"),
        _ if !discovery.networks.is_empty() => Some("discovery.networks"),
        _ if matches!(discovery.init_state, Some(InitState::Up | InitState::FullyUp | InitState::Down)) => {
            Some("discovery.initState")
        }
        _ if discovery.wait_for_endpoint.as_ref().is_some_and(|wait| wait.as_millis() > 0) => {
            Some("discovery.waitForEndpoint")
        }
        _ if discovery.hold.as_ref().is_some_and(|hold| hold.valid.is_some()) => Some("discovery.hold.valid"),
        _ => None,
    }
}

fn default_resolver(facts: &Facts) -> snapshot::Resolver {
    snapshot::Resolver {
        name: "default".to_owned(),
        nameservers: facts.nameservers.clone(),
        from_resolv_conf: facts.nameservers.is_empty(),
        search: false,
        edns_payload: EDNS_PAYLOAD,
        timeout_ms: TIMEOUT_MS,
        retries: RETRIES,
    }
}

fn resolver(name: &str, spec: &ResolverSpec) -> snapshot::Resolver {
    let nameservers: Vec<std::net::SocketAddr> = spec
        .nameservers
        .iter()
        .map(|server| std::net::SocketAddr::new(server.address, server.port.map_or(53, |port| port.as_u16())))
        .collect();
    snapshot::Resolver {
        name: name.to_owned(),
        from_resolv_conf: spec.from_resolv_conf.unwrap_or(nameservers.is_empty()),
        nameservers,
        search: spec.search.unwrap_or(false),
        edns_payload: spec.edns_payload.unwrap_or(EDNS_PAYLOAD),
        timeout_ms: spec.timeout.as_ref().map_or(TIMEOUT_MS, |span| span.as_millis()),
        retries: spec.retries.unwrap_or(RETRIES),
    }
}

const EDNS_PAYLOAD: u16 = 8_192;
const TIMEOUT_MS: u64 = 1_000;
const RETRIES: u32 = 3;
