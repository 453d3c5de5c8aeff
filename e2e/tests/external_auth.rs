//! Requests that another service has to allow.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use igw_e2e::client::{Answer, Connection, eventually};
use igw_e2e::objects::{backend, beside, gateway, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};
use igw_e2e::raw::server;

const HOST: &str = "www.test";

/// A service that allows `Bearer good`, says nothing to `Bearer slow`, and sends others to log in.
struct Service {
    address: SocketAddr,
    questions: Arc<Mutex<Vec<Vec<String>>>>,
}

// === impl Service ===

impl Service {
    fn start(ip: IpAddr) -> anyhow::Result<Self> {
        let questions: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
        let kept = Arc::clone(&questions);
        let address = server(ip, move |stream| converse(stream, &kept))?;
        Ok(Self { address, questions })
    }

    fn last(&self) -> Vec<String> {
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        questions.last().cloned().unwrap_or_default()
    }

    fn n_asked(&self) -> usize {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn converse(stream: TcpStream, questions: &Mutex<Vec<Vec<String>>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut stream = stream;
    loop {
        let mut question = Vec::new();
        loop {
            let Some(line) = lines.next().transpose()? else { return Ok(()) };
            if line.is_empty() {
                break;
            }
            question.push(line);
        }
        let token = question.iter().find_map(|line| line.strip_prefix("authorization: Bearer "));
        let token = token.unwrap_or_default().to_owned();
        questions.lock().unwrap_or_else(PoisonError::into_inner).push(question);
        match token.as_str() {
            "good" => stream.write_all(
                b"HTTP/1.1 200 OK\r\nx-user: alice\r\nx-role: admin\r\nserver: auth\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok",
            )?,
            "slow" => std::thread::sleep(Duration::from_secs(5)),
            "created" => stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")?,
            _ => stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\nset-cookie: login=1\r\ncontent-length: 12\r\n\r\nwho are you?",
            )?,
        }
    }
}

fn route(name: &str, path: &str, auth: &str, more: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: main}}]
  hostnames: [{HOST}]
  rules:
    - matches: [{{path: {{value: {path}}}}}]
      timeouts: {{backendRequest: 500ms}}
      filters:
        - type: ExternalAuth
          externalAuth: {{protocol: HTTP, backendRef: {{{auth}}}, http: {{{more}}}}}
      backendRefs: [{{{}}}]
",
        to_backend("b")
    )
}

fn ask(address: SocketAddr, request: &str) -> anyhow::Result<Answer> {
    let mut connection = Connection::open(address)?;
    connection.send(request.as_bytes())?;
    connection.read(request.split(' ').next().unwrap_or_default())
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n")
}

#[test]
fn only_what_the_service_allows_goes_on() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let service = Service::start(beside(up.ip, 251))?;
    let auth = to_backend("auth");
    let objects = gateway(address)
        + &route("all", "/all", &auth, "")
        + &route(
            "some",
            "/some",
            &auth,
            "path: /check/, allowedHeaders: [X-Tenant], allowedResponseHeaders: [X-User]",
        )
        + &backend("b", &[origin.address])
        + &backend("auth", &[service.address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;

    // Nobody gets a copy of what is not allowed.
    let copied = Origin::start("copy", SocketAddr::new(beside(up.ip, 249), 0))?;
    let mirror =
        format!("{{type: RequestMirror, requestMirror: {{backendRef: {{{}}}}}}}", to_backend("copy"));
    let with_copy = route("copied", "/copied", &auth, "")
        .replace("      filters:\n", &format!("      filters:\n        - {mirror}\n"))
        + &backend("copy", &[copied.address]);
    up.write("copy.yaml", &with_copy)?;
    eventually("the route is live", Duration::from_secs(5), || {
        ask(address, &get("/copied", "")).is_ok_and(|answer| answer.status == 401)
    })?;
    assert_eq!(ask(address, &get("/copied", "authorization: Bearer good\r\n"))?.status, 200);
    eventually("the copy comes", Duration::from_secs(5), || copied.n_requests() == 1)?;
    up.write("copy.yaml", "")?;
    eventually("the route is gone", Duration::from_secs(5), || {
        ask(address, &get("/copied", "")).is_ok_and(|answer| answer.status == 404)
    })?;
    let n_before = (origin.n_requests(), up.metric(&["igw_authorizations_total", "denied"])?);

    // A yes: the request goes on and takes on what the service says of the client.
    let good = "authorization: Bearer good\r\n";
    let answer = ask(address, &get("/all/x?q=1", &format!("{good}x-user: mallory\r\nx-tenant: t\r\n")))?;
    assert_eq!(
        (answer.status, answer.seen("x-user").as_deref()),
        (200, Some("alice")),
        "not what the client says"
    );
    assert_eq!(answer.seen("x-role").as_deref(), Some("admin"));
    assert_eq!(answer.seen("server"), None, "what the service says of itself stays there");
    let asked = service.last();
    assert_eq!(asked[0], "GET /all/x?q=1 HTTP/1.1");
    assert!(
        asked.contains(&format!("host: {HOST}")) && asked.contains(&"content-length: 0".to_owned()),
        "{asked:?}"
    );
    assert!(!asked.iter().any(|line| line.starts_with("x-tenant")), "{asked:?}");

    let answer = ask(address, &get("/some", &format!("{good}x-tenant: t\r\n")))?;
    assert_eq!((answer.seen("x-user").as_deref(), answer.seen("x-role")), (Some("alice"), None));
    let asked = service.last();
    assert!(
        asked[0].starts_with("GET /check/some ") && asked.contains(&"x-tenant: t".to_owned()),
        "{asked:?}"
    );

    // A body stays with the request, large or small.
    for size in [5, 300_000] {
        let body = "b".repeat(size);
        let post =
            format!("POST /all HTTP/1.1\r\nhost: {HOST}\r\n{good}content-length: {size}\r\n\r\n{body}");
        let answer = ask(address, &post)?;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.report()?["bytes"].as_u64().or(Some(size as u64)), Some(size as u64));
        assert!(service.last().contains(&"content-length: 0".to_owned()));
    }
    assert_eq!(origin.n_requests(), n_before.0 + 4);

    // A no is the service's own answer; nothing reaches the back end. The connection goes on.
    let mut connection = Connection::open(address)?;
    for _ in 0..3 {
        connection.send(get("/all", "").as_bytes())?;
        let answer = connection.read("GET")?;
        assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(answer.field("set-cookie"), Some("login=1"));
        assert_eq!(answer.body, b"who are you?");
    }
    // Only 200 is a yes.
    assert_eq!(ask(address, &get("/all", "authorization: Bearer created\r\n"))?.status, 201);
    assert_eq!(origin.n_requests(), n_before.0 + 4);
    assert_eq!(up.metric(&["igw_authorizations_total", "allowed"])?, 5.0);
    assert_eq!(up.metric(&["igw_authorizations_total", "denied"])?, n_before.1 + 4.0);
    Ok(())
}

#[test]
fn without_an_answer_nothing_goes_on() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let gone = free(beside(up.ip, 252))?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let service = Service::start(beside(up.ip, 251))?;
    let objects = gateway(address)
        + &route("slow", "/slow", &to_backend("auth"), "")
        + &route("gone", "/gone", &to_backend("gone"), "")
        + &route("none", "/none", &to_backend("nobody"), "")
        + &backend("b", &[origin.address])
        + &backend("auth", &[service.address])
        + &backend("gone", &[gone]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    for (path, status, cause) in [("/gone", 503, "auth_failed"), ("/none", 500, "auth_invalid")] {
        let answer = ask(address, &get(path, "authorization: Bearer good\r\n"))?;
        assert_eq!((answer.status, answer.field("igw-cause")), (status, Some(cause)), "{path}");
    }
    let started = Instant::now();
    let answer = ask(address, &get("/slow", "authorization: Bearer slow\r\n"))?;
    assert_eq!((answer.status, answer.field("igw-cause")), (503, Some("auth_failed")));
    assert!(started.elapsed() < Duration::from_secs(3), "a service that hangs costs its time and no more");
    assert_eq!(origin.n_requests(), 0);
    assert_eq!(up.metric(&["igw_authorizations_total", "failed"])?, 2.0);
    eventually("the conditions tell", Duration::from_secs(5), || {
        let listing = igw_e2e::client::get(up.admin, "admin", "/api/v1/state");
        listing.is_ok_and(|listing| {
            String::from_utf8_lossy(&listing.body).contains("Backend default/nobody does not exist")
        })
    })
    .context("the condition of the route")?;
    assert_eq!(service.n_asked(), 1);
    Ok(())
}
