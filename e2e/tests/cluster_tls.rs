//! TLS in a cluster: key pairs in `sec` objects, read where a listener refers to them and nowhere else.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use igw_e2e::client::eventually;
use igw_e2e::stage::{Stage, route};
use igw_e2e::tls::{Authority, Client, Pair, Use};
use igw_emulator::Delays;

const PATIENCE: Duration = Duration::from_secs(30);

fn put(stage: &Stage, path: &str, pair: &Pair) -> anyhow::Result<()> {
    let items = serde_json::json!([
        {"action": "change", "name": "private_key", "string": pair.key},
        {"action": "change", "name": "certificate_chain", "string": pair.certificate},
    ]);
    let url = format!("/api/object/path/{path}/data");
    // The daemon answers 200 and does nothing as long as it does not know the object.
    eventually("the pair is stored", PATIENCE, || {
        stage.call("n1", "PATCH", &url, &items.to_string(), 204).is_ok()
    })
    .map(drop)
}

fn create(stage: &Stage, path: &str) -> anyhow::Result<()> {
    stage.call("n1", "POST", &format!("/api/object/path/{path}/config/file"), "", 204).map(drop)
}

fn objects() -> String {
    "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: igw-per-node
  listeners:
    - {name: web, port: 8088, protocol: HTTP}
    - {name: secure, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: pair}]}}
    - {name: other, port: 8444, protocol: HTTPS, tls: {certificateRefs: [{name: foreign, namespace: other}]}}
"
    .to_owned()
}

/// Routes of namespace `other` may lead to services of `shop`.
const REACHED_FROM_OTHER: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}]
  to: [{group: \"\", kind: Service}]
";
/// A listener of namespace `other` with its route.
const SET: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more}
spec:
  parentRef: {name: public, namespace: shop}
  listeners: [{name: own, port: 8445, protocol: HTTPS, tls: {certificateRefs: [{name: foreign}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other}
spec:
  parentRefs: [{kind: ListenerSet, name: more}]
  hostnames: [web.test]
  rules: [{backendRefs: [{name: web, namespace: shop, port: 9001}]}]
";

#[test]
fn listeners_show_what_sec_objects_hold() -> anyhow::Result<()> {
    let (mut stage, addresses) = Stage::serving(Delays::none())?;
    let authority = Authority::new("tests")?;
    let client = Client::trusting(&[&authority.certificate])?;
    let (first, second) =
        (authority.issue(Use::Server, &["web.test"])?, authority.issue(Use::Server, &["web.test"])?);
    create(&stage, "shop/sec/pair")?;
    put(&stage, "shop/sec/pair", &first)?;
    create(&stage, "other/sec/foreign")?;
    put(&stage, "other/sec/foreign", &first)?;
    stage.apply("n1", "shop", &objects())?;
    let secure: Vec<SocketAddr> =
        addresses.iter().map(|address| SocketAddr::new(address.ip(), 8443)).collect();
    let shows = |address: SocketAddr, pair: &Pair| {
        let Ok(mut connection) = client.connect(address, "web.test") else { return false };
        let shown = connection.stream().conn.peer_certificates().and_then(<[_]>::first).cloned();
        let is_same = shown.is_some_and(|shown| pair.is(&shown));
        is_same && connection.get("web.test", "/").is_ok_and(|answer| answer.status == 200)
    };
    let show_all = |pair: &Pair| secure.iter().all(|address| shows(*address, pair));
    eventually("every node ends TLS", PATIENCE, || show_all(&first)).with_context(|| stage.logs())?;

    // What belongs to another namespace needs its grant, and is not even read without it.
    let told = |words: &str| {
        let page = stage.igw("n1", &["get", "gateway/public", "-n", "shop", "-o", "yaml"]);
        page.is_ok_and(|page| String::from_utf8_lossy(&page.stdout).contains(words))
    };
    eventually("it is told", PATIENCE, || told("RefNotPermitted")).with_context(|| stage.logs())?;
    ensure!(client.connect(SocketAddr::new(addresses[0].ip(), 8444), "web.test").is_err());

    // Another pair is shown soon; a broken one is told, and changes nothing else.
    put(&stage, "shop/sec/pair", &second)?;
    eventually("the new pair is shown", PATIENCE, || show_all(&second)).with_context(|| stage.logs())?;
    put(&stage, "shop/sec/pair", &Pair { key: first.key.clone(), ..second.clone() })?;
    eventually("the fault is told", PATIENCE, || told("is not the key of"))?;
    ensure!(show_all(&second), "the pair before stays");

    // A new operator, and a proxy without one, lose nothing.
    stage.kill_operator()?;
    ensure!(show_all(&second));
    stage.start_operator("n1", &[])?;
    put(&stage, "shop/sec/pair", &first)?;
    eventually("a new operator goes on", PATIENCE, || show_all(&first)).with_context(|| stage.logs())?;
    stage.apply("n1", "shop", &route("web", "public", "web.test", "web", 9001))?;

    // A grant opens the other one.
    let grant = "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: shop}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}]
  to: [{group: \"\", kind: Secret}]
";
    stage.apply("n1", "other", grant)?;
    eventually("the granted pair is shown", PATIENCE, || {
        shows(SocketAddr::new(addresses[0].ip(), 8444), &first)
    })
    .with_context(|| stage.logs())?;
    // Another namespace brings a listener of its own, with its own pair.
    let open =
        objects().replace("  listeners:", "  allowedListeners: {namespaces: {from: All}}\n  listeners:");
    stage.apply("n1", "shop", &(open + REACHED_FROM_OTHER))?;
    stage.apply("n1", "other", SET)?;
    eventually("the set's listener serves", PATIENCE, || {
        addresses.iter().all(|address| shows(SocketAddr::new(address.ip(), 8445), &first))
    })
    .with_context(|| stage.logs())?;
    let is_told = || {
        let page = stage.igw("n1", &["get", "listenerset/more", "-n", "other"]);
        page.is_ok_and(|page| String::from_utf8_lossy(&page.stdout).matches("True").count() == 2)
    };
    eventually("it is told", PATIENCE, is_told).with_context(|| stage.logs())?;
    // Private keys are where they belong and nowhere else.
    let secret: String = first.key.lines().nth(1).unwrap_or_default().to_owned();
    ensure!(!stage.logs().contains(&secret), "a private key is in a log");
    Ok(())
}
