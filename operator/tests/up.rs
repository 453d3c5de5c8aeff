//! `igw up` from outside: start, changes, faults, end. The proxy is a stand-in that takes the proxy's lock
//! and nothing else; the test itself speaks sync in its place, so that each step is seen exactly.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use igw_crds::snapshot::Snapshot;
use igw_crds::sync::{BindFailure, BindFailureKind, Envelope, ListenerReport, Report, SyncRequest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

struct Stage {
    scratch: tempfile::TempDir,
    igw: Option<Child>,
}

/// A proxy's side of sync.
struct Peer {
    socket: PathBuf,
    epoch: u64,
    generation: u64,
    report: Report,
}

// === impl Stage ===

impl Stage {
    fn new(files: &[(&str, &str)]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let bin = scratch.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let igw = Path::new(env!("CARGO_BIN_EXE_igw"));
        fs::hard_link(igw, bin.join("igw")).or_else(|_| fs::copy(igw, bin.join("igw")).map(drop)).unwrap();
        fs::write(bin.join("igw-proxy"), PROXY).unwrap();
        fs::set_permissions(bin.join("igw-proxy"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(scratch.path().join("in")).unwrap();
        let stage = Self { scratch, igw: None };
        for (name, text) in files {
            stage.write(name, text);
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("in").join(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/igw"));
        command.current_dir(self.scratch.path()).args(args).env_remove("CLUSTERNAME").stdin(Stdio::null());
        command
    }

    fn up(&mut self) -> Peer {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let args = [
            "up",
            "in",
            "--state",
            "state",
            "--admin",
            "127.0.0.1:0",
            "--ready-file",
            "ready",
            "--cluster",
            "demo",
        ];
        self.igw = Some(self.command(&args).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        wait_for("sync.sock", || UnixStream::connect(self.path("state/sync.sock")).ok());
        Peer { socket: self.path("state/sync.sock"), epoch: 0, generation: 0, report: Report::default() }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.igw.as_ref().unwrap().id();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.igw.take().unwrap().wait().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs a verb against the state and returns what it prints.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let mut all = args.to_vec();
        all.extend(["--state", "state"]);
        let output = self.command(&all).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// Waits until an object has `wanted` as the status of a condition; returns the condition.
    fn condition(&self, object: &str, pointer: &str, kind: &str, wanted: &str) -> Value {
        wait_for(&format!("{kind}={wanted} of {object}"), || {
            let (_, out, _) = self.run(&["get", object, "-o", "json"]);
            let object: Value = serde_json::from_str(&out).ok()?;
            let conditions = object.pointer(pointer)?.as_array()?;
            conditions
                .iter()
                .find(|condition| condition["type"] == kind && condition["status"] == wanted)
                .cloned()
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut igw) = self.igw.take() {
            let _ = igw.kill();
            let _ = igw.wait();
        }
        // The stand-in outlives a killed igw, as the proxy does.
        let lock = fs::read_to_string(self.path("state/proxy/lock")).unwrap_or_default();
        let holder: Value = serde_json::from_str(&lock).unwrap_or_default();
        if let Some(pid) = holder["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

// === impl Peer ===

impl Peer {
    /// Asks for something newer than what runs; waits at most `wait_s`.
    fn poll(&mut self, wait_s: u32) -> Option<Snapshot> {
        let request = SyncRequest {
            format: 1,
            epoch: self.epoch,
            generation: self.generation,
            wait_s,
            report: self.report.clone(),
            ..SyncRequest::default()
        };
        let body = serde_json::to_vec(&request).unwrap();
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "POST /v1/sync HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len())
            .unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        if head.split(' ').nth(1) == Some("204") {
            return None;
        }
        let envelope: Envelope = serde_json::from_str(body).unwrap();
        assert!((envelope.epoch, envelope.generation) > (self.epoch, self.generation));
        (self.epoch, self.generation) = (envelope.epoch, envelope.generation);
        Some(envelope.open().unwrap())
    }

    /// Takes the next snapshot and says that it serves, every listener bound.
    fn follow(&mut self) -> Snapshot {
        let snapshot = self.poll(20).expect("a snapshot");
        self.report.serving = true;
        self.report.listeners = snapshot
            .gateways
            .iter()
            .flat_map(|gateway| {
                gateway.listeners.iter().map(|listener| ListenerReport {
                    gateway: format!("{}/{}", gateway.namespace, gateway.name),
                    listener: listener.name.clone(),
                    bound: vec![([127, 0, 0, 1], listener.port).into()],
                    error: None,
                })
            })
            .collect();
        assert!(self.poll(0).is_none());
        snapshot
    }
}

/// Waits for a condition, for a bounded time.
fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn route(name: &str, path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n  \
         parentRefs: [{{name: public}}]\n  rules:\n  - matches: [{{path: {{value: {path}}}}}]\n    \
         backendRefs: [{{name: web, port: 80}}]\n"
    )
}

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: public}\nspec:\n  \
                       gatewayClassName: igw\n  listeners:\n  - {name: web, port: 18080, protocol: HTTP}\n";
/// Takes the proxy's lock, says who it is, ends on SIGTERM.
const PROXY: &str = r#"#!/bin/bash
args=""
for arg in "$@"; do args="$args,\"$arg\""; done
while [ "$1" != --state ]; do shift; done
exec 9>>"$2/lock"
flock -n 9 || exit 3
printf '{"pid":%d,"args":[%s]}' $$ "${args#,}" > "$2/lock"
trap 'exit 0' TERM
while true; do sleep 0.02 9>&-; done
"#;
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn ready_is_said_once_everything_has_a_state() {
    let mut stage = Stage::new(&[("gateway.yaml", GATEWAY), ("route.yaml", &route("a", "/a"))]);
    let mut peer = stage.up();
    assert!(!stage.path("ready").exists());
    let snapshot = peer.follow();
    assert_eq!((snapshot.gateways.len(), snapshot.routes.len(), snapshot.cluster.as_str()), (1, 1, "demo"));
    wait_for("the ready file", || stage.path("ready").exists().then_some(()));
    let log = stage.log();
    assert!(log.contains("igw: ready: 1 gateways, 1 routes, 0 warnings\n"), "{log}");
    assert!(log.contains("igw: http://127.0.0.1:18080/ (default/public, listener web)\n"), "{log}");
    stage.condition("gateway/public", "/status/conditions", "Programmed", "True");
    stage.condition("httproute/a", "/status/parents/0/conditions", "Accepted", "True");

    let (code, _, err) = stage.run(&["up", "in"]);
    assert_eq!(code, 1);
    assert!(err.contains("in use by another igw up (pid "), "{err}");

    assert!(stage.end(Signal::TERM).success());
    for left in ["ready", "state/sync.sock", "state/admin.sock"] {
        assert!(!stage.path(left).exists(), "{left} is left behind");
    }
    assert!(stage.run(&["get", "gateways"]).1.contains("public"), "the state file still tells");
}

#[test]
fn an_edit_reaches_the_proxy_and_a_broken_one_changes_nothing() {
    let mut stage = Stage::new(&[("gateway.yaml", GATEWAY), ("route.yaml", &route("a", "/a"))]);
    let mut peer = stage.up();
    peer.follow();
    let before = stage.condition("httproute/a", "/status/parents/0/conditions", "Accepted", "True");
    stage.write("route.yaml", &route("a", "/b"));
    let snapshot = peer.follow();
    assert!(serde_json::to_string(&snapshot).unwrap().contains("\"/b\""));
    let generation = wait_for("the new generation", || {
        let (_, out, _) = stage.run(&["get", "httproute/a", "-o", "json"]);
        let object: Value = serde_json::from_str(&out).ok()?;
        let observed = object["status"]["parents"][0]["conditions"][0]["observedGeneration"].as_u64()?;
        (observed == 2).then(|| object["metadata"]["generation"].as_u64())
    });
    assert_eq!(generation, Some(2));
    let after = stage.condition("httproute/a", "/status/parents/0/conditions", "Accepted", "True");
    assert_eq!(before["lastTransitionTime"], after["lastTransitionTime"]);

    stage.write("route.yaml", &route("a", "/c").replace("rules", "ruled"));
    wait_for("the error", || stage.log().contains("route.yaml:6:3").then_some(()));
    assert!(peer.poll(0).is_none(), "the last good version serves");
    let (code, out, err) = wait_for("the report", || {
        let run = stage.run(&["get", "httproutes"]);
        run.2.contains("did you mean").then_some(run)
    });
    assert_eq!((code, out.contains("a  ")), (0, true), "{out}{err}");
    let (_, out, _) = stage.run(&["describe", "httproute/a"]);
    assert!(out.contains("last good version"), "{out}");
    stage.write("route.yaml", &route("a", "/c"));
    peer.follow();
    assert!(stage.end(Signal::INT).success());
}

#[test]
fn what_vanishes_at_once_stays_until_sighup() {
    let mut stage = Stage::new(&[("gateway.yaml", GATEWAY), ("route.yaml", &route("a", "/a"))]);
    let mut peer = stage.up();
    peer.follow();
    fs::rename(stage.path("in"), stage.path("away")).unwrap();
    wait_for("the warning", || stage.log().contains("stays live").then_some(()));
    assert!(peer.poll(0).is_none());
    fs::rename(stage.path("away"), stage.path("in")).unwrap();
    wait_for("the end of the warning", || stage.log().contains("resolved").then_some(()));
    assert!(peer.poll(0).is_none());
    fs::remove_dir_all(stage.path("in")).unwrap();
    wait_for("the second warning", || (stage.log().matches("stays live").count() > 1).then_some(()));
    stage.signal(Signal::HUP);
    let snapshot = peer.follow();
    assert_eq!((snapshot.gateways.len(), snapshot.routes.len()), (0, 0));
    assert!(stage.end(Signal::TERM).success());
}

#[test]
fn a_killed_igw_comes_back_above_its_epoch_and_keeps_the_proxy() {
    let mut stage = Stage::new(&[("gateway.yaml", GATEWAY), ("route.yaml", &route("a", "/a"))]);
    let mut peer = stage.up();
    peer.follow();
    let holder = wait_for("the proxy", || {
        fs::read_to_string(stage.path("state/proxy/lock")).ok().filter(|text| !text.is_empty())
    });
    wait_for("the ledger", || {
        fs::read_to_string(stage.path("state/ledger.json")).ok()?.contains("HTTPRoute").then_some(())
    });
    let uid = |stage: &Stage| stage.run(&["get", "httproute/a", "-o", "json"]).1;
    let uid_of = |text: &str| {
        serde_json::from_str::<Value>(text).ok()?["metadata"]["uid"].as_str().map(ToOwned::to_owned)
    };
    let first = wait_for("the uid", || uid_of(&uid(&stage)));
    let epoch = peer.epoch;
    stage.end(Signal::KILL);
    let mut again = stage.up();
    (again.epoch, again.generation, again.report) = (peer.epoch, peer.generation, peer.report);
    let snapshot = again.follow();
    assert_eq!(snapshot.routes.len(), 1);
    assert_eq!((again.epoch, again.generation), (epoch + 1, 1));
    assert_eq!(fs::read_to_string(stage.path("state/proxy/lock")).unwrap(), holder);
    assert_eq!(wait_for("the uid", || uid_of(&uid(&stage))), first);
    stage.end(Signal::KILL);

    fs::remove_file(stage.path("state/ledger.json")).unwrap();
    let mut lost = stage.up();
    (lost.epoch, lost.generation) = (u64::MAX - 7, 5);
    lost.report = again.report;
    assert_eq!(lost.follow().routes.len(), 1, "an epoch above every one that was seen");
    assert!(stage.end(Signal::TERM).success());
}

#[test]
fn a_listener_that_cannot_be_bound_says_why_and_everything_is_ready() {
    let mut stage = Stage::new(&[("gateway.yaml", GATEWAY)]);
    let mut peer = stage.up();
    peer.poll(20).expect("a snapshot");
    peer.report.serving = true;
    let address = ([0, 0, 0, 0], 18080).into();
    let message = "port 18080 is held by another program; stop it, or take another port".to_owned();
    peer.report.listeners = vec![ListenerReport {
        gateway: "default/public".into(),
        listener: "web".into(),
        bound: vec![],
        error: Some(BindFailure { address, kind: BindFailureKind::PortInUse, message: message.clone() }),
    }];
    assert!(peer.poll(0).is_none());
    wait_for("the ready file", || stage.path("ready").exists().then_some(()));
    let condition =
        stage.condition("gateway/public", "/status/listeners/0/conditions", "Programmed", "False");
    assert!(condition["message"].as_str().unwrap().contains(&message), "{condition}");
    assert!(
        stage.log().contains("igw: not bound: default/public, listener web: port 18080 is held"),
        "{}",
        stage.log()
    );
    assert!(stage.end(Signal::TERM).success());
}
