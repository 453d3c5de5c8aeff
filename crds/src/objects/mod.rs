//! What people write: objects of the Gateway API, of the core group, and our own.

pub mod backend;
pub mod backend_policy;
pub mod backend_tls_policy;
pub mod certificate;
pub mod certificate_issuer;
pub mod client_policy;
pub mod core;
pub mod external_auth;
pub mod gateway;
pub mod gateway_class;
pub mod gateway_config;
pub mod grpc_route;
pub mod http_route;
pub mod kind;
pub mod l4_route;
pub mod listener_set;
pub mod meta;
pub mod names;
pub mod quantity;
pub mod reference_grant;
pub mod resolver;
pub mod telemetry_policy;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use kind::Kind;
pub use meta::Metadata;

/// An object: valid by itself, with all defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Kind, namespace and name.
    pub key: ObjectKey,
    /// Metadata as written.
    pub metadata: Metadata,
    /// What the kind says.
    pub spec: Spec,
}

/// Identity of an object. A clone shares its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// Kind.
    pub kind: Kind,
    /// Namespace; empty for kinds of the whole cluster.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// Content of an object by kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Spec {
    /// Backend
    Backend(backend::BackendSpec),
    /// BackendPolicy
    BackendPolicy(Box<backend_policy::BackendPolicySpec>),
    /// BackendTLSPolicy
    BackendTlsPolicy(Box<backend_tls_policy::BackendTlsPolicySpec>),
    /// ClientPolicy
    ClientPolicy(Box<client_policy::ClientPolicySpec>),
    /// Certificate
    Certificate(certificate::CertificateSpec),
    /// CertificateIssuer
    CertificateIssuer(Box<certificate_issuer::CertificateIssuerSpec>),
    /// ConfigMap
    ConfigMap(self::core::ConfigMapContent),
    /// Gateway
    Gateway(Box<gateway::GatewaySpec>),
    /// GatewayClass
    GatewayClass(gateway_class::GatewayClassSpec),
    /// GatewayConfig
    GatewayConfig(Box<gateway_config::GatewayConfigSpec>),
    /// GRPCRoute
    GrpcRoute(Box<grpc_route::GrpcRouteSpec>),
    /// HTTPRoute
    HttpRoute(Box<http_route::HttpRouteSpec>),
    /// ListenerSet
    ListenerSet(Box<listener_set::ListenerSetSpec>),
    /// Namespace
    Namespace(self::core::NamespaceContent),
    /// ReferenceGrant
    ReferenceGrant(reference_grant::ReferenceGrantSpec),
    /// Resolver
    Resolver(resolver::ResolverSpec),
    /// Secret
    Secret(self::core::SecretContent),
    /// TCPRoute
    TcpRoute(Box<l4_route::NamelessRouteSpec>),
    /// TLSRoute
    TlsRoute(Box<l4_route::TlsRouteSpec>),
    /// UDPRoute
    UdpRoute(Box<l4_route::NamelessRouteSpec>),
    /// XTelemetryPolicy
    XTelemetryPolicy(Box<telemetry_policy::TelemetryPolicySpec>),
}

/// An object that has no namespace gets this one.
pub const DEFAULT_NAMESPACE: &str = "default";

// === impl ObjectKey ===

impl ObjectKey {
    /// A key.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl Ord for ObjectKey {
    fn cmp(&self, other: &Self) -> Ordering {
        // Keys that are compared are often clones: equal text need not be read.
        let text = |a: &Arc<str>, b: &Arc<str>| if Arc::ptr_eq(a, b) { Ordering::Equal } else { a.cmp(b) };
        (self.kind.cmp(&other.kind))
            .then_with(|| text(&self.namespace, &other.namespace))
            .then_with(|| text(&self.name, &other.name))
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = format!("{}/{}/{}", self.kind, self.namespace, self.name);
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut parts = text.splitn(3, '/');
        let kind = parts.next().and_then(Kind::parse);
        match (kind, parts.next(), parts.next()) {
            (Some(kind), Some(namespace), Some(name)) => Ok(Self::new(kind, namespace, name)),
            _ => Err(serde::de::Error::custom(format!("`{text}` is no object key"))),
        }
    }
}

// === impl Object ===

impl Object {
    /// The document as a tree, in the version that is written.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        let mut tree = serde_json::Map::new();
        tree.insert("apiVersion".to_owned(), self.key.kind.api_version().into());
        tree.insert("kind".to_owned(), self.key.kind.as_str().into());
        let mut metadata = self.metadata.clone();
        metadata.namespace = names::Namespace::parse(self.key.namespace.to_string()).ok();
        tree.insert("metadata".to_owned(), value(&metadata));
        match self.spec.to_value() {
            serde_json::Value::Object(content) if self.key.kind.group().is_empty() => tree.extend(content),
            spec => {
                tree.insert("spec".to_owned(), spec);
            }
        }
        serde_json::Value::Object(tree)
    }
}

// === impl Spec ===

impl Spec {
    /// The content as a tree.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        match self {
            Self::Backend(spec) => value(spec),
            Self::BackendPolicy(spec) => value(spec),
            Self::BackendTlsPolicy(spec) => value(spec),
            Self::ClientPolicy(spec) => value(spec),
            Self::Certificate(spec) => value(spec),
            Self::CertificateIssuer(spec) => value(spec),
            Self::ConfigMap(content) => value(content),
            Self::Gateway(spec) => value(spec),
            Self::GatewayClass(spec) => value(spec),
            Self::GatewayConfig(spec) => value(spec),
            Self::GrpcRoute(spec) => value(spec),
            Self::HttpRoute(spec) => value(spec),
            Self::ListenerSet(spec) => value(spec),
            Self::Namespace(content) => value(content),
            Self::ReferenceGrant(spec) => value(spec),
            Self::Resolver(spec) => value(spec),
            Self::Secret(content) => value(content),
            Self::TcpRoute(spec) => value(spec),
            Self::TlsRoute(spec) => value(spec),
            Self::UdpRoute(spec) => value(spec),
            Self::XTelemetryPolicy(spec) => value(spec),
        }
    }
}

/// Our types have string keys and no failing encoders.
fn value<T: Serialize>(content: &T) -> serde_json::Value {
    serde_json::to_value(content).unwrap_or_default()
}
