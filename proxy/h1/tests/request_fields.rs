//! Fields of requests: limits, look-up by name, and the names that mean something here.

use igw_h1::{Known, Limits, Parsed, RequestError, RequestHead};

#[test]
fn limits_hold_to_the_byte() {
    let line = |n_path: usize| format!("GET /{} HTTP/1.1\r\n", "p".repeat(n_path - 1));
    let limits = Limits { head_bytes: 200, head_fields: 3, line_bytes: 50 };
    let parse = |input: &str| RequestHead::new().parse(input.as_bytes(), &limits);
    // GET, two spaces, version and line end are 15 bytes.
    assert_eq!(parse(&format!("{}Host: a\r\n\r\n", line(35))), Ok(Parsed::Complete { len: 61 }));
    assert_eq!(parse(&format!("{}Host: a\r\n\r\n", line(36))), Err(RequestError::LineTooLong));
    assert_eq!(parse(&format!("\r\n{}Host: a\r\n\r\n", line(35))), Ok(Parsed::Complete { len: 63 }));
    assert_eq!(parse(&line(36)[..49]), Ok(Parsed::Partial));
    assert_eq!(parse(&line(36)[..50]), Err(RequestError::LineTooLong));
    let fields =
        |n_fields: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(n_fields - 1));
    assert!(matches!(parse(&fields(3)), Ok(Parsed::Complete { .. })));
    assert_eq!(parse(&fields(4)), Err(RequestError::TooManyFields));
    assert_eq!(parse(&fields(40)), Err(RequestError::TooManyFields));
    let long = |n_value: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(n_value));
    assert_eq!(parse(&long(200 - 32)), Ok(Parsed::Complete { len: 200 }));
    assert_eq!(parse(&long(200 - 31)), Err(RequestError::HeadTooLong));
    assert_eq!(parse(&long(200 - 31)[..199]), Ok(Parsed::Partial));
    let status = |error: RequestError| (error.status(), error.rule());
    assert_eq!(status(RequestError::LineTooLong), (414, "RFC 9112 3"));
    assert_eq!(status(RequestError::TooManyFields), (431, "RFC 6585 5"));
    assert_eq!(status(RequestError::HeadTooLong), (431, "RFC 6585 5"));
}

#[test]
fn default_limits_take_128_fields_and_zero_takes_the_most() {
    let head =
        |n_fields: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Y: z\r\n".repeat(n_fields - 1));
    let mut parsed = RequestHead::new();
    assert!(matches!(parsed.parse(head(128).as_bytes(), &Limits::default()), Ok(Parsed::Complete { .. })));
    assert_eq!(parsed.fields.len(), 128);
    assert_eq!(parsed.parse(head(129).as_bytes(), &Limits::default()), Err(RequestError::TooManyFields));
    let widest = Limits { head_bytes: 0, head_fields: 0, line_bytes: 0 };
    assert!(matches!(parsed.parse(head(1024).as_bytes(), &widest), Ok(Parsed::Complete { .. })));
    assert_eq!(parsed.parse(head(1025).as_bytes(), &widest), Err(RequestError::TooManyFields));
}

#[test]
fn fields_are_found_by_name_in_order() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-b: 2\r\nx-A:3\r\n\r\nX-A: 4\r\n";
    let mut head = RequestHead::new();
    assert_eq!(head.parse(input, &Limits::default()), Ok(Parsed::Complete { len: input.len() - 8 }));
    assert_eq!(head.field(input, "x-a").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!(head.field(input, "x-c").count(), 0);
}

#[test]
fn known_names_are_told_apart_in_any_case() {
    for (name, known) in KNOWN {
        assert_eq!(Known::of(name.as_bytes()), *known, "{name}");
        assert_eq!(Known::of(name.to_ascii_lowercase().as_bytes()), *known, "{name}");
        assert_eq!(Known::of(name.to_ascii_uppercase().as_bytes()), *known, "{name}");
        let other = if name.to_ascii_lowercase().starts_with("x-forwarded-") {
            Known::XForwardedOther
        } else {
            Known::Other
        };
        assert_eq!(Known::of(format!("{name}s").as_bytes()), other, "{name}s");
        for at in 0..name.len() {
            for byte in 0..=u8::MAX {
                let mut changed = name.as_bytes().to_vec();
                changed[at] = byte;
                let is_same = changed.eq_ignore_ascii_case(name.as_bytes());
                assert_eq!(Known::of(&changed) == *known, is_same, "{}", changed.escape_ascii());
            }
        }
    }
    for name in ["", "x", "hots", "xost", "x-real-iq", "x-forwarded", "contentxlength", "x-bbbbbbbb-porT"] {
        assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
    }
    for name in ["_", "Host_", "x_real_ip", "X-Forwarded_For", "x-forwarded-a_b"] {
        assert_eq!(Known::of(name.as_bytes()), Known::Underscored, "{name}");
    }
    assert_eq!(Known::of(b"X-Forwarded-Prefix"), Known::XForwardedOther);
    assert_eq!(Known::of(b"X-Forwarded-Cost"), Known::XForwardedOther);
}

const KNOWN: &[(&str, Known)] = &[
    ("Host", Known::Host),
    ("Connection", Known::Connection),
    ("Content-Length", Known::ContentLength),
    ("Transfer-Encoding", Known::TransferEncoding),
    ("Keep-Alive", Known::KeepAlive),
    ("Proxy-Connection", Known::ProxyConnection),
    ("Proxy-Authenticate", Known::ProxyAuthenticate),
    ("Proxy-Authorization", Known::ProxyAuthorization),
    ("Proxy", Known::Proxy),
    ("TE", Known::Te),
    ("Trailer", Known::Trailer),
    ("Upgrade", Known::Upgrade),
    ("HTTP2-Settings", Known::Http2Settings),
    ("Expect", Known::Expect),
    ("Forwarded", Known::Forwarded),
    ("X-Forwarded-For", Known::XForwardedFor),
    ("X-Forwarded-Proto", Known::XForwardedProto),
    ("X-Forwarded-Host", Known::XForwardedHost),
    ("X-Forwarded-Port", Known::XForwardedPort),
    ("X-Real-IP", Known::XRealIp),
    ("X-Request-ID", Known::XRequestId),
    ("Via", Known::Via),
    ("Date", Known::Date),
    ("Server", Known::Server),
    ("Location", Known::Location),
    ("Cookie", Known::Cookie),
    ("Set-Cookie", Known::SetCookie),
    ("Authorization", Known::Authorization),
];
