//! Rules of Gateway.

use std::collections::HashSet;

use super::Problems;
use super::external_auth::external_auth;
use crate::objects::gateway::{FromNamespaces, GatewaySpec, Listener, ListenerFilterType, TlsMode};
use crate::objects::listener_set::ListenerSetSpec;
use crate::objects::names::{ControllerName, Group, Hostname};
use crate::yaml::Fault;

pub(crate) fn gateway(spec: &GatewaySpec, problems: &mut Problems) {
    problems.length("spec.gatewayClassName", spec.gateway_class_name.chars().count(), 1, 253, "characters");
    problems.length("spec.addresses", spec.addresses.len(), 0, 16, "addresses");
    listeners(&spec.listeners, problems);
    let mut values = HashSet::new();
    for (index, address) in spec.addresses.iter().enumerate() {
        let field = format!("spec.addresses[{index}]");
        let is_ip = address.r#type == "IPAddress";
        if is_ip && !address.value.is_empty() && address.value.parse::<std::net::IpAddr>().is_err() {
            problems
                .add(format!("{field}.value"), format!("`{}` is no IP address", address.value))
                .allows("an IPv4 or IPv6 address");
        }
        if !matches!(address.r#type.as_str(), "IPAddress" | "Hostname" | "NamedAddress")
            && ControllerName::parse(address.r#type.clone()).is_err()
        {
            problems
                .add(format!("{field}.type"), format!("`{}` is no type of address", address.r#type))
                .allows("IPAddress, Hostname, NamedAddress, or a domain-prefixed name");
        }
        if address.r#type == "Hostname"
            && !address.value.is_empty()
            && Hostname::parse(address.value.clone()).is_err()
        {
            problems
                .add(format!("{field}.value"), format!("`{}` is no host name", address.value))
                .allows("a DNS name in lower case");
        }
        let is_told_apart = matches!(address.r#type.as_str(), "IPAddress" | "Hostname");
        if is_told_apart && !address.value.is_empty() && !values.insert((&address.r#type, &address.value)) {
            problems
                .add(format!("{field}.value"), format!("`{}` stands twice", address.value))
                .is_a(Fault::Duplicate)
                .hints("remove one of the two");
        }
    }
    if let Some(frontend) = spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) {
        let mut ports = HashSet::new();
        for (index, per_port) in frontend.per_port.iter().enumerate() {
            if !ports.insert(per_port.port) {
                problems
                    .add(format!("spec.tls.frontend.perPort[{index}].port"), "the port stands twice")
                    .is_a(Fault::Duplicate);
            }
        }
    }
    if let Some(infrastructure) = &spec.infrastructure {
        for (part, entries) in
            [("labels", &infrastructure.labels), ("annotations", &infrastructure.annotations)]
        {
            for key in entries.keys().filter(|key| !is_label_key(key)) {
                problems
                    .add(format!("spec.infrastructure.{part}"), format!("`{key}` is no key"))
                    .allows("an optional domain and `/`, then letters, digits, `-`, `_` and `.`, at most 63");
            }
        }
        problems.length("spec.infrastructure.labels", infrastructure.labels.len(), 0, 8, "labels");
        problems.length(
            "spec.infrastructure.annotations",
            infrastructure.annotations.len(),
            0,
            16,
            "annotations",
        );
    }
}

pub(crate) fn listener_set(spec: &ListenerSetSpec, problems: &mut Problems) {
    listeners(&spec.listeners, problems);
}

/// An optional domain, and a name.
fn is_label_key(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let bytes = name.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    domain.is_none_or(|domain| !domain.is_empty() && Group::parse(domain).is_ok())
        && bytes.len() <= 63
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn listeners(listeners: &[Listener], problems: &mut Problems) {
    problems.length("spec.listeners", listeners.len(), 1, 64, "listeners");
    problems.unique("spec.listeners", ".name", listeners.iter().map(|listener| listener.name.as_str()));
    let mut places = HashSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let field = format!("spec.listeners[{index}]");
        self::listener(&field, listener, problems);
        let place =
            (listener.port, listener.protocol.as_str(), listener.hostname.as_ref().map(|name| name.as_str()));
        if !places.insert(place) {
            problems
                .add(field, "port, protocol and hostname are those of another listener")
                .hints("change one of the three");
        }
    }
}

fn listener(field: &str, listener: &Listener, problems: &mut Problems) {
    let protocol = listener.protocol.as_str();
    problems.length(
        &format!("{field}.allowedRoutes.kinds"),
        listener.allowed_routes.kinds.len(),
        0,
        8,
        "kinds",
    );
    if matches!(protocol, "TCP" | "UDP") && listener.hostname.is_some() {
        problems
            .add(format!("{field}.hostname"), format!("a {protocol} listener has no hostname"))
            .hints("remove `hostname`");
    }
    match (&listener.tls, protocol) {
        (Some(_), "HTTP" | "TCP" | "UDP") => {
            problems
                .add(format!("{field}.tls"), format!("a {protocol} listener has no TLS"))
                .hints("remove `tls`, or use HTTPS or TLS");
        }
        (Some(tls), "HTTPS") if tls.mode != TlsMode::Terminate => {
            problems
                .add(format!("{field}.tls.mode"), "an HTTPS listener ends TLS itself")
                .allows("Terminate");
        }
        (Some(tls), "HTTPS" | "TLS")
            if tls.mode == TlsMode::Terminate
                && tls.certificate_refs.is_empty()
                && tls.options.is_empty() =>
        {
            problems.add(format!("{field}.tls"), "no certificate").hints("add `certificateRefs`");
        }
        (None, "TLS") => {
            problems
                .add(field, "a TLS listener needs `tls` with a mode")
                .hints("add `tls: {mode: Passthrough}` or Terminate");
        }
        _ => {}
    }
    filters(field, listener, problems);
    let namespaces = &listener.allowed_routes.namespaces;
    if namespaces.from == FromNamespaces::Selector && namespaces.selector.is_none() {
        problems
            .add(format!("{field}.allowedRoutes.namespaces"), "`from: Selector` needs a selector")
            .hints("add `selector`");
    }
}

/// Filters belong to listeners whose requests are seen.
fn filters(field: &str, listener: &Listener, problems: &mut Problems) {
    use ListenerFilterType as Type;
    let Some(filters) = &listener.filters else { return };
    let protocol = listener.protocol.as_str();
    let field = format!("{field}.filters");
    if !matches!(protocol, "HTTP" | "HTTPS") {
        problems
            .add(&field, format!("a {protocol} listener sees no requests"))
            .hints("remove `filters`, or use HTTP or HTTPS");
    }
    problems.length(&format!("{field}.requests"), filters.requests.len(), 0, 16, "filters");
    for (index, filter) in filters.requests.iter().enumerate() {
        let field = format!("{field}.requests[{index}]");
        let present = [
            (Type::ExternalAuth, "externalAuth", filter.external_auth.is_some()),
            (Type::ExtensionRef, "extensionRef", filter.extension_ref.is_some()),
        ];
        problems.only_of_type(&field, filter.r#type, &present);
        if let Some(auth) = &filter.external_auth {
            external_auth(&format!("{field}.externalAuth"), auth, problems);
        }
    }
}
