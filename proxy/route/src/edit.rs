//! Rewritten paths and redirections (semantics A.8).

use std::io::Write;

use igw_crds::snapshot::{PathEdit, Redirect};

/// Appends the edited path. `matched` is the prefix that the rule's match had, if it was a prefix.
pub fn path(path: &[u8], matched: Option<&str>, edit: &PathEdit, out: &mut Vec<u8>) {
    match edit {
        PathEdit::Full(full) if full.is_empty() => out.push(b'/'),
        PathEdit::Full(full) => out.extend_from_slice(full.as_bytes()),
        PathEdit::Prefix(replacement) => {
            let prefix = matched.unwrap_or("/").trim_end_matches('/').as_bytes();
            let rest = path.strip_prefix(prefix).unwrap_or(path);
            let replacement = replacement.trim_end_matches('/').as_bytes();
            let start = out.len();
            out.extend_from_slice(replacement);
            // The rest is empty or begins with a slash: prefixes match whole segments.
            out.extend_from_slice(rest);
            if out.len() == start {
                out.push(b'/');
            }
        }
    }
}

/// Appends the Location of a redirection.
///
/// The port is the redirection's; else, if it names a scheme, that scheme's own; else the listener's. A port
/// that the scheme implies is left out. The query is kept.
#[allow(clippy::too_many_arguments)]
pub fn location(
    redirect: &Redirect,
    scheme: &str,
    host: &[u8],
    listener_port: u16,
    path: &[u8],
    query: Option<&[u8]>,
    matched: Option<&str>,
    out: &mut Vec<u8>,
) {
    let new_scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let implied = if new_scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let port = redirect.port.unwrap_or(match redirect.scheme {
        Some(_) => implied,
        None => listener_port,
    });
    out.extend_from_slice(new_scheme.as_bytes());
    out.extend_from_slice(b"://");
    out.extend_from_slice(redirect.hostname.as_deref().map_or(host, str::as_bytes));
    if port != implied {
        // Writing to a vector cannot fail.
        let _ = write!(out, ":{port}");
    }
    match &redirect.path {
        Some(edit) => self::path(path, matched, edit, out),
        None => out.extend_from_slice(path),
    }
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_prefix(request: &str, matched: &str, replacement: &str, expected: &str) {
        let mut out = Vec::new();
        path(request.as_bytes(), Some(matched), &PathEdit::Prefix(replacement.to_owned()), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{request} {matched} {replacement}");
    }

    #[test]
    fn prefixes_are_replaced_as_the_table_says() {
        for matched in ["/foo", "/foo/"] {
            for replacement in ["/xyz", "/xyz/"] {
                check_prefix("/foo/bar", matched, replacement, "/xyz/bar");
            }
            for replacement in ["", "/"] {
                check_prefix("/foo/bar", matched, replacement, "/bar");
                check_prefix("/foo", matched, replacement, "/");
                check_prefix("/foo/", matched, replacement, "/");
            }
            check_prefix("/foo", matched, "/xyz", "/xyz");
            check_prefix("/foo/", matched, "/xyz", "/xyz/");
        }
        check_prefix("/a", "/", "/xyz", "/xyz/a");
    }

    #[track_caller]
    fn check_location(redirect: Redirect, listener_port: u16, expected: &str) {
        let mut out = Vec::new();
        location(&redirect, "http", b"a.example", listener_port, b"/p", Some(b"q=1"), Some("/p"), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn ports_follow_the_gateway_api() {
        let plain = Redirect { scheme: None, hostname: None, port: None, path: None, status: 302 };
        check_location(plain.clone(), 8080, "http://a.example:8080/p?q=1");
        check_location(plain.clone(), 80, "http://a.example/p?q=1");
        let https = Redirect { scheme: Some("https".to_owned()), ..plain.clone() };
        check_location(https.clone(), 8080, "https://a.example/p?q=1");
        check_location(Redirect { port: Some(443), ..https.clone() }, 80, "https://a.example/p?q=1");
        check_location(Redirect { port: Some(8443), ..https }, 80, "https://a.example:8443/p?q=1");
        let elsewhere = Redirect {
            hostname: Some("b.example".to_owned()),
            path: Some(PathEdit::Full("/other".to_owned())),
            ..plain
        };
        check_location(elsewhere, 80, "http://b.example/other?q=1");
    }
}
