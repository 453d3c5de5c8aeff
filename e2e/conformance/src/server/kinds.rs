//! The kinds that the suite needs beside those of igw.

use std::sync::Arc;

use futures::future::BoxFuture;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use igw_kube::{Body, Failure, Query, Registry, Resource, Scope, Style, Subresource};
use serde_json::Value;

use crate::workloads::Logs;

/// Kinds that somebody here looks at.
pub(crate) struct Core {
    pub(crate) services: Arc<Resource>,
    pub(crate) slices: Arc<Resource>,
    pub(crate) definitions: Arc<Resource>,
    pub(crate) namespaces: Arc<Resource>,
}

/// The log of a pod.
struct LogOf(Logs);

/// The kinds of igw and of Kubernetes.
pub(crate) fn registry(logs: Logs) -> Registry {
    let mut registry = Registry::builtin();
    let core = |group: &str, kind: &str, plural: &str, has_status: bool| Resource {
        style: Style::Core,
        has_status,
        ..Resource::new(group, "v1", kind, plural, Scope::Namespaced)
    };
    let log: Arc<dyn Subresource> = Arc::new(LogOf(logs));
    registry.add(Resource { subresources: vec![("log".into(), log)], ..core("", "Pod", "pods", true) });
    registry.add(core("", "Service", "services", true));
    registry.add(core("", "ServiceAccount", "serviceaccounts", false));
    registry.add(core("apps", "Deployment", "deployments", true));
    registry.add(core("discovery.k8s.io", "EndpointSlice", "endpointslices", false));
    registry.add(Resource {
        style: Style::Core,
        has_status: true,
        ..Resource::new(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            Scope::Cluster,
        )
    });
    registry
}

// === impl Core ===

impl Core {
    pub(crate) fn of(registry: &Registry) -> Option<Self> {
        let find = |group: &str, plural: &str| registry.find(group, plural).map(Arc::clone);
        Some(Self {
            services: find("", "services")?,
            slices: find("discovery.k8s.io", "endpointslices")?,
            definitions: find("apiextensions.k8s.io", "customresourcedefinitions")?,
            namespaces: find("", "namespaces")?,
        })
    }
}

// === impl LogOf ===

impl Subresource for LogOf {
    fn get<'a>(
        &'a self,
        object: &'a Value,
        query: &'a Query,
    ) -> BoxFuture<'a, Result<Response<Body>, Failure>> {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default();
        let since = query.get("sinceTime").and_then(|time| time.parse().ok());
        let log = self.0.text(text("namespace"), text("name"), since);
        Box::pin(async move {
            let mut response = Response::new(Body::whole(log.ok_or_else(Failure::no_such_path)?));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            Ok(response)
        })
    }
}
