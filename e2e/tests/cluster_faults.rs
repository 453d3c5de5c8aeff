//! What goes wrong with a cluster, by the numbers of the failure table: objects, traffic and state come through.
//! `IGW_SEED` chooses what is random, `IGW_CUTS` and `IGW_SWITCHES` the lengths.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::client::{answers, eventually, get};
use igw_e2e::load::Load;
use igw_e2e::process::signal;
use igw_e2e::stage::{Stage, route};
use igw_e2e::usage::number;
use igw_emulator::{Delays, EventFaults};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const PATIENCE: Duration = Duration::from_secs(30);

fn seeded() -> StdRng {
    let seed = number("IGW_SEED", 20_261_124);
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

fn put(stage: &Stage, node: &str, key: &str, text: &str) -> anyhow::Result<()> {
    let path = "/api/object/path/shop/cfg/igw/data";
    let change = serde_json::json!([{"action": "change", "name": key, "string": text}]);
    stage.call(node, "PATCH", path, &change.to_string(), 204).map(drop)
}

fn live(addresses: &[SocketAddr], host: &str) -> bool {
    addresses.iter().all(|address| answers(*address, host))
}

#[test]
fn f2_a_stream_that_breaks_at_any_byte_costs_no_change() -> anyhow::Result<()> {
    let mut random = seeded();
    let (stage, addresses) = Stage::serving(Delays::none())?;
    let mut slowest = Duration::ZERO;
    for n in 0..number("IGW_CUTS", 8) {
        stage.cluster.cut_streams_after("n1", random.random_range(0..400));
        let host = format!("cut{n}.test");
        put(&stage, "n2", "httproute/web.yaml", &route("web", "public", &host, "web", 9001))?;
        let took = eventually("the change is live", PATIENCE, || live(&addresses, &host))
            .with_context(|| stage.logs())?;
        slowest = slowest.max(took);
    }
    println!("slowest change {slowest:?}");
    ensure!(slowest <= Duration::from_secs(3), "{slowest:?}");
    Ok(())
}

#[test]
fn f3_a_silent_stream_hides_a_change_for_a_minute_at_most() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::none())?;
    stage.cluster.set_event_faults(EventFaults { is_silent: true, ..EventFaults::default() });
    // The first change may be seen by a list that was due; the second one waits for the next.
    for host in ["due.test", "silent.test"] {
        put(&stage, "n2", "httproute/web.yaml", &route("web", "public", host, "web", 9001))?;
        let took = eventually("the change is live", PATIENCE * 3, || live(&addresses, host))
            .with_context(|| stage.logs())?;
        println!("{host} seen after {took:?} without an event");
        ensure!(took <= Duration::from_secs(60), "{took:?}");
    }
    Ok(())
}

#[test]
fn f4_events_that_are_lost_doubled_and_out_of_order_change_nothing_in_the_end() -> anyhow::Result<()> {
    let mut random = seeded();
    let (stage, addresses) = Stage::serving(Delays::none())?;
    stage.cluster.set_event_faults(EventFaults { lose: 30, duplicate: 30, reorder: 40, is_silent: false });
    let mut hosts = vec![String::new(); 4];
    for n in 0..12 {
        let index = random.random_range(0..hosts.len());
        hosts[index] = format!("r{index}-{n}.test");
        let text = route(&format!("r{index}"), "public", &hosts[index], "web", 9001);
        put(&stage, "n2", &format!("httproute/r{index}.yaml"), &text)?;
        std::thread::sleep(Duration::from_millis(random.random_range(0..400)));
    }
    let hosts: Vec<String> = hosts.into_iter().filter(|host| !host.is_empty()).collect();
    let took = eventually("the last of each object is live", PATIENCE * 3, || {
        hosts.iter().all(|host| live(&addresses, host))
    })
    .with_context(|| stage.logs())?;
    println!("right {took:?} after the last change");
    ensure!(took <= Duration::from_secs(60), "{took:?}");
    Ok(())
}

#[test]
fn f5_a_daemon_that_knows_little_yet_withdraws_nothing() -> anyhow::Result<()> {
    let (mut stage, addresses) = Stage::serving(Delays::none())?;
    let load = Load::start(addresses[1], "web.test", 200, 2, Duration::from_secs(120));
    let n_routes = || {
        let text = get(stage.admin, "localhost", "/metrics").map(|answer| answer.body).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .any(|line| line.starts_with("igw_objects") && line.contains("HTTPRoute") && line.ends_with(" 1"))
    };
    eventually("the operator counts its route", PATIENCE, n_routes)?;
    // The daemon starts with an empty list, then a partial one, and so does the operator that asks it.
    for _ in 0..3 {
        stage.kill_operator()?;
        stage.cluster.kill_daemon("n1");
        stage.within(|cluster| cluster.start_node("n1"))?;
        stage.start_operator("n1", &[])?;
        put(&stage, "n2", "httproute/other.yaml", &route("other", "public", "other.test", "web", 9001))?;
        eventually("a change made meanwhile is live", PATIENCE, || live(&addresses, "other.test"))
            .with_context(|| stage.logs())?;
        ensure!(live(&addresses, "web.test"), "what was there is there");
        stage.igw("n2", &["delete", "httproute/other", "-n", "shop"])?;
        eventually("and goes again", PATIENCE, || !answers(addresses[0], "other.test"))?;
    }
    let seen = load.stop();
    ensure!(seen.n_failed == 0, "{seen:?}");
    Ok(())
}

#[test]
fn f6_failures_of_one_object_hold_up_no_other() -> anyhow::Result<()> {
    let mut random = seeded();
    let (stage, addresses) = Stage::serving(Delays::none())?;
    stage.apply(
        "n1",
        "sick",
        &route("sick", "public", "sick.test", "web", 9001)
            .replace("name: public", "name: public, namespace: shop")
            .replace("name: web, port", "name: web, namespace: shop, port"),
    )?;
    // One object fails whatever is asked of it, in every way there is.
    for status in [500, 503, 403, 429, 401, 413] {
        stage.cluster.fail_calls(Some(("/sick/cfg/igw", status)));
        let before = stage.cluster.n_failing();
        let begun = Instant::now();
        let path = "/api/object/path/shop/cfg/igw/data";
        let host = format!("s{status}.test");
        let change = serde_json::json!([{"action": "change", "name": "httproute/web.yaml", "string": route("web", "public", &host, "web", 9001)}]);
        stage.call("n2", "PATCH", path, &change.to_string(), 204)?;
        let took = eventually("the others converge", PATIENCE, || live(&addresses, &host))
            .with_context(|| stage.logs())?;
        ensure!(took <= Duration::from_secs(2), "{status}: {took:?}");
        let rate = (stage.cluster.n_failing() - before) as f64 / begun.elapsed().as_secs_f64().max(1.0);
        ensure!(rate <= 5.0, "{status}: {rate} calls a second of the failing object");
    }
    stage.cluster.fail_calls(None);
    // Answers that fail at random.
    for n in 0..4 {
        let statuses: Vec<u16> =
            (0..6).map(|_| [500, 502, 503, 403, 408, 429][random.random_range(0..6)]).collect();
        stage.cluster.fail_next("n1", &statuses);
        let host = format!("random{n}.test");
        put(&stage, "n2", "httproute/web.yaml", &route("web", "public", &host, "web", 9001))?;
        eventually("it converges all the same", PATIENCE, || live(&addresses, &host))
            .with_context(|| stage.logs())?;
    }
    Ok(())
}

#[test]
fn f10_two_operators_never_write_against_each_other() -> anyhow::Result<()> {
    let mut random = seeded();
    let (mut stage, addresses) = Stage::serving(Delays::none())?;
    let newest = || -> Option<(u64, u64)> {
        let admin = SocketAddr::new(addresses[0].ip(), 8404);
        let answer = get(admin, "localhost", "/api/v1/snapshot").ok()?;
        let envelope: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        Some((envelope["epoch"].as_u64()?, envelope["generation"].as_u64()?))
    };
    let mut last = newest().context("snapshot")?;
    for n in 0..number("IGW_SWITCHES", 3) {
        // The one that leads is put to sleep; another one takes over; the first wakes up.
        let first = stage.operator_pid().context("no operator")?;
        signal(first, "STOP")?;
        let mut second =
            stage.command("n2", &["operator", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"])?;
        let mut second =
            second.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn()?;
        let host = format!("switch{n}.test");
        put(&stage, "n3", "httproute/web.yaml", &route("web", "public", &host, "web", 9001))?;
        std::thread::sleep(Duration::from_millis(random.random_range(0..3_000)));
        signal(first, "CONT")?;
        let ended = eventually("one of them stands down", PATIENCE, || {
            stage.operator_ended().is_some() || matches!(second.try_wait(), Ok(Some(_)))
        });
        let is_first_gone = stage.operator_ended().is_some();
        let _ = second.kill();
        let _ = second.wait();
        ended.with_context(|| stage.logs())?;
        if is_first_gone {
            stage.start_operator("n1", &[])?;
        }
        eventually("the change is live", PATIENCE, || live(&addresses, &host))
            .with_context(|| stage.logs())?;
        let now = newest().context("snapshot")?;
        ensure!(now > last, "proxies never go back: {last:?} {now:?}");
        last = now;
    }
    for node in stage.cluster.nodes() {
        let kept = stage.cluster.value_on(&node, "shop/cfg/igw", "gateway/public.yaml");
        ensure!(kept.is_some(), "objects of users are as they were");
    }
    Ok(())
}

#[test]
fn f11_after_a_split_the_state_follows_what_is_left_of_the_objects() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::none())?;
    for peer in ["n2", "n3"] {
        stage.within(|cluster| cluster.cut("n1", peer, true));
    }
    put(&stage, "n1", "httproute/one.yaml", &route("one", "public", "one.test", "web", 9001))?;
    eventually("one side goes on", PATIENCE, || answers(addresses[0], "one.test"))
        .with_context(|| stage.logs())?;
    put(&stage, "n2", "httproute/two.yaml", &route("two", "public", "two.test", "web", 9001))?;
    for peer in ["n2", "n3"] {
        stage.within(|cluster| cluster.cut("n1", peer, false));
    }
    let holds = |key: &str| {
        stage
            .cluster
            .nodes()
            .iter()
            .map(|node| stage.cluster.value_on(node, "shop/cfg/igw", key).is_some())
            .collect::<Vec<_>>()
    };
    eventually("the later file is on all nodes", PATIENCE, || {
        holds("httproute/two.yaml") == [true; 3] && holds("httproute/one.yaml") == [false; 3]
    })?;
    let took = eventually("the state is that of the objects", PATIENCE * 2, || {
        live(&addresses, "two.test")
            && live(&addresses, "web.test")
            && !addresses.iter().any(|address| answers(*address, "one.test"))
    })
    .with_context(|| stage.logs())?;
    println!("right {took:?} after the files were");
    Ok(())
}

#[test]
fn f20_what_is_invalid_takes_nothing_else_down() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::none())?;
    let load = Load::start(addresses[2], "web.test", 100, 2, Duration::from_secs(120));
    put(&stage, "n2", "httproute/web.yaml", "kind: HTTPRoute\n  what: [is this\n")?;
    put(&stage, "n2", "httproute/good.yaml", &route("good", "public", "good.test", "web", 9001))?;
    eventually("the other object is live", PATIENCE, || live(&addresses, "good.test"))
        .with_context(|| stage.logs())?;
    let told = eventually("it is told, with its place", Duration::from_secs(5), || {
        let done =
            stage.igw("n1", &["status"]).map(|done| String::from_utf8_lossy(&done.stderr).into_owned());
        done.is_ok_and(|words| words.contains("httproute/web.yaml") && words.contains(":2"))
    });
    told.with_context(|| format!("{:?}", stage.igw("n1", &["status"])))?;
    ensure!(live(&addresses, "web.test"), "the last good version goes on");
    // A key whose name makes the whole object unreadable.
    stage.call(
        "n2",
        "PATCH",
        "/api/object/path/shop/cfg/igw/data",
        "[{\"action\":\"change\",\"name\":\"[x\",\"string\":\"y\"}]",
        204,
    )?;
    let (mut n_checks, begun) = (0, Instant::now());
    while begun.elapsed() < Duration::from_secs(4) {
        ensure!(live(&addresses, "web.test") && live(&addresses, "good.test"), "nothing goes away");
        n_checks += 1;
    }
    ensure!(n_checks > 10);
    let seen = load.stop();
    ensure!(seen.n_failed == 0, "{seen:?}");
    Ok(())
}

#[test]
fn f21_a_snapshot_that_somebody_damages_is_written_again() -> anyhow::Result<()> {
    let mut random = seeded();
    let (stage, addresses) = Stage::serving(Delays::none())?;
    let object = "shop/cfg/igw-public";
    eventually("the snapshot is stored", PATIENCE, || {
        stage.cluster.value_on("n1", object, "snapshot/0").is_some()
    })
    .with_context(|| format!("{:?}", stage.cluster.objects_on("n1")))?;
    let good = stage.cluster.value_on("n1", object, "snapshot/0").context("snapshot")?;
    for _ in 0..3 {
        let mut bad = good.clone();
        let at = random.random_range(0..bad.len());
        bad[at] ^= 1 << random.random_range(0..7);
        let text = String::from_utf8_lossy(&bad).into_owned();
        let change = serde_json::json!([{"action": "change", "name": "snapshot/0", "string": text}]);
        stage.call("n3", "PATCH", "/api/object/path/shop/cfg/igw-public/data", &change.to_string(), 204)?;
        eventually("it is as it was", PATIENCE, || {
            stage
                .cluster
                .nodes()
                .iter()
                .all(|node| stage.cluster.value_on(node, object, "snapshot/0").as_ref() == Some(&good))
        })
        .with_context(|| stage.logs())?;
        ensure!(live(&addresses, "web.test"), "traffic does not notice");
    }
    Ok(())
}

#[test]
fn verbs_say_what_is_wrong() -> anyhow::Result<()> {
    let stage = Stage::new(Delays::none())?;
    let apply = |text: &str, more: &[&str]| -> anyhow::Result<(Option<i32>, String)> {
        let file = stage.write("objects.yaml", text)?.display().to_string();
        let mut arguments = vec!["apply", "-n", "shop", "-f", &file];
        arguments.extend(more);
        let done = stage.igw("n1", &arguments)?;
        Ok((
            done.status.code(),
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)),
        ))
    };
    let good = route("web", "public", "web.test", "web", 9001);
    // A value that the cluster does not take.
    let large = good.replace(
        "metadata: {name: web}",
        &format!("metadata: {{name: large, annotations: {{a: {}}}}}", "x".repeat(950_000)),
    );
    let (code, words) = apply(&large, &[])?;
    ensure!(
        code == Some(3) && words.contains("objects.yaml:1") && words.contains("900000"),
        "{code:?} {}",
        &words[words.len().saturating_sub(400)..]
    );
    // A name that is none.
    let (code, words) = apply(&good, &["--cfg", "My Cfg"])?;
    ensure!(code == Some(2) && words.contains("My Cfg"), "{code:?} {words}");
    let (code, words) = apply(&good, &[])?;
    ensure!(code == Some(0), "{words}");
    // Somebody else changes the object between reading and writing.
    stage.cluster.slow_down("n1", Duration::from_millis(300));
    let file = stage.write("mine.yaml", &good.replace("web.test", "mine.test"))?.display().to_string();
    let mut mine = stage.command("n1", &["apply", "-n", "shop", "-f", &file])?;
    let mine = mine.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn()?;
    let n_before = stage.cluster.n_requests("n1");
    eventually("it has read what is there", PATIENCE, || stage.cluster.n_requests("n1") >= n_before + 4)?;
    put(&stage, "n2", "httproute/web.yaml", &good.replace("web.test", "theirs.test"))?;
    eventually("the other change is there", PATIENCE, || {
        stage
            .cluster
            .value_on("n1", "shop/cfg/igw", "httproute/web.yaml")
            .is_some_and(|value| value.windows(6).any(|part| part == b"theirs"))
    })?;
    let done = mine.wait_with_output()?;
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    stage.cluster.slow_down("n1", Duration::ZERO);
    ensure!(
        !done.status.success() && words.contains("changed by somebody else") && words.contains("--force"),
        "{words}"
    );
    ensure!(apply(&good, &["--force"])?.0 == Some(0), "--force overwrites it");
    // What is not there.
    let gone = stage.igw("n1", &["delete", "httproute/web", "-n", "nowhere"])?;
    let words = String::from_utf8_lossy(&gone.stderr).into_owned();
    ensure!(gone.status.code() == Some(1) && words.contains("not found"), "{words}");
    // A node that is down does not hold up the others.
    stage.within(|cluster| cluster.kill_node("n3"));
    eventually("its loss is known", PATIENCE, || {
        stage.call("n1", "GET", "/api/node/info", "", 200).is_ok_and(|text| !text.contains("n3"))
    })?;
    let (code, words) = apply(&good.replace("web.test", "two.test"), &[])?;
    ensure!(code == Some(0), "{words}");
    // Nobody answers.
    stage.cluster.kill_daemon("n1");
    let (code, words) = apply(&good, &[])?;
    ensure!(code == Some(4) && words.contains("http.sock"), "{code:?} {words}");
    Ok(())
}

#[test]
fn equal_times_with_other_bytes_are_told_and_end_with_the_next_write() -> anyhow::Result<()> {
    let (stage, addresses) = Stage::serving(Delays::none())?;
    // Two writes of one tick: no node's file is newer, each keeps its own.
    stage.cluster.set_tick(Duration::from_secs(3_600));
    stage.cluster.set_skew_ms("n1", 3_600_000);
    stage.cluster.set_skew_ms("n2", 3_600_000);
    put(&stage, "n1", "httproute/web.yaml", &route("web", "public", "one.test", "web", 9001))?;
    put(&stage, "n2", "httproute/web.yaml", &route("web", "public", "two.test", "web", 9001))?;
    let told = eventually("it is told", PATIENCE, || {
        let done =
            stage.igw("n1", &["status"]).map(|done| String::from_utf8_lossy(&done.stderr).into_owned());
        done.is_ok_and(|words| words.contains("shop/cfg/igw") && words.contains("n2"))
    });
    told.with_context(|| format!("{:?}\n{}", stage.igw("n1", &["status"]), stage.logs()))?;
    stage.cluster.set_tick(Duration::ZERO);
    for node in ["n1", "n2"] {
        stage.cluster.set_skew_ms(node, 7_200_000);
    }
    put(&stage, "n1", "httproute/web.yaml", &route("web", "public", "three.test", "web", 9001))?;
    eventually("the next write ends it", PATIENCE, || live(&addresses, "three.test"))
        .with_context(|| stage.logs())?;
    eventually("and nothing is told any more", PATIENCE, || {
        stage.igw("n1", &["status"]).is_ok_and(|done| done.status.success() && done.stderr.is_empty())
    })
    .map(drop)
}

#[test]
fn actions_of_others_and_a_purge_that_hangs_hold_nothing_up() -> anyhow::Result<()> {
    let (stage, _) = Stage::serving(Delays { transition: Duration::from_millis(150), ..Delays::none() })?;
    // Somebody else's refused requests take the names of our orchestrations.
    let objects = igw_e2e::stage::gateway("second", "igw-per-node", 8089, "")
        + &route("second", "second", "second.test", "web", 9001);
    let file = stage.write("second.yaml", &objects)?.display().to_string();
    let mut apply = stage
        .command("n1", &["apply", "-n", "shop", "-f", &file])?
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let addresses: Vec<SocketAddr> =
        stage.cluster.nodes().iter().map(|node| (stage.cluster.address(node), 8089).into()).collect();
    let mut n_refused = 0;
    eventually("the second gateway serves all the same", PATIENCE, || {
        let start = stage.call("n2", "POST", "/api/object/path/shop/svc/igw-second/action/start", "", 200);
        n_refused += usize::from(start.is_err_and(|error| error.to_string().contains("already in progress")));
        live(&addresses, "second.test")
    })
    .with_context(|| stage.logs())?;
    apply.wait()?;
    ensure!(n_refused > 0, "nobody disturbed it");
    // The purge of its service hangs.
    stage.cluster.stick_next_purge("shop/svc/igw-second");
    let done = stage.igw("n1", &["delete", "gateway/second", "httproute/second", "-n", "shop"])?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let left = || -> Vec<String> {
        let all = stage.cluster.nodes().into_iter().flat_map(|node| stage.cluster.objects_on(&node));
        all.filter(|object| object.contains("igw-second")).collect()
    };
    eventually("nothing of it is left", PATIENCE * 3, || left().is_empty())
        .with_context(|| format!("{:?}\n{}", left(), stage.logs()))
        .map(drop)
}
