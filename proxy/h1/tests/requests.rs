//! Heads of requests: one row per rule, accepted with everything that was read or refused with status and rule.
//! Every row is also cut at every byte.

use std::fmt::Write;

use igw_h1::{Body, Known, Limits, Parsed, RequestHead, TargetForm, Version};

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
    // --- what is written in another way and means the same
    ("RFC 9110 9.1", b"G / HTTP/1.1\r\nHost: a\r\n\r\n", "G origin / host=a"),
    ("RFC 9112 3.2.1", b"GET /../a/./%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin /../a/./%2e%2E/b host=a"),
    ("RFC 9112 3.2.1", b"GET /;a=b@c:d HTTP/1.1\r\nHost: a\r\n\r\n", "GET origin /;a=b@c:d host=a"),
    ("RFC 9112 3.2.2", b"HEAD http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD absolute / host=127.0.0.1:1"),
    ("RFC 9112 3.2.2", b"GET http://b./?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute / ?c host=b."),
    ("RFC 9112 3.2.2", b"GET http://b//c HTTP/1.1\r\nHost: a\r\n\r\n", "GET absolute //c host=b"),
    ("RFC 9112 6.1", b"POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING:\tCHUNKED \t\r\n\r\n", "POST origin / host=a body=chunked drops=TRANSFER-ENCODING"),
    ("RFC 9110 8.6", b"POST / HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH:7\r\n\r\n", "POST origin / host=a body=7"),
    ("T4 underscore", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n", "POST origin / host=a underscored=Transfer_Encoding"),
    (
        "RFC 9110 10.1.1",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        "POST origin / host=a body=chunked continue drops=Transfer-Encoding",
    ),
    ("RFC 9110 7.2", b"GET / HTTP/1.1\r\nHost: a:00080\r\n\r\n", "GET origin / host=a:00080"),
    ("RFC 9110 7.2", b"GET / HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n", "GET origin / host=a"),
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
    // --- more of the request line
    ("RFC 9112 3", 400, b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"\0GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET\x0c/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET\x85/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET,POST / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"@GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"{GET} / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET: / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"G\r\nET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GE\nT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"GET\r / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"\r\n\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3", 400, b"\x80\x2e\x01\x03\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\x1f HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /a\x85b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /\xa0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /?\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /?\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /?\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /?a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET /?\" HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET http://a/\x80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET http://a/b#c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET # HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET %2fa HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET ../a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET \\a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET ws://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET file:///a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET urn:a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET http//a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET HTTP:\\\\a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"GET &/a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"POST * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"HEAD * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"options * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2", 400, b"OPTIONS */ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://?a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a:65536/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a:000080/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a:8x/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://.a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a../ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://[::1]x/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://[::g]/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://[]/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a@/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a,b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://*/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a;b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 3.2.2", 400, b"GET http://a%/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.1\0\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/a.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP 1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.1/\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.1HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / XHTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HtTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/-1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.1\x0b\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP//1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / \tHTTP/1.1\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/1.1;\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.3", 400, b"GET / HTTP/\xb9.1\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/0.0\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/0.1\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/1.9\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/2.1\r\nHost: a\r\n\r\n"),
    ("RFC 9110 15.6.6", 505, b"GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ("RFC 9112 2.2", 400, b"GET / HTTP/1.0\n\n"),
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
    "a,",
    "a\tb",
    "a:http",
    "a:+80",
    "a: 80",
    "a:80,b",
    "a :80",
    "[::1]:x",
    "[::1]:65536",
    "[::1]:80:80",
    "[::1]]",
    "::1]",
    "[]:80",
    "[v1.a]",
    "/a",
    "@a",
    "a@b:80",
    "a:80@b",
    "xn--\u{fc}",
];

/// Bytes that a host name does not have, percent-encoding and sub-delimiters among them.
const NOT_IN_HOSTS: &[u8] = b"!$&'()*+,;=~^`|{}<>\"%@/?#\\ ";

/// Bytes that end no name of a field and are in none.
const NOT_IN_NAMES: &[u8] = b"(),/;<=>?@[\\]{}\"\x08\x1b\x80\xa0\xff";

/// Bytes that are in no value of a field.
const NOT_IN_VALUES: &[u8] = b"\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x1c\x1d\x1e\x1f";

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
    // --- more of framing
    ("RFC 9110 8.6", 400, b"Content-Length: 1\t2"),
    ("RFC 9110 8.6", 400, b"Content-Length: 0b1"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1e3"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1L"),
    ("RFC 9110 8.6", 400, b"Content-Length: , 1"),
    ("RFC 9110 8.6", 400, b"Content-Length: 0, 0"),
    ("RFC 9110 8.6", 400, b"Content-Length: -0"),
    ("RFC 9110 8.6", 400, b"Content-Length: +0"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1\xa0"),
    ("RFC 9110 8.6", 400, b"Content-Length: \xa01"),
    ("RFC 9110 8.6", 400, b"Content-Length: \xef\xbc\x91"),
    ("RFC 9110 8.6", 400, b"Content-Length: \xd9\xa1"),
    ("RFC 9110 8.6", 400, b"Content-Length: 0 0"),
    ("RFC 9110 8.6", 400, b"Content-Length: '1'"),
    ("RFC 9110 8.6", 400, b"Content-Length: 1\r\nContent-Length:"),
    ("RFC 9110 8.6", 400, b"Content-Length: 0\r\nContent-Length: 0"),
    ("RFC 9112 5.1", 400, b"Content-Length : 1"),
    ("RFC 9112 5.1", 400, b"Content-Length\t: 1"),
    ("RFC 9112 5.1", 400, b"Content Length: 1"),
    ("RFC 9112 5.1", 400, b"Content-Length\0: 1"),
    ("RFC 9112 5.1", 400, b"Content-Length\x0b: 1"),
    ("RFC 9112 5.1", 400, b"Transfer-Encoding\x0b: chunked"),
    ("RFC 9112 5.1", 400, b"Transfer-Encoding\r: chunked"),
    ("RFC 9112 5.1", 400, b"Transfer-Encoding\xff: chunked"),
    ("RFC 9112 5.1", 400, b"Transfer-Encoding chunked"),
    ("RFC 9112 5.2", 400, b"Content-Length: 1\r\n 2"),
    ("RFC 9112 5.2", 400, b"X: y\r\n Content-Length: 1"),
    ("RFC 9112 5.2", 400, b"X: y\r\n\tTransfer-Encoding: chunked"),
    ("RFC 9112 5.2", 400, b" X: y"),
    ("RFC 9112 5.2", 400, b"Transfer-Encoding: chunked\r\n , identity"),
    ("RFC 9112 2.2", 400, b"Content-Length: 1\nX: y"),
    ("RFC 9112 2.2", 400, b"Content-Length: 1\rX: y"),
    ("RFC 9112 2.2", 400, b"Transfer-Encoding: chunked\r"),
    ("RFC 9112 2.2", 400, b"Transfer-Encoding: chunked\n"),
    ("RFC 9112 2.2", 400, b"X: \nTransfer-Encoding: chunked"),
    ("RFC 9110 5.5", 400, b"Content-Length: 1\0"),
    ("RFC 9110 5.5", 400, b"Content-Length: \x0b1"),
    ("RFC 9110 5.5", 400, b"Transfer-Encoding: chunked\0"),
    ("RFC 9110 5.5", 400, b"Transfer-Encoding: chunked\x0b"),
    ("RFC 9110 5.5", 400, b"Transfer-Encoding: chunked \x0c"),
    ("RFC 9112 6.3", 400, b"Content-Length: 0\r\nTransfer-Encoding: chunked"),
    ("RFC 9112 6.3", 400, b"Transfer-Encoding: chunked\r\nContent-Length: 0"),
    ("RFC 9112 6.3", 400, b"Transfer-Encoding: gzip\r\nContent-Length: 1"),
    ("RFC 9112 6.3", 400, b"Content-Length:\r\nTransfer-Encoding: chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked/1"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked=1"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked, , chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked\xa0"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: \xef\xbd\x83hunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked; q=1"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked\tchunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: (chunked)"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: CHUNKED, chunked"),
    ("RFC 9112 6.1", 400, b"Transfer-Encoding: chunked , chunked"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: identity, chunked"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: chunked, identity"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: deflate"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: x-chunked"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: chunke"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: 'chunked'"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: trailers"),
    ("RFC 9112 6.1", 501, b"Transfer-Encoding: br, gzip, chunked"),
    ("RFC 9110 10.1.1", 417, b"Expect: 100-continue;x"),
    ("RFC 9110 10.1.1", 417, b"Expect: 200-ok"),
    ("RFC 9110 10.1.1", 417, b"Expect: 100"),
    ("RFC 9110 10.1.1", 417, b"Expect: , 100-continue"),
    ("RFC 9110 10.1.1", 417, b"Expect: 100-continue,"),
    ("RFC 9110 10.1.1", 417, b"Expect: \"100-continue\""),
    ("RFC 9110 7.6.1", 400, b"Connection: \"close\""),
    ("RFC 9110 7.6.1", 400, b"Connection: close,a=b"),
    ("RFC 9110 7.6.1", 400, b"Connection: close/1"),
    ("RFC 9110 7.6.1", 400, b"Connection: @"),
    ("RFC 9110 7.6.1", 400, b"Connection: close: x"),
    ("RFC 9110 7.6.1", 400, b"Connection: (close)"),
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
    for byte in NOT_IN_HOSTS {
        check("RFC 9110 7.2", &[b"GET / HTTP/1.1\r\nHost: a", &[*byte][..], b"b\r\n\r\n"].concat(), Err(400));
    }
    for byte in NOT_IN_NAMES {
        check(
            "RFC 9112 5.1",
            &[b"GET / HTTP/1.1\r\nHost: a\r\nX", &[*byte][..], b": y\r\n\r\n"].concat(),
            Err(400),
        );
    }
    for byte in NOT_IN_VALUES {
        check(
            "RFC 9110 5.5",
            &[b"GET / HTTP/1.1\r\nHost: a\r\nX: y", &[*byte][..], b"\r\n\r\n"].concat(),
            Err(400),
        );
    }
    for (rule, status, lines) in REFUSED_FIELDS {
        check(rule, &[b"POST / HTTP/1.1\r\nHost: a\r\n", *lines, b"\r\n\r\n"].concat(), Err(*status));
    }
    check("RFC 9112 6.1", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(400));
    check("RFC 9112 6.1", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", Err(400));
}

#[test]
fn the_corpus_is_as_large_as_promised() {
    let n_rows = ACCEPTED.len() + REFUSED.len() + REFUSED_HOSTS.len() + REFUSED_FIELDS.len();
    println!("{n_rows} rows of requests");
    assert!(n_rows >= 400, "{n_rows}");
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
