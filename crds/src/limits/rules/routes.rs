//! Rules of routes.

use std::net::IpAddr;

use serde_json::Value;

use super::Broken;
use super::common::{References, has, items, list, text};
use crate::objects::names::is_subdomain;

/// A parent stands twice.
pub(super) fn parents_once(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let index = parents(now).twice()?;
    Some(
        Broken::new(format!("[{index}]"), "the same parent stands twice")
            .hints("tell them apart by `sectionName` or `port`, or remove one"),
    )
}

/// References to one parent are told apart by the same fields.
pub(super) fn parents_apart(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let index = parents(now).in_two_ways()?;
    Some(
        Broken::new(format!("[{index}]"), "the same parent stands twice, told apart in two ways")
            .hints("give every reference to it a `sectionName`, or every one a `port`"),
    )
}

fn parents(now: &Value) -> References<'_> {
    let all = items(now).iter().map(|parent| {
        let same = ["group", "kind", "name", "namespace"].map(|name| text(parent, name)).to_vec();
        let section = text(parent, "sectionName");
        let port = parent.get("port").and_then(Value::as_i64).unwrap_or(0);
        (same, vec![section.to_owned(), port.to_string()], vec![section.is_empty(), port == 0])
    });
    References { all: all.collect() }
}

/// All rules of a route together have a bounded number of matches.
pub(super) fn matches(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let n_matches: usize = items(now).iter().map(|rule| list(rule, "matches").len()).sum();
    let is_broken = n_matches > MATCHES_MAX;
    is_broken.then(|| Broken::new("", format!("{n_matches} matches in all rules")).allows("at most 128"))
}

/// A rule that redirects has no back ends.
pub(super) fn redirects_end(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let redirects = list(now, "filters").iter().any(|filter| has(filter, "requestRedirect"));
    let is_broken = redirects && !list(now, "backendRefs").is_empty();
    is_broken.then(|| {
        Broken::new(".backendRefs", "a rule that redirects has no back ends")
            .hints("remove `backendRefs` or the RequestRedirect filter")
    })
}

/// A filter that replaces a prefix needs one match, of a prefix.
pub(super) fn prefix(now: &Value, filter: &str, is_of_back_ends: bool) -> Option<Broken> {
    let replaces = |one: &&Value| {
        let path = one.get(filter).and_then(|filter| filter.get("path"));
        path.is_some_and(|path| text(path, "type") == "ReplacePrefixMatch" && has(path, "replacePrefixMatch"))
    };
    // Two of them are another rule's.
    let is_one = |filters: &[Value]| filters.iter().filter(replaces).count() == 1;
    let index = |filters: &[Value]| filters.iter().position(|one| replaces(&one)).unwrap_or_default();
    let at = if is_of_back_ends {
        let all = list(now, "backendRefs");
        let mut found = all.iter().enumerate().filter(|(_, one)| is_one(list(one, "filters")));
        let (place, one) = found.next()?;
        if found.next().is_some() {
            return None;
        }
        format!(".backendRefs[{place}].filters[{}].{filter}.path", index(list(one, "filters")))
    } else {
        let filters = list(now, "filters");
        if !is_one(filters) {
            return None;
        }
        format!(".filters[{}].{filter}.path", index(filters))
    };
    let has_one_prefix = match list(now, "matches") {
        [one] => one.get("path").is_some_and(|path| text(path, "type") == "PathPrefix"),
        _ => false,
    };
    (!has_one_prefix).then(|| {
        Broken::new(at, "ReplacePrefixMatch needs exactly one match, with a PathPrefix, in the rule")
            .hints("split the rule, or use ReplaceFullPath")
    })
}

/// A redirection is not rewritten.
pub(super) fn redirect_or_rewrite(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let has_type = |word: &str| items(now).iter().any(|filter| text(filter, "type") == word);
    let is_broken = has_type("RequestRedirect") && has_type("URLRewrite");
    is_broken.then(|| {
        Broken::new("", "RequestRedirect and URLRewrite exclude each other").hints("remove one of the two")
    })
}

/// `*` stands for all.
pub(super) fn star_alone(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let all = items(now);
    let is_broken = all.len() > 1 && all.iter().any(|one| one.as_str() == Some("*"));
    is_broken.then(|| {
        Broken::new("", "`*` stands for all and excludes others").hints("remove `*`, or all but `*`")
    })
}

/// The share that is copied is told in one way.
pub(super) fn percent_or_fraction(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_broken = has(now, "percent") && has(now, "fraction");
    is_broken.then(|| {
        Broken::new("", "`percent` and `fraction` exclude each other").hints("remove one of the two")
    })
}

/// A share is no more than all.
pub(super) fn fraction(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let part = |name| now.get(name).and_then(Value::as_i64).unwrap_or_default();
    let is_broken = part("numerator") > part("denominator");
    is_broken.then(|| Broken::new("", "more than all").allows("a numerator up to the denominator"))
}

/// A cookie that outlives the browser has an end.
pub(super) fn permanent_cookie(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_permanent = now.get("cookie").is_some_and(|cookie| text(cookie, "lifetimeType") == "Permanent");
    let is_broken = is_permanent && !has(now, "absoluteTimeout");
    is_broken
        .then(|| Broken::new("", "a permanent cookie needs `absoluteTimeout`").hints("add `absoluteTimeout`"))
}

/// A match of methods names one.
pub(super) fn service_or_method(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_broken = has(now, "type") && !has(now, "service") && !has(now, "method");
    is_broken.then(|| Broken::new("", "neither `service` nor `method`").allows("one of them or both"))
}

/// The form of services.
pub(super) fn grpc_service(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let service = exact(now, "service")?;
    let is_broken = !service.strip_prefix('.').unwrap_or(service).split('.').all(is_word);
    is_broken.then(|| {
        Broken::new(".service", format!("`{service}` is no name of a service"))
            .allows("words of letters, digits and _, joined by dots, like shop.v1.Cart")
    })
}

/// The form of methods.
pub(super) fn grpc_method(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let method = exact(now, "method")?;
    (!is_word(method)).then(|| {
        Broken::new(".method", format!("`{method}` is no name of a method"))
            .allows("letters, digits and _, like GetCart")
    })
}

fn exact<'v>(now: &'v Value, name: &str) -> Option<&'v str> {
    let is_exact = now.get("type").is_none_or(|word| word.as_str() == Some("Exact"));
    now.get(name).and_then(Value::as_str).filter(|_| is_exact)
}

fn is_word(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Names of hosts are no addresses.
pub(super) fn no_addresses(now: &Value, _: Option<&Value>) -> Option<Broken> {
    find(now, |name| name.parse::<IpAddr>().is_ok(), "a DNS name, no address")
}

/// Names of hosts have their form.
pub(super) fn plain_names(now: &Value, _: Option<&Value>) -> Option<Broken> {
    find(now, |name| !name.contains('*') && !is_subdomain(name), "a DNS name in lower case")
}

/// A wildcard is the first label, and the rest has its form.
pub(super) fn wildcard_names(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_wrong = |name: &str| name.contains('*') && !name.strip_prefix("*.").is_some_and(is_subdomain);
    find(now, is_wrong, "`*` only as the first label")
}

fn find(now: &Value, is_wrong: impl Fn(&str) -> bool, allowed: &'static str) -> Option<Broken> {
    let names = items(now).iter().map(|name| name.as_str().unwrap_or_default()).enumerate();
    let (index, name) = names.into_iter().find(|(_, name)| is_wrong(name))?;
    Some(Broken::new(format!("[{index}]"), format!("`{name}` is no host name")).allows(allowed))
}

/// Matches of all rules of a route together.
const MATCHES_MAX: usize = 128;
