//! Heads of requests: one row per rule, accepted with everything that was read or refused with status and rule.
//! Every row is also cut at every byte.

use std::fmt::Write;

use igw_h1::{Body, Known, Limits, Parsed, RequestError, RequestHead, TargetForm, Version};

/// Whole heads and what is read from them.
const ACCEPTED: &[(&str, &[u8], &str)] = &[
    // --- request line and target
    ("RFC 9112 3", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin / host=a"),
    ("RFC 9112 3", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "get origin / host=a"),
    ("RFC 9110 9.1", b"M-SEARCH!#$%&'*+.^_`|~9 / HTTP/1.1\r\nHost: a\r\n\r\n", "M-SEARCH!#$%&'*+.^_`|~9 origin / host=a"),
    ("RFC 9110 9.1", b"connect /x HTTP/1.1\r\nHost: a\r\n\r\n", "connect origin /x host=a"),
    ("RFC 9110 9.3.8", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "TRACE origin / host=a"),
    ("RFC 9112 3.2.1", b"GET /a/b?c=d&e HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin /a/b ?c=d&e host=a"),
    ("RFC 9112 3.2.1", b"GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin /a ? host=a"),
    ("RFC 9112 3.2.1", b"GET /a?b?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin /a ?b?c host=a"),
    ("RFC 9112 3.2.1", b"GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin //b/c host=a"),
    ("RFC 9112 3.2.1", b"GET /http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin /http://b/ host=a"),
    ("RFC 9112 3.2.1", b"GET /%zz%00[]{}|^`'()~ HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin /%zz%00[]{}|^`'()~ host=a"),
    ("RFC 9112 3.2.1", b"GET /?a=http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin / ?a=http://b/ host=a"),
    ("RFC 9112 3.2.2", b"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute / host=b"),
    ("RFC 9112 3.2.2", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute / host=b"),
    ("RFC 9112 3.2.2", b"GET http://b:8080/c?d HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute /c ?d host=b:8080"),
    ("RFC 9112 3.2.2", b"GET http://b?d/e HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute / ?d/e host=b"),
    ("RFC 9112 3.2.2", b"GET http://b? HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute / ? host=b"),
    ("RFC 9112 3.2.2", b"GET HTTPS://B.c/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute / host=B.c"),
    ("RFC 9112 3.2.2", b"GET http://[::1]:80/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute /x host=[::1]:80"),
    ("RFC 9112 3.2.2", b"GET http://b/x HTTP/1.0\r\n\r\n", "GET absolute /x 1.0 host=b close"),
    ("RFC 9112 3.2.4", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS asterisk * host=a"),
    ("RFC 9112 3.2.4", b"OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS asterisk / host=b"),
    ("RFC 9112 3.2.4", b"OPTIONS http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS absolute / host=b"),
    ("RFC 9112 3.2.4", b"OPTIONS http://b?c HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS absolute / ?c host=b"),
    ("RFC 9112 3.2.1", b"OPTIONS /* HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS origin /* host=a"),
    ("RFC 9112 2.2", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin / host=a"),
    // --- version and persistence
    ("RFC 9112 9.3", b"GET / HTTP/1.0\r\n\r\n", "GET origin / 1.0 host= close"),
    ("RFC 9112 9.3", b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "GET origin / 1.0 host=a drops=Connection"),
    ("RFC 9112 9.3", b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET origin / 1.0 host= close drops=Connection"),
    ("RFC 9112 9.3", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n", "GET origin / host=a close drops=Connection"),
    ("RFC 9112 9.3", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x ,\tclose\r\n\r\n", "GET origin / host=a close drops=Connection"),
    ("RFC 9112 9.3", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "GET origin / host=a drops=Connection"),
    (
        "RFC 9112 9.3",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        "GET origin / host=a close drops=Connection,Connection",
    ),
    ("RFC 9110 5.6.1", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: , ,\r\n\r\n", "GET origin / host=a drops=Connection"),
    ("RFC 9110 7.6.1", b"GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\n\r\n", "GET origin / host=a drops=Connection"),
    // --- hop-by-hop
    (
        "RFC 9110 7.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nConnection: x-a, X-B\r\nx-b: 2\r\nX-C: 3\r\nX-A: 4\r\n\r\n",
        "GET origin / host=a drops=X-A,Connection,x-b,X-A",
    ),
    (
        "RFC 9110 7.6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nCookie: c\r\nAuthorization: d\r\nX-Forwarded-For: e\r\nConnection: host, content-length, cookie, authorization, x-forwarded-for\r\n\r\n",
        "POST origin / host=a body=3 drops=Connection",
    ),
    (
        "RFC 9110 7.6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n\r\n",
        "POST origin / host=a body=chunked drops=Transfer-Encoding,Connection",
    ),
    (
        "RFC 9110 7.6.1",
        b"GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: 1\r\nProxy-Connection: b\r\nTE: gzip\r\nTrailer: c\r\nUpgrade: d\r\nProxy-Authorization: e\r\nProxy-Authenticate: f\r\nHTTP2-Settings: g\r\n\r\n",
        "GET origin / host=a drops=Keep-Alive,Proxy-Connection,TE,Trailer,Upgrade,Proxy-Authorization,Proxy-Authenticate,HTTP2-Settings",
    ),
    (
        "T4 underscore",
        b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1\r\nContent_Length: 3\r\n\r\n",
        "GET origin / host=a underscored=X_Forwarded_For,Content_Length",
    ),
    // --- host
    ("RFC 9110 7.2", b"GET / HTTP/1.1\r\nhOsT:a.example.:8080\r\n\r\n", "GET origin / host=a.example.:8080"),
    ("RFC 9110 7.2", b"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "GET origin / host=a"),
    ("RFC 9110 7.2", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "GET origin / host=127.0.0.1"),
    ("RFC 9110 7.2", b"GET / HTTP/1.1\r\nHost: [2001:DB8::1]\r\n\r\n", "GET origin / host=[2001:DB8::1]"),
    ("RFC 9110 7.2", b"GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:65535\r\n\r\n", "GET origin / host=[::ffff:1.2.3.4]:65535"),
    ("RFC 9110 7.2", b"GET / HTTP/1.1\r\nHost: a_b-c.d9:\r\n\r\n", "GET origin / host=a_b-c.d9:"),
    // --- framing
    ("RFC 9112 6.3", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "POST origin / host=a"),
    ("RFC 9110 8.6", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST origin / host=a body=0"),
    ("RFC 9110 8.6", b"GET / HTTP/1.1\r\nHost: a\r\ncontent-length:\t0012 \r\n\r\n", "GET origin / host=a body=12"),
    (
        "RFC 9110 8.6",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n",
        "POST origin / host=a body=9223372036854775807",
    ),
    ("RFC 9110 8.6", b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", "POST origin / 1.0 host= body=5 close"),
    ("RFC 9110 9.3.8", b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "TRACE origin / host=a body=0"),
    (
        "RFC 9112 6.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "POST origin / host=a body=chunked drops=Transfer-Encoding",
    ),
    // --- expectations
    (
        "RFC 9110 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n",
        "POST origin / host=a body=1 continue",
    ),
    ("RFC 9110 10.1.1", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET origin / host=a"),
    (
        "RFC 9110 10.1.1",
        b"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
        "POST origin / 1.0 host= body=1 close",
    ),
    // --- upgrades and trailers
    (
        "RFC 9110 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET origin / host=a upgrade=websocket drops=Connection,Upgrade",
    ),
    (
        "RFC 9110 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: foo/1, bar\r\nContent-Length: 0\r\n\r\n",
        "GET origin / host=a body=0 upgrade=foo/1, bar drops=Connection,Upgrade",
    ),
    (
        "RFC 9110 7.8",
        b"GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n",
        "GET origin / 1.0 host= drops=Connection,Upgrade",
    ),
    (
        "RFC 9110 7.8",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n",
        "POST origin / host=a body=1 drops=Connection,Upgrade",
    ),
    ("RFC 9110 7.8", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n", "GET origin / host=a drops=Connection"),
    (
        "1.9 h2c upgrade",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        "GET origin / host=a drops=Connection,Upgrade,HTTP2-Settings",
    ),
    (
        "1.9 h2c upgrade",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, H2C\r\n\r\n",
        "GET origin / host=a drops=Connection,Upgrade",
    ),
    (
        "1.9 h2c upgrade",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: HTTP/2.0\r\n\r\n",
        "GET origin / host=a drops=Connection,Upgrade",
    ),
    (
        "RFC 9110 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.2\r\n\r\n",
        "GET origin / host=a drops=Connection,Upgrade",
    ),
    (
        "RFC 9110 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: web socket\r\n\r\n",
        "GET origin / host=a drops=Connection,Upgrade",
    ),
    (
        "RFC 9110 7.8",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
        "GET origin / host=a drops=Connection,Upgrade,Upgrade",
    ),
    (
        "RFC 9110 10.1.4",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: te\r\nTE: deflate, Trailers\r\n\r\n",
        "GET origin / host=a trailers drops=Connection,TE",
    ),
    ("RFC 9110 10.1.4", b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n", "GET origin / host=a drops=TE"),
    (
        "RFC 9110 10.1.4",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: te\r\nTE: gzip\r\n\r\n",
        "GET origin / host=a drops=Connection,TE",
    ),
    // --- field lines
    ("RFC 9110 5.5", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\tb \x7e\r\n\r\n", "GET origin / host=a"),
    ("RFC 9110 5.5", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t \r\n\r\n", "GET origin / host=a"),
    ("RFC 9110 5.5", b"GET / HTTP/1.1\r\nHost: a\r\nX: a:b::\r\n\r\n", "GET origin / host=a"),
    ("RFC 9110 5.1", b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^`|~: 1\r\n\r\n", "GET origin / host=a"),
];

/// Beginnings that are refused whatever follows them.
const REFUSED: &[(&str, u16, &[u8])] = &[
    // --- request line
    ("RFC 9112 2.2", 400, b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.2", 400, b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET\r\n\r\n"),
    ("RFC 9112 3", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("RFC 9112 3", 400, b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET \r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\t HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /a\"b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /a<b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /a?b>c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET http://a#b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET http:a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a%2eb/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    // --- version
    ("RFC 9112 2.3", 400, b"GET /\r\n"),
    ("RFC 9112 2.3", 400, b"GET /\n"),
    ("RFC 9112 2.3", 400, b"GET / \r\n"),
    ("RFC 9112 2.3", 400, b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/11.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / ICY/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/0.9\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\nHost: a\n\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\r\rHost: a\r\n\r\n"),
    // --- methods that are not forwarded
    ("RFC 9110 9.3.6", 501, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9110 9.3.6", 501, b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9110 9.3.8", 400, b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"),
    ("RFC 9110 9.3.8", 400, b"TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    // --- host
    ("RFC 9112 3.2", 400, b"GET / HTTP/1.1\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET / HTTP/1.1\r\nX-Host: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET http://a/ HTTP/1.1\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET / HTTP/1.1\r\nHost: a\r\nHOST: b\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("RFC 9110 7.2", 400, b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),
    ("RFC 9110 7.2", 400, b"GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    // --- the first field
    ("RFC 9112 5.2", 400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("RFC 9112 5.2", 400, b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
    ("RFC 9112 5.1", 400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\r\nHost: a\n\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\r\n\n"),
];

/// Values of a Host field that are refused.
const REFUSED_HOSTS: &[&str] = &[
    "",
    ",",
    "a,b",
    "a, a",
    "a b",
    "a/b",
    "a?b",
    "a#b",
    "u@a",
    "a:b",
    "a:80:80",
    "a:-1",
    "a:65536",
    "a:000080",
    ":80",
    "::1",
    "[::1",
    "[::1]x",
    "[]",
    "[:::1]",
    "[fe80::1%25eth0]",
    "[1.2.3.4]",
    "a..b",
    ".a",
    ".",
    "a..",
    "*.a",
    "a%41",
    "a\\b",
    "a\"b",
    "a;b",
    "a<b",
    "http://a",
    "\u{e9}",
    "0123456789012345678901234567890123456789012345678901234567890123.a",
];

/// Field lines of a POST request to `a` that are refused.
const REFUSED_FIELDS: &[(&str, u16, &[u8])] = &[
    ("RFC 9110 8.6", 400, b"Content-Length:"),
    ("RFC 9110 8.6", 400, b"Content-Length: +1"),
    ("RFC 9110 8.6", 400, b"Content-Length: -1"),
    ("RFC 9110 8.6", 400, b"Content-Length: 0x1"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1 2"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1.0"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1_000"),
    ("RFC 9110 8.6", 400, b"Content-Length: \"1\""),
    ("RFC 9110 8.6", 400, b"Content-Length: \xb2"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1;"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1, 1"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1, 2"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1,"),
    ("RFC 9110 8.6", 400, b"Content-Length: 9223372036854775808"),
    ("RFC 9110 8.6", 400, b"Content-Length: 18446744073709551616"),
    ("RFC 9110 8.6", 400, b"Content-Length: 99999999999999999999999999"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1\r\nContent-Length: 1"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1\r\nX: y\r\ncontent-length: 2"),
    ("RFC 9112 6.3", 400, b"Content-Length: 1\r\nTransfer-Encoding: chunked"),
    ("RFC 9112 6.3", 400, b"Transfer-Encoding: chunked\r\nContent-Length: 1"),
    ("RFC 9112 6.3", 400, b"Transfer-Encoding: x\r\nContent-Length: y"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding:"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: ,chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked,"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked, chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked;a=b"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: \"chunked\""),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: \xa0chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked\r\ntransfer-encoding: identity"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: identity"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: gzip"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: gzip, chunked"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: chunked, gzip"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: xchunked"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: chunked1"),
    ("RFC 9110 10.1.1", 417, b"Expect:"),
    ("RFC 9110 10.1.1", 417, b"Expect: 100-continue2"),
    ("RFC 9110 10.1.1", 417, b"Expect: y 100-continue"),
    ("RFC 9110 10.1.1", 417, b"Expect: 100-continue, x"),
    ("RFC 9110 10.1.1", 417, b"Expect: 100-continue\r\nExpect: 100-continue"),
    ("RFC 9110 7.6.1", 400, b"Connection: a b"),
    ("RFC 9110 7.6.1", 400, b"Connection: close; x"),
    ("RFC 9110 7.6.1", 400, b"Connection: \xe9"),
    ("RFC 9110 7.6.1", 400, b"Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,a,b,c,d,e,f,g"),
    ("RFC 9112 5.1", 400, b": a"),
    ("RFC 9112 5.1", 400, b"X : a"),
    ("RFC 9112 5.1", 400, b"X\t: a"),
    ("RFC 9112 5.1", 400, b"Transfer-Encoding : chunked"),
    ("RFC 9112 5.1", 400, b"X Y: a"),
    ("RFC 9112 5.1", 400, b"X"),
    ("RFC 9112 5.1", 400, b"X(: a"),
    ("RFC 9112 5.1", 400, b"\"X\": a"),
    ("RFC 9112 5.1", 400, b"X\0: a"),
    ("RFC 9112 5.1", 400, b"X\x0b: a"),
    ("RFC 9112 5.1", 400, b"X\xe9: a"),
    ("RFC 9112 5.1", 400, b"X\x7f: a"),
    ("RFC 9112 5.1", 400, b"X\n: a"),
    ("RFC 9112 5.2", 400, b"X: a\r\n b"),
    ("RFC 9112 5.2", 400, b"X: a\r\n\tb: c"),
    ("RFC 9112 5.2", 400, b"X:\r\n a"),
    ("RFC 9112 5.2", 400, b"Transfer-Encoding:\r\n chunked"),
    ("RFC 9110 5.5", 400, b"X: a\0b"),
    ("RFC 9110 5.5", 400, b"X: \x01"),
    ("RFC 9110 5.5", 400, b"X: a\x0bb"),
    ("RFC 9110 5.5", 400, b"X: a\x0cb"),
    ("RFC 9110 5.5", 400, b"X: a\x1bb"),
    ("RFC 9110 5.5", 400, b"X: a\x7f"),
    ("RFC 9110 5.5", 400, b"Transfer-Encoding: \x0bchunked"),
    ("RFC 9112 2.2", 400, b"X: a\rb"),
    ("RFC 9112 2.2", 400, b"X: a\r"),
    ("RFC 9112 2.2", 400, b"X: a\r\r"),
    ("RFC 9112 2.2", 400, b"X:\ra"),
    ("RFC 9112 5.1", 400, b"X\r: a"),
    ("RFC 9112 2.2", 400, b"X: a\r\n\rY: b"),
    ("RFC 9112 2.2", 400, b"X: a\nY: b"),
    ("RFC 9112 2.2", 400, b"X: a\nTransfer-Encoding: chunked"),
    ("RFC 9112 2.2", 400, b"X: a\r\nY: b\n"),
    ("RFC 9112 2.2", 400, b"X:\nY: b"),
];

#[test]
fn accepted_heads_are_read_whole() {
    for (rule, input, expected) in ACCEPTED {
        check(rule, input, Ok(expected));
    }
}

#[test]
fn refused_heads_name_status_and_rule() {
    for (rule, status, input) in REFUSED {
        check(rule, input, Err(*status));
    }
    for host in REFUSED_HOSTS {
        check("RFC 9110 7.2", format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), Err(400));
    }
    for (rule, status, lines) in REFUSED_FIELDS {
        check(rule, &[b"POST / HTTP/1.1\r\nHost: a\r\n", *lines, b"\r\n\r\n"].concat(), Err(*status));
    }
    check("RFC 9112 6.1", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(400));
    check("RFC 9112 6.1", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", Err(400));
}

#[test]
fn the_corpus_is_as_large_as_promised() {
    assert!(ACCEPTED.len() + REFUSED.len() + REFUSED_HOSTS.len() + REFUSED_FIELDS.len() >= 150);
}

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

/// Parses `input`, compares what is read or the status and rule of the refusal, and does it again for every prefix.
fn check(rule: &str, input: &[u8], expected: Result<&str, u16>) {
    let limits = Limits::default();
    let shown = input.escape_ascii();
    let mut head = RequestHead::new();
    let whole = head.parse(input, &limits);
    match (&whole, expected) {
        (Ok(Parsed::Complete { len }), Ok(expected)) => {
            assert_eq!(*len, input.len(), "{rule}: {shown}");
            assert_eq!(describe(&head, input), expected, "{rule}: {shown}");
        }
        (Err(error), Err(status)) => {
            assert_eq!((error.rule(), error.status()), (rule, status), "{error}: {shown}");
            assert!(!error.to_string().is_empty());
        }
        _ => panic!("{rule}: {shown} gives {whole:?}"),
    }
    let mut was_refused = false;
    for n_bytes in 0..input.len() {
        let part = head.parse(&input[..n_bytes], &limits);
        was_refused |= part.is_err();
        match part {
            Ok(Parsed::Partial) => {
                assert!(!was_refused, "{rule}: {shown} at {n_bytes}: a refusal is taken back")
            }
            Err(_) => assert_eq!(part, whole, "{rule}: {shown} at {n_bytes}"),
            Ok(Parsed::Complete { .. }) => panic!("{rule}: {shown} is complete at {n_bytes}"),
        }
    }
    let followed = [input, b"GET / HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(head.parse(&followed, &limits), whole, "{rule}: {shown} with a request behind it");
}

fn describe(head: &RequestHead, input: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        bytes.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\")
    };
    let mut out = text(head.method.of(input));
    out += match head.target.form {
        TargetForm::Origin => " origin ",
        TargetForm::Absolute => " absolute ",
        TargetForm::Asterisk => " asterisk ",
    };
    out += &text(head.target.path.of(input));
    if let Some(query) = head.target.query {
        write!(out, " ?{}", text(query.of(input))).unwrap();
    }
    if head.version == Version::Http10 {
        out += " 1.0";
    }
    write!(out, " host={}", text(head.host.of(input))).unwrap();
    match head.body {
        Body::None => {}
        Body::Length(length) => write!(out, " body={length}").unwrap(),
        Body::Chunked => out += " body=chunked",
        Body::UntilClose => out += " body=until-close",
    }
    let flags =
        [(!head.keep_alive, " close"), (head.expect_continue, " continue"), (head.te_trailers, " trailers")];
    for (is_set, flag) in flags {
        out += if is_set { flag } else { "" };
    }
    if let Some(upgrade) = head.upgrade {
        write!(out, " upgrade={}", text(upgrade.of(input))).unwrap();
    }
    let names = |is_listed: &dyn Fn(&&igw_h1::Field) -> bool| {
        head.fields
            .iter()
            .filter(is_listed)
            .map(|field| text(field.name.of(input)))
            .collect::<Vec<_>>()
            .join(",")
    };
    let dropped = names(&|field| field.hop_by_hop);
    let underscored = names(&|field| field.known == Known::Underscored);
    for (label, list) in [(" drops=", dropped), (" underscored=", underscored)] {
        if !list.is_empty() {
            out += label;
            out += &list;
        }
    }
    out
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
