//! Services whose endpoints somebody tells, in place of DNS.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use igw_crds::snapshot::{BackendProtocol, EndpointSource};

use crate::backends::BadReference;

/// All Services there are, by `namespace/name`, then by port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(pub BTreeMap<String, BTreeMap<u16, ServicePort>>);

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, which policies may say.
    pub name: Option<String>,
    /// What is spoken there, in the words of Kubernetes.
    pub app_protocol: Option<String>,
    /// Who takes requests now, in any order. Nobody: requests are answered with 503.
    pub endpoints: Vec<SocketAddr>,
}

// === impl Services ===

impl Services {
    pub(crate) fn port(&self, namespace: &str, name: &str, port: u16) -> Option<&ServicePort> {
        self.0.get(&format!("{namespace}/{name}"))?.get(&port)
    }

    /// The endpoints of a reference, in order, and what they speak.
    pub(crate) fn endpoints(
        &self,
        namespace: &str,
        name: &str,
        port: u16,
    ) -> Result<(Vec<EndpointSource>, BackendProtocol), BadReference> {
        let not_found = |message| BadReference { reason: "BackendNotFound", message };
        let service = self.0.get(&format!("{namespace}/{name}")).ok_or_else(|| {
            not_found(format!("Service {namespace}/{name} does not exist; write it, or change the reference"))
        })?;
        let found = service.get(&port).ok_or_else(|| {
            let ports: Vec<String> = service.keys().map(u16::to_string).collect();
            not_found(format!("Service {namespace}/{name} has no port {port}; it has: {}", ports.join(", ")))
        })?;
        let protocol = match found.app_protocol.as_deref() {
            Some("kubernetes.io/h2c") => BackendProtocol::Http2,
            Some(other) if other.starts_with("kubernetes.io/") && other != "kubernetes.io/ws" => {
                let message = format!(
                    "port {port} of Service {namespace}/{name} speaks {other}; use kubernetes.io/h2c, kubernetes.io/ws or none"
                );
                return Err(BadReference { reason: "UnsupportedProtocol", message });
            }
            _ => BackendProtocol::Http1,
        };
        let mut addresses = found.endpoints.clone();
        addresses.sort_unstable();
        addresses.dedup();
        let sources = addresses.into_iter().map(|address| EndpointSource::Address { address });
        Ok((sources.collect(), protocol))
    }
}
