//! The operator under load, trouble and measurement. Lengths are set by `IGW_EDITS`, `IGW_KILLS` and `IGW_ROUTES`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::client::{answers, eventually, get};
use igw_e2e::load::Load;
use igw_e2e::stage::{Stage, gateway, node_addresses, route};
use igw_e2e::usage::number;
use igw_emulator::Delays;

const PATIENCE: Duration = Duration::from_secs(40);

/// Writes a key as `igw apply` does, without waiting for more than its acceptance.
fn put(stage: &Stage, node: &str, key: &str, text: &str) -> anyhow::Result<()> {
    let path = format!("/api/object/path/shop/cfg/igw/data/key?name={key}");
    stage.call(node, "PUT", &path, text, 204).map(|_| ())
}

#[test]
fn an_edit_reaches_all_nodes_within_its_time() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::verified())?;
    let mut times = Vec::new();
    for n in 0..number("IGW_EDITS", 12) {
        let host = format!("edit{n}.test");
        let node = ["n1", "n2", "n3"][usize::try_from(n)? % 3];
        // Not into the pause of the write before.
        std::thread::sleep(Duration::from_millis(1_300));
        let begun = Instant::now();
        put(&stage, node, "httproute/web.yaml", &route("web", "public", &host, "web", 9001))?;
        eventually("the edit is live on all nodes", PATIENCE, || {
            addresses.iter().all(|address| answers(*address, &host))
        })
        .with_context(|| stage.logs())?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let p99 = times[(times.len() * 99).div_ceil(100) - 1];
    println!("{} edits through three nodes: median {:?}, p99 {p99:?}", times.len(), times[times.len() / 2]);
    ensure!(p99 <= Duration::from_millis(1_200), "{times:?}");
    Ok(())
}

#[test]
fn a_new_operator_acts_soon_after_its_node_was_lost() -> anyhow::Result<()> {
    let stage = Stage::new(Delays::verified())?;
    stage.deploy_operator()?;
    // Back ends of nodes that live: one that dies with a request in its hands fails it.
    stage.deploy_on("n2 n3", "shop", "web", 7, 9001)?;
    stage.apply("n1", "system", &node_addresses())?;
    let objects =
        gateway("public", "igw-per-node", 8088, "") + &route("web", "public", "web.test", "web", 9001);
    stage.apply("n1", "shop", &objects)?;
    let addresses: Vec<SocketAddr> =
        stage.cluster.nodes().iter().map(|node| (stage.cluster.address(node), 8088).into()).collect();
    let serves = || addresses.iter().all(|address| answers(*address, "web.test"));
    eventually("every node serves", PATIENCE, serves).with_context(|| stage.logs())?;
    ensure!(stage.cluster.up_on("system/svc/igw-operator") == ["n1"], "the operator is on the first node");
    // Epoch and generation.
    let generation = |node: usize| -> Option<(u64, u64)> {
        let admin = SocketAddr::from((stage.cluster.address(&format!("n{node}")), 8404));
        let answer = get(admin, "localhost", "/api/v1/snapshot").ok()?;
        let envelope: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        Some((envelope["epoch"].as_u64()?, envelope["generation"].as_u64()?))
    };
    let before = [generation(2).context("generation")?, generation(3).context("generation")?];
    let loads: Vec<Load> = addresses[1..]
        .iter()
        .map(|address| Load::start(*address, "web.test", 100, 2, Duration::from_secs(120)))
        .collect();

    stage.within(|cluster| cluster.kill_node("n1"));
    put(&stage, "n2", "httproute/web.yaml", &route("web", "public", "web.test, more.test", "web", 9001))?;
    let lost = eventually("OpenSVC starts the operator elsewhere", PATIENCE, || {
        stage.cluster.up_on("system/svc/igw-operator").iter().any(|node| node != "n1")
    })?;
    let acts = eventually("the new operator acts", PATIENCE, || {
        addresses[1..].iter().all(|address| answers(*address, "more.test"))
    })
    .with_context(|| stage.logs())?;
    println!("started elsewhere {lost:?} after the node was lost, acted {acts:?} later");
    ensure!(acts <= Duration::from_secs(10), "{acts:?}");
    let after = [generation(2).context("generation")?, generation(3).context("generation")?];
    ensure!(before.iter().zip(&after).all(|(before, after)| after > before), "{before:?} {after:?}");
    for load in loads {
        let seen = load.stop();
        ensure!(seen.n_failed == 0, "{seen:?}");
    }
    Ok(())
}

#[test]
fn slow_replication_costs_its_time_and_no_more() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::verified())?;
    let slow = Duration::from_secs(2);
    stage.cluster.set_delays(Delays { relay: (slow, slow), ..Delays::verified() });
    let begun = Instant::now();
    put(&stage, "n2", "httproute/web.yaml", &route("web", "public", "slow.test", "web", 9001))?;
    eventually("the edit is live", PATIENCE, || {
        addresses.iter().all(|address| answers(*address, "slow.test"))
    })?;
    let took = begun.elapsed();
    // Published on n2, told and fetched 2 s later, published on n1; the rest is ours.
    let cluster = Duration::from_millis(200) + slow + Duration::from_millis(200);
    println!("live after {took:?}, {:?} of it ours", took.saturating_sub(cluster));
    ensure!(took <= cluster + Duration::from_millis(250), "{took:?}");
    Ok(())
}

#[test]
fn kills_lose_nothing_that_was_acknowledged() -> anyhow::Result<()> {
    let n_kills = number("IGW_KILLS", 8);
    let (mut stage, addresses) = Stage::serving(Delays::none())?;
    // Requests go to a back end whose node lives: one that dies with a request in its hands fails it.
    stage.deploy_on("n1", "shop", "calm", 8, 9002)?;
    stage.apply("n1", "shop", &route("calm", "public", "calm.test", "calm", 9002))?;
    eventually("the calm service answers", PATIENCE, || answers(addresses[0], "calm.test"))?;
    let load = Load::start(addresses[0], "calm.test", 100, 2, Duration::from_secs(3_600));
    let is_over = Arc::new(AtomicBool::new(false));
    // What each writer knows of its own objects: values that the last acknowledged or a later write may have left.
    let known: Arc<Mutex<BTreeMap<String, Vec<String>>>> = Arc::default();
    let n_changes = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut writers = Vec::new();
    for writer in 0..3_u64 {
        let (is_over, known, n_changes) = (Arc::clone(&is_over), Arc::clone(&known), Arc::clone(&n_changes));
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("objects.yaml");
        // All write through n1, which lives: the others are killed.
        let mut command_of = Vec::new();
        for namespace in ["w0", "w1", "w2"] {
            command_of
                .push(stage.command("n1", &["apply", "-n", namespace, "-f", &file.display().to_string()])?);
        }
        writers.push(std::thread::spawn(move || -> anyhow::Result<()> {
            let _folder = folder;
            let mut version = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                version += 1;
                let namespace = usize::try_from((writer + version) % 3)?;
                let mut text = String::new();
                let mut names = Vec::new();
                for n in 0..10 {
                    let name = format!("w{writer}-{n}");
                    text.push_str(&route(&name, "public", &format!("v{version}.{name}.test"), "web", 9001));
                    names.push(format!("w{namespace}/{name}"));
                }
                std::fs::write(&file, &text)?;
                let value = format!("v{version}.");
                for name in &names {
                    let mut known = known.lock().map_err(|_| anyhow::anyhow!("a writer failed"))?;
                    known.entry(name.clone()).or_default().push(value.clone());
                }
                let command = &mut command_of[namespace];
                let done = command
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .status()?;
                if done.success() {
                    n_changes.fetch_add(10, Ordering::Relaxed);
                    let mut known = known.lock().map_err(|_| anyhow::anyhow!("a writer failed"))?;
                    for name in &names {
                        // Acknowledged: nothing older may be found any more.
                        known.insert(name.clone(), vec![value.clone()]);
                    }
                }
            }
            Ok(())
        }));
    }
    let mut random = number("IGW_SEED", 1_u64);
    for _ in 0..n_kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause = Duration::from_millis(300 + (random >> 33) % 1_200);
        std::thread::sleep(pause);
        match (random >> 40) % 3 {
            0 => {
                stage.kill_operator()?;
                stage.start_operator("n1", &[])?;
            }
            one => {
                let node = if one == 1 { "n2" } else { "n3" };
                stage.within(|cluster| cluster.kill_node(node));
                std::thread::sleep(pause / 2);
                stage.within(|cluster| cluster.start_node(node))?;
            }
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
    }
    let seen = load.stop();
    ensure!(seen.n_failed == 0, "{seen:?}");
    let known = known.lock().map_err(|_| anyhow::anyhow!("a writer failed"))?.clone();
    let wrong = || {
        let mut wrong = Vec::new();
        for (object, values) in &known {
            let (namespace, name) = object.split_once('/').unwrap_or_default();
            for node in stage.cluster.nodes() {
                let found = stage.cluster.value_on(
                    &node,
                    &format!("{namespace}/cfg/igw"),
                    &format!("httproute/{name}.yaml"),
                );
                let text =
                    found.map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default();
                if !values.iter().any(|value| text.contains(&format!("[{value}"))) {
                    wrong.push(format!(
                        "{object} on {node}: not one of {values:?}: {}",
                        text.lines().nth(5).unwrap_or_default()
                    ));
                }
            }
        }
        wrong
    };
    eventually("all acknowledged objects are on all nodes", PATIENCE, || wrong().is_empty())
        .with_context(|| format!("{:#?}", wrong()))?;
    let done = stage.igw("n1", &["get", "httproutes", "-A", "-o", "name"])?;
    let n_listed = String::from_utf8_lossy(&done.stdout).lines().count();
    ensure!(n_listed == known.len() + 2, "{n_listed} objects, {} were written", known.len() + 2);
    println!(
        "{n_kills} kills, {} acknowledged changes of {} objects, {} requests",
        n_changes.load(Ordering::Relaxed),
        known.len(),
        seen.n_good
    );
    Ok(())
}

#[test]
fn one_change_among_many_costs_little() -> anyhow::Result<()> {
    let n_routes = number("IGW_ROUTES", 1_000);
    let (stage, addresses) = Stage::serving(Delays::none())?;
    for namespace in 0..50 {
        let path = format!("/api/object/path/ns{namespace}/cfg/igw");
        stage.call("n1", "POST", &format!("{path}/config/file"), "", 204)?;
    }
    std::thread::sleep(Duration::from_millis(200));
    for namespace in 0..50 {
        let items: Vec<serde_json::Value> = (0..n_routes / 50)
            .map(|n| {
                let text = route(&format!("r{n}"), "public", &format!("r{n}.ns{namespace}.test"), "web", 9001)
                    .replace("[{name: public}]", "[{name: public, namespace: shop}]");
                serde_json::json!({"action": "change", "name": format!("httproute/r{n}.yaml"), "string": text})
            })
            .collect();
        let path = format!("/api/object/path/ns{namespace}/cfg/igw/data");
        stage.call("n1", "PATCH", &path, &serde_json::to_string(&items)?, 204)?;
    }
    let last = format!("{n_routes} routes");
    let attached = || {
        let done = stage.igw("n1", &["get", "gateway/public", "-n", "shop", "-o", "json"]);
        let json: serde_json::Value =
            done.ok().and_then(|done| serde_json::from_slice(&done.stdout).ok()).unwrap_or_default();
        json["status"]["listeners"][0]["attachedRoutes"].as_u64() == Some(n_routes + 1)
    };
    eventually(&format!("all {last} are attached"), Duration::from_secs(60), attached)
        .with_context(|| stage.printed())?;
    let requests = || stage.cluster.n_requests("n1");
    // At rest: what is asked within some seconds.
    eventually("nothing is written any more", PATIENCE, || {
        let before = requests();
        std::thread::sleep(Duration::from_secs(3));
        requests() == before
    })?;
    let pid = stage.operator_pid().context("no operator")?;
    let (n_before, cpu_before) = (requests(), cpu_ms(pid)?);
    let text = route("web", "public", "one.test", "web", 9001);
    put(&stage, "n1", "httproute/web.yaml", &text)?;
    eventually("the change is live", PATIENCE, || {
        addresses.iter().all(|address| answers(*address, "one.test"))
    })?;
    std::thread::sleep(Duration::from_secs(4));
    let (n_requests, cpu, rss) = (requests() - n_before - 1, cpu_ms(pid)? - cpu_before, rss_mib(pid)?);
    println!(
        "one change among {n_routes} routes: {n_requests} requests, {cpu} ms of CPU, resident {rss} MiB"
    );
    ensure!(n_requests <= 6, "{n_requests} requests");
    ensure!(rss <= 150, "{rss} MiB");
    Ok(())
}

#[test]
fn prometheus_takes_the_metrics_of_both() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::none())?;
    for _ in 0..20 {
        ensure!(answers(addresses[0], "web.test"));
    }
    let proxy: SocketAddr = (stage.cluster.address("n1"), 8404).into();
    for address in [proxy, stage.admin] {
        let metrics = get(address, "localhost", "/metrics")?;
        let mut child = std::process::Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .context("promtool; install Debian's prometheus")?;
        {
            use std::io::Write as _;
            child.stdin.take().context("no input")?.write_all(&metrics.body)?;
        }
        let done = child.wait_with_output()?;
        ensure!(done.status.success(), "{address}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: igw\n  static_configs:\n  - targets: ['{proxy}', '{}']\n",
        stage.admin
    );
    let file = stage.write("prometheus.yml", &config)?;
    let web: SocketAddr = (stage.cluster.address("n1"), 9090).into();
    let data = file.with_file_name("prometheus");
    let mut server = std::process::Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address={web}"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let query = "/api/v1/query?query=sum%20by%20(route)%20(rate(igw_http_requests_total%5B5s%5D))%20%3E%200";
    let up = "/api/v1/query?query=sum(up)";
    let value = |path: &str| -> Option<(String, String)> {
        let answer = get(web, "localhost", path).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        let result = &json["data"]["result"][0];
        Some((
            result["metric"]["route"].as_str().unwrap_or_default().to_owned(),
            result["value"][1].as_str()?.to_owned(),
        ))
    };
    let done = eventually("both are scraped", PATIENCE, || value(up).is_some_and(|(_, n)| n == "2"))
        .and_then(|_| {
            eventually("requests by route have a rate", PATIENCE, || {
                let _ = answers(addresses[0], "web.test");
                value(query).is_some_and(|(route, rate)| {
                    route.contains("web") && rate.parse::<f64>().is_ok_and(|rate| rate > 0.0)
                })
            })
        });
    let _ = server.kill();
    let _ = server.wait();
    done.map(|_| ())
}

/// CPU time of a process so far.
fn cpu_ms(pid: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(')').context("stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 =
        fields.get(11).context("utime")?.parse::<u64>()? + fields.get(12).context("stime")?.parse::<u64>()?;
    Ok(ticks * 10)
}

fn rss_mib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}
