//! Rules of our own kinds, and of Secret.

use super::Problems;
use crate::objects::backend::BackendSpec;
use crate::objects::backend_policy::BackendPolicySpec;
use crate::objects::client_policy::ClientPolicySpec;
use crate::objects::core::SecretContent;
use crate::objects::gateway_config::GatewayConfigSpec;
use crate::objects::names::{Cidr, HeaderName};
use crate::objects::resolver::ResolverSpec;
use crate::snapshot::{ALPN, CIPHER_SUITES};

pub(crate) fn backend(spec: &BackendSpec, problems: &mut Problems) {
    problems.length("spec.endpoints", spec.endpoints.len(), 1, 1024, "endpoints");
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        let field = format!("spec.endpoints[{index}]");
        let n_forms = [endpoint.ip.is_some(), endpoint.fqdn.is_some(), endpoint.unix.is_some()]
            .into_iter()
            .filter(|form| *form)
            .count();
        if n_forms != 1 {
            problems.add(&field, format!("{n_forms} of `ip`, `fqdn` and `unix`")).allows("exactly one");
        }
        if let Some(unix) = &endpoint.unix
            && (!unix.path.starts_with('/') || unix.path.len() > 107 || unix.path.contains('\0'))
        {
            problems
                .add(format!("{field}.unix.path"), format!("`{}` is no socket path", unix.path))
                .allows("an absolute path of at most 107 bytes");
        }
    }
}

pub(crate) fn backend_policy(spec: &BackendPolicySpec, problems: &mut Problems) {
    problems.length("spec.targetRefs", spec.target_refs.len(), 1, 16, "targets");
    if let Some(check) = spec.health_check.as_ref().and_then(|health| health.active.as_ref()) {
        let field = "spec.healthCheck.active";
        if check.http.is_some() && check.tcp.is_some() {
            problems.add(field, "`http` and `tcp` exclude each other").hints("remove one of the two");
        }
        let is_off = check.http.is_none() && check.tcp.is_none();
        let has_settings = check.interval.is_some()
            || check.timeout.is_some()
            || check.rise.is_some()
            || check.fall.is_some();
        if is_off && has_settings {
            problems
                .add(field, "neither `http` nor `tcp`")
                .hints("add `http: {path: /}` or `tcp: {}`; `{}` alone turns checks off");
        }
        if let Some(http) = &check.http {
            let is_path =
                http.path.starts_with('/') && http.path.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
            if !is_path {
                problems
                    .add(format!("{field}.http.path"), format!("`{}` is no path", http.path))
                    .allows("a path that begins with `/`");
            }
            let is_method =
                !http.method.is_empty() && http.method.bytes().all(|byte| byte.is_ascii_uppercase());
            if !is_method {
                problems
                    .add(format!("{field}.http.method"), format!("`{}` is no method", http.method))
                    .allows("a method in upper case, like GET");
            }
            let is_host =
                http.hostname.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
            if !is_host {
                problems
                    .add(format!("{field}.http.hostname"), format!("`{}` is no host", http.hostname))
                    .allows("a name, with a port if need be");
            }
        }
        for (name, count) in [("rise", check.rise), ("fall", check.fall)] {
            if count.is_some_and(|count| !(1..=100).contains(&count)) {
                problems.add(format!("{field}.{name}"), "is out of range").allows("1 to 100");
            }
        }
        for (name, span) in [("interval", &check.interval), ("timeout", &check.timeout)] {
            if span.as_ref().is_some_and(|span| span.as_millis() < 10) {
                problems.add(format!("{field}.{name}"), "is too short").allows("10ms or more");
            }
        }
    }
    if let Some(health) = &spec.health_check {
        if health.panic_threshold.is_some_and(|percent| percent > 100) {
            problems.add("spec.healthCheck.panicThreshold", "is out of range").allows("0 to 100");
        }
        if let Some(passive) = &health.passive {
            if passive.max_ejection_percent.is_some_and(|percent| percent > 100) {
                problems
                    .add("spec.healthCheck.passive.maxEjectionPercent", "is out of range")
                    .allows("0 to 100");
            }
            if passive.consecutive_errors == Some(0) {
                problems
                    .add("spec.healthCheck.passive.consecutiveErrors", "is out of range")
                    .allows("1 or more; `passive: {}` turns it off");
            }
        }
    }
    if let Some(discovery) = &spec.discovery {
        if discovery.slots.is_some_and(|slots| slots > 1024) {
            problems.add("spec.discovery.slots", "is out of range").allows("0 to 1024");
        }
        if let (Some(min), Some(max)) = (&discovery.min_ttl, &discovery.max_ttl)
            && min.as_millis() > max.as_millis()
        {
            problems
                .add("spec.discovery.minTTL", format!("{min} is longer than maxTTL"))
                .allows(format!("at most {max}"));
        }
    }
}

pub(crate) fn client_policy(spec: &ClientPolicySpec, problems: &mut Problems) {
    problems.length("spec.targetRefs", spec.target_refs.len(), 1, 16, "targets");
    for (index, target) in spec.target_refs.iter().enumerate() {
        if target.group.as_str() != "gateway.networking.k8s.io" || target.kind.as_str() != "Gateway" {
            problems
                .add(format!("spec.targetRefs[{index}].kind"), format!("{} is no target", target.kind))
                .allows("kind Gateway of group gateway.networking.k8s.io");
        }
    }
    networks("spec.trustedProxies", &spec.trusted_proxies, 0, problems);
    if let Some(proxy) = &spec.proxy_protocol {
        networks("spec.proxyProtocol.trusted", &proxy.trusted, 1, problems);
    }
    if let Some(hsts) = &spec.hsts {
        // What the lists of browsers ask for.
        let is_listable = hsts.include_sub_domains && hsts.max_age.as_millis() >= 31_536_000_000;
        if hsts.preload && !is_listable {
            problems
                .add("spec.hsts.preload", "lists of browsers take it only with more")
                .hints("set `includeSubDomains: true` and a `maxAge` of at least 8760h");
        }
    }
    if let Some(tls) = &spec.tls {
        known("spec.tls.cipherSuites", &tls.cipher_suites, &CIPHER_SUITES, problems);
        known("spec.tls.alpn", &tls.alpn, &ALPN, problems);
        let name = tls.client_subject_header.to_ascii_lowercase();
        if !name.is_empty() && HeaderName::parse(name.clone()).is_err() {
            problems
                .add("spec.tls.clientSubjectHeader", format!("`{name}` is no field name"))
                .allows("letters, digits and !#$%&'*+-.^_`|~");
        }
        if OWN_FIELDS.contains(&name.as_str()) || name.starts_with("x-forwarded-") {
            problems
                .add("spec.tls.clientSubjectHeader", format!("`{name}` is a field of the gateway or of HTTP"))
                .hints("choose another name, like x-client-subject");
        }
    }
    if spec
        .http2
        .as_ref()
        .and_then(|http2| http2.max_concurrent_streams)
        .is_some_and(|n_streams| !(1..=1000).contains(&n_streams))
    {
        problems.add("spec.http2.maxConcurrentStreams", "is out of range").allows("1 to 1000");
    }
}

fn networks(field: &str, networks: &[Cidr], min: usize, problems: &mut Problems) {
    problems.length(field, networks.len(), min, 64, "networks");
}

fn known(field: &str, words: &[String], known: &[&str], problems: &mut Problems) {
    for (index, word) in words.iter().enumerate() {
        if !known.contains(&word.as_str()) {
            problems
                .add(format!("{field}[{index}]"), format!("`{word}` is not known"))
                .allows(known.join(", "));
        }
    }
    problems.unique(field, "", words.iter().map(String::as_str));
}

pub(crate) fn gateway_config(spec: &GatewayConfigSpec, problems: &mut Problems) {
    if let Some(limits) = &spec.limits {
        if limits.request_header_bytes.is_some_and(|size| !(1024..=262_144).contains(&size.0)) {
            problems.add("spec.limits.requestHeaderBytes", "is out of range").allows("1Ki to 256Ki");
        }
        if limits.request_header_fields.is_some_and(|fields| !(1..=128).contains(&fields)) {
            problems.add("spec.limits.requestHeaderFields", "is out of range").allows("1 to 128");
        }
    }
    if let Some(log) = &spec.access_log {
        if !(0.0..=1.0).contains(&log.sample) {
            problems.add("spec.accessLog.sample", "is out of range").allows("0 to 1");
        }
        if log.output != "stdout" && !log.output.starts_with('/') {
            problems
                .add("spec.accessLog.output", format!("`{}` is no output", log.output))
                .allows("`stdout` or an absolute path");
        }
    }
}

pub(crate) fn resolver(spec: &ResolverSpec, problems: &mut Problems) {
    problems.length("spec.nameservers", spec.nameservers.len(), 0, 16, "servers");
    if spec.edns_payload.is_some_and(|bytes| !(512..=8192).contains(&bytes)) {
        problems.add("spec.ednsPayload", "is out of range").allows("512 to 8192");
    }
    if spec.retries.is_some_and(|retries| retries > 10) {
        problems.add("spec.retries", "is out of range").allows("0 to 10");
    }
    if spec.timeout.as_ref().is_some_and(|timeout| !(10..=60_000).contains(&timeout.as_millis())) {
        problems.add("spec.timeout", "is out of range").allows("10ms to 1m");
    }
}

pub(crate) fn secret(content: &SecretContent, problems: &mut Problems) {
    use base64::Engine as _;
    for (name, value) in &content.data {
        let compact: String = value.split_whitespace().collect();
        if base64::engine::general_purpose::STANDARD.decode(compact).is_err() {
            problems
                .add(format!("data.{name}"), "is not base64")
                .hints("encode the value, or write it as text under `stringData`");
        }
    }
    if content.r#type == "kubernetes.io/tls" {
        for name in ["tls.crt", "tls.key"] {
            if !content.data.contains_key(name) && !content.string_data.contains_key(name) {
                problems.add("data", format!("`{name}` is missing")).hints(format!("add `{name}`"));
            }
        }
    }
}

/// Fields that frame or route a request, or that the gateway writes itself.
const OWN_FIELDS: [&str; 14] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "keep-alive",
    "proxy",
    "proxy-connection",
    "forwarded",
    "x-real-ip",
    "x-request-id",
];
