//! Filters of rules and backendRefs.

use std::collections::HashSet;

use igw_crds::objects::ObjectKey;
use igw_crds::objects::external_auth::{ExternalAuth, ExternalAuthProtocol};
use igw_crds::objects::http_route::{
    Cors, HeaderModifier, HttpFilterType, HttpPathModifier, HttpRouteFilter, PathModifierType,
    RedirectScheme, RequestMirror,
};
use igw_crds::objects::meta::BackendObjectReference;
use igw_crds::objects::names::HeaderName;
use igw_crds::snapshot::{
    Authorization, AuthorizationProtocol, BackendId, Filter, HeaderEdit, Mirror, PathEdit, Redirect, Rewrite,
};

use crate::backends::{Backends, BadReference};
use crate::named::BackendReference as _;

/// A filter that names another back end.
pub(crate) enum Elsewhere<'o> {
    Mirror(&'o RequestMirror),
    Authorize(&'o ExternalAuth),
}

/// Filters in order, or the one that is not served. `find` finds the back ends that they name.
pub(crate) fn filters<'o>(
    filters: &'o [HttpRouteFilter],
    mut find: impl FnMut(Elsewhere<'o>) -> Option<Filter>,
) -> Result<Vec<Filter>, String> {
    filters.iter().filter_map(|filter| one(filter, &mut find).transpose()).collect()
}

fn one<'o>(
    filter: &'o HttpRouteFilter,
    find: impl FnOnce(Elsewhere<'o>) -> Option<Filter>,
) -> Result<Option<Filter>, String> {
    let unserved = |name: &str| Err(format!("filter {name} is not served by this version"));
    Ok(match filter.r#type {
        HttpFilterType::RequestHeaderModifier => {
            filter.request_header_modifier.as_ref().map(edit).map(Filter::RequestHeaders)
        }
        HttpFilterType::ResponseHeaderModifier => {
            filter.response_header_modifier.as_ref().map(edit).map(Filter::ResponseHeaders)
        }
        HttpFilterType::RequestRedirect => filter.request_redirect.as_ref().map(|redirect| {
            Filter::Redirect(Redirect {
                scheme: redirect.scheme.map(|scheme| match scheme {
                    RedirectScheme::Http => "http".to_owned(),
                    RedirectScheme::Https => "https".to_owned(),
                }),
                hostname: redirect.hostname.as_ref().map(|name| name.as_str().to_owned()),
                port: redirect.port.map(|port| port.as_u16()),
                path: redirect.path.as_ref().map(path_edit),
                status: u16::try_from(redirect.status_code).unwrap_or(302),
            })
        }),
        HttpFilterType::UrlRewrite => filter.url_rewrite.as_ref().map(|rewrite| {
            Filter::Rewrite(Rewrite {
                hostname: rewrite.hostname.as_ref().map(|name| name.as_str().to_owned()),
                path: rewrite.path.as_ref().map(path_edit),
            })
        }),
        HttpFilterType::RequestMirror => filter.request_mirror.as_ref().map(Elsewhere::Mirror).and_then(find),
        HttpFilterType::Cors => filter.cors.as_ref().map(cors).map(Filter::Cors),
        HttpFilterType::ExternalAuth => {
            filter.external_auth.as_ref().map(Elsewhere::Authorize).and_then(find)
        }
        HttpFilterType::ExtensionRef => return unserved("ExtensionRef"),
    })
}

/// Finds the back ends that the filters of one route name. A copy that would lead nowhere is left out, and told: the
/// request itself goes on. Nothing goes on that nobody can allow.
pub(crate) fn elsewhere<'o, 'b>(
    route: &'o ObjectKey,
    backends: &'b mut Backends<'o>,
    bad_references: &'b mut Vec<BadReference>,
) -> impl FnMut(Elsewhere<'o>) -> Option<Filter> {
    let mut resolve = |reference: &'o BackendObjectReference| {
        backends.resolve(route, reference.named(route)).map_err(|bad| bad_references.push(bad)).ok()
    };
    move |filter| match filter {
        Elsewhere::Authorize(auth) => Some(match resolve(&auth.backend_ref) {
            Some(backend) => Filter::Authorize(authorization(backend, auth)),
            None => Filter::Fail { status: 500, cause: "auth_invalid".to_owned() },
        }),
        Elsewhere::Mirror(mirror) => {
            let backend = resolve(&mirror.backend_ref)?;
            let natural = |number: i32| u32::try_from(number).unwrap_or_default();
            let (numerator, denominator) = match (mirror.percent, mirror.fraction) {
                (Some(percent), _) => (natural(percent), 100),
                (None, Some(fraction)) => (natural(fraction.numerator), natural(fraction.denominator).max(1)),
                (None, None) => (1, 1),
            };
            Some(Filter::Mirror(Mirror { backend, numerator, denominator }))
        }
    }
}

pub(crate) fn authorization(backend: BackendId, auth: &ExternalAuth) -> Authorization {
    let names = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect();
    let (http, grpc) = (auth.http.as_ref(), auth.grpc.as_ref());
    let path = http.and_then(|http| http.path.as_deref()).unwrap_or_default();
    let (protocol, request_fields) = match auth.protocol {
        ExternalAuthProtocol::Http => {
            (AuthorizationProtocol::Http, http.map_or_else(Vec::new, |http| names(&http.allowed_headers)))
        }
        ExternalAuthProtocol::Grpc => {
            (AuthorizationProtocol::Grpc, grpc.map_or_else(Vec::new, |grpc| names(&grpc.allowed_headers)))
        }
    };
    Authorization {
        backend,
        protocol,
        path_prefix: path.trim_end_matches('/').to_owned(),
        request_fields,
        answer_fields: http.map_or_else(Vec::new, |http| names(&http.allowed_response_headers)),
        body_bytes: auth.forward_body.map_or(0, |body| u32::try_from(body.max_size).unwrap_or_default()),
    }
}

/// Names in lower case; the first entry of a name counts.
pub(crate) fn edit(modifier: &HeaderModifier) -> HeaderEdit {
    let mut seen = HashSet::new();
    let mut fields = |headers: &[igw_crds::objects::http_route::HttpHeader]| -> Vec<(String, String)> {
        headers
            .iter()
            .map(|header| (header.name.as_str().to_lowercase(), header.value.as_str().to_owned()))
            .filter(|(name, _)| seen.insert(name.clone()))
            .collect()
    };
    HeaderEdit {
        set: fields(&modifier.set),
        add: fields(&modifier.add),
        remove: modifier.remove.iter().map(|name| name.to_lowercase()).collect(),
    }
}

fn cors(cors: &Cors) -> igw_crds::snapshot::Cors {
    let names = |names: &[HeaderName]| names.iter().map(|name| name.as_str().to_owned()).collect();
    igw_crds::snapshot::Cors {
        origins: cors.allow_origins.iter().map(|origin| origin.as_str().to_owned()).collect(),
        allows_credentials: cors.allow_credentials.unwrap_or_default(),
        methods: cors.allow_methods.iter().map(|method| method.as_str().to_owned()).collect(),
        headers: names(&cors.allow_headers),
        exposed: names(&cors.expose_headers),
        max_age_s: u32::try_from(cors.max_age).unwrap_or_default(),
    }
}

fn path_edit(path: &HttpPathModifier) -> PathEdit {
    match path.r#type {
        PathModifierType::ReplaceFullPath => {
            PathEdit::Full(path.replace_full_path.clone().unwrap_or_default())
        }
        PathModifierType::ReplacePrefixMatch => {
            PathEdit::Prefix(path.replace_prefix_match.clone().unwrap_or_default())
        }
    }
}
