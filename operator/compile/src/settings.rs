//! GatewayConfigs become settings: the class's, then the default one's, then the gateway's own count in turn.

use igw_crds::objects::gateway::GatewaySpec;
use igw_crds::objects::gateway_config::{AccessLogFormat, GatewayConfigSpec, Unredacted};
use igw_crds::objects::meta::ObjectReference;
use igw_crds::objects::names::{Namespace, TimeSpan};
use igw_crds::objects::quantity::AutoNumber;
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::{AccessLog, LogFormat, LogOutput, Settings};

use crate::input::ObjectSet;
use crate::permissions::default_config;

/// The reference of a gateway to a GatewayConfig of its own, which is in its namespace.
pub(crate) fn own_reference(key: &ObjectKey, spec: &GatewaySpec) -> Option<ObjectReference> {
    let reference = spec.infrastructure.as_ref()?.parameters_ref.as_ref()?;
    Some(ObjectReference {
        group: reference.group.clone(),
        kind: reference.kind.clone(),
        name: reference.name.clone(),
        namespace: Namespace::parse(key.namespace.to_string()).ok(),
    })
}

/// The GatewayConfig that a reference names.
pub(crate) fn find<'o>(
    objects: &'o ObjectSet,
    reference: &ObjectReference,
) -> Result<&'o GatewayConfigSpec, String> {
    if reference.group.as_str() != "igw.opensvc.com" || reference.kind.as_str() != "GatewayConfig" {
        return Err(format!(
            "parametersRef names a {}; write group igw.opensvc.com and kind GatewayConfig",
            reference.kind
        ));
    }
    let namespace = reference.namespace.as_ref().map_or("system", |namespace| namespace.as_str());
    match objects.find(Kind::GatewayConfig, namespace, &reference.name).map(|stored| stored.spec()) {
        Some(Spec::GatewayConfig(spec)) => Ok(spec),
        _ => Err(format!(
            "GatewayConfig {namespace}/{} does not exist; write it, or remove parametersRef",
            reference.name
        )),
    }
}

/// Settings from the least to the most specific GatewayConfig.
pub(crate) fn settings(objects: &ObjectSet, specific: &[&GatewayConfigSpec]) -> Settings {
    let mut settings = Settings::default();
    for spec in default_config(objects).into_iter().chain(specific.iter().copied()) {
        apply(spec, &mut settings);
    }
    settings
}

fn apply(spec: &GatewayConfigSpec, settings: &mut Settings) {
    if let Some(drain) = &spec.drain {
        span(&drain.timeout, &mut settings.drain_ms);
        span(&drain.tunnels, &mut settings.drain_tunnels_ms);
    }
    if let Some(log) = &spec.access_log {
        settings.access_log = Some(AccessLog {
            format: match log.format {
                AccessLogFormat::Text => LogFormat::Text,
                AccessLogFormat::Json => LogFormat::Json,
            },
            output: match log.output.as_str() {
                "stdout" => LogOutput::Stdout,
                path => LogOutput::File(path.to_owned()),
            },
            sample: log.sample,
            unredacted_query: log.unredacted.contains(&Unredacted::Query),
        });
    }
    if let Some(limits) = &spec.limits {
        match limits.max_connections {
            Some(AutoNumber::Number(number)) => settings.max_connections = Some(number),
            Some(AutoNumber::Auto) => settings.max_connections = None,
            None => {}
        }
        if let Some(size) = limits.request_header_bytes {
            settings.head_bytes = u32::try_from(size.0).unwrap_or(u32::MAX);
        }
        number(limits.request_header_fields, &mut settings.head_fields);
        span(&limits.header_timeout, &mut settings.head_timeout_ms);
        span(&limits.idle_timeout, &mut settings.idle_timeout_ms);
        number(limits.body_min_rate, &mut settings.body_min_rate);
        span(&limits.body_grace, &mut settings.body_grace_ms);
        number(limits.requests_per_connection, &mut settings.requests_per_connection);
        number(limits.connections_per_source, &mut settings.connections_per_source);
        number(limits.udp_flows_per_source, &mut settings.udp_flows_per_source);
        number(limits.udp_reply_factor, &mut settings.udp_reply_factor);
        span(&limits.handshake_timeout, &mut settings.handshake_timeout_ms);
    }
    if let Some(timeouts) = &spec.timeouts {
        span(&timeouts.connect, &mut settings.connect_timeout_ms);
        span(&timeouts.backend_request, &mut settings.backend_timeout_ms);
        span(&timeouts.backend_idle, &mut settings.backend_idle_ms);
        span(&timeouts.tunnel_idle, &mut settings.tunnel_idle_ms);
        span(&timeouts.udp_idle, &mut settings.udp_idle_ms);
    }
}

fn span(from: &Option<TimeSpan>, to: &mut u64) {
    if let Some(span) = from {
        *to = span.as_millis();
    }
}

fn number(from: Option<u32>, to: &mut u32) {
    if let Some(number) = from {
        *to = number;
    }
}
