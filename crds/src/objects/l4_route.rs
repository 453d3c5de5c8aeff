//! TCPRoute, UDPRoute and TLSRoute: where connections and datagrams go. Each has one rule; a TLSRoute chooses by the
//! name that the client asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http_route::ParentReference;
use super::meta::{core_group, service_kind};
use super::names::{Group, Hostname, KindName, Namespace, PortNumber, SectionName, Weight};

/// Spec of a TCPRoute or a UDPRoute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamelessRouteSpec {
    /// Gateways to attach to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub parent_refs: Vec<ParentReference>,
    /// Attach to default gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<super::gateway::DefaultScope>,
    /// The rule.
    #[schemars(length(min = 1, max = 1))]
    pub rules: Vec<L4RouteRule>,
}

/// Spec of a TLSRoute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsRouteSpec {
    /// Gateways to attach to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub parent_refs: Vec<ParentReference>,
    /// Attach to default gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<super::gateway::DefaultScope>,
    /// Names that clients ask for.
    #[schemars(length(min = 1, max = 1024))]
    pub hostnames: Vec<Hostname>,
    /// The rule.
    #[schemars(length(min = 1, max = 1))]
    pub rules: Vec<L4RouteRule>,
}

/// The rule of a route of connections or datagrams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct L4RouteRule {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SectionName>,
    /// Back ends by weight.
    #[schemars(length(min = 1, max = 16))]
    pub backend_refs: Vec<L4BackendRef>,
}

/// A back end with its share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct L4BackendRef {
    /// Group. Default: the core group.
    #[serde(default = "core_group")]
    pub group: Group,
    /// Kind. Default `Service`.
    #[serde(default = "service_kind")]
    pub kind: KindName,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace; absent means that of the route. Elsewhere needs a ReferenceGrant there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Port; needed for a Service, ignored for a Backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortNumber>,
    /// Share of the connections, or of the flows of datagrams. Default 1.
    #[serde(default)]
    pub weight: Weight,
}
