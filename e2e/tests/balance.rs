//! Which endpoint gets a request: choice, weights, checks, ejection, limits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::objects::{backend, beside, gateway, one_route, route, service_policy, to_backend};
use igw_e2e::origin::{Manners, Origin};
use igw_e2e::process::{Up, free};

const HOST: &str = "a.test";

struct Scene {
    _up: Up,
    origins: [Origin; 2],
    address: SocketAddr,
}

/// Two back ends behind one Backend, with these fields in its policy.
fn scene(fields: &str) -> anyhow::Result<Scene> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origins = [
        Origin::start("1", SocketAddr::new(beside(up.ip, 251), 0))?,
        Origin::start("2", SocketAddr::new(beside(up.ip, 252), 0))?,
    ];
    let policy = service_policy("b", fields)
        .replace("{group: \"\", kind: Service,", "{group: igw.opensvc.com, kind: Backend,");
    let addresses = [origins[0].address, origins[1].address];
    up.write("all.yaml", &(one_route(address, HOST, &addresses) + &policy))?;
    up.start(&[])?;
    Ok(Scene { _up: up, origins, address })
}

/// How many of `n` requests each back end answered.
fn share(address: SocketAddr, n: usize) -> anyhow::Result<[usize; 2]> {
    let mut counts = [0; 2];
    for _ in 0..n {
        match get(address, HOST, "/")?.field("x-origin").context("an answer of a back end")? {
            "1" => counts[0] += 1,
            _ => counts[1] += 1,
        }
    }
    Ok(counts)
}

fn post(connection: &mut Connection) -> anyhow::Result<()> {
    connection.send(b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n")
}

#[test]
fn one_that_fails_in_a_row_is_ejected_for_a_while() -> anyhow::Result<()> {
    let passive = "  healthCheck: {active: {}, passive: {consecutiveErrors: 3, window: 10s, ejectFor: 2s, maxEjectionPercent: 50}}\n";
    let scene = scene(passive)?;
    scene.origins[0].behave(Manners::Reset);
    let mut n_failed = 0;
    let started = Instant::now();
    // A POST that reached a back end is not sent again, so that every failure is seen.
    while n_failed < 3 {
        let mut connection = Connection::open(scene.address)?;
        post(&mut connection)?;
        n_failed += usize::from(connection.read("POST")?.status == 502);
        anyhow::ensure!(started.elapsed() < Duration::from_secs(5), "{n_failed} failures");
    }
    let ejected = Instant::now();
    assert_eq!(share(scene.address, 20)?, [0, 20], "the failing one is out");
    scene.origins[0].behave(Manners::Echo);
    eventually("it is back", Duration::from_secs(5), || {
        share(scene.address, 4).is_ok_and(|counts| counts[0] > 0)
    })?;
    assert!(ejected.elapsed() > Duration::from_secs(1), "back after {:?}", ejected.elapsed());
    Ok(())
}

#[test]
fn half_of_the_endpoints_may_be_ejected_and_no_more() -> anyhow::Result<()> {
    let passive = "  healthCheck: {active: {}, passive: {consecutiveErrors: 1, window: 10s, ejectFor: 1m, maxEjectionPercent: 50}}\n";
    let scene = scene(passive)?;
    for origin in &scene.origins {
        origin.behave(Manners::Reset);
    }
    for _ in 0..8 {
        let mut connection = Connection::open(scene.address)?;
        post(&mut connection)?;
        assert_eq!(connection.read("POST")?.status, 502, "one is always left to try");
    }
    for origin in &scene.origins {
        origin.behave(Manners::Echo);
    }
    let counts = share(scene.address, 10)?;
    assert!(counts.contains(&10), "one of two is out: {counts:?}");
    Ok(())
}

#[test]
fn below_the_panic_threshold_health_is_ignored() -> anyhow::Result<()> {
    let checks = |threshold: u8| {
        format!(
            "  healthCheck: {{active: {{http: {{path: /health}}, interval: 100ms, timeout: 100ms, rise: 2, fall: 2}}, panicThreshold: {threshold}}}\n"
        )
    };
    for (threshold, is_served) in [(50, true), (0, false)] {
        let scene = scene(&checks(threshold))?;
        eventually("both are checked and serve", Duration::from_secs(3), || {
            share(scene.address, 4).is_ok_and(|counts| counts == [2, 2])
        })?;
        scene.origins[0].behave(Manners::Unhealthy);
        // One of two is 50 %, which is not below the threshold: health counts.
        eventually("one is out", Duration::from_secs(2), || {
            share(scene.address, 4).is_ok_and(|counts| counts == [0, 4])
        })?;
        scene.origins[1].behave(Manners::Unhealthy);
        if is_served {
            eventually("both serve in panic", Duration::from_secs(2), || {
                share(scene.address, 4).is_ok_and(|counts| counts == [2, 2])
            })?;
            continue;
        }
        eventually("nobody is left", Duration::from_secs(2), || {
            get(scene.address, HOST, "/").is_ok_and(|answer| answer.status == 503)
        })?;
        let started = Instant::now();
        let answer = get(scene.address, HOST, "/")?;
        assert_eq!((answer.status, answer.field("igw-cause")), (503, Some("no_endpoint")));
        assert!(answer.field("retry-after").is_some());
        assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
        // Recovery takes rise x interval, and what the clocks of tests need.
        scene.origins[1].behave(Manners::Echo);
        eventually("one is back", Duration::from_secs(3), || {
            get(scene.address, HOST, "/").is_ok_and(|answer| answer.status == 200)
        })?;
    }
    Ok(())
}

#[test]
fn least_request_leaves_the_busy_one_alone() -> anyhow::Result<()> {
    let scene = scene("  loadBalancer: {type: LeastRequest}\n  healthCheck: {active: {}, passive: {}}\n")?;
    scene.origins[0].behave(Manners::Hang);
    let mut waiting = Vec::new();
    for _ in 0..12 {
        let mut connection = Connection::open(scene.address)?;
        post(&mut connection)?;
        waiting.push(connection);
        // The next one is sent when this one has arrived somewhere.
        let sent = waiting.len() as u64;
        eventually("it arrived", Duration::from_secs(2), || {
            scene.origins.iter().map(Origin::n_requests).sum::<u64>() == sent
        })?;
    }
    let n_stuck = scene.origins[0].n_requests();
    assert!(n_stuck <= 2, "{n_stuck} of 12 requests went to the one that hangs");
    Ok(())
}

#[test]
fn random_choice_spreads() -> anyhow::Result<()> {
    let scene = scene("  loadBalancer: {type: Random}\n  healthCheck: {active: {}}\n")?;
    let counts = share(scene.address, 60)?;
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
    Ok(())
}

#[test]
fn weights_of_references_are_kept() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origins = [
        Origin::start("1", SocketAddr::new(beside(up.ip, 251), 0))?,
        Origin::start("2", SocketAddr::new(beside(up.ip, 252), 0))?,
    ];
    let references = format!("{}, weight: 9}}, {{{}, weight: 1", to_backend("x"), to_backend("y"));
    up.write(
        "all.yaml",
        &(gateway(address)
            + &route("r", HOST, &references)
            + &backend("x", &[origins[0].address])
            + &backend("y", &[origins[1].address])),
    )?;
    up.start(&[])?;
    let counts = share(address, 300)?;
    assert!((10..=60).contains(&counts[1]), "{counts:?} of 9 to 1");
    Ok(())
}

#[test]
fn connections_are_limited_and_the_rest_waits_a_while() -> anyhow::Result<()> {
    let scene = scene(
        "  healthCheck: {active: {}, passive: {}}\n  connections: {maxPerEndpoint: 2, queue: {max: 2, timeout: 300ms}}\n",
    )?;
    for origin in &scene.origins {
        origin.behave(Manners::Hang);
    }
    let mut waiting = Vec::new();
    for _ in 0..12 {
        let mut connection = Connection::open(scene.address)?;
        post(&mut connection)?;
        waiting.push(connection);
    }
    // Past the time in the queue everybody without a connection has an answer; then the others get theirs.
    std::thread::sleep(Duration::from_millis(800));
    let n_reached: u64 = scene.origins.iter().map(Origin::n_requests).sum();
    assert!((1..=4).contains(&n_reached), "{n_reached} requests on at most 2 x 2 connections");
    for origin in &scene.origins {
        origin.behave(Manners::Echo);
    }
    let mut n_shed = 0;
    for connection in &mut waiting {
        let answer = connection.read("POST")?;
        if answer.status == 503 {
            assert_eq!(answer.field("igw-cause"), Some("no_connection"));
            assert!(answer.field("retry-after").is_some());
            n_shed += 1;
        }
    }
    assert_eq!(n_shed + n_reached, 12);
    assert_eq!(get(scene.address, HOST, "/")?.status, 200, "room again");
    Ok(())
}
