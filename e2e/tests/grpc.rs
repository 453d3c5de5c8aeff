//! gRPC, and HTTP/2 and TLS to back ends, with a client and a server that were not written here (Debian's python3-grpcio).
//! `IGW_MESSAGE_BYTES` sets the size of the large message.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use igw_e2e::client::eventually;
use igw_e2e::objects::{backend, beside, to_backend};
use igw_e2e::peer::{self, Server};
use igw_e2e::process::{Up, free};
use igw_e2e::tls::{Authority, Client, Pair, Use};

/// Runs the client; fails with what it printed if a call went wrong.
fn calls(address: SocketAddr, authority: Option<&Path>, folder: &Path) -> anyhow::Result<()> {
    let n_bytes = std::env::var("IGW_MESSAGE_BYTES").unwrap_or_else(|_| "8000000".to_owned());
    let authority = authority.map_or_else(|| "-".to_owned(), |path| path.display().to_string());
    let folder = folder.display().to_string();
    peer::run("grpc_client.py", &[&address.to_string(), "grpc.test", &authority, &folder, &n_bytes], 15)
}

fn objects(plain: SocketAddr, secure: SocketAddr, server: SocketAddr, pair: &Pair) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: main}}
spec:
  gatewayClassName: igw
  addresses: [{{value: {}}}]
  listeners:
    - {{name: plain, port: {}, protocol: HTTP}}
    - {{name: secure, port: {}, protocol: HTTPS, tls: {{certificateRefs: [{{name: pair}}]}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: calls}}
spec:
  parentRefs: [{{name: main}}]
  hostnames: [grpc.test]
  rules:
    - matches: [{{method: {{service: igw.test.Shapes}}}}]
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {{set: [{{name: x-route, value: set}}]}}
        - type: ResponseHeaderModifier
          responseHeaderModifier: {{set: [{{name: x-answer, value: set}}]}}
      backendRefs: [{{{}}}]
    - matches: [{{method: {{service: igw.test.Nowhere}}}}]
      backendRefs: [{{{}}}]
{}{}{}",
        plain.ip(),
        plain.port(),
        secure.port(),
        to_backend("server"),
        to_backend("nowhere"),
        backend("server", &[server]),
        backend("nowhere", &[SocketAddr::new(beside(server.ip(), 251), 1)]),
        pair.secret("pair"),
    )
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = folder.join(name);
    std::fs::File::create(&path)?.write_all(text.as_bytes())?;
    Ok(path)
}

#[test]
fn calls_of_every_shape_pass() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (plain, secure) = (free(up.ip)?, free(up.ip)?);
    let folder = tempfile::tempdir()?;
    let place = beside(up.ip, 250);
    let server = Server::start("grpc_server.py", place, &[&format!("{place}:0")])?;
    let authority = Authority::new("tests")?;
    let pair = authority.issue(Use::Server, &["grpc.test"])?;
    up.write("all.yaml", &objects(plain, secure, server.address, &pair))?;
    up.start(&[])?;
    for address in [plain, secure] {
        let calls_folder = tempfile::tempdir()?;
        let file = write(folder.path(), "authority.pem", &authority.certificate)?;
        calls(address, (address == secure).then_some(file.as_path()), calls_folder.path())?;
    }
    Ok(())
}

#[test]
fn copies_of_calls_reach_another_server() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (plain, secure) = (free(up.ip)?, free(up.ip)?);
    let places = [beside(up.ip, 250), beside(up.ip, 252)];
    let server = Server::start("grpc_server.py", places[0], &[&format!("{}:0", places[0])])?;
    let other = Server::start("grpc_server.py", places[1], &[&format!("{}:0", places[1])])?;
    let pair = Authority::new("tests")?.issue(Use::Server, &["grpc.test"])?;
    let filters = "      filters:\n";
    let mirror = format!(
        "{filters}        - {{type: RequestMirror, requestMirror: {{backendRef: {{{}}}}}}}\n",
        to_backend("other")
    );
    let objects = objects(plain, secure, server.address, &pair).replacen(filters, &mirror, 1);
    up.write("all.yaml", &(objects + &backend("other", &[other.address])))?;
    up.start(&[])?;
    let folder = tempfile::tempdir()?;
    calls(plain, None, folder.path())?;
    // Calls that their client ends, or whose time is over, end for the copy too.
    let answered = || up.metric(&["igw_mirrored_requests_total", "\"answered\""]);
    eventually("copies are answered", Duration::from_secs(10), || answered().is_ok_and(|n| n >= 4.0))?;
    Ok(())
}

#[test]
fn back_ends_prove_who_they_are() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (plain, secure) = (free(up.ip)?, free(up.ip)?);
    let folder = tempfile::tempdir()?;
    let authority = Authority::new("tests")?;
    let stranger = Authority::new("strangers")?;
    let pair = authority.issue(Use::Server, &["server.test"])?;
    let shown = authority.issue(Use::Client, &["gateway.test"])?;
    let certificate = write(folder.path(), "server.pem", &pair.certificate)?;
    let key = write(folder.path(), "server.key", &pair.key)?;
    let trusted = write(folder.path(), "authority.pem", &authority.certificate)?;
    // It serves nobody who shows no certificate.
    let place = beside(up.ip, 250);
    let files = [&certificate, &key, &trusted].map(|path| path.display().to_string());
    let [first, second, third] = files.each_ref().map(String::as_str);
    let server = Server::start("grpc_server.py", place, &[&format!("{place}:0"), first, second, third])?;
    let fingerprint = fingerprint(&certificate)?;
    let map = |name: &str, text: &str| {
        let text: String = text.lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  ca.crt: |\n{text}"
        )
    };
    let policy = |validation: &str| {
        format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: server}}
spec:
  targetRefs: [{{group: igw.opensvc.com, kind: Backend, name: server}}]
{validation}"
        )
    };
    let by = |authority: &str, more: &str| {
        format!(
            "  validation: {{caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: {authority}}}], {more}}}\n"
        )
    };
    let all = |policy: &str, with_client: bool| {
        let gateway = objects(plain, secure, server.address, &pair);
        let gateway = match with_client {
            true => gateway.replacen(
                "  listeners:",
                "  tls: {backend: {clientCertificateRef: {name: shown}}}\n  listeners:",
                1,
            ),
            false => gateway,
        };
        gateway
            + policy
            + &map("trusted", &authority.certificate)
            + &map("strangers", &stranger.certificate)
            + &shown.secret("shown")
    };
    let fingerprints = |one: &str| {
        format!(
            "  validation: {{wellKnownCACertificates: igw.opensvc.com/fingerprints, hostname: any.test}}\n  options: {{igw.opensvc.com/fingerprints: \"{one}\"}}\n"
        )
    };
    let san = "hostname: other.test, subjectAltNames: [{type: Hostname, hostname: server.test}]";
    let wrong_san = "hostname: server.test, subjectAltNames: [{type: URI, uri: \"spiffe://a/b\"}]";
    // What the policy says, whether the gateway shows a certificate, and whether calls pass.
    let cases = [
        ("nobody shown", by("trusted", "hostname: server.test"), false, false),
        ("by authority", by("trusted", "hostname: server.test"), true, true),
        ("another name", by("trusted", "hostname: other.test"), true, false),
        ("by other name", by("trusted", san), true, true),
        ("no such name", by("trusted", wrong_san), true, false),
        ("another authority", by("strangers", "hostname: server.test"), true, false),
        ("by fingerprint", fingerprints(&fingerprint), true, true),
        ("another fingerprint", fingerprints(&"ab".repeat(32)), true, false),
        ("no authority at all", by("nowhere", "hostname: server.test"), true, false),
    ];
    up.write("all.yaml", &all(&policy(&cases[0].1), false))?;
    up.start(&[])?;
    let client = Client::trusting(&[&authority.certificate])?;
    for (what, validation, with_client, passes) in cases {
        up.write("all.yaml", &all(&policy(&validation), with_client))?;
        // An HTTP/1 client asks: gRPC answers it with 415 or so, the gateway with 502 where there is no TLS.
        let ask = || -> anyhow::Result<(u16, Option<String>)> {
            let mut connection = client.connect(secure, "server.test")?;
            let answer = connection.get("grpc.test", "/igw.test.Shapes/Unary")?;
            Ok((answer.status, answer.field("igw-cause").map(str::to_owned)))
        };
        eventually(what, Duration::from_secs(10), || match ask() {
            Ok((status, cause)) => passes == (cause.is_none() && status != 502),
            Err(_) => false,
        })
        .with_context(|| format!("{:?}\n{}", ask(), up.printed()))?;
        // With TLS 1.3 a server refuses a client after the handshake.
        let wanted = if with_client { "upstream_tls" } else { "upstream_reset" };
        if !passes {
            ensure!(ask()?.1.as_deref() == Some(wanted), "{what}: {:?}", ask()?);
        }
    }
    Ok(())
}

fn fingerprint(certificate: &Path) -> anyhow::Result<String> {
    let done = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(certificate)
        .output()?;
    let text = String::from_utf8(done.stdout)?;
    Ok(text.trim().split_once('=').context("no fingerprint")?.1.to_owned())
}
