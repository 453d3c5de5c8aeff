//! kubectl, unmodified, and a running gateway: what it writes is served, what people edit is shown.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::client::{answers, eventually, get};
use igw_e2e::objects::{backend, beside, gateway, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, binary, free};
use igw_e2e::usage::number;

const HOST: &str = "www.test";

/// A gateway and a kubectl that reaches it.
struct Scene {
    up: Up,
    address: SocketAddr,
    origin: Origin,
    home: tempfile::TempDir,
}

// === impl Scene ===

impl Scene {
    fn new(objects: &str) -> anyhow::Result<Self> {
        let mut up = Up::prepare()?;
        let address = free(up.ip)?;
        let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
        up.write("all.yaml", &(gateway(address) + &backend("b", &[origin.address]) + objects))?;
        up.start(&["--kube", &free(up.ip)?.to_string()])?;
        let scene = Self { up, address, origin, home: tempfile::tempdir()? };
        let config = Command::new(binary("igw")?)
            .args(["kubeconfig", "--state"])
            .arg(&scene.up.state)
            .output()
            .context("igw kubeconfig")?;
        ensure!(config.status.success(), "{}", String::from_utf8_lossy(&config.stderr));
        std::fs::write(scene.config(), config.stdout)?;
        Ok(scene)
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("config")
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Command::new("kubectl")
            .args(arguments)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.config())
            .output()
            .context("kubectl is installed by e2e/test")
    }

    /// Runs what must succeed; what it printed.
    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn apply(&self, text: &str) -> anyhow::Result<String> {
        let file = self.home.path().join("objects.yaml");
        std::fs::write(&file, text)?;
        self.kubectl(&["apply", "-f", &file.display().to_string()])
    }
}

#[test]
fn what_kubectl_writes_is_served_and_what_people_edit_is_shown() -> anyhow::Result<()> {
    let scene = Scene::new("")?;
    let Scene { up, address, .. } = &scene;
    // A new object: stored, served, judged.
    let said = scene.apply(&route("www", HOST, &to_backend("b")))?;
    assert!(said.contains("httproute.gateway.networking.k8s.io/www created"), "{said}");
    let accepted = "jsonpath={.status.parents[0].conditions[?(@.type==\"Accepted\")].status}=True";
    scene.kubectl(&["wait", "httproute/www", &format!("--for={accepted}"), "--timeout=10s"])?;
    scene.kubectl(&["wait", "gateway/main", "--for=condition=Programmed", "--timeout=10s"])?;
    eventually("the route serves", Duration::from_secs(5), || answers(*address, HOST))?;
    let file = up.folder.join("httproutes/default/www.yaml");
    let written = std::fs::read_to_string(&file)?;
    assert!(written.contains("kind: HTTPRoute") && !written.contains("status"), "{written}");

    // One that lies among others in a file is changed there, and the others stay as they are.
    let before = std::fs::read_to_string(up.folder.join("all.yaml"))?;
    scene.kubectl(&["label", "backend/b", "team=shop"])?;
    let after = std::fs::read_to_string(up.folder.join("all.yaml"))?;
    assert!(after.contains("team: shop"), "{after}");
    assert!(after.starts_with(before.split("---").next().unwrap_or_default()), "{after}");

    // What people edit shows, with its generation, and so does what they delete.
    std::fs::write(&file, written.replace(HOST, "other.test"))?;
    let host = "jsonpath={.spec.hostnames[0]} {.metadata.generation}";
    eventually("the edit shows", Duration::from_secs(5), || {
        scene.kubectl(&["get", "httproute", "www", "-o", host]).is_ok_and(|said| said == "other.test 2")
    })?;
    std::fs::remove_file(&file)?;
    eventually("it is gone", Duration::from_secs(5), || {
        scene.run(&["get", "httproute", "www"]).is_ok_and(|output| !output.status.success())
    })?;

    // What is not valid changes nothing and says why, in the words of Kubernetes.
    let bad = route("bad", HOST, &to_backend("b"))
        .replace("rules: [", "rules: [{matches: [{path: {type: Near}}]}, ");
    let file = scene.home.path().join("bad.yaml");
    std::fs::write(&file, bad)?;
    let output = scene.run(&["apply", "-f", &file.display().to_string()])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("spec.rules[0].matches[0].path.type"), "{said}");
    assert!(!up.folder.join("httproutes/default/bad.yaml").exists());

    // A deletion is one, in the file too, even of the last object of its kind.
    scene.kubectl(&["delete", "backend", "b"])?;
    assert!(!std::fs::read_to_string(up.folder.join("all.yaml"))?.contains("kind: Backend"));
    let said = scene.kubectl(&["get", "gateways,backends", "-A"])?;
    assert!(said.contains("main") && !said.contains("backend"), "{said}");
    Ok(())
}

#[test]
fn hundreds_of_objects_are_kept_in_step() -> anyhow::Result<()> {
    let n_routes = number("IGW_KUBE_ROUTES", 120);
    let scene = Scene::new("")?;
    let routes = |from: u32, to: u32, host: &str| -> String {
        (from..to).map(|n| route(&format!("r{n}"), &format!("h{n}.{host}"), &to_backend("b"))).collect()
    };
    let file = scene.home.path().join("all.yaml");
    let file_name = file.display().to_string();
    let prune = [
        "apply",
        "-f",
        &file_name,
        "--prune",
        "--all",
        "--prune-allowlist=gateway.networking.k8s.io/v1/HTTPRoute",
    ];
    std::fs::write(&file, routes(0, n_routes, "one.test"))?;
    scene.kubectl(&prune)?;
    let last = format!("h{}.one.test", n_routes - 1);
    eventually("all are served", Duration::from_secs(10), || answers(scene.address, &last))?;
    // Half of them go, the others change.
    std::fs::write(&file, routes(0, n_routes / 2, "two.test"))?;
    let said = scene.kubectl(&prune)?;
    assert_eq!(said.matches(" pruned").count() as u32, n_routes - n_routes / 2, "{said}");
    assert_eq!(said.matches(" configured").count() as u32, n_routes / 2);
    eventually("the change is served", Duration::from_secs(10), || {
        answers(scene.address, "h0.two.test")
            && get(scene.address, &last, "/").is_ok_and(|answer| answer.status == 404)
    })?;
    let said = scene.kubectl(&["get", "httproutes", "-o", "name"])?;
    assert_eq!(said.lines().count() as u32, n_routes / 2);
    Ok(())
}

#[test]
fn clients_that_leave_in_the_middle_hide_nothing() -> anyhow::Result<()> {
    let scene = Scene::new(&route("www", HOST, &to_backend("b")))?;
    let url = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/www";
    for n in 0..40 {
        let patch = format!("{{\"metadata\":{{\"labels\":{{\"turn\":\"{n}\"}}}}}}");
        drop(send_patch(&scene, url, &patch)?);
    }
    let file = scene.up.folder.join("more.yaml");
    std::fs::write(&file, route("more", "more.test", &to_backend("b")))?;
    eventually("what people write shows", Duration::from_secs(10), || {
        scene.kubectl(&["get", "httproute", "more", "-o", "name"]).is_ok()
    })?;
    let label = "jsonpath={.metadata.labels.turn}";
    eventually("and what the last of them wrote", Duration::from_secs(10), || {
        let text = std::fs::read_to_string(scene.up.folder.join("all.yaml")).unwrap_or_default();
        let shown = scene.kubectl(&["get", "httproute", "www", "-o", label]).unwrap_or_default();
        !shown.is_empty() && text.contains(&format!("turn: \"{shown}\""))
    })?;
    Ok(())
}

#[test]
fn many_routes_are_listed_soon_and_a_patch_is_live_soon() -> anyhow::Result<()> {
    let n_routes = number("IGW_MANY_ROUTES", 2_000);
    let many: String =
        (0..n_routes).map(|n| route(&format!("r{n}"), &format!("h{n}.test"), &to_backend("b"))).collect();
    let scene = Scene::new(&many)?;
    assert!(scene.origin.n_requests() == 0);
    scene.kubectl(&["get", "gateways"])?;
    let started = Instant::now();
    let listed = scene.kubectl(&["get", "httproutes", "-A"])?;
    let listing = started.elapsed();
    assert_eq!(listed.lines().count() as u32, n_routes + 1);
    let mut slowest = Duration::ZERO;
    for n in 0..3 {
        let host = format!("new{n}.test");
        let patch = format!("{{\"spec\":{{\"hostnames\":[\"{host}\"]}}}}");
        let url = format!("/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/r{n}");
        let started = Instant::now();
        let patched = patch_with(&scene, &url, &patch)?;
        ensure!(patched.starts_with("HTTP/1.1 200"), "{patched}");
        eventually("the patch is live", Duration::from_secs(5), || answers(scene.address, &host))?;
        slowest = slowest.max(started.elapsed());
    }
    println!("{n_routes} routes: kubectl get in {listing:?}, a patch live after at most {slowest:?}");
    assert!(listing < Duration::from_secs(4), "{listing:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    Ok(())
}

/// Sends a merge patch, without the time that kubectl needs to start.
fn patch_with(scene: &Scene, url: &str, patch: &str) -> anyhow::Result<String> {
    let mut answer = String::new();
    send_patch(scene, url, patch)?.read_to_string(&mut answer)?;
    Ok(answer)
}

fn send_patch(scene: &Scene, url: &str, patch: &str) -> anyhow::Result<TcpStream> {
    let config = std::fs::read_to_string(scene.config())?;
    let server = config.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
    let server = server.context("a server")?.trim_matches(['"', '\'']);
    let mut stream = TcpStream::connect(server)?;
    write!(
        stream,
        "PATCH {url} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Type: application/merge-patch+json\r\nContent-Length: {}\r\n\r\n{patch}",
        patch.len()
    )?;
    Ok(stream)
}
