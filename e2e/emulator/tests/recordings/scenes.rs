//! What there was before each recording, and what happened between its exchanges.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use igw_emulator::{Cluster, Delays, Spec};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use crate::compare::difference;
use crate::exchange::{self, Answer, Exchange};

/// A cluster to play a recording on.
pub struct Stage {
    recording: String,
    cluster: Cluster,
    runtime: tokio::runtime::Runtime,
    tls: Arc<rustls::ClientConfig>,
    /// Tokens: of whoever logged in for this recording.
    access: Mutex<String>,
    refresh: Mutex<String>,
    /// Last-Modified of the last answer.
    modified: Mutex<String>,
    _folder: tempfile::TempDir,
}

// === impl Stage ===

impl Stage {
    /// A cluster as it was before a recording.
    pub fn start(recording: &str, base: u8) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let folder = tempfile::tempdir()?;
        let delays = match recording.get(..2) {
            // Requests that follow one another before anything is published, or done.
            Some("02" | "30" | "33" | "70" | "74") => {
                Delays { debounce: Duration::from_millis(400), write: Duration::ZERO, ..Delays::none() }
            }
            Some("73") => Delays { debounce: Duration::from_millis(100), ..Delays::none() },
            Some("35") => Delays { transition: Duration::from_millis(500), ..Delays::none() },
            _ => Delays { debounce: Duration::from_millis(5), ..Delays::none() },
        };
        let spec =
            Spec { name: "blue".to_owned(), n_nodes: 3, folder: folder.path().to_owned(), base, delays };
        let cluster = {
            let _inside = runtime.enter();
            Cluster::start(&spec)?
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(cluster.authority().as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stage = Self {
            recording: recording.to_owned(),
            cluster,
            runtime,
            tls: Arc::new(tls),
            access: Mutex::default(),
            refresh: Mutex::default(),
            modified: Mutex::default(),
            _folder: folder,
        };
        stage.prepare().with_context(|| format!("before {recording}"))?;
        Ok(stage)
    }

    /// Address of the name server.
    pub fn dns(&self) -> String {
        self.cluster.dns().ip().to_string()
    }

    fn prepare(&self) -> anyhow::Result<()> {
        for (name, grants) in [
            ("adm1", "admin:edge"),
            ("guest1", "guest:edge"),
            ("oper1", "operator:edge"),
            ("root1", "root"),
            ("none1", ""),
        ] {
            if matches!(self.number(), "40" | "41" | "42" | "43" | "73") {
                self.cluster.add_user(name, grants, PASSWORD);
            }
        }
        let key = |name: &str, value: &str| format!("{name} = literal:{value}\n");
        match self.number() {
            "04" => self.create_all("[data]\nfirst = literal:x\n")?,
            "05" => self.create_all("[data]\nfirst = literal:x\nempty = literal:\n")?,
            "06" => self.create_all(&format!(
                "[data]\nfirst = literal:x\nempty = literal:\n{YAML_KEY}motd2 = literal:hello\n"
            ))?,
            "07" | "09" => {
                let more = if self.number() == "07" { key("after", "a") } else { String::new() };
                let before = if self.number() == "07" { "b" } else { "B" };
                self.create_all(&format!("[data]\n{more}{}", key("before", before)))?;
                // Before the peers were known to have it.
                if self.number() == "09" {
                    self.rest()?;
                    ["n2", "n3"].into_iter().for_each(|peer| self.cluster.cut("n1", peer, true));
                }
            }
            "08" | "10" => self.create_all("[data]\n")?,
            "11" | "51" => {
                let first = if self.number() == "11" { "same" } else { "v2" };
                self.create_all(&gw(first))?;
            }
            "12" => {
                let exchanges = exchange::read(&self.recording)?;
                let Some(exchange::Expected::Whole(list)) = exchanges.get(1).map(|exchange| &exchange.answer)
                else {
                    anyhow::bail!("no list");
                };
                for item in serde_json::from_str::<Value>(list)?["items"].as_array().into_iter().flatten() {
                    self.create("n1", item["meta"]["object"].as_str().unwrap_or_default(), "[DEFAULT]\n")?;
                }
                self.get_stuck()?;
            }
            "13" => {
                self.create_all(&format!("[data]\n{}{}{}", key("a", "1"), key("b", "2"), key("c", "3")))?
            }
            "14" => {
                self.create_all("[DEFAULT]\n")?;
                self.get_stuck()?;
            }
            "33" => self.cluster.break_starts(true),
            "32" | "35" | "36" | "37" | "50" => {
                self.create("n1", "edge/cfg/gw", &gw("same"))?;
                self.run_web("")?;
            }
            "42" => {
                for object in ["edge/cfg/bslash", "edge/cfg/vals", "edge/cfg/lat", "other/cfg/x"] {
                    self.create("n1", object, "[DEFAULT]\n")?;
                }
                self.create("n1", "edge/cfg/gw", &gw("same"))?;
                self.create("n1", "edge/sec/s", "[DEFAULT]\n")?;
                self.ask("n1", "POST", "/api/object/path/edge/sec/s/data/key?name=k", "secret")?;
                self.run_web("")?;
            }
            "60" => {
                self.run_web("")?;
                let addresses = "name@n1 = 10.99.0.61\nname@n2 = 10.99.0.62\nname@n3 = 10.99.0.63\n";
                let flex = format!(
                    "[DEFAULT]\nnodes = *\ntopology = flex\norchestrate = ha\n\n[ip#1]\ntype = host\n{addresses}dev = eth0\nnetmask = 24\nexpose = 80/tcp 8443/tcp:443\n"
                );
                self.create("n1", "edge/svc/flex", &flex)?;
                let v6 = "[DEFAULT]\nnodes = n1\n\n[ip#1]\ntype = host\nname = fd00::61\ndev = eth0\nnetmask = 64\nexpose = 53/udp\n";
                self.create("n1", "edge/svc/v6", v6)?;
            }
            "70" => self.create("n1", "edge/cfg/conc3", "[DEFAULT]\n")?,
            "71" => {
                // An older file, then two writes of one tick.
                self.cluster.set_skew_ms("n1", -7_200_000);
                self.create("n1", "edge/cfg/div", "[data]\nk = literal:0\n")?;
                self.cluster.set_skew_ms("n1", 0);
                self.cluster.set_tick(Duration::from_secs(3600));
                for node in ["n1", "n2"] {
                    let change = format!(r#"[{{"action":"change","name":"k","string":"{node}-7"}}]"#);
                    self.ask(node, "PATCH", "/api/object/path/edge/cfg/div/data", &change)?;
                    std::thread::sleep(Duration::from_millis(30));
                }
            }
            "73" => {
                for name in [
                    "edge/cfg/div",
                    "edge/cfg/conc3",
                    "edge/cfg/vals",
                    "edge/svc/proj",
                    "edge/cfg/proj",
                    "chars/cfg/m3",
                    "chars/cfg/m1",
                    "other/cfg/x",
                    "edge/sec/tls",
                    "edge/cfg/lat",
                    "edge/svc/n1flag",
                    "chars/cfg/m2",
                    "chars/cfg/m0",
                    "edge/vol/projvol",
                    "edge/cfg/conc2",
                    "edge/sec/s",
                    "edge/cfg/new",
                    "edge/cfg/conc",
                    "edge/svc/web",
                ] {
                    self.create("n1", name, "[DEFAULT]\nnodes = *\n")?;
                }
                self.create("n1", "edge/cfg/gw", &gw("v2"))?;
                self.create("n1", "edge/svc/v6", "[DEFAULT]\nnodes = n1\n")?;
                self.rest()?;
                self.cluster.kill_daemon("n1");
                self.ask("n2", "POST", "/api/object/path/edge/cfg/conc2/action/purge", "")?;
            }
            "76" => {
                for name in ["edge/svc/proj", "edge/svc/n1flag"] {
                    self.create("n2", name, "[DEFAULT]\nnodes = n2 n3\n")?;
                }
                self.create("n1", "edge/cfg/gw", &gw("v2"))?;
                self.create("n1", "edge/svc/v6", "[DEFAULT]\nnodes = n1\n")?;
                self.run_web("monitor = true\n")?;
                self.cluster.kill_node("n1");
            }
            "80" => self.create("n1", "edge/sec/tls", "[DEFAULT]\n")?,
            _ => {}
        }
        self.rest()
    }

    /// Before an exchange: what somebody else did, or that what was begun is over.
    fn before(&self, exchange: &Exchange) -> anyhow::Result<()> {
        match (self.number(), exchange.at) {
            ("02", 1..5)
            | ("30" | "33", 2..6)
            | ("35", 1)
            | ("70", 1..4)
            | ("74", 5..=7)
            | ("40" | "41" | "43", _) => return Ok(()),
            ("30", 6) => return Ok(()),
            ("73", 1) => {
                let _inside = self.runtime.enter();
                self.cluster.start_node("n1")?;
                return Ok(());
            }
            ("73", _) => return Ok(()),
            // `om edge/sec/tls certificate create`, on the node.
            ("80", 6) => self.add_certificate()?,
            _ => {}
        }
        self.rest()
    }

    /// Makes an exchange again. Where the answer depends on the time, or on the node that is picked, it is polled.
    pub fn play(&self, exchange: &Exchange) -> anyhow::Result<Answer> {
        self.before(exchange)?;
        let mut exchange = Exchange {
            recording: exchange.recording.clone(),
            node: exchange.node.clone(),
            method: exchange.method.clone(),
            path: exchange.path.clone(),
            headers: exchange.headers.clone(),
            body: self.body(exchange),
            answer: match &exchange.answer {
                exchange::Expected::Whole(text) => exchange::Expected::Whole(text.clone()),
                exchange::Expected::Start(text) => exchange::Expected::Start(text.clone()),
            },
            ..*exchange
        };
        if let Some(authorization) = self.authorization(&exchange)? {
            exchange.headers.insert("Authorization".to_owned(), authorization);
        }
        if let Some(since) = exchange.headers.get_mut("If-Modified-Since") {
            lock(&self.modified).clone_into(since);
        }
        if self.recording.starts_with("43") && exchange.at == 0 {
            return self.burst(&exchange);
        }
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = self.send(&exchange)?;
            let is_polled =
                matches!((self.number(), exchange.at), ("73" | "76", _) | ("43", 1) | ("74", 5..=7));
            if !is_polled || Instant::now() > end || difference(&exchange, &answer, &self.dns()).is_none() {
                let modified = answer.head.lines().find_map(|line| line.strip_prefix("last-modified: "));
                modified.unwrap_or_default().clone_into(&mut lock(&self.modified));
                return Ok(answer);
            }
            std::thread::yield_now();
        }
    }

    fn send(&self, exchange: &Exchange) -> anyhow::Result<Answer> {
        if exchange.is_network {
            return exchange.send(self.connect(&exchange.node)?);
        }
        let Ok(stream) = UnixStream::connect(self.cluster.socket(&exchange.node)) else {
            return Ok(Answer { status: 0, head: String::new(), body: String::new() });
        };
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        exchange.send(stream)
    }

    fn connect(
        &self,
        node: &str,
    ) -> anyhow::Result<rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>> {
        let stream = std::net::TcpStream::connect((self.cluster.address(node), 1215))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let session = rustls::ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from("n1")?)?;
        Ok(rustls::StreamOwned::new(session, stream))
    }

    /// 200 requests on one connection, then the recorded one.
    fn burst(&self, exchange: &Exchange) -> anyhow::Result<Answer> {
        let mut stream = self.connect(&exchange.node)?;
        let authorization = exchange.headers.get("Authorization").context("no token")?;
        let request =
            format!("GET {} HTTP/1.1\r\nHost: n1\r\nAuthorization: {authorization}\r\n\r\n", exchange.path);
        stream.write_all(request.repeat(200).as_bytes())?;
        exchange.send(stream).map(|answer| {
            // All answers came on the one connection: the last one counts.
            let all = format!("{}\r\n\r\n{}", answer.head, answer.body);
            let last = all.rsplit("HTTP/1.1 ").next().unwrap_or_default();
            let (head, body) = last.split_once("\r\n\r\n").unwrap_or((last, ""));
            let status = head.get(..3).and_then(|text| text.parse().ok()).unwrap_or(0);
            Answer { status, head: head.to_owned(), body: body.to_owned() }
        })
    }

    /// Bodies that were left out of the recordings.
    fn body(&self, exchange: &Exchange) -> Vec<u8> {
        let item = |name: &str, n_bytes: usize| {
            let coded = STANDARD.encode(vec![0; n_bytes]);
            format!(r#"{{"action": "change", "name": "{name}", "bytes": "{coded}"}}"#)
        };
        let text = |n: usize| "x".repeat(n).into_bytes();
        match (self.number(), exchange.at) {
            ("08", 0) => text(999_999),
            ("08", 1) => text(1_000_000),
            ("08", 2 | 3) => text(1_000_001),
            ("08", 5) => {
                format!(r#"[{{"action": "change", "name": "p", "string": "{}"}}]"#, "x".repeat(1_000_001))
                    .into_bytes()
            }
            ("08", 6) => format!("[{}]", item("p", 1_000_000)).into_bytes(),
            ("08", 8) => {
                let items: Vec<String> = (0..5).map(|n| item(&format!("p{n}"), 900_000)).collect();
                format!("[{}]", items.join(", ")).into_bytes()
            }
            _ => exchange.body.clone(),
        }
    }

    /// Who sent an exchange.
    fn authorization(&self, exchange: &Exchange) -> anyhow::Result<Option<String>> {
        let basic = |user: &str, password: &str| {
            Ok(Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
        };
        let bearer = |token: &Mutex<String>| Ok(Some(format!("Bearer {}", lock(token))));
        let user = self.recording.rsplit('-').next().unwrap_or_default();
        match (self.number(), exchange.at) {
            ("40", 2) => basic("adm1", "wrong"),
            ("40", 3) => basic("adm1", PASSWORD),
            ("40", 4) => basic("none1", PASSWORD),
            ("41", 0..=9) => basic("adm1", PASSWORD),
            ("41", 10..=12) => basic("root1", PASSWORD),
            ("41", 13) => basic("none1", PASSWORD),
            ("41", 14) => {
                // A pair of its own: what was given for others in between does not count.
                self.login("adm1")?;
                bearer(&self.access)
            }
            ("41", 15 | 17 | 19) => bearer(&self.access),
            ("41", 16 | 18) => bearer(&self.refresh),
            ("42", 0) => {
                self.login(user)?;
                bearer(&self.access)
            }
            ("43", 0) => {
                self.login("adm1")?;
                bearer(&self.access)
            }
            ("42", _) => bearer(&self.access),
            _ => Ok(None),
        }
    }

    fn login(&self, user: &str) -> anyhow::Result<()> {
        let request = Exchange {
            path: "/api/auth/token?refresh=true".to_owned(),
            headers: [(
                "Authorization".to_owned(),
                format!("Basic {}", STANDARD.encode(format!("{user}:{PASSWORD}"))),
            )]
            .into(),
            is_network: true,
            ..self.request("n1", "POST")
        };
        let answer = self.send(&request)?;
        ensure!(answer.status == 200, "login of {user}: {} {}", answer.status, answer.body);
        let tokens: Value = serde_json::from_str(&answer.body)?;
        tokens["access_token"].as_str().unwrap_or_default().clone_into(&mut lock(&self.access));
        tokens["refresh_token"].as_str().unwrap_or_default().clone_into(&mut lock(&self.refresh));
        Ok(())
    }

    /// Sizes as `om certificate create` left them; the certificate is the recorded one.
    fn add_certificate(&self) -> anyhow::Result<()> {
        let exchanges = exchange::read(&self.recording)?;
        let Some(exchange::Expected::Whole(text)) = exchanges.get(7).map(|exchange| &exchange.answer) else {
            anyhow::bail!("no certificate");
        };
        let recorded: Value = serde_json::from_str(text)?;
        let of = |name: &str| {
            let items = recorded.as_array().into_iter().flatten();
            items
                .filter(|item| item["name"] == name)
                .find_map(|item| item["bytes"].as_str().map(ToOwned::to_owned))
        };
        let noise = |n_bytes: usize| -> String {
            STANDARD.encode((0..n_bytes).map(|_| rand::random::<u8>()).collect::<Vec<u8>>())
        };
        for (name, size) in [
            ("private_key", 2486),
            ("certificate", 2290),
            ("certificate_chain", 4478),
            ("fullpem", 6270),
            ("serial_number", 182),
        ] {
            let (mut least, mut most) = (0, size);
            while least < most {
                let n_noise = usize::midpoint(least, most);
                let value = of(name).unwrap_or_else(|| STANDARD.encode(noise(n_noise)));
                let change = format!(r#"[{{"action":"change","name":"{name}","bytes":"{value}"}}]"#);
                self.ask("n1", "PATCH", "/api/object/path/edge/sec/tls/data", &change)?;
                let keys = self.ask("n1", "GET", "/api/object/path/edge/sec/tls/data/keys", "")?;
                let keys: Value = serde_json::from_str(&keys)?;
                let found = keys["items"].as_array().into_iter().flatten().find(|item| item["name"] == name);
                let found = found.and_then(|item| item["size"].as_u64()).context("no key")?;
                if of(name).is_some() || found == size as u64 {
                    break;
                }
                if found < size as u64 {
                    least = n_noise + 1;
                } else {
                    most = n_noise;
                }
            }
        }
        Ok(())
    }

    /// A purge that does not end.
    fn get_stuck(&self) -> anyhow::Result<()> {
        self.cluster.stick_next_purge("chars/cfg/k7");
        self.ask("n1", "POST", "/api/object/path/chars/cfg/k7/action/purge", "").map(drop)
    }

    fn run_web(&self, more: &str) -> anyhow::Result<()> {
        let text = WEB.replace("restart = 1\n", &format!("restart = 1\n{more}"));
        self.create("n1", "edge/svc/web", &text)?;
        self.rest()?;
        self.ask("n1", "POST", "/api/object/path/edge/svc/web/action/provision", "")?;
        self.rest()
    }

    /// Creates all objects that a recording is about.
    fn create_all(&self, text: &str) -> anyhow::Result<()> {
        let mut objects: Vec<String> = exchange::read(&self.recording)?
            .into_iter()
            .filter_map(|exchange| {
                let path = exchange.path.split('?').next()?.strip_prefix("/api/object/path/")?.to_owned();
                Some(path.split('/').take(3).collect::<Vec<_>>().join("/"))
            })
            .filter(|object| object.matches('/').count() == 2)
            .collect();
        objects.sort();
        objects.dedup();
        objects.iter().try_for_each(|object| self.create("n1", object, text))
    }

    fn create(&self, node: &str, object: &str, text: &str) -> anyhow::Result<()> {
        self.ask(node, "POST", &format!("/api/object/path/{object}/config/file"), text).map(drop)
    }

    /// A request that is no part of the recording.
    fn ask(&self, node: &str, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
        let is_json = body.starts_with("[{");
        let kind = if is_json { "application/json" } else { "application/octet-stream" };
        let request = Exchange {
            path: path.to_owned(),
            headers: [("Content-Type".to_owned(), kind.to_owned())].into(),
            body: body.as_bytes().to_vec(),
            ..self.request(node, method)
        };
        if method == "POST" && path.contains("/action/") || path.contains("/data") {
            self.rest()?;
        }
        let answer = self.send(&request)?;
        ensure!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }

    fn request(&self, node: &str, method: &str) -> Exchange {
        Exchange {
            recording: self.recording.clone(),
            at: 0,
            is_network: false,
            node: node.to_owned(),
            method: method.to_owned(),
            path: String::new(),
            headers: std::collections::BTreeMap::new(),
            body: Vec::new(),
            status: 200,
            answer: exchange::Expected::Start(String::new()),
        }
    }

    fn rest(&self) -> anyhow::Result<()> {
        let is_at_rest = self.runtime.block_on(self.cluster.rest(Duration::from_secs(10)));
        ensure!(is_at_rest, "the cluster does not come to rest");
        Ok(())
    }

    fn number(&self) -> &str {
        self.recording.get(..2).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Processes of the cluster end within its runtime.
        let _inside = self.runtime.enter();
    }
}

fn lock(text: &Mutex<String>) -> std::sync::MutexGuard<'_, String> {
    text.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn gw(first: &str) -> String {
    format!(
        "[data]\nfirst = literal:{first}\nempty = literal:\n{YAML_KEY}motd2 = literal:hello\nnovalue = literal:\nboth = literal:\n"
    )
}

const PASSWORD: &str = "a password";
const YAML_KEY: &str = "gateways/public.yaml = base64:a2luZDogR2F0ZXdheQpuYW1lOiBwdWJsaWMK\n";
const WEB: &str = "[DEFAULT]\nnodes = n1 n2 n3\ntopology = failover\norchestrate = ha\nmonitor_action = switch\n\n[app#web]\ntype = simple\nstart = /usr/bin/sleep 3600\nrestart = 1\n\n[fs#flag]\ntype = flag\n\n[ip#1]\ntype = host\nname = 10.99.0.50\ndev = eth0\nnetmask = 24\nexpose = 80/tcp 8443/tcp:443\n\n[env]\nigw_hash = abc\n";
