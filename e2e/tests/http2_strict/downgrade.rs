//! Requests that must not become requests of HTTP/1, or not in this form (RFC 9113 8, 10.3).

use igw_e2e::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, frame, section};

use super::Expected::{self, Begun, Connection, Passed, Status, Stream};
use super::{GET, PROTOCOL_ERROR, Row, opened, post};

/// Fields of a request, pseudo-fields included.
struct Head(&'static str, &'static str, &'static [(&'static str, &'static str)], Expected);

/// Requests without content.
const HEADS: &[Head] = &[
    Head(
        "RFC 9113 8.3.1",
        "nothing but what is needed",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")],
        Passed,
    ),
    Head(
        "RFC 9113 8.3.1",
        "pseudo-fields in another order",
        &[(":path", "/"), (":authority", "a.test"), (":scheme", "http"), (":method", "GET")],
        Passed,
    ),
    Head(
        "RFC 9113 8.3.1",
        "Host in the place of :authority",
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a.test")],
        Passed,
    ),
    Head(
        "RFC 9113 8.3.1",
        "Host and :authority that are equal",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            ("host", "a.test"),
        ],
        Passed,
    ),
    Head(
        "RFC 9113 8.3.1",
        "Host and :authority that differ in case",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            ("host", "A.Test"),
        ],
        Passed,
    ),
    Head(
        "RFC 9113 8.3.1",
        "Host that is not :authority",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            ("host", "b.test"),
        ],
        Status(400),
    ),
    Head(
        "RFC 9113 8.3.1",
        "Host with a port that :authority has not",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            ("host", "a.test:80"),
        ],
        Status(400),
    ),
    Head(
        "RFC 9113 8.3.1",
        "Host twice",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            ("host", "a.test"),
            ("host", "a.test"),
        ],
        Status(400),
    ),
    Head(
        "RFC 9113 8.3.1",
        "Host twice, no :authority",
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a.test"), ("host", "b.test")],
        Status(400),
    ),
    Head(
        "RFC 9113 8.3.1",
        "an empty Host",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/"), ("host", "")],
        Status(400),
    ),
    Head(
        "RFC 9113 8.3.1",
        "neither Host nor :authority",
        &[(":method", "GET"), (":scheme", "http"), (":path", "/")],
        Status(400),
    ),
    Head(
        "RFC 9113 8.3.1",
        "no :method",
        &[(":scheme", "http"), (":authority", "a.test"), (":path", "/")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3.1",
        "no :scheme",
        &[(":method", "GET"), (":authority", "a.test"), (":path", "/")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3.1",
        "no :path",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test")],
        Stream(PROTOCOL_ERROR),
    ),
    Head("RFC 9113 8.3.1", "nothing at all", &[], Stream(PROTOCOL_ERROR)),
    Head(
        "RFC 9113 8.3",
        "two equal :method",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            (":method", "GET"),
        ],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "two equal :scheme",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            (":scheme", "http"),
        ],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "two equal :authority",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            (":authority", "a.test"),
        ],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "two equal :path",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/"), (":path", "/")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "two different :method",
        &[
            (":method", "GET"),
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
        ],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "two different :path",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/"), (":path", "/b")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        ":method behind a field",
        &[(":scheme", "http"), (":authority", "a.test"), (":path", "/"), ("x", "y"), (":method", "GET")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        ":path behind a field",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), ("x", "y"), (":path", "/")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        ":authority behind a field",
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", "y"), (":authority", "a.test")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        ":scheme behind a field",
        &[(":method", "GET"), (":authority", "a.test"), (":path", "/"), ("x", "y"), (":scheme", "http")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "a pseudo-field that does not exist",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/"), (":foo", "a")],
        Connection(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "a pseudo-field of answers",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            (":status", "200"),
        ],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "a pseudo-field in upper case",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":Path", "/")],
        Connection(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3",
        "a pseudo-field without a name",
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/"), (":", "a")],
        Connection(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.3.1",
        "an empty :scheme",
        &[(":method", "GET"), (":scheme", ""), (":authority", "a.test"), (":path", "/")],
        Status(400),
    ),
    Head(
        "RFC 9113 8.3.1",
        "a :scheme that is none",
        &[(":method", "GET"), (":scheme", "ht tp"), (":authority", "a.test"), (":path", "/")],
        Stream(PROTOCOL_ERROR),
    ),
    Head("RFC 9113 8.5", "CONNECT", &[(":method", "CONNECT"), (":authority", "a.test:443")], Status(501)),
    Head(
        "RFC 9113 8.5",
        "CONNECT with :path",
        &[(":method", "CONNECT"), (":authority", "a.test"), (":path", "/")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 9113 8.5",
        "CONNECT with :scheme",
        &[(":method", "CONNECT"), (":scheme", "http"), (":authority", "a.test")],
        Stream(PROTOCOL_ERROR),
    ),
    Head("RFC 9113 8.5", "CONNECT without :authority", &[(":method", "CONNECT")], Status(501)),
    Head(
        "RFC 8441 4",
        "extended CONNECT to another protocol",
        &[
            (":method", "CONNECT"),
            (":protocol", "connect-udp"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
        ],
        Status(501),
    ),
    Head(
        "RFC 8441 4",
        "extended CONNECT without :path",
        &[(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a.test")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 8441 4",
        "extended CONNECT without :scheme",
        &[(":method", "CONNECT"), (":protocol", "websocket"), (":authority", "a.test"), (":path", "/")],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 8441 4",
        ":protocol and another method",
        &[
            (":method", "GET"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
        ],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 8441 4",
        "two :protocol",
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
        ],
        Stream(PROTOCOL_ERROR),
    ),
    Head(
        "RFC 8441 4",
        "an empty :protocol",
        &[
            (":method", "CONNECT"),
            (":protocol", ""),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
        ],
        Status(501),
    ),
    Head(
        "RFC 8441 4",
        ":protocol behind a field",
        &[
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            ("x", "y"),
            (":protocol", "websocket"),
        ],
        Stream(PROTOCOL_ERROR),
    ),
];

/// Fields added to a GET request, and what comes back.
const FIELDS: &[(&str, &str, &str, Expected)] = &[
    ("RFC 9113 8.2.2", "connection", "close", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "connection", "x", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "keep-alive", "5", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "proxy-connection", "keep-alive", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "transfer-encoding", "chunked", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "transfer-encoding", "identity", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "upgrade", "h2c", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "te", "gzip", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "te", "trailers, gzip", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "te", "", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.2", "te", "trailers", Passed),
    ("RFC 9113 8.2.1", "X", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x-A", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "Host", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "Content-Length", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x y", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x:", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x\0", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x\r", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x\n", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x\r\ny", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x\x7f", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x\u{e9}", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x(", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x\t", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", " x", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x\"", "y", Status(400)),
    ("RFC 9113 8.2.1", "x,", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x;", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x@", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x[", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x/", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "transfer-encoding ", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "content-length:", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x: y\r\nz", "y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "a\0", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "\0", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "a\r", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "a\n", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "a\r\nx: y", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "\r\n\r\nGET / HTTP/1.1", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "a\x01", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "a\x7f", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "a\x1b", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", "\x0b", Connection(PROTOCOL_ERROR)),
    ("RFC 9113 8.2.1", "x", " a", Status(400)),
    ("RFC 9113 8.2.1", "x", "a ", Status(400)),
    ("RFC 9113 8.2.1", "x", "\ta", Status(400)),
    ("RFC 9113 8.2.1", "x", "a\t", Status(400)),
    ("RFC 9113 8.2.1", "x", " ", Status(400)),
    ("RFC 9110 5.5", "x", "a\tb", Passed),
    ("RFC 9110 5.5", "x", "", Passed),
    ("RFC 9113 8.2.3", "cookie", "a=b", Passed),
    ("RFC 9113 8.2.3", "cookie", "a=b\r\nx: y", Connection(PROTOCOL_ERROR)),
    ("T4 underscore", "content_length", "5", Passed),
    ("RFC 9113 8.1.1", "content-length", "1", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.1.1", "content-length", "+0", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.1.1", "content-length", "-1", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.1.1", "content-length", "0x0", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.1.1", "content-length", "1, 1", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.1.1", "content-length", "9999999999999999999999", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.1.1", "content-length", "0 0", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.1.1", "content-length", "a", Stream(PROTOCOL_ERROR)),
    ("RFC 9113 8.1.1", "content-length", "", Status(400)),
    ("RFC 9113 8.1.1", "content-length", "0", Passed),
    ("RFC 9110 10.1.1", "expect", "200-ok", Status(417)),
];

/// Values of `:path`.
const PATHS: &[(&str, &str, Expected)] = &[
    ("a path with a query", "/a?b=c", Passed),
    ("an empty path", "", Stream(PROTOCOL_ERROR)),
    ("a space", "/a b", Stream(PROTOCOL_ERROR)),
    ("a request line", "/ HTTP/1.1\r\nx: y\r\n\r\n", Stream(PROTOCOL_ERROR)),
    ("a line feed", "/\n", Stream(PROTOCOL_ERROR)),
    ("a carriage return", "/\r", Stream(PROTOCOL_ERROR)),
    ("NUL", "/\0", Stream(PROTOCOL_ERROR)),
    ("a tab", "/\t", Stream(PROTOCOL_ERROR)),
    ("DEL", "/\x7f", Stream(PROTOCOL_ERROR)),
    ("a control byte", "/\x01", Stream(PROTOCOL_ERROR)),
    ("a byte above ASCII", "/\u{e9}", Connection(PROTOCOL_ERROR)),
    ("a fragment", "/a#b", Passed),
    ("a backslash", "/a\\b", Status(400)),
    ("a quotation mark", "/a\"b", Status(400)),
    ("an angle bracket", "/a<b", Stream(PROTOCOL_ERROR)),
    ("no slash", "a", Stream(PROTOCOL_ERROR)),
    ("an absolute URI", "http://b.test/", Stream(PROTOCOL_ERROR)),
    ("an asterisk without OPTIONS", "*", Status(400)),
    ("a query alone", "?a", Status(400)),
    ("a space behind", "/ ", Stream(PROTOCOL_ERROR)),
];

/// Values of `:method`.
const METHODS: &[(&str, &str, Expected)] = &[
    ("an empty method", "", Connection(PROTOCOL_ERROR)),
    ("a space", "GET /", Connection(PROTOCOL_ERROR)),
    ("a line end", "GET\r\n", Connection(PROTOCOL_ERROR)),
    ("a request line", "GET / HTTP/1.1\r\nx: y\r\n\r\n", Connection(PROTOCOL_ERROR)),
    ("NUL", "G\0", Connection(PROTOCOL_ERROR)),
    ("a colon", "GET:", Connection(PROTOCOL_ERROR)),
    ("a byte above ASCII", "G\u{e9}", Connection(PROTOCOL_ERROR)),
    ("a parenthesis", "GET(", Connection(PROTOCOL_ERROR)),
    ("a tab", "GET\t", Connection(PROTOCOL_ERROR)),
    ("a method of no specification", "BREW", Passed),
    ("a method in lower case", "get", Passed),
];

/// Values of `:authority`.
const AUTHORITIES: &[(&str, &str, Expected)] = &[
    ("a space", "a.test b", Stream(PROTOCOL_ERROR)),
    ("a line end", "a.test\r\nx: y", Stream(PROTOCOL_ERROR)),
    ("NUL", "a.test\0", Stream(PROTOCOL_ERROR)),
    ("a slash", "a.test/b", Stream(PROTOCOL_ERROR)),
    ("a query", "a.test?b", Stream(PROTOCOL_ERROR)),
    ("a byte above ASCII", "a\u{e9}.test", Connection(PROTOCOL_ERROR)),
    ("a backslash", "a.test\\b", Stream(PROTOCOL_ERROR)),
    ("an angle bracket", "a<b", Stream(PROTOCOL_ERROR)),
    ("two ports", "a.test:80:80", Stream(PROTOCOL_ERROR)),
    ("a user", "u@a.test", Status(400)),
    ("a user and a password", "u:p@a.test", Status(400)),
    ("no digits in the port", "a.test:b", Status(400)),
    ("a port too large", "a.test:65536", Status(400)),
    ("a list", "a.test,b.test", Status(400)),
    ("an empty label", "a..test", Status(400)),
    ("an asterisk", "*.test", Status(400)),
    ("percent-encoding", "a%2etest", Stream(PROTOCOL_ERROR)),
    ("a name in upper case", "A.TEST", Passed),
    ("a port", "a.test:8080", Passed),
    ("a name that nobody has", "b.test", Status(404)),
];

/// Rows of heads, from the tables.
pub(crate) fn heads() -> Vec<Row> {
    let row = |rule, what, fields: &[(&str, &str)], expected| {
        Row(rule, what, opened(1, END_STREAM, fields), expected)
    };
    let mut rows: Vec<Row> =
        HEADS.iter().map(|Head(rule, what, fields, expected)| row(rule, what, fields, *expected)).collect();
    for (rule, name, value, expected) in FIELDS {
        let fields = [GET, &[(*name, *value)]].concat();
        rows.push(row(rule, name, &fields, *expected));
    }
    for (table, at, rule) in
        [(PATHS, 3, "RFC 9113 8.3.1"), (METHODS, 0, "RFC 9110 9.1"), (AUTHORITIES, 2, "RFC 9113 8.3.1")]
    {
        for (what, value, expected) in table {
            let mut fields = GET.to_vec();
            fields[at].1 = value;
            rows.push(row(rule, what, &fields, *expected));
        }
    }
    rows
}

/// Rows of content and trailers.
pub(crate) fn contents() -> Vec<Row> {
    let data = |flags: u8, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let trailers = |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS | END_STREAM, 1, &section(fields));
    let of = |rule, what, parts: &[Vec<u8>], expected| Row(rule, what, parts.concat(), expected);
    let length = |length| post(&[("content-length", length)]);
    vec![
        of(
            "RFC 9113 8.1.1",
            "content of the length that was said",
            &[length("3"), data(END_STREAM, b"abc")],
            Passed,
        ),
        of(
            "RFC 9113 8.1.1",
            "content in pieces",
            &[length("3"), data(0, b"a"), data(0, b""), data(0, b"bc"), data(END_STREAM, b"")],
            Passed,
        ),
        of("RFC 9113 8.1.1", "content without a length", &[post(&[]), data(END_STREAM, b"abc")], Passed),
        of(
            "RFC 9113 8.1.1",
            "content that looks like a request",
            &[post(&[]), data(END_STREAM, b"0\r\n\r\nGET / HTTP/1.1\r\nhost: a.test\r\n\r\n")],
            Passed,
        ),
        of(
            "RFC 9113 8.1.1",
            "more content than was said",
            &[length("2"), data(END_STREAM, b"abc")],
            Stream(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1.1",
            "content where none was said",
            &[length("0"), data(END_STREAM, b"abc")],
            Begun(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1.1",
            "more content in a second piece",
            &[length("3"), data(0, b"abc"), data(END_STREAM, b"d")],
            Begun(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1.1",
            "less content than was said",
            &[length("4"), data(END_STREAM, b"abc")],
            Stream(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1.1",
            "no content where some was said",
            &[length("4"), data(END_STREAM, b"")],
            Stream(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1.1",
            "less content and then trailers",
            &[length("4"), data(0, b"abc"), trailers(&[("x", "y")])],
            Stream(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1.1",
            "two lengths that are equal",
            &[post(&[("content-length", "3"), ("content-length", "3")]), data(END_STREAM, b"abc")],
            Status(400),
        ),
        of(
            "RFC 9113 8.1.1",
            "two lengths that differ",
            &[post(&[("content-length", "3"), ("content-length", "4")]), data(END_STREAM, b"abc")],
            Stream(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1.1",
            "two lengths and too little of the first",
            &[post(&[("content-length", "4"), ("content-length", "3")]), data(END_STREAM, b"abc")],
            Stream(PROTOCOL_ERROR),
        ),
        of("RFC 9113 8.1", "trailers", &[post(&[]), data(0, b"abc"), trailers(&[("x", "y")])], Passed),
        of(
            "RFC 9113 8.1",
            "trailers with a pseudo-field",
            &[post(&[]), data(0, b"abc"), trailers(&[(":path", "/")])],
            Passed,
        ),
        of(
            "RFC 9113 8.1",
            "trailers with a pseudo-field of answers",
            &[post(&[]), data(0, b"abc"), trailers(&[(":status", "200")])],
            Passed,
        ),
        of(
            "RFC 9113 8.1",
            "trailers with a name in upper case",
            &[post(&[]), data(0, b"abc"), trailers(&[("X", "y")])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1",
            "trailers with a line end in a value",
            &[post(&[]), data(0, b"abc"), trailers(&[("x", "y\r\nz: a")])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1",
            "trailers with a line end in a name",
            &[post(&[]), data(0, b"abc"), trailers(&[("x\r\ny", "z")])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1",
            "trailers with a field of one connection",
            &[post(&[]), data(0, b"abc"), trailers(&[("connection", "close")])],
            Stream(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1",
            "trailers with Transfer-Encoding",
            &[post(&[]), data(0, b"abc"), trailers(&[("transfer-encoding", "chunked")])],
            Stream(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1",
            "trailers with NUL in a value",
            &[post(&[]), data(0, b"abc"), trailers(&[("x", "\0")])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 8.1",
            "trailers that do not end the stream",
            &[post(&[]), data(0, b"abc"), opened(1, 0, &[("x", "y")])],
            Stream(PROTOCOL_ERROR),
        ),
    ]
}
