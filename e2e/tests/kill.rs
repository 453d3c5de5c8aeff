//! Kills of every process, at any time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use igw_e2e::client::{eventually, get};
use igw_e2e::objects::{backend, beside, gateway, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free, signal};
use igw_e2e::usage::number;

fn scene(n_routes: usize) -> anyhow::Result<(Up, Origin, SocketAddr)> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let mut objects = gateway(address) + &backend("b", &[origin.address]);
    for index in 0..n_routes {
        objects += &route(&format!("r{index}"), &format!("h{index}.test"), &to_backend("b"));
    }
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    Ok((up, origin, address))
}

#[test]
fn kills_refuse_nothing() -> anyhow::Result<()> {
    let n_kills: u32 = number("IGW_KILLS", 15);
    let (mut up, _origin, address) = scene(1_000)?;
    // The control side is dead too: the proxy has its last known good snapshot, once that is at rest.
    let at_rest = up.state.join("proxy/snapshot.json");
    eventually("the snapshot is at rest", Duration::from_secs(5), || at_rest.exists())?;
    up.kill_operator()?;
    let mut slowest = Duration::ZERO;
    for kill in 0..n_kills {
        let pid = up.server_pid()?;
        let started = Instant::now();
        signal(pid, "KILL")?;
        // Connects at once; the connection waits in the backlog for the next server.
        let answer = loop {
            match get(address, "h7.test", "/") {
                Ok(answer) => break answer,
                Err(error) => {
                    let text = format!("{error:#}");
                    // A connection that the killed server had accepted dies with it; a refusal would be our fault.
                    anyhow::ensure!(!text.contains("not reached"), "kill {kill}: {text}\n{}", up.printed());
                    anyhow::ensure!(started.elapsed() < Duration::from_secs(5), "kill {kill}: {text}");
                }
            }
        };
        anyhow::ensure!(answer.status == 200, "kill {kill}: {}", answer.status);
        slowest = slowest.max(started.elapsed());
        eventually("another server runs", Duration::from_secs(2), || {
            up.server_pid().is_ok_and(|now| now != pid)
        })?;
    }
    println!("{n_kills} kills, slowest answer after {slowest:?}");
    assert!(slowest < Duration::from_millis(300), "slowest answer after {slowest:?}");
    Ok(())
}

#[test]
fn a_killed_operator_comes_back_to_its_proxy() -> anyhow::Result<()> {
    let (mut up, origin, address) = scene(3)?;
    let server = up.server_pid()?;
    up.kill_operator()?;
    assert_eq!(get(address, "h1.test", "/")?.status, 200, "the proxy goes on alone");
    up.restart()?;
    assert_eq!(up.server_pid()?, server, "the proxy that runs is taken over");
    let changed =
        gateway(address) + &route("r9", "h9.test", &to_backend("b")) + &backend("b", &[origin.address]);
    up.write("all.yaml", &changed)?;
    eventually("edits count again", Duration::from_secs(2), || {
        get(address, "h9.test", "/").is_ok_and(|answer| answer.status == 200)
    })?;
    up.stop()?;
    assert!(get(address, "h9.test", "/").is_err(), "nothing is left behind");
    Ok(())
}

#[test]
fn a_proxy_that_was_taken_over_is_kept_while_its_state_is_gone() -> anyhow::Result<()> {
    let (mut up, _origin, address) = scene(3)?;
    let servers = up.server_pids()?;
    up.kill_operator()?;
    up.restart()?;
    let (folder, aside) = (up.state.join("proxy"), up.state.join("aside"));
    std::fs::rename(&folder, &aside)?;
    std::fs::write(&folder, "in the way")?;
    for _ in 0..100 {
        assert_eq!(up.server_pids()?, servers, "another proxy was started: {}", up.printed());
        assert_eq!(get(address, "h1.test", "/")?.status, 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(&folder)?;
    std::fs::rename(&aside, &folder)?;
    up.stop()?;
    assert!(get(address, "h1.test", "/").is_err(), "nothing is left behind");
    Ok(())
}

#[test]
fn all_killed_and_started_again_serve_within_a_second() -> anyhow::Result<()> {
    let (mut up, _origin, address) = scene(1_000)?;
    let server = up.server_pid()?;
    up.kill_operator()?;
    signal(up.supervisor_pid()?, "KILL")?;
    signal(server, "KILL")?;
    eventually("nobody is left", Duration::from_secs(5), || up.server_pid().is_err())?;
    let started = Instant::now();
    up.restart()?;
    let took = eventually("served again", Duration::from_secs(2), || {
        get(address, "h7.test", "/").is_ok_and(|answer| answer.status == 200)
    })?;
    println!("served {:?} after the start", started.elapsed());
    assert!(started.elapsed() < Duration::from_millis(1_500), "{took:?}");
    Ok(())
}

#[test]
fn a_killed_supervisor_refuses_nothing() -> anyhow::Result<()> {
    let (mut up, _origin, address) = scene(3)?;
    up.kill_operator()?;
    let server = up.server_pid()?;
    signal(up.supervisor_pid()?, "KILL")?;
    for _ in 0..100 {
        assert_eq!(get(address, "h1.test", "/")?.status, 200, "the server serves on without its supervisor");
        std::thread::sleep(Duration::from_millis(5));
    }
    up.restart()?;
    eventually("the next supervisor's server has taken over", Duration::from_secs(5), || {
        // Whoever asks meanwhile is answered.
        let is_served = get(address, "h1.test", "/").is_ok_and(|answer| answer.status == 200);
        is_served && up.server_pids().is_ok_and(|pids| pids.len() == 1 && !pids.contains(&server))
    })?;
    up.stop()?;
    assert!(get(address, "h1.test", "/").is_err(), "nothing is left behind");
    Ok(())
}
