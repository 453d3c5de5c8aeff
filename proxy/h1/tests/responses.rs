//! Heads of responses: one row per rule, accepted with everything that was read or refused with the rule. Every row
//! is also cut at every byte.

use igw_h1::{Body, Limits, Parsed, RequestKind, ResponseError, ResponseHead, Version};

use RequestKind::{Connect, Head, Other};

/// Whole heads, the request that they answer, and what is read from them.
const ACCEPTED: &[(&str, RequestKind, &[u8], &str)] = &[
    ("RFC 9112 4", Other, b"HTTP/1.1 200 OK\r\n\r\n", "200 OK until-close close"),
    ("RFC 9112 4", Other, b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200  0"),
    ("RFC 9112 4", Other, b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200  0"),
    (
        "RFC 9112 4",
        Other,
        b"HTTP/1.1 404 Not \t Found!\xe9\r\nContent-Length: 0\r\n\r\n",
        "404 Not \\t Found!\\xe9 0",
    ),
    ("RFC 9112 4", Other, b"HTTP/1.1 599  x\r\nContent-Length: 1\r\n\r\n", "599  x 1"),
    ("RFC 9110 15", Other, b"HTTP/1.1 299 x\r\nContent-Length: 1\r\n\r\n", "299 x 1"),
    ("RFC 9112 6.3", Other, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK chunked"),
    (
        "RFC 9112 6.3",
        Other,
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n",
        "200 OK 12 close",
    ),
    ("RFC 9112 9.3", Other, b"HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\n", "200 OK 1.0 12 close"),
    (
        "RFC 9112 9.3",
        Other,
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\n",
        "200 OK 1.0 1",
    ),
    (
        "RFC 9112 9.3",
        Other,
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
        "200 OK 1.0 until-close close",
    ),
    ("RFC 9112 6.3", Head, b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "200 OK none"),
    ("RFC 9112 6.3", Head, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK none"),
    ("RFC 9112 6.3", Head, b"HTTP/1.1 200 OK\r\n\r\n", "200 OK none"),
    ("RFC 9112 6.3", Head, b"HTTP/1.1 404 x\r\nContent-Length: 12\r\n\r\n", "404 x none"),
    ("RFC 9112 6.3", Other, b"HTTP/1.1 304 x\r\nContent-Length: 12\r\n\r\n", "304 x none"),
    ("RFC 9112 6.3", Other, b"HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", "304 x none"),
    ("RFC 9112 6.3", Other, b"HTTP/1.1 204 x\r\n\r\n", "204 x none"),
    ("RFC 9110 8.6", Other, b"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", "204 x none"),
    ("RFC 9110 8.6", Other, b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", "204 x none close"),
    ("RFC 9112 6.1", Other, b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", "204 x none close"),
    ("RFC 9112 6.3", Other, b"HTTP/1.1 100 Continue\r\n\r\n", "100 Continue none"),
    ("RFC 9112 6.3", Other, b"HTTP/1.1 103 x\r\nLink: y\r\n\r\n", "103 x none"),
    ("RFC 9112 6.1", Other, b"HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n", "103 x none close"),
    ("RFC 9110 15.3.6", Other, b"HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n", "205 x 0"),
    ("RFC 9112 6.3", Connect, b"HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\n", "200 x none"),
    ("RFC 9112 6.3", Connect, b"HTTP/1.1 403 x\r\nContent-Length: 5\r\n\r\n", "403 x 5"),
    (
        "RFC 9110 7.8",
        Other,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "101 Switching Protocols none upgrade=websocket",
    ),
    ("RFC 9110 7.8", Other, b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", "101 x none"),
    ("RFC 9110 7.8", Other, b"HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n", "101 x none"),
    (
        "RFC 9110 7.8",
        Other,
        b"HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "101 x 1.0 none close",
    ),
    (
        "1.9 h2c upgrade",
        Other,
        b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "101 x none",
    ),
    (
        "RFC 9110 7.8",
        Other,
        b"HTTP/1.1 426 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
        "426 x 0",
    ),
    ("RFC 9110 5.5", Other, b"HTTP/1.1 200 x\r\nContent-Length: 0\r\nX: \xff\t\r\nY:\r\n\r\n", "200 x 0"),
    ("RFC 9112 6.1", Other, b"HTTP/1.1 200 x\r\ntransfer-encoding:\tCHUNKED \r\n\r\n", "200 x chunked"),
    ("RFC 9110 8.6", Other, b"HTTP/1.1 200 x\r\ncontent-length:007\r\n\r\n", "200 x 7"),
    (
        "RFC 9112 4",
        Other,
        b"HTTP/1.1 200 HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "200 HTTP/1.1 200 OK 0",
    ),
    ("RFC 9112 6.3", Head, b"HTTP/1.0 200 OK\r\n\r\n", "200 OK 1.0 none close"),
    ("RFC 9112 6.3", Connect, b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n", "200 x none"),
    ("RFC 9112 6.3", Connect, b"HTTP/1.1 502 x\r\nTransfer-Encoding: chunked\r\n\r\n", "502 x chunked"),
];

/// Heads that are refused.
const REFUSED: &[(&str, &[u8])] = &[
    ("RFC 9112 2.3", b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b" HTTP/1.1 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"HTTP/2.0 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"HTTP/1.2 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"HTTP/0.9 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"http/1.1 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"HTTP 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"ICY 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"<html>"),
    ("RFC 9112 2.3", b"HTTP/1.x 200 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1\t200 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1  200 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 \r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 20\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 099 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 600 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 999 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 +20 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 2x0 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200\tOK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200 O\0K\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200 O\x1bK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200 O\x7fK\r\n\r\n"),
    ("RFC 9112 2.2", b"HTTP/1.1 200 OK\n\n"),
    ("RFC 9112 2.2", b"HTTP/1.1 200\n\n"),
    ("RFC 9112 2.2", b"HTTP/1.1 200 OK\rX: y\r\n\r\n"),
    ("RFC 9112 2.2", b"HTTP/1.1 200 OK\r\r\n\r\n"),
    ("RFC 9112 2.2", b"HTTP/1.1 200 OK\r\nX: y\n\r\n"),
    ("RFC 9112 2.2", b"HTTP/1.1 200 OK\r\nX: y\nZ: a\r\n\r\n"),
    ("RFC 9112 2.2", b"HTTP/1.1 200 OK\r\nX: y\r\n\n"),
    ("RFC 9112 2.2", b"HTTP/1.1 200 OK\r\nX: y\rZ: a\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\n: y\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nX\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nX(y): y\r\n\r\n"),
    ("RFC 9112 5.2", b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"),
    ("RFC 9112 5.2", b"HTTP/1.1 200 OK\r\n X: y\r\n\r\n"),
    ("RFC 9110 5.5", b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"),
    ("RFC 9110 5.5", b"HTTP/1.1 200 OK\r\nX: a\x08\r\n\r\n"),
    ("RFC 9110 7.6.1", b"HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 204 x\r\nContent-Length: x\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 304 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    ("RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n"),
    ("RFC 9112 2.3", b"\0HTTP/1.1 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"\nHTTP/1.1 200 OK\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1\x0b200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"HTTP/01.1 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"HTTP/11.1 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"HTTP/1,1 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"HTTP/3.0 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n\r\n"),
    ("RFC 9112 2.3", b"SSH-2.0-a\r\n"),
    ("RFC 9112 2.3", b"\x15\x03\x03\x00\x02\x02\x28"),
    ("RFC 9112 4", b"HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 0200 x\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 -20 x\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1  200 x\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 2 00 x\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 0x2 x\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 2\xb20 x\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200\0OK\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200,OK\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200 \x01\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 4", b"HTTP/1.1 200 a\x08\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 1 1\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 1\xa0\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n"),
    ("RFC 9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \xa0chunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity, chunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: , chunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ("RFC 9112 6.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
    ("RFC 9112 6.3", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\nContent-Length: y\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nContent-Length\t: 1\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nX\xe9: y\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n"),
    ("RFC 9112 5.1", b"HTTP/1.1 200 OK\r\n<X>: y\r\n\r\n"),
    ("RFC 9110 5.5", b"HTTP/1.1 200 OK\r\nX: \x7f\r\n\r\n"),
    ("RFC 9110 5.5", b"HTTP/1.1 200 OK\r\nX: \x1b[0m\r\n\r\n"),
    ("RFC 9110 5.5", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"),
    ("RFC 9110 5.5", b"HTTP/1.1 200 OK\r\nSet-Cookie: a\0b\r\n\r\n"),
    ("RFC 9112 5.2", b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n"),
    ("RFC 9110 7.6.1", b"HTTP/1.1 200 OK\r\nConnection: close; x\r\n\r\n"),
];

#[test]
fn accepted_heads_are_read_whole() {
    for (rule, kind, input, expected) in ACCEPTED {
        check(rule, *kind, input, Some(expected));
    }
}

#[test]
fn refused_heads_name_the_rule() {
    for (rule, input) in REFUSED {
        check(rule, Other, input, None);
        check(rule, Head, input, None);
    }
}

#[test]
fn the_corpus_is_as_large_as_promised() {
    let n_rows = ACCEPTED.len() + REFUSED.len();
    println!("{n_rows} rows of responses");
    assert!(n_rows >= 140, "{n_rows}");
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits { head_bytes: 100, head_fields: 2, line_bytes: 30 };
    let parse = |input: &str| ResponseHead::new().parse(input.as_bytes(), &limits, Other);
    let line = |n_reason: usize| format!("HTTP/1.1 200 {}\r\n\r\n", "r".repeat(n_reason));
    assert_eq!(parse(&line(15)), Ok(Parsed::Complete { len: 32 }));
    assert_eq!(parse(&line(16)), Err(ResponseError::LineTooLong));
    let fields = |n_fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(n_fields));
    assert!(matches!(parse(&fields(2)), Ok(Parsed::Complete { .. })));
    assert_eq!(parse(&fields(3)), Err(ResponseError::TooManyFields));
    let long = |n_value: usize| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(n_value));
    assert_eq!(parse(&long(76)), Ok(Parsed::Complete { len: 100 }));
    assert_eq!(parse(&long(77)), Err(ResponseError::HeadTooLong));
}

#[test]
fn fields_for_one_connection_are_marked() {
    let input =
        b"HTTP/1.1 200 OK\r\nConnection: x-a\r\nX-A: 1\r\nSet-Cookie: b\r\nKeep-Alive: c\r\nX-D: d\r\n\r\n";
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(input, &Limits::default(), Other), Ok(Parsed::Complete { len: input.len() }));
    let forwarded: Vec<_> =
        head.fields.iter().filter(|field| !field.hop_by_hop).map(|field| field.name.of(input)).collect();
    assert_eq!(forwarded, [b"Set-Cookie".as_slice(), b"X-D"]);
    assert_eq!(head.field(input, "SET-COOKIE").collect::<Vec<_>>(), [b"b"]);
}

/// Parses `input`, compares what is read or the rule of the refusal, and does it again for every prefix.
fn check(rule: &str, kind: RequestKind, input: &[u8], expected: Option<&str>) {
    let limits = Limits::default();
    let shown = input.escape_ascii();
    let mut head = ResponseHead::new();
    let whole = head.parse(input, &limits, kind);
    match (&whole, expected) {
        (Ok(Parsed::Complete { len }), Some(expected)) => {
            assert_eq!(*len, input.len(), "{rule}: {shown}");
            assert_eq!(describe(&head, input), expected, "{rule}: {shown}");
        }
        (Err(error), None) => {
            assert_eq!(error.rule(), rule, "{error}: {shown}");
            assert!(!error.to_string().is_empty());
        }
        _ => panic!("{rule}: {shown} gives {whole:?}"),
    }
    let mut was_refused = false;
    for n_bytes in 0..input.len() {
        let part = head.parse(&input[..n_bytes], &limits, kind);
        was_refused |= part.is_err();
        match part {
            Ok(Parsed::Partial) => {
                assert!(!was_refused, "{rule}: {shown} at {n_bytes}: a refusal is taken back")
            }
            Err(_) => assert_eq!(part, whole, "{rule}: {shown} at {n_bytes}"),
            Ok(Parsed::Complete { .. }) => panic!("{rule}: {shown} is complete at {n_bytes}"),
        }
    }
    let followed = [input, b"HTTP/1.1 200 OK\r\n\r\n"].concat();
    assert_eq!(head.parse(&followed, &limits, kind), whole, "{rule}: {shown} with a response behind it");
}

fn describe(head: &ResponseHead, input: &[u8]) -> String {
    let mut words = vec![head.status.to_string(), head.reason.of(input).escape_ascii().to_string()];
    if head.version == Version::Http10 {
        words.push("1.0".into());
    }
    words.push(match head.body {
        Body::None => "none".into(),
        Body::Length(length) => length.to_string(),
        Body::Chunked => "chunked".into(),
        Body::UntilClose => "until-close".into(),
    });
    if !head.keep_alive {
        words.push("close".into());
    }
    if let Some(upgrade) = head.upgrade {
        words.push(format!("upgrade={}", upgrade.of(input).escape_ascii()));
    }
    words.join(" ")
}
