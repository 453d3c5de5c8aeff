//! What stands for a gateway outside the Gateway API: a Service of type LoadBalancer, as clients of Kubernetes look for
//! one. It is made of the Gateway and cannot be written.

use igw_crds::objects::gateway::GatewaySpec;
use igw_crds::objects::{ObjectKey, Spec};
use igw_kube::{Place, Registry, Seen};
use serde_json::{Map, Value, json};

use super::document::identity;
use crate::cluster::layout::gateway_object;
use crate::objects::view::Shown;

/// Where the Service of a gateway shows.
pub(super) fn place(registry: &Registry, gateway: &ObjectKey) -> Option<Place> {
    let resource = registry.find("", "services")?;
    Some(Place::new(resource, &gateway.namespace, &gateway_object(&gateway.name)))
}

/// The Service of an object, if that is a gateway.
pub(super) fn seen(registry: &Registry, shown: &Shown) -> Option<Seen> {
    let Spec::Gateway(spec) = &shown.object.spec else { return None };
    let place = place(registry, &shown.object.key)?;
    let addresses = shown.status.as_deref().and_then(|status| status.pointer("/addresses")?.as_array());
    let addresses = addresses.into_iter().flatten().filter_map(|address| address.get("value"));
    let ingress: Vec<Value> = addresses.map(|address| json!({ "ip": address })).collect();
    let mut identity = shown.record.as_ref().map(identity).unwrap_or_default();
    // It is another object than the gateway.
    identity.uid = identity.uid.map(|uid| format!("{uid}-service"));
    Some(Seen {
        object: json!({
            "metadata": { "labels": labels(&shown.object.key.name, spec), "annotations": annotations(spec) },
            "spec": { "type": "LoadBalancer", "ports": ports(spec) },
        }),
        status: Some(json!({ "loadBalancer": { "ingress": ingress } })),
        place,
        identity,
    })
}

/// Those that `infrastructure` asks for, and the one by which clients find what belongs to a gateway.
fn labels(gateway: &str, spec: &GatewaySpec) -> Value {
    let asked = spec.infrastructure.iter().flat_map(|infrastructure| &infrastructure.labels);
    let mut labels: Map<String, Value> =
        asked.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "igw".into());
    labels.insert(GATEWAY_NAME.to_owned(), gateway.into());
    labels.into()
}

fn annotations(spec: &GatewaySpec) -> Value {
    let asked = spec.infrastructure.iter().flat_map(|infrastructure| &infrastructure.annotations);
    asked.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect::<Map<_, _>>().into()
}

fn ports(spec: &GatewaySpec) -> Vec<Value> {
    let mut ports = Vec::new();
    for listener in &spec.listeners {
        let protocol = if listener.protocol.as_str() == "UDP" { "UDP" } else { "TCP" };
        let port = json!({ "port": listener.port.as_u16(), "protocol": protocol });
        // Listeners that share a port are one port.
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
