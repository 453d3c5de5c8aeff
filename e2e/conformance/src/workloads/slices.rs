//! The EndpointSlice of a Service with a selector.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::manifests::{Metadata, Service};

/// A pod as slices tell of it.
pub(crate) struct Member<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) address: String,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

/// A slice that is there.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Slice {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    endpoints: Vec<Value>,
    #[serde(default)]
    ports: Vec<Value>,
}

// === impl Slice ===

impl Slice {
    /// Whether it says what another one would say.
    pub(crate) fn is_as(&self, wanted: &Value) -> bool {
        let nothing = Vec::new();
        let list = |name: &str| wanted[name].as_array().unwrap_or(&nothing).clone();
        let fields = |ports: &[Value]| -> Vec<[Value; 4]> {
            let of =
                |port: &Value| ["name", "port", "protocol", "appProtocol"].map(|name| port[name].clone());
            ports.iter().map(of).collect()
        };
        let addresses = |endpoints: &[Value]| -> Vec<Value> {
            endpoints.iter().map(|endpoint| endpoint["addresses"].clone()).collect()
        };
        addresses(&self.endpoints) == addresses(&list("endpoints"))
            && fields(&self.ports) == fields(&list("ports"))
    }
}

/// The slice of a Service: its ports, and the pods that its selector takes, in order of their names.
pub(crate) fn wanted(service: &Service, members: &[Member<'_>]) -> Value {
    let Service { metadata: Metadata { name, namespace, .. }, spec } = service;
    let mut taken: Vec<&Member<'_>> = members
        .iter()
        .filter(|member| member.namespace == namespace)
        .filter(|member| spec.selector.iter().all(|(key, value)| member.labels.get(key) == Some(value)))
        .collect();
    taken.sort_by_key(|member| member.name);
    let endpoint = |member: &&Member<'_>| {
        json!({
            "addresses": [member.address],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": namespace, "name": member.name},
        })
    };
    let ports = spec.ports.iter().map(|port| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let mut shown = json!({"name": port.name, "port": port.target(), "protocol": protocol});
        if let Some(protocol) = &port.app_protocol {
            shown["appProtocol"] = protocol.as_str().into();
        }
        shown
    });
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": slice_name(name),
            "labels": {SERVICE_NAME: name, MANAGED_BY: OWNER},
        },
        "addressType": "IPv4",
        "endpoints": taken.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": ports.collect::<Vec<_>>(),
    })
}

/// The name of the slice of a Service.
pub(crate) fn slice_name(service: &str) -> String {
    format!("{service}-pods")
}

/// Label that says whose endpoints a slice holds.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that says who writes a slice.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Who writes the slices of this module.
pub(crate) const OWNER: &str = "igw-conformance";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_holds_the_pods_of_its_selector_and_the_ports_of_its_service() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "selector": {"app": "web"},
                "ports": [{"name": "a", "port": 80, "targetPort": 3000, "appProtocol": "kubernetes.io/h2c"}, {"port": 53, "protocol": "UDP"}],
            },
        }))
        .unwrap();
        let web = BTreeMap::from([("app".to_owned(), "web".to_owned()), ("x".to_owned(), "y".to_owned())]);
        let other = BTreeMap::from([("app".to_owned(), "other".to_owned())]);
        let member =
            |namespace, name, labels| Member { namespace, name, address: format!("ip of {name}"), labels };
        let members = [
            member("shop", "b", &web),
            member("shop", "a", &web),
            member("shop", "c", &other),
            member("else", "d", &web),
        ];
        let slice = wanted(&service, &members);
        assert_eq!(slice["metadata"]["labels"][SERVICE_NAME], "web");
        assert_eq!(slice["endpoints"].as_array().unwrap().len(), 2);
        assert_eq!(slice["endpoints"][0]["addresses"], json!(["ip of a"]));
        assert_eq!(
            slice["ports"],
            json!([
                {"name": "a", "port": 3000, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"},
                {"name": "", "port": 53, "protocol": "UDP"},
            ])
        );
        let same: Slice = serde_json::from_value(slice.clone()).unwrap();
        assert!(same.is_as(&slice));
        assert!(!same.is_as(&wanted(&service, &members[1..])));
    }
}
