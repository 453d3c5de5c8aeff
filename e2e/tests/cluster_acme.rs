//! Certificates that renew themselves in a cluster: pebble is the authority, `sec` objects hold what it issues, and every
//! node answers its questions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use igw_e2e::acme::{Pebble, Setup, certificate};
use igw_e2e::client::eventually;
use igw_e2e::dns::NameServer;
use igw_e2e::load::Load;
use igw_e2e::openssl::run as openssl;
use igw_e2e::stage::{Stage, route};
use igw_e2e::tls::Client;
use igw_emulator::Delays;
use serde_json::{Value, json};

/// One name for each node: the authority asks the node that the name leads to.
const NAMES: [(&str, &str); 3] = [("n1", "a.test"), ("n2", "b.test"), ("n3", "c.test")];
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    stage: Stage,
    pebble: Pebble,
    http: Vec<SocketAddr>,
    _names: NameServer,
}

// === impl Scene ===

impl Scene {
    /// A gateway on three nodes, and an authority that refuses every second nonce.
    fn new() -> anyhow::Result<Self> {
        let (stage, http) = Stage::serving(Delays::none())?;
        let ip = http[0].ip();
        let names = NameServer::start(ip, 0)?;
        for ((_, name), address) in NAMES.iter().zip(&http) {
            names.set(name, &[address.ip()]);
        }
        let pebble = Pebble::start(Setup {
            ip,
            http: 8088,
            tls: 8443,
            dns: Some(names.address),
            refused_nonces: 50,
            is_bound: false,
        })?;
        let scene = Self { stage, pebble, http, _names: names };
        scene.create("shop/cfg/pebble-ca", &[("ca.crt", scene.pebble.authority())])?;
        Ok(scene)
    }

    /// Makes an object with keys.
    fn create(&self, path: &str, keys: &[(&str, &str)]) -> anyhow::Result<()> {
        let url = format!("/api/object/path/{path}");
        self.stage.call("n1", "POST", &format!("{url}/config/file"), "", 204)?;
        let change =
            |(name, value): &(&str, &str)| json!({"action": "change", "name": name, "string": value});
        let changes: Vec<Value> = keys.iter().map(change).collect();
        // The daemon answers 200 and does nothing as long as it does not know the object.
        eventually("the keys are stored", PATIENCE, || {
            self.stage
                .call("n1", "PATCH", &format!("{url}/data"), &Value::from(changes.clone()).to_string(), 204)
                .is_ok()
        })
        .map(drop)
    }

    /// The issuer, without what only `igw up` takes.
    fn issuer(&self) -> String {
        let text = self.pebble.issuer("");
        text.split("---\napiVersion: v1\n").next().unwrap_or_default().to_owned()
    }

    fn secure(&self, index: usize) -> SocketAddr {
        SocketAddr::new(self.http[index].ip(), 8443)
    }

    /// What a node shows for a name, if the authority issued it.
    fn issued(&self, node: usize, name: &str) -> anyhow::Result<Vec<u8>> {
        let roots: Vec<&str> = self.pebble.roots.iter().map(String::as_str).collect();
        leaf(&Client::trusting(&roots)?, self.secure(node), name)
    }

    /// Waits until every node shows certificates of the authority that are others than `before`.
    fn wait_issued(
        &self,
        before: &BTreeMap<&str, Vec<u8>>,
    ) -> anyhow::Result<BTreeMap<&'static str, Vec<u8>>> {
        let mut seen = BTreeMap::new();
        for (_, name) in NAMES {
            let is_new =
                |node: usize| self.issued(node, name).is_ok_and(|shown| before.get(name) != Some(&shown));
            eventually(&format!("{name} is certified"), PATIENCE, || (0..3).all(is_new))
                .with_context(|| format!("{}\n{}", self.stage.logs(), self.pebble.printed()))?;
            seen.insert(name, self.issued(0, name)?);
        }
        Ok(seen)
    }

    fn n_orders(&self) -> usize {
        self.pebble.printed().matches("Added order").count()
    }

    /// Values of a `sec`.
    fn keys(&self, path: &str) -> anyhow::Result<Vec<String>> {
        let listed = self.stage.call("n1", "GET", &format!("/api/object/path/{path}/data/keys"), "", 200)?;
        let listed: Value = serde_json::from_slice(listed.as_ref())?;
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect())
    }

    fn page(&self, arguments: &[&str]) -> String {
        let done = self.stage.igw("n2", arguments);
        done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default()
    }
}

fn leaf(client: &Client, address: SocketAddr, name: &str) -> anyhow::Result<Vec<u8>> {
    let mut connection = client.connect(address, name)?;
    ensure!(connection.get(name, "/")?.status == 200);
    let shown = connection.stream().conn.peer_certificates().and_then(<[_]>::first).cloned();
    Ok(shown.context("no certificate")?.to_vec())
}

fn name_of(name: &str) -> String {
    name.replace('.', "-")
}

fn objects() -> String {
    let mut text = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: igw-per-node
  listeners:
    - {name: web, port: 8088, protocol: HTTP}
"
    .to_owned();
    for (index, (_, name)) in NAMES.iter().enumerate() {
        text.push_str(&format!(
            "    - {{name: tls{index}, port: 8443, protocol: HTTPS, hostname: {name}, tls: {{certificateRefs: [{{name: {}}}]}}}}\n",
            name_of(name)
        ));
    }
    for (_, name) in NAMES {
        text.push_str("---\n");
        text.push_str(&route(&name_of(name), "public", name, "web", 9001));
        text.push_str(&certificate(&name_of(name), &[name]));
    }
    text
}

#[test]
fn certificates_of_a_cluster_renew_themselves() -> anyhow::Result<()> {
    let mut scene = Scene::new()?;
    scene.stage.apply("n1", "shop", &(objects() + &scene.issuer()))?;
    // Something answers from the beginning; then the real ones are there, and every node answered for its name.
    let anybody = Client::trusting(&[])?;
    let bootstrap = || (0..3).all(|node| leaf(&anybody, scene.secure(node), "a.test").is_ok());
    let since = eventually("TLS answers", PATIENCE, bootstrap).with_context(|| scene.stage.logs())?;
    println!("TLS answered {since:?} after the objects were there");
    let first = scene.wait_issued(&BTreeMap::new())?;
    ensure!(scene.n_orders() == 3, "{} orders for three certificates", scene.n_orders());
    let keys = scene.keys("shop/sec/a-test")?;
    for name in ["private_key", "certificate", "certificate_chain", "fullpem", "serial_number", "igw.json"] {
        ensure!(keys.iter().any(|key| key == name), "{name} is not among {keys:?}");
    }
    ensure!(!keys.iter().any(|key| key == "igw.next-key"), "{keys:?}");
    eventually("statuses say so", PATIENCE, || {
        let page = scene.page(&["get", "certificate/a-test", "-n", "shop", "-o", "yaml"]);
        page.contains("reason: Issued") && page.contains("serialNumber")
    })
    .with_context(|| scene.page(&["get", "certificate/a-test", "-n", "shop", "-o", "yaml"]))?;
    eventually("all are listed as ready", PATIENCE, || {
        scene.page(&["cert", "list"]).lines().filter(|line| line.contains("True")).count() == 3
    })
    .with_context(|| scene.page(&["cert", "list"]))?;

    // New ones are asked for; the operator dies meanwhile, another one on another node goes on.
    let load = Load::start(scene.http[2], "web.test", 100, 2, Duration::from_secs(300));
    for (_, name) in NAMES {
        let asked = scene.stage.igw("n2", &["cert", "renew", &format!("shop/{}", name_of(name))])?;
        ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    }
    eventually("an order is placed", PATIENCE, || scene.n_orders() > 3)
        .with_context(|| scene.stage.logs())?;
    scene.stage.kill_operator()?;
    scene.stage.start_operator("n2", &[])?;
    let second = scene.wait_issued(&first)?;
    ensure!(first.values().all(|old| second.values().all(|new| old != new)));
    let n_orders = scene.n_orders();
    let logs = || scene.stage.logs();
    ensure!((6..=7).contains(&n_orders), "{n_orders} orders for six certificates and one kill; {}", logs());
    let seen = load.stop();
    ensure!(seen.n_failed == 0, "{seen:?}");

    // The wish is granted once, and gone.
    eventually("the wish is gone", PATIENCE, || {
        scene.keys("shop/sec/a-test").is_ok_and(|keys| !keys.iter().any(|key| key == "igw.renew"))
    })?;
    ensure!(!scene.stage.logs().contains("PRIVATE KEY"), "a private key is in a log");
    Ok(())
}

#[test]
fn a_certificate_that_signs_itself_can_be_put_into_a_cluster() -> anyhow::Result<()> {
    let (stage, http) = Stage::serving(Delays::none())?;
    let make = ["cert", "self-signed", "shop/own", "--hostname", "own.test", "--algorithm", "RSA-2048"];
    let made = stage.igw("n1", &make)?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let listener = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: igw-per-node
  listeners:
    - {name: web, port: 8088, protocol: HTTP}
    - {name: tls, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: own}]}}
---
";
    stage.apply("n1", "shop", &(listener.to_owned() + &route("own", "public", "own.test", "web", 9001)))?;
    let anybody = Client::trusting(&[])?;
    let secure = SocketAddr::new(http[2].ip(), 8443);
    eventually("it is served", PATIENCE, || leaf(&anybody, secure, "own.test").is_ok())
        .with_context(|| stage.logs())?;
    let text = openssl(&["x509", "-inform", "der", "-noout", "-text"], &leaf(&anybody, secure, "own.test")?)?;
    ensure!(text.contains("DNS:own.test") && text.contains("(2048 bit)"), "{text}");
    // What holds keys already is somebody's.
    let again = stage.igw("n1", &make)?;
    ensure!(!again.status.success());
    ensure!(String::from_utf8_lossy(&again.stderr).contains("holds keys already"), "{again:?}");
    Ok(())
}

#[test]
fn what_igw_did_not_make_stays() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    scene.create("shop/sec/theirs", &[("password", "secret"), ("private_key", "none of igw's")])?;
    let gateway = format!(
        "{}---\napiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: more, annotations: {{igw.opensvc.com/issuer: nobody}}}}
spec:
  gatewayClassName: igw-per-node
  listeners: [{{name: tls, port: 8444, protocol: HTTPS, hostname: d.test}}]
",
        certificate("theirs", &["a.test"])
    );
    scene.stage.apply("n1", "shop", &(gateway + &scene.issuer()))?;
    eventually("it is told", PATIENCE, || {
        scene.page(&["get", "certificate/theirs", "-n", "shop", "-o", "yaml"]).contains("SecretNotOurs")
    })
    .with_context(|| scene.stage.logs())?;
    let mut keys = scene.keys("shop/sec/theirs")?;
    keys.sort_unstable();
    ensure!(keys == ["password", "private_key"], "{keys:?}");
    let refused = scene.stage.igw("n1", &["cert", "renew", "shop/theirs"])?;
    ensure!(!refused.status.success());
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("was not made by igw"), "{refused:?}");
    // A gateway whose issuer is missing is told so.
    eventually("the gateway is told", PATIENCE, || {
        let page = scene.page(&["get", "gateway/more", "-n", "shop", "-o", "yaml"]);
        page.contains("CertificatesReady") && page.contains("there is no CertificateIssuer nobody")
    })
    .with_context(|| scene.page(&["get", "gateway/more", "-n", "shop", "-o", "yaml"]))?;
    Ok(())
}
