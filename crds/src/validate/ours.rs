//! Rules of our own kinds, and of Secret.

use super::Problems;
use crate::objects::backend::BackendSpec;
use crate::objects::backend_policy::BackendPolicySpec;
use crate::objects::core::SecretContent;
use crate::objects::gateway_config::GatewayConfigSpec;
use crate::objects::resolver::ResolverSpec;

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
