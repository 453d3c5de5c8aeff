//! Tries after the first one, as the rule of a route says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use igw_e2e::client::{Answer, Connection};
use igw_e2e::objects::{backend, beside, gateway, to_backend};
use igw_e2e::ongoing::over_http2;
use igw_e2e::origin::{Manners, Origin};
use igw_e2e::process::{Up, free};

const HOST: &str = "a.test";

struct Scene {
    _up: Up,
    address: SocketAddr,
    good: Origin,
    bad: Origin,
}

/// Rules `/none`, `/one` and so on, each with its own `retry`, to both back ends or to the bad one alone.
fn scene() -> anyhow::Result<Scene> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let good = Origin::start("good", SocketAddr::new(beside(up.ip, 250), 0))?;
    let bad = Origin::start("bad", SocketAddr::new(beside(up.ip, 251), 0))?;
    let mut objects = gateway(address)
        + &backend("both", &[good.address, bad.address])
        + &backend("bad", &[bad.address])
        + "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: BackendPolicy\nmetadata: {name: patient}\nspec:\n  targetRefs:\n    - {group: igw.opensvc.com, kind: Backend, name: both}\n    - {group: igw.opensvc.com, kind: Backend, name: bad}\n  healthCheck: {passive: {consecutiveErrors: 1000}}\n"
        + &format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  parentRefs: [{{name: main}}]\n  hostnames: [{HOST}]\n  rules:\n"
        );
    for (path, target, more) in [
        ("/none", "bad", "retry: {codes: [503], attempts: 0}"),
        ("/default", "bad", "timeouts: {backendRequest: 300ms}"),
        ("/codes", "both", "retry: {codes: [500, 503], attempts: 1}"),
        ("/h2", "both", "retry: {codes: [503], attempts: 1}"),
        ("/slow", "bad", "retry: {codes: [503], attempts: 2, backoff: 200ms}"),
        ("/hang", "both", "retry: {attempts: 1}\n      timeouts: {backendRequest: 300ms}"),
        (
            "/short",
            "bad",
            "retry: {codes: [503], attempts: 3, backoff: 400ms}\n      timeouts: {request: 300ms}",
        ),
        ("/budget", "bad", "retry: {codes: [503], attempts: 1, backoff: 1ms}"),
    ] {
        objects += &format!(
            "    - matches: [{{path: {{value: {path}}}}}]\n      {more}\n      backendRefs: [{{{}}}]\n",
            to_backend(target)
        );
    }
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    Ok(Scene { _up: up, address, good, bad })
}

impl Scene {
    /// One request on a new connection; what came, and how many the bad back end got of it.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<(Answer, u64)> {
        let before = self.bad.n_requests();
        let mut connection = Connection::open(self.address)?;
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {}\r\n\r\n", body.len());
        connection.send(&[head.as_bytes(), body].concat())?;
        let answer = connection.read(method)?;
        Ok((answer, self.bad.n_requests() - before))
    }
}

#[test]
fn statuses_are_tried_again_as_the_rule_says() -> anyhow::Result<()> {
    let scene = scene()?;
    scene.bad.behave(Manners::Status(503));
    let (answer, n) = scene.ask("GET", "/none", b"")?;
    assert_eq!((answer.status, n), (503, 1), "no retry");
    let (answer, n) = scene.ask("GET", "/default", b"")?;
    assert_eq!((answer.status, n), (503, 1), "statuses are not tried again by default");

    // Whoever answers first, the client gets the good one's answer; bodies go with each try.
    for method in ["GET", "POST", "PUT"] {
        for _ in 0..4 {
            let (answer, _) = scene.ask(method, "/codes", b"a body")?;
            assert_eq!((answer.status, answer.field("x-origin")), (200, Some("good")), "{method}");
            assert_eq!(answer.report()?["body_bytes"], 6);
        }
    }
    assert!(scene.bad.n_requests() >= 6, "{} of 12 were tried again", scene.bad.n_requests());
    let mut ask_over_http2 = over_http2(scene.address, HOST);
    for _ in 0..4 {
        ask_over_http2()?;
    }
    scene.bad.behave(Manners::Status(404));
    let (answer, n) = scene.ask("GET", "/slow", b"")?;
    assert_eq!((answer.status, n), (404, 1), "a status that is not listed");
    scene.bad.behave(Manners::Status(500));
    let (answer, n) = scene.ask("GET", "/none", b"")?;
    assert_eq!((answer.status, n), (500, 1));

    // What was consumed of a large body is not there for another try.
    scene.bad.behave(Manners::Status(503));
    let body = vec![b'x'; 1024 * 1024];
    let answers: Vec<u16> = (0..4)
        .map(|_| scene.ask("POST", "/codes", &body).map(|(answer, _)| answer.status))
        .collect::<anyhow::Result<_>>()?;
    assert!(answers.contains(&200) && answers.contains(&503), "{answers:?}");
    Ok(())
}

#[test]
fn tries_are_spaced_and_bounded() -> anyhow::Result<()> {
    let scene = scene()?;
    scene.bad.behave(Manners::Status(503));
    let started = Instant::now();
    let (answer, n) = scene.ask("GET", "/slow", b"")?;
    let took = started.elapsed();
    assert_eq!((answer.status, n), (503, 3));
    assert_eq!(answer.field("x-origin"), Some("bad"), "the last answer is passed on");
    assert!((Duration::from_millis(600)..Duration::from_millis(1_500)).contains(&took), "{took:?}");

    let (answer, n) = scene.ask("GET", "/short", b"")?;
    assert_eq!((answer.status, answer.field("igw-cause"), n), (504, Some("request_timeout"), 1));

    // Each of two workers has ten retries at first, one for five requests, and ten a second.
    let before = scene.bad.n_requests();
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(scene.ask("GET", "/budget", b"")?.0.status, 503);
    }
    let n_retries = scene.bad.n_requests() - before - 100;
    let n_most = 41 + started.elapsed().as_millis() as u64 / 50;
    assert!((20..=n_most).contains(&n_retries), "{n_retries} retries of 100 requests");
    Ok(())
}

#[test]
fn failures_are_tried_again_where_nothing_is_lost() -> anyhow::Result<()> {
    let scene = scene()?;
    for manners in [Manners::Hang, Manners::Reset] {
        scene.bad.behave(manners);
        for _ in 0..4 {
            let (answer, _) = scene.ask("GET", "/hang", b"")?;
            assert_eq!((answer.status, answer.field("x-origin")), (200, Some("good")), "{manners:?}");
        }
    }
    // By default a timeout is not tried again, and nobody may send a POST twice.
    scene.bad.behave(Manners::Hang);
    let (answer, n) = scene.ask("GET", "/default", b"")?;
    assert_eq!((answer.status, answer.field("igw-cause"), n), (504, Some("backend_timeout"), 1));
    let answers: Vec<u16> = (0..4)
        .map(|_| scene.ask("POST", "/hang", b"x").map(|(answer, _)| answer.status))
        .collect::<anyhow::Result<_>>()?;
    assert!(answers.contains(&504) && answers.contains(&200), "{answers:?}");
    assert!(scene.good.n_requests() > 0);
    Ok(())
}
