//! Verbs that work on a directory, through the binary: output, exit codes, what is written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use igw_crds::sync::Envelope;
use serde_json::Value;

struct Stage {
    scratch: tempfile::TempDir,
}

// === impl Stage ===

impl Stage {
    fn new(files: &[(&str, &str)]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = scratch.path().join("in").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { scratch }
    }

    fn input(&self) -> PathBuf {
        self.scratch.path().join("in")
    }

    fn igw(&self, args: &[&str]) -> Output {
        let mut command = igw(self.scratch.path());
        command.args(args).output().unwrap()
    }

    /// Runs a verb and checks its exit code; returns standard output and standard error.
    fn run(&self, args: &[&str], code: i32) -> (String, String) {
        let input = self.input();
        let args: Vec<&str> =
            args.iter().map(|arg| if *arg == "IN" { input.to_str().unwrap() } else { arg }).collect();
        let output = self.igw(&args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "igw {args:?}\n{out}\n{err}");
        (out, err)
    }
}

fn igw(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_igw"));
    command
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env_remove("CLUSTERNAME")
        .stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A gateway with two listeners and routes on it.
const SHOP: &str = r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: edge}
spec:
  gatewayClassName: igw
  listeners:
  - {name: web, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: shop, port: 8080, protocol: HTTP, hostname: "*.shop.test", allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: public, namespace: edge}]
  hostnames: [www.shop.test]
  rules:
  - name: api
    matches: [{path: {type: PathPrefix, value: /api}, headers: [{name: x-preview, value: "1"}]}]
    filters:
    - type: URLRewrite
      urlRewrite: {hostname: api.internal, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: X-From, value: igw}]}
    backendRefs: [{name: api, port: 9000, weight: 3}, {name: origin, group: igw.opensvc.com, kind: Backend, weight: 1}]
  - matches: [{path: {type: PathPrefix, value: /old}}]
    filters:
    - type: RequestRedirect
      requestRedirect: {hostname: new.test, statusCode: 301}
  - matches: [{path: {type: Exact, value: /}}]
    backendRefs: [{name: front, port: 80}]
---
apiVersion: igw.opensvc.com/v1alpha1
kind: Backend
metadata: {name: origin}
spec:
  endpoints:
  - ip: {address: 127.0.0.1, port: 9001}
"#;

/// A gateway whose port is no port, a misspelt field, and a kind that nobody knows.
const BROKEN: &str = r#"apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: bad}
spec:
  gatewayClassName: igw
  listeners:
  - {name: web, port: 0, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: typo}
spec:
  hostnam: [a.test]
"#;

#[test]
fn validate_passes_good_objects_and_counts_them() {
    let stage = Stage::new(&[("shop.yaml", SHOP)]);
    let (out, err) = stage.run(&["validate", "-f", "IN"], 0);
    assert_eq!(out, "");
    assert!(err.ends_with("0 errors, 0 warnings in 3 documents of 1 files\n"), "{err}");
}

#[test]
fn validate_lists_every_error_with_its_place() {
    let stage = Stage::new(&[("a.yaml", BROKEN), ("b.yaml", SHOP), ("c.yml", BROKEN)]);
    let (_, err) = stage.run(&["validate", "-f", "IN"], 3);
    assert!(err.contains("a.yaml:7:23"), "{err}");
    assert!(err.contains("a.yaml:13:3"), "{err}");
    assert!(err.contains("hostnames"), "a hint names the field that is meant: {err}");
    assert!(err.contains("13 |   hostnam: [a.test]\n"), "the line is shown: {err}");
    assert!(err.contains("c.yml:13:3"), "{err}");
    assert!(!err.contains("b.yaml"), "{err}");
    assert!(err.trim_end().ends_with("in 7 documents of 3 files"), "{err}");
    let (out, _) = stage.run(&["validate", "-f", "IN", "-o", "json"], 3);
    let result: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(result["errors"], 4);
    assert_eq!(result["notices"][0]["line"], 7);
}

#[test]
fn validate_reads_standard_input_and_says_what_objects_mean_together() {
    let stage = Stage::new(&[]);
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: lost}\n\
                 spec: {parentRefs: [{name: nowhere}], rules: [{backendRefs: [{name: gone, group: igw.opensvc.com, kind: Backend}]}]}\n";
    let mut child = igw(stage.scratch.path())
        .args(["validate", "-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(route.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("<stdin>:1"), "{err}");
    assert!(err.contains("warning: HTTPRoute/default/lost"), "{err}");
}

#[test]
fn the_same_object_in_two_files_is_reported() {
    let stage = Stage::new(&[("a.yaml", SHOP), ("b.yaml", SHOP)]);
    let (_, err) = stage.run(&["validate", "IN"], 3);
    assert!(err.contains("b.yaml:1") && err.contains("a.yaml:1, which counts"), "{err}");
}

#[test]
fn render_writes_a_snapshot_that_opens() {
    let stage = Stage::new(&[("shop.yaml", SHOP)]);
    for epoch in [1, 2] {
        stage.run(&["render", "IN", "--out", "out", "--cluster", "demo"], 0);
        let bytes = fs::read(stage.scratch.path().join("out/snapshot.json")).unwrap();
        let envelope: Envelope = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((envelope.epoch, envelope.generation), (epoch, 1));
        let snapshot = envelope.open().unwrap();
        assert_eq!(snapshot.cluster, "demo");
        assert_eq!((snapshot.gateways.len(), snapshot.routes.len()), (1, 1));
    }
    assert!(stage.scratch.path().join("out/keys").is_dir());
}

#[test]
fn render_writes_nothing_for_invalid_input() {
    let stage = Stage::new(&[("a.yaml", BROKEN)]);
    let (_, err) = stage.run(&["render", "IN", "--out", "out"], 3);
    assert!(err.contains("a.yaml:7:23: error: "), "{err}");
    assert!(!stage.scratch.path().join("out").exists());
}

#[test]
fn get_prints_tables_names_and_documents() {
    let stage = Stage::new(&[("shop.yaml", SHOP)]);
    let (out, _) = stage.run(&["get", "gtw", "-n", "edge", "--dir", "IN"], 0);
    let lines: Vec<_> = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["NAME", "CLASS", "ADDRESS", "PROGRAMMED", "AGE"]);
    assert_eq!(lines[1], ["public", "igw", "<none>", "Unknown", "<unknown>"]);
    let (out, _) = stage.run(&["get", "httproutes,backends", "-A", "--dir", "IN"], 0);
    assert!(out.contains("default     httproute/shop   [\"www.shop.test\"]"), "{out}");
    assert!(out.contains("backend/origin   127.0.0.1:9001"), "{out}");
    let (out, _) = stage.run(&["get", "HTTPRoute/shop", "-o", "name", "--dir", "IN"], 0);
    assert_eq!(out, "httproute.gateway.networking.k8s.io/shop\n");
    let (out, _) = stage.run(&["get", "httproute/shop", "-o", "json", "--dir", "IN"], 0);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(object["metadata"]["name"], "shop");
    assert_eq!(object["status"]["parents"][0]["conditions"][0]["type"], "Accepted");
    let (out, _) = stage.run(&["get", "httproute", "shop", "-o", "yaml", "--dir", "IN"], 0);
    assert!(out.starts_with("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"), "{out}");
}

#[test]
fn get_says_what_is_not_there() {
    let stage = Stage::new(&[("shop.yaml", SHOP)]);
    let (_, err) = stage.run(&["get", "gateway/none", "--dir", "IN"], 1);
    assert!(err.contains("gateways \"none\" not found"), "{err}");
    let (out, err) = stage.run(&["get", "gateways", "--dir", "IN"], 0);
    assert_eq!((out.as_str(), err.as_str()), ("", "No resources found in default namespace.\n"));
    let (_, err) = stage.run(&["get", "gatewayz", "--dir", "IN"], 2);
    assert!(err.contains("known kinds: "), "{err}");
    let (_, err) = stage.run(&["get", "gateways"], 4);
    assert!(err.contains("--dir"), "{err}");
}

#[test]
fn broken_files_are_reported_below_the_table() {
    let stage = Stage::new(&[("a.yaml", BROKEN), ("b.yaml", SHOP)]);
    let (out, err) = stage.run(&["get", "httproute", "--dir", "IN"], 0);
    assert!(out.contains("shop"), "{out}");
    assert!(err.contains("a.yaml:13:3: error: "), "{err}");
}

#[test]
fn describe_puts_conditions_and_routes_in_words() {
    let stage = Stage::new(&[("shop.yaml", SHOP)]);
    let (out, _) = stage.run(&["describe", "gateway/public", "-n", "edge", "--dir", "IN"], 0);
    for part in [
        "Name:         public\n",
        "Source:       ",
        "shop.yaml:1\n",
        "Listener shop (1 attached):",
        "HTTPRoute/default/shop",
    ] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let (out, _) = stage.run(&["describe", "httproute", "shop", "--dir", "IN"], 0);
    assert!(out.contains("Parent Gateway edge/public:"), "{out}");
    assert!(out.contains("ResolvedRefs"), "{out}");
}

#[test]
fn secrets_are_never_printed() {
    let stage = Stage::new(&[(
        "a.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n",
    )]);
    for form in ["table", "wide", "yaml", "json", "name"] {
        let (out, err) = stage.run(&["get", "secret", "-o", form, "--dir", "IN"], 0);
        assert!(
            !out.contains("hunter2") && !out.contains("aHVudGVyMg") && !err.contains("hunter2"),
            "{out}{err}"
        );
    }
    let (out, _) = stage.run(&["describe", "secret/s", "--dir", "IN"], 0);
    assert!(!out.contains("hunter2") && !out.contains("aHVudGVyMg"), "{out}");
}

#[test]
fn schema_prints_a_schema_and_completion_a_script() {
    let stage = Stage::new(&[]);
    let (out, _) = stage.run(&["schema", "gw"], 0);
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert!(schema["properties"]["spec"].is_object(), "{out}");
    stage.run(&["schema", "nothing"], 2);
    for shell in ["bash", "zsh", "fish"] {
        let (out, _) = stage.run(&["completion", shell], 0);
        assert!(out.contains("validate"), "{shell}");
    }
}

#[test]
fn explain_names_everything_a_request_meets() {
    let stage = Stage::new(&[("shop.yaml", SHOP)]);
    let (out, _) = stage.run(
        &[
            "explain",
            "GET",
            "http://www.shop.test:8080/api/x?q=1",
            "-H",
            "X-Preview: 1",
            "--dir",
            "IN",
            "--cluster",
            "demo",
        ],
        0,
    );
    for part in [
        "edge/public",
        "shop",
        "HTTPRoute default/shop",
        "api",
        "x-from: igw",
        "GET /v2/x?q=1",
        "api.internal",
        "75",
        "Service/default/api:9000",
        "api.default.svc.demo",
        "127.0.0.1:9001",
    ] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let (out, _) =
        stage.run(&["explain", "GET", "http://www.shop.test:8080/old/x?q=1", "--dir", "IN", "-o", "json"], 0);
    let verdict: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(verdict["redirect"]["status"], 301);
    assert_eq!(verdict["redirect"]["location"], "http://new.test:8080/old/x?q=1");
}

#[test]
fn explain_says_why_near_candidates_lost() {
    let stage = Stage::new(&[("shop.yaml", SHOP)]);
    let (out, _) = stage.run(&["explain", "GET", "http://www.shop.test:8080/api/x", "--dir", "IN"], 1);
    assert!(out.contains("404"), "{out}");
    assert!(out.contains("x-preview"), "{out}");
    let (out, _) = stage.run(&["explain", "GET", "http://other.test:9999/", "--dir", "IN"], 1);
    assert!(out.contains("9999"), "{out}");
    stage.run(&["explain", "GET", "shop", "--dir", "IN"], 2);
}

#[test]
fn a_command_line_that_makes_no_sense_is_usage() {
    let stage = Stage::new(&[]);
    stage.run(&["frobnicate"], 2);
    stage.run(&["up", "--workers", "0"], 2);
    stage.run(&["render", "IN"], 2);
    let (out, _) = stage.run(&["--version"], 0);
    assert!(out.starts_with("igw "), "{out}");
}
