//! The snapshot: everything a proxy needs to serve, and nothing else.
//!
//! Immutable, self-contained, produced by `compile`, turned into tables by the proxy. It names no
//! Kubernetes object and holds no private key. Indices (`RouteId`, `BackendId`, `ResolverId`) point into
//! the lists of the same snapshot. Durations carry their unit in the name; 0 means "no limit" where a
//! field says so. New fields get `#[serde(default)]`, so that format N reads N-1.

mod authorization;
mod challenge;
mod client;
mod cors;
mod session;
mod settings;
mod tls;
mod tracing;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use authorization::{Authorization, AuthorizationProtocol};
pub use challenge::Challenge;
pub use client::{ClientRules, ProxyVersion};
pub use cors::Cors;
pub use session::{Session, SessionCarrier};
pub use settings::{AccessLog, LogFormat, LogOutput, Settings};
pub use tls::{
    ALPN, BackendTls, CIPHER_SUITES, Certificate, ClientVerification, ListenerTls, SubjectAltName,
    TlsVersion, Trust,
};
pub use tracing::{AttributeValue, Share, Tracing};

/// The format this build writes. It reads this one and the one before.
pub const FORMAT: u32 = 1;

/// The whole configuration of one proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Cluster name that completes service names.
    pub cluster: String,
    /// Gateways in order of precedence: oldest first, then `namespace/name`.
    pub gateways: Vec<Gateway>,
    /// Routes in order of precedence: oldest first, then `namespace/name`.
    pub routes: Vec<Route>,
    /// Back ends, each named by a key that is stable over snapshots.
    pub backends: Vec<Backend>,
    /// Resolvers; the first is the default one.
    pub resolvers: Vec<Resolver>,
    /// What certificate authorities may ask for now, in place of routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<Challenge>,
}

/// Index into [`Snapshot::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouteId(pub u32);

/// Index into [`Snapshot::backends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackendId(pub u32);

/// Index into [`Snapshot::resolvers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResolverId(pub u32);

/// One Gateway with the listeners that may serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Addresses to bind; empty means all, IPv4 and IPv6.
    pub addresses: Vec<IpAddr>,
    /// Addresses to bind by name of the node, in place of `addresses`; a node that is not here binds none.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub node_addresses: std::collections::BTreeMap<String, Vec<IpAddr>>,
    /// Limits, timeouts and logs of this gateway.
    pub settings: Settings,
    /// Valid listeners in the order of the object. Refused ones are not here.
    pub listeners: Vec<Listener>,
    /// Certificate shown to back ends that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Box<Certificate>>,
    /// Traces of requests; `None`: what clients say of theirs is passed on as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Box<Tracing>>,
}

/// One listener of a gateway. Listeners of one gateway with the same port share sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Name, unique in the gateway.
    pub name: String,
    /// Port to bind.
    pub port: u16,
    /// Protocol spoken.
    pub protocol: Protocol,
    /// Exact name or `*.suffix` in lower case; `None` accepts every host.
    pub hostname: Option<String>,
    /// TLS that the listener ends; for the protocols that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<ListenerTls>>,
    /// What is believed of clients and asked of them (ClientPolicy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Box<ClientRules>>,
    /// Filters that run before a route is looked for, in order. Only `Authorize` and `Fail` are known here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Routes attached here, by ascending `route`.
    pub attachments: Vec<Attachment>,
}

impl Listener {
    /// Every back end that its filters ask.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.filters.iter().filter_map(Filter::backend)
    }

    /// The same, to be numbered anew.
    pub fn backends_mut(&mut self) -> impl Iterator<Item = &mut BackendId> {
        self.filters.iter_mut().filter_map(Filter::backend_mut)
    }
}

/// Protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Protocol {
    /// Cleartext HTTP/1.
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP over TLS that the listener ends.
    #[serde(rename = "HTTPS")]
    Https,
    /// Connections as they come. The oldest route takes all of them.
    #[serde(rename = "TCP")]
    Tcp,
    /// TLS, chosen by the name that the client asks for: ended here where the listener has `tls`, else passed through.
    #[serde(rename = "TLS")]
    Tls,
    /// Datagrams. The oldest route takes all of them.
    #[serde(rename = "UDP")]
    Udp,
}

/// What carries traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// A route on one listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// The route.
    pub route: RouteId,
    /// Host names it serves here. Never empty.
    pub hosts: Vec<HostBinding>,
}

/// One host name of a route on one listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostBinding {
    /// Listener and route hostname intersected: exact, `*.suffix`, or `None` for every host.
    pub serves: Option<Arc<str>>,
    /// The route's own hostname, by which precedence is judged; `None` when the route names none.
    pub ranks: Option<Arc<str>>,
}

/// One route object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Kind, like `HTTPRoute`.
    pub kind: Arc<str>,
    /// Namespace of the object.
    pub namespace: Arc<str>,
    /// Name of the object.
    pub name: Arc<str>,
    /// Rules in the order of the object.
    pub rules: Vec<Rule>,
}

/// One rule of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Name of the rule, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Alternatives; any of them selects the rule. Empty only in routes of connections and datagrams (TCPRoute,
    /// TLSRoute, UDPRoute).
    pub matches: Vec<Match>,
    /// Filters in order. A `Redirect` ends processing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// What happens with the request after the filters.
    pub action: Action,
    /// Time limit from the request head to the end of the answer, in milliseconds; 0 = none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub request_timeout_ms: u64,
    /// Time limit of one attempt, in milliseconds; `None` takes the gateway's, `Some(0)` = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_timeout_ms: Option<u64>,
    /// When a request is tried again; `None`: at most two more times where nothing is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How requests of one client stay with one endpoint; `None`: they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

impl Rule {
    /// Every back end that requests of the rule or copies of them go to.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        let candidates = match &self.action {
            Action::Forward { backends } => backends.as_slice(),
            Action::Respond { .. } => &[],
        };
        let filters = self.filters.iter().chain(candidates.iter().flat_map(|candidate| &candidate.filters));
        candidates.iter().filter_map(|candidate| candidate.backend).chain(filters.filter_map(Filter::backend))
    }

    /// The same, to be numbered anew.
    pub fn backends_mut(&mut self) -> impl Iterator<Item = &mut BackendId> {
        let candidates = match &mut self.action {
            Action::Forward { backends } => backends.as_mut_slice(),
            Action::Respond { .. } => &mut [],
        };
        let of_candidates = candidates.iter_mut().flat_map(|candidate| {
            candidate.backend.iter_mut().chain(candidate.filters.iter_mut().filter_map(Filter::backend_mut))
        });
        of_candidates.chain(self.filters.iter_mut().filter_map(Filter::backend_mut))
    }
}

/// Tries of a request after the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Statuses of back ends that are tried again, besides connections that fail and answers that take too long.
    #[serde(default)]
    pub codes: Vec<u16>,
    /// How many; 0 = none.
    pub attempts: u32,
    /// Time before the first of them, in milliseconds.
    #[serde(default)]
    pub backoff_ms: u64,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// Path condition.
    pub path: PathMatch,
    /// Exact method token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Header conditions; names in lower case, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<ValueMatch>,
    /// Query parameter conditions; names case-sensitive, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<ValueMatch>,
}

/// Condition on the normalised path (without the query).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum PathMatch {
    /// Byte for byte.
    Exact(String),
    /// By path element; without trailing slash except `/` itself.
    Prefix(String),
    /// Regular expression over the whole path.
    Regex(String),
    /// The last of exactly two path elements, byte for byte: a gRPC method of any service.
    Method(String),
}

/// Condition on the value of a named header or query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueMatch {
    /// Name.
    pub name: String,
    /// Condition on the value.
    #[serde(flatten)]
    pub value: StringMatch,
}

/// Condition on a string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum StringMatch {
    /// Byte for byte.
    Exact(String),
    /// Regular expression over the whole value.
    Regex(String),
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Action {
    /// Forward to one of the back ends, chosen by weight. A sum of weights of 0 answers 500, or closes a connection.
    Forward {
        /// Candidates in the order of the object.
        backends: Vec<WeightedBackend>,
    },
    /// Answer without any back end.
    Respond {
        /// HTTP status.
        status: u16,
        /// Cause token of the answer.
        cause: String,
    },
}

/// One backendRef.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedBackend {
    /// Share, 0 to 1,000,000.
    pub weight: u32,
    /// Where requests go; `None` for an invalid reference, whose share is answered with 500 `backend_invalid`.
    pub backend: Option<BackendId>,
    /// Filters of this reference, after those of the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// One filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[non_exhaustive]
pub enum Filter {
    /// Changes fields of the request to the back end.
    RequestHeaders(HeaderEdit),
    /// Changes fields of the answer to the client, also of answers the gateway makes for this rule.
    ResponseHeaders(HeaderEdit),
    /// Answers with a redirection.
    Redirect(Redirect),
    /// Changes host and path of the request to the back end.
    Rewrite(Rewrite),
    /// Tells browsers what other origins may do. A preflight is answered before any other filter.
    Cors(Cors),
    /// Sends copies of requests to another back end, whose answers nobody sees.
    Mirror(Mirror),
    /// Asks another back end whether the request may go on, before anything but a CORS preflight. Of rules alone.
    Authorize(Authorization),
    /// Answers with an error: a filter that could not be resolved is never skipped.
    Fail {
        /// HTTP status.
        status: u16,
        /// Cause token.
        cause: String,
    },
}

impl Filter {
    /// The other back end that it names.
    #[must_use]
    pub fn backend(&self) -> Option<BackendId> {
        match self {
            Self::Mirror(mirror) => Some(mirror.backend),
            Self::Authorize(authorization) => Some(authorization.backend),
            _ => None,
        }
    }

    fn backend_mut(&mut self) -> Option<&mut BackendId> {
        match self {
            Self::Mirror(mirror) => Some(&mut mirror.backend),
            Self::Authorize(authorization) => Some(&mut authorization.backend),
            _ => None,
        }
    }
}

/// Where copies go, and of how many requests: of `numerator` in `denominator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// To whom.
    pub backend: BackendId,
    /// Upper part; at least `denominator` = all.
    pub numerator: u32,
    /// Lower part, at least 1.
    pub denominator: u32,
}

/// Edits of a header section, applied in the order set, add, remove. Names in lower case, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderEdit {
    /// Fields to overwrite or create.
    #[serde(default)]
    pub set: Vec<(String, String)>,
    /// Fields to append: an existing field becomes `old,new`.
    #[serde(default)]
    pub add: Vec<(String, String)>,
    /// Fields to delete.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// A redirection (semantics A.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// `http` or `https`; absent: the request's.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Host; absent: the request's.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Port; absent: the scheme's if `scheme` is set, else the listener's.
    #[serde(default)]
    pub port: Option<u16>,
    /// Path; absent: the request's.
    #[serde(default)]
    pub path: Option<PathEdit>,
    /// Status, one of 301, 302, 303, 307, 308.
    pub status: u16,
}

/// A rewrite of host and path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// Host sent to the back end; absent: the request's.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Path sent to the back end; absent: the request's.
    #[serde(default)]
    pub path: Option<PathEdit>,
}

/// A change of a path. The query is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum PathEdit {
    /// The whole path.
    Full(String),
    /// The part that the rule's PathPrefix matched.
    Prefix(String),
}

/// A set of endpoints with one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Stable identity: `Service/<ns>/<name>:<port>` or `Backend/<ns>/<name>`, with `/udp` for datagrams. Also the metric
    /// label.
    pub key: String,
    /// What carries its traffic.
    #[serde(default, skip_serializing_if = "Transport::is_default")]
    pub transport: Transport,
    /// Where its endpoints come from, any mixture.
    pub sources: Vec<EndpointSource>,
    /// Choice among endpoints.
    pub balance: Balance,
    /// Active check; `None` = off.
    pub active: Option<ActiveCheck>,
    /// Passive ejection; `None` = off.
    pub passive: Option<PassiveCheck>,
    /// Below this share of healthy endpoints, in percent, health is ignored; 0 = never.
    pub panic_threshold: u8,
    /// Connections.
    pub connections: Connections,
    /// What its endpoints speak. Rules of a GRPCRoute speak HTTP/2 whatever this says.
    #[serde(default, skip_serializing_if = "BackendProtocol::is_default")]
    pub protocol: BackendProtocol,
    /// TLS to its endpoints; `None` = cleartext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<BackendTls>>,
}

/// What endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BackendProtocol {
    /// HTTP/1.1 in cleartext; over TLS what is agreed on, HTTP/2 first.
    #[default]
    Http1,
    /// HTTP/2, in cleartext with prior knowledge (RFC 9113 3.3).
    Http2,
}

/// One source of endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum EndpointSource {
    /// An address.
    Address {
        /// Address and port.
        address: SocketAddr,
    },
    /// A Unix socket.
    Unix {
        /// Path.
        path: String,
    },
    /// A server template: names found by DNS fill slots.
    Template(Template),
}

/// A server template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Name of the template in metrics: `<prefix>_<n>` are its slots.
    pub prefix: String,
    /// Name to ask for, absolute, without the final dot. For SRV the whole owner name.
    pub fqdn: String,
    /// Port of the endpoints; SRV records bring their own.
    pub port: u16,
    /// What to ask for.
    pub record: RecordKind,
    /// Which resolver asks.
    pub resolver: ResolverId,
    /// Largest number of endpoints; 0 = no cap but the answer's bound of 1,024.
    pub slots: u32,
    /// Keep one endpoint per address and port.
    pub drop_duplicates: bool,
    /// Ignore SRV weights.
    pub ignore_weight: bool,
    /// Lower bound of the time between queries, in milliseconds.
    pub min_ttl_ms: u64,
    /// Upper bound of the time between queries, in milliseconds.
    pub max_ttl_ms: u64,
    /// How the first endpoints are found, in order.
    pub init: Vec<InitAddr>,
    /// How long `dns` in `init` may hold back the first answer, in milliseconds; 0 = not at all.
    pub init_timeout_ms: u64,
    /// How long endpoints outlive the answers that named them.
    pub hold: Hold,
    /// Which of the addresses that come back may be used; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Box<Guard>>,
}

/// Which addresses may be used of those that a name has. Loopback, link-local and unspecified addresses and those of
/// nodes are refused unless a network allows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guard {
    /// Networks in CIDR form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Addresses of nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<IpAddr>,
    /// Addresses that no network opens: services of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<IpAddr>,
    /// Whoever answers is not trusted: only what a network allows is used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_allowed: bool,
}

/// Records of a server template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    #[serde(rename = "AAAA")]
    Aaaa,
    /// Both address families; either may be missing.
    Both,
    /// IPv4 addresses, IPv6 ones only where there is no IPv4.
    Prefer4,
    /// IPv6 addresses, IPv4 ones only where there is no IPv6.
    Prefer6,
    /// Service records, then the addresses of their targets.
    #[serde(rename = "SRV")]
    Srv,
}

/// One way to find the first endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum InitAddr {
    /// The set persisted by an earlier run.
    Last,
    /// An answer, waited for at most `init_timeout_ms`.
    Dns,
    /// A literal address.
    Address(IpAddr),
    /// Nothing: start empty.
    None,
}

/// How long endpoints are kept after what failed, in milliseconds; `None` = for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The name does not exist or has no such records. After this, endpoints go where their check fails or
    /// is off, the rest after 5 minutes.
    pub nxdomain_ms: Option<u64>,
    /// A good answer does not name the endpoint any more.
    pub obsolete_ms: Option<u64>,
    /// No answer in time.
    pub timeout_ms: Option<u64>,
    /// The server refused.
    pub refused_ms: Option<u64>,
    /// Anything else.
    pub other_ms: Option<u64>,
}

/// Choice among the endpoints of a back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Balance {
    /// Each in turn, by weight.
    RoundRobin,
    /// The one with the fewest requests under way for its weight.
    LeastRequest,
    /// The less busy of two drawn at random.
    Random,
}

/// Active health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveCheck {
    /// What is done.
    pub probe: Probe,
    /// Time between checks of one endpoint, in milliseconds.
    pub interval_ms: u64,
    /// Time limit of one check, in milliseconds.
    pub timeout_ms: u64,
    /// Good checks in a row that make an endpoint healthy.
    pub rise: u32,
    /// Bad checks in a row that make it unhealthy.
    pub fall: u32,
}

/// What an active check does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Probe {
    /// Opens a connection.
    Tcp,
    /// Sends a request.
    Http {
        /// Method.
        method: String,
        /// Path.
        path: String,
        /// Host field; empty: the endpoint's own address.
        hostname: String,
        /// Good statuses, inclusive ranges.
        expected: Vec<(u16, u16)>,
    },
}

/// Passive ejection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassiveCheck {
    /// Errors in a row that eject.
    pub consecutive_errors: u32,
    /// Time in which they must fall, in milliseconds.
    pub window_ms: u64,
    /// Length of an ejection, in milliseconds.
    pub eject_ms: u64,
    /// Largest share of endpoints ejected at once, in percent.
    pub max_percent: u8,
}

/// Connections to a back end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Connections to one endpoint, all workers together; 0 = unlimited.
    pub max_per_endpoint: u32,
    /// Time an idle connection is kept, in milliseconds.
    pub idle_ms: u64,
    /// Requests that may wait for a connection; 0 = none.
    pub queue_max: u32,
    /// Time a request may wait, in milliseconds.
    pub queue_timeout_ms: u64,
    /// PROXY protocol that endpoints expect; `None` = not spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyVersion>,
}

/// A resolver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resolver {
    /// `default` or `<ns>/<name>`. Also the metric label.
    pub name: String,
    /// Servers; those of resolv.conf follow where `from_resolv_conf`.
    pub nameservers: Vec<SocketAddr>,
    /// Follow `/etc/resolv.conf`, changes included.
    pub from_resolv_conf: bool,
    /// Apply the search list to relative names.
    pub search: bool,
    /// EDNS payload size, in bytes.
    pub edns_payload: u16,
    /// Time limit of one try, in milliseconds.
    pub timeout_ms: u64,
    /// More tries after the first, over all servers.
    pub retries: u32,
}

// === impl Snapshot ===

impl Snapshot {
    /// Every certificate that is shown to anybody, some of them more than once.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        let listeners = self.gateways.iter().flat_map(|gateway| &gateway.listeners);
        let served =
            listeners.filter_map(|listener| listener.tls.as_deref()).flat_map(|tls| &tls.certificates);
        served.chain(self.gateways.iter().filter_map(|gateway| gateway.client_certificate.as_deref()))
    }

    /// Every filter of a listener or a rule.
    pub fn filters(&self) -> impl Iterator<Item = &Filter> {
        let listeners = self.gateways.iter().flat_map(|gateway| &gateway.listeners);
        let rules = self.routes.iter().flat_map(|route| &route.rules);
        listeners.flat_map(|listener| &listener.filters).chain(rules.flat_map(|rule| &rule.filters))
    }

    /// Every certificate whose key a proxy needs: those that are served, and those of challenges.
    pub fn certificates_with_keys(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates().chain(self.challenges.iter().filter_map(Challenge::certificate))
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

// === impl Protocol ===

impl Protocol {
    /// What carries it.
    #[must_use]
    pub fn transport(self) -> Transport {
        if self == Self::Udp { Transport::Udp } else { Transport::Tcp }
    }

    /// Connections or flows are passed on as they are.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Udp)
    }
}

// === impl Transport ===

impl Transport {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

// === impl BackendProtocol ===

impl BackendProtocol {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

// === impl Connections ===

impl Default for Connections {
    fn default() -> Self {
        Self { max_per_endpoint: 0, idle_ms: 60_000, queue_max: 0, queue_timeout_ms: 0, proxy_protocol: None }
    }
}

// === impl Hold ===

impl Default for Hold {
    fn default() -> Self {
        Self {
            nxdomain_ms: Some(30_000),
            obsolete_ms: Some(0),
            timeout_ms: None,
            refused_ms: None,
            other_ms: None,
        }
    }
}
