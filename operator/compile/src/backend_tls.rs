//! BackendTLSPolicies: which one counts for a target, what it asks for, and on which gateways it is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use igw_crds::objects::backend_tls_policy::{
    BackendTlsPolicySpec, FINGERPRINTS, SubjectAltName, SubjectAltNameType,
};
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::{self, BackendId, BackendTls, Filter, Route, Rule, Trust};

use crate::input::{Facts, ObjectSet};
use crate::listeners::{GATEWAY_GROUP, GatewayNode};
use crate::services::Services;
use crate::status::{AncestorReference, AncestorStatus, Condition, PolicyStatus, Status};

/// Policies by target.
pub(crate) struct BackendTlsPolicies<'o> {
    policies: BTreeMap<&'o ObjectKey, Policy>,
    /// By kind, namespace and name, then by port as text (empty for all): the policies, the one that counts first.
    by_target: HashMap<(String, String, String), BTreeMap<String, Vec<&'o ObjectKey>>>,
    /// Where ports of Services have names, policies say those.
    services: Option<&'o Services>,
}

struct Policy {
    tls: BackendTls,
    /// Conditions wherever it counts.
    conditions: Vec<Condition>,
    generation: u64,
}

// === impl BackendTlsPolicies ===

impl<'o> BackendTlsPolicies<'o> {
    pub(crate) fn new(objects: &'o ObjectSet, facts: &'o Facts) -> Self {
        let services = facts.services.as_ref();
        let mut made = Self { policies: BTreeMap::new(), by_target: HashMap::new(), services };
        for (key, stored) in objects.by_age(Kind::BackendTlsPolicy) {
            let Spec::BackendTlsPolicy(spec) = stored.spec() else { continue };
            made.policies.insert(key, policy(facts, key, spec, stored.generation));
            for target in &spec.target_refs {
                let is_service = target.group.as_str().is_empty() && target.kind.as_str() == "Service";
                let is_backend =
                    target.group.as_str() == "igw.opensvc.com" && target.kind.as_str() == "Backend";
                if !is_service && !is_backend {
                    continue;
                }
                let place = (target.kind.as_str().to_owned(), key.namespace.to_string(), target.name.clone());
                let section = target.section_name.as_ref().map_or("", |section| section.as_str());
                made.by_target.entry(place).or_default().entry(section.to_owned()).or_default().push(key);
            }
        }
        made
    }

    /// TLS to a target: by the policy for its port before the one for all of it, the oldest of each.
    pub(crate) fn find(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        port: Option<u16>,
    ) -> Option<BackendTls> {
        let key = self.claims(kind, namespace, name, port).first().map(|(key, _)| *key)?;
        self.policies.get(key).map(|policy| policy.tls.clone())
    }

    /// Policies for a target, and whether each one counts.
    fn claims(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        port: Option<u16>,
    ) -> Vec<(&'o ObjectKey, bool)> {
        let place = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let Some(sections) = self.by_target.get(&place) else { return Vec::new() };
        let named = self
            .services
            .zip(port)
            .and_then(|(services, port)| services.port(namespace, name, port)?.name.as_ref());
        let of_port = named.and_then(|named| sections.get(named));
        let of_port = of_port.or_else(|| port.and_then(|port| sections.get(&port.to_string())));
        let claims = |keys: &Vec<&'o ObjectKey>| -> Vec<(&'o ObjectKey, bool)> {
            keys.iter().enumerate().map(|(place, key)| (*key, place == 0)).collect()
        };
        let mut found = of_port.map(claims).unwrap_or_default();
        // One for all of it yields to one for the port, and is not in conflict with it.
        found.extend(sections.get("").map(claims).unwrap_or_default());
        found
    }

    /// Statuses, one entry for each gateway whose routes lead to a target. `targets` are the back ends by id.
    pub(crate) fn statuses(
        &self,
        targets: &[Target],
        gateways: &[GatewayNode],
        routes: &[Route],
    ) -> Vec<(ObjectKey, Status)> {
        let mut used: BTreeMap<&ObjectKey, BTreeMap<(String, String), bool>> = BTreeMap::new();
        for gateway in gateways {
            for id in backends_of(gateway, routes) {
                let Some(target) = targets.get(id.0 as usize) else { continue };
                let claims = self.claims(target.kind, &target.namespace, &target.name, target.port);
                for (key, counts) in claims {
                    let of_gateway = (gateway.key.namespace.to_string(), gateway.key.name.to_string());
                    *used.entry(key).or_default().entry(of_gateway).or_insert(true) &= counts;
                }
            }
        }
        let status = |(key, policy): (&&ObjectKey, &Policy)| {
            let gateways = used.get(*key).into_iter().flatten();
            let ancestors = gateways.map(|((namespace, name), counts)| {
                let gateway = AncestorReference::new(GATEWAY_GROUP, "Gateway", namespace, name);
                AncestorStatus::new(gateway, policy.conditions(*counts))
            });
            ((*key).clone(), Status::Policy(PolicyStatus { ancestors: ancestors.collect() }))
        };
        self.policies.iter().map(status).collect()
    }
}

/// What a back end was made of.
pub(crate) struct Target {
    pub(crate) kind: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

/// Back ends that a gateway's routes lead to, its listeners ask, or that are told of its requests.
fn backends_of(gateway: &GatewayNode, routes: &[Route]) -> BTreeSet<BackendId> {
    let attachments = gateway.listeners.iter().flat_map(|listener| &listener.attachments);
    let routes = attachments.filter_map(|attachment| routes.get(attachment.route.0 as usize));
    let asked =
        gateway.listeners.iter().flat_map(|listener| listener.filters.iter().filter_map(Filter::backend));
    let told = gateway.tracing.as_ref().and_then(|tracing| tracing.backend);
    routes.flat_map(|route| &route.rules).flat_map(Rule::backends).chain(asked).chain(told).collect()
}

// === impl Policy ===

impl Policy {
    fn conditions(&self, counts: bool) -> Vec<Condition> {
        if counts {
            return self.conditions.clone();
        }
        let message = "an older policy counts for this target; remove one of the two";
        let mut conditions = self.conditions.clone();
        conditions.retain(|condition| condition.r#type != "Accepted");
        conditions.insert(0, Condition::no("Accepted", "Conflicted", message, self.generation));
        conditions
    }
}

fn policy(facts: &Facts, key: &ObjectKey, spec: &BackendTlsPolicySpec, generation: u64) -> Policy {
    let mut unresolved: Option<(&'static str, String)> = None;
    let mut refused: Option<(&'static str, String)> = None;
    let trust = match spec.validation.well_known_ca_certificates.as_deref() {
        Some("System") => Trust::System,
        Some(FINGERPRINTS) => Trust::Fingerprints(fingerprints(spec)),
        Some(other) => {
            let message =
                format!("wellKnownCACertificates {other} is not known; use System or {FINGERPRINTS}");
            refused = Some(("Invalid", message));
            Trust::Nobody
        }
        None => authorities(facts, key, spec, &mut unresolved),
    };
    if trust == Trust::Nobody && refused.is_none() {
        let message =
            "no certificate authority is valid; connections to the back ends are refused until one is";
        refused = Some(("NoValidCACertificate", message.to_owned()));
    }
    let accepted = match refused {
        Some((reason, message)) => Condition::no("Accepted", reason, message, generation),
        None => Condition::yes("Accepted", "Accepted", "the policy counts for its targets", generation),
    };
    let resolved = match unresolved {
        Some((reason, message)) => Condition::no("ResolvedRefs", reason, message, generation),
        None => Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved", generation),
    };
    let tls = BackendTls {
        server_name: spec.validation.hostname.as_str().to_owned(),
        names: spec.validation.subject_alt_names.iter().filter_map(name).collect(),
        trust,
    };
    Policy { tls, conditions: vec![accepted, resolved], generation }
}

/// The authorities of all references that are valid.
fn authorities(
    facts: &Facts,
    key: &ObjectKey,
    spec: &BackendTlsPolicySpec,
    unresolved: &mut Option<(&'static str, String)>,
) -> Trust {
    let mut found = String::new();
    for reference in &spec.validation.ca_certificate_refs {
        if !reference.group.as_str().is_empty() || reference.kind.as_str() != "ConfigMap" {
            let message = format!("{} holds no authorities; use ConfigMap (core group)", reference.kind);
            unresolved.get_or_insert(("InvalidKind", message));
            continue;
        }
        let place = format!("ConfigMap {}/{}", key.namespace, reference.name);
        let fault = match facts.material.authorities(&key.namespace, &reference.name) {
            Some(Ok(pem)) => {
                found.push_str(pem);
                continue;
            }
            Some(Err(fault)) => format!("{place}: {fault}"),
            None => format!("{place} does not exist; write it, or change the reference"),
        };
        unresolved.get_or_insert(("InvalidCACertificateRef", fault));
    }
    if found.is_empty() { Trust::Nobody } else { Trust::Authorities(found) }
}

/// Fingerprints in the form that they are compared in.
fn fingerprints(spec: &BackendTlsPolicySpec) -> Vec<String> {
    let listed = spec.options.get(FINGERPRINTS).map_or("", String::as_str);
    listed.split(',').map(|one| one.trim().replace(':', "").to_lowercase()).collect()
}

fn name(name: &SubjectAltName) -> Option<snapshot::SubjectAltName> {
    match name.r#type {
        SubjectAltNameType::Hostname => {
            name.hostname.as_ref().map(|name| snapshot::SubjectAltName::Hostname(name.as_str().to_owned()))
        }
        SubjectAltNameType::Uri => name.uri.clone().map(snapshot::SubjectAltName::Uri),
    }
}
