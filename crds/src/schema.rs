//! JSON Schemas of the kinds, from the types.

use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};

use crate::objects::{
    Kind, Metadata, backend::BackendSpec, backend_policy::BackendPolicySpec,
    backend_tls_policy::BackendTlsPolicySpec, certificate::CertificateSpec,
    certificate_issuer::CertificateIssuerSpec, client_policy::ClientPolicySpec, core, gateway::GatewaySpec,
    gateway_class::GatewayClassSpec, gateway_config::GatewayConfigSpec, grpc_route::GrpcRouteSpec,
    http_route::HttpRouteSpec, l4_route::NamelessRouteSpec, l4_route::TlsRouteSpec,
    listener_set::ListenerSetSpec, reference_grant::ReferenceGrantSpec, resolver::ResolverSpec,
    telemetry_policy::TelemetryPolicySpec,
};

/// Schema of a kind (draft 2020-12).
#[must_use]
pub fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Backend => of_spec::<BackendSpec>(kind),
        Kind::BackendPolicy => of_spec::<BackendPolicySpec>(kind),
        Kind::BackendTlsPolicy => of_spec::<BackendTlsPolicySpec>(kind),
        Kind::ClientPolicy => of_spec::<ClientPolicySpec>(kind),
        Kind::Certificate => of_spec::<CertificateSpec>(kind),
        Kind::CertificateIssuer => of_spec::<CertificateIssuerSpec>(kind),
        Kind::Gateway => of_spec::<GatewaySpec>(kind),
        Kind::GatewayClass => of_spec::<GatewayClassSpec>(kind),
        Kind::GatewayConfig => of_spec::<GatewayConfigSpec>(kind),
        Kind::GrpcRoute => of_spec::<GrpcRouteSpec>(kind),
        Kind::HttpRoute => of_spec::<HttpRouteSpec>(kind),
        Kind::ListenerSet => of_spec::<ListenerSetSpec>(kind),
        Kind::ReferenceGrant => of_spec::<ReferenceGrantSpec>(kind),
        Kind::Resolver => of_spec::<ResolverSpec>(kind),
        Kind::TcpRoute | Kind::UdpRoute => of_spec::<NamelessRouteSpec>(kind),
        Kind::TlsRoute => of_spec::<TlsRouteSpec>(kind),
        Kind::XTelemetryPolicy => of_spec::<TelemetryPolicySpec>(kind),
        Kind::ConfigMap => of_content::<core::ConfigMapContent>(kind),
        Kind::Namespace => of_content::<core::NamespaceContent>(kind),
        Kind::Secret => of_content::<core::SecretContent>(kind),
    }
}

/// Every schema with its file name.
#[must_use]
pub fn all() -> Vec<(String, Value)> {
    Kind::ALL.into_iter().map(|kind| (format!("{}.json", kind.singular()), schema(kind))).collect()
}

fn of_spec<T: JsonSchema>(kind: Kind) -> Value {
    let (spec, definitions) = parts::<T>();
    envelope(kind, [("spec".to_owned(), spec)].into_iter().collect(), &["spec"], definitions)
}

fn of_content<T: JsonSchema>(kind: Kind) -> Value {
    let (content, definitions) = parts::<T>();
    let properties = content.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    envelope(kind, properties, &[], definitions)
}

fn envelope(
    kind: Kind,
    own: serde_json::Map<String, Value>,
    required: &[&str],
    mut definitions: Value,
) -> Value {
    let (metadata, more) = parts::<Metadata>();
    let mut properties = serde_json::Map::new();
    let versions: Vec<String> = kind
        .versions()
        .iter()
        .map(|version| match kind.group() {
            "" => (*version).to_owned(),
            group => format!("{group}/{version}"),
        })
        .collect();
    properties.insert("apiVersion".to_owned(), json!({ "enum": versions }));
    properties.insert("kind".to_owned(), json!({ "const": kind.as_str() }));
    properties.insert("metadata".to_owned(), metadata);
    properties.insert("status".to_owned(), json!({ "type": "object" }));
    properties.extend(own);
    if let (Some(definitions), Some(more)) = (definitions.as_object_mut(), more.as_object()) {
        definitions.extend(more.clone());
    }
    let mut all_required = vec!["apiVersion", "kind", "metadata"];
    all_required.extend(required);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.as_str(),
        "type": "object",
        "properties": properties,
        "required": all_required,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// The schema of a type and the definitions it refers to.
fn parts<T: JsonSchema>() -> (Value, Value) {
    let mut schema = schema_for!(T).to_value();
    let definitions = schema.get("$defs").cloned().unwrap_or_else(|| json!({}));
    if let Some(object) = schema.as_object_mut() {
        object.remove("$defs");
        object.remove("$schema");
    }
    (schema, definitions)
}
