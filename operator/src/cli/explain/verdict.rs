//! What happens to a request, as data and in words.

use std::net::IpAddr;

use igw_crds::snapshot::{
    Action, Backend, EndpointSource, Filter, Match, PathEdit, PathMatch, RecordKind, Redirect, Rewrite, Rule,
    Snapshot, StringMatch, ValueMatch, WeightedBackend,
};
use igw_route::{PortRoutes, Selection, Target, Verdict as Fate, edit};
use serde::Serialize;
use serde_json::Value;

use super::request::{Request, with_query};

/// What happens to a request.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    request: String,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    matched: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#match: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filters: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<ShownRedirect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<ShownAnswer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timeouts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends: Vec<ShownBackend>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    candidates: Vec<ShownCandidate>,
}

#[derive(Debug, Serialize)]
struct ShownRedirect {
    status: u16,
    location: String,
}

/// An answer that the gateway makes itself.
#[derive(Debug, Serialize)]
struct ShownAnswer {
    status: u16,
    cause: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownBackend {
    /// `None` for an invalid reference, whose share is answered with 500.
    key: Option<String>,
    weight: u32,
    share_percent: f64,
    filters: Vec<String>,
    sources: Vec<String>,
    /// Request line, without version.
    request: String,
    host: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ShownCandidate {
    route: String,
    rule: usize,
    r#match: usize,
    lost: String,
}

/// Lines with a label.
#[derive(Default)]
struct Page {
    text: String,
}

// === impl Verdict ===

impl Verdict {
    /// What the tables of a port do with the request.
    pub fn new(
        snapshot: &Snapshot,
        gateway: usize,
        port: u16,
        routes: &PortRoutes,
        request: &Request,
    ) -> Self {
        let mut verdict = Self::of(request);
        verdict.port = Some(port);
        let Some(gateway) = snapshot.gateways.get(gateway) else { return verdict };
        verdict.gateway = Some(format!("{}/{}", gateway.namespace, gateway.name));
        let explanation = routes.explain(request);
        let (listener, chosen) = match explanation.selection {
            Selection::Rule { target, matched } => {
                let target = target_of(routes, target);
                (target.map(|target| target.listener), target.map(|target| (target, usize::from(matched))))
            }
            Selection::NoRoute { listener } => (Some(listener), None),
            Selection::NoListener => (None, None),
        };
        if let Some(listener) = listener.and_then(|listener| gateway.listeners.get(listener)) {
            verdict.listener = Some(listener.name.clone());
            verdict.listener_hostname.clone_from(&listener.hostname);
        }
        for considered in explanation.considered {
            let lost = match considered.verdict {
                Fate::Chosen => continue,
                Fate::Failed(reason) | Fate::Outranked(reason) => reason,
            };
            let Some(target) = target_of(routes, considered.target) else { continue };
            let route = snapshot.routes.get(index(target.route.0));
            verdict.candidates.push(ShownCandidate {
                route: route.map_or_else(String::new, |route| {
                    format!("{} {}/{}", route.kind, route.namespace, route.name)
                }),
                rule: target.rule,
                r#match: usize::from(considered.matched),
                lost,
            });
        }
        let Some((target, matched)) = chosen else {
            verdict.answer = Some(ShownAnswer { status: 404, cause: "no_route".into() });
            verdict.reason = Some(explanation.miss);
            return verdict;
        };
        if let Some(route) = snapshot.routes.get(index(target.route.0)) {
            verdict.matched = true;
            verdict.route = Some(format!("{} {}/{}", route.kind, route.namespace, route.name));
            verdict.rule = Some(target.rule);
            if let Some(rule) = route.rules.get(target.rule) {
                verdict.follow(rule, matched, port, snapshot, request);
            }
        }
        verdict
    }

    /// A request that reaches no listener.
    pub fn nowhere(request: &Request, reason: String) -> Self {
        Self { reason: Some(reason), ..Self::of(request) }
    }

    /// Whether a rule takes the request.
    #[must_use]
    pub fn is_match(&self) -> bool {
        self.matched
    }

    /// Adds the endpoints that a running proxy has, from its `/api/v1/backends`.
    pub fn add_endpoints(&mut self, json: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(json) else { return };
        let known = value.as_array().or_else(|| value.get("items").and_then(Value::as_array));
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        for backend in &mut self.backends {
            let found =
                known.into_iter().flatten().find(|known| backend.key.as_deref() == Some(&text(known, "key")));
            let endpoints = found.and_then(|found| found.get("endpoints")).and_then(Value::as_array);
            backend.endpoints = endpoints
                .into_iter()
                .flatten()
                .map(|endpoint| {
                    format!(
                        "{} {} {}",
                        text(endpoint, "name"),
                        text(endpoint, "address"),
                        text(endpoint, "state")
                    )
                })
                .collect();
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// In words, one line per fact.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut page = Page::default();
        let client = self.client.map_or_else(String::new, |client| format!(", from {client}"));
        page.line("request", &format!("{}, host {}{client}", self.request, self.host));
        let port = self.port.map_or_else(String::new, |port| format!(", port {port}"));
        page.option("gateway", self.gateway.as_ref().map(|gateway| format!("{gateway}{port}")));
        page.option(
            "listener",
            self.listener.as_ref().map(|listener| {
                format!("{listener} ({})", self.listener_hostname.as_deref().unwrap_or("every host name"))
            }),
        );
        page.option("route", self.route.clone());
        page.option(
            "rule",
            self.rule.map(|rule| match &self.rule_name {
                Some(name) => format!("{rule} ({name})"),
                None => rule.to_string(),
            }),
        );
        page.option("match", self.r#match.clone());
        self.filters.iter().for_each(|filter| page.line("filter", filter));
        page.option("redirect", self.redirect.as_ref().map(|to| format!("{} to {}", to.status, to.location)));
        page.option(
            "answer",
            self.answer.as_ref().map(|answer| format!("{} ({})", answer.status, answer.cause)),
        );
        page.option("timeouts", Some(self.timeouts.join(", ")).filter(|timeouts| !timeouts.is_empty()));
        for backend in &self.backends {
            let key =
                backend.key.as_deref().unwrap_or("an invalid reference: answered with 500 (backend_invalid)");
            page.line("back end", &format!("{:.1} % to {key}", backend.share_percent));
            backend.filters.iter().for_each(|filter| page.line("  filter", filter));
            if backend.key.is_some() {
                page.line("  request", &format!("{}, host {}", backend.request, backend.host));
            }
            backend.sources.iter().for_each(|source| page.line("  source", source));
            backend.endpoints.iter().for_each(|endpoint| page.line("  endpoint", endpoint));
        }
        page.option("reason", self.reason.clone());
        for candidate in &self.candidates {
            page.line(
                "lost",
                &format!(
                    "{} rule {} match {}: {}",
                    candidate.route, candidate.rule, candidate.r#match, candidate.lost
                ),
            );
        }
        page.text
    }

    fn of(request: &Request) -> Self {
        Self {
            request: format!(
                "{} {}",
                request.method,
                with_query(&request.written_path, request.query.as_deref())
            ),
            host: request.written_host.clone(),
            client: request.client,
            ..Self::default()
        }
    }

    /// Follows a rule from its filters to its back ends.
    fn follow(&mut self, rule: &Rule, matched: usize, port: u16, snapshot: &Snapshot, request: &Request) {
        self.rule_name.clone_from(&rule.name);
        let matched = rule.matches.get(matched);
        self.r#match = matched.map(match_in_words);
        let prefix = matched.and_then(|matched| match &matched.path {
            PathMatch::Prefix(prefix) => Some(prefix.as_str()),
            _ => None,
        });
        for filter in &rule.filters {
            filter_in_words(filter, snapshot, &mut self.filters);
            match filter {
                Filter::Redirect(redirect) => {
                    let location = location(redirect, port, prefix, request);
                    self.redirect = Some(ShownRedirect { status: redirect.status, location });
                    return;
                }
                Filter::Fail { status, cause } => {
                    self.answer = Some(ShownAnswer { status: *status, cause: cause.clone() });
                    return;
                }
                _ => {}
            }
        }
        if rule.request_timeout_ms > 0 {
            self.timeouts.push(format!("request {} ms", rule.request_timeout_ms));
        }
        if let Some(timeout_ms) = rule.backend_timeout_ms {
            self.timeouts.push(format!("back end {timeout_ms} ms"));
        }
        match &rule.action {
            Action::Respond { status, cause } => {
                self.answer = Some(ShownAnswer { status: *status, cause: cause.clone() });
            }
            Action::Forward { backends } => {
                let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
                if total == 0 {
                    self.answer = Some(ShownAnswer { status: 500, cause: "backend_invalid".into() });
                }
                for backend in backends {
                    self.backends.push(shown_backend(backend, total, rule, prefix, snapshot, request));
                }
            }
        }
    }
}

// === impl Page ===

impl Page {
    fn line(&mut self, label: &str, words: &str) {
        let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.text.push_str(&format!("{label:<12}{words}\n"));
    }

    fn option(&mut self, label: &str, words: Option<String>) {
        if let Some(words) = words {
            self.line(label, &words);
        }
    }
}

fn shown_backend(
    weighted: &WeightedBackend,
    total: u64,
    rule: &Rule,
    prefix: Option<&str>,
    snapshot: &Snapshot,
    request: &Request,
) -> ShownBackend {
    let backend = weighted.backend.and_then(|id| snapshot.backends.get(index(id.0)));
    let (mut path, mut host) = (request.path.clone(), request.written_host.clone());
    let mut filters = Vec::new();
    weighted.filters.iter().for_each(|filter| filter_in_words(filter, snapshot, &mut filters));
    for filter in rule.filters.iter().chain(&weighted.filters) {
        if let Filter::Rewrite(Rewrite { hostname, path: path_edit }) = filter {
            if let Some(hostname) = hostname {
                host.clone_from(hostname);
            }
            if let Some(path_edit) = path_edit {
                let mut edited = Vec::new();
                edit::path(&request.path, prefix, path_edit, &mut edited);
                path = edited;
            }
        }
    }
    let percent = if total == 0 { 0.0 } else { f64::from(weighted.weight) * 100.0 / total as f64 };
    ShownBackend {
        key: backend.map(|backend| backend.key.clone()),
        weight: weighted.weight,
        share_percent: percent,
        filters,
        sources: backend.map(|backend| sources_in_words(backend, snapshot)).unwrap_or_default(),
        request: format!(
            "{} {}",
            request.method,
            with_query(&String::from_utf8_lossy(&path), request.query.as_deref())
        ),
        host,
        endpoints: Vec::new(),
    }
}

fn location(redirect: &Redirect, port: u16, prefix: Option<&str>, request: &Request) -> String {
    let mut location = Vec::new();
    let query = request.query.as_deref().map(str::as_bytes);
    edit::location(redirect, "http", &request.host, port, &request.path, query, prefix, &mut location);
    String::from_utf8_lossy(&location).into_owned()
}

fn match_in_words(matched: &Match) -> String {
    let mut words = vec![match &matched.path {
        PathMatch::Exact(path) => format!("path is {path}"),
        PathMatch::Prefix(prefix) => format!("path prefix {prefix}"),
        PathMatch::Regex(regex) => format!("path matches {regex}"),
        PathMatch::Method(method) => format!("path is {method} of any service"),
    }];
    words.extend(matched.method.iter().map(|method| format!("method {method}")));
    let values = |what: &'static str, conditions: &[ValueMatch]| -> Vec<String> {
        conditions
            .iter()
            .map(|condition| match &condition.value {
                StringMatch::Exact(value) => format!("{what} {} is {value}", condition.name),
                StringMatch::Regex(regex) => format!("{what} {} matches {regex}", condition.name),
            })
            .collect()
    };
    words.extend(values("header", &matched.headers));
    words.extend(values("query parameter", &matched.query));
    words.join(", ")
}

fn filter_in_words(filter: &Filter, snapshot: &Snapshot, lines: &mut Vec<String>) {
    match filter {
        Filter::RequestHeaders(edits) | Filter::ResponseHeaders(edits) => {
            let side = if matches!(filter, Filter::RequestHeaders(_)) { "request" } else { "response" };
            lines.extend(edits.set.iter().map(|(name, value)| format!("{side} header set {name}: {value}")));
            lines.extend(edits.add.iter().map(|(name, value)| format!("{side} header add {name}: {value}")));
            lines.extend(edits.remove.iter().map(|name| format!("{side} header remove {name}")));
        }
        Filter::Redirect(redirect) => lines.push(format!("redirect with {}", redirect.status)),
        Filter::Rewrite(rewrite) => {
            lines.extend(rewrite.hostname.iter().map(|hostname| format!("rewrite host to {hostname}")));
            lines.extend(rewrite.path.iter().map(|path| match path {
                PathEdit::Full(path) => format!("rewrite path to {path}"),
                PathEdit::Prefix(prefix) => format!("rewrite the matched prefix to {prefix}"),
            }));
        }
        Filter::Cors(cors) => {
            let origins = if cors.origins.is_empty() { "none".into() } else { cors.origins.join(", ") };
            lines.push(format!("tell browsers which other origins may: {origins}"));
        }
        Filter::Mirror(mirror) => {
            let backend = snapshot.backends.get(index(mirror.backend.0)).map_or("", |backend| &backend.key);
            let share = match mirror.numerator >= mirror.denominator {
                true => "every request".to_owned(),
                false => format!("{} of {} requests", mirror.numerator, mirror.denominator),
            };
            lines.push(format!("copy {share} to {backend}"));
        }
        Filter::Authorize(authorization) => {
            let backend = snapshot.backends.get(index(authorization.backend.0));
            lines.push(format!("ask {} whether it may go on", backend.map_or("", |backend| &backend.key)));
        }
        Filter::Fail { status, cause } => lines.push(format!("answer {status} ({cause})")),
        _ => lines.push("a filter that this igw does not know".into()),
    }
}

fn sources_in_words(backend: &Backend, snapshot: &Snapshot) -> Vec<String> {
    let sources = backend.sources.iter().map(|source| match source {
        EndpointSource::Address { address } => format!("address {address}"),
        EndpointSource::Unix { path } => format!("Unix socket {path}"),
        EndpointSource::Template(template) => {
            let record = match template.record {
                RecordKind::A => "A",
                RecordKind::Aaaa => "AAAA",
                RecordKind::Both => "A and AAAA",
                RecordKind::Prefer4 => "A, else AAAA",
                RecordKind::Prefer6 => "AAAA, else A",
                RecordKind::Srv => "SRV",
            };
            let resolver = snapshot.resolvers.get(index(template.resolver.0));
            let resolver = resolver.map_or("unknown", |resolver| resolver.name.as_str());
            let port = if template.record == RecordKind::Srv {
                String::new()
            } else {
                format!(" port {}", template.port)
            };
            format!("server template {}{port} ({record}, resolver {resolver})", template.fqdn)
        }
    });
    sources.collect()
}

fn target_of(routes: &PortRoutes, target: u32) -> Option<&Target> {
    routes.targets().get(index(target))
}

fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}
