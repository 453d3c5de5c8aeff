//! Rules of GRPCRoute.

use super::Problems;
use super::http_route::{header_conditions, header_modifier, mirror, parents, rule_names};
use crate::objects::grpc_route::{
    GrpcBackendRef, GrpcFilterType, GrpcMethodMatch, GrpcRouteFilter, GrpcRouteRule, GrpcRouteSpec,
};
use crate::objects::http_route::ValueMatchType;
use crate::yaml::Fault;

pub(crate) fn grpc_route(spec: &GrpcRouteSpec, problems: &mut Problems) {
    parents(&spec.parent_refs, problems);
    problems.length("spec.hostnames", spec.hostnames.len(), 0, 16, "hostnames");
    problems.length("spec.rules", spec.rules.len(), 0, 16, "rules");
    let n_matches: usize = spec.rules.iter().map(|rule| rule.matches.len()).sum();
    if n_matches > 128 {
        problems.add("spec.rules", format!("{n_matches} matches in all rules")).allows("at most 128");
    }
    rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()), problems);
    for (index, rule) in spec.rules.iter().enumerate() {
        self::rule(&format!("spec.rules[{index}]"), rule, problems);
    }
}

fn rule(field: &str, rule: &GrpcRouteRule, problems: &mut Problems) {
    problems.length(&format!("{field}.matches"), rule.matches.len(), 0, 64, "matches");
    problems.length(&format!("{field}.backendRefs"), rule.backend_refs.len(), 0, 16, "back ends");
    for (index, one) in rule.matches.iter().enumerate() {
        let field = format!("{field}.matches[{index}]");
        header_conditions(&field, &one.headers, problems);
        if let Some(method) = &one.method {
            self::method(&format!("{field}.method"), method, problems);
        }
    }
    filters(&format!("{field}.filters"), &rule.filters, problems);
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        self::backend(&format!("{field}.backendRefs[{index}]"), backend, problems);
    }
}

fn backend(field: &str, backend: &GrpcBackendRef, problems: &mut Problems) {
    problems.length(&format!("{field}.name"), backend.name.chars().count(), 1, 253, "characters");
    if backend.group.as_str().is_empty() && backend.kind.as_str() == "Service" && backend.port.is_none() {
        problems.add(field, "a Service reference needs a port").hints("add `port`");
    }
    filters(&format!("{field}.filters"), &backend.filters, problems);
}

/// CEL rules of GRPCMethodMatch.
fn method(field: &str, one: &GrpcMethodMatch, problems: &mut Problems) {
    let present = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if !present(&one.service) && !present(&one.method) {
        problems.add(field, "neither `service` nor `method`").allows("one of them or both");
    }
    for (name, text) in [("service", &one.service), ("method", &one.method)] {
        let Some(text) = text else { continue };
        let field = format!("{field}.{name}");
        problems.length(&field, text.chars().count(), 0, 1024, "characters");
        if one.r#type == ValueMatchType::RegularExpression || text.is_empty() {
            continue;
        }
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let is_valid = match name {
            "service" => text.strip_prefix('.').unwrap_or(text).split('.').all(is_word),
            _ => is_word(text),
        };
        if !is_valid {
            problems.add(field, format!("`{text}` is no name of a {name}")).allows(match name {
                "service" => "words of letters, digits and _, joined by dots, like shop.v1.Cart",
                _ => "letters, digits and _, like GetCart",
            });
        }
    }
}

fn filters(field: &str, filters: &[GrpcRouteFilter], problems: &mut Problems) {
    problems.length(field, filters.len(), 0, 16, "filters");
    let mut seen = std::collections::HashSet::new();
    for (index, filter) in filters.iter().enumerate() {
        let at = format!("{field}[{index}]");
        let may_repeat =
            matches!(filter.r#type, GrpcFilterType::RequestMirror | GrpcFilterType::ExtensionRef);
        if !may_repeat && !seen.insert(filter.r#type) {
            problems
                .add(format!("{at}.type"), format!("{:?} stands twice", filter.r#type))
                .is_a(Fault::Duplicate)
                .hints("merge the two filters");
        }
        let present = [
            (
                GrpcFilterType::RequestHeaderModifier,
                "requestHeaderModifier",
                filter.request_header_modifier.is_some(),
            ),
            (
                GrpcFilterType::ResponseHeaderModifier,
                "responseHeaderModifier",
                filter.response_header_modifier.is_some(),
            ),
            (GrpcFilterType::RequestMirror, "requestMirror", filter.request_mirror.is_some()),
            (GrpcFilterType::ExtensionRef, "extensionRef", filter.extension_ref.is_some()),
        ];
        problems.only_of_type(&at, filter.r#type, &present);
        for (name, modifier) in [
            ("requestHeaderModifier", &filter.request_header_modifier),
            ("responseHeaderModifier", &filter.response_header_modifier),
        ] {
            if let Some(modifier) = modifier {
                header_modifier(&format!("{at}.{name}"), modifier, problems);
            }
        }
        if let Some(copy) = &filter.request_mirror {
            mirror(&format!("{at}.requestMirror"), copy, problems);
        }
    }
}
