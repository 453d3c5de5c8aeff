//! ClientPolicies: which one counts for a listener.

use std::collections::{BTreeMap, HashMap};

use igw_crds::objects::client_policy::{ClientPolicySpec, ClientTls, Hsts, MinTlsVersion};
use igw_crds::objects::gateway::ListenerTls;
use igw_crds::objects::names::Cidr;
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::{self, ClientRules, TlsVersion};

use crate::input::ObjectSet;
use crate::listeners::GATEWAY_GROUP;
use crate::status::{AncestorReference, AncestorStatus, Condition, PolicyStatus, Status};
use crate::tls::OPTION_DOMAIN;

/// Policies by target.
#[derive(Default)]
pub(crate) struct ClientPolicies<'o> {
    /// By namespace and name of the gateway, and name of the listener (empty for all).
    by_target: HashMap<(String, String, String), (&'o ObjectKey, &'o ClientPolicySpec)>,
    statuses: BTreeMap<ObjectKey, PolicyStatus>,
}

// === impl ClientPolicies ===

impl<'o> ClientPolicies<'o> {
    pub(crate) fn new(objects: &'o ObjectSet) -> Self {
        let mut policies = Self::default();
        for (key, stored) in objects.by_age(Kind::ClientPolicy) {
            let Spec::ClientPolicy(spec) = stored.spec() else { continue };
            let mut status = PolicyStatus::default();
            for target in &spec.target_refs {
                let section = target.section_name.as_ref().map(|section| section.as_str().to_owned());
                let condition =
                    policies.attach(objects, key, spec, &target.name, section.as_deref(), stored.generation);
                let gateway = AncestorReference::new(GATEWAY_GROUP, "Gateway", &key.namespace, &target.name);
                let ancestor = AncestorReference { section_name: section, ..gateway };
                status.ancestors.push(AncestorStatus::new(ancestor, vec![condition]));
            }
            policies.statuses.insert(key.clone(), status);
        }
        policies
    }

    /// The policy for a listener: its own before one for the whole gateway.
    pub(crate) fn find(&self, gateway: &ObjectKey, listener: &str) -> Option<&'o ClientPolicySpec> {
        let key =
            |section: &str| (gateway.namespace.to_string(), gateway.name.to_string(), section.to_owned());
        let found = self.by_target.get(&key(listener)).or_else(|| self.by_target.get(&key("")));
        found.map(|(_, spec)| *spec)
    }

    pub(crate) fn statuses(&self) -> Vec<(ObjectKey, Status)> {
        self.statuses.iter().map(|(key, status)| (key.clone(), Status::Policy(status.clone()))).collect()
    }

    fn attach(
        &mut self,
        objects: &ObjectSet,
        key: &'o ObjectKey,
        spec: &'o ClientPolicySpec,
        gateway: &str,
        section: Option<&str>,
        generation: u64,
    ) -> Condition {
        let no = |reason, message| Condition::no("Accepted", reason, message, generation);
        let Some(Spec::Gateway(found)) = objects.spec(Kind::Gateway, &key.namespace, gateway) else {
            let message =
                format!("Gateway {}/{gateway} does not exist; write it, or change targetRefs", key.namespace);
            return no("TargetNotFound", message);
        };
        if let Some(section) = section
            && !found.listeners.iter().any(|listener| listener.name.as_str() == section)
        {
            let names: Vec<&str> = found.listeners.iter().map(|listener| listener.name.as_str()).collect();
            let message = format!(
                "Gateway {}/{gateway} has no listener {section}; it has: {}",
                key.namespace,
                names.join(", ")
            );
            return no("TargetNotFound", message);
        }
        let place = (key.namespace.to_string(), gateway.to_owned(), section.unwrap_or_default().to_owned());
        if let Some((older, _)) = self.by_target.get(&place) {
            let message = format!("{older} is older and counts for this target; remove one of the two");
            return no("Conflicted", message);
        }
        self.by_target.insert(place, (key, spec));
        Condition::yes("Accepted", "Accepted", "the policy counts for this target", generation)
    }
}

/// What a proxy needs of a policy.
pub(crate) fn rules(spec: &ClientPolicySpec) -> ClientRules {
    let texts = |networks: &[Cidr]| networks.iter().map(ToString::to_string).collect();
    ClientRules {
        trusted_proxies: texts(&spec.trusted_proxies),
        proxy_protocol: spec.proxy_protocol.as_ref().map(|proxy| texts(&proxy.trusted)).unwrap_or_default(),
        hsts: spec.hsts.as_ref().map(hsts),
        subject_field: spec.tls.as_ref().and_then(ClientTls::subject_field),
        http2_streams: spec.http2.as_ref().and_then(|http2| http2.max_concurrent_streams),
    }
}

/// Lays a policy's wishes under the options of a listener.
pub(crate) fn apply_tls(policy: &ClientTls, listener: &ListenerTls, served: &mut snapshot::ListenerTls) {
    let is_open = |option: &str| !listener.options.contains_key(&format!("{OPTION_DOMAIN}{option}"));
    if let Some(version) = policy.min_version.filter(|_| is_open("minVersion")) {
        served.min_version = match version {
            MinTlsVersion::V12 => TlsVersion::V12,
            MinTlsVersion::V13 => TlsVersion::V13,
        };
    }
    if is_open("cipherSuites") && !policy.cipher_suites.is_empty() {
        served.cipher_suites.clone_from(&policy.cipher_suites);
    }
    if is_open("alpn") && !policy.alpn.is_empty() {
        served.alpn.clone_from(&policy.alpn);
    }
}

/// The value of the field (RFC 6797 6.1).
fn hsts(hsts: &Hsts) -> String {
    let mut value = format!("max-age={}", hsts.max_age.as_millis() / 1_000);
    if hsts.include_sub_domains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    value
}
