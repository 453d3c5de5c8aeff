//! Rules of HTTPRoute.

use std::collections::HashSet;

use super::Problems;
use super::external_auth::external_auth;
use crate::objects::http_route::{
    Cors, HeaderModifier, HttpFilterType, HttpHeaderMatch, HttpMethod, HttpPathModifier, HttpRouteFilter,
    HttpRouteMatch, HttpRouteRule, HttpRouteSpec, ParentReference, PathMatchType, PathModifierType,
    RequestMirror,
};
use crate::objects::names::{HeaderName, SectionName};
use crate::yaml::Fault;

pub(crate) fn http_route(spec: &HttpRouteSpec, problems: &mut Problems) {
    parents(&spec.parent_refs, problems);
    problems.length("spec.hostnames", spec.hostnames.len(), 0, 16, "hostnames");
    problems.length("spec.rules", spec.rules.len(), 1, 16, "rules");
    let n_matches: usize = spec.rules.iter().map(|rule| rule.matches.len()).sum();
    if n_matches > 128 {
        problems.add("spec.rules", format!("{n_matches} matches in all rules")).allows("at most 128");
    }
    rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()), problems);
    for (index, rule) in spec.rules.iter().enumerate() {
        self::rule(&format!("spec.rules[{index}]"), rule, problems);
    }
}

/// Parents of a route, each once.
pub(crate) fn parents(references: &[ParentReference], problems: &mut Problems) {
    problems.length("spec.parentRefs", references.len(), 0, 32, "parents");
    let mut seen = HashSet::new();
    for (index, parent) in references.iter().enumerate() {
        if !seen.insert(parent) {
            problems
                .add(format!("spec.parentRefs[{index}]"), "the same parent stands twice")
                .hints("tell them apart by `sectionName` or `port`, or remove one");
            continue;
        }
        let is_same = |other: &&ParentReference| {
            (&other.group, &other.kind, &other.namespace, &other.name)
                == (&parent.group, &parent.kind, &parent.namespace, &parent.name)
        };
        let says = |one: &ParentReference| (one.section_name.is_some(), one.port.is_some());
        if references.iter().take(index).filter(is_same).any(|other| says(other) != says(parent)) {
            problems
                .add(
                    format!("spec.parentRefs[{index}]"),
                    "the same parent stands twice, told apart in two ways",
                )
                .hints("give every reference to it a `sectionName`, or every one a `port`");
        }
    }
}

/// Names of the rules of a route, each once.
pub(crate) fn rule_names<'n>(names: impl Iterator<Item = Option<&'n SectionName>>, problems: &mut Problems) {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        let Some(name) = name.map(SectionName::as_str) else { continue };
        if !seen.insert(name) {
            problems
                .add(format!("spec.rules[{index}].name"), format!("`{name}` stands twice"))
                .is_a(Fault::Duplicate)
                .hints("every rule needs a name of its own");
        }
    }
}

fn rule(field: &str, rule: &HttpRouteRule, problems: &mut Problems) {
    problems.length(&format!("{field}.matches"), rule.matches.len(), 0, 64, "matches");
    problems.length(&format!("{field}.backendRefs"), rule.backend_refs.len(), 0, 16, "back ends");
    for (index, one) in rule.matches.iter().enumerate() {
        self::one_match(&format!("{field}.matches[{index}]"), one, problems);
    }
    filters(&format!("{field}.filters"), &rule.filters, rule, problems);
    let redirects = rule.filters.iter().any(|filter| filter.r#type == HttpFilterType::RequestRedirect);
    if redirects && !rule.backend_refs.is_empty() {
        problems
            .add(format!("{field}.backendRefs"), "a rule that redirects has no back ends")
            .hints("remove `backendRefs` or the RequestRedirect filter");
    }
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        let field = format!("{field}.backendRefs[{index}]");
        problems.length(&format!("{field}.name"), backend.name.chars().count(), 1, 253, "characters");
        if backend.group.as_str().is_empty() && backend.kind.as_str() == "Service" && backend.port.is_none() {
            problems.add(&field, "a Service reference needs a port").hints("add `port`");
        }
        filters(&format!("{field}.filters"), &backend.filters, rule, problems);
    }
    if let Some(timeouts) = &rule.timeouts
        && let (Some(request), Some(backend)) = (&timeouts.request, &timeouts.backend_request)
        && request.as_millis() > 0
        && backend.as_millis() > request.as_millis()
    {
        problems
            .add(format!("{field}.timeouts.backendRequest"), format!("{backend} is longer than `request`"))
            .allows(format!("at most {request}"));
    }
    if let Some(retry) = &rule.retry {
        for (index, code) in retry.codes.iter().enumerate().filter(|(_, code)| !(400..=599).contains(*code)) {
            problems
                .add(format!("{field}.retry.codes[{index}]"), format!("{code} is not tried again"))
                .allows("400 to 599");
        }
        if retry.attempts < 0 {
            problems
                .add(format!("{field}.retry.attempts"), format!("{} attempts", retry.attempts))
                .allows("0 or more");
        }
    }
    if let Some(session) = &rule.session_persistence {
        use crate::objects::http_route::{CookieLifetime, SessionPersistenceType};
        if session.r#type == SessionPersistenceType::Header && session.header.is_none() {
            problems
                .add(format!("{field}.sessionPersistence"), "type Header needs `header`")
                .hints("add `header: {name: …}`");
        }
        let is_permanent =
            session.cookie.as_ref().is_some_and(|cookie| cookie.lifetime_type == CookieLifetime::Permanent);
        if is_permanent && session.absolute_timeout.is_none() {
            problems
                .add(format!("{field}.sessionPersistence"), "a permanent cookie needs `absoluteTimeout`")
                .hints("add `absoluteTimeout`");
        }
    }
}

fn one_match(field: &str, one: &HttpRouteMatch, problems: &mut Problems) {
    let path_field = format!("{field}.path.value");
    let path = &one.path.value;
    problems.length(&path_field, path.chars().count(), 0, 1024, "characters");
    if one.path.r#type != PathMatchType::RegularExpression {
        literal_path(&path_field, path, problems);
    }
    header_conditions(field, &one.headers, problems);
    problems.length(&format!("{field}.queryParams"), one.query_params.len(), 0, 16, "parameters");
    problems.unique(
        &format!("{field}.queryParams"),
        ".name",
        one.query_params.iter().map(|param| param.name.as_str()),
    );
    if one.method == Some(HttpMethod::Connect) {
        problems.add(format!("{field}.method"), "CONNECT is not forwarded").hints("remove the match");
    }
}

/// Conditions on header fields, each name once.
pub(crate) fn header_conditions(field: &str, headers: &[HttpHeaderMatch], problems: &mut Problems) {
    problems.length(&format!("{field}.headers"), headers.len(), 0, 16, "headers");
    let mut names = HashSet::new();
    for (index, header) in headers.iter().enumerate() {
        if !names.insert(header.name.as_str().to_lowercase()) {
            problems
                .add(format!("{field}.headers[{index}].name"), format!("`{}` stands twice", header.name))
                .is_a(Fault::Duplicate)
                .hints("remove one of the two");
        }
    }
}

/// Exact and prefix paths (CEL rules of HTTPPathMatch).
fn literal_path(field: &str, path: &str, problems: &mut Problems) {
    if !path.starts_with('/') {
        problems.add(field, format!("`{path}` does not begin with `/`")).hints(format!("write `/{path}`"));
        return;
    }
    for forbidden in ["//", "/./", "/../", "%2f", "%2F", "#"] {
        if path.contains(forbidden) {
            problems
                .add(field, format!("`{path}` contains `{forbidden}`"))
                .hints("such a path never matches; write the plain path");
            return;
        }
    }
    if path.ends_with("/..") || path.ends_with("/.") {
        problems
            .add(field, format!("`{path}` ends with a dot segment"))
            .hints("such a path never matches; write the plain path");
        return;
    }
    let bytes = path.as_bytes();
    let is_valid = |index: usize| match bytes.get(index) {
        Some(b'%') => {
            bytes.get(index + 1).is_some_and(u8::is_ascii_hexdigit)
                && bytes.get(index + 2).is_some_and(u8::is_ascii_hexdigit)
        }
        Some(byte) => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(byte),
        None => true,
    };
    if let Some(index) = (0..bytes.len()).find(|index| !is_valid(*index)) {
        let wrong = path.get(index..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
        problems
            .add(field, format!("`{path}` contains `{wrong}`"))
            .allows("letters, digits, -._~!$&'()*+,;=:@/ and percent escapes");
    }
}

fn filters(field: &str, filters: &[HttpRouteFilter], rule: &HttpRouteRule, problems: &mut Problems) {
    problems.length(field, filters.len(), 0, 16, "filters");
    let mut seen = HashSet::new();
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("{field}[{index}]");
        let may_repeat =
            matches!(filter.r#type, HttpFilterType::RequestMirror | HttpFilterType::ExtensionRef);
        if !may_repeat && !seen.insert(filter.r#type) {
            problems
                .add(format!("{at}.type"), format!("{:?} stands twice", filter.r#type))
                .is_a(Fault::Duplicate)
                .hints("merge the two filters");
        }
        one_filter(&at, filter, rule, problems);
    }
    let has = |wanted| filters.iter().any(|filter| filter.r#type == wanted);
    if has(HttpFilterType::RequestRedirect) && has(HttpFilterType::UrlRewrite) {
        problems
            .add(field, "RequestRedirect and URLRewrite exclude each other")
            .hints("remove one of the two");
    }
}

fn one_filter(field: &str, filter: &HttpRouteFilter, rule: &HttpRouteRule, problems: &mut Problems) {
    use HttpFilterType as Type;
    let present = [
        (Type::RequestHeaderModifier, "requestHeaderModifier", filter.request_header_modifier.is_some()),
        (Type::ResponseHeaderModifier, "responseHeaderModifier", filter.response_header_modifier.is_some()),
        (Type::RequestMirror, "requestMirror", filter.request_mirror.is_some()),
        (Type::RequestRedirect, "requestRedirect", filter.request_redirect.is_some()),
        (Type::UrlRewrite, "urlRewrite", filter.url_rewrite.is_some()),
        (Type::Cors, "cors", filter.cors.is_some()),
        (Type::ExternalAuth, "externalAuth", filter.external_auth.is_some()),
        (Type::ExtensionRef, "extensionRef", filter.extension_ref.is_some()),
    ];
    problems.only_of_type(field, filter.r#type, &present);
    for (name, modifier) in [
        ("requestHeaderModifier", &filter.request_header_modifier),
        ("responseHeaderModifier", &filter.response_header_modifier),
    ] {
        if let Some(modifier) = modifier {
            header_modifier(&format!("{field}.{name}"), modifier, problems);
        }
    }
    if let Some(redirect) = &filter.request_redirect {
        if !matches!(redirect.status_code, 301 | 302 | 303 | 307 | 308) {
            problems
                .add(
                    format!("{field}.requestRedirect.statusCode"),
                    format!("{} is no redirection", redirect.status_code),
                )
                .is_a(Fault::Unsupported)
                .allows("301, 302, 303, 307, 308");
        }
        if let Some(path) = &redirect.path {
            path_modifier(&format!("{field}.requestRedirect.path"), path, rule, problems);
        }
    }
    if let Some(path) = filter.url_rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref()) {
        path_modifier(&format!("{field}.urlRewrite.path"), path, rule, problems);
    }
    if let Some(copy) = &filter.request_mirror {
        mirror(&format!("{field}.requestMirror"), copy, problems);
    }
    if let Some(auth) = &filter.external_auth {
        external_auth(&format!("{field}.externalAuth"), auth, problems);
    }
    if let Some(given) = &filter.cors {
        cors(&format!("{field}.cors"), given, problems);
    }
}

/// `*` stands alone, every entry once.
fn cors(field: &str, cors: &Cors, problems: &mut Problems) {
    if cors.max_age < 1 {
        problems.add(format!("{field}.maxAge"), "is out of range").allows("1 or more");
    }
    let origins: Vec<&str> = cors.allow_origins.iter().map(|origin| origin.as_str()).collect();
    let methods: Vec<&str> = cors.allow_methods.iter().map(|method| method.as_str()).collect();
    let allowed: Vec<&str> = cors.allow_headers.iter().map(HeaderName::as_str).collect();
    let exposed: Vec<&str> = cors.expose_headers.iter().map(HeaderName::as_str).collect();
    for (name, entries, max, is_alone) in [
        ("allowOrigins", &origins, 64, true),
        ("allowMethods", &methods, 9, true),
        ("allowHeaders", &allowed, 64, true),
        ("exposeHeaders", &exposed, 64, false),
    ] {
        let field = format!("{field}.{name}");
        problems.length(&field, entries.len(), 0, max, "entries");
        problems.unique(&field, "", entries.iter().copied());
        if is_alone && entries.len() > 1 && entries.contains(&"*") {
            problems
                .add(&field, "`*` stands for all and excludes others")
                .hints("remove `*`, or all but `*`");
        }
    }
}

/// The share of requests that is copied.
pub(crate) fn mirror(field: &str, mirror: &RequestMirror, problems: &mut Problems) {
    if mirror.percent.is_some() && mirror.fraction.is_some() {
        problems.add(field, "`percent` and `fraction` exclude each other").hints("remove one of the two");
    }
    if mirror.percent.is_some_and(|percent| !(0..=100).contains(&percent)) {
        problems.add(format!("{field}.percent"), "is out of range").allows("0 to 100");
    }
    if mirror.fraction.is_some_and(|fraction| {
        fraction.numerator < 0 || fraction.denominator < 1 || fraction.numerator > fraction.denominator
    }) {
        problems.add(format!("{field}.fraction"), "is out of range").allows("0 to 1");
    }
}

/// Operations on fields.
pub(crate) fn header_modifier(field: &str, modifier: &HeaderModifier, problems: &mut Problems) {
    let mut seen: HashSet<String> = HashSet::new();
    for (list, headers) in [("set", &modifier.set), ("add", &modifier.add)] {
        problems.length(&format!("{field}.{list}"), headers.len(), 0, 16, "fields");
        for (index, header) in headers.iter().enumerate() {
            header_name(&format!("{field}.{list}[{index}].name"), header.name.as_str(), &mut seen, problems);
        }
    }
    problems.length(&format!("{field}.remove"), modifier.remove.len(), 0, 16, "fields");
    for (index, name) in modifier.remove.iter().enumerate() {
        header_name(&format!("{field}.remove[{index}]"), name, &mut seen, problems);
    }
}

/// One operation per name; none on fields that frame or route a message.
fn header_name(field: &str, name: &str, seen: &mut HashSet<String>, problems: &mut Problems) {
    let lower = name.to_lowercase();
    match lower.as_str() {
        "host" => {
            problems
                .add(field, "Host is not changed by header modifiers")
                .hints("use URLRewrite with `hostname`");
        }
        "content-length" | "transfer-encoding" | "connection" | "upgrade" | "te" => {
            problems
                .add(field, format!("`{name}` frames the message and cannot be changed"))
                .hints("remove the entry");
        }
        _ => {}
    }
    if !seen.insert(lower) {
        problems.add(field, format!("`{name}` stands twice")).hints("one operation for each name");
    }
}

fn path_modifier(field: &str, path: &HttpPathModifier, rule: &HttpRouteRule, problems: &mut Problems) {
    let (wanted, is_there, other, is_other_there) = match path.r#type {
        PathModifierType::ReplaceFullPath => (
            "replaceFullPath",
            path.replace_full_path.is_some(),
            "replacePrefixMatch",
            path.replace_prefix_match.is_some(),
        ),
        PathModifierType::ReplacePrefixMatch => (
            "replacePrefixMatch",
            path.replace_prefix_match.is_some(),
            "replaceFullPath",
            path.replace_full_path.is_some(),
        ),
    };
    if !is_there {
        problems.add(field, format!("`{wanted}` is missing")).hints(format!("add `{wanted}`"));
    }
    if is_other_there {
        problems
            .add(format!("{field}.{other}"), "does not belong to this type")
            .hints("remove it, or change `type`");
    }
    for (name, value) in
        [("replaceFullPath", &path.replace_full_path), ("replacePrefixMatch", &path.replace_prefix_match)]
    {
        let Some(value) = value else { continue };
        problems.length(&format!("{field}.{name}"), value.chars().count(), 0, 1024, "characters");
        let is_printable =
            value.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'?' && byte != b'#');
        if !is_printable || !(value.is_empty() || value.starts_with('/')) {
            problems
                .add(format!("{field}.{name}"), format!("`{value}` is no path"))
                .allows("a path that begins with `/`, without query");
        }
    }
    let has_one_prefix = matches!(&rule.matches[..], [one] if one.path.r#type == PathMatchType::PathPrefix);
    if path.r#type == PathModifierType::ReplacePrefixMatch && !has_one_prefix {
        problems
            .add(field, "ReplacePrefixMatch needs exactly one match, with a PathPrefix, in the rule")
            .hints("split the rule, or use ReplaceFullPath");
    }
}
