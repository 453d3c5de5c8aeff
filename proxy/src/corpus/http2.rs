//! What holds for every head of an HTTP/2 request once it has the form of HTTP/1.

use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, SEC_WEBSOCKET_KEY, TE};
use http::uri::{Authority, Parts, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use igw_h1::{Body, Limits, Parsed, RequestHead, TargetForm, Version};

use crate::worker::h2::head::{Rest, write};

use super::cuts::Cuts;

#[path = "../../h1/tests/dialects/mod.rs"]
#[allow(dead_code, reason = "not all of it is about requests")]
mod dialects;

/// What is written is one whole head that says what the stream said and nothing else, or one that the parser of HTTP/1
/// refuses. What a back end gets of it is one request for readers that are lax in any way.
pub(crate) fn head(input: &[u8], cuts: Cuts) {
    let Some((request, rest)) = request(input) else { return };
    let mut text = Vec::new();
    if write(&mut text, &request, rest, |out| out.extend_from_slice(KEY)).is_err() {
        return;
    }
    let shown = || text.escape_ascii();
    let mut head = RequestHead::new();
    let len = match head.parse(&text, &Limits::default()) {
        Ok(Parsed::Complete { len }) => len,
        Ok(Parsed::Partial) => panic!("half a head: {}", shown()),
        Err(_) => return,
    };
    assert_eq!(len, text.len(), "more than a head: {}", shown());
    let is_websocket = request.method() == Method::CONNECT;
    let method = if is_websocket { "GET" } else { request.method().as_str() };
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    assert!(
        text.starts_with(format!("{method} {path} HTTP/1.1\r\n").as_bytes()),
        "another line: {}",
        shown()
    );
    assert_ne!(head.target.form, TargetForm::Absolute, "another host in the target: {}", shown());
    assert_eq!((head.method.of(&text), head.version), (method.as_bytes(), Version::Http11));
    let length = request.headers().get(CONTENT_LENGTH).filter(|_| !is_websocket);
    match head.body {
        Body::None => {
            assert!(is_websocket || (rest == Rest::Ended && length.is_none()), "no body: {}", shown())
        }
        Body::Chunked => assert!(rest == Rest::Open && length.is_none(), "another body: {}", shown()),
        Body::Length(told) => {
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            assert_eq!(length, Some(told), "another length: {}", shown());
        }
        Body::UntilClose => panic!("a request that ends with its connection: {}", shown()),
    }
    let field =
        |span: &igw_h1::Field| (span.name.of(&text).to_ascii_lowercase(), span.value.of(&text).to_vec());
    let mut told: Vec<_> = head.fields.iter().map(field).collect();
    let mut expected = expected(&request, head.body);
    told.sort();
    expected.sort();
    assert_eq!(told, expected, "other fields: {}", shown());
    let upgrade = head.upgrade.map(|upgrade| upgrade.of(&text));
    assert_eq!(upgrade, is_websocket.then_some(&b"websocket"[..]), "{}", shown());
    assert_eq!(head.te_trailers, request.headers().contains_key(TE) && !is_websocket, "{}", shown());
    assert!(head.keep_alive, "{}", shown());
    let (written, meant) = dialects::written(&head, &text, CONTENT, 7);
    let stream = [&written[..], &written[..]].concat();
    let meant = (vec![meant.clone(), meant], 0);
    for dialect in cuts.ways(input, &dialects::Dialect::all()) {
        assert_eq!(dialect.read(&stream), meant, "{dialect:?} of {}", shown());
    }
}

/// The fields that say in HTTP/1 what the stream says (RFC 9113 8.2.3, 8.3.1, RFC 8441 5).
fn expected(request: &Request<()>, body: Body) -> Vec<(Vec<u8>, Vec<u8>)> {
    let headers = request.headers();
    let is_websocket = request.method() == Method::CONNECT;
    let mut fields = Vec::new();
    let mut push = |name: &str, value: &[u8]| fields.push((name.as_bytes().to_vec(), value.to_vec()));
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    push("host", authority.or_else(|| headers.get(HOST).map(HeaderValue::as_bytes)).unwrap_or_default());
    for (name, value) in headers {
        let is_of_stream = is_websocket && [CONTENT_LENGTH, SEC_WEBSOCKET_KEY].contains(name);
        if !is_of_stream && ![HOST, TE, COOKIE].contains(name) {
            push(name.as_str(), value.as_bytes());
        }
    }
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        // A last one that is empty leaves white space, which is no part of a value (RFC 9110 5.5).
        push("cookie", cookies.join(&b"; "[..]).trim_ascii());
    }
    if is_websocket {
        push("connection", b"upgrade");
        push("upgrade", b"websocket");
        push("sec-websocket-key", KEY);
    } else if headers.contains_key(TE) {
        push("connection", b"te");
        push("te", b"trailers");
    }
    if body == Body::Chunked {
        push("transfer-encoding", b"chunked");
    }
    fields
}

/// The request that an input tells of: a byte of flags, then lines: method, scheme, authority and path, then fields as
/// `name:value`. `None` where the library refuses it before anybody sees it.
pub(crate) fn request(input: &[u8]) -> Option<(Request<()>, Rest)> {
    let (flags, text) = input.split_first()?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let method = Method::from_bytes(lines.next()?).ok()?;
    let mut parts = Parts::default();
    let scheme = str::from_utf8(lines.next()?).ok()?.parse().ok()?;
    let authority = lines.next()?;
    let is_extended = flags & HAS_PROTOCOL != 0;
    let is_tunnel = method == Method::CONNECT && !is_extended;
    let path = lines.next()?;
    if flags & HAS_AUTHORITY != 0 {
        parts.authority = Some(Authority::try_from(authority).ok()?);
        parts.scheme = Some(scheme).filter(|_| !is_tunnel);
    }
    if !is_tunnel {
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok().filter(|_| !path.is_empty())?);
    }
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.method_mut() = method;
    if is_extended {
        if request.method() != Method::CONNECT {
            return None;
        }
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_lowercase(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(&line[colon + 1..]).ok()?;
        // What is of the connection (RFC 9113 8.2.2).
        if FORBIDDEN.contains(&name.as_str()) || (name == TE && value != "trailers") {
            return None;
        }
        request.headers_mut().append(name, value);
    }
    Some((request, if flags & HAS_ENDED != 0 { Rest::Ended } else { Rest::Open }))
}

const HAS_ENDED: u8 = 1;
const HAS_AUTHORITY: u8 = 2;
const HAS_PROTOCOL: u8 = 4;
const FORBIDDEN: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
const KEY: &[u8] = b"a2V5a2V5a2V5a2V5a2V5aw==";
/// Content that is a request to a reader that does not know its length.
const CONTENT: &[u8] = b"0\r\n\r\nGET / HTTP/1.1\r\nhost: in\r\n\r\n";
