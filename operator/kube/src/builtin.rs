//! The kinds of igw as clients see them.

use std::sync::Arc;

use igw_crds::objects::Kind;
use serde_json::{Value, json};

use crate::answers::openapi;
use crate::column::{Cell, Column};
use crate::list_keys::ListKeys;
use crate::resource::{Resource, Scope, Style, Verbs};
use crate::tree;
use crate::typed::Typed;

/// A kind of igw.
pub(crate) fn resource(kind: Kind) -> Resource {
    let scope = if kind.is_namespaced() { Scope::Namespaced } else { Scope::Cluster };
    let is_core = kind.group().is_empty();
    let has_status =
        !matches!(kind, Kind::ReferenceGrant | Kind::Secret | Kind::ConfigMap | Kind::GatewayConfig);
    let schema = openapi::schema_of(kind);
    Resource {
        versions: kind.versions().iter().map(|version| Arc::from(*version)).collect(),
        short_names: kind.short_names().iter().map(|name| Arc::from(*name)).collect(),
        categories: match kind.group() {
            GATEWAY_API | EXPERIMENTS => vec![Arc::from("gateway-api")],
            "" => Vec::new(),
            _ => vec![Arc::from("igw")],
        },
        style: if is_core { Style::Core } else { Style::Custom },
        has_status,
        schema: schema.clone(),
        columns: columns(kind),
        list_keys: list_keys(kind),
        admission: Arc::new(Typed { kind, schema }),
        ..Resource::new(kind.group(), kind.version(), kind.as_str(), kind.plural(), scope)
    }
}

/// Events: kubectl asks for them whenever it describes something. There are none.
pub(crate) fn events() -> Resource {
    Resource {
        short_names: vec![Arc::from("ev")],
        style: Style::Core,
        verbs: Verbs::Read,
        columns: vec![
            Column::new("Last Seen", "", Cell::Field("lastTimestamp")),
            Column::new("Type", "", Cell::Field("type")),
            Column::new("Reason", "", Cell::Field("reason")),
            Column::new("Message", "", Cell::Field("message")),
        ],
        ..Resource::new("", "v1", "Event", "events", Scope::Namespaced)
    }
}

/// Services: what stands for gateways, made by whoever owns the objects.
pub(crate) fn services() -> Resource {
    Resource {
        short_names: vec![Arc::from("svc")],
        style: Style::Core,
        verbs: Verbs::Read,
        has_status: true,
        columns: vec![
            Column::new("Type", "Type.", Cell::Field("spec.type")),
            Column::new("External-IP", "Where it is reached.", Cell::Made(ingress)),
            Column::new("Port(s)", "Ports.", Cell::Made(ports)),
            Column::age(),
        ],
        ..Resource::new("", "v1", "Service", "services", Scope::Namespaced)
    }
}

fn columns(kind: Kind) -> Vec<Column> {
    const ACCEPTED: Column = Column::new("Accepted", "Whether it is taken.", Cell::Condition("Accepted"));
    const PROGRAMMED: Column =
        Column::new("Programmed", "Whether it works now.", Cell::Condition("Programmed"));
    const HOSTNAMES: Column =
        Column::new("Hostnames", "Host names it is for.", Cell::Field("spec.hostnames"));
    const READY: Column = Column::new("Ready", "Whether it can be used.", Cell::Condition("Ready"));
    let mut columns = match kind {
        Kind::GatewayClass => vec![
            Column::new("Controller", "Who serves the class.", Cell::Field("spec.controllerName")),
            ACCEPTED,
            Column::age(),
            Column::wide("Description", "What the class is for.", Cell::Field("spec.description")),
        ],
        Kind::Gateway => vec![
            Column::new("Class", "Class.", Cell::Field("spec.gatewayClassName")),
            Column::new("Address", "Where it is reached.", Cell::Made(addresses)),
            PROGRAMMED,
        ],
        Kind::HttpRoute | Kind::GrpcRoute => vec![HOSTNAMES],
        Kind::ListenerSet => vec![ACCEPTED, PROGRAMMED],
        Kind::Secret => vec![
            Column::new("Type", "Type.", Cell::Field("type")),
            Column::new("Data", "Number of values.", Cell::Count(&["data"])),
        ],
        Kind::ConfigMap => {
            vec![Column::new("Data", "Number of values.", Cell::Count(&["data", "binaryData"]))]
        }
        Kind::Namespace => vec![Column::new("Status", "Phase.", Cell::Field("status.phase"))],
        Kind::Certificate => {
            vec![READY, Column::new("Secret", "Where the certificate is.", Cell::Field("spec.secretName"))]
        }
        Kind::CertificateIssuer => vec![READY],
        _ => Vec::new(),
    };
    if kind != Kind::GatewayClass {
        columns.push(Column::age());
    }
    columns
}

fn ingress(object: &Value) -> Value {
    let entries = tree::at(object, "status.loadBalancer.ingress").and_then(Value::as_array);
    let addresses = entries.into_iter().flatten().filter_map(|entry| entry.get("ip")?.as_str());
    Value::String(addresses.collect::<Vec<_>>().join(","))
}

fn ports(object: &Value) -> Value {
    let entries = tree::at(object, "spec.ports").and_then(Value::as_array);
    let ports = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(format!("{}/{}", entry.get("port")?, entry.get("protocol")?.as_str()?)));
    Value::String(ports.collect::<Vec<_>>().join(","))
}

fn addresses(object: &Value) -> Value {
    let addresses = tree::at(object, "status.addresses").and_then(Value::as_array);
    let values = addresses.into_iter().flatten().filter_map(|address| address.get("value")?.as_str());
    Value::String(values.collect::<Vec<_>>().join(","))
}

/// As upstream: nearly every list is replaced whole.
fn list_keys(kind: Kind) -> ListKeys {
    const CONDITIONS: (&str, &[&str]) = ("status.conditions", &["type"]);
    match kind {
        Kind::Gateway => ListKeys::new(&[
            ("spec.listeners", &["name"]),
            ("spec.tls.frontend.perPort", &["port"]),
            ("status.listeners", &["name"]),
            ("status.listeners.conditions", &["type"]),
            CONDITIONS,
        ]),
        Kind::ListenerSet => ListKeys::new(&[
            ("spec.listeners", &["name"]),
            ("status.listeners", &["name"]),
            ("status.listeners.conditions", &["type"]),
            CONDITIONS,
        ]),
        _ => ListKeys::new(&[CONDITIONS, ("metadata.ownerReferences", &["uid"])]),
    }
}

/// The default status of namespaces.
pub(crate) fn active() -> Value {
    json!({ "phase": "Active" })
}

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const EXPERIMENTS: &str = "gateway.networking.x-k8s.io";
