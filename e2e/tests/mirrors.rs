//! Copies of requests for other back ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::client::{Answer, Connection, eventually};
use igw_e2e::objects::{backend, backend_policy, beside, gateway, to_backend};
use igw_e2e::origin::{Origin, pattern};
use igw_e2e::process::{Up, free};
use igw_e2e::raw::server;

const HOST: &str = "a.test";

/// A request as a back end got it.
struct Copied {
    head: String,
    body: Vec<u8>,
}

/// A back end that tells of every request once it is complete.
fn recorder(up: &Up) -> anyhow::Result<(SocketAddr, Receiver<Copied>)> {
    let (tell, told) = channel();
    let tell = std::sync::Mutex::new(tell);
    let address = server(beside(up.ip, 250), move |stream| {
        let tell = tell.lock().map(|tell| tell.clone()).map_err(|_| std::io::ErrorKind::Other)?;
        record(stream, &tell)
    })?;
    Ok((address, told))
}

fn record(mut stream: TcpStream, tell: &Sender<Copied>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        while let Some((copied, n_bytes)) = whole(&bytes) {
            bytes.drain(..n_bytes);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            // Nobody listens any more where the test is over.
            let _ = tell.send(copied);
        }
        let n_read = stream.read(&mut buffer)?;
        if n_read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&buffer[..n_read]);
    }
}

/// The first request, if all of it is there, and how many bytes it took.
fn whole(bytes: &[u8]) -> Option<(Copied, usize)> {
    let n_head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..n_head]).to_lowercase();
    let mut rest = &bytes[n_head..];
    let mut body = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        loop {
            let n_line = rest.windows(2).position(|two| two == b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..n_line]).ok()?, 16).ok()?;
            let chunk = rest.get(n_line + 2..n_line + 2 + size + 2)?;
            body.extend_from_slice(&chunk[..size]);
            rest = &rest[n_line + 2 + size + 2..];
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        let length = length.parse().ok()?;
        body.extend_from_slice(rest.get(..length)?);
        rest = &rest[length..];
    }
    Some((Copied { head, body }, bytes.len() - rest.len()))
}

/// A rule for a path with its mirrors.
fn rule(path: &str, mirrors: &[&str]) -> String {
    let mirrors: String = mirrors.iter().map(|mirror| format!(", {mirror}")).collect();
    format!(
        "    - matches: [{{path: {{value: {path}}}}}]\n      filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-rule, value: seen}}]}}}}{mirrors}]\n      backendRefs: [{{{}}}]\n",
        to_backend("primary")
    )
}

fn to(name: &str, share: &str) -> String {
    format!("{{type: RequestMirror, requestMirror: {{backendRef: {{{}}}{share}}}}}", to_backend(name))
}

fn route(rules: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  parentRefs: [{{name: main}}]\n  hostnames: [{HOST}]\n  rules:\n{rules}"
    )
}

fn ask(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let mut connection = Connection::open(address)?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {length}\r\n\r\n");
    connection.send(head.as_bytes())?;
    connection.send(body)?;
    connection.read(method)
}

fn next(copies: &Receiver<Copied>) -> anyhow::Result<Copied> {
    copies.recv_timeout(Duration::from_secs(10)).context("no copy came")
}

/// Copies that ended so.
fn counted(up: &Up, result: &str) -> anyhow::Result<f64> {
    up.metric(&["igw_mirrored_requests_total", &format!("\"{result}\"")])
}

#[test]
fn copies_are_what_the_back_end_gets() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let primary = Origin::start("primary", SocketAddr::new(beside(up.ip, 251), 0))?;
    let (one, of_one) = recorder(&up)?;
    let (two, of_two) = recorder(&up)?;
    // The second one is spoken with in HTTP/2, by way of another port of the gateway.
    let inner = free(up.ip)?;
    let inside = "---\n".to_owned()
        + &gateway(inner).replace("name: main", "name: inner")
        + &route("").replace("name: r}", "name: inside}").replace("name: main", "name: inner")
        + &format!("    - backendRefs: [{{{}}}]\n", to_backend("two"));
    let objects = gateway(address)
        + &route(&(rule("/both", &[&to("one", ""), &to("inner", "")]) + &rule("/none", &[])))
        + &inside
        + &backend("primary", &[primary.address])
        + &backend("one", &[one])
        + &backend("two", &[two])
        + &backend("inner", &[inner])
        + &backend_policy("inner", "appProtocol: kubernetes.io/h2c");
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let large = pattern(300_000);
    for (method, body) in [("GET", &[][..]), ("POST", b"little"), ("PUT", &large)] {
        let answer = ask(address, method, "/both?q=1", body)?;
        ensure!(answer.status == 200, "status {}", answer.status);
        for copies in [&of_one, &of_two] {
            let copied = next(copies)?;
            let line = format!("{} /both?q=1 http/1.1\r\n", method.to_lowercase());
            ensure!(copied.head.starts_with(&line), "{}", copied.head);
            ensure!(copied.head.contains("\r\nhost: a.test\r\n"), "{}", copied.head);
            ensure!(copied.head.contains("\r\nx-rule: seen\r\n"), "{}", copied.head);
            ensure!(copied.body == body, "{} bytes of {}", copied.body.len(), body.len());
        }
    }
    // A body that does not tell its length, in pieces.
    let mut connection = Connection::open(address)?;
    connection
        .send(b"POST /both HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
    connection.send(b"7\r\n second\r\n0\r\n\r\n")?;
    ensure!(connection.read("POST")?.status == 200);
    // And one over HTTP/2.
    let mut curl = Command::new("curl")
        .args(["--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "20"])
        .args(["--header", "host: a.test", "--data-binary", "@-", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code}"])
        .arg(format!("http://{address}/both"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    curl.stdin.take().context("its input")?.write_all(&large)?;
    let told = curl.wait_with_output()?;
    ensure!(told.stdout == b"200", "{}", String::from_utf8_lossy(&told.stdout));
    for copies in [&of_one, &of_two] {
        ensure!(next(copies)?.body == b"first second");
        ensure!(next(copies)?.body == large);
    }
    ensure!(ask(address, "GET", "/none", b"")?.status == 200);
    eventually("all copies are counted", Duration::from_secs(5), || {
        counted(&up, "answered").is_ok_and(|n_answered| n_answered == 10.0)
    })?;
    ensure!(of_one.try_recv().is_err(), "a copy that nobody asked for");
    Ok(())
}

#[test]
fn a_share_of_the_requests_is_copied() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let primary = Origin::start("primary", SocketAddr::new(beside(up.ip, 251), 0))?;
    let mut objects = gateway(address) + &backend("primary", &[primary.address]);
    let shares = [
        ("none", ", percent: 0", 0..=0),
        ("half", ", percent: 50", 150..=250),
        ("third", ", fraction: {numerator: 1, denominator: 3}", 90..=180),
        ("all", ", percent: 100", 400..=400),
    ];
    let mut recorders = Vec::new();
    let mut rules = String::new();
    for (name, share, n_wanted) in &shares {
        let (there, copies) = recorder(&up)?;
        objects += &backend(name, &[there]);
        rules += &rule(&format!("/{name}"), &[&to(name, share)]);
        recorders.push((name, copies, n_wanted));
    }
    up.write("all.yaml", &(objects + &route(&rules)))?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    for (name, copies, n_wanted) in recorders {
        let before = counted(&up, "answered")?;
        for _ in 0..400 {
            ensure!(connection.get(HOST, &format!("/{name}"))?.status == 200);
        }
        let mut n_copies = 0;
        // Every copy that was sent is answered and counted.
        eventually("the copies have come", Duration::from_secs(5), || {
            n_copies += copies.try_iter().count() as u64;
            counted(&up, "answered").is_ok_and(|n_answered| n_answered - before == n_copies as f64)
                && n_wanted.contains(&n_copies)
        })?;
    }
    Ok(())
}

#[test]
fn no_mirror_delays_a_request() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let primary = Origin::start("primary", SocketAddr::new(beside(up.ip, 251), 0))?;
    // One that takes connections and nothing else, and one that is not there.
    let silent = server(beside(up.ip, 250), |stream| {
        std::thread::park();
        drop(stream);
        Ok(())
    })?;
    let closed = free(up.ip)?;
    let objects = gateway(address)
        + &route(
            &(rule("/all", &[&to("silent", ""), &to("closed", ""), &to("missing", "")])
                + &rule("/some", &[&to("silent", "")])),
        )
        + &backend("primary", &[primary.address])
        + &backend("silent", &[silent])
        + &backend("closed", &[closed]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let began = Instant::now();
    for _ in 0..50 {
        ensure!(ask(address, "GET", "/all", b"")?.status == 200);
    }
    // More than what waits for a copy, and what kernels take for a connection.
    let much = pattern(64 * 1024 * 1024);
    let answer = ask(address, "POST", "/some", &much)?;
    ensure!(answer.status == 200, "status {}", answer.status);
    ensure!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    // Those that nobody takes fail; the upload lags at once, the others take longer than they may.
    eventually("the copies are given up", Duration::from_secs(20), || {
        let count = |result| counted(&up, result).unwrap_or_default();
        count("failed") == 50.0 && count("dropped") == 51.0 && count("answered") == 0.0
    })?;
    Ok(())
}
