//! Requests that another service has to allow.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use igw_e2e::client::{Answer, Connection, eventually};
use igw_e2e::objects::{backend, beside, gateway, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::peer::Server;
use igw_e2e::process::{Up, free};
use igw_e2e::raw::server;
use igw_e2e::tls::{Authority, Use};

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

/// A question's lines; its body is the last one, if it has some.
fn converse(stream: TcpStream, questions: &Mutex<Vec<Vec<String>>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut question: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => question.push(line.to_owned()),
            }
        }
        let length = question.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        if !body.is_empty() {
            question.push(String::from_utf8_lossy(&body).into_owned());
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
    asking(name, path, &format!("protocol: HTTP, backendRef: {{{auth}}}, http: {{{more}}}"))
}

/// The same over gRPC.
fn calling(name: &str, path: &str, service: &str, more: &str) -> String {
    let auth = to_backend(service);
    asking(name, path, &format!("protocol: GRPC, backendRef: {{{auth}}}, {more}"))
}

fn asking(name: &str, path: &str, auth: &str) -> String {
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
          externalAuth: {{{auth}}}
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

/// The service that was not written here, on an address beside the gateway's.
fn authorization_server(up: &Up) -> anyhow::Result<Server> {
    let place = beside(up.ip, 251);
    Server::start("authorization_server.py", place, &[&format!("{place}:0")])
}

#[test]
fn calls_allow_and_deny() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let service = authorization_server(&up)?;
    let objects = gateway(address)
        + &calling("all", "/all", "auth", "grpc: {}")
        + &calling("some", "/some", "auth", "grpc: {allowedHeaders: [X-Do, cookie]}")
        + &backend("b", &[origin.address])
        + &backend("auth", &[service.address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;

    let fields = "x-do: allow\r\nauthorization: Bearer t\r\nx-secret: s\r\nx-user: mallory\r\nx-list: old\r\nx-kept: client\r\n\
                  cookie: a=1\r\ncookie: b=2\r\nconnection: x-user\r\n";
    let answer = ask(address, &get("/all/x?token=t&q=1&who=me", fields))?;
    assert_eq!(answer.status, 200, "{answer:?}");
    // What the service saw, which it says to the back end.
    let seen = |name: &str| answer.seen(name).unwrap_or_default();
    assert_eq!(seen("x-saw"), "GET /all/x?token=t&q=1&who=me HTTP/1.1");
    assert_eq!((seen("x-saw-host"), seen("x-saw-size")), (HOST.to_owned(), "0".to_owned()));
    assert_eq!(seen("x-saw-cookie"), "a=1; b=2");
    assert_eq!(seen("x-saw-source"), "127.0.0.1");
    assert_eq!(seen("x-saw-destination"), address.to_string());
    assert_eq!(seen("x-saw-id"), seen("x-request-id"));
    for name in [":authority", ":method", ":path", ":scheme", "authorization", "x-forwarded-for", "x-list"] {
        assert!(
            seen("x-saw-fields").split(' ').any(|field| field == name),
            "{name}: {}",
            seen("x-saw-fields")
        );
    }
    // What it changed.
    assert_eq!(answer.report()?["line"], "GET /all/x?q=1&who=a%20b HTTP/1.1");
    assert_eq!((seen("x-user"), seen("x-kept")), ("alice".to_owned(), "client".to_owned()));
    assert_eq!((answer.seen("authorization"), answer.seen("x-secret")), (None, None));
    assert_eq!(answer.seen("host").as_deref(), Some(HOST));
    let lists: Vec<serde_json::Value> = answer.report()?["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|field| field[0] == "x-list")
        .cloned()
        .collect();
    assert_eq!(lists.len(), 2, "{lists:?}");
    assert_eq!((answer.field("x-granted"), answer.field("server")), (Some("yes"), Some("service")));

    let answer = ask(address, &get("/some", fields))?;
    assert_eq!(answer.seen("x-saw-fields").as_deref(), Some("cookie x-do"));

    // A no is the service's own answer; nothing reaches the back end. The connection goes on.
    let n_before = origin.n_requests();
    let mut connection = Connection::open(address)?;
    for _ in 0..3 {
        connection.send(get("/all", "").as_bytes())?;
        let answer = connection.read("GET")?;
        assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Bearer")));
        let cookies = answer.fields.iter().filter(|(name, _)| name == "set-cookie").count();
        assert_eq!((cookies, answer.body.as_slice()), (2, &b"who are you?"[..]));
    }
    assert_eq!(ask(address, &get("/all", "x-do: plain\r\n"))?.status, 403);
    assert_eq!(origin.n_requests(), n_before);
    assert_eq!(up.metric(&["igw_authorizations_total", "allowed"])?, 2.0);
    assert_eq!(up.metric(&["igw_authorizations_total", "denied"])?, 4.0);
    Ok(())
}

#[test]
fn without_a_clear_word_nothing_goes_on() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let gone = free(beside(up.ip, 252))?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let (service, other) = (authorization_server(&up)?, Service::start(beside(up.ip, 249))?);
    let authority = Authority::new("tests")?;
    let pair = authority.issue(Use::Server, &["auth.test"])?;
    let folder = tempfile::tempdir()?;
    let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
    std::fs::write(&certificate, &pair.certificate)?;
    std::fs::write(&key, &pair.key)?;
    let place = beside(up.ip, 248);
    let arguments = [&format!("{place}:0"), &*certificate.to_string_lossy(), &*key.to_string_lossy()];
    let secure = Server::start("authorization_server.py", place, &arguments)?;
    let policy = "---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: secure}
spec:
  targetRefs: [{group: igw.opensvc.com, kind: Backend, name: secure}]
  validation: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: trusted}], hostname: auth.test}
";
    let objects = gateway(address)
        + &calling("calls", "/calls", "auth", "grpc: {}")
        + &calling("gone", "/gone", "gone", "grpc: {}")
        + &calling("other", "/other", "other", "grpc: {}")
        + &calling("secure", "/secure", "secure", "grpc: {}")
        + &calling("insecure", "/insecure", "insecure", "grpc: {}")
        + &backend("b", &[origin.address])
        + &backend("auth", &[service.address])
        + &backend("gone", &[gone])
        + &backend("other", &[other.address])
        + &backend("secure", &[secure.address])
        + &backend("insecure", &[secure.address])
        + policy
        + &map("trusted", &authority.certificate);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let cases = [
        ("/calls", "fail"),
        ("/calls", "nonsense"),
        ("/calls", "silent"),
        ("/gone", "allow"),
        // It speaks no HTTP/2, and TLS is not guessed.
        ("/other", "allow"),
        ("/insecure", "allow"),
    ];
    for (path, wish) in cases {
        let answer = ask(address, &get(path, &format!("x-do: {wish}\r\n")))?;
        assert_eq!((answer.status, answer.field("igw-cause")), (503, Some("auth_failed")), "{path} {wish}");
    }
    let started = Instant::now();
    let answer = ask(address, &get("/calls", "x-do: slow\r\n"))?;
    assert_eq!((answer.status, answer.field("igw-cause")), (503, Some("auth_failed")));
    assert!(started.elapsed() < Duration::from_secs(3), "a service that hangs costs its time and no more");
    assert_eq!(origin.n_requests(), 0);
    assert_eq!(up.metric(&["igw_authorizations_total", "failed"])?, 7.0);
    assert_eq!(ask(address, &get("/secure", "x-do: allow\r\n"))?.status, 200);
    Ok(())
}

/// A ConfigMap with authorities.
fn map(name: &str, pem: &str) -> String {
    let lines: String = pem.lines().map(|line| format!("    {line}\n")).collect();
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  ca.crt: |\n{lines}")
}

#[test]
fn bodies_are_shown_up_to_a_size() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let (calls, service) = (authorization_server(&up)?, Service::start(beside(up.ip, 249))?);
    let small = "protocol: HTTP, backendRef: {AUTH}, http: {}, forwardBody: {maxSize: 100}"
        .replace("AUTH", &to_backend("http"));
    let objects = gateway(address)
        + &asking("small", "/small", &small)
        + &calling("calls", "/calls", "grpc", "grpc: {}, forwardBody: {maxSize: 400000}")
        + &backend("b", &[origin.address])
        + &backend("http", &[service.address])
        + &backend("grpc", &[calls.address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let fields = format!("host: {HOST}\r\nauthorization: Bearer good\r\nx-do: allow\r\n");

    // Whole, by length and in chunks, with its head and behind it: both see it, and the connection goes on.
    let mut connection = Connection::open(address)?;
    for (path, size) in [("/small", 0), ("/small", 1), ("/small", 100), ("/calls", 300), ("/calls", 390_000)]
    {
        let body = String::from_utf8(vec![b'b'; size])?;
        for is_chunked in [false, true] {
            let framed = match is_chunked {
                true if size == 0 => "transfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
                true => {
                    format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\nx-sum: 1\r\n\r\n")
                }
                false => format!("content-length: {size}\r\n\r\n{body}"),
            };
            connection.send(format!("POST {path} HTTP/1.1\r\n{fields}{framed}").as_bytes())?;
            let answer = connection.read("POST")?;
            assert_eq!(answer.status, 200, "{path} {size} {is_chunked}: {answer:?}");
            assert_eq!(answer.report()?["body_bytes"].as_u64(), Some(size as u64));
            if path == "/small" {
                let asked = service.last();
                assert!(asked.contains(&format!("content-length: {size}")), "{asked:?}");
                assert_eq!(asked.last() == Some(&body), size > 0, "{asked:?}");
            } else if size < 1_000 {
                assert_eq!(answer.seen("x-saw-text"), Some(body.clone()));
                assert_eq!(answer.seen("x-saw-size"), Some(size.to_string()));
            }
        }
    }
    // One that there is not.
    for path in ["/small", "/calls"] {
        connection.send(format!("GET {path} HTTP/1.1\r\n{fields}\r\n").as_bytes())?;
        let answer = connection.read("GET")?;
        assert_eq!((answer.status, answer.seen("content-length")), (200, None), "{path}");
    }
    // One that is no text.
    let bytes = [
        &format!("POST /calls HTTP/1.1\r\n{fields}content-length: 4\r\n\r\n").into_bytes()[..],
        &[0xff, 0, 1, 0xfe],
    ]
    .concat();
    connection.send(&bytes)?;
    let answer = connection.read("POST")?;
    assert_eq!(answer.seen("x-saw-bytes").as_deref(), Some("ff0001fe"));
    // A client that waits is told to go on.
    connection.send(
        format!("POST /small HTTP/1.1\r\n{fields}content-length: 3\r\nexpect: 100-continue\r\n\r\n")
            .as_bytes(),
    )?;
    assert_eq!(connection.take(25)?, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.send(b"abc")?;
    let answer = connection.read("POST")?;
    assert_eq!((answer.status, answer.report()?["body_bytes"].as_u64()), (200, Some(3)));
    assert_eq!((answer.seen("expect"), service.last().last().map(String::as_str)), (None, Some("abc")));

    // Larger than that: nobody is asked, and nothing goes on.
    let (n_requests, n_asked) = (origin.n_requests(), service.n_asked());
    let large = String::from_utf8(vec![b'b'; 101])?;
    let whole = format!("content-length: 101\r\n\r\n{large}");
    let chunked = format!("transfer-encoding: chunked\r\n\r\n65\r\n{large}\r\n0\r\n\r\n");
    // What is not sent yet is not waited for.
    let announced = "content-length: 1000000\r\n\r\n".to_owned();
    for framed in [whole, chunked, announced] {
        let answer = ask(address, &format!("POST /small HTTP/1.1\r\n{fields}{framed}"))?;
        assert_eq!((answer.status, answer.field("igw-cause")), (413, Some("auth_body")));
    }
    assert_eq!((origin.n_requests(), service.n_asked()), (n_requests, n_asked));
    assert_eq!(up.metric(&["igw_authorizations_total", "refused"])?, 3.0);
    // A no, and the rest of the body is no request.
    let mut connection = Connection::open(address)?;
    for _ in 0..2 {
        connection.send(format!("POST /small HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 30\r\n\r\nGET /small HTTP/1.1\r\nhost: a\r\n").as_bytes())?;
        assert_eq!(connection.read("POST")?.status, 401);
    }
    // The same over HTTP/2, of which the back end and the first service speak none.
    let n_refused = || up.metric(&["igw_authorizations_total", "refused"]);
    for (path, size, goes_on) in [
        ("/small", 0, true),
        ("/small", 100, true),
        ("/small", 101, false),
        ("/calls", 300_000, true),
        ("/calls", 400_001, false),
    ] {
        for is_streamed in [false, true] {
            let (n_requests, n_before) = (origin.n_requests(), n_refused()?);
            let (status, report) = over_http2(address, path, size, is_streamed)?;
            let told = format!("{path} {size} {is_streamed}: {status} {report}");
            if goes_on {
                assert_eq!(status, "200", "{told}");
                let report: serde_json::Value = serde_json::from_str(&report)?;
                assert_eq!(report["body_bytes"].as_u64(), Some(size as u64), "{told}");
            } else {
                // Not every client reads an answer that comes before the end of what it answers.
                assert!(matches!(&*status, "413" | "000"), "{told}");
                assert_eq!((origin.n_requests(), n_refused()?), (n_requests, n_before + 1.0), "{told}");
            }
        }
    }
    Ok(())
}

/// Sends a body over HTTP/2, with its length or without, and reads status and body of the answer.
fn over_http2(
    address: SocketAddr,
    path: &str,
    size: usize,
    is_streamed: bool,
) -> anyhow::Result<(String, String)> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "20"])
        .args(["--header", &format!("host: {HOST}"), "--header", "authorization: Bearer good"])
        .args(["--header", "x-do: allow", "--write-out", "\n%{http_code}"]);
    match is_streamed {
        true => curl.args(["--upload-file", "-", "--request", "POST"]),
        false => curl.args(["--data-binary", "@-"]),
    };
    let mut curl =
        curl.arg(format!("http://{address}{path}")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // A gateway that has refused reads no more.
    let written = curl.stdin.take().context("its input")?.write_all(&vec![b'b'; size]);
    let told = String::from_utf8(curl.wait_with_output()?.stdout)?;
    let (body, status) = told.rsplit_once('\n').with_context(|| format!("{told:?}, {written:?}"))?;
    Ok((status.to_owned(), body.to_owned()))
}
