//! Rules of Gateway and ListenerSet.

use std::collections::HashSet;

use serde_json::Value;

use super::Broken;
use super::common::{has, items, list, text};
use crate::objects::names::is_subdomain;

/// Listeners that end no TLS have none.
pub(super) fn no_tls(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let (index, one) =
        find(now, |one| matches!(text(one, "protocol"), "HTTP" | "TCP" | "UDP") && has(one, "tls"))?;
    Some(
        Broken::new(format!("[{index}].tls"), format!("a listener of {} has no TLS", text(one, "protocol")))
            .hints("remove `tls`, or use HTTPS or TLS"),
    )
}

/// A listener of HTTPS ends TLS itself.
pub(super) fn https_ends(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let (index, _) = find(now, |one| {
        let mode = one.get("tls").map(|tls| text(tls, "mode"));
        text(one, "protocol") == "HTTPS" && mode.is_some_and(|mode| !matches!(mode, "" | "Terminate"))
    })?;
    Some(
        Broken::new(format!("[{index}].tls.mode"), "a listener of HTTPS ends TLS itself").allows("Terminate"),
    )
}

/// A listener of TLS says who ends it.
pub(super) fn tls_mode(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let (index, _) = find(now, |one| {
        let mode = one.get("tls").map(|tls| text(tls, "mode"));
        text(one, "protocol") == "TLS" && mode.is_none_or(str::is_empty)
    })?;
    Some(
        Broken::new(format!("[{index}]"), "a listener of TLS needs `tls` with a mode")
            .hints("add `tls: {mode: Passthrough}` or Terminate"),
    )
}

/// Streams and datagrams are for no host.
pub(super) fn no_hostname(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_wrong =
        |one: &Value| matches!(text(one, "protocol"), "TCP" | "UDP") && !text(one, "hostname").is_empty();
    let (index, one) = find(now, is_wrong)?;
    let protocol = text(one, "protocol");
    Some(
        Broken::new(format!("[{index}].hostname"), format!("a listener of {protocol} has no hostname"))
            .hints("remove `hostname`"),
    )
}

/// Port, protocol and host name tell listeners apart.
pub(super) fn distinct_places(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let mut seen = HashSet::new();
    let place = |one: &Value| {
        let part = |name| one.get(name).map(Value::to_string);
        (part("port"), part("protocol"), part("hostname"))
    };
    let index = items(now).iter().position(|one| !seen.insert(place(one)))?;
    Some(
        Broken::new(format!("[{index}]"), "port, protocol and hostname are those of another listener")
            .hints("change one of the three"),
    )
}

/// Filters before routing are of HTTP.
pub(super) fn filters_of_http(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_broken = has(now, "filters") && !matches!(text(now, "protocol"), "HTTP" | "HTTPS");
    is_broken.then(|| {
        Broken::new(".filters", "only listeners of HTTP and HTTPS have filters").hints("remove `filters`")
    })
}

/// Whoever ends TLS has a certificate, or an option that stands for one.
pub(super) fn certificates(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let n_options = now.get("options").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let is_broken =
        text(now, "mode") == "Terminate" && list(now, "certificateRefs").is_empty() && n_options == 0;
    is_broken.then(|| Broken::new("", "no certificate").hints("add `certificateRefs`"))
}

/// Bundles of authorities belong to the whole cluster.
pub(super) fn bundles(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let (index, _) = find(now, |one| {
        let is_bundle =
            text(one, "group") == "certificates.k8s.io" && text(one, "kind") == "ClusterTrustBundle";
        is_bundle && has(one, "namespace")
    })?;
    Some(
        Broken::new(format!("[{index}].namespace"), "a ClusterTrustBundle has no namespace")
            .hints("remove `namespace`"),
    )
}

/// An address stands twice.
pub(super) fn distinct_values(now: &Value, word: &str) -> Option<Broken> {
    let mut seen = HashSet::new();
    let (index, one) = find(now, |one| {
        text(one, "type") == word && has(one, "value") && !seen.insert(text(one, "value").to_owned())
    })?;
    let message = format!("`{}` stands twice", text(one, "value"));
    Some(Broken::new(format!("[{index}].value"), message).hints("remove one of the two"))
}

/// The value of an address of type Hostname is one.
pub(super) fn host_name(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let value = now.get("value").and_then(Value::as_str).filter(|_| text(now, "type") == "Hostname")?;
    let is_broken = !is_subdomain(value.strip_prefix("*.").unwrap_or(value));
    is_broken.then(|| {
        Broken::new(".value", format!("`{value}` is no host name")).allows("a DNS name in lower case")
    })
}

/// From where an address is reached.
pub(super) fn routability(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let word = now.as_str().unwrap_or_default();
    let is_named = word.split_once('/').is_some_and(|(domain, name)| {
        let is_theirs = domain == "k8s.io" || domain.ends_with(".k8s.io");
        is_subdomain(domain) && domain.len() <= 253 && !is_theirs && !name.is_empty() && !word.contains('\n')
    });
    let is_broken = !(word.is_empty() || word == "Cluster" || is_named);
    is_broken.then(|| {
        Broken::new("", format!("`{word}` is no routability"))
            .allows("Cluster, or a name with a domain that is not one of Kubernetes")
    })
}

/// Keys of labels and annotations have their form.
pub(super) fn label_keys(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let key = now.as_object()?.keys().find(|key| !is_label_key(key))?;
    Some(
        Broken::new("", format!("`{key}` is no key"))
            .allows("an optional domain and `/`, then letters, digits, `-`, `_` and `.`, at most 63"),
    )
}

/// What stands before the first slash of a key is no longer than a domain.
pub(super) fn short_domains(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_long = |key: &&String| key.split('/').next().unwrap_or_default().chars().count() >= 253;
    let key = now.as_object()?.keys().find(is_long)?;
    let domain = key.split('/').next().unwrap_or_default();
    let message = format!("a domain of {} characters", domain.chars().count());
    Some(Broken::new("", message).allows("fewer than 253 characters"))
}

/// An optional domain, and a name.
fn is_label_key(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let bytes = name.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    domain.is_none_or(is_subdomain)
        && bytes.len() <= 63
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn find(now: &Value, mut is_wrong: impl FnMut(&Value) -> bool) -> Option<(usize, &Value)> {
    items(now).iter().enumerate().find(|(_, one)| is_wrong(one))
}
