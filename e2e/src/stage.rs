//! A cluster on this machine: emulated nodes, a real operator, real proxies, real back ends.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use igw_emulator::{Cluster, Delays, Spec};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::{answers, eventually};
use crate::process::{binary, signal};

/// The stage. Dropping it ends everything.
pub struct Stage {
    /// The cluster.
    pub cluster: Cluster,
    /// Where the operator listens for proxies.
    pub sync: SocketAddr,
    /// Its admin address.
    pub admin: SocketAddr,
    /// The proxy's binary on every node, with references of the cluster; nothing is the one under test.
    pub proxy: Option<String>,
    operator: Option<Child>,
    arguments: Vec<String>,
    scratch: TempDir,
    // After the cluster, whose tasks it runs.
    _runtime: Runtime,
}

// === impl Stage ===

impl Stage {
    /// A cluster of three nodes named `blue`; nothing of igw runs yet.
    ///
    /// # Errors
    /// Fails if sockets cannot be opened.
    pub fn new(delays: Delays) -> anyhow::Result<Self> {
        // Stages of one process have addresses of their own; runs at the same time need another IGW_BASE each.
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let first = std::env::var("IGW_BASE").ok().and_then(|text| text.parse::<u8>().ok()).unwrap_or(100);
        let base = first.wrapping_add(8 * (NEXT.fetch_add(1, Ordering::Relaxed) % 16));
        let scratch = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let spec = Spec {
            name: "blue".to_owned(),
            n_nodes: 3,
            folder: scratch.path().join("cluster"),
            base,
            delays,
        };
        let cluster = {
            let _inside = runtime.enter();
            Cluster::start(&spec)?
        };
        let first = cluster.address("n1");
        Ok(Self {
            sync: (first, 8406).into(),
            admin: (first, 8405).into(),
            cluster,
            proxy: None,
            operator: None,
            arguments: Vec::new(),
            scratch,
            _runtime: runtime,
        })
    }

    /// Runs the operator as a service of the cluster, as `deploy/opensvc/operator-root.conf` has it: on one node at a time.
    ///
    /// # Errors
    /// Fails if it does not come up.
    pub fn deploy_operator(&self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(project("deploy/opensvc/operator-root.conf"))?;
        let is_start = |line: &&str| line.starts_with("start = ");
        let start = text.lines().find(is_start).context("no command")?;
        // Paths of this machine, and addresses that all nodes share otherwise. The operator's own reference to the
        // folder of a node must not be resolved where the operator is started.
        let mut starts = String::new();
        for node in self.cluster.nodes() {
            let address = self.cluster.address(&node);
            let line = start
                .replace("start = ", "exec ")
                .replace("/usr/bin/igw ", &format!("{} ", binary("igw")?.display()))
                .replace("/var/lib/opensvc/lsnr/http.sock", &self.cluster.socket(&node).display().to_string())
                .replace("[::]", &address.to_string())
                .replace("127.0.0.1", &address.to_string());
            let proxy = binary("igw-proxy")?.display().to_string();
            let script = self.write(
                &format!("operator.{node}"),
                &format!("#!/bin/sh\n{line} --proxy {proxy} --proxy-state '{{var}}/igw'\n"),
            )?;
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
            starts.push_str(&format!("start@{node} = {}\n", script.display()));
        }
        let text = text.replace(&format!("{start}\n"), &starts);
        let path = "/api/object/path/system/svc/igw-operator";
        self.call("n1", "POST", &format!("{path}/config/file"), &text, 204)?;
        eventually("the operator's service can be provisioned", PATIENCE, || {
            self.call("n1", "POST", &format!("{path}/action/provision"), "", 200).is_ok()
        })?;
        eventually("the operator's service is up", PATIENCE, || {
            !self.cluster.up_on("system/svc/igw-operator").is_empty()
        })
        .map(drop)
    }

    /// A cluster with gateway `public` on every node, service `web` of namespace `shop` behind it at host `web.test`, and
    /// traffic that works; the addresses of the gateway.
    ///
    /// # Errors
    /// Fails if it does not serve in time.
    pub fn serving(delays: Delays) -> anyhow::Result<(Self, Vec<SocketAddr>)> {
        let mut stage = Self::new(delays)?;
        let addresses = stage.serve()?;
        Ok((stage, addresses))
    }

    /// The same on a stage that is there.
    ///
    /// # Errors
    /// As [`Stage::serving`].
    pub fn serve(&mut self) -> anyhow::Result<Vec<SocketAddr>> {
        self.start_operator("n1", &[])?;
        self.deploy("shop", "web", 7, 9001)?;
        self.apply("n1", "system", &node_addresses())?;
        let objects =
            gateway("public", "igw-per-node", 8088, "") + &route("web", "public", "web.test", "web", 9001);
        self.apply("n1", "shop", &objects)?;
        let addresses: Vec<SocketAddr> =
            self.cluster.nodes().iter().map(|node| (self.cluster.address(node), 8088).into()).collect();
        let serves = || addresses.iter().all(|address| answers(*address, "web.test"));
        eventually("every node serves", PATIENCE * 4, serves).with_context(|| self.logs())?;
        Ok(addresses)
    }

    /// Does something with the cluster that starts tasks.
    pub fn within<T>(&self, act: impl FnOnce(&Cluster) -> T) -> T {
        let _inside = self._runtime.enter();
        act(&self.cluster)
    }

    /// Starts the operator on a node's socket.
    ///
    /// # Errors
    /// Fails if it cannot be started.
    pub fn start_operator(&mut self, node: &str, more: &[&str]) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        self.arguments = vec![
            "operator".to_owned(),
            "--socket".to_owned(),
            self.cluster.socket(node).display().to_string(),
            "--listen".to_owned(),
            format!("0.0.0.0:{}", self.sync_port()),
            "--admin".to_owned(),
            self.admin.to_string(),
            "--proxy".to_owned(),
            self.proxy
                .clone()
                .map_or_else(|| binary("igw-proxy").map(|path| path.display().to_string()), Ok)?,
            "--proxy-state".to_owned(),
            "{var}/igw".to_owned(),
        ];
        self.arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let child = Command::new(binary("igw")?)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.operator = Some(child);
        Ok(())
    }

    /// Kills the operator with SIGKILL.
    ///
    /// # Errors
    /// Fails if it does not run.
    pub fn kill_operator(&mut self) -> anyhow::Result<()> {
        let mut child = self.operator.take().context("the operator does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Pid of the operator.
    #[must_use]
    pub fn operator_pid(&self) -> Option<u32> {
        self.operator.as_ref().map(Child::id)
    }

    /// Whether the operator has ended by itself, and how.
    pub fn operator_ended(&mut self) -> Option<i32> {
        self.operator.as_mut()?.try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1))
    }

    /// What the operator printed.
    #[must_use]
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Runs a verb against a node.
    ///
    /// # Errors
    /// Fails if it cannot be started.
    pub fn igw(&self, node: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(node, arguments)?.output()?)
    }

    /// A verb against a node, not started yet.
    ///
    /// # Errors
    /// Fails if the binary was not built.
    pub fn command(&self, node: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary("igw")?);
        command.args(arguments).arg("--socket").arg(self.cluster.socket(node));
        command.stdin(Stdio::null()).env_remove("OSVC_CONTEXT").env_remove("OSVC_NAMESPACE");
        Ok(command)
    }

    /// A verb against a node's network listener, whose certificate a file's authority signed; not started yet.
    ///
    /// # Errors
    /// Fails if the binary was not built.
    pub fn network_command(
        &self,
        node: &str,
        arguments: &[&str],
        authority: &Path,
    ) -> anyhow::Result<Command> {
        let mut command = Command::new(binary("igw")?);
        let url = format!("https://{}:1215", self.cluster.address(node));
        command.args(arguments).args(["--server", &url, "--server-name", "n1", "--ca"]).arg(authority);
        command.stdin(Stdio::null()).env_remove("OSVC_CONTEXT").env_remove("OSVC_NAMESPACE");
        Ok(command)
    }

    /// Writes a file and applies it on a node; what it printed.
    ///
    /// # Errors
    /// Fails unless it is acknowledged.
    pub fn apply(&self, node: &str, namespace: &str, text: &str) -> anyhow::Result<String> {
        let file = self.write("apply.yaml", text)?;
        let done = self.igw(node, &["apply", "-n", namespace, "-f", &file.display().to_string()])?;
        let words =
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        if !done.status.success() {
            bail!("igw apply ended with {}: {words}\noperator:\n{}", done.status, self.printed());
        }
        Ok(words)
    }

    /// The stage's own folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Writes a file into the stage's folder.
    ///
    /// # Errors
    /// Fails if the folder is gone.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let file = self.scratch.path().join(name);
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Makes a service of back ends: on each node an address of its own, where `igw-origin` answers.
    ///
    /// # Errors
    /// Fails if the cluster does not take it.
    pub fn deploy(&self, namespace: &str, name: &str, octet: u8, port: u16) -> anyhow::Result<()> {
        self.deploy_on("*", namespace, name, octet, port)
    }

    /// The same on some nodes.
    ///
    /// # Errors
    /// As [`Stage::deploy`].
    pub fn deploy_on(
        &self,
        nodes: &str,
        namespace: &str,
        name: &str,
        octet: u8,
        port: u16,
    ) -> anyhow::Result<()> {
        let mut text = format!(
            "[DEFAULT]\nnodes = {nodes}\ntopology = flex\norchestrate = ha\nflex_target = {{#nodes}}\n\n[ip#1]\ntype = host\n"
        );
        for node in self.cluster.nodes() {
            let address = self.origin_address(&node, octet);
            text.push_str(&format!("name@{node} = {address}\n"));
        }
        let origin = binary("igw-origin")?;
        text.push_str(&format!(
            "\n[app#web]\ntype = simple\nstart = {} {{nodename}} {{ip#1.name}}:{port}\nrestart = 3\nmonitor = true\n",
            origin.display()
        ));
        let path = format!("/api/object/path/{namespace}/svc/{name}");
        self.call("n1", "POST", &format!("{path}/config/file"), &text, 204)?;
        eventually("service can be provisioned", PATIENCE, || {
            self.call("n1", "POST", &format!("{path}/action/provision"), "", 200).is_ok()
        })?;
        eventually("service is up", PATIENCE, || {
            !self.cluster.up_on(&format!("{namespace}/svc/{name}")).is_empty()
        })?;
        Ok(())
    }

    /// Address of a back end on a node.
    #[must_use]
    pub fn origin_address(&self, node: &str, octet: u8) -> std::net::Ipv4Addr {
        let [a, b, c, _] = self.cluster.address(node).octets();
        std::net::Ipv4Addr::new(a, b, c, octet)
    }

    /// Calls the daemon of a node.
    ///
    /// # Errors
    /// Fails if the status is another one.
    pub fn call(
        &self,
        node: &str,
        method: &str,
        path: &str,
        body: &str,
        want: u16,
    ) -> anyhow::Result<String> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::os::unix::net::UnixStream::connect(self.cluster.socket(node))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if status != want.to_string() {
            bail!("{method} {path}: status {status}, not {want}: {answer}");
        }
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Logs of what runs on the nodes.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = format!("operator:\n{}\n", self.printed());
        for node in self.cluster.nodes() {
            let folder = self.scratch.path().join("cluster").join(&node).join("log");
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                text.push_str(&format!("{}:\n", entry.path().display()));
                text.push_str(&std::fs::read_to_string(entry.path()).unwrap_or_default());
            }
        }
        text
    }

    fn sync_port(&self) -> u16 {
        // One port per stage: all nodes of all stages share this machine.
        20_000 + u16::from(self.cluster.address("n1").octets()[2])
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("operator.log")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut child) = self.operator.take() {
            let _ = signal(child.id(), "TERM");
            let _ = eventually("the operator ends", Duration::from_secs(5), || {
                matches!(child.try_wait(), Ok(Some(_)))
            });
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A gateway of a class on a port.
#[must_use]
pub fn gateway(name: &str, class: &str, port: u16, more: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: {class}
  listeners:
    - {{name: web, port: {port}, protocol: HTTP, allowedRoutes: {{namespaces: {{from: All}}}}}}
{more}---
"
    )
}

/// A route to a service.
#[must_use]
pub fn route(name: &str, gateway: &str, host: &str, service: &str, port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {gateway}}}]
  hostnames: [{host}]
  rules:
    - backendRefs: [{{name: {service}, port: {port}}}]
---
"
    )
}

/// Settings that make proxies bind their node's address.
#[must_use]
pub fn node_addresses() -> String {
    "apiVersion: igw.opensvc.com/v1alpha1
kind: GatewayConfig
metadata: {name: default}
spec:
  bind: NodeAddress
  admin: {address: 0.0.0.0:8404}
  backends: {allow: [{namespaces: [\"*\"], cidrs: [127.0.0.0/8]}]}
---
"
    .to_owned()
}

/// Path of something below the project's folder.
#[must_use]
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join(path)
}

const PATIENCE: Duration = Duration::from_secs(10);
