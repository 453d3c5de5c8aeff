//! The real kubectl, unmodified, against the dialect.

mod house;

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use house::{GATEWAYS, House};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// kubectl with a home of its own.
struct Kubectl {
    house: House,
    home: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

// === impl Kubectl ===

impl Kubectl {
    async fn start(house: House) -> anyhow::Result<Self> {
        let kubectl = Self { house, home: tempfile::tempdir()? };
        let said = kubectl.run(&["version", "--client", "-o", "json"]).await.context(HOW_TO_GET)?;
        let version: serde_json::Value = serde_json::from_str(&said.out).context(HOW_TO_GET)?;
        let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
        let minor: u32 = minor.trim_end_matches('+').parse().unwrap_or(0);
        ensure!(minor >= 27, "kubectl 1.{minor} is too old for OpenAPI v3. {HOW_TO_GET}");
        Ok(kubectl)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--server")
            .arg(format!("http://{}", self.house.address))
            .arg("--cache-dir")
            .arg(self.home.path().join("cache"))
            .args(arguments)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("none"))
            .env("TMPDIR", self.home.path())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        self.run_with("", &[], arguments).await
    }

    async fn run_with(&self, input: &str, env: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<Said> {
        let mut command = self.command(arguments);
        command.envs(env.iter().copied());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let limit = std::time::Duration::from_secs(60);
        let output =
            tokio::time::timeout(limit, child.wait_with_output()).await.context("kubectl hangs")??;
        Ok(Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command line that must succeed; returns what it printed.
    async fn ok(&self, line: &str) -> anyhow::Result<String> {
        let said = self.run(&line.split_whitespace().collect::<Vec<_>>()).await?;
        ensure!(said.code == 0, "kubectl {line}: {said:?}");
        Ok(said.out)
    }

    /// Runs a command line that must fail; returns what it printed.
    async fn fails(&self, line: &str) -> anyhow::Result<String> {
        let said = self.run(&line.split_whitespace().collect::<Vec<_>>()).await?;
        ensure!(said.code != 0, "kubectl {line}: {said:?}");
        Ok(said.err)
    }

    fn file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.home.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

#[track_caller]
fn has(text: &str, wanted: &str) {
    assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
}

#[tokio::test]
async fn objects_are_applied_compared_and_edited() -> anyhow::Result<()> {
    let kubectl = Kubectl::start(House::start().await?).await?;
    kubectl.file("web.yaml", WEB)?;
    kubectl.file("other.yaml", &WEB.replace("port: 80", "port: 8080"))?;
    kubectl.file("wrong.yaml", &WEB.replace("port: 80", "port: 80, nope: 1"))?;
    kubectl.file("bad.yaml", &WEB.replace("port: 80", "port: 0"))?;
    has(&kubectl.ok("apply -f web.yaml --dry-run=server").await?, "created (server dry run)");
    assert_eq!(kubectl.run(&["diff", "-f", "web.yaml"]).await?.code, 1);
    has(&kubectl.ok("apply -f web.yaml").await?, "gateway.gateway.networking.k8s.io/web created");
    has(&kubectl.ok("apply -f web.yaml").await?, "gateway.gateway.networking.k8s.io/web");
    assert_eq!(kubectl.ok("diff -f web.yaml").await?, "");
    let difference = kubectl.run(&["diff", "-f", "other.yaml"]).await?;
    assert_eq!(difference.code, 1);
    has(&difference.out, "+    port: 8080");
    has(&kubectl.ok("apply -f other.yaml").await?, "configured");
    assert_eq!(
        kubectl.ok("get gtw web -o jsonpath={.spec.listeners[0].port},{.metadata.generation}").await?,
        "8080,2"
    );
    has(&kubectl.ok("apply -f web.yaml --dry-run=client").await?, "(dry run)");

    has(&kubectl.fails("apply -f wrong.yaml").await?, "unknown field \"spec.listeners[0].nope\"");
    let said = kubectl.run(&["apply", "-f", "wrong.yaml", "--validate=warn"]).await?;
    has(&said.err, "Warning: unknown field \"spec.listeners[0].nope\"");
    assert_eq!(said.code, 0);
    kubectl.ok("apply -f wrong.yaml --validate=false").await?;
    has(&kubectl.fails("apply -f bad.yaml").await?, "The Gateway \"web\" is invalid: spec.listeners[0].port");

    has(&kubectl.ok("replace -f web.yaml").await?, "replaced");
    has(&kubectl.ok("replace --force -f web.yaml").await?, "replaced");
    kubectl.file(
        "editor",
        "sed -i 's/port: 80$/port: 81/' \"$1\"
",
    )?;
    let edited = kubectl.run_with("", &[("EDITOR", "sh editor")], &["edit", "gw", "web"]).await?;
    has(&edited.out, "edited");
    assert_eq!(kubectl.ok("get gw web -o jsonpath={.spec.listeners[0].port}").await?, "81");
    kubectl.ok("delete -f web.yaml").await?;
    has(&kubectl.ok("create -f web.yaml").await?, "created");
    has(&kubectl.fails("create -f web.yaml").await?, "already exists");
    Ok(())
}

#[tokio::test]
async fn objects_are_listed_described_and_explained() -> anyhow::Result<()> {
    let kubectl = Kubectl::start(House::start().await?).await?;
    kubectl.file("all.yaml", &format!("{WEB}---\n{ROUTE}"))?;
    kubectl.ok("apply -f all.yaml").await?;
    let mut status = kubectl.house.get(&format!("{DEFAULT_GATEWAYS}/web")).await?.value();
    status["status"] = json!({
        "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
        "conditions": [{"type": "Programmed", "status": "True"}],
    });
    kubectl.house.put(&format!("{DEFAULT_GATEWAYS}/web/status"), &status).await?.expect(200);

    for name in [
        "gateways",
        "gateway",
        "gtw",
        "gw",
        "gateways.gateway.networking.k8s.io",
        "gateways.v1beta1.gateway.networking.k8s.io",
    ] {
        let table = kubectl.ok(&format!("get {name}")).await?;
        has(&table, "NAME   CLASS   ADDRESS     PROGRAMMED   AGE");
        has(&table, "web    igw     127.0.0.1   True");
    }
    has(&kubectl.ok("get httproutes -o wide").await?, "[\"shop.example\"]");
    has(&kubectl.ok("get gw -A").await?, "NAMESPACE");
    has(&kubectl.ok("get gateway-api").await?, "httproute.gateway.networking.k8s.io/shop");
    has(&kubectl.ok("get gw --sort-by=.metadata.name").await?, "web");
    has(&kubectl.ok("get gw web --subresource=status").await?, "web");
    has(&kubectl.ok("get gw web -o yaml").await?, "from: Same");
    assert_eq!(kubectl.ok("get gw -o name").await?, "gateway.gateway.networking.k8s.io/web\n");
    has(
        &kubectl.ok("get gw -o custom-columns=N:.metadata.name,C:.spec.gatewayClassName").await?,
        "web   igw",
    );
    assert_eq!(kubectl.ok("get gw -l no=such").await?, "");
    has(&kubectl.ok("describe gw web").await?, "Gateway Class Name:  igw");
    kubectl.ok("get events").await?;
    kubectl.ok("events").await?;
    kubectl.ok("cluster-info").await?;

    has(&kubectl.ok("explain httproute.spec.rules").await?, "matches\t<[]Object>");
    has(&kubectl.ok("explain httproute.spec.rules.matches.path.type").await?, "PathPrefix");
    has(&kubectl.ok("explain gateway --recursive").await?, "certificateRefs");
    has(&kubectl.ok("explain backendpolicy.spec.healthCheck").await?, "active");
    has(&kubectl.ok("explain secret").await?, "stringData");
    has(&kubectl.ok("api-resources --api-group=igw.opensvc.com").await?, "backendpolicies");
    has(&kubectl.ok("api-versions").await?, "gateway.networking.k8s.io/v1alpha2");
    has(&kubectl.ok("version").await?, "Server Version: v1.32.0+igw");
    Ok(())
}

#[tokio::test]
async fn objects_are_patched_labelled_and_deleted() -> anyhow::Result<()> {
    let kubectl = Kubectl::start(House::start().await?).await?;
    kubectl.file("web.yaml", WEB)?;
    kubectl.ok("apply -f web.yaml").await?;
    has(
        &kubectl.ok("patch gw web --type=merge -p {\"spec\":{\"gatewayClassName\":\"other\"}}").await?,
        "patched",
    );
    let operation = "[{\"op\":\"replace\",\"path\":\"/spec/gatewayClassName\",\"value\":\"third\"}]";
    has(&kubectl.ok(&format!("patch gw web --type=json -p {operation}")).await?, "patched");
    has(
        &kubectl.fails("patch gw web -p {\"spec\":{}}").await?,
        "strategic-merge-patch+json is not supported",
    );
    has(&kubectl.ok("label gw web app=shop").await?, "labeled");
    has(&kubectl.ok("annotate gw web note=text").await?, "annotated");
    has(&kubectl.ok("get gw -l app=shop").await?, "third");
    has(&kubectl.ok("label gw web app-").await?, "unlabeled");

    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '1', b: '2'}\n";
    kubectl.file("map.yaml", map)?;
    kubectl.ok("apply -f map.yaml").await?;
    kubectl.file("map.yaml", &map.replace(", b: '2'", ""))?;
    has(&kubectl.ok("apply -f map.yaml").await?, "configured");
    has(&kubectl.ok("apply -f map.yaml").await?, "unchanged");
    assert_eq!(kubectl.ok("get cm m -o jsonpath={.data}").await?, "{\"a\":\"1\"}");
    has(&kubectl.ok("patch cm m -p {\"data\":{\"c\":\"3\"}}").await?, "patched");
    has(&kubectl.ok("get cm").await?, "m      2");

    let made = kubectl.ok("create secret generic s --from-literal=a=b --dry-run=client -o yaml").await?;
    let applied = kubectl.run_with(&made, &[], &["apply", "-f", "-"]).await?;
    has(&applied.out, "secret/s created");
    for line in [
        "create secret generic t --from-literal=a=b",
        "create configmap n --from-literal=a=b",
        "create namespace shop",
    ] {
        has(&kubectl.ok(line).await?, "created");
    }
    assert_eq!(kubectl.ok("get secret t -o jsonpath={.type},{.data.a}").await?, "Opaque,Yg==");
    assert_eq!(kubectl.ok("get cm n -o jsonpath={.data.a}").await?, "b");
    has(&kubectl.ok("get ns").await?, "shop   Active");

    has(&kubectl.ok("delete gw web").await?, "deleted");
    has(&kubectl.fails("get gw web").await?, "NotFound");
    has(&kubectl.ok("delete secrets --all").await?, "deleted");
    kubectl.ok("delete ns shop --wait=true").await?;
    Ok(())
}

#[tokio::test]
async fn fields_are_applied_by_the_server_and_prunings_follow() -> anyhow::Result<()> {
    let kubectl = Kubectl::start(House::start().await?).await?;
    kubectl.file("web.yaml", WEB)?;
    kubectl.file("other.yaml", &WEB.replace("port: 80", "port: 8080"))?;
    has(&kubectl.ok("apply --server-side -f web.yaml").await?, "serverside-applied");
    has(&kubectl.ok("apply --server-side -f other.yaml").await?, "serverside-applied");
    let conflict = kubectl.fails("apply --server-side -f web.yaml --field-manager=stranger").await?;
    has(&conflict, "conflict with \"kubectl\": .spec.listeners[name=\"http\"].port");
    kubectl.ok("apply --server-side -f web.yaml --field-manager=stranger --force-conflicts").await?;
    assert_eq!(
        kubectl.run(&["diff", "--server-side", "-f", "other.yaml", "--field-manager=stranger"]).await?.code,
        1
    );
    has(&kubectl.ok("get gw web -o yaml --show-managed-fields").await?, "manager: stranger");
    // From client-side apply to the server's, with the annotation that the first leaves.
    kubectl.file("route.yaml", ROUTE)?;
    kubectl.ok("apply -f route.yaml").await?;
    has(&kubectl.ok("apply --server-side -f route.yaml").await?, "serverside-applied");

    let list = format!("{}---\n{}", map("one"), map("two"));
    kubectl.file("maps.yaml", &list)?;
    kubectl.ok("apply -f maps.yaml").await?;
    kubectl.file("maps.yaml", &map("one"))?;
    let pruned = kubectl.ok("apply -f maps.yaml --prune --all --prune-allowlist=core/v1/ConfigMap").await?;
    has(&pruned, "configmap/two pruned");
    has(&kubectl.fails("get cm two").await?, "NotFound");
    Ok(())
}

#[tokio::test]
async fn waiting_and_watching_see_changes() -> anyhow::Result<()> {
    let kubectl = Kubectl::start(House::start().await?).await?;
    kubectl.file("web.yaml", WEB)?;
    kubectl.ok("apply -f web.yaml").await?;
    let mut watch = kubectl.command(&["get", "gw", "-w"]).stdout(Stdio::piped()).spawn()?;
    let mut rows = BufReader::new(watch.stdout.take().context("no output")?).lines();
    has(&rows.next_line().await?.unwrap_or_default(), "PROGRAMMED");
    has(&rows.next_line().await?.unwrap_or_default(), "web");

    let waiting = kubectl.command(&["wait", "gw/web", "--for=condition=Programmed", "--timeout=30s"]);
    let waiting = spawned(waiting)?;
    let mut status = kubectl.house.get(&format!("{DEFAULT_GATEWAYS}/web")).await?.value();
    status["status"] = json!({"conditions": [{"type": "Programmed", "status": "True"}]});
    kubectl.house.put(&format!("{DEFAULT_GATEWAYS}/web/status"), &status).await?.expect(200);
    has(&ended(waiting).await?, "condition met");
    has(&rows.next_line().await?.unwrap_or_default(), "True");

    has(&kubectl.ok("wait gw/web --for=create --timeout=5s").await?, "condition met");
    let port = "--for=jsonpath={.spec.listeners[0].port}=80";
    has(&kubectl.ok(&format!("wait gw/web {port} --timeout=5s")).await?, "condition met");
    let waiting = spawned(kubectl.command(&["wait", "gw/web", "--for=delete", "--timeout=30s"]))?;
    kubectl.ok("delete gw web").await?;
    let said = ended(waiting).await?;
    assert!(said.is_empty() || said.contains("condition met"), "{said}");
    watch.kill().await?;
    Ok(())
}

#[tokio::test]
async fn namespaces_must_be_there_where_that_is_asked_for() -> anyhow::Result<()> {
    let kubectl = Kubectl::start(House::strict().await?).await?;
    kubectl.file("web.yaml", WEB)?;
    has(&kubectl.fails("apply -f web.yaml -n shop").await?, "namespaces \"shop\" not found");
    kubectl.ok("create namespace shop").await?;
    kubectl.ok("apply -f web.yaml -n shop").await?;
    kubectl.house.get(&format!("{GATEWAYS}/web")).await?.expect(200);
    kubectl.ok("delete namespace shop").await?;
    kubectl.house.get(&format!("{GATEWAYS}/web")).await?.expect(404);
    Ok(())
}

fn spawned(mut command: Command) -> anyhow::Result<tokio::process::Child> {
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

async fn ended(child: tokio::process::Child) -> anyhow::Result<String> {
    let limit = std::time::Duration::from_secs(60);
    let output = tokio::time::timeout(limit, child.wait_with_output()).await.context("kubectl hangs")??;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn map(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{a: b}}\n"
    )
}

const DEFAULT_GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways";

const WEB: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: igw
  listeners:
    - {name: http, port: 80, protocol: HTTP}
";

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example]
  rules: [{backendRefs: [{name: shop, port: 8080}]}]
";

const HOW_TO_GET: &str = "This test needs kubectl 1.27 or later in PATH: the package kubernetes-client of Debian 13, or \
                          the package kubectl of the apt repository at https://pkgs.k8s.io";
