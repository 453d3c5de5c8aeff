//! Rules of ExternalAuth, a filter of routes and of listeners.

use super::Problems;
use crate::objects::external_auth::{ExternalAuth, ExternalAuthProtocol};

/// What the protocol needs is there, and nothing else.
pub(crate) fn external_auth(field: &str, auth: &ExternalAuth, problems: &mut Problems) {
    let (http, grpc) = (auth.http.is_some(), auth.grpc.is_some());
    let present = [(ExternalAuthProtocol::Http, "http", http), (ExternalAuthProtocol::Grpc, "grpc", grpc)];
    for (protocol, name, is_there) in present {
        if protocol == auth.protocol && !is_there {
            problems.add(field, format!("`{name}` is missing")).hints(format!("add `{name}: {{}}`"));
        }
        if protocol != auth.protocol && is_there {
            problems
                .add(format!("{field}.{name}"), "does not belong to this protocol")
                .hints("remove it, or change `protocol`");
        }
    }
    if auth.forward_body.is_some_and(|body| body.max_size < 0) {
        problems.add(format!("{field}.forwardBody.maxSize"), "is out of range").allows("0 or more");
    }
    if let Some(path) = auth.http.as_ref().and_then(|http| http.path.as_deref()) {
        problems.length(&format!("{field}.http.path"), path.len(), 0, 1024, "characters");
        if !is_path(path.as_bytes()) {
            problems.add(format!("{field}.http.path"), "is no path").allows(
                "letters, digits, `/` and other characters of paths, or `%` with two hexadecimal digits",
            );
        }
    }
    let none: &[String] = &[];
    let lists = [
        ("grpc.allowedHeaders", auth.grpc.as_ref().map_or(none, |grpc| &grpc.allowed_headers)),
        ("http.allowedHeaders", auth.http.as_ref().map_or(none, |http| &http.allowed_headers)),
        (
            "http.allowedResponseHeaders",
            auth.http.as_ref().map_or(none, |http| &http.allowed_response_headers),
        ),
    ];
    for (name, list) in lists {
        let field = format!("{field}.{name}");
        problems.length(&field, list.len(), 0, 64, "entries");
        problems.unique(&field, "", list.iter().map(String::as_str));
    }
}

/// Characters of paths alone (RFC 3986 3.3): nothing else may get into the line of a request.
fn is_path(path: &[u8]) -> bool {
    let mut rest = path;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
            [byte, tail @ ..] if byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(byte) => tail,
            _ => return false,
        };
    }
}
