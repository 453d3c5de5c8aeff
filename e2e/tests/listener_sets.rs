//! Listeners of ListenerSets: of another namespace, with its own certificate and routes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::objects::{backend, beside, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, binary, free};
use igw_e2e::tls::{Authority, Client, Use};

const HOST: &str = "shop.test";

fn gateway(web: SocketAddr, from: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: main}}
spec:
  gatewayClassName: igw
  addresses: [{{value: {}}}]
  allowedListeners: {{namespaces: {{from: {from}}}}}
  listeners: [{{name: web, port: {}, protocol: HTTP}}]
",
        web.ip(),
        web.port()
    )
}

/// A set with a plain and a secure listener, a route for both, and what they need, all of one namespace.
fn shop(plain: SocketAddr, secure: SocketAddr, origin: &Origin, secret: &str) -> String {
    let objects = format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: more}}
spec:
  parentRef: {{name: main, namespace: default}}
  listeners:
    - {{name: plain, port: {}, protocol: HTTP}}
    - {{name: secure, port: {}, protocol: HTTPS, tls: {{certificateRefs: [{{name: own}}]}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r}}
spec:
  parentRefs: [{{kind: ListenerSet, name: more}}]
  hostnames: [{HOST}]
  rules: [{{backendRefs: [{{{}}}]}}]
",
        plain.port(),
        secure.port(),
        to_backend("b")
    );
    (objects + &backend("b", &[origin.address]) + secret)
        .replace("metadata: {name: ", "metadata: {namespace: shop, name: ")
}

#[test]
fn a_set_serves_for_as_long_as_its_gateway_takes_it() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (web, plain, secure) = (free(up.ip)?, free(up.ip)?, free(up.ip)?);
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let authority = Authority::new("tests")?;
    let pair = authority.issue(Use::Server, &[HOST])?;
    up.write("gateway.yaml", &gateway(web, "All"))?;
    up.write("shop.yaml", &shop(plain, secure, &origin, &pair.secret("own")))?;
    up.start(&[])?;
    eventually("the set serves", Duration::from_secs(5), || {
        get(plain, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })?;
    let client = Client::trusting(&[&authority.certificate])?;
    ensure!(client.connect(secure, HOST)?.get(HOST, "/")?.status == 200);
    // The gateway's own listener has no route of the set's.
    ensure!(get(web, HOST, "/")?.status == 404);
    let told = |kind: &str, name: &str| -> anyhow::Result<String> {
        let state = up.state.display().to_string();
        let output = std::process::Command::new(binary("igw")?)
            .args(["describe", &format!("{kind}/{name}"), "-n", "shop", "--state", &state])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let described = told("listenerset", "more")?;
    ensure!(described.contains("takes traffic on"), "{described}");
    // Another certificate is taken without a restart, as for a gateway.
    let other = authority.issue(Use::Server, &[HOST])?;
    up.write("shop.yaml", &shop(plain, secure, &origin, &other.secret("own")))?;
    eventually("the new certificate is shown", Duration::from_secs(5), || {
        client.connect(secure, HOST).is_ok_and(|mut connection| {
            let shown = connection.stream().conn.peer_certificates().and_then(|shown| shown.first().cloned());
            shown.is_some_and(|shown| other.is(&shown))
        })
    })?;
    // A connection that was open before goes on while the set is refused; no new one comes.
    let mut kept = Connection::open(plain)?;
    ensure!(kept.get(HOST, "/")?.status == 200);
    up.write("gateway.yaml", &gateway(web, "Same"))?;
    eventually("the set's ports are closed", Duration::from_secs(5), || {
        std::net::TcpStream::connect(plain).is_err() && std::net::TcpStream::connect(secure).is_err()
    })?;
    let described = told("listenerset", "more")?;
    ensure!(described.contains("NotAllowed"), "{described}");
    Ok(())
}
