//! Rules of routes: matches, filters, back ends, time limits.

use std::collections::HashSet;

use igw_crds::objects::ObjectKey;
use igw_crds::objects::http_route::{
    CookieLifetime, HttpHeaderMatch, HttpRouteMatch, HttpRouteRetry, HttpRouteRule, HttpRouteTimeouts,
    PathMatchType, SessionPersistence, SessionPersistenceType, ValueMatchType,
};
use igw_crds::objects::l4_route::L4RouteRule;
use igw_crds::objects::names::TimeSpan;
use igw_crds::snapshot::{
    Action, Filter, Match, PathMatch, Retry, Rule, Session, SessionCarrier, StringMatch, ValueMatch,
    WeightedBackend,
};
use regex_automata::meta::Regex;

use crate::backends::{Backends, BadReference};
use crate::filters::{elsewhere, filters};
use crate::named::BackendReference as _;

/// A rule, and what is wrong with it.
pub(crate) struct RuleNode {
    pub(crate) rule: Rule,
    /// Why the rule answers an error in place of what it says.
    pub(crate) unserved: Option<String>,
    /// References that lead nowhere.
    pub(crate) bad_references: Vec<BadReference>,
}

/// Translates a rule. One that is not served answers 500: its requests never fall to another rule.
pub(crate) fn rule<'o>(
    route: &'o ObjectKey,
    rule: &'o HttpRouteRule,
    backends: &mut Backends<'o>,
) -> RuleNode {
    let mut bad_references = Vec::new();
    let mut unserved = None;
    let mut matches = Vec::with_capacity(rule.matches.len());
    for one in &rule.matches {
        match translate(one) {
            Ok(translated) => matches.push(translated),
            Err(message) => {
                unserved = Some(message);
                // The match still takes its requests as far as its path tells, so that no other rule gets them.
                matches.push(Match { path: path(one), method: None, headers: Vec::new(), query: Vec::new() });
            }
        }
    }
    let found = filters(&rule.filters, elsewhere(route, backends, &mut bad_references));
    let rule_filters = found.unwrap_or_else(|message| {
        unserved = Some(message);
        Vec::new()
    });
    let mut candidates = Vec::with_capacity(rule.backend_refs.len());
    for reference in &rule.backend_refs {
        let found = filters(&reference.filters, elsewhere(route, backends, &mut bad_references));
        let filters = found.unwrap_or_else(|message| {
            unserved = Some(message);
            Vec::new()
        });
        if filters.iter().any(|filter| matches!(filter, Filter::Authorize(_))) {
            unserved = Some("filter ExternalAuth belongs to rules, not to backendRefs".to_owned());
        }
        let backend = match backends.resolve(route, reference.named(route)) {
            Ok(backend) => Some(backend),
            Err(bad) => {
                bad_references.push(bad);
                None
            }
        };
        candidates.push(WeightedBackend { weight: reference.weight.as_u32(), backend, filters });
    }
    finish(Translated {
        name: rule.name.as_ref().map(|name| name.as_str().to_owned()),
        matches,
        filters: rule_filters,
        candidates,
        unserved,
        bad_references,
        timeouts: rule.timeouts.as_ref(),
        retry: rule.retry.as_ref().map(retry),
        session: rule.session_persistence.as_ref().map(session),
    })
}

fn retry(retry: &HttpRouteRetry) -> Retry {
    Retry {
        codes: retry.codes.iter().filter_map(|code| u16::try_from(*code).ok()).collect(),
        attempts: u32::try_from(retry.attempts).unwrap_or_default(),
        backoff_ms: retry.backoff.as_ref().map_or(BACKOFF_MS, TimeSpan::as_millis),
    }
}

/// Translates what keeps a client with its endpoint.
pub(crate) fn session(session: &SessionPersistence) -> Session {
    let carrier = match (session.r#type, &session.header) {
        (SessionPersistenceType::Header, Some(header)) => {
            SessionCarrier::Header { name: header.name.as_str().to_lowercase() }
        }
        _ => {
            let cookie = session.cookie.as_ref();
            SessionCarrier::Cookie {
                name: cookie.and_then(|cookie| Some(cookie.name.as_ref()?.as_str().to_owned())),
                path: cookie.map_or_else(|| "/".to_owned(), |cookie| cookie.path.clone()),
                permanent: cookie.is_some_and(|cookie| cookie.lifetime_type == CookieLifetime::Permanent),
            }
        }
    };
    Session { carrier, timeout_ms: session.absolute_timeout.as_ref().map_or(0, TimeSpan::as_millis) }
}

/// The parts of a rule.
pub(crate) struct Translated<'r> {
    pub(crate) name: Option<String>,
    pub(crate) matches: Vec<Match>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) candidates: Vec<WeightedBackend>,
    pub(crate) unserved: Option<String>,
    pub(crate) bad_references: Vec<BadReference>,
    pub(crate) timeouts: Option<&'r HttpRouteTimeouts>,
    pub(crate) retry: Option<Retry>,
    pub(crate) session: Option<Session>,
}

/// A rule from its parts: what is not served, or leads nowhere, answers an error.
pub(crate) fn finish(parts: Translated<'_>) -> RuleNode {
    let ends = parts.filters.iter().any(|filter| matches!(filter, Filter::Redirect(_)));
    let error = || Action::Respond { status: 500, cause: "backend_invalid".to_owned() };
    let (action, filters) = match parts.unserved {
        Some(_) => (Action::Respond { status: 500, cause: "route_invalid".to_owned() }, Vec::new()),
        None if parts.candidates.is_empty() && !ends => (error(), parts.filters),
        None => (Action::Forward { backends: parts.candidates }, parts.filters),
    };
    let limit = |of: fn(&HttpRouteTimeouts) -> &Option<TimeSpan>| {
        parts.timeouts.and_then(|timeouts| of(timeouts).as_ref()).map(TimeSpan::as_millis)
    };
    let rule = Rule {
        name: parts.name,
        matches: parts.matches,
        filters,
        action,
        request_timeout_ms: limit(|timeouts| &timeouts.request).unwrap_or(0),
        backend_timeout_ms: limit(|timeouts| &timeouts.backend_request),
        retry: parts.retry,
        session: parts.session,
    };
    RuleNode { rule, unserved: parts.unserved, bad_references: parts.bad_references }
}

/// Translates the rule of a route of connections.
pub(crate) fn l4_rule<'o>(
    route: &'o ObjectKey,
    rule: &'o L4RouteRule,
    backends: &mut Backends<'o>,
) -> RuleNode {
    let mut bad_references = Vec::new();
    let mut candidates = Vec::new();
    for reference in &rule.backend_refs {
        let backend = backends.resolve(route, reference.named(route));
        let backend = backend.map_err(|bad| bad_references.push(bad)).ok();
        let weight = reference.weight.as_u32();
        candidates.push(WeightedBackend { weight, backend, filters: Vec::new() });
    }
    let rule = Rule {
        name: rule.name.as_ref().map(|name| name.as_str().to_owned()),
        matches: Vec::new(),
        filters: Vec::new(),
        action: Action::Forward { backends: candidates },
        request_timeout_ms: 0,
        backend_timeout_ms: None,
        retry: None,
        session: None,
    };
    RuleNode { rule, unserved: None, bad_references }
}

fn translate(one: &HttpRouteMatch) -> Result<Match, String> {
    if one.path.r#type == PathMatchType::RegularExpression {
        check_regex(&one.path.value)?;
    }
    let headers = header_matches(&one.headers)?;
    let mut seen = HashSet::new();
    let mut query = Vec::new();
    for parameter in &one.query_params {
        let name = parameter.name.as_str().to_owned();
        let value = value(parameter.r#type, parameter.value.as_str())?;
        if seen.insert(name.clone()) {
            query.push(ValueMatch { name, value });
        }
    }
    Ok(Match { path: path(one), method: one.method.map(|method| method.as_str().to_owned()), headers, query })
}

/// Conditions on header fields; the first of a name counts.
pub(crate) fn header_matches(wanted: &[HttpHeaderMatch]) -> Result<Vec<ValueMatch>, String> {
    let mut seen = HashSet::new();
    let mut headers = Vec::new();
    for header in wanted {
        let name = header.name.as_str().to_lowercase();
        let value = value(header.r#type, header.value.as_str())?;
        if seen.insert(name.clone()) {
            headers.push(ValueMatch { name, value });
        }
    }
    Ok(headers)
}

fn path(one: &HttpRouteMatch) -> PathMatch {
    let value = one.path.value.as_str();
    match one.path.r#type {
        PathMatchType::Exact => PathMatch::Exact(value.to_owned()),
        PathMatchType::RegularExpression => PathMatch::Regex(value.to_owned()),
        PathMatchType::PathPrefix => match value.trim_end_matches('/') {
            "" => PathMatch::Prefix("/".to_owned()),
            trimmed => PathMatch::Prefix(trimmed.to_owned()),
        },
    }
}

fn value(kind: ValueMatchType, value: &str) -> Result<StringMatch, String> {
    match kind {
        ValueMatchType::Exact => Ok(StringMatch::Exact(value.to_owned())),
        ValueMatchType::RegularExpression => {
            check_regex(value)?;
            Ok(StringMatch::Regex(value.to_owned()))
        }
    }
}

/// Patterns are matched in linear time and bounded in size.
pub(crate) fn check_regex(pattern: &str) -> Result<(), String> {
    let limits = Regex::config().nfa_size_limit(Some(REGEX_BYTES)).onepass(false);
    match Regex::builder().configure(limits).build(&format!("^(?:{pattern})$")) {
        Ok(_) => Ok(()),
        Err(error) if error.size_limit().is_some() => {
            Err(format!("pattern `{pattern}` is too large; make it shorter"))
        }
        Err(_) => Err(format!(
            "pattern `{pattern}` is not a valid regular expression (no look-around, no back references)"
        )),
    }
}

/// Time before the first retry where a rule names none, in milliseconds.
const BACKOFF_MS: u64 = 25;
/// Bound of a compiled pattern.
const REGEX_BYTES: usize = 64 * 1024;
