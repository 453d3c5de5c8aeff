//! Where a connection or a datagram goes: TCPRoutes, TLSRoutes and UDPRoutes.

use igw_crds::snapshot::{Action, Protocol, Snapshot};
use igw_route::{PortRoutes, Selection, normalize};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Exit, Failure};

/// Where a connection goes.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Course {
    connection: String,
    matched: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<String>,
    /// Who ends TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends: Vec<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A back end with its share of the connections.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Share {
    /// `None` for an invalid reference, whose share is closed.
    key: Option<String>,
    weight: u32,
    share_percent: f64,
}

/// Finds the way of a connection to `[name]:port`.
///
/// # Errors
/// [`Exit::Usage`], saying what is wrong with which argument.
pub fn explain(
    snapshot: &Snapshot,
    word: &str,
    target: &str,
    gateway: Option<&str>,
) -> Result<Course, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let (name, port) = target
        .rsplit_once(':')
        .and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)))
        .ok_or_else(|| usage(format!("{target:?}: write [name]:port")))?;
    let mut scratch = Vec::new();
    let name = match word {
        "TLS" => normalize::host(name.as_bytes(), &mut scratch)
            .map_err(|_| usage(format!("{name:?} is not a name")))?,
        _ => &[],
    };
    let mut course = Course { connection: format!("{word} {target}"), ..Course::default() };
    let wanted = match word {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        _ => Protocol::Tls,
    };
    for (index, found) in snapshot.gateways.iter().enumerate() {
        let own_name = format!("{}/{}", found.namespace, found.name);
        if gateway.is_some_and(|gateway| gateway != own_name) {
            continue;
        }
        let on_port = found.listeners.iter().enumerate().filter(|(_, listener)| {
            listener.port == port && listener.protocol.transport() == wanted.transport()
        });
        let positions: Vec<usize> = on_port.map(|(position, _)| position).collect();
        if positions.is_empty() {
            continue;
        }
        course.gateway = Some(own_name);
        let routes = PortRoutes::build(snapshot, index, &positions);
        let listener = routes.listener_of(name).and_then(|position| found.listeners.get(position));
        let Some(listener) = listener else {
            course.reason = Some("no listener of the port serves the name; the client is told so".to_owned());
            return Ok(course);
        };
        course.listener = Some(listener.name.clone());
        if listener.protocol != wanted {
            course.reason = Some(format!("the listener does not serve {word}"));
            return Ok(course);
        }
        course.tls = match (listener.protocol, &listener.tls) {
            (Protocol::Tls, Some(_)) => Some("ended by the gateway"),
            (Protocol::Tls, None) => Some("passed through"),
            _ => None,
        };
        let target = match routes.stream(name) {
            Selection::Rule { target, .. } => routes.targets().get(target as usize).copied(),
            Selection::NoRoute { .. } | Selection::NoListener => None,
        };
        let route = target.and_then(|target| snapshot.routes.get(target.route.0 as usize));
        let rule = target.zip(route).and_then(|(target, route)| route.rules.get(target.rule));
        let (Some(route), Some(rule)) = (route, rule) else {
            course.reason = Some(
                match wanted {
                    Protocol::Udp => "no route of the listener takes it; it is dropped",
                    _ => "no route of the listener takes it; it is closed",
                }
                .to_owned(),
            );
            return Ok(course);
        };
        course.matched = true;
        course.route = Some(format!("{} {}/{}", route.kind, route.namespace, route.name));
        if let Action::Forward { backends } = &rule.action {
            let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
            course.backends.extend(backends.iter().map(|one| {
                Share {
                    key: one
                        .backend
                        .and_then(|id| snapshot.backends.get(id.0 as usize))
                        .map(|backend| backend.key.clone()),
                    weight: one.weight,
                    share_percent: f64::from(one.weight) * 100.0 / (total.max(1) as f64),
                }
            }));
        }
        return Ok(course);
    }
    course.reason = Some(format!("no listener has port {port}"));
    Ok(course)
}

// === impl Course ===

impl Course {
    /// A route takes it.
    pub fn is_match(&self) -> bool {
        self.matched
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// As text, a line for each fact.
    pub fn in_words(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: &str| text.push_str(&format!("{label:<12} {value}\n"));
        line("connection", &self.connection);
        let tls = self.tls.map(str::to_owned);
        for (label, value) in [
            ("gateway", &self.gateway),
            ("listener", &self.listener),
            ("TLS", &tls),
            ("route", &self.route),
            ("reason", &self.reason),
        ] {
            if let Some(value) = value {
                line(label, value);
            }
        }
        for share in &self.backends {
            let key = share.key.as_deref().unwrap_or("none: the reference is not valid, its share is closed");
            line("back end", &format!("{key} (weight {}, {:.1} %)", share.weight, share.share_percent));
        }
        text
    }
}
