//! Another release of the proxy takes over while everything goes on; whatever goes wrong, one side serves.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::load::Load;
use igw_e2e::objects::{backend, beside, gateway_with, http_listener, https_listener, route, to_backend};
use igw_e2e::ongoing::{Download, Ongoing, Tunnel, over_http2, over_tls};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free, signal};
use igw_e2e::tls::{Authority, Client, Use};
use igw_e2e::usage::number;
use rand::{RngExt as _, SeedableRng as _};

const HOST: &str = "www.test";

struct Scene {
    up: Up,
    plain: SocketAddr,
    secure: SocketAddr,
    authority: Authority,
    origin: Origin,
}

/// A gateway with a listener for HTTP and one for HTTPS, whose binaries can be replaced.
fn scene() -> anyhow::Result<Scene> {
    let mut up = Up::prepare()?;
    up.own_binaries()?;
    let (plain, secure) = (free(up.ip)?, free(up.ip)?);
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let authority = Authority::new("test")?;
    let pair = authority.issue(Use::Server, &[HOST])?;
    let listeners = [http_listener("web", plain), https_listener("websecure", secure, "www")];
    let objects = gateway_with(up.ip, &listeners)
        + &route("www", HOST, &to_backend("b"))
        + &backend("b", &[origin.address])
        + &pair.secret("www");
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    Ok(Scene { up, plain, secure, authority, origin })
}

fn n_upgrades(up: &Up, result: &str) -> Option<f64> {
    up.metric(&["igw_proxy_upgrades_total", result]).ok()
}

/// Lets release `n` take over; how long that took.
fn upgrade(up: &Up, n: u32) -> anyhow::Result<Duration> {
    let before = up.server_pids()?;
    let supervisor = up.supervisor_pid()?;
    up.release(n)?;
    signal(supervisor, "USR2")?;
    let took = eventually("the new release leads", Duration::from_secs(10), || {
        n_upgrades(up, "done") == Some(f64::from(n))
    })?;
    assert_eq!(up.supervisor_pid()?, supervisor, "the supervisor keeps its number");
    assert!(up.server_pids()?.iter().any(|pid| !before.contains(pid)), "another server runs");
    Ok(took)
}

#[test]
fn upgrades_lose_nothing() -> anyhow::Result<()> {
    let n_upgrades = number("IGW_UPGRADES", 6);
    let Scene { mut up, plain, secure, authority, origin } = scene()?;
    let limit = Duration::from_secs(u64::from(n_upgrades) * 10 + 60);
    let load = Load::start(plain, HOST, 1_000, 8, limit);
    let mut others = Ongoing::default();
    let client = Client::trusting(&[&authority.certificate])?;
    others.add("TLS", Duration::from_millis(3), over_tls(client, secure, HOST));
    for _ in 0..2 {
        others.add("HTTP/2", Duration::from_millis(3), over_http2(plain, HOST));
    }
    let mut tunnels = Vec::new();
    let mut idle = Vec::new();
    let mut slowest = Duration::ZERO;
    for n in 1..=n_upgrades {
        tunnels.push(Tunnel::open(plain, HOST)?);
        // A connection that was used and waits: what it asks next is answered, and that it closes is said.
        let mut kept = Connection::open(plain)?;
        anyhow::ensure!(kept.get(HOST, "/")?.field("connection").is_none());
        idle.push(kept);
        let download = Download::begin(plain, HOST, 8 * 1024 * 1024)?;
        slowest = slowest.max(upgrade(&up, n)?);
        for (index, tunnel) in tunnels.iter_mut().enumerate() {
            tunnel.exchange(format!("tunnel {index} after upgrade {n}").as_bytes())?;
        }
        download.finish()?;
        for mut kept in idle.drain(..) {
            let answer = kept.get(HOST, "/")?;
            anyhow::ensure!(
                (answer.status, answer.field("connection")) == (200, Some("close")),
                "{answer:?}"
            );
        }
        // Tunnels of the last ten upgrades live.
        if tunnels.len() > 10 {
            tunnels.remove(0);
        }
        // A change of the objects reaches the server that leads now.
        if n == 1 {
            let more = route("more", "more.test", &to_backend("b")) + &backend("unused", &[origin.address]);
            up.write("more.yaml", &more)?;
            eventually("an edit is live after an upgrade", Duration::from_secs(3), || {
                get(plain, "more.test", "/").is_ok_and(|answer| answer.status == 200)
            })?;
        }
        let pause = Duration::from_millis(number("IGW_UPGRADE_PAUSE_MS", 500));
        std::thread::sleep(pause);
    }
    let seen = load.stop();
    let (n_others, failures) = others.stop();
    println!(
        "{n_upgrades} upgrades, the slowest took {slowest:?}; {} requests over HTTP/1, {n_others} over TLS and HTTP/2; {} lost",
        seen.n_good,
        seen.n_failed + failures.len() as u64
    );
    assert_eq!((seen.n_failed, failures.len()), (0, 0), "{:?} {failures:?}\n{}", seen.failures, up.printed());
    drop(tunnels);
    eventually("retired servers end with what they began", Duration::from_secs(40), || {
        up.server_pids().is_ok_and(|pids| pids.len() == 1)
    })?;
    up.stop()?;
    assert!(get(plain, HOST, "/").is_err(), "nothing is left behind");
    Ok(())
}

#[test]
fn kills_during_upgrades_refuse_nothing() -> anyhow::Result<()> {
    let n_kills = number("IGW_KILLS", 12);
    let seed = std::env::var("IGW_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("IGW_SEED={seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let Scene { up, plain, origin: _origin, .. } = scene()?;
    let mut slowest = Duration::ZERO;
    let mut victims = [0; 2];
    for kill in 0..n_kills {
        let supervisor = up.supervisor_pid().with_context(|| up.printed())?;
        up.release(kill + 1)?;
        signal(supervisor, "USR2")?;
        std::thread::sleep(Duration::from_micros(random.random_range(0..200_000)));
        let servers = up.server_pids()?;
        let index = random.random_range(0..=servers.len());
        let victim = servers.get(index).copied().unwrap_or(supervisor);
        victims[usize::from(victim == supervisor)] += 1;
        let started = Instant::now();
        // A server that retired may have ended by itself.
        let _ = signal(victim, "KILL");
        loop {
            match get(plain, HOST, "/") {
                Ok(answer) => {
                    anyhow::ensure!(answer.status == 200, "kill {kill}: {}", answer.status);
                    break;
                }
                Err(error) => {
                    let text = format!("{error:#}");
                    // A connection that the killed server had accepted dies with it; a refusal would be our fault.
                    anyhow::ensure!(!text.contains("not reached"), "kill {kill}: {text}\n{}", up.printed());
                    anyhow::ensure!(started.elapsed() < Duration::from_secs(5), "kill {kill}: {text}");
                }
            }
        }
        slowest = slowest.max(started.elapsed());
        // Nothing is refused until all is as it should be.
        let mut refused = None;
        let settled = eventually("one server leads", Duration::from_secs(20), || {
            if let Err(error) = get(plain, HOST, "/") {
                let text = format!("{error:#}");
                refused = refused.take().or_else(|| text.contains("not reached").then_some(text));
            }
            up.supervisor_pid().is_ok_and(|pid| pid != victim)
                && up.server_pids().is_ok_and(|pids| pids.len() == 1)
                && get(up.proxy_admin, "igw", "/readyz").is_ok_and(|answer| answer.status == 200)
        });
        anyhow::ensure!(refused.is_none(), "kill {kill} of {victim}: {refused:?}\n{}", up.printed());
        settled.map_err(|error| anyhow::anyhow!("kill {kill} of {victim}: {error}\n{}", up.printed()))?;
    }
    println!(
        "{n_kills} kills ({} of servers, {} of supervisors), 0 refused, slowest answer after {slowest:?}",
        victims[0], victims[1]
    );
    assert!(slowest < Duration::from_secs(1), "slowest answer after {slowest:?}");
    Ok(())
}

#[test]
fn a_broken_release_changes_nothing() -> anyhow::Result<()> {
    let Scene { up, plain, origin: _origin, .. } = scene()?;
    let (supervisor, server) = (up.supervisor_pid()?, up.server_pid()?);
    let load = Load::start(plain, HOST, 200, 4, Duration::from_secs(60));
    let broken: [(&[u8], u32, &str); 4] = [
        (b"#!/bin/sh\nexit 3\n", 0o755, "exit status 3"),
        (b"#!/bin/sh\n", 0o644, "cannot be run"),
        (b"\x7fELF and no more", 0o755, "cannot be run"),
        (b"#!/bin/sh\nexec sleep 600\n", 0o755, "it serves nothing"),
    ];
    for (index, (program, mode, words)) in broken.into_iter().enumerate() {
        up.replace_proxy(program, mode)?;
        signal(supervisor, "USR2")?;
        eventually("the failure is counted", Duration::from_secs(20), || {
            n_upgrades(&up, "failed") == Some(index as f64 + 1.0)
        })?;
        anyhow::ensure!(up.printed().contains(words), "{words} is not told:\n{}", up.printed());
        assert_eq!((up.supervisor_pid()?, up.server_pids()?), (supervisor, vec![server]));
    }
    // A crash meanwhile is answered by the binary that runs.
    signal(server, "KILL")?;
    eventually("served again", Duration::from_secs(1), || {
        get(plain, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })?;
    // And another release may try.
    upgrade(&up, 1)?;
    let seen = load.stop();
    // The killed server took what it had accepted with it.
    assert!(seen.n_failed <= 12, "{} {:?}", seen.n_failed, seen.failures);
    Ok(())
}
