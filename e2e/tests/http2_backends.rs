//! HTTP/2 with back ends in cleartext: a gateway whose back end is another gateway, which logs what was spoken.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::objects::{backend, beside, to_backend};
use igw_e2e::origin::{Manners, Origin};
use igw_e2e::process::{Up, free};

/// Gateway `front` speaks HTTP/2 with gateway `back`, which speaks HTTP/1 with the origin.
fn objects(front: SocketAddr, back: SocketAddr, origin: SocketAddr, log: &str) -> String {
    let gateway = |name: &str, address: SocketAddr| {
        format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: igw
  infrastructure: {{parametersRef: {{group: igw.opensvc.com, kind: GatewayConfig, name: logged}}}}
  addresses: [{{value: {}}}]
  listeners: [{{name: web, port: {}, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {name}}}]
  rules: [{{backendRefs: [{{{}}}]}}]
",
            address.ip(),
            address.port(),
            to_backend(name)
        )
    };
    gateway("front", front)
        + &gateway("back", back)
        + &backend("front", &[back])
        + &backend("back", &[origin])
        + &format!(
            "---
apiVersion: igw.opensvc.com/v1alpha1
kind: GatewayConfig
metadata: {{name: logged}}
spec: {{accessLog: {{format: json, output: {log}}}}}
---
apiVersion: igw.opensvc.com/v1alpha1
kind: BackendPolicy
metadata: {{name: front}}
spec:
  targetRefs: [{{group: igw.opensvc.com, kind: Backend, name: front}}]
  appProtocol: kubernetes.io/h2c
  healthCheck: {{active: {{http: {{path: /health}}, interval: 100ms}}}}
"
        )
}

#[test]
fn clients_of_http1_reach_back_ends_of_http2() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (front, back) = (free(up.ip)?, free(up.ip)?);
    let origin = Origin::start("one", SocketAddr::new(beside(up.ip, 250), 0))?;
    let log = up.state.with_file_name("access.log");
    up.write("all.yaml", &objects(front, back, origin.address, &log.display().to_string()))?;
    up.start(&[])?;
    let mut connection = Connection::open(front)?;
    let answer = connection.get("www.test", "/a?b=c")?;
    ensure!(answer.status == 200 && answer.seen("x-forwarded-host").as_deref() == Some("www.test"));
    // Bodies of every framing, both ways, on one connection.
    let body = vec![b'x'; 300_000];
    for n_bytes in [0, 1, 1_000, 300_000] {
        let head = format!("POST /length HTTP/1.1\r\nhost: www.test\r\ncontent-length: {n_bytes}\r\n\r\n");
        connection.send(&[head.as_bytes(), &body[..n_bytes]].concat())?;
        let answer = connection.read("POST")?;
        ensure!(answer.status == 200, "{n_bytes} bytes: {}", answer.status);
        ensure!(answer.report()?["body_bytes"].as_u64() == Some(n_bytes as u64), "{n_bytes} bytes");
    }
    connection.send(b"POST /chunks HTTP/1.1\r\nhost: www.test\r\ntransfer-encoding: chunked\r\n\r\n")?;
    for n_bytes in [10, 100_000, 1] {
        connection.send(format!("{n_bytes:x}\r\n").as_bytes())?;
        connection.send(&[&body[..n_bytes], b"\r\n"].concat())?;
    }
    connection.send(b"0\r\nx-trailer: last\r\n\r\n")?;
    let answer = connection.read("POST")?;
    ensure!(answer.report()?["body_bytes"].as_u64() == Some(100_011), "chunks");
    origin.behave(Manners::Chunked);
    let answer = connection.get("www.test", "/")?;
    ensure!(answer.status == 200 && !answer.body.is_empty(), "an answer in chunks with a trailer");
    origin.behave(Manners::EarlyHints);
    let answer = connection.get("www.test", "/")?;
    ensure!((answer.status, &answer.interim[..]) == (200, &[103][..]), "an interim answer first");
    origin.behave(Manners::Echo);
    connection.send(b"HEAD / HTTP/1.1\r\nhost: www.test\r\n\r\n")?;
    let answer = connection.read("HEAD")?;
    ensure!(answer.status == 200 && answer.body.is_empty(), "an answer to HEAD");
    origin.behave(Manners::Reset);
    let answer = get(front, "www.test", "/")?;
    ensure!((answer.status, answer.field("igw-cause")) == (502, Some("upstream_reset")));
    origin.behave(Manners::Truncate);
    // The gateway behind ends its stream with an error, perhaps before the head of the answer has left.
    let answer = get(front, "www.test", "/");
    ensure!(answer.as_ref().is_ok_and(|answer| answer.status == 502) || answer.is_err(), "{answer:?}");
    origin.behave(Manners::Echo);
    eventually("requests pass again", Duration::from_secs(5), || {
        get(front, "www.test", "/").is_ok_and(|answer| answer.status == 200)
    })?;
    // What was spoken with the gateway behind.
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the log is written", Duration::from_secs(5), || lines().contains("\"/chunks\""))?;
    let text = lines();
    let behind: Vec<&str> = text.lines().filter(|line| line.contains("default/back")).collect();
    ensure!(behind.len() > 8 && behind.iter().all(|line| line.contains("HTTP/2.0")), "{behind:?}");
    // Checks speak what requests speak.
    let is_passing = |line: &str| {
        line.starts_with("igw_backend_health_checks_total")
            && line.contains("Backend/default/front")
            && line.contains("success")
            && !line.ends_with(" 0")
    };
    eventually("a check passes", Duration::from_secs(5), || {
        get(up.proxy_admin, "localhost", "/metrics")
            .is_ok_and(|metrics| String::from_utf8_lossy(&metrics.body).lines().any(is_passing))
    })?;
    Ok(())
}
