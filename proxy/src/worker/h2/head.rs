//! The head of an HTTP/2 request in the form of HTTP/1, which then goes through the same narrow door as all others: what
//! that door refuses, no back end ever sees (RFC 9113 8.3, and 10.3 on smuggling).

use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, SEC_WEBSOCKET_KEY, TE};
use http::{Method, Request};

use crate::worker::request_head::field;

/// Why a request is not even put into that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not well formed: 400.
    Malformed,
    /// It asks for a tunnel to elsewhere: 501.
    Connect,
}

/// What is known of the body when the head is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The stream has ended with the head.
    Ended,
    /// More of it may follow.
    Open,
}

/// Writes the head. A WebSocket (RFC 8441) becomes the request that HTTP/1 opens one with.
pub(crate) fn write<B>(
    out: &mut Vec<u8>,
    request: &Request<B>,
    rest: Rest,
    websocket_key: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Refusal> {
    let uri = request.uri();
    let protocol = request.extensions().get::<Protocol>();
    let is_websocket = protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"));
    let method = match (request.method(), is_websocket) {
        (&Method::CONNECT, true) => "GET",
        (&Method::CONNECT, false) => return Err(Refusal::Connect),
        (method, _) => method.as_str(),
    };
    // The library takes an empty scheme, which names nothing (RFC 9113 8.3.1, RFC 3986 3.1).
    if uri.scheme_str() == Some("") {
        return Err(Refusal::Malformed);
    }
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(uri.path_and_query().map_or("/", |path| path.as_str()).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut host = None;
    let (mut has_cookies, mut has_length, mut has_te) = (false, false, false);
    for (name, value) in request.headers() {
        let bytes = value.as_bytes();
        let is_padded = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if is_padded(bytes.first()) || is_padded(bytes.last()) {
            return Err(Refusal::Malformed);
        }
        if *name == HOST {
            if host.replace(bytes).is_some() {
                return Err(Refusal::Malformed);
            }
            continue;
        }
        if *name == COOKIE {
            has_cookies = true;
            continue;
        }
        if *name == TE {
            has_te = true;
            continue;
        }
        has_length |= *name == CONTENT_LENGTH;
        // A WebSocket has no length, and no key but the one below (RFC 8441 5).
        if is_websocket && (*name == CONTENT_LENGTH || *name == SEC_WEBSOCKET_KEY) {
            continue;
        }
        field(out, name.as_str().as_bytes(), bytes);
    }
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let authority = match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(Refusal::Malformed);
        }
        (Some(authority), _) => authority,
        (None, Some(host)) => host,
        (None, None) => return Err(Refusal::Malformed),
    };
    field(out, b"host", authority);
    if has_cookies {
        // Many fields here are one there (RFC 9113 8.2.3).
        out.extend_from_slice(b"cookie: ");
        for (index, cookie) in request.headers().get_all(COOKIE).iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b"; ");
            }
            out.extend_from_slice(cookie.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    if is_websocket {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ");
        websocket_key(out);
        out.extend_from_slice(b"\r\n");
    } else {
        if has_te {
            out.extend_from_slice(b"connection: te\r\nte: trailers\r\n");
        }
        if rest == Rest::Open && !has_length {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}
