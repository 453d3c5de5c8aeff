//! TLS of listeners: certificates, options, and how clients are verified.

use std::collections::BTreeSet;

use igw_crds::objects::client_policy::ClientTls;
use igw_crds::objects::gateway::{
    FrontendTls, FrontendValidation, FrontendValidationMode, GatewaySpec, ListenerTls, TlsMode,
};
use igw_crds::objects::meta::{ObjectReference, SecretObjectReference};
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::{self, ALPN, CIPHER_SUITES, ClientVerification, TlsVersion};

use crate::classes::{ClassOf, Classes, classes};
use crate::client_policies::apply_tls;
use crate::grants::{Reference, is_allowed};
use crate::input::{Facts, ObjectSet};
use crate::issued::listener_tls;
use crate::listener_sets::{Sets, takes};
use crate::listeners::GATEWAY_GROUP;

/// What a listener's TLS comes to.
#[derive(Default)]
pub(crate) struct TlsNode {
    /// What is served; nothing if no certificate can be.
    pub(crate) served: Option<snapshot::ListenerTls>,
    /// Why the listener is not accepted: reason and message.
    pub(crate) refused: Option<(&'static str, String)>,
    /// What of its references is wrong: reason and message.
    pub(crate) unresolved: Option<(&'static str, String)>,
    /// What deserves attention.
    pub(crate) warning: Option<String>,
    /// Clients without a valid certificate are served although certificates are asked for.
    pub(crate) is_insecure: bool,
}

/// Namespace and name of every Secret that a Gateway of ours may use, and of every ConfigMap with authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Secrets with key pairs that listeners show.
    pub secrets: BTreeSet<(String, String)>,
    /// Secrets with key pairs that are shown to back ends.
    pub client_secrets: BTreeSet<(String, String)>,
    /// ConfigMaps with authorities.
    pub config_maps: BTreeSet<(String, String)>,
}

/// What Gateways of our classes refer to and may: nothing else is ever read of Secrets.
#[must_use]
pub fn references(objects: &ObjectSet) -> References {
    let classes: Classes = classes(objects);
    let sets = Sets::new(objects);
    let mut found = References::default();
    for (key, stored) in objects.of_kind(Kind::Gateway) {
        let Spec::Gateway(spec) = stored.spec() else { continue };
        if !matches!(classes.find(&spec.gateway_class_name), ClassOf::Ours(_)) {
            continue;
        }
        let own = spec.listeners.iter().map(|listener| (key, listener));
        let taken = sets.of(key).iter().filter(|set| takes(objects, key, spec, set.key));
        let of_sets =
            taken.flat_map(|set| set.spec.listeners.iter().map(move |listener| (set.key, listener)));
        for (owner, listener) in own.chain(of_sets) {
            let Some(tls) = listener_tls(objects, owner, listener) else { continue };
            let places = tls.certificate_refs.iter().filter_map(|one| secret(objects, owner, one).ok());
            found.secrets.extend(places);
        }
        let backend = spec.tls.as_ref().and_then(|tls| tls.backend.as_ref());
        if let Some(Ok(place)) = backend
            .and_then(|backend| backend.client_certificate_ref.as_ref())
            .map(|reference| secret(objects, key, reference))
        {
            found.client_secrets.insert(place);
        }
        let frontend = spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref());
        for reference in frontend.into_iter().flat_map(validations).flat_map(|one| &one.ca_certificate_refs) {
            if let Ok(place) = config_map(objects, key, reference) {
                found.config_maps.insert(place);
            }
        }
    }
    for (key, stored) in objects.of_kind(Kind::BackendTlsPolicy) {
        let Spec::BackendTlsPolicy(spec) = stored.spec() else { continue };
        let maps = spec.validation.ca_certificate_refs.iter().filter(|reference| {
            reference.group.as_str().is_empty() && reference.kind.as_str() == "ConfigMap"
        });
        found.config_maps.extend(maps.map(|map| (key.namespace.to_string(), map.name.clone())));
    }
    found
}

/// A certificate for back ends, or why there is none: reason and message.
pub(crate) type ClientCertificate = Result<snapshot::Certificate, (&'static str, String)>;

/// What a gateway shows to back ends that ask for a certificate; nothing if it says nothing of it.
pub(crate) fn client_certificate(
    objects: &ObjectSet,
    facts: &Facts,
    gateway: &ObjectKey,
    spec: &GatewaySpec,
) -> Option<ClientCertificate> {
    const INVALID: &str = "InvalidClientCertificateRef";
    let reference = spec.tls.as_ref()?.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let (namespace, name) = match secret(objects, gateway, reference) {
        Ok(place) => place,
        Err(("InvalidCertificateRef", message)) => return Some(Err((INVALID, message))),
        Err(refused) => return Some(Err(refused)),
    };
    let Some(state) = facts.material.pair(&namespace, &name) else {
        let message = format!("Secret {namespace}/{name} does not exist; write it, or change the reference");
        return Some(Err((INVALID, message)));
    };
    Some(match (&state.usable, &state.fault) {
        (Some(certificate), _) => Ok(certificate.clone()),
        (None, fault) => {
            let fault = fault.as_deref().unwrap_or("it holds no key pair");
            Err((INVALID, format!("Secret {namespace}/{name}: {fault}")))
        }
    })
}

/// TLS that a listener of `owner`, the gateway or a set, ends on `port`; `is_stream` where it knows nothing of what is
/// inside.
#[allow(clippy::too_many_arguments)]
pub(crate) fn terminate(
    objects: &ObjectSet,
    facts: &Facts,
    gateway: &ObjectKey,
    spec: &GatewaySpec,
    owner: &ObjectKey,
    port: u16,
    tls: &ListenerTls,
    is_stream: bool,
    policy: Option<&ClientTls>,
) -> TlsNode {
    let mut node = TlsNode::default();
    if tls.mode == TlsMode::Passthrough {
        node.refused = Some(("UnsupportedValue", "`tls.mode` Passthrough needs protocol TLS".to_owned()));
        return node;
    }
    let mut certificates = Vec::new();
    for reference in &tls.certificate_refs {
        let (namespace, name) = match secret(objects, owner, reference) {
            Ok(place) => place,
            Err(unresolved) => {
                node.unresolved.get_or_insert(unresolved);
                continue;
            }
        };
        let Some(state) = facts.material.pair(&namespace, &name) else {
            let message =
                format!("Secret {namespace}/{name} does not exist; write it, or change the reference");
            node.unresolved.get_or_insert(("InvalidCertificateRef", message));
            continue;
        };
        if let Some(fault) = &state.fault {
            let meanwhile = match &state.usable {
                Some(_) => "; the certificate before it is served meanwhile",
                None => "",
            };
            let message = format!("Secret {namespace}/{name}: {fault}{meanwhile}");
            node.unresolved.get_or_insert(("InvalidCertificateRef", message));
        }
        if let Some(warning) = &state.warning {
            node.warning.get_or_insert_with(|| format!("Secret {namespace}/{name}: {warning}"));
        }
        certificates.extend(state.usable.clone());
    }
    let client = match validation(spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()), port) {
        Some(validation) => {
            node.is_insecure = validation.mode == FrontendValidationMode::AllowInsecureFallback;
            match verification(objects, facts, gateway, validation, &mut node) {
                Some(client) => Some(client),
                None => return node,
            }
        }
        None => None,
    };
    let mut options = match options(tls) {
        Ok(options) => options,
        Err(message) => {
            node.refused = Some(("UnsupportedValue", message));
            return node;
        }
    };
    if is_stream && !tls.options.contains_key(&format!("{OPTION_DOMAIN}alpn")) {
        // Nobody here knows what the back end speaks.
        options.alpn.clear();
    }
    if let Some(policy) = policy {
        apply_tls(policy, tls, &mut options);
        if let Err(message) = check_suites(&options, "ClientPolicy `tls`") {
            node.refused = Some(("UnsupportedValue", message));
            return node;
        }
    }
    if !certificates.is_empty() {
        node.served = Some(snapshot::ListenerTls { certificates, client, ..options });
    }
    node
}

/// How clients of a port are judged.
fn validation(frontend: Option<&FrontendTls>, port: u16) -> Option<&FrontendValidation> {
    let frontend = frontend?;
    let of_port = frontend.per_port.iter().find(|per_port| per_port.port.as_u16() == port);
    of_port.map_or(&frontend.default, |per_port| &per_port.tls).validation.as_ref()
}

fn validations(frontend: &FrontendTls) -> impl Iterator<Item = &FrontendValidation> {
    let of_ports = frontend.per_port.iter().map(|per_port| &per_port.tls);
    [&frontend.default].into_iter().chain(of_ports).filter_map(|tls| tls.validation.as_ref())
}

/// The authorities of clients; none if not one of them is valid, which refuses the listener.
fn verification(
    objects: &ObjectSet,
    facts: &Facts,
    gateway: &ObjectKey,
    validation: &FrontendValidation,
    node: &mut TlsNode,
) -> Option<ClientVerification> {
    let mut authorities = String::new();
    for reference in &validation.ca_certificate_refs {
        let found = config_map(objects, gateway, reference).and_then(|(namespace, name)| {
            let invalid = |message: String| ("InvalidCACertificateRef", message);
            match facts.material.authorities(&namespace, &name) {
                Some(Ok(pem)) => Ok(pem),
                Some(Err(fault)) => Err(invalid(format!("ConfigMap {namespace}/{name}: {fault}"))),
                None => Err(invalid(format!(
                    "ConfigMap {namespace}/{name} does not exist; write it, or change the reference"
                ))),
            }
        });
        match found {
            Ok(pem) => authorities.push_str(pem),
            Err(unresolved) => node.unresolved = Some(unresolved),
        }
    }
    if authorities.is_empty() {
        let message = "no certificate authority of `tls.frontend` is valid; clients cannot be verified";
        node.refused = Some(("NoValidCACertificate", message.to_owned()));
        return None;
    }
    let is_required = validation.mode == FrontendValidationMode::AllowValidOnly;
    Some(ClientVerification { authorities, is_required })
}

/// Where a reference to a Secret leads, if it may.
fn secret(
    objects: &ObjectSet,
    gateway: &ObjectKey,
    reference: &SecretObjectReference,
) -> Result<(String, String), (&'static str, String)> {
    if !reference.group.as_str().is_empty() || reference.kind.as_str() != "Secret" {
        let message = format!("{} holds no certificate; use Secret (core group)", reference.kind);
        return Err(("InvalidCertificateRef", message));
    }
    let namespace = reference.namespace.as_ref().map_or(&*gateway.namespace, |namespace| namespace.as_str());
    permitted(objects, gateway, "Secret", namespace, &reference.name)
}

/// Where a reference to authorities leads, if it may.
fn config_map(
    objects: &ObjectSet,
    gateway: &ObjectKey,
    reference: &ObjectReference,
) -> Result<(String, String), (&'static str, String)> {
    if !reference.group.as_str().is_empty() || reference.kind.as_str() != "ConfigMap" {
        let message = format!("{} holds no authorities; use ConfigMap (core group)", reference.kind);
        return Err(("InvalidCACertificateKind", message));
    }
    let namespace = reference.namespace.as_ref().map_or(&*gateway.namespace, |namespace| namespace.as_str());
    permitted(objects, gateway, "ConfigMap", namespace, &reference.name)
}

fn permitted(
    objects: &ObjectSet,
    gateway: &ObjectKey,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<(String, String), (&'static str, String)> {
    let crossing = Reference {
        from_group: GATEWAY_GROUP,
        from_kind: gateway.kind.as_str(),
        from_namespace: &gateway.namespace,
        to_group: "",
        to_kind: kind,
        to_namespace: namespace,
        to_name: name,
    };
    if is_allowed(objects, &crossing) {
        return Ok((namespace.to_owned(), name.to_owned()));
    }
    let message = format!(
        "no ReferenceGrant in namespace {namespace} lets {} of {} refer to {kind} {name}; its owner must write one",
        gateway.kind, gateway.namespace
    );
    Err(("RefNotPermitted", message))
}

/// The options of ours; those of other domains are theirs.
fn options(tls: &ListenerTls) -> Result<snapshot::ListenerTls, String> {
    let mut made = snapshot::ListenerTls {
        certificates: Vec::new(),
        min_version: TlsVersion::default(),
        cipher_suites: Vec::new(),
        alpn: ALPN.iter().map(ToString::to_string).collect(),
        client: None,
    };
    for (name, value) in &tls.options {
        let Some(option) = name.strip_prefix(OPTION_DOMAIN) else { continue };
        match option {
            "minVersion" => {
                made.min_version = match value.as_str() {
                    "1.2" => TlsVersion::V12,
                    "1.3" => TlsVersion::V13,
                    _ => {
                        return Err(format!(
                            "option {name}: `{value}` is no version; allowed are 1.2 and 1.3"
                        ));
                    }
                }
            }
            "cipherSuites" => made.cipher_suites = chosen(name, value, &CIPHER_SUITES)?,
            "alpn" => made.alpn = chosen(name, value, &ALPN)?,
            _ => {
                return Err(format!(
                    "option {name} is not known; allowed are minVersion, cipherSuites and alpn"
                ));
            }
        }
    }
    check_suites(&made, &format!("option {OPTION_DOMAIN}cipherSuites"))?;
    Ok(made)
}

/// Some suite must fit the lowest version.
fn check_suites(made: &snapshot::ListenerTls, whose: &str) -> Result<(), String> {
    let is_served = |suite: &String| made.min_version == TlsVersion::V12 || !suite.contains("_WITH_");
    if !made.cipher_suites.is_empty() && !made.cipher_suites.iter().any(is_served) {
        return Err(format!("{whose} has no suite of TLS 1.3, the lowest version that is allowed; add one"));
    }
    Ok(())
}

/// Words separated by commas, each of them known.
fn chosen(name: &str, value: &str, known: &[&str]) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if !known.contains(&word) {
            return Err(format!("option {name}: `{word}` is not known; allowed are {}", known.join(", ")));
        }
        if !words.iter().any(|taken| taken == word) {
            words.push(word.to_owned());
        }
    }
    match words.is_empty() {
        true => Err(format!("option {name} is empty; remove it, or choose from {}", known.join(", "))),
        false => Ok(words),
    }
}

/// Domain of the options of ours.
pub(crate) const OPTION_DOMAIN: &str = "igw.opensvc.com/";
