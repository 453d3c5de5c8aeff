//! Edits under load.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::load::Load;
use igw_e2e::objects::{backend, beside, gateway, one_route, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};
use igw_e2e::usage::number;

/// A route whose answers tell which edit is live.
fn edited(n: u32) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: edited}}
spec:
  parentRefs: [{{name: main}}]
  hostnames: [edited.test]
  rules:
    - filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-edit, value: \"{n}\"}}]}}}}]
      backendRefs: [{{{}}}]
",
        to_backend("b")
    )
}

#[test]
fn edits_fail_nothing() -> anyhow::Result<()> {
    let n_edits: u32 = number("IGW_EDITS", 100);
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let mut objects = gateway(address)
        + &route("steady", "steady.test", &to_backend("b"))
        + &backend("b", &[origin.address]);
    for index in 0..1_000 {
        objects += &route(&format!("r{index}"), &format!("h{index}.test"), &to_backend("b"));
    }
    up.write("all.yaml", &objects)?;
    up.write("edited.yaml", &edited(0))?;
    up.start(&[])?;
    let load =
        Load::start(address, "steady.test", 1_000, 8, Duration::from_secs(u64::from(n_edits) / 5 + 60));
    let mut probe = Connection::open(address)?;
    let mut delays = Vec::new();
    for edit in 1..=n_edits {
        let next = Instant::now() + Duration::from_millis(100);
        up.write("edited.yaml", &edited(edit))?;
        let wanted = edit.to_string();
        let started = Instant::now();
        loop {
            let answer = probe.get("edited.test", "/")?;
            anyhow::ensure!(answer.status == 200, "{}", answer.status);
            if answer.field("x-edit") == Some(&wanted) {
                break;
            }
            anyhow::ensure!(started.elapsed() < Duration::from_secs(3), "edit {edit} is not live");
            std::thread::sleep(Duration::from_millis(2));
        }
        delays.push(started.elapsed());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let seen = load.stop();
    delays.sort();
    let p99 = delays[delays.len() * 99 / 100 - 1];
    println!(
        "{n_edits} edits, {} requests, edit visible: median {:?}, p99 {p99:?}",
        seen.n_good,
        delays[delays.len() / 2]
    );
    assert_eq!((seen.n_failed, seen.n_closed), (0, 0), "{:?}", seen.failures);
    assert!(p99 <= Duration::from_millis(250), "p99 {p99:?}");
    Ok(())
}

#[test]
fn ten_thousand_routes_start_and_change_quickly() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let mut objects = gateway(address) + &backend("b", &[origin.address]);
    for index in 0..10_000 {
        objects += &route(&format!("r{index}"), &format!("h{}.test", index % 1_000), &to_backend("b"));
    }
    up.write("all.yaml", &objects)?;
    up.write("edited.yaml", &edited(0))?;
    let took = up.start(&[])?;
    println!("ready with 10,000 routes after {took:?}");
    assert!(took < Duration::from_secs(2), "ready after {took:?}");
    assert_eq!(get(address, "h999.test", "/")?.status, 200);
    let delays = edits(&up, address, 5)?;
    println!("edits among 10,000 routes, sorted: {delays:?}");
    assert!(delays[2] <= Duration::from_millis(250), "the median of {delays:?}");
    Ok(())
}

#[test]
fn every_edit_among_ten_thousand_files_is_seen() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    up.write("gateway.yaml", &(gateway(address) + &backend("b", &[origin.address])))?;
    for index in 0..10_000 {
        let text = route(&format!("r{index}"), &format!("h{}.test", index % 1_000), &to_backend("b"));
        up.write(&format!("r{index}.yaml"), &text)?;
    }
    up.write("edited.yaml", &edited(0))?;
    up.start(&[])?;
    let delays = edits(&up, address, 4)?;
    println!("edits among 10,000 files, sorted: {delays:?}");
    Ok(())
}

/// Edits the edited route as a person does: one at a time, the state of the one before at rest. How long
/// each took to be live, sorted; fails if one is not seen.
fn edits(up: &Up, address: SocketAddr, n: u32) -> anyhow::Result<Vec<Duration>> {
    let mut delays = Vec::new();
    for edit in 1..=n {
        std::thread::sleep(Duration::from_millis(1_000));
        up.write("edited.yaml", &edited(edit))?;
        let wanted = edit.to_string();
        delays.push(eventually("the edit is live", Duration::from_secs(3), || {
            get(address, "edited.test", "/").is_ok_and(|answer| answer.field("x-edit") == Some(&wanted))
        })?);
    }
    delays.sort();
    Ok(delays)
}

#[test]
fn vanished_files_change_nothing_until_they_are_back() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    up.write("all.yaml", &one_route(address, "a.test", &[origin.address]))?;
    up.start(&[])?;
    // A broken file keeps its last good version.
    up.write("all.yaml", "kind: [")?;
    eventually("the mistake is told", Duration::from_secs(3), || up.printed().contains("all.yaml:1"))?;
    assert_eq!(get(address, "a.test", "/")?.status, 200);
    std::fs::remove_file(up.folder.join("all.yaml"))?;
    std::fs::remove_dir(&up.folder)?;
    for _ in 0..100 {
        assert_eq!(get(address, "a.test", "/")?.status, 200);
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
