//! GatewayConfig: how a gateway runs, what it limits, what it logs.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{Cidr, Hostname, Namespace, TimeSpan};
use super::quantity::{AutoNumber, ByteSize};

/// Spec of a GatewayConfig. Every field may be absent; then a less specific GatewayConfig or the default counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GatewayConfigSpec {
    /// Where proxies run. Default `failover`. Cluster mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// As what they run. Default `process`. Cluster mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// What they bind where the Gateway names no address. Default `Wildcard`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<Bind>,
    /// The OpenSVC service. Cluster mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceTemplate>,
    /// Addresses for gateways that name none, in CIDR form: each gets one of its own and keeps it. Default: none, and
    /// such gateways bind every address. Standalone mode only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub address_pool: Vec<Cidr>,
    /// Admin address of the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// Draining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// Access log. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Time limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// What Backend objects may name. Default: everything in standalone mode, nothing in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends: Option<BackendRules>,
    /// Which namespaces may use which hostnames. Absent: every attached namespace every hostname of the listener.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_hostnames: Vec<AllowedHostnames>,
    /// Largest numbers per namespace. Cluster mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Quotas>,
}

/// Where proxies run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Topology {
    /// One instance that moves.
    Failover,
    /// One on every node.
    PerNode,
    /// The administrator's service.
    External,
}

/// As what proxies run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Runtime {
    /// A process of the node.
    Process,
    /// A container.
    Container,
}

/// What is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Bind {
    /// All addresses.
    Wildcard,
    /// The node's address.
    NodeAddress,
}

/// The OpenSVC service of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServiceTemplate {
    /// Service to adopt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Nodes, in OpenSVC's selector form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<String>,
    /// Orchestration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orchestrate: Option<String>,
    /// Image for containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Keywords of ip resources, verbatim.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip: Vec<std::collections::BTreeMap<String, serde_json::Value>>,
    /// Merged verbatim, last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

/// Admin address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admin {
    /// Address and port. Default `127.0.0.1:8404`.
    #[schemars(with = "String")]
    pub address: SocketAddr,
}

/// Draining.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// Time for requests under way. Default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
    /// Time for upgraded connections. Default `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<TimeSpan>,
}

/// Access log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessLog {
    /// Form of a line. Default `text`.
    #[serde(default)]
    pub format: AccessLogFormat,
    /// `stdout` or a file. Default `stdout`.
    #[serde(default = "stdout")]
    pub output: String,
    /// Share of requests that are logged, 0 to 1. Default 1.
    #[serde(default = "all")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample: f64,
    /// What is written as it came. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unredacted: Vec<Unredacted>,
}

/// Form of an access log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogFormat {
    /// Like HAProxy's `option httplog`.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// What may be written as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unredacted {
    /// Query strings.
    Query,
}

/// Limits. 0 = unlimited where not said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Client connections. Default `auto`: from descriptors and memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<AutoNumber>,
    /// Bytes of a head, 1Ki to 256Ki. Default 64Ki.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_bytes: Option<ByteSize>,
    /// Fields of a head, 1 to 128. Default 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 128))]
    pub request_header_fields: Option<u32>,
    /// Time to receive a head. Default `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_timeout: Option<TimeSpan>,
    /// Time between two requests of a connection. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<TimeSpan>,
    /// Lowest rate of a request body in bytes per second. Default 240.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_min_rate: Option<u32>,
    /// Time before the rate counts. Default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_grace: Option<TimeSpan>,
    /// Time for a TLS handshake. Default `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_timeout: Option<TimeSpan>,
    /// Requests of one connection. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<u32>,
    /// Connections of one client address. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_source: Option<u32>,
    /// UDP flows of one client address; beyond it, the one that was silent for longest ends. Default 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_flows_per_source: Option<u32>,
    /// Bytes that a UDP client may be sent for each of its own until it goes on after an answer, beyond 512: addresses of
    /// senders can be forged. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_reply_factor: Option<u32>,
}

/// Time limits towards back ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// To connect. Default `2s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<TimeSpan>,
    /// To the head of the answer. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<TimeSpan>,
    /// Of silence inside an answer. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_idle: Option<TimeSpan>,
    /// Of silence of an upgraded connection. Default `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_idle: Option<TimeSpan>,
    /// Of silence of a UDP flow: the client's address and port keep their endpoint for as long. Default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_idle: Option<TimeSpan>,
}

/// What Backend objects may name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BackendRules {
    /// Rules; one that fits is enough.
    pub allow: Vec<BackendRule>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BackendRule {
    /// For Backends of these namespaces; `*` = all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Addresses, in CIDR form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cidrs: Vec<Cidr>,
    /// Names, `*.` for all below one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Unix sockets.
    pub unix: bool,
}

/// Who may use which hostnames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedHostnames {
    /// Hostnames.
    pub hostnames: Vec<Hostname>,
    /// Namespaces that may use them.
    pub namespaces: Vec<Namespace>,
}

/// Largest numbers per namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Quotas {
    /// Routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<u32>,
    /// Hostnames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostnames: Option<u32>,
    /// Certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<u32>,
    /// Endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u32>,
}

fn stdout() -> String {
    "stdout".to_owned()
}

fn all() -> f64 {
    1.0
}
