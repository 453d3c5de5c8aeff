//! HTTP through the proxy, byte for byte.

use std::net::SocketAddr;

use igw_e2e::client::{Connection, get};
use igw_e2e::objects::{backend, beside, gateway, route, to_backend};
use igw_e2e::origin::{Manners, Origin, pattern};
use igw_e2e::process::{Up, free};

struct Scene {
    up: Up,
    origin: Origin,
    address: SocketAddr,
}

fn scene() -> anyhow::Result<Scene> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let objects =
        gateway(address) + &route("r", "a.test", &to_backend("b")) + &backend("b", &[origin.address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    Ok(Scene { up, origin, address })
}

#[test]
fn requests_and_answers_pass_whole() -> anyhow::Result<()> {
    let scene = scene()?;
    let mut connection = Connection::open(scene.address)?;
    connection.send(
        b"GET /p?q=1 HTTP/1.1\r\nHost: a.test\r\nX-Keep: 1\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Prefix: /x\r\nProxy: evil\r\nX_Under: 1\r\n\
          Connection: x-drop\r\nX-Drop: 1\r\nKeep-Alive: 5\r\n\r\n",
    )?;
    let answer = connection.read("GET")?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.report()?["line"], "GET /p?q=1 HTTP/1.1");
    assert_eq!(answer.seen("x-keep").as_deref(), Some("1"));
    assert_ne!(answer.seen("x-forwarded-for").as_deref(), Some("6.6.6.6"));
    assert_eq!(answer.seen("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(answer.seen("x-forwarded-host").as_deref(), Some("a.test"));
    assert_eq!(answer.seen("x-forwarded-port"), Some(scene.address.port().to_string()));
    assert_eq!(answer.seen("x-request-id").map(|id| id.len()), Some(36));
    for gone in ["x-drop", "keep-alive", "proxy", "x_under", "x-forwarded-prefix"] {
        assert_eq!(answer.seen(gone), None, "{gone}");
    }
    // The connection goes on, pipelined requests are answered in order.
    connection.send(b"GET /1 HTTP/1.1\r\nhost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    assert_eq!(connection.read("GET")?.report()?["line"], "GET /1 HTTP/1.1");
    assert_eq!(connection.read("GET")?.report()?["line"], "GET /2 HTTP/1.1");
    // HEAD has no body and keeps its length.
    connection.send(b"HEAD /size/100 HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    let answer = connection.read("HEAD")?;
    assert_eq!(answer.field("content-length"), Some("100"));
    // A body in chunks arrives in chunks, trailers too.
    connection.send(b"POST /c HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nx-t: v\r\n\r\n")?;
    let answer = connection.read("POST")?;
    assert_eq!(answer.report()?["body_bytes"], 5);
    assert_eq!(answer.seen("trailer:x-t").as_deref(), Some("v"));
    // The client that waits for 100 gets it from the back end.
    connection
        .send(b"POST /e HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")?;
    connection.send(b"hi")?;
    let answer = connection.read("POST")?;
    assert_eq!((answer.status, answer.interim.as_slice()), (200, &[100][..]));
    Ok(())
}

#[test]
fn bodies_of_every_size_are_the_same_on_both_sides() -> anyhow::Result<()> {
    let scene = scene()?;
    let mut connection = Connection::open(scene.address)?;
    for size in [1, 1_000, 65_536, 262_143, 262_144, 262_145, 5_000_000] {
        let answer = connection.get("a.test", &format!("/size/{size}"))?;
        assert_eq!(answer.body.len(), size);
        assert!(answer.body == pattern(size), "{size}");
        let body = pattern(size);
        connection.send(
            format!("POST /up HTTP/1.1\r\nhost: a.test\r\ncontent-length: {size}\r\n\r\n").as_bytes(),
        )?;
        connection.send(&body)?;
        let report = connection.read("POST")?.report()?;
        let sum = body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        assert_eq!(report["body_bytes"], size);
        assert_eq!(report["body_sum"], sum);
    }
    Ok(())
}

#[test]
fn back_ends_may_answer_in_any_framing() -> anyhow::Result<()> {
    let scene = scene()?;
    scene.origin.behave(Manners::Chunked);
    let answer = get(scene.address, "a.test", "/")?;
    assert_eq!(answer.report()?["line"], "GET / HTTP/1.1");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), answer.body.len().to_string())]);
    // A client of HTTP/1.0 knows no chunks.
    let mut old = Connection::open(scene.address)?;
    old.send(b"GET / HTTP/1.0\r\nhost: a.test\r\n\r\n")?;
    let answer = old.read("GET")?;
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!(answer.report()?["line"], "GET / HTTP/1.1");
    scene.origin.behave(Manners::UntilClose);
    assert_eq!(get(scene.address, "a.test", "/")?.report()?["origin"], "o");
    scene.origin.behave(Manners::EarlyHints);
    let answer = get(scene.address, "a.test", "/")?;
    assert_eq!(answer.interim, [103]);
    Ok(())
}

#[test]
fn upgraded_connections_are_tunnels() -> anyhow::Result<()> {
    let scene = scene()?;
    let mut connection = Connection::open(scene.address)?;
    connection.send(b"GET /ws HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n")?;
    let answer = connection.read("GET")?;
    assert_eq!((answer.status, answer.field("upgrade")), (101, Some("echo")));
    for size in [1, 1_000, 300_000] {
        let sent = pattern(size);
        connection.send(&sent)?;
        assert!(connection.take(size)? == sent, "{size}");
    }
    Ok(())
}

#[test]
fn back_ends_that_misbehave_get_their_own_answers() -> anyhow::Result<()> {
    let scene = scene()?;
    for (manners, status, cause) in
        [(Manners::Reset, 502, "upstream_reset"), (Manners::Garbage, 502, "upstream_protocol")]
    {
        scene.origin.behave(manners);
        let answer = get(scene.address, "a.test", "/")?;
        assert_eq!((answer.status, answer.field("igw-cause")), (status, Some(cause)), "{manners:?}");
    }
    scene.origin.behave(Manners::Truncate);
    assert!(get(scene.address, "a.test", "/").is_err(), "a cut answer must not look whole");
    // Bytes behind an answer are nobody's answer.
    scene.origin.behave(Manners::Extra);
    let mut connection = Connection::open(scene.address)?;
    for _ in 0..5 {
        let answer = connection.get("a.test", "/x")?;
        assert_eq!(answer.report()?["line"], "GET /x HTTP/1.1");
    }
    drop(scene.origin);
    let answer = get(scene.address, "a.test", "/")?;
    assert_eq!((answer.status, answer.field("igw-cause")), (502, Some("connect_refused")));
    assert_eq!(get(scene.address, "other.test", "/")?.status, 404);
    drop(scene.up);
    Ok(())
}

#[test]
fn ambiguous_requests_are_refused() -> anyhow::Result<()> {
    let scene = scene()?;
    let cases: [(&str, u16); 14] = [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a.test\r\nhost: a.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a.test:x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost : a.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\nhost: a.test\n\n", 400),
        ("GET / HTTP/2.0\r\nhost: a.test\r\n\r\n", 505),
        (
            "POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
        ("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: +1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nhost: a.test\r\n folded: 1\r\n\r\n", 400),
        ("CONNECT a.test:443 HTTP/1.1\r\nhost: a.test\r\n\r\n", 501),
        ("GET /%zz HTTP/1.1\r\nhost: a.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a.test\r\nexpect: magic\r\n\r\n", 417),
    ];
    for (request, status) in cases {
        let mut connection = Connection::open(scene.address)?;
        connection.send(request.as_bytes())?;
        let answer = connection.read("GET")?;
        assert_eq!(answer.status, status, "{request:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
        assert!(connection.rest()?.is_empty(), "{request:?}");
    }
    // What is matched is what is sent.
    let answer = get(scene.address, "a.test", "/x//y/../%41")?;
    assert_eq!(answer.report()?["line"], "GET /x/A HTTP/1.1");
    Ok(())
}
