//! What is to be certified: Certificates, and the listeners of Gateways that name an issuer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use igw_crds::objects::certificate::{CertificateSpec, KeyAlgorithm};
use igw_crds::objects::certificate_issuer::CertificateIssuerSpec;
use igw_crds::objects::gateway::{GatewaySpec, Listener, ListenerTls, TlsMode};
use igw_crds::objects::meta::SecretObjectReference;
use igw_crds::objects::names::Group;
use igw_crds::objects::names::KindName;
use igw_crds::objects::{Kind, ObjectKey, Spec};

use crate::classes::{ClassOf, classes};
use crate::input::ObjectSet;
use crate::permissions::{Hostnames, default_config};

/// Names that one Secret is to certify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The Certificate or the Gateway.
    pub owner: ObjectKey,
    /// Generation of the owner.
    pub generation: u64,
    /// Names, sorted but for the first of a Certificate.
    pub hostnames: Vec<String>,
    /// Name of the CertificateIssuer in the namespace of the owner.
    pub issuer: String,
    /// The issuer, if there is one.
    pub spec: Option<CertificateIssuerSpec>,
    /// Time before the end at which to renew, in milliseconds; 0 = not said.
    pub renew_before_ms: u64,
    /// Algorithm of the key.
    pub algorithm: KeyAlgorithm,
    /// Why it must not be asked for: reason and message.
    pub refused: Option<(&'static str, String)>,
}

/// All wishes by namespace and name of the Secret. Of two for one Secret the older one counts; the other is refused
/// and stands behind, by its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// By Secret.
    pub by_secret: BTreeMap<(String, String), Wish>,
    /// Those that cannot be granted because their Secret is another one's.
    pub beaten: Vec<((String, String), Wish)>,
}

/// What objects want certified; of one namespace not more than `quota`, the older ones first.
#[must_use]
pub fn wishes(objects: &ObjectSet, quota: Option<u32>) -> Wishes {
    let mut found = Wishes::default();
    let mut granted: BTreeMap<String, u32> = BTreeMap::new();
    let mut within_quota = |mut wish: Wish| {
        if let Some(quota) = quota.filter(|_| wish.refused.is_none()) {
            let n_granted = granted.entry(wish.owner.namespace.to_string()).or_default();
            *n_granted += 1;
            if *n_granted > quota {
                let message = format!(
                    "namespace {} has {quota} certificates already; raise quotas.certificates of GatewayConfig system/default",
                    wish.owner.namespace
                );
                wish.refused = Some(("QuotaExceeded", message));
            }
        }
        wish
    };
    for (key, stored) in objects.by_age(Kind::Certificate) {
        if let Spec::Certificate(spec) = stored.spec() {
            found.add(
                (key.namespace.to_string(), spec.secret_name.as_str().to_owned()),
                within_quota(of_certificate(objects, key, stored.generation, spec)),
            );
        }
    }
    let classes = classes(objects);
    for (key, stored) in objects.by_age(Kind::Gateway) {
        let Spec::Gateway(spec) = stored.spec() else { continue };
        let is_ours = matches!(classes.find(&spec.gateway_class_name), ClassOf::Ours(_));
        let Some(issuer) = stored.object.metadata.annotations.get(ISSUER).filter(|_| is_ours) else {
            continue;
        };
        for (name, hostnames) in of_gateway(objects, key, spec) {
            let wish = Wish {
                owner: key.clone(),
                generation: stored.generation,
                hostnames,
                issuer: issuer.clone(),
                spec: issuer_of(objects, &key.namespace, issuer),
                renew_before_ms: 0,
                algorithm: KeyAlgorithm::default(),
                refused: None,
            };
            found.add((key.namespace.to_string(), name), within_quota(checked(objects, wish)));
        }
    }
    found
}

/// The largest number of certificates of a namespace in a cluster.
#[must_use]
pub fn quota(objects: &ObjectSet) -> Option<u32> {
    default_config(objects)?.quotas.as_ref()?.certificates
}

/// TLS of a listener, with the Secret that a gateway's issuer fills where the listener names none.
#[must_use]
pub fn listener_tls<'l>(
    objects: &ObjectSet,
    gateway: &ObjectKey,
    listener: &'l Listener,
) -> Option<Cow<'l, ListenerTls>> {
    let written = listener.tls.as_ref();
    let is_ended = match listener.protocol.as_str() {
        "HTTPS" => true,
        "TLS" => written.is_some_and(|tls| tls.mode == TlsMode::Terminate),
        _ => false,
    };
    let names_secret = written.is_some_and(|tls| !tls.certificate_refs.is_empty());
    let stored = objects.find(gateway.kind, &gateway.namespace, &gateway.name);
    // The annotation is one of Gateways.
    let stored = stored.filter(|_| gateway.kind == Kind::Gateway);
    let has_issuer = stored.is_some_and(|stored| stored.object.metadata.annotations.contains_key(ISSUER));
    if !is_ended || names_secret || !has_issuer {
        return written.map(Cow::Borrowed);
    }
    let (Ok(group), Ok(kind)) = (Group::parse(""), KindName::parse("Secret")) else {
        return written.map(Cow::Borrowed);
    };
    let name = derived_name(gateway, listener);
    let reference = SecretObjectReference { group, kind, name, namespace: None };
    let options = written.map(|tls| tls.options.clone()).unwrap_or_default();
    Some(Cow::Owned(ListenerTls { mode: TlsMode::Terminate, certificate_refs: vec![reference], options }))
}

/// The Secret of a listener that names none: `<gateway>-<listener>-tls`.
fn derived_name(gateway: &ObjectKey, listener: &Listener) -> String {
    format!("{}-{}-tls", gateway.name, listener.name.as_str())
}

fn of_certificate(objects: &ObjectSet, key: &ObjectKey, generation: u64, spec: &CertificateSpec) -> Wish {
    let issuer = spec.issuer_ref.name.as_str();
    let wish = Wish {
        owner: key.clone(),
        generation,
        hostnames: spec.hostnames.iter().map(|hostname| hostname.as_str().to_owned()).collect(),
        issuer: issuer.to_owned(),
        spec: issuer_of(objects, &key.namespace, issuer),
        renew_before_ms: spec.renew_before.0,
        algorithm: spec.key.unwrap_or_default().algorithm,
        refused: None,
    };
    checked(objects, wish)
}

/// Secrets of a gateway's own namespace with the host names of the listeners that use them.
fn of_gateway(objects: &ObjectSet, key: &ObjectKey, spec: &GatewaySpec) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for listener in &spec.listeners {
        let Some(tls) = listener_tls(objects, key, listener).filter(|tls| tls.mode == TlsMode::Terminate)
        else {
            continue;
        };
        // Without a name there is nothing to certify; the first Secret is the one that names are served with.
        let (Some(hostname), Some(reference)) = (&listener.hostname, tls.certificate_refs.first()) else {
            continue;
        };
        let is_own =
            reference.namespace.as_ref().is_none_or(|namespace| *namespace.as_str() == *key.namespace);
        if is_own && reference.kind.as_str() == "Secret" && reference.group.as_str().is_empty() {
            found.entry(reference.name.clone()).or_default().push(hostname.as_str().to_owned());
        }
    }
    for hostnames in found.values_mut() {
        hostnames.sort_unstable();
        hostnames.dedup();
    }
    found
}

fn issuer_of(objects: &ObjectSet, namespace: &str, name: &str) -> Option<CertificateIssuerSpec> {
    match objects.spec(Kind::CertificateIssuer, namespace, name) {
        Some(Spec::CertificateIssuer(spec)) => Some((**spec).clone()),
        _ => None,
    }
}

/// The wish, refused if its issuer is missing or its namespace may not use its names.
fn checked(objects: &ObjectSet, mut wish: Wish) -> Wish {
    let namespace = wish.owner.namespace.to_string();
    if wish.spec.is_none() {
        let message = format!(
            "there is no CertificateIssuer {} in namespace {namespace}; write it, or correct the reference",
            wish.issuer
        );
        wish.refused = Some(("IssuerNotFound", message));
        return wish;
    }
    let allowed = Hostnames::new(objects, &[]);
    if let Some(hostname) = wish.hostnames.iter().find(|hostname| !allowed.allow(&namespace, Some(hostname)))
    {
        let message = format!(
            "namespace {namespace} may not use {hostname}; add it to allowedHostnames of GatewayConfig system/default"
        );
        wish.refused = Some(("HostnameNotAllowed", message));
    }
    wish
}

// === impl Wishes ===

impl Wishes {
    fn add(&mut self, secret: (String, String), mut wish: Wish) {
        match self.by_secret.get(&secret) {
            Some(first) => {
                let message =
                    format!("Secret {} is that of {} already; choose another name", secret.1, first.owner);
                wish.refused = Some(("SecretInUse", message));
                self.beaten.push((secret, wish));
            }
            None => drop(self.by_secret.insert(secret, wish)),
        }
    }
}

/// Annotation of a Gateway: the CertificateIssuer of its namespace that certifies its listeners' host names.
pub const ISSUER: &str = "igw.opensvc.com/issuer";
