//! Rules of GRPCRoutes: calls are requests of HTTP, `POST /<service>/<method>`.

use igw_crds::objects::ObjectKey;
use igw_crds::objects::grpc_route::{
    GrpcFilterType, GrpcMethodMatch, GrpcRouteFilter, GrpcRouteMatch, GrpcRouteRule,
};
use igw_crds::objects::http_route::ValueMatchType;
use igw_crds::snapshot::{Filter, Match, PathMatch, WeightedBackend};

use crate::backends::Backends;
use crate::filters::{Elsewhere, edit, elsewhere};
use crate::named::BackendReference as _;
use crate::rules::{RuleNode, Translated, check_regex, finish, header_matches, session};

/// Translates a rule. One that is not served answers an error: its calls never fall to another rule.
pub(crate) fn grpc_rule<'o>(
    route: &'o ObjectKey,
    rule: &'o GrpcRouteRule,
    backends: &mut Backends<'o>,
) -> RuleNode {
    let mut unserved = None;
    let every = [GrpcRouteMatch::default()];
    let wanted = if rule.matches.is_empty() { &every[..] } else { &rule.matches };
    let mut matches = Vec::new();
    for one in wanted {
        let path = path(one.method.as_ref());
        let headers = header_matches(&one.headers);
        match (path, headers) {
            (Ok(path), Ok(headers)) => {
                matches.push(Match { path, method: None, headers, query: Vec::new() });
            }
            (path, headers) => {
                unserved = path.as_ref().err().or(headers.as_ref().err()).cloned();
                // What it would take is not given to other rules.
                let path = path.unwrap_or_else(|_| PathMatch::Prefix("/".to_owned()));
                matches.push(Match { path, method: None, headers: Vec::new(), query: Vec::new() });
            }
        }
    }
    let mut bad_references = Vec::new();
    let found = filters(&rule.filters, elsewhere(route, backends, &mut bad_references));
    let filters = found.unwrap_or_else(|message| {
        unserved = Some(message);
        Vec::new()
    });
    let mut candidates = Vec::new();
    for reference in &rule.backend_refs {
        let found = self::filters(&reference.filters, elsewhere(route, backends, &mut bad_references));
        let filters = found.unwrap_or_else(|message| {
            unserved = Some(message);
            Vec::new()
        });
        let backend = backends.resolve(route, reference.named(route));
        candidates.push(WeightedBackend {
            weight: reference.weight.as_u32(),
            backend: backend.map_err(|bad| bad_references.push(bad)).ok(),
            filters,
        });
    }
    let name = rule.name.as_ref().map(|name| name.as_str().to_owned());
    finish(Translated {
        name,
        matches,
        filters,
        candidates,
        unserved,
        bad_references,
        timeouts: None,
        retry: None,
        session: rule.session_persistence.as_ref().map(session),
    })
}

/// The path of the calls.
fn path(method: Option<&GrpcMethodMatch>) -> Result<PathMatch, String> {
    let Some(one) = method else { return Ok(PathMatch::Prefix("/".to_owned())) };
    let present = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (service, method) = (present(&one.service), present(&one.method));
    if one.r#type == ValueMatchType::RegularExpression {
        let part = |part: Option<String>| part.unwrap_or_else(|| "[^/]+".to_owned());
        let pattern = format!("/(?:{})/(?:{})", part(service), part(method));
        check_regex(&pattern)?;
        return Ok(PathMatch::Regex(pattern));
    }
    Ok(match (service, method) {
        (Some(service), Some(method)) => PathMatch::Exact(format!("/{service}/{method}")),
        (Some(service), None) => PathMatch::Prefix(format!("/{service}")),
        (None, Some(method)) => PathMatch::Method(method),
        (None, None) => PathMatch::Prefix("/".to_owned()),
    })
}

/// Filters in order, or the one that is not served.
fn filters<'o>(
    filters: &'o [GrpcRouteFilter],
    mut find: impl FnMut(Elsewhere<'o>) -> Option<Filter>,
) -> Result<Vec<Filter>, String> {
    let unserved = |name: &str| Err(format!("filter {name} is not served by this version"));
    let mut one = |filter: &'o GrpcRouteFilter| match filter.r#type {
        GrpcFilterType::RequestHeaderModifier => {
            Ok(filter.request_header_modifier.as_ref().map(edit).map(Filter::RequestHeaders))
        }
        GrpcFilterType::ResponseHeaderModifier => {
            Ok(filter.response_header_modifier.as_ref().map(edit).map(Filter::ResponseHeaders))
        }
        GrpcFilterType::RequestMirror => {
            Ok(filter.request_mirror.as_ref().map(Elsewhere::Mirror).and_then(&mut find))
        }
        GrpcFilterType::ExtensionRef => unserved("ExtensionRef"),
    };
    filters.iter().filter_map(|filter| one(filter).transpose()).collect()
}
