//! A release of the proxy goes through a cluster node by node, while clients notice nothing.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use igw_e2e::client::{eventually, get};
use igw_e2e::load::Load;
use igw_e2e::process::binary;
use igw_e2e::stage::Stage;
use igw_emulator::Delays;

const PATIENCE: Duration = Duration::from_secs(60);

/// Puts a program in the place of the proxy's binary on every node, as a package does.
fn install(stage: &Stage, program: &[u8]) -> anyhow::Result<()> {
    for node in stage.cluster.nodes() {
        let folder = stage.folder().join("bin").join(&node);
        std::fs::create_dir_all(&folder)?;
        let new = folder.join("igw-proxy.new");
        std::fs::write(&new, program)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755))?;
        std::fs::rename(&new, folder.join("igw-proxy"))?;
    }
    Ok(())
}

/// The program under test in a file of other bytes.
fn release(n: u32) -> anyhow::Result<Vec<u8>> {
    let mut program = std::fs::read(binary("igw-proxy")?)?;
    program.extend_from_slice(format!("release {n}").as_bytes());
    Ok(program)
}

/// Upgrades on each node by result.
fn upgrades(stage: &Stage, result: &str) -> Vec<Option<u32>> {
    let of = |node: &String| {
        let admin = SocketAddr::from((stage.cluster.address(node), 8404));
        let page = get(admin, "igw", "/metrics").ok()?.body;
        let page = String::from_utf8_lossy(&page).into_owned();
        let line = page.lines().find(|line| {
            line.starts_with("igw_proxy_upgrades_total") && line.contains(&format!("\"{result}\""))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    };
    stage.cluster.nodes().iter().map(of).collect()
}

/// What `igw status` says of the gateway, and whether it finds all well.
fn status(stage: &Stage) -> anyhow::Result<(serde_json::Value, bool)> {
    let done = stage.igw("n2", &["status", "-o", "json"])?;
    let rows: serde_json::Value = serde_json::from_slice(&done.stdout)
        .with_context(|| String::from_utf8_lossy(&done.stderr).into_owned())?;
    Ok((rows[0]["release"].clone(), done.status.success()))
}

fn told(stage: &Stage, what: &str, words: &[&str]) -> anyhow::Result<()> {
    eventually(what, PATIENCE, || {
        status(stage).is_ok_and(|(release, _)| {
            release["message"].as_str().is_some_and(|text| words.iter().all(|word| text.contains(word)))
        })
    })
    .with_context(|| format!("{:?}\n{}", status(stage), stage.logs()))
    .map(drop)
}

#[test]
fn a_release_goes_from_node_to_node_and_stops_at_the_first_failure() -> anyhow::Result<()> {
    let mut stage = Stage::new(Delays::none())?;
    install(&stage, &release(0)?)?;
    stage.proxy = Some(format!("{}/bin/{{nodename}}/igw-proxy", stage.folder().display()));
    let addresses = stage.serve()?;
    told(&stage, "the release is told", &["3 of 3 nodes run 0.1.0-"])?;
    let loads: Vec<Load> = addresses
        .iter()
        .map(|address| Load::start(*address, "web.test", 100, 2, Duration::from_secs(240)))
        .collect();

    // Node by node.
    install(&stage, &release(1)?)?;
    let mut seen = Vec::new();
    eventually("every node runs the new release", PATIENCE, || {
        let done = upgrades(&stage, "done");
        if done.iter().all(Option::is_some) && seen.last() != Some(&done) {
            seen.push(done);
        }
        seen.last().is_some_and(|done| done.iter().all(|done| *done == Some(1)))
    })
    .with_context(|| format!("{seen:?} {:?}\n{}", status(&stage), stage.logs()))?;
    let is_in_order = seen.iter().all(|done| done.windows(2).all(|pair| pair[0] >= pair[1]));
    ensure!(is_in_order, "one node after the other: {seen:?}\n{}", stage.logs());
    told(&stage, "all is as it should be", &["3 of 3 nodes run 0.1.0-"])?;
    ensure!(status(&stage)?.0["upToDate"] == true, "{:?}", status(&stage));

    // One that does not serve stays on the first node that tried it.
    install(&stage, b"#!/bin/sh\nexit 3\n")?;
    told(&stage, "the failure is told", &["0 of 3 nodes; stopped", "node n1", "exit status 3", "SIGUSR2"])?;
    let (release_now, is_good) = status(&stage)?;
    ensure!(!is_good && release_now["reason"] == "Stopped", "{release_now}");
    ensure!(
        upgrades(&stage, "failed") == [Some(1), Some(0), Some(0)],
        "{:?}\n{}",
        upgrades(&stage, "failed"),
        stage.logs()
    );

    // Another operator knows it from the reports alone, and another release goes on.
    stage.kill_operator()?;
    stage.start_operator("n1", &[])?;
    install(&stage, &release(2)?)?;
    eventually("every node runs the release after it", PATIENCE, || {
        upgrades(&stage, "done").iter().all(|done| *done == Some(2))
    })
    .with_context(|| format!("{:?}\n{}", status(&stage), stage.logs()))?;
    told(&stage, "all is as it should be again", &["3 of 3 nodes run 0.1.0-"])?;

    let mut n_good = 0;
    for load in loads {
        let seen = load.stop();
        n_good += seen.n_good;
        ensure!(seen.n_failed == 0, "{:?}\n{}", seen.failures, stage.logs());
    }
    println!("6 upgrades on 3 nodes, {n_good} requests, 0 lost");
    assert!(n_good > 1_000, "{n_good} requests are no load");
    Ok(())
}
