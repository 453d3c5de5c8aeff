//! Filters of rules and backendRefs.

use std::collections::HashSet;

use igw_crds::objects::http_route::{
    Cors, HeaderModifier, HttpFilterType, HttpPathModifier, HttpRouteFilter, PathModifierType, RedirectScheme,
};
use igw_crds::objects::names::HeaderName;
use igw_crds::snapshot::{Filter, HeaderEdit, PathEdit, Redirect, Rewrite};

/// Filters in order, or the one that is not served.
pub(crate) fn filters(filters: &[HttpRouteFilter]) -> Result<Vec<Filter>, String> {
    filters.iter().filter_map(|filter| one(filter).transpose()).collect()
}

fn one(filter: &HttpRouteFilter) -> Result<Option<Filter>, String> {
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
        HttpFilterType::RequestMirror => return unserved("RequestMirror"),
        HttpFilterType::Cors => filter.cors.as_ref().map(cors).map(Filter::Cors),
        HttpFilterType::ExternalAuth => return unserved("ExternalAuth"),
        HttpFilterType::ExtensionRef => return unserved("ExtensionRef"),
    })
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
