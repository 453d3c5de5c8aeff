//! Streams made of what is valid and what is nearly so, some damaged byte by byte. A plain message at the end of each
//! shows whether a reader has found the end of those before.

use crate::random::Random;

pub fn requests(random: &mut Random) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..1 + random.below(2) {
        request(random, &mut stream);
    }
    damage(random, &mut stream);
    stream.extend_from_slice(b"GET /last HTTP/1.1\r\nHost: last\r\n\r\n");
    stream
}

/// Responses, and whether they answer HEAD.
pub fn responses(random: &mut Random) -> (bool, Vec<u8>) {
    let is_head = random.one_in(8);
    let mut stream = Vec::new();
    for _ in 0..1 + random.below(2) {
        response(random, &mut stream);
    }
    damage(random, &mut stream);
    stream.extend_from_slice(b"HTTP/1.1 200 Last\r\nContent-Length: 0\r\n\r\n");
    (is_head, stream)
}

fn request(random: &mut Random, out: &mut Vec<u8>) {
    let (rare, seldom) = (random.one_in(4), random.one_in(10));
    if rare && random.one_in(6) {
        out.extend_from_slice(random.pick(&[b"\r\n".as_slice(), b"\r\n\r\n", b"\n", b"\r", b" "]));
    }
    let mut method =
        random.pick(&["GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]);
    let mut target = random.pick(TARGETS);
    if seldom {
        method =
            random.pick(&["TRACE", "CONNECT", "get", "M-SEARCH", "A!#$%&'*+.^_`|~9", "G{T", "", "OPTIONS"]);
        target = random.pick(ODD_TARGETS);
    }
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target);
    if random.one_in(300) {
        out.extend_from_slice(&vec![b'a'; 8_000 + random.below(400)]);
    }
    let version = if seldom { random.pick(ODD_VERSIONS) } else { " HTTP/1.1" };
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut fields = Vec::new();
    if !(rare && random.one_in(8)) {
        let host =
            if rare { random.pick(ODD_HOSTS) } else { random.pick(&["a.example", "b:80", "[::1]:8080"]) };
        fields.push([b"Host: ", host.as_bytes()].concat());
    }
    message(random, fields, out);
}

fn response(random: &mut Random, out: &mut Vec<u8>) {
    let seldom = random.one_in(8);
    let version = if seldom {
        random.pick(&["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/1.1", "http/1.1"])
    } else {
        "HTTP/1.1"
    };
    let mut status = random.pick(&[" 200 OK", " 200 OK", " 404 Not Found", " 500 ", " 206 Part"]);
    if random.one_in(4) {
        status = random.pick(&[
            " 100 Continue",
            " 103 Early Hints",
            " 204 No Content",
            " 304 Not Modified",
            " 101 Switching",
            " 200",
            " 099 Low",
            " 600 High",
            " 999 Higher",
            " 20 Short",
            " 2000 Long",
            "  200 Space",
            " 200 a\tb",
            " +20 Sign",
            " 200OK",
            " 205 Reset",
            " 426 ",
            " 200 \u{e9}",
        ]);
    }
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\r\n");
    message(random, Vec::new(), out);
}

/// Fields, the empty line, and content.
fn message(random: &mut Random, mut fields: Vec<Vec<u8>>, out: &mut Vec<u8>) {
    let content = random.pick(CONTENTS);
    let mut body = Vec::new();
    match random.below(10) {
        0..=3 => {}
        4..=6 => {
            fields.push(format!("Content-Length: {}", content.len()).into_bytes());
            body.extend_from_slice(content);
        }
        7 | 8 => {
            fields.push(b"Transfer-Encoding: chunked".to_vec());
            chunks(random, content, &mut body);
        }
        _ => {
            for _ in 0..1 + random.below(2) {
                fields.push(random.pick(FRAMINGS).to_vec());
            }
            chunks(random, content, &mut body);
        }
    }
    for _ in 0..random.below(4) {
        let from = if random.one_in(5) { ODD_FIELDS } else { FIELDS };
        let field = random.pick(from);
        fields.insert(random.below(fields.len() + 1), field.to_vec());
    }
    if random.one_in(400) {
        let n_more = 90 + random.below(60);
        fields.extend((0..n_more).map(|at| format!("x-{at}: y").into_bytes()));
    }
    for field in &fields {
        out.extend_from_slice(field);
        out.extend_from_slice(if random.one_in(300) { b"\n" } else { b"\r\n" });
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
}

fn chunks(random: &mut Random, content: &[u8], out: &mut Vec<u8>) {
    let is_odd = random.one_in(6);
    for piece in content.chunks(1 + random.below(20)) {
        let size = match is_odd {
            true if random.one_in(3) => format!("{:017x}", piece.len()),
            true if random.one_in(3) => format!("{:X}", piece.len()),
            _ => format!("{:x}", piece.len()),
        };
        out.extend_from_slice(size.as_bytes());
        if is_odd {
            out.extend_from_slice(random.pick(EXTENSIONS));
        } else if random.one_in(4) {
            out.extend_from_slice(b";a=b");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(if is_odd { random.pick(LAST_SIZES) } else { b"0" });
    out.extend_from_slice(b"\r\n");
    for _ in 0..random.below(3) {
        out.extend_from_slice(if is_odd { random.pick(ODD_TRAILERS) } else { random.pick(TRAILERS) });
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Changes nothing in most streams, and else up to three places.
fn damage(random: &mut Random, stream: &mut Vec<u8>) {
    if !random.one_in(3) {
        return;
    }
    for _ in 0..1 + random.below(3) {
        let at = random.below(stream.len());
        match random.below(4) {
            0 => stream[at] = random.pick(BYTES),
            1 => stream.insert(at, random.pick(BYTES)),
            2 => drop(stream.remove(at)),
            _ => drop(stream.splice(at..at, random.pick(PIECES).iter().copied())),
        }
    }
}

const TARGETS: &[&[u8]] = &[
    b"/",
    b"/a/b",
    b"/a?b=c&d",
    b"/%41%2f",
    b"//a",
    b"/?",
    b"/a;b=c,d@e:f",
    b"/../.",
    b"http://c.example/d?e",
    b"http://c:8080",
    b"https://[::1]/",
    b"HTTP://c?d",
    b"/~a_b-c.d!$&'()*+,;=",
];
const ODD_TARGETS: &[&[u8]] = &[
    b"*",
    b"/",
    b"a:80",
    b"a",
    b"/a#b",
    b"/a{b}",
    b"/a|b^c`",
    b"/a[b]",
    b"/%zz",
    b"/%4",
    b"/a\"b",
    b"/a\\b",
    b"/<a>",
    b"",
    b"/\xc3\xa9",
    b"/\xff",
    b"ftp://a/b",
    b"urn:a:b",
    b"http://",
    b"http:///a",
    b"http://u@a/",
    b"http://a b/",
    b"http://a..b/",
    b"http://a%41/",
    b"http://a!b/",
    b"http://[::1",
    b"http://[v1.a]/",
    b"http://a:99999/",
    b"http://a:b/",
    b"http://:80/",
    b"http:a",
    b"http://a#b",
    b"?a",
    b"/a b",
    b"/a\tb",
    b"http://a",
    b"http://a?b|c",
    b"https:/a",
    b"x://a",
    b"/a?b#c",
    b"/a?b\"c",
    b"/a?{b}",
    b"http://a/{b}",
    b"[::1]:80",
    b"a:",
    b":80",
    b"a:b",
];
const ODD_VERSIONS: &[&str] = &[
    " HTTP/1.0",
    " HTTP/1.0",
    " HTTP/1.0",
    " HTTP/1.0",
    " HTTP/1.1",
    " HTTP/1.1",
    " HTTP/1.1",
    " HTTP/1.1",
    " HTTP/1.2",
    " HTTP/2.0",
    " HTTP/0.9",
    "",
    " http/1.1",
    "  HTTP/1.1",
    " HTTP/1.1 ",
    " HTTP/01.1",
    " HTTP/1.10",
    " HTTPS/1.1",
];
const ODD_HOSTS: &[&str] = &[
    "a",
    "a:",
    "a.",
    "",
    "a..b",
    "a b",
    "a,b",
    "a/b",
    "u@a",
    "a:99999",
    "a:123456",
    "a:b",
    "[::1",
    "[::1]a",
    "[v1.a]",
    "a%41",
    "a!b",
    "a_b",
    "<a>",
    ":80",
    "a:80:90",
    "\u{e9}",
    "a?b",
    "a#b",
    "[1.2.3.4]",
    "1.2.3.4:5",
    "a;b",
    "-a",
    "xn--a",
];
const FIELDS: &[&[u8]] = &[
    b"A: b",
    b"a:b",
    b"X-C:  d \t",
    b"E:",
    b"Cookie: f=g; h",
    b"Accept: */*, x;q=0.1",
    b"User-Agent: \"i\"",
    b"J: \xc3\xa9",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: x, keep-alive",
    b"TE: trailers",
    b"K: l:m:n",
    b"Upgrade: websocket",
    b"Expect: 100-continue",
    b"Date: Sat, 28 Nov 2026 21:00:00 GMT",
    b"X-Forwarded-For: 1.2.3.4",
];
const ODD_FIELDS: &[&[u8]] = &[
    b"A : b",
    b" A: b",
    b": b",
    b"A",
    b"A\x00: b",
    b"A: b\x00c",
    b"A: b\x7f",
    b"A: b\x01",
    b"A(b): c",
    b"A\xe9: b",
    b"A: b\r c",
    b"A: b\r\n c",
    b"A: b\n c",
    b"A: b\nB: c",
    b"A\t: b",
    b"Host: second",
    b"Connection: a b",
    b"Connection: ,,close,",
    b"Connection: \"close\"",
    b"Connection: CLOSE",
    b"Expect: 200-ok",
    b"Expect: 100-continue, 100-continue",
    b"A_b: c",
    b"A/b: c",
    b"A: \x0b",
    b"A\r\n: b",
    b"\xef\xbb\xbfA: b",
    b"Expect:",
    b"Connection: \xe9",
    b"Connection: upgrade, close",
    b"Connection:\tKeep-Alive",
    b"Proxy-Connection: close",
    b"Content-Length : 3",
    b"Content_Length: 3",
    b"Transfer-Encoding : chunked",
    b"X: \"a\r\n",
    b"A:\t\tb\t\t",
    b"A: b\xa0",
    b"A: \xa0b",
];
const FRAMINGS: &[&[u8]] = &[
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: 5",
    b"Content-Length: 05",
    b"Content-Length: 5, 5",
    b"Content-Length: 5,6",
    b"Content-Length: +5",
    b"Content-Length: -5",
    b"Content-Length: 0x5",
    b"Content-Length: 5 5",
    b"Content-Length:",
    b"Content-Length: 5;",
    b"Content-Length: 9223372036854775808",
    b"Content-Length: 1e1",
    b"Content-Length: 18446744073709551615",
    b"Content-Length: 18446744073709551616",
    b"Content-Length: 5,",
    b"Content-Length: 99999999999999999999999999",
    b"Content-Length: \xb5",
    b"content-length:5\t",
    b"Content-Length: '5'",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: , chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked;a=b",
    b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: chun ked",
    b"Transfer-Encoding: x y, chunked",
    b"Transfer-Encoding\t: chunked",
    b"Transfer_Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding:\tchunked\t",
    b"Transfer-Encoding: \xa0chunked",
    b"X: Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\n , gzip",
];
const CONTENTS: &[&[u8]] = &[
    b"",
    b"a",
    b"hello",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"GET /in HTTP/1.1\r\nHost: in\r\n\r\n",
    b"HTTP/1.1 200 In\r\nContent-Length: 0\r\n\r\n",
    b"\r\n",
    b"\0\xff\n\r",
    b"a long content, longer than any chunk",
];
const EXTENSIONS: &[&[u8]] = &[
    b"",
    b"",
    b";a",
    b";a=b;c",
    b";a=\"b\"",
    b";a=\"b;c\\\"\"",
    b" ;a",
    b"\t;a",
    b"  ;a=b",
    b"; a",
    b";a =b",
    b";a= b",
    b";a\t;b",
    b" ",
    b"\t",
    b";",
    b";;",
    b";=a",
    b";a=",
    b";a=\"b",
    b";a\"b\"",
    b";a=b c",
    b";a\rb",
    b";a\nb",
    b";a\x00",
    b";a=\"\x7f\"",
    b" 0",
    b"g",
    b",",
    b";a=\"\xe9\"",
    b";\xe9",
    b";a ",
    b";a=b ",
    b";a=b\x0b",
    b";a=\x0c",
    b";a\x0b=b",
    b";(a)",
    b";a=b/c",
    b";a=\"\\\x01\"",
];
const LAST_SIZES: &[&[u8]] = &[
    b"0",
    b"0",
    b"00",
    b"0000000000000000",
    b"00000000000000000",
    b"0;a",
    b"0 ",
    b"-0",
    b"0x0",
    b"+0",
    b"",
    b" 0",
    b"0;",
];
const TRAILERS: &[&[u8]] = &[b"A: b", b"x-checksum:1", b"E:", b"F: \xc3\xa9"];
const ODD_TRAILERS: &[&[u8]] = &[
    b"A: b",
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Host: t",
    b"Cookie: t",
    b"A_b: c",
    b"A : b",
    b" a",
    b": b",
    b"A",
    b"A: b\nC: d",
    b"A: b\rc",
    b"A: b\x00",
    b"A\xe9: b",
    b"\tA: b",
    b"If-Match: a",
    b"X-Forwarded-For: t",
    b"A\x00: b",
    b"Authorization: t",
    b"Via: t",
    b"Expect: 100-continue",
    b"Content-Type: t",
    b"Date: t",
    b"TE: t",
    b"Trailer: t",
];
const BYTES: &[u8] = b"\r\n\t :,;=/?#*@[]\"\\%{|_-+0159aAfFxGH\x00\x0b\x7f\x80\xff";
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\r\n",
    b" ",
    b"  ",
    b"\r\n ",
    b"\r\n\t",
    b": ",
    b"chunked",
    b", chunked",
    b"Content-Length: 3\r\n",
    b"\r\nContent-Length: 3",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\nTransfer-Encoding: chunked",
    b"Host: x\r\n",
    b"\r\nHost: x",
    b"HTTP/1.1",
    b" HTTP/1.1\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"\x00",
    b"\xc2\x85",
    b"%00",
    b"Connection: close\r\n",
    b"GET / HTTP/1.1\r\nHost: y\r\n\r\n",
    b"\r\nExpect: 100-continue",
    b"FFFFFFFFFFFFFFFF",
];
