//! The operator on a cluster: objects in, services and traffic out. Lengths are set by `IGW_ROUNDS` and `IGW_OUTAGE_S`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::client::{answers, eventually, get};
use igw_e2e::load::Load;
use igw_e2e::stage::{Stage, gateway, node_addresses, route};
use igw_e2e::usage::number;
use igw_emulator::Delays;

const PATIENCE: Duration = Duration::from_secs(30);

fn origin_of(address: SocketAddr, host: &str) -> Option<String> {
    let answer = get(address, host, "/").ok().filter(|answer| answer.status == 200)?;
    answer.report().ok()?["origin"].as_str().map(ToOwned::to_owned)
}

#[test]
fn a_gateway_on_every_node_from_apply_to_purge() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::none())?;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..30 {
        seen.extend(origin_of(addresses[0], "web.test"));
    }
    ensure!(seen.len() == 3, "requests reach the instances of all nodes: {seen:?}");
    let programmed = || {
        let shown =
            stage.igw("n2", &["status"]).map(|done| String::from_utf8_lossy(&done.stdout).into_owned());
        shown.unwrap_or_default().contains("True")
    };
    eventually("the gateway is programmed", PATIENCE, programmed).with_context(|| stage.logs())?;
    let shown = stage.igw("n3", &["get", "gateways,httproutes", "-A"])?;
    let table = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(table.contains("public") && table.contains("web.test"), "{table}");
    let ips = stage.igw("n1", &["ip", "shop/public"])?;
    let ips = String::from_utf8_lossy(&ips.stdout).into_owned();
    for address in &addresses {
        ensure!(ips.lines().any(|line| line == address.ip().to_string()), "{ips} lacks {address}");
    }
    for (object, service) in
        [("gateway/public", "shop/svc/igw-public (up)"), ("httproute/web", "shop/svc/web (up)")]
    {
        let shown = stage.igw("n2", &["describe", object, "-n", "shop"])?;
        let page = String::from_utf8_lossy(&shown.stdout).into_owned();
        let is_whole = page.contains(service)
            && ["n1", "n2", "n3"].iter().all(|node| page.contains(&format!("  {node} ")));
        ensure!(is_whole && page.contains("Accepted"), "{page}");
    }
    let verdict = stage.igw("n1", &["explain", "GET", "http://web.test:8088/"])?;
    ensure!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stdout));

    // An edit is live on every node; the same edit again changes nothing.
    let begun = Instant::now();
    stage.apply("n2", "shop", &route("web", "public", "new.test", "web", 9001))?;
    eventually("the edit is live", PATIENCE, || {
        addresses.iter().all(|address| answers(*address, "new.test"))
    })
    .with_context(|| stage.logs())?;
    ensure!(!answers(addresses[0], "web.test"), "the old host is gone");
    println!("edit through another node live after {:?}", begun.elapsed());
    let again = stage.apply("n2", "shop", &route("web", "public", "new.test", "web", 9001))?;
    ensure!(again.contains("unchanged"), "{again}");

    // Deleting the gateway leaves nothing of igw but what remembers objects.
    let deleted = stage.igw("n1", &["delete", "gateway/public", "httproute/web", "-n", "shop"])?;
    ensure!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    let left = || {
        let mut left: Vec<String> =
            stage.cluster.nodes().iter().flat_map(|node| stage.cluster.objects_on(node)).collect();
        left.retain(|path| path.contains("igw-public"));
        left
    };
    eventually("the service and all that belongs to it are gone", PATIENCE, || left().is_empty())
        .with_context(|| format!("{:?}\n{}", left(), stage.logs()))?;
    ensure!(!answers(addresses[0], "new.test"), "nothing answers any more");
    Ok(())
}

#[test]
fn back_ends_come_go_and_move_without_a_failed_request() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::none())?;
    let load = Load::start(addresses[0], "web.test", 200, 2, Duration::from_secs(60));
    let policy = "apiVersion: igw.opensvc.com/v1alpha1
kind: BackendPolicy
metadata: {name: web}
spec:
  targetRefs: [{group: \"\", kind: Service, name: web}]
  healthCheck: {active: {tcp: {}, interval: 500ms, timeout: 300ms}, passive: {consecutiveErrors: 1, ejectFor: 2s, maxEjectionPercent: 100}, panicThreshold: 0}
";
    let generation = || -> Option<u64> {
        let answer = get(SocketAddr::new(addresses[0].ip(), 8404), "localhost", "/api/v1/snapshot").ok()?;
        serde_json::from_slice::<serde_json::Value>(&answer.body).ok()?["generation"].as_u64()
    };
    let before = generation();
    stage.apply("n1", "shop", policy)?;
    eventually("the policy is live", PATIENCE, || generation() > before).with_context(|| stage.logs())?;
    let path = "/api/object/path/shop/svc/web";
    // Endpoints of the service that checks of the loaded proxy saw fail.
    let n_unhealthy = || -> Option<f64> {
        let admin = SocketAddr::new(addresses[0].ip(), 8404);
        let text = String::from_utf8(get(admin, "localhost", "/metrics").ok()?.body).ok()?;
        let unhealthy = "igw_backend_endpoints{backend=\"Service/shop/web:9001\",state=\"unhealthy\"} ";
        text.lines().find_map(|line| line.strip_prefix(unhealthy))?.parse().ok()
    };
    for (node, gone) in [("n3", 1.0), ("n2", 2.0)] {
        let instance = format!("/api/node/name/{node}/instance/path/shop/svc/web/action");
        stage.call("n1", "POST", &format!("{instance}/freeze"), "", 200)?;
        stage.call("n1", "POST", &format!("{instance}/stop"), "", 200)?;
        eventually("one instance fewer", PATIENCE, || {
            !stage.cluster.up_on("shop/svc/web").contains(&node.to_owned())
        })?;
        // Retries hide it at once; the next one may go when checks have seen it: retries are a share of the requests,
        // and not all endpoints can be ejected.
        eventually("checks see it", PATIENCE, || n_unhealthy() == Some(gone))
            .with_context(|| stage.logs())?;
    }
    let only = eventually("the one that is left answers alone", PATIENCE, || {
        (0..10).all(|_| origin_of(addresses[1], "web.test").as_deref() == Some("n1"))
    });
    only.with_context(|| stage.logs())?;
    stage.call("n1", "POST", &format!("{path}/action/unfreeze"), "", 200)?;
    eventually("all instances are back", PATIENCE, || stage.cluster.up_on("shop/svc/web").len() == 3)?;
    let all = eventually("all answer again", PATIENCE, || {
        let seen: std::collections::BTreeSet<_> =
            (0..12).filter_map(|_| origin_of(addresses[0], "web.test")).collect();
        seen.len() == 3
    });
    all.with_context(|| stage.logs())?;
    let seen = load.stop();
    ensure!(seen.n_failed == 0, "{seen:?}");
    Ok(())
}

#[test]
fn a_failover_gateway_moves_with_its_node_even_without_an_operator() -> anyhow::Result<()> {
    let mut stage = Stage::new(Delays::none())?;
    stage.start_operator("n2", &[])?;
    stage.deploy("shop", "web", 7, 9001)?;
    let [a, b, c, _] = stage.cluster.address("n1").octets();
    let virtual_ip = std::net::Ipv4Addr::new(a, b, c.wrapping_sub(1), 80);
    stage.apply("n2", "system", &node_addresses())?;
    let config = format!(
        "apiVersion: igw.opensvc.com/v1alpha1
kind: GatewayConfig
metadata: {{name: edge}}
spec:
  bind: Wildcard
  service: {{ip: [{{type: host, name: {virtual_ip}, dev: lo}}]}}
---
"
    );
    let more = format!(
        "  addresses: [{{value: {virtual_ip}}}]\n  infrastructure: {{parametersRef: {{group: igw.opensvc.com, kind: GatewayConfig, name: edge}}}}\n"
    );
    let objects = config
        + &gateway("edge", "igw-failover", 8090, &more)
        + &route("web", "edge", "web.test", "web", 9001);
    stage.apply("n2", "shop", &objects)?;
    let address: SocketAddr = (virtual_ip, 8090).into();
    eventually("the gateway serves", PATIENCE, || answers(address, "web.test"))
        .with_context(|| stage.logs())?;
    let up = stage.cluster.up_on("shop/svc/igw-edge");
    ensure!(up.len() == 1, "one instance runs, not {up:?}\n{}", stage.logs());
    let told = || {
        let done = stage
            .igw("n2", &["ip", "shop/edge"])
            .map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
        done.is_ok_and(|ip| ip == virtual_ip.to_string())
    };
    eventually("its address is told", PATIENCE, told).with_context(|| stage.logs())?;

    let holder = stage.cluster.up_on("shop/svc/igw-edge").remove(0);
    stage.kill_operator()?;
    stage.within(|cluster| cluster.kill_node(&holder));
    let gap = eventually("another node serves from the projected snapshot", PATIENCE, || {
        answers(address, "web.test")
    })
    .with_context(|| stage.logs())?;
    ensure!(!stage.cluster.up_on("shop/svc/igw-edge").contains(&holder));
    println!("served again {gap:?} after the node was killed, heartbeat and ready time included");
    Ok(())
}

#[test]
fn a_daemon_that_is_down_costs_no_request_and_no_storm() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::none())?;
    let load = Load::start(addresses[2], "web.test", 100, 2, Duration::from_secs(3_600));
    let n_before = stage.cluster.n_requests("n1");
    stage.cluster.kill_daemon("n1");
    // What is applied through another node meanwhile reaches n1's files.
    std::thread::sleep(Duration::from_secs(number("IGW_OUTAGE_S", 3)));
    ensure!(stage.cluster.n_requests("n1") == n_before, "a daemon that is down answers nothing");
    stage.within(|cluster| cluster.start_node("n1"))?;
    let is_connected = || {
        let metrics = get(stage.admin, "localhost", "/metrics").map(|answer| answer.body).unwrap_or_default();
        String::from_utf8_lossy(&metrics).contains("igw_opensvc_event_stream_connected 1")
    };
    let back = eventually("the operator follows events again", PATIENCE, is_connected)?;
    ensure!(back <= Duration::from_secs(5), "{back:?}");
    stage.apply("n2", "shop", &route("back", "public", "back.test", "web", 9001))?;
    eventually("the operator is back at work", PATIENCE, || answers(addresses[0], "back.test"))
        .with_context(|| stage.logs())?;
    let seen = load.stop();
    ensure!(seen.n_failed == 0, "{seen:?}");
    Ok(())
}

#[test]
fn a_second_operator_takes_over_and_the_first_stands_down() -> anyhow::Result<()> {
    let (mut stage, addresses) = Stage::serving(Delays::none())?;
    let mut second =
        stage.command("n2", &["operator", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])?;
    let mut second =
        second.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn()?;
    let ended = eventually("the first one ends", PATIENCE, || stage.operator_ended().is_some());
    let code = stage.operator_ended();
    let _ = second.kill();
    let _ = second.wait();
    ended.with_context(|| stage.logs())?;
    ensure!(code == Some(1), "it fails: {code:?}");
    ensure!(stage.printed().contains("another operator leads"), "{}", stage.printed());
    ensure!(addresses.iter().all(|address| answers(*address, "web.test")), "proxies go on");
    Ok(())
}

#[test]
fn an_operator_that_was_killed_goes_on_with_ages_and_identities() -> anyhow::Result<()> {
    let (mut stage, addresses) = Stage::serving(Delays::none())?;
    let identity = |stage: &Stage| -> anyhow::Result<(String, String)> {
        let done = stage.igw("n1", &["get", "httproute/web", "-n", "shop", "-o", "json"])?;
        let object: serde_json::Value = serde_json::from_slice(&done.stdout)?;
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        Ok((text("uid"), text("creationTimestamp")))
    };
    eventually("the ledger is written", PATIENCE, || identity(&stage).is_ok_and(|(uid, _)| !uid.is_empty()))?;
    let before = identity(&stage)?;
    stage.kill_operator()?;
    stage.start_operator("n3", &[])?;
    let begun = Instant::now();
    stage.apply("n1", "shop", &route("more", "public", "more.test", "web", 9001))?;
    eventually("the new operator acts", PATIENCE, || answers(addresses[1], "more.test"))
        .with_context(|| stage.logs())?;
    println!("a new operator acted {:?} after its start", begun.elapsed());
    ensure!(identity(&stage)? == before, "identity and age are the same");
    Ok(())
}

#[test]
fn two_writers_at_once_lose_nothing_that_was_acknowledged() -> anyhow::Result<()> {
    let stage = Stage::new(Delays::none())?;
    let n_objects = if number("IGW_ROUNDS", 0) > 0 { 50 } else { 20 };
    let objects = |writer: &str| -> String {
        (0..n_objects)
            .map(|n| route(&format!("{writer}{n}"), "public", &format!("{writer}{n}.test"), "web", 9001))
            .collect()
    };
    for round in 0..number("IGW_ROUNDS", 5) {
        let nodes = if round % 2 == 0 { ["n1", "n2"] } else { ["n1", "n1"] };
        let namespace = format!("r{round}");
        let mut writers = Vec::new();
        for (writer, node) in ["a", "b"].into_iter().zip(nodes) {
            let file = stage.write(&format!("{writer}.yaml"), &objects(writer))?;
            let mut command =
                stage.command(node, &["apply", "-n", &namespace, "-f", &file.display().to_string()])?;
            writers.push(
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn()?,
            );
        }
        for writer in writers {
            let done = writer.wait_with_output()?;
            ensure!(done.status.success(), "round {round}: {}", String::from_utf8_lossy(&done.stderr));
        }
        let object = format!("{namespace}/cfg/igw");
        for writer in ["a", "b"] {
            for n in 0..n_objects {
                for node in stage.cluster.nodes() {
                    let key = format!("httproute/{writer}{n}.yaml");
                    ensure!(
                        stage.cluster.value_on(&node, &object, &key).is_some(),
                        "round {round}: {key} is not on {node}"
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn changes_are_shown_as_they_come() -> anyhow::Result<()> {
    let stage = Stage::new(Delays::none())?;
    stage.apply("n1", "shop", &route("web", "public", "web.test", "web", 9001))?;
    let shown = stage.write("shown", "")?;
    let mut command = stage.command("n2", &["get", "httproutes", "-n", "shop", "-w"])?;
    let mut watch = command.stdout(std::fs::File::create(&shown)?).spawn()?;
    let lines = || std::fs::read_to_string(&shown).unwrap_or_default();
    let seen = (|| -> anyhow::Result<()> {
        eventually("what is there is shown", PATIENCE, || lines().contains("web.test"))?;
        stage.apply("n3", "shop", &route("web", "public", "new.test", "web", 9001))?;
        eventually("a change is shown", PATIENCE, || lines().contains("new.test"))?;
        stage.apply("n1", "shop", &route("more", "public", "more.test", "web", 9001))?;
        eventually("a new object is shown", PATIENCE, || lines().contains("more.test")).map(drop)
    })();
    let _ = watch.kill();
    let _ = watch.wait();
    seen.with_context(lines)?;
    let shown = lines();
    ensure!(shown.matches(" AGE").count() == 1, "one header: {shown}");
    ensure!(shown.matches("new.test").count() == 1, "what did not change is not shown again: {shown}");
    Ok(())
}

#[test]
fn a_namespace_can_be_served_from_a_copy() -> anyhow::Result<()> {
    let stage = Stage::new(Delays::none())?;
    stage.deploy("shop", "web", 7, 9001)?;
    let objects =
        gateway("trial", "igw-per-node", 8095, "") + &route("web", "trial", "web.test", "web", 9001);
    stage.apply("n1", "shop", &objects)?;
    let state = tempfile::tempdir()?;
    let log = stage.write("up.log", "")?;
    let mut command =
        stage.command("n1", &["up", "--from-cluster", "-n", "shop", "--admin", "127.0.0.1:0"])?;
    command.args(["--proxy-admin", "127.0.0.1:0", "--state"]).arg(state.path());
    let mut up = command.stderr(std::fs::File::create(&log)?).spawn()?;
    let words = || std::fs::read_to_string(&log).unwrap_or_default();
    let address = SocketAddr::from(([127, 0, 0, 1], 8095));
    let served = (|| -> anyhow::Result<()> {
        eventually("it serves", PATIENCE, || answers(address, "web.test"))?;
        stage.apply("n2", "shop", &route("web", "trial", "new.test", "web", 9001))?;
        eventually("it follows", PATIENCE, || answers(address, "new.test"))?;
        ensure!(!answers(address, "web.test"), "the old host is gone");
        stage.igw("n3", &["delete", "httproute/web", "-n", "shop"])?;
        eventually("it follows a deletion", PATIENCE, || !answers(address, "new.test")).map(drop)
    })();
    igw_e2e::process::signal(up.id(), "TERM")?;
    up.wait()?;
    served.with_context(words)?;
    let made: Vec<String> = stage.cluster.objects_on("n1");
    ensure!(!made.iter().any(|object| object.contains("igw-")), "nothing is written: {made:?}");
    Ok(())
}
