//! Namespaces with users of their own, over the network: what they may not do, and what they are told.

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use igw_e2e::client::{answers, eventually, get};
use igw_e2e::stage::{Stage, gateway, route};
use igw_emulator::Delays;

const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "a password that is secret";

/// A verb as a user, over TLS.
fn as_user(stage: &Stage, user: &str, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let authority = stage.write("ca.pem", stage.cluster.authority())?;
    let mut command = stage.network_command("n1", arguments, &authority)?;
    let done: Output = command.args(["--user", user]).env("IGW_PASSWORD", PASSWORD).output()?;
    let words = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(!words.contains(PASSWORD), "the password is told: {words}");
    Ok((done.status.code(), words))
}

fn apply(stage: &Stage, user: &str, namespace: &str, text: &str) -> anyhow::Result<(Option<i32>, String)> {
    let file = stage.write("objects.yaml", text)?;
    as_user(stage, user, &["apply", "-n", namespace, "-f", &file.display().to_string()])
}

/// The reason and message of a condition of route `r` in namespace `a`.
fn condition(stage: &Stage, name: &str) -> Option<(String, String)> {
    let done = stage.igw("n1", &["get", "httproute/r", "-n", "a", "-o", "json"]).ok()?;
    let object: serde_json::Value = serde_json::from_slice(&done.stdout).ok()?;
    let conditions = object["status"]["parents"][0]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == name)?;
    Some((found["reason"].as_str()?.to_owned(), found["message"].as_str()?.to_owned()))
}

fn to(hosts: &str, target: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r}}
spec:
  parentRefs: [{{name: public, namespace: infra}}]
  hostnames: [{hosts}]
  rules:
    - backendRefs: [{target}]
---
"
    )
}

fn backend(endpoint: &str) -> String {
    format!(
        "apiVersion: igw.opensvc.com/v1alpha1
kind: Backend
metadata: {{name: x}}
spec: {{endpoints: [{endpoint}]}}
---
"
    )
}

#[test]
fn an_administrator_of_one_namespace_reaches_no_other() -> anyhow::Result<()> {
    let mut stage = Stage::new(Delays::none())?;
    stage.start_operator("n1", &[])?;
    for (user, grants) in [("anna", "admin:a"), ("gus", "guest:a"), ("nora", "")] {
        stage.cluster.add_user(user, grants, PASSWORD);
    }
    stage.deploy("a", "own", 7, 9001)?;
    stage.deploy("b", "secret", 8, 9001)?;
    // The administrator of the cluster allows names of a pattern, and addresses of the back ends' network.
    let config = "apiVersion: igw.opensvc.com/v1alpha1
kind: GatewayConfig
metadata: {name: default}
spec:
  bind: NodeAddress
  admin: {address: 0.0.0.0:8404}
  allowedHostnames: [{hostnames: [\"*.a.test\"], namespaces: [a]}]
  backends: {allow: [{namespaces: [\"*\"], cidrs: [127.0.0.0/8]}]}
---
";
    stage.apply("n1", "system", config)?;
    stage.apply("n1", "infra", &gateway("public", "igw-per-node", 8088, ""))?;
    let address: SocketAddr = (stage.cluster.address("n1"), 8088).into();

    // What is hers works, as somebody who is no root.
    let own = "{name: own, port: 9001}";
    let (code, words) = apply(&stage, "anna", "a", &to("www.a.test", own))?;
    ensure!(code == Some(0), "{words}");
    eventually("her route serves", PATIENCE, || answers(address, "www.a.test"))
        .with_context(|| stage.logs())?;

    // Verbs say which grant is missing, and on what.
    let more = route("more", "public", "more.a.test", "own", 9001);
    for (user, namespace, missing) in [("anna", "b", "admin:b"), ("gus", "a", "admin:a")] {
        let (code, words) = apply(&stage, user, namespace, &more)?;
        ensure!(code == Some(1) && words.contains(missing), "{user} in {namespace}: {code:?} {words}");
        ensure!(words.contains(&format!("{namespace}/cfg/igw")), "{words}");
    }
    let (code, words) = apply(&stage, "nora", "a", &more)?;
    ensure!(code == Some(1) && words.contains("no grant") && words.contains("nora"), "{code:?} {words}");
    ensure!(!stage.cluster.objects_on("n1").iter().any(|object| object == "b/cfg/igw"), "nothing was made");
    stage.apply("n1", "b", &route("theirs", "public", "b.test", "secret", 9001))?;
    let (code, words) = as_user(&stage, "anna", &["get", "httproutes", "-n", "b"])?;
    ensure!(code == Some(1) && words.contains("guest:b"), "{code:?} {words}");
    let (code, words) = as_user(&stage, "gus", &["get", "httproutes", "-n", "a", "-o", "name"])?;
    ensure!(code == Some(0) && words.contains("httproute.gateway.networking.k8s.io/r"), "{code:?} {words}");

    // Whatever names a service of `b` needs a grant of `b`.
    let theirs = stage.origin_address("n1", 8);
    let to_x = "{group: igw.opensvc.com, kind: Backend, name: x}";
    for (target, more, owner) in [
        ("{name: secret, namespace: b, port: 9001}", String::new(), "namespace b"),
        (to_x, backend("{fqdn: {hostname: secret.b.svc.blue, port: 9001}}"), "namespace b"),
        (to_x, backend("{fqdn: {hostname: 1.secret.b.svc.blue, port: 9001}}"), "namespace b"),
        (to_x, backend("{fqdn: {hostname: secret.b.svc.n1.node.blue, port: 9001}}"), "namespace b"),
        (to_x, backend(&format!("{{ip: {{address: {theirs}, port: 9001}}}}")), "namespace b"),
        (to_x, backend("{fqdn: {hostname: elsewhere.example, port: 80}}"), "GatewayConfig system/default"),
    ] {
        let (code, words) = apply(&stage, "anna", "a", &(more + &to("www.a.test", target)))?;
        ensure!(code == Some(0), "{words}");
        eventually("it is refused, with the words of what is missing", PATIENCE, || {
            condition(&stage, "ResolvedRefs")
                .is_some_and(|(reason, message)| reason == "RefNotPermitted" && message.contains(owner))
        })
        .with_context(|| format!("{target}: {:?}\n{}", condition(&stage, "ResolvedRefs"), stage.logs()))?;
        eventually("and answers as the standard says", PATIENCE, || {
            get(address, "www.a.test", "/").is_ok_and(|answer| answer.status == 500)
        })?;
        let (code, words) = apply(&stage, "anna", "a", &to("www.a.test", own))?;
        ensure!(code == Some(0), "{words}");
        eventually("her own works again", PATIENCE, || answers(address, "www.a.test"))?;
    }
    let (code, words) = apply(&stage, "anna", "a", &to("b.test", own))?;
    ensure!(code == Some(0), "{words}");
    eventually("a hostname outside the list is refused", PATIENCE, || {
        condition(&stage, "Accepted").is_some_and(|(reason, message)| {
            reason == "NotAllowedByListeners"
                && message.contains("b.test")
                && message.contains("allowedHostnames")
        })
    })
    .with_context(|| format!("{:?}", condition(&stage, "Accepted")))?;

    // A grant of `b` opens what it names.
    let grant = "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: for-a}
spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: \"\", kind: Service, name: secret}]}
---
";
    stage.apply("n1", "b", grant)?;
    let (code, words) =
        apply(&stage, "anna", "a", &to("www.a.test", "{name: secret, namespace: b, port: 9001}"))?;
    ensure!(code == Some(0), "{words}");
    eventually("the service of `b` answers", PATIENCE, || answers(address, "www.a.test"))
        .with_context(|| stage.logs())
        .map(drop)
}
