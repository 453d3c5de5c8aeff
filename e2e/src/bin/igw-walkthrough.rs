//! `igw-walkthrough intra-cluster|extra-cluster [--cluster SOCKET|URL --origin NODE=ADDRESS…]`:
//! plays the deployment of an ingress gateway from nothing to purge, and says what it waited for and how long.
//!
//! Without `--cluster` it starts an emulated cluster of three nodes, and reaches it through a socket, or over the network
//! for the extra-cluster form. With it, any OpenSVC v3 cluster is used, through the agent's socket of this node or at the
//! URL of its listener with `--ca FILE`, `--server-name NAME` and `--user NAME` (password in `IGW_PASSWORD`) or
//! `--token-file FILE`. `--origin` names the address of a test back end on each node, as `ip.host` takes it; the
//! intra-cluster form needs `--virtual ADDRESS:NETMASK:DEV`. Binaries have to lie at the same place on all nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use igw_e2e::client::{eventually, get};
use igw_e2e::load::Load;
use igw_e2e::process::{binary, signal};
use igw_e2e::stage::{gateway, node_addresses, route};
use igw_opensvc::{Client, Credentials, Method, Request, Settings, Target, Trust};
use secrecy::SecretString;
use serde_json::Value;
use tokio::runtime::Runtime;

/// Which of the two deployments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One instance that moves.
    Intra,
    /// One on every node.
    Extra,
}

/// The way to a cluster.
struct Door {
    client: Client,
    runtime: Runtime,
    /// What tells verbs of igw the same way.
    arguments: Vec<String>,
    password: String,
}

struct Walk {
    form: Form,
    door: Door,
    /// Address of a test back end on each node.
    origins: BTreeMap<String, IpAddr>,
    /// Address of the gateway that moves: address, netmask, device.
    floating: (IpAddr, String, String),
    scratch: tempfile::TempDir,
    children: Vec<Child>,
    is_emulated: bool,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let form = match arguments.next().as_deref() {
        Some("intra-cluster") => Form::Intra,
        Some("extra-cluster") => Form::Extra,
        _ => bail!(
            "usage: e2e/walkthrough intra-cluster|extra-cluster [--cluster SOCKET --origin NODE=ADDRESS…]"
        ),
    };
    let mut cluster = None;
    let mut flags = BTreeMap::new();
    let mut origins = BTreeMap::new();
    let mut floating = None;
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--cluster" => cluster = Some(value),
            "--ca" | "--server-name" | "--user" | "--token-file" => {
                flags.insert(flag, value);
            }
            "--origin" => {
                let (node, address) = value.split_once('=').context("--origin NODE=ADDRESS")?;
                origins.insert(node.to_owned(), address.parse()?);
            }
            "--virtual" => {
                let parts: Vec<&str> = value.split(':').collect();
                let [address, netmask, device] = parts[..] else { bail!("--virtual ADDRESS:NETMASK:DEV") };
                floating = Some((address.parse()?, netmask.to_owned(), device.to_owned()));
            }
            other => bail!("unknown flag {other}"),
        }
    }
    let mut walk = match cluster {
        Some(cluster) => {
            let password = std::env::var("IGW_PASSWORD").unwrap_or_default();
            Walk::on(form, Door::open(&cluster, &flags, &password)?, origins, floating)?
        }
        None => Walk::emulated(form)?,
    };
    let done = walk.play();
    let ended = walk.end();
    done.and(ended)
}

// === impl Door ===

impl Door {
    /// A socket, or the URL of a listener.
    fn open(cluster: &str, flags: &BTreeMap<String, String>, password: &str) -> anyhow::Result<Self> {
        let mut arguments = Vec::new();
        let flag = |name: &str| flags.get(name).cloned();
        let target = if cluster.starts_with("https://") {
            let credentials = match (flag("--user"), flag("--token-file")) {
                (Some(user), _) => Credentials::Login { user, password: SecretString::from(password) },
                (None, Some(file)) => Credentials::TokenFile(file.into()),
                (None, None) => bail!("--user NAME or --token-file FILE says who asks"),
            };
            arguments.extend(["--server".to_owned(), cluster.to_owned()]);
            arguments.extend(flags.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
            Target::Tcp {
                url: cluster.to_owned(),
                trust: flag("--ca").map_or(Trust::Unset, |file| Trust::Authority(file.into())),
                server_name: flag("--server-name"),
                credentials,
            }
        } else {
            arguments.extend(["--socket".to_owned(), cluster.to_owned()]);
            Target::Unix(cluster.into())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = {
            let _inside = runtime.enter();
            Client::connect_with(target, &Settings::default())?
        };
        Ok(Self { client, runtime, arguments, password: password.to_owned() })
    }

    fn call(&self, method: Method, path: &str, body: &str) -> anyhow::Result<String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let mut request = Request::raw(method, &segments);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            request = request.with_query(name, value);
        }
        if !body.is_empty() {
            request = request.with_body("application/octet-stream", body.to_owned());
        }
        let answer = self.runtime.block_on(self.client.call(&request))?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

// === impl Walk ===

impl Walk {
    fn on(
        form: Form,
        door: Door,
        origins: BTreeMap<String, IpAddr>,
        floating: Option<(IpAddr, String, String)>,
    ) -> anyhow::Result<Self> {
        ensure!(
            origins.len() >= 2,
            "name the address of a test back end on each node: --origin NODE=ADDRESS"
        );
        let floating = match (form, floating) {
            (Form::Intra, None) => bail!("name the address of the gateway: --virtual ADDRESS:NETMASK:DEV"),
            (_, floating) => floating.unwrap_or((IpAddr::from([0, 0, 0, 0]), String::new(), String::new())),
        };
        let scratch = tempfile::tempdir()?;
        Ok(Self { form, door, origins, floating, scratch, children: Vec::new(), is_emulated: false })
    }

    fn emulated(form: Form) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir()?;
        let ready = scratch.path().join("ready");
        // Several may run at once.
        let base = 200 + 8 * (std::process::id() % 6);
        let authority = scratch.path().join("ca.pem");
        let mut child = Command::new(binary("igw-emulator")?)
            .args(["--folder", &scratch.path().join("cluster").display().to_string()])
            .args(["--base", &base.to_string(), "--delays", "verified"])
            .args(["--user", &format!("walker:{PASSWORD}:root")])
            .args(["--ca-file", &authority.display().to_string()])
            .args(["--ready-file", &ready.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let waited = eventually("emulated cluster answers", PATIENCE, || ready.exists());
        let (mut socket, mut url) = (String::new(), String::new());
        let mut origins = BTreeMap::new();
        for line in std::fs::read_to_string(&ready).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [node, path, address] = words[..] else { continue };
            if socket.is_empty() {
                path.clone_into(&mut socket);
                url = format!("https://{address}:1215");
            }
            let IpAddr::V4(address) = address.parse()? else { continue };
            let [a, b, c, _] = address.octets();
            origins.insert(node.to_owned(), IpAddr::from([a, b, c, 7]));
        }
        // One form through a socket, the other over the network.
        let door = match form {
            Form::Intra => Door::open(&socket, &BTreeMap::new(), ""),
            Form::Extra => {
                let flags = [
                    ("--ca", authority.display().to_string()),
                    ("--server-name", "n1".to_owned()),
                    ("--user", "walker".to_owned()),
                ];
                Door::open(&url, &flags.map(|(name, value)| (name.to_owned(), value)).into(), PASSWORD)
            }
        };
        let door = match waited.and(door) {
            Ok(door) => door,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let floating = (IpAddr::from([127, 0, u8::try_from(base)?, 80]), "8".to_owned(), "lo".to_owned());
        Ok(Self { form, door, origins, floating, scratch, children: vec![child], is_emulated: true })
    }

    fn play(&mut self) -> anyhow::Result<()> {
        self.start_operator()?;
        self.step("apply objects", || self.apply("testigw", &self.objects()).and_then(|()| self.settings()))?;
        let service = "testigw/svc/igw-edge";
        self.wait("service of the gateway is provisioned and up", || self.is_up(service))?;
        let programmed = || self.igw(&["status"]).is_ok_and(|text| text.contains("True"));
        self.wait("gateway is programmed", programmed)?;
        let text = self.igw(&["ip", "testigw/edge"])?;
        let address: IpAddr = text.lines().next().context("no address")?.parse()?;
        let address = SocketAddr::new(address, PORT);
        println!("gateway answers at {address}");
        let status = get(address, HOST, "/")?.status;
        ensure!(status == 500 || status == 503, "without back ends it says so: {status}");

        self.step("deploy the test back ends", || self.deploy())?;
        let seen = || -> BTreeSet<String> { (0..12).filter_map(|_| origin(address)).collect() };
        self.wait("requests reach two instances found by the cluster's names", || seen().len() >= 2)?;

        let load = Load::start(address, HOST, 100, 2, Duration::from_secs(300));
        // Retries are a share of the requests: there have to be some first.
        let begun = Instant::now();
        self.wait("load is steady", || begun.elapsed() >= CHECKS)?;
        let nodes: Vec<String> = self.origins.keys().cloned().collect();
        let (last, others) = nodes.split_last().context("no nodes")?;
        for node in others {
            self.on_instance(node, "freeze")?;
            self.on_instance(node, "stop")?;
            // Retries hide it at once; the next one may go when the checks have seen it too.
            let begun = Instant::now();
            self.wait("requests avoid it", || begun.elapsed() >= CHECKS && !seen().contains(node))?;
        }
        self.wait("the one instance that is left answers alone", || {
            seen() == BTreeSet::from([last.clone()])
        })?;
        for node in others {
            self.on_instance(node, "unfreeze")?;
        }
        self.wait("all instances answer again", || seen().len() == nodes.len())?;
        // What ran on the last node alone runs on the others alone now.
        self.on_instance(last, "freeze")?;
        self.on_instance(last, "stop")?;
        self.wait("the service has moved off that node", || seen() == others.iter().cloned().collect())?;
        self.on_instance(last, "unfreeze")?;
        self.wait("all instances answer once more", || seen().len() == nodes.len())?;
        let load = load.stop();
        println!("{} requests under all this, {} failed", load.n_good, load.n_failed);
        ensure!(load.n_failed == 0, "{load:?}");

        self.step("delete the objects", || {
            self.igw(&["delete", "gateway/edge", "httproute/web", "gatewayconfig/edge", "-n", "testigw"])
                .map(|_| ())
        })?;
        self.wait("nothing of the gateway is left", || {
            self.paths().is_ok_and(|paths| !paths.iter().any(|path| path.contains("igw-edge")))
        })?;
        self.step("purge the test back ends", || {
            self.call(Method::POST, "/api/object/path/testigw/svc/web/action/purge", "").map(|_| ())
        })?;
        self.wait("the test back ends are gone", || {
            self.paths().is_ok_and(|paths| !paths.iter().any(|path| path == "testigw/svc/web"))
        })?;
        Ok(())
    }

    /// Ends what was started.
    fn end(&mut self) -> anyhow::Result<()> {
        for mut child in std::mem::take(&mut self.children).into_iter().rev() {
            signal(child.id(), "TERM")?;
            eventually("what was started ends", PATIENCE, || matches!(child.try_wait(), Ok(Some(_))))?;
        }
        Ok(())
    }

    fn start_operator(&mut self) -> anyhow::Result<()> {
        let log = std::fs::File::create(self.scratch.path().join("operator.log"))?;
        let mut command = Command::new(binary("igw")?);
        command.args(["operator", "--admin", "127.0.0.1:0"]).args(&self.door.arguments);
        command.env("IGW_PASSWORD", &self.door.password);
        command.args(["--proxy", &binary("igw-proxy")?.display().to_string()]);
        command.args(["--proxy-state", if self.is_emulated { "{var}/igw" } else { "/var/lib/igw" }]);
        if self.is_emulated {
            command.args(["--listen", &format!("0.0.0.0:{}", 21_000 + std::process::id() % 1_000)]);
        }
        self.children.push(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    fn objects(&self) -> String {
        let more = match self.form {
            Form::Extra => String::new(),
            Form::Intra => format!(
                "  addresses: [{{value: {}}}]\n  infrastructure: {{parametersRef: {{group: igw.opensvc.com, kind: GatewayConfig, name: edge}}}}\n",
                self.floating.0
            ),
        };
        let (address, netmask, device) = &self.floating;
        let class = if self.form == Form::Intra { "igw-failover" } else { "igw-per-node" };
        let service = match self.form {
            Form::Intra => {
                format!(
                    "  bind: Wildcard\n  service: {{ip: [{{type: host, name: {address}, netmask: {netmask}, dev: {device}}}]}}\n"
                )
            }
            Form::Extra => "  bind: NodeAddress\n".to_owned(),
        };
        format!(
            "apiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: edge}}\nspec:\n{service}---\n"
        ) + &gateway("edge", class, PORT, &more)
            + &route("web", "edge", HOST, "web", 9001)
    }

    fn settings(&self) -> anyhow::Result<()> {
        // Nodes that share a machine have addresses of the loopback net, which services may not have otherwise.
        if self.is_emulated { self.apply("system", &node_addresses()) } else { Ok(()) }
    }

    fn apply(&self, namespace: &str, text: &str) -> anyhow::Result<()> {
        let file = self.scratch.path().join("objects.yaml");
        std::fs::write(&file, text)?;
        self.igw(&["apply", "-n", namespace, "-f", &file.display().to_string()]).map(|_| ())
    }

    fn deploy(&self) -> anyhow::Result<()> {
        let mut text = String::from(
            "[DEFAULT]\nnodes = *\ntopology = flex\norchestrate = ha\nflex_target = {#nodes}\n\n[ip#1]\ntype = host\ndev = lo\nnetmask = 8\n",
        );
        for (node, address) in &self.origins {
            text.push_str(&format!("name@{node} = {address}\n"));
        }
        let origin = binary("igw-origin")?;
        text.push_str(&format!(
            "\n[app#web]\ntype = simple\nstart = {} {{nodename}} {{ip#1.name}}:9001\nrestart = 3\nmonitor = true\n",
            origin.display()
        ));
        let policy = "apiVersion: igw.opensvc.com/v1alpha1\nkind: BackendPolicy\nmetadata: {name: web}\nspec:\n  targetRefs: [{group: \"\", kind: Service, name: web}]\n  healthCheck: {active: {tcp: {}, interval: 500ms, timeout: 300ms}, passive: {consecutiveErrors: 1, ejectFor: 2s, maxEjectionPercent: 100}, panicThreshold: 0}\n";
        self.apply("testigw", policy)?;
        self.call(Method::POST, "/api/object/path/testigw/svc/web/config/file", &text)?;
        let provision =
            || self.call(Method::POST, "/api/object/path/testigw/svc/web/action/provision", "").is_ok();
        self.wait("every node knows the test back ends", provision)?;
        self.wait("the test back ends are up", || self.is_up("testigw/svc/web"))
    }

    fn on_instance(&self, node: &str, verb: &str) -> anyhow::Result<()> {
        let path = format!("/api/node/name/{node}/instance/path/testigw/svc/web/action/{verb}");
        self.step(&format!("{verb} the instance on {node}"), || {
            self.call(Method::POST, &path, "").map(|_| ())
        })
    }

    fn is_up(&self, service: &str) -> bool {
        let text = self.call(Method::GET, &format!("/api/object/path/{service}"), "").unwrap_or_default();
        let item: Value = serde_json::from_str(&text).unwrap_or_default();
        // Where nothing has to be made, nothing is said of it.
        let is_made = matches!(item["data"]["provisioned"].as_str(), Some("true" | "n/a"));
        item["data"]["avail"] == "up" && is_made
    }

    fn paths(&self) -> anyhow::Result<Vec<String>> {
        Ok(serde_json::from_str(&self.call(Method::GET, "/api/object/path?path=**", "")?)?)
    }

    fn call(&self, method: Method, path: &str, body: &str) -> anyhow::Result<String> {
        self.door.call(method, path, body)
    }

    fn igw(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(binary("igw")?);
        command.args(arguments).args(&self.door.arguments).env_remove("OSVC_NAMESPACE");
        command.env("IGW_PASSWORD", &self.door.password);
        let done = command.stdin(Stdio::null()).output()?;
        let words = String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(
            done.status.success(),
            "igw {}: {words}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(words)
    }

    fn step(&self, what: &str, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let begun = Instant::now();
        act().with_context(|| what.to_owned())?;
        println!("{what}: done in {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    fn wait(&self, what: &str, mut check: impl FnMut() -> bool) -> anyhow::Result<()> {
        // A listener on the network takes 20 requests a second of one address.
        let mut last: Option<Instant> = None;
        let spaced = || {
            if last.is_some_and(|last| last.elapsed() < PACE) {
                return false;
            }
            last = Some(Instant::now());
            check()
        };
        let waited = eventually(what, PATIENCE, spaced).with_context(|| {
            std::fs::read_to_string(self.scratch.path().join("operator.log")).unwrap_or_default()
        })?;
        println!("waited {:.1} s: {what}", waited.as_secs_f64());
        Ok(())
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = signal(child.id(), "TERM");
            let _ = child.wait();
        }
    }
}

fn origin(address: SocketAddr) -> Option<String> {
    let answer = get(address, HOST, "/").ok().filter(|answer| answer.status == 200)?;
    answer.report().ok()?["origin"].as_str().map(ToOwned::to_owned)
}

/// Longer than the checks of a back end need to see that it is gone.
const CHECKS: Duration = Duration::from_secs(3);
const HOST: &str = "svc1.opensvc.com";
const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const PACE: Duration = Duration::from_millis(200);
const PASSWORD: &str = "walk through it";
