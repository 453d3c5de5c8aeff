//! Gateway: listeners and who may attach to them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::external_auth::ExternalAuth;
use super::meta::{
    LabelSelector, LocalObjectReference, ObjectReference, SecretObjectReference, gateway_group,
};
use super::names::{Group, Hostname, KindName, PortNumber, ProtocolName, SectionName};

/// Spec of a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewaySpec {
    /// Class.
    #[schemars(length(min = 1, max = 253))]
    pub gateway_class_name: String,
    /// Listeners.
    #[schemars(length(min = 1, max = 64))]
    pub listeners: Vec<Listener>,
    /// Addresses to bind; absent means all, IPv4 and IPv6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub addresses: Vec<GatewayAddress>,
    /// What is made for the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<Infrastructure>,
    /// Which ListenerSets may attach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_listeners: Option<AllowedListeners>,
    /// TLS of the whole gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
    /// Serve as default gateway for routes that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_scope: Option<DefaultScope>,
}

/// Scope of a default gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultScope {
    /// For every route.
    All,
    /// For none.
    None,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Name, unique in the gateway.
    pub name: SectionName,
    /// Port.
    pub port: PortNumber,
    /// Protocol.
    pub protocol: ProtocolName,
    /// Host names served; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// TLS of the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// Which routes may attach. Default: those of the same namespace.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
    /// Filters that run before routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<ListenerFilters>,
}

/// Filters of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerFilters {
    /// Filters of requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub requests: Vec<ListenerRequestFilter>,
}

/// One filter of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerRequestFilter {
    /// Type.
    pub r#type: ListenerFilterType,
    /// For `ExternalAuth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuth>,
    /// For `ExtensionRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
}

/// Type of a listener's filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListenerFilterType {
    /// Asks another service.
    ExternalAuth,
    /// An object of ours.
    ExtensionRef,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerTls {
    /// Who ends TLS. Default `Terminate`.
    #[serde(default = "terminate")]
    pub mode: TlsMode,
    /// Certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub certificate_refs: Vec<SecretObjectReference>,
    /// Options with domain-prefixed names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 16))]
    pub options: BTreeMap<String, String>,
}

/// Who ends TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// The gateway.
    Terminate,
    /// The back end.
    Passthrough,
}

/// Which routes may attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedRoutes {
    /// By namespace. Default: the same.
    #[serde(default)]
    pub namespaces: RouteNamespaces,
    /// By kind. Default: all that the protocol serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub kinds: Vec<RouteGroupKind>,
}

/// From which namespaces routes may attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteNamespaces {
    /// Default `Same`.
    #[serde(default)]
    pub from: FromNamespaces,
    /// For `Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// From which namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FromNamespaces {
    /// From all.
    All,
    /// From those that the selector selects.
    Selector,
    /// From that of the gateway.
    #[default]
    Same,
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteGroupKind {
    /// Group. Default `gateway.networking.k8s.io`.
    #[serde(default = "gateway_group")]
    pub group: Group,
    /// Kind.
    pub kind: KindName,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayAddress {
    /// Type. Default `IPAddress`.
    #[serde(default = "ip_address")]
    #[schemars(length(min = 1, max = 253))]
    pub r#type: String,
    /// The address; empty asks for one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub value: String,
    /// From where the address is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub routability: Option<String>,
}

/// What is made for the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Infrastructure {
    /// Labels for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 8))]
    pub labels: BTreeMap<String, String>,
    /// Annotations for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 16))]
    pub annotations: BTreeMap<String, String>,
    /// A GatewayConfig for this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<LocalObjectReference>,
}

/// Which ListenerSets may attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedListeners {
    /// By namespace.
    #[serde(default)]
    pub namespaces: ListenerNamespaces,
}

/// From which namespaces ListenerSets may attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerNamespaces {
    /// Default `None`.
    #[serde(default)]
    pub from: FromListenerNamespaces,
    /// For `Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// From which namespaces ListenerSets may attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FromListenerNamespaces {
    /// From all.
    All,
    /// From those that the selector selects.
    Selector,
    /// From that of the gateway.
    Same,
    /// From none.
    #[default]
    None,
}

/// TLS of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayTls {
    /// Towards back ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<GatewayBackendTls>,
    /// Towards clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<FrontendTls>,
}

/// TLS towards back ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayBackendTls {
    /// Certificate that the gateway shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretObjectReference>,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrontendTls {
    /// For every port.
    pub default: PortTls,
    /// For single ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub per_port: Vec<PerPortTls>,
}

/// TLS of one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PerPortTls {
    /// Port.
    pub port: PortNumber,
    /// Its TLS.
    pub tls: PortTls,
}

/// TLS of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortTls {
    /// How client certificates are judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<FrontendValidation>,
}

/// How client certificates are judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrontendValidation {
    /// Certificate authorities.
    #[schemars(length(min = 1, max = 16))]
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// Default `AllowValidOnly`.
    #[serde(default)]
    pub mode: FrontendValidationMode,
}

/// What happens with clients that cannot be verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FrontendValidationMode {
    /// They are refused.
    #[default]
    AllowValidOnly,
    /// They are served.
    AllowInsecureFallback,
}

fn terminate() -> TlsMode {
    TlsMode::Terminate
}

fn ip_address() -> String {
    "IPAddress".to_owned()
}
