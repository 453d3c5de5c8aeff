//! Certificates that renew themselves, against Debian's pebble, which refuses every second nonce.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use igw_e2e::acme::{EXTERNAL_KEY, Pebble, Setup, TSIG_SECRET, Zone, certificate, issuer};
use igw_e2e::acme_double::Double;
use igw_e2e::client::{eventually, get};
use igw_e2e::objects::{backend, beside, to_backend};
use igw_e2e::openssl::run as openssl;
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, binary, free};
use igw_e2e::tls::{Client, secret as secret_object, self_signed};
use igw_e2e::usage::number;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

/// An `igw up` with an HTTP and some HTTPS listeners in front of one back end, and an authority.
struct Scene {
    up: Up,
    pebble: Pebble,
    http: SocketAddr,
    https: SocketAddr,
    origin: Origin,
}

// === impl Scene ===

impl Scene {
    fn prepare(setup: impl FnOnce(Setup) -> anyhow::Result<Setup>) -> anyhow::Result<Self> {
        let up = Up::prepare()?;
        let (http, https) = (free(up.ip)?, free(up.ip)?);
        let ip = up.ip;
        let pebble = Pebble::start(setup(Setup {
            ip,
            http: http.port(),
            tls: https.port(),
            dns: None,
            refused_nonces: 50,
            is_bound: false,
        })?)?;
        let origin = Origin::start("one", SocketAddr::new(beside(ip, 250), 0))?;
        Ok(Self { up, pebble, http, https, origin })
    }

    /// A gateway with a listener for HTTP and one for each name, whose Secret is called like the name.
    fn objects(&self, names: &[&str]) -> String {
        let mut text = format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: main}}
spec:
  gatewayClassName: igw
  addresses: [{{value: {}}}]
  listeners:
    - {{name: web, port: {}, protocol: HTTP}}
",
            self.http.ip(),
            self.http.port()
        );
        for (index, name) in names.iter().enumerate() {
            text.push_str(&format!(
                "    - {{name: tls{index}, port: {}, protocol: HTTPS, hostname: \"{name}\", tls: {{certificateRefs: [{{name: {}}}]}}}}\n",
                self.https.port(),
                secret(name)
            ));
        }
        text.push_str(&format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  \
             parentRefs: [{{name: main}}]\n  rules: [{{backendRefs: [{{{}}}]}}]\n",
            to_backend("one")
        ));
        text + &backend("one", &[self.origin.address])
    }

    /// Serial number that a name is served with by an authority, or why it is not.
    fn issued(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let roots: Vec<&str> = self.pebble.roots.iter().map(String::as_str).collect();
        let client = Client::trusting(&roots)?;
        let host = name.replace('*', "x");
        let mut connection = client.connect(self.https, &host)?;
        anyhow::ensure!(connection.get(&host, "/")?.status == 200);
        leaf(&mut connection)
    }

    fn wait_issued(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        eventually(&format!("{name} is certified"), PATIENCE, || self.issued(name).is_ok())
            .with_context(|| format!("{}\n{}", self.up.printed(), self.pebble.printed()))?;
        self.issued(name)
    }

    fn cert(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let state = self.up.state.display().to_string();
        let mut command = std::process::Command::new(binary("igw")?);
        command.arg("cert").args(arguments).args(["--state", &state]);
        Ok(command.output()?)
    }

    /// What `igw cert list` says of a Secret.
    fn shown(&self, secret: &str) -> Value {
        let output = self.cert(&["list", "-o", "json"]).map(|output| output.stdout).unwrap_or_default();
        let listed: Value = serde_json::from_slice(&output).unwrap_or_default();
        let items = listed.as_array().cloned().unwrap_or_default();
        items.into_iter().find(|item| item["secret"] == secret).unwrap_or_default()
    }
}

fn secret(name: &str) -> String {
    name.replace("*.", "wild-").replace('.', "-")
}

fn leaf(connection: &mut igw_e2e::tls::Secured) -> anyhow::Result<Vec<u8>> {
    let certificates = connection.stream().conn.peer_certificates().unwrap_or_default();
    certificates.first().map(|certificate| certificate.to_vec()).context("no certificate")
}

#[test]
fn a_name_is_certified_over_http() -> anyhow::Result<()> {
    let mut scene = Scene::prepare(Ok)?;
    let names = ["a.test"];
    let objects = scene.objects(&names) + &scene.pebble.issuer("") + &certificate("a-test", &names);
    scene.up.write("all.yaml", &objects)?;
    scene.up.start(&[])?;
    // From the first second something answers.
    let anybody = Client::trusting(&[])?;
    let mut first = anybody.connect(scene.https, "a.test")?;
    assert_eq!(first.get("a.test", "/")?.status, 200);
    let first = leaf(&mut first)?;
    assert_ne!(scene.wait_issued("a.test")?, first);
    // Paths that nobody asked for go the usual way.
    let answer = get(scene.http, "a.test", "/.well-known/acme-challenge/other")?;
    assert_eq!(answer.seen("host").as_deref(), Some("a.test"));
    Ok(())
}

#[test]
fn a_name_is_certified_by_a_handshake() -> anyhow::Result<()> {
    let mut scene = Scene::prepare(Ok)?;
    let names = ["b.test"];
    let solvers = "    solvers: [{tlsAlpn01: {}}]\n";
    let objects = scene.objects(&names) + &scene.pebble.issuer(solvers) + &certificate("b-test", &names);
    scene.up.write("all.yaml", &objects)?;
    scene.up.start(&[])?;
    scene.wait_issued("b.test")?;
    // The protocol of challenges is nobody's any more.
    let mut client = Client::trusting(&[])?;
    client.alpn = vec!["acme-tls/1".to_owned()];
    let refused = client.connect(scene.https, "b.test").err().map(|error| format!("{error:#}"));
    assert!(refused.as_ref().is_some_and(|error| error.contains("NoApplicationProtocol")), "{refused:?}");
    Ok(())
}

#[test]
fn another_chain_and_another_key_can_be_had() -> anyhow::Result<()> {
    let mut scene = Scene::prepare(Ok)?;
    let root = scene.pebble.other_root()?;
    let subject = openssl(&["x509", "-noout", "-subject"], root.as_bytes())?;
    let name = subject.rsplit(['=']).next().unwrap_or_default().trim();
    assert!(name.starts_with("Pebble Root CA"), "{subject}");
    let names = ["e.test"];
    let objects = scene.objects(&names)
        + &scene.pebble.issuer(&format!("    preferredChain: \"{name}\"\n"))
        + &certificate("e-test", &names)
        + "  key: {algorithm: RSA-4096}\n";
    scene.up.write("all.yaml", &objects)?;
    scene.up.start(&[])?;
    // Who knows the other root alone is content, and the chain that comes first leads elsewhere.
    let client = Client::trusting(&[&root])?;
    let shown = || leaf(&mut client.connect(scene.https, "e.test")?);
    eventually("the other chain is served", PATIENCE, || shown().is_ok())
        .with_context(|| format!("{}\n{}", scene.up.printed(), scene.pebble.printed()))?;
    assert!(scene.issued("e.test").is_err());
    let text = openssl(&["x509", "-inform", "der", "-noout", "-text"], &shown()?)?;
    assert!(text.contains("(4096 bit)"), "{text}");
    Ok(())
}

#[test]
fn a_wildcard_is_certified_in_dns() -> anyhow::Result<()> {
    let mut zone = None;
    let mut scene = Scene::prepare(|setup| {
        let zone = zone.insert(Zone::start(setup.ip)?);
        Ok(Setup { dns: Some(zone.address), ..setup })
    })?;
    let zone = zone.context("a zone")?;
    let names = ["*.w.test"];
    let solvers = format!(
        "    solvers:\n      - {{dns01: {{rfc2136: {{server: \"{}\", tsigSecretRef: {{name: dns-key}}}}}}, selector: {{hostnames: [\"*.w.test\"]}}}}\n      - {{http01: {{}}}}\n",
        zone.address
    );
    let objects = scene.objects(&names)
        + &scene.pebble.issuer(&solvers)
        + &zone.secret()
        + &certificate("wild-w-test", &["*.w.test", "plain.test"])
        // Nobody can prove this one, which delays no other.
        + &certificate("hopeless", &["*.other.test"]);
    scene.up.write("all.yaml", &objects)?;
    scene.up.start(&[])?;
    scene.wait_issued("*.w.test")?;
    eventually("the hopeless one is told", PATIENCE, || {
        scene.shown("hopeless")["message"]
            .as_str()
            .is_some_and(|message| message.contains("needs a dns01 solver"))
    })?;
    let described = std::process::Command::new(binary("igw")?)
        .args(["describe", "certificate/hopeless", "--state", &scene.up.state.display().to_string()])
        .output()?;
    let described = String::from_utf8_lossy(&described.stdout).into_owned();
    assert!(described.contains("Bootstrap") && described.contains("needs a dns01 solver"), "{described}");
    assert!(!scene.up.printed().contains(TSIG_SECRET));
    Ok(())
}

#[test]
fn a_secret_that_igw_did_not_make_stays() -> anyhow::Result<()> {
    let mut scene = Scene::prepare(|setup| Ok(Setup { is_bound: true, ..setup }))?;
    let own = self_signed(&["own.test"])?;
    let names = ["own.test", "new.test"];
    let binding = "    externalAccountBinding: {keyID: kid-1, hmacRef: {name: eab}}\n";
    let objects = scene.objects(&names)
        + &scene.pebble.issuer(binding)
        + &secret_object("eab", &[("hmac", EXTERNAL_KEY)])
        + &own.secret("own-test")
        + &certificate("own-test", &["own.test"])
        + &certificate("new-test", &["new.test"]);
    scene.up.write("all.yaml", &objects)?;
    scene.up.start(&[])?;
    scene.wait_issued("new.test")?;
    let mut connection = Client::trusting(&[&own.certificate])?.connect(scene.https, "own.test")?;
    assert_eq!(connection.get("own.test", "/")?.status, 200);
    let shown = scene.shown("own-test");
    assert_eq!((shown["ready"].as_str(), shown["reason"].as_str()), (Some("False"), Some("SecretNotOurs")));
    assert!(!scene.up.state.join("acme/secrets/default/own-test.json").exists());

    // What is said of certificates, and of those that there are not.
    let listed = String::from_utf8(scene.cert(&["list"])?.stdout)?;
    assert!(listed.lines().any(|line| line.contains("new-test") && line.contains("True")), "{listed}");
    let shown = scene.cert(&["show", "default/new-test"])?;
    assert!(shown.status.success());
    assert_eq!(scene.cert(&["show", "own-test"])?.status.code(), Some(1));
    assert_eq!(scene.cert(&["renew", "nobody"])?.status.code(), Some(1));
    let elsewhere = std::process::Command::new(binary("igw")?)
        .args(["cert", "list", "--state", "/nonexistent/igw"])
        .output()?;
    assert_eq!(elsewhere.status.code(), Some(4));
    let made = std::process::Command::new(binary("igw")?)
        .args(["cert", "self-signed", "shop/a", "--hostname", "a.test", "--days", "30"])
        .output()?;
    let made = String::from_utf8(made.stdout)?;
    let read = igw_crds::yaml::read("made", &made);
    assert!(read.diagnostics.is_empty() && read.documents.len() == 1, "{made}");

    // Keys are in files of the owner alone, and nowhere else.
    let kept = std::fs::read_to_string(scene.up.state.join("acme/secrets/default/acme-account.json"))?;
    let kept: Value = serde_json::from_str(&kept)?;
    let new = std::fs::read_to_string(scene.up.state.join("acme/secrets/default/new-test.json"))?;
    let new: Value = serde_json::from_str(&new)?;
    for name in ["private_key", "certificate", "certificate_chain", "fullpem", "serial_number", "igw.json"] {
        assert!(new[name].is_string(), "{name}");
    }
    let mut shown = scene.up.printed() + &listed;
    for page in ["/metrics", "/api/v1/state", "/api/v1/snapshot", "/api/v1/certificates", "/"] {
        shown += &String::from_utf8(get(scene.up.admin, "x", page)?.body)?;
    }
    for page in ["/metrics", "/api/v1/snapshot"] {
        shown += &String::from_utf8(get(scene.up.proxy_admin, "x", page)?.body)?;
    }
    shown += &std::fs::read_to_string(scene.up.state.join("status.json"))?;
    shown += &std::fs::read_to_string(scene.up.state.join("snapshot.json"))?;
    shown += &std::fs::read_to_string(scene.up.state.join("acme/orders.json"))?;
    assert!(shown.contains("igw_acme_orders_total{result=\"issued\"} 1"), "{shown}");
    for key in [&kept["private_key"], &new["private_key"]] {
        let lines = key.as_str().unwrap_or_default().lines().filter(|line| !line.starts_with('-'));
        assert!(lines.clone().count() >= 2);
        for line in lines {
            assert!(!shown.contains(line) && !shown.contains(&line.replace('/', "\\/")));
        }
    }
    assert!(!shown.contains(EXTERNAL_KEY));
    let mode = std::fs::metadata(scene.up.state.join("acme/secrets/default/new-test.json"))?;
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&mode) & 0o777, 0o600);
    Ok(())
}

#[test]
fn pauses_profiles_and_suggestions_are_heeded() -> anyhow::Result<()> {
    let mut scene = Scene::prepare(Ok)?;
    let pause = Duration::from_secs(3);
    let listener = std::net::TcpListener::bind((scene.up.ip, 0))?;
    let double = Double::start(listener, scene.http, pause)?;
    let names = ["d.test"];
    let issuer = issuer(double.address, &double.authority, "/dir", "    profile: short\n");
    scene.up.write("all.yaml", &(scene.objects(&names) + &issuer + &certificate("d-test", &names)))?;
    scene.up.start(&[])?;
    eventually("the first certificate is renewed at once", PATIENCE, || double.seen().issued.len() == 2)
        .with_context(|| format!("{:?}\n{}", double.seen(), scene.up.printed()))?;
    let served = || -> anyhow::Result<()> {
        let mut connection = Client::trusting(&[&double.authority])?.connect(scene.https, "d.test")?;
        anyhow::ensure!(connection.get("d.test", "/")?.status == 200);
        Ok(())
    };
    eventually("it is served", PATIENCE, || served().is_ok())?;
    eventually("the authority says when to renew the second", PATIENCE, || {
        scene.shown("d-test")["renewsAt"].as_str().is_some_and(|at| at.starts_with("2119-01-01"))
    })
    .with_context(|| scene.shown("d-test").to_string())?;
    let seen = double.seen();
    assert!(seen.offences.is_empty(), "{:?}", seen.offences);
    assert_eq!((seen.n_pauses, seen.orders.len()), (1, 2));
    assert_eq!(seen.orders[0]["replaces"], Value::Null);
    assert_eq!(seen.orders[1]["replaces"], seen.issued[0].as_str());
    Ok(())
}

/// Requests over TLS at a fixed rate, every fourth on a new connection.
struct TlsLoad {
    is_over: Arc<AtomicBool>,
    n_good: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

// === impl TlsLoad ===

impl TlsLoad {
    fn start(address: SocketAddr, host: &'static str, rate: u32) -> anyhow::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let n_good = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        for _ in 0..LOADERS {
            let (is_over, n_good) = (Arc::clone(&is_over), Arc::clone(&n_good));
            let client = Client::trusting(&[])?;
            let pause = Duration::from_secs(1) * LOADERS / rate;
            threads.push(std::thread::spawn(move || {
                let mut failures = Vec::new();
                let mut kept = None;
                let mut due = Instant::now();
                let mut n_requests = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    if let Some(wait) = due.checked_duration_since(Instant::now()) {
                        std::thread::sleep(wait);
                    }
                    due += pause;
                    n_requests += 1;
                    if n_requests.is_multiple_of(4) {
                        kept = None;
                    }
                    let opened = kept.take().map_or_else(|| client.connect(address, host), Ok);
                    let asked = opened.and_then(|mut connection| {
                        let answer = connection.get(host, "/")?;
                        anyhow::ensure!(answer.status == 200, "status {}", answer.status);
                        Ok(connection)
                    });
                    match asked {
                        Ok(connection) => {
                            n_good.fetch_add(1, Ordering::Relaxed);
                            kept = Some(connection);
                        }
                        Err(error) => failures.push(format!("{error:#}")),
                    }
                }
                failures
            }));
        }
        Ok(Self { is_over, n_good, threads })
    }

    /// Good answers, and why others were not.
    fn stop(self) -> (u64, Vec<String>) {
        self.is_over.store(true, Ordering::Relaxed);
        let failures = self.threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect();
        (self.n_good.load(Ordering::Relaxed), failures)
    }
}

#[test]
fn the_recipe_renews_under_load() -> anyhow::Result<()> {
    let mut scene = Scene::prepare(Ok)?;
    let host = "svc1.opensvc.com";
    let directory = format!(
        "    directory: https://{}/dir\n    caBundleRef: {{name: pebble-ca}}\n",
        scene.pebble.address
    );
    let bundle = scene.pebble.issuer("");
    let bundle = bundle.split_once("---\napiVersion: v1\n").map(|(_, rest)| rest).context("a bundle")?;
    let example = include_str!("../../crds/examples/ingress-gateway-acme.yaml")
        .replace("      port: 80\n", &format!("      port: {}\n", scene.http.port()))
        .replace("port: 443\n", &format!("port: {}\n", scene.https.port()))
        .replace("    directory: https://acme-v02.api.letsencrypt.org/directory\n", &directory)
        .replace("port: 8080\n", &format!("port: {}\n", scene.origin.address.port()))
        .replace("    initAddr: [none]\n", "    initAddr: [none]\n    resolverRef: {name: lab}\n");
    let bundle = format!("---\napiVersion: v1\n{bundle}")
        .replace("name: pebble-ca}", "name: pebble-ca, namespace: ns1}");
    // The name server of the authority says one address for every name; the back end is there.
    let resolver = format!(
        "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: Resolver\nmetadata: {{name: lab, namespace: ns1}}\nspec: {{nameservers: [{{address: {}, port: {}}}]}}\n",
        scene.pebble.dns.ip(),
        scene.pebble.dns.port()
    );
    let origin = Origin::start("svc1", SocketAddr::new(scene.up.ip, 0))?;
    let example = example.replace(
        &format!("port: {}\n", scene.origin.address.port()),
        &format!("port: {}\n", origin.address.port()),
    );
    scene.up.write("all.yaml", &(example + &bundle + &resolver))?;
    scene.up.start(&[])?;
    let mut serial = scene.wait_issued(host)?;
    let answer = get(scene.http, host, "/x")?;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.field("location"), Some(format!("https://{host}/x").as_str()));

    let load = TlsLoad::start(scene.https, "svc1.opensvc.com", number("IGW_RATE", 500))?;
    let file = scene.up.state.join("acme/secrets/ns1/svc1-tls.json");
    let kept = || -> Option<String> {
        let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).ok()?).ok()?;
        Some(kept["serial_number"].as_str()?.to_owned())
    };
    for _ in 0..2 {
        let before = kept().context("a serial number")?;
        assert!(scene.cert(&["renew", "ns1/svc1-tls"])?.status.success());
        eventually("a new certificate is issued", PATIENCE, || kept().is_some_and(|now| now != before))
            .with_context(|| scene.up.printed())?;
        let served = eventually("the new one is served", Duration::from_secs(1), || {
            scene.issued(host).is_ok_and(|now| now != serial)
        })
        .with_context(|| scene.up.printed())?;
        println!("served {served:?} after it was issued");
        serial = scene.issued(host)?;
    }
    let (n_good, failures) = load.stop();
    println!("{n_good} requests, {} failed", failures.len());
    assert!(failures.is_empty(), "{failures:?}");
    assert!(n_good > 100);
    Ok(())
}

#[test]
fn kills_cost_no_certificate() -> anyhow::Result<()> {
    let n_cycles = number("IGW_CYCLES", 3);
    let seed = number("IGW_SEED", 20_261_128_u64);
    println!("IGW_SEED={seed} IGW_CYCLES={n_cycles}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut scene = Scene::prepare(Ok)?;
    scene.up.write("issuer.yaml", &scene.pebble.issuer(""))?;
    let first = ["c0.test"];
    scene.up.write("all.yaml", &(scene.objects(&first) + &certificate("c0-test", &first)))?;
    scene.up.start(&[])?;
    scene.wait_issued("c0.test")?;
    let load = TlsLoad::start(scene.https, "c0.test", 20)?;
    let (mut n_kills, mut n_certificates) = (0_u64, 1_u64);
    for cycle in 1..=n_cycles {
        let name = format!("c{cycle}.test");
        let names = ["c0.test", name.as_str()];
        let objects =
            scene.objects(&names) + &certificate("c0-test", &first) + &certificate(&secret(&name), &[&name]);
        scene.up.write("all.yaml", &objects)?;
        disturb(&mut scene, &mut random, &mut n_kills)?;
        let mut before = scene.wait_issued(&name)?;
        n_certificates += 1;
        assert!(scene.cert(&["renew", &secret(&name)])?.status.success());
        disturb(&mut scene, &mut random, &mut n_kills)?;
        eventually("it is renewed", PATIENCE, || scene.issued(&name).is_ok_and(|now| now != before))
            .with_context(|| format!("{}\n{}", scene.up.printed(), scene.pebble.printed()))?;
        before = scene.issued(&name)?;
        assert!(!before.is_empty());
        n_certificates += 1;
    }
    let n_orders = u64::try_from(scene.pebble.printed().matches("Added order").count())?;
    let (n_good, failures) = load.stop();
    println!(
        "{n_certificates} certificates, {n_orders} orders, {n_kills} kills, {n_good} requests, {} failed",
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:?}");
    assert!(n_orders <= n_certificates + n_kills, "{n_orders} orders for {n_certificates} certificates");
    Ok(())
}

/// Kills the authority or `igw up` at some moment, and starts it again.
fn disturb(scene: &mut Scene, random: &mut StdRng, n_kills: &mut u64) -> anyhow::Result<()> {
    // The moment is what is random here; nothing is waited for.
    std::thread::sleep(Duration::from_millis(random.random_range(0..800)));
    *n_kills += 1;
    if random.random_bool(0.5) {
        scene.up.kill_operator()?;
        scene.up.restart()?;
    } else {
        scene.pebble.kill()?;
        scene.pebble.restart()?;
    }
    Ok(())
}

/// Threads of a load.
const LOADERS: u32 = 4;
/// With every second nonce refused an order takes some seconds.
const PATIENCE: Duration = Duration::from_secs(60);
