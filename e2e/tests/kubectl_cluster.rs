//! kubectl, unmodified, and a cluster: tokens are OpenSVC's, its grants decide, and what is written is in its objects.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use igw_e2e::client::{answers, eventually};
use igw_e2e::process::binary;
use igw_e2e::stage::{Stage, gateway, node_addresses, route};
use igw_emulator::Delays;

const PASSWORD: &str = "a password that is secret";
const PATIENCE: Duration = Duration::from_secs(20);

/// A user with a kubectl of their own.
struct Desk {
    folder: PathBuf,
}

// === impl Desk ===

impl Desk {
    /// The desk of a user, who has fetched the configuration as themselves.
    fn of(stage: &Stage, user: &str) -> anyhow::Result<Self> {
        let folder = stage.folder().join(format!("desk-{user}"));
        std::fs::create_dir_all(&folder)?;
        let authority = stage.write("ca.pem", stage.cluster.authority())?;
        let mut command = stage.network_command("n1", &["kubeconfig"], &authority)?;
        command.args(["--user", user]).env("IGW_PASSWORD", PASSWORD);
        let mut config = Vec::new();
        eventually("the operator says where kubectl finds it", PATIENCE, || {
            let done = command.output();
            config = done.as_ref().map(|done| done.stdout.clone()).unwrap_or_default();
            done.is_ok_and(|done| done.status.success())
        })
        .with_context(|| stage.printed())?;
        std::fs::write(folder.join("config"), config)?;
        Ok(Self { folder })
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let igw = binary("igw")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let beside = igw.parent().context("a folder")?.display().to_string();
        Command::new("kubectl")
            .args(arguments)
            .env("HOME", &self.folder)
            .env("KUBECONFIG", self.folder.join("config"))
            .env("PATH", format!("{beside}:{path}"))
            .env("IGW_PASSWORD", PASSWORD)
            .output()
            .context("kubectl is installed by e2e/test")
    }

    /// Runs what must succeed; what it printed.
    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs what must be refused; what it said.
    fn refused(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        ensure!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        Ok(String::from_utf8(output.stderr)?)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let file = self.folder.join(name);
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    }
}

/// A cluster whose operator speaks to kubectl, with users of different grants.
fn stage() -> anyhow::Result<Stage> {
    let mut stage = Stage::new(Delays::none())?;
    for (user, grants) in
        [("anna", "admin:shop guest:system"), ("gus", "guest:shop guest:system"), ("ruth", "root")]
    {
        stage.cluster.add_user(user, grants, PASSWORD);
    }
    let authority = stage.write("daemon.pem", stage.cluster.authority())?.display().to_string();
    let address = stage.cluster.address("n1");
    stage.start_operator(
        "n1",
        &[
            "--kube",
            &format!("{address}:6443"),
            "--kube-daemon",
            &format!("https://{address}:1215"),
            "--kube-daemon-ca",
            &authority,
            "--kube-daemon-name",
            "n1",
        ],
    )?;
    stage.deploy("shop", "web", 7, 9001)?;
    stage.apply("n1", "system", &node_addresses())?;
    Ok(stage)
}

#[test]
fn what_kubectl_writes_is_in_the_cluster_and_served_on_every_node() -> anyhow::Result<()> {
    let stage = stage()?;
    let anna = Desk::of(&stage, "anna")?;
    let file = anna.write(
        "objects.yaml",
        &(gateway("public", "igw-per-node", 8088, "") + &route("web", "public", "web.test", "web", 9001)),
    )?;
    let said = anna.kubectl(&["apply", "-n", "shop", "-f", &file]).with_context(|| stage.printed())?;
    ensure!(said.contains("httproute.gateway.networking.k8s.io/web created"), "{said}");
    anna.kubectl(&["wait", "-n", "shop", "gateway/public", "--for=condition=Programmed", "--timeout=60s"])
        .with_context(|| stage.logs())?;
    for node in stage.cluster.nodes() {
        let address = (stage.cluster.address(&node), 8088).into();
        eventually("the node serves", PATIENCE, || answers(address, "web.test"))?;
    }
    // It is what igw itself knows, and what igw writes shows.
    let listed = stage.igw("n1", &["get", "httproutes", "-n", "shop", "-o", "name"])?;
    ensure!(String::from_utf8_lossy(&listed.stdout).contains("/web"), "{listed:?}");
    stage.apply("n1", "shop", &route("more", "public", "more.test", "web", 9001))?;
    eventually("kubectl sees what igw applied", PATIENCE, || {
        anna.kubectl(&["get", "httproute", "more", "-n", "shop"]).is_ok()
    })?;
    let said = anna.kubectl(&["apply", "-n", "shop", "-f", &file])?;
    ensure!(said.contains("gateway.networking.k8s.io/public unchanged"), "{said}");
    let patch = r#"{"spec":{"hostnames":["other.test"]}}"#;
    anna.kubectl(&["patch", "httproute", "web", "-n", "shop", "--type=merge", "-p", patch])?;
    let address = (stage.cluster.address("n2"), 8088).into();
    eventually("the patch is live", PATIENCE, || answers(address, "other.test"))?;
    // Who deletes through the operator waits for no proof.
    anna.kubectl(&["delete", "httproute", "web", "-n", "shop"])?;
    eventually("the route is gone", PATIENCE, || !answers(address, "other.test"))?;
    let said = anna.refused(&["get", "httproute", "web", "-n", "shop"])?;
    ensure!(said.contains("NotFound"), "{said}");
    // Services are those of the cluster.
    let services = anna.kubectl(&["get", "services", "-n", "shop"])?;
    ensure!(services.contains("web") && services.contains("ExternalName"), "{services}");
    Ok(())
}

#[test]
fn grants_of_opensvc_decide() -> anyhow::Result<()> {
    let stage = stage()?;
    let (anna, gus, ruth) = (Desk::of(&stage, "anna")?, Desk::of(&stage, "gus")?, Desk::of(&stage, "ruth")?);
    let file = anna.write("route.yaml", &route("web", "public", "web.test", "web", 9001))?;
    let said = gus.refused(&["apply", "-n", "shop", "-f", &file])?;
    ensure!(said.contains("forbidden") && said.contains("gus"), "{said}");
    anna.kubectl(&["apply", "-n", "shop", "-f", &file]).with_context(|| stage.printed())?;
    let listed = gus.kubectl(&["get", "httproutes", "-n", "shop"])?;
    ensure!(listed.contains("web.test"), "{listed}");
    let said = anna.refused(&["apply", "-n", "other", "-f", &file])?;
    ensure!(said.contains("forbidden"), "{said}");
    let said = anna.refused(&["get", "httproutes", "-A"])?;
    ensure!(said.contains("cluster scope"), "{said}");
    ensure!(ruth.kubectl(&["get", "httproutes", "-A"])?.contains("web.test"));
    let said = anna.refused(&["label", "namespace", "shop", "team=blue"])?;
    ensure!(said.contains("forbidden"), "{said}");
    ruth.kubectl(&["label", "namespace", "shop", "team=blue"])?;
    let labels = ruth.kubectl(&["get", "namespace", "shop", "-o", "jsonpath={.metadata.labels.team}"])?;
    ensure!(labels == "blue", "{labels}");
    // A token that is none.
    let said = anna.refused(&["get", "gateways", "-n", "shop", "--token=nonsense", "--user=nobody"])?;
    ensure!(!said.contains("web.test"), "{said}");
    Ok(())
}

#[test]
fn secrets_are_sec_objects_for_those_who_may_read_them() -> anyhow::Result<()> {
    let stage = stage()?;
    let (anna, gus) = (Desk::of(&stage, "anna")?, Desk::of(&stage, "gus")?);
    anna.kubectl(&["create", "secret", "generic", "pass", "-n", "shop", "--from-literal=word=hush"])
        .with_context(|| stage.printed())?;
    let word = anna.kubectl(&["get", "secret", "pass", "-n", "shop", "-o", "jsonpath={.data.word}"])?;
    ensure!(word == "aHVzaA==", "{word}");
    let said = gus.refused(&["get", "secret", "pass", "-n", "shop"])?;
    ensure!(said.contains("forbidden") && !said.contains("aHVzaA"), "{said}");
    // The value is a key of the sec object.
    let stored = stage.call("n1", "GET", "/api/object/path/shop/sec/pass/data?name=word", "", 200)?;
    ensure!(stored.contains("aHVzaA=="), "{stored}");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes, labels: {team: blue}}\ndata: {a: one, b: two}\n";
    let file = anna.write("map.yaml", map)?;
    anna.kubectl(&["apply", "-n", "shop", "-f", &file])?;
    anna.write("map.yaml", &map.replace(", b: two", ""))?;
    let said = anna.kubectl(&["apply", "-n", "shop", "-f", &file])?;
    ensure!(said.contains("configured"), "{said}");
    let found = gus.kubectl(&["get", "configmap", "notes", "-n", "shop", "-l", "team=blue", "-o", "json"]);
    ensure!(found.is_err(), "a name and a selector do not go together");
    let found = gus.kubectl(&[
        "get",
        "configmaps",
        "-n",
        "shop",
        "-l",
        "team=blue",
        "-o",
        "jsonpath={.items[*].data}",
    ])?;
    ensure!(found == r#"{"a":"one"}"#, "{found}");
    anna.kubectl(&["delete", "secret/pass", "configmap/notes", "-n", "shop"])?;
    let said = anna.refused(&["get", "secret", "pass", "-n", "shop"])?;
    ensure!(said.contains("NotFound"), "{said}");
    ensure!(!stage.printed().contains("aHVzaA") && !stage.printed().contains("hush"), "a value is told");
    Ok(())
}

#[test]
fn what_is_acknowledged_outlives_writers_on_other_nodes() -> anyhow::Result<()> {
    let stage = stage()?;
    let anna = Desk::of(&stage, "anna")?;
    let routes = |writer: &str| -> String {
        let name = |n: u32| format!("{writer}{n}");
        (0..N_ROUTES).map(|n| route(&name(n), "public", &format!("{}.test", name(n)), "web", 9001)).collect()
    };
    let file = anna.write("objects.yaml", &routes("a"))?;
    // Somebody else writes the same object through another node, one key at a time, as long as kubectl does.
    let other = std::thread::scope(|scope| {
        let other = scope.spawn(|| -> anyhow::Result<()> {
            for n in 0..N_ROUTES {
                let one = route(&format!("b{n}"), "public", &format!("b{n}.test"), "web", 9001);
                let file = stage.write(&format!("b{n}.yaml"), &one)?.display().to_string();
                let done = stage.igw("n2", &["apply", "-n", "shop", "-f", &file])?;
                ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            }
            Ok(())
        });
        let said = anna.kubectl(&["apply", "-n", "shop", "-f", &file]).with_context(|| stage.printed())?;
        ensure!(said.lines().filter(|line| line.ends_with("created")).count() == N_ROUTES as usize, "{said}");
        other.join().map_err(|_| anyhow::anyhow!("the other writer panicked"))
    })?;
    other?;
    let is_everywhere = |writer: &str, n: u32| {
        let key = format!("httproute/{writer}{n}.yaml");
        let has = |node: &String| stage.cluster.value_on(node, "shop/cfg/igw", &key).is_some();
        stage.cluster.nodes().iter().all(has)
    };
    eventually("every route of both is on every node", PATIENCE, || {
        (0..N_ROUTES).all(|n| is_everywhere("a", n) && is_everywhere("b", n))
    })
    .with_context(|| stage.printed())
    .map(drop)
}

const N_ROUTES: u32 = 10;
