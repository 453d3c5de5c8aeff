//! What workers serve from: the snapshot turned into tables, immutable, behind one pointer.
//!
//! `build` takes the previous tables' lasting parts (back ends, counters, port numbers) from [`Lasting`], so
//! that health, pools and counters survive any change.

mod build;
pub(crate) mod challenges;
pub(crate) mod clients;
pub(crate) mod tracing;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use igw_crds::snapshot::{
    Authorization, AuthorizationProtocol, Certificate, Filter, HeaderEdit, PathEdit, Protocol, Redirect,
    Retry, Rewrite, Settings,
};
use igw_route::{PortRoutes, cors};
use ipnet::IpNet;

pub(crate) use build::Lasting;
use clients::ClientTables;

use crate::metrics::series::Series;
use crate::metrics::streams::StreamSeries;
use crate::place::Place;
use crate::sessions::{SessionKey, SessionRule};
use crate::tls::clients::Ending;
use crate::upstream::backend::Backend;
use crate::upstream::secure::ClientIdentity;

/// The tables of one generation.
#[derive(Default)]
pub(crate) struct Tables {
    /// Counts tables of this process; 0 = none yet.
    stamp: u64,
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    /// By port number; `None` for a port that is configured no more.
    pub(crate) ports: Vec<Option<Arc<PortTables>>>,
    /// Some back end wants to be told who its clients are.
    pub(crate) tells_clients: bool,
    /// Every back end in use.
    pub(crate) backends: Vec<Arc<Backend>>,
    /// Sockets wanted: place and the port number that serves it. No place twice.
    pub(crate) binds: Vec<Bind>,
    /// Certificates that are served, each once.
    pub(crate) certificates: Vec<Certificate>,
    /// What certificate authorities may ask for now.
    pub(crate) challenges: challenges::Challenges,
    /// What keeps listeners from serving as they should, by gateway and listener.
    pub(crate) faults: BTreeMap<(Arc<str>, Arc<str>), String>,
}

/// One place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) place: Place,
    pub(crate) port: usize,
}

/// One port of one gateway: all its listeners there.
pub(crate) struct PortTables {
    /// `namespace/name`.
    pub(crate) gateway: Arc<str>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) number: u16,
    pub(crate) routes: PortRoutes,
    /// By target of `routes`.
    pub(crate) targets: Vec<TargetTables>,
    /// Names of the gateway's listeners, by index; those of other ports too.
    pub(crate) listeners: Vec<Arc<str>>,
    /// TLS that listeners end, by listener index; nothing on a port without TLS.
    pub(crate) tls: Option<Vec<Option<Ending>>>,
    /// What seals sessions; nothing if no rule has any.
    pub(crate) session_key: Option<Arc<SessionKey>>,
    /// What the gateway shows to endpoints that ask for a certificate.
    pub(crate) client_identity: Option<Arc<ClientIdentity>>,
    /// What listeners believe of clients, by listener index.
    pub(crate) clients: Vec<ClientTables>,
    /// Filters that run before a route is looked for, by listener index; empty where no listener has any.
    pub(crate) gates: Vec<Vec<GateTables>>,
    /// Traces of requests, if the gateway has any.
    pub(crate) tracing: Option<Arc<tracing::TracingTables>>,
    /// Protocols of listeners, by listener index.
    pub(crate) protocols: Vec<Protocol>,
    /// Listeners that leave TLS to back ends, by listener index.
    pub(crate) passing: Vec<bool>,
    /// Streams of an HTTP/2 connection without TLS at a time: the least that a listener here allows.
    pub(crate) http2_streams: Option<u32>,
    /// Peers whose connections begin with a PROXY header.
    pub(crate) announcers: Vec<IpNet>,
    /// The port takes connections as they come.
    pub(crate) is_tcp: bool,
    /// Connections without a route, by listener index.
    pub(crate) unrouted_streams: Vec<Arc<StreamSeries>>,
    /// Requests without a route, by listener index; the last counts those without a listener.
    pub(crate) unrouted: Vec<Arc<Series>>,
}

/// One rule on one listener.
pub(crate) struct TargetTables {
    pub(crate) rule: Arc<RuleTables>,
    /// By backendRef; the last one counts answers of the gateway itself.
    pub(crate) series: Vec<Arc<Series>>,
    /// The same for connections that are passed on as they are; empty for requests.
    pub(crate) streams: Vec<Arc<StreamSeries>>,
    pub(crate) listener: usize,
}

/// One rule.
pub(crate) struct RuleTables {
    /// `namespace/name` of the route.
    pub(crate) route: Arc<str>,
    /// Name of the rule or its index.
    pub(crate) name: String,
    /// By match: the prefix it matched, for path edits.
    pub(crate) prefixes: Vec<Option<String>>,
    pub(crate) filters: Filters,
    pub(crate) action: ActionTables,
    /// Its calls need HTTP/2 all the way.
    pub(crate) speaks_http2: bool,
    pub(crate) request_timeout_ms: u64,
    /// `None`: the gateway's.
    pub(crate) backend_timeout_ms: Option<u64>,
    pub(crate) retry: Option<Retry>,
    pub(crate) session: Option<SessionRule>,
}

/// What a rule does.
pub(crate) enum ActionTables {
    Forward(Vec<WeightedTables>),
    Respond { status: u16, cause: Arc<str> },
}

/// One backendRef.
pub(crate) struct WeightedTables {
    /// Sum of the weights up to and including this one.
    pub(crate) upto: u64,
    /// `None` for an invalid reference.
    pub(crate) backend: Option<Arc<Backend>>,
    pub(crate) filters: Filters,
}

/// Filters sorted by what they touch.
#[derive(Default)]
pub(crate) struct Filters {
    pub(crate) request: Vec<HeaderEdit>,
    pub(crate) response: Vec<HeaderEdit>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) cors: Option<cors::Rules>,
    pub(crate) mirrors: Vec<MirrorTables>,
    pub(crate) authorization: Option<AuthorizationTables>,
    /// Ends processing.
    pub(crate) end: Option<FilterEnd>,
}

/// Where copies go, and of how many requests: of `numerator` in `denominator`.
pub(crate) struct MirrorTables {
    pub(crate) backend: Arc<Backend>,
    pub(crate) numerator: u64,
    pub(crate) denominator: u64,
}

/// Who is asked whether a request may go on, and what is told.
pub(crate) struct AuthorizationTables {
    pub(crate) backend: Arc<Backend>,
    pub(crate) protocol: AuthorizationProtocol,
    /// The name by which it is called over gRPC.
    pub(crate) authority: String,
    pub(crate) path_prefix: String,
    pub(crate) request_fields: Vec<String>,
    pub(crate) answer_fields: Vec<String>,
    /// Largest body that is shown; 0: none is.
    pub(crate) body_bytes: usize,
}

/// A filter of a listener.
pub(crate) enum GateTables {
    Ask(AuthorizationTables),
    Fail { status: u16, cause: Arc<str> },
}

/// A filter that answers.
pub(crate) enum FilterEnd {
    Redirect(Redirect),
    Fail { status: u16, cause: Arc<str> },
}

// === impl PortTables ===

impl PortTables {
    /// The listener leaves TLS to back ends.
    pub(crate) fn passes_through(&self, listener: usize) -> bool {
        self.passing.get(listener).copied().unwrap_or_default()
    }

    /// Connections of this peer begin with a PROXY header.
    pub(crate) fn announces(&self, peer: IpAddr) -> bool {
        !self.announcers.is_empty() && clients::contains(&self.announcers, peer)
    }
}

// === impl Tables ===

impl Tables {
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }
}

// === impl AuthorizationTables ===

impl AuthorizationTables {
    fn new(rules: &Authorization, backend: &Arc<Backend>) -> Self {
        Self {
            backend: Arc::clone(backend),
            protocol: rules.protocol,
            authority: authority(backend),
            path_prefix: rules.path_prefix.clone(),
            request_fields: rules.request_fields.clone(),
            answer_fields: rules.answer_fields.clone(),
            body_bytes: usize::try_from(rules.body_bytes).unwrap_or(usize::MAX),
        }
    }
}

/// The name by which a back end is asked for: that of its certificate, or `name.namespace`, and the port of a service.
fn authority(backend: &Backend) -> String {
    if let Some(tls) = backend.policy().tls {
        return tls.server_name;
    }
    let mut parts = backend.key.splitn(3, '/').skip(1);
    let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match name.split_once(':') {
        Some((name, port)) => format!("{name}.{namespace}:{port}"),
        None => format!("{name}.{namespace}"),
    }
}

// === impl GateTables ===

impl GateTables {
    fn new(filter: &Filter, backends: &[Arc<Backend>]) -> Self {
        match filter {
            Filter::Authorize(rules) => match backends.get(rules.backend.0 as usize) {
                Some(backend) => Self::Ask(AuthorizationTables::new(rules, backend)),
                None => Self::Fail { status: 500, cause: "auth_invalid".into() },
            },
            Filter::Fail { status, cause } => Self::Fail { status: *status, cause: cause.as_str().into() },
            // A filter this build does not know is never skipped.
            _ => Self::Fail { status: 500, cause: "filter_unknown".into() },
        }
    }
}

// === impl Filters ===

impl Filters {
    fn new(filters: &[Filter], backends: &[Arc<Backend>]) -> Self {
        let mut sorted = Self::default();
        for filter in filters {
            match filter {
                Filter::RequestHeaders(edit) => sorted.request.push(edit.clone()),
                Filter::ResponseHeaders(edit) => sorted.response.push(edit.clone()),
                Filter::Cors(cors) => sorted.cors = Some(cors::Rules::new(cors)),
                Filter::Rewrite(rewrite) => sorted.rewrite = Some(rewrite.clone()),
                Filter::Mirror(mirror) => {
                    let backend = backends.get(mirror.backend.0 as usize);
                    sorted.mirrors.extend(backend.map(|backend| MirrorTables {
                        backend: Arc::clone(backend),
                        numerator: mirror.numerator.into(),
                        denominator: mirror.denominator.max(1).into(),
                    }));
                }
                Filter::Authorize(authorization) => match backends.get(authorization.backend.0 as usize) {
                    Some(backend) => {
                        sorted.authorization = Some(AuthorizationTables::new(authorization, backend));
                    }
                    None => sorted.end = Some(FilterEnd::Fail { status: 500, cause: "auth_invalid".into() }),
                },
                Filter::Redirect(redirect) if sorted.end.is_none() => {
                    sorted.end = Some(FilterEnd::Redirect(redirect.clone()));
                }
                Filter::Fail { status, cause } if sorted.end.is_none() => {
                    sorted.end = Some(FilterEnd::Fail { status: *status, cause: cause.as_str().into() });
                }
                Filter::Redirect(_) | Filter::Fail { .. } => {}
                // A filter this build does not know is never skipped.
                _ => sorted.end = Some(FilterEnd::Fail { status: 500, cause: "filter_unknown".into() }),
            }
        }
        sorted
    }

    /// Path edit of the rewrite, if there is one.
    pub(crate) fn path_edit(&self) -> Option<&PathEdit> {
        self.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref())
    }
}
