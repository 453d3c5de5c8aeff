//! BackendPolicy: balance, checks, discovery and connections of back ends.

use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{Group, KindName, SectionName, TimeSpan};

/// Spec of a BackendPolicy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendPolicySpec {
    /// What it is for: Services and Backends of its namespace.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<PolicyTargetReference>,
    /// Choice among endpoints. Default `RoundRobin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// Health checks. Default: TCP checks for endpoints found by DNS, passive checks for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// How names are resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// Connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
    /// What the endpoints speak, in the words of a Service port's `appProtocol`. Default `http`. Rules of a GRPCRoute
    /// speak HTTP/2 whatever this says; with a BackendTLSPolicy it is negotiated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<AppProtocol>,
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AppProtocol {
    /// HTTP/1.1.
    #[serde(rename = "http")]
    Http,
    /// HTTP/2 in cleartext, with prior knowledge (RFC 9113 3.3).
    #[serde(rename = "kubernetes.io/h2c")]
    H2c,
    /// HTTP/1.1 that may change to WebSocket (RFC 6455).
    #[serde(rename = "kubernetes.io/ws")]
    Ws,
}

/// What a policy is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyTargetReference {
    /// Group.
    pub group: Group,
    /// Kind.
    pub kind: KindName,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// A port of a Service, as text; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<SectionName>,
}

/// Choice among endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadBalancer {
    /// Default `RoundRobin`.
    #[serde(default)]
    pub r#type: LoadBalancerType,
    /// Time in which a new endpoint comes to its full share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<TimeSpan>,
}

/// Way of choosing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LoadBalancerType {
    /// Each in turn, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastRequest,
    /// The less busy of two drawn at random.
    Random,
}

/// Health checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Active checks; `{}` = off. Default: off, but TCP for endpoints found by DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveCheck>,
    /// Passive checks; `{}` = off. Default: 5 errors in 10 s eject for 30 s, at most half of the endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive: Option<PassiveCheck>,
    /// Below this share of healthy endpoints, in percent, health is ignored; 0 = never. Default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub panic_threshold: Option<u8>,
}

/// Active checks: `http` or `tcp`, or neither for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ActiveCheck {
    /// Sends a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// Opens a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// Time between two checks. Default `2s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<TimeSpan>,
    /// Time limit of a check. Default `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
    /// Good checks that make an endpoint healthy. Default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub rise: Option<u32>,
    /// Bad checks that make it unhealthy. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub fall: Option<u32>,
}

/// An HTTP check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCheck {
    /// Path. Default `/`.
    #[serde(default = "root")]
    pub path: String,
    /// Method. Default GET.
    #[serde(default = "get")]
    pub method: String,
    /// Host; empty means the endpoint's address.
    #[serde(default)]
    pub hostname: String,
    /// Good statuses, single ones or ranges like `200-399`. Default `200-399`.
    #[serde(default = "good_statuses")]
    pub expected_statuses: Vec<StatusRange>,
}

/// A TCP check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpCheck {}

/// Statuses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange {
    /// First.
    pub first: u16,
    /// Last.
    pub last: u16,
}

/// Passive checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PassiveCheck {
    /// Errors in a row that eject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub consecutive_errors: Option<u32>,
    /// Time in which they fall. Default `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<TimeSpan>,
    /// Length of an ejection. Default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eject_for: Option<TimeSpan>,
    /// Largest share ejected at once, in percent. Default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_ejection_percent: Option<u8>,
}

/// How names are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Discovery {
    /// From where endpoints come. Default `Auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<DiscoveryMode>,
    /// Resolver of the same namespace. Default: the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolver_ref: Option<ResolverReference>,
    /// Records. Default `Auto`: addresses of the family wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordType>,
    /// Name to ask for, with `{name}`, `{namespace}`, `{cluster}`. Default `{name}.{namespace}.svc.{cluster}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Service records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srv: Option<SrvDiscovery>,
    /// Address family. Default `Prefer4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<AddressFamily>,
    /// Largest number of endpoints; 0 = unlimited. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub slots: Option<u32>,
    /// Names of slots are `<prefix>_<n>`. Default: the name of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Addresses named twice. Default `Drop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Duplicates>,
    /// Addresses that count, in CIDR form; empty = all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// How the first endpoints are found: `last`, `dns`, `none` or an address. Default `[last, dns, none]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_addr: Option<Vec<InitAddr>>,
    /// How long `dns` may hold back the start. Default `0s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_timeout: Option<TimeSpan>,
    /// State of a new endpoint. Default `Unchecked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_state: Option<InitState>,
    /// Shortest time between two questions. Default `1s`.
    #[serde(rename = "minTTL", skip_serializing_if = "Option::is_none")]
    pub min_ttl: Option<TimeSpan>,
    /// Longest time between two questions. Default `60s`.
    #[serde(rename = "maxTTL", skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<TimeSpan>,
    /// Ask at once when the cluster tells of a change. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_on_event: Option<bool>,
    /// How long endpoints outlive what happened to their name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// How long requests may wait for a first endpoint. Default `0s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_for_endpoint: Option<TimeSpan>,
}

/// From where endpoints come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DiscoveryMode {
    /// Events of the cluster, then DNS.
    Auto,
    /// Events of the cluster.
    Events,
    /// DNS.
    #[serde(rename = "DNS")]
    Dns,
    /// Nowhere: what is written.
    Static,
}

/// A resolver of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolverReference {
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Records asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RecordType {
    /// Addresses of the family wanted.
    Auto,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    #[serde(rename = "AAAA")]
    Aaaa,
    /// Service records.
    #[serde(rename = "SRV")]
    Srv,
}

/// Service records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SrvDiscovery {
    /// Owner name, with the variables of `name` and `{port}`. Default `_{port}._tcp.<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Weights. Default `Use`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<SrvWeight>,
}

/// What weights of service records do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SrvWeight {
    /// They count.
    Use,
    /// They do not.
    Ignore,
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AddressFamily {
    /// IPv4.
    Only4,
    /// IPv6.
    Only6,
    /// IPv4, IPv6 where there is none.
    Prefer4,
    /// IPv6, IPv4 where there is none.
    Prefer6,
    /// Both.
    Both,
}

/// What happens with addresses named twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Duplicates {
    /// One is kept.
    Drop,
    /// All are kept.
    Keep,
}

/// One way to find the first endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum InitAddr {
    /// The set that was known last.
    Last,
    /// An answer.
    Dns,
    /// None.
    None,
    /// An address.
    Address(IpAddr),
}

/// State of a new endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InitState {
    /// Up until a check fails.
    Up,
    /// Up until all checks of a fall fail.
    FullyUp,
    /// Down until a check passes.
    Down,
    /// Up until checks say otherwise.
    Unchecked,
}

/// How long endpoints outlive what happened to their name: a time, or `forever`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hold {
    /// Not used: times to live are obeyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<HoldTime>,
    /// The answer names the endpoint no more. Default `0s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obsolete: Option<HoldTime>,
    /// The name does not exist. Default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nxdomain: Option<HoldTime>,
    /// No answer in time. Default `forever`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HoldTime>,
    /// Refused. Default `forever`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<HoldTime>,
    /// Anything else. Default `forever`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<HoldTime>,
}

/// A time, or for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HoldTime {
    /// For ever.
    Forever,
    /// For a time.
    For(TimeSpan),
}

/// Connections to endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Connections {
    /// Connections to one endpoint; 0 = unlimited. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_endpoint: Option<u32>,
    /// Time an idle connection is kept. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<TimeSpan>,
    /// Requests that wait for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// Tells endpoints the client's address before anything else (PROXY protocol); checks begin so too, and an HTTP
    /// connection then serves one request. Default `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProxyProtocol {
    /// Not spoken.
    #[serde(rename = "none")]
    None,
    /// Version 1, a line of text.
    #[serde(rename = "v1")]
    V1,
    /// Version 2, binary.
    #[serde(rename = "v2")]
    V2,
}

/// Requests that wait for a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Queue {
    /// Largest number; 0 = none wait. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Longest wait. Default `0s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
}

// === impl StatusRange ===

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (u16::from_str(first.trim()), u16::from_str(last.trim())) {
            (Ok(first), Ok(last)) if (100..=599).contains(&first) && first <= last && last <= 599 => {
                Ok(Self { first, last })
            }
            _ => Err(format!("`{text}` is no status range (allowed: like `200` or `200-399`, 100 to 599)")),
        }
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> String {
        format!("{}-{}", range.first, range.last)
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusRange".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$" })
    }
}

// === impl InitAddr ===

impl TryFrom<String> for InitAddr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "last" => Ok(Self::Last),
            "dns" => Ok(Self::Dns),
            "none" => Ok(Self::None),
            _ => text
                .parse()
                .map(Self::Address)
                .map_err(|_| format!("`{text}` is not valid (allowed: last, dns, none, or an IP address)")),
        }
    }
}

impl From<InitAddr> for String {
    fn from(way: InitAddr) -> String {
        match way {
            InitAddr::Last => "last".to_owned(),
            InitAddr::Dns => "dns".to_owned(),
            InitAddr::None => "none".to_owned(),
            InitAddr::Address(address) => address.to_string(),
        }
    }
}

impl JsonSchema for InitAddr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InitAddr".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "last, dns, none, or an IP address" })
    }
}

// === impl HoldTime ===

impl TryFrom<String> for HoldTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        TimeSpan::parse(text).map(Self::For).map_err(|error| match error.strip_suffix(')') {
            Some(error) => format!("{error}, or `forever`)"),
            None => error,
        })
    }
}

impl From<HoldTime> for String {
    fn from(time: HoldTime) -> String {
        match time {
            HoldTime::Forever => "forever".to_owned(),
            HoldTime::For(span) => span.into(),
        }
    }
}

impl JsonSchema for HoldTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HoldTime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(forever|([0-9]{1,5}(h|m|s|ms)){1,4})$" })
    }
}

fn root() -> String {
    "/".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}

fn good_statuses() -> Vec<StatusRange> {
    vec![StatusRange { first: 200, last: 399 }]
}
