//! Server templates against a real name server (Debian's knot) and one that misbehaves.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use igw_e2e::client::{eventually, get};
use igw_e2e::dns::{Manners, NameServer};
use igw_e2e::knot::Knot;
use igw_e2e::load::Load;
use igw_e2e::objects::{beside, gateway, route, service_policy};
use igw_e2e::origin::{self, Origin};
use igw_e2e::process::{Up, free};
use igw_e2e::usage::number;

const HOST: &str = "svc1.test";
const NAME: &str = "svc1.default.svc.test";

/// Back ends of one port on addresses of their own.
fn origins(ip: IpAddr, n: u8) -> anyhow::Result<Vec<Origin>> {
    let first = Origin::start("1", SocketAddr::new(beside(ip, 201), 0))?;
    let port = first.address.port();
    let mut all = vec![first];
    for index in 2..=n {
        all.push(Origin::start(&index.to_string(), SocketAddr::new(beside(ip, 200 + index), port))?);
    }
    Ok(all)
}

fn objects(address: SocketAddr, port: u16, fields: &str) -> String {
    gateway(address)
        + &route("svc1", HOST, &format!("name: svc1, port: {port}"))
        + &service_policy(
            "svc1",
            &format!("  discovery: {{slots: 400, initAddr: [none], maxTTL: 1s}}\n{fields}"),
        )
}

/// Who answers `n` requests, sorted.
fn who(address: SocketAddr, n: usize) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for _ in 0..n {
        names.push(get(address, HOST, "/")?.field("x-origin").context("an answer of a back end")?.to_owned());
    }
    names.sort();
    Ok(names)
}

fn ips(origins: &[Origin]) -> Vec<IpAddr> {
    origins.iter().map(|origin| origin.address.ip()).collect()
}

#[test]
fn slots_follow_answers_and_checks() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let names = NameServer::start(up.ip, 0)?;
    let origins = origins(up.ip, 4)?;
    let check = "  healthCheck: {active: {http: {path: /health}, interval: 200ms, timeout: 200ms, rise: 2, fall: 3}}\n";
    up.write("all.yaml", &objects(address, origins[0].address.port(), check))?;
    up.start(&["--nameserver", &names.address.to_string()])?;

    let answer = get(address, HOST, "/")?;
    assert_eq!(
        (answer.status, answer.field("igw-cause")),
        (503, Some("no_endpoint")),
        "the name does not exist yet"
    );

    names.set(NAME, &ips(&origins[..3]));
    let limit = Duration::from_secs(7);
    eventually("the name is found", limit, || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })?;
    eventually("three back ends share evenly", limit, || {
        who(address, 30).is_ok_and(|names| {
            ["1", "2", "3"]
                .iter()
                .all(|name| (8..=12).contains(&names.iter().filter(|found| found == name).count()))
        })
    })?;

    // One fails its check: away within fall x interval, back after rise x interval.
    origins[1].behave(origin::Manners::Unhealthy);
    eventually("the failing one leaves", Duration::from_millis(200 * 3 + 900), || {
        who(address, 12).is_ok_and(|names| !names.contains(&"2".to_owned()))
    })?;
    origins[1].behave(origin::Manners::Echo);
    eventually("it comes back", Duration::from_millis(200 * 2 + 900), || {
        who(address, 12).is_ok_and(|names| names.contains(&"2".to_owned()))
    })?;

    // Another set of addresses is followed within the TTL and a second.
    names.set(NAME, &ips(&origins[2..]));
    eventually("the new set is followed", Duration::from_millis(2_500), || {
        who(address, 12).is_ok_and(|names| {
            names.iter().all(|name| name == "3" || name == "4") && names.contains(&"4".to_owned())
        })
    })?;
    Ok(())
}

/// The recipe that igw replaces, as committed: only the place of the listener, the port of the service and the
/// servers to ask are those of the test.
#[test]
fn the_recipe_as_objects_serves_three_servers() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let knot = Knot::start(up.ip)?;
    let origins = origins(up.ip, 4)?;
    let port = origins[0].address.port();
    let example = include_str!("../../crds/examples/ingress-gateway.yaml");
    let mut objects = example.to_owned();
    for (from, to) in [
        (
            "  gatewayClassName: igw\n",
            format!("  gatewayClassName: igw\n  addresses: [{{value: {}}}]\n", address.ip()),
        ),
        ("      port: 8080\n      protocol", format!("      port: {}\n      protocol", address.port())),
        ("          port: 8080\n", format!("          port: {port}\n")),
        (
            "  fromResolvConf: true\n",
            format!("  nameservers: [{{address: {}, port: {}}}]\n", knot.address.ip(), knot.address.port()),
        ),
    ] {
        assert_eq!(objects.matches(from).count(), 1, "{from}");
        objects = objects.replace(from, &to);
    }
    up.write("ingress-gateway.yaml", &objects)?;
    knot.set_name("svc1.ns1", 1, &[])?;
    knot.reload()?;
    up.start(&[])?;
    let host = "svc1.opensvc.com";
    let who = |n: usize| -> Vec<String> {
        let mut names: Vec<String> = (0..n)
            .filter_map(|_| get(address, host, "/").ok()?.field("x-origin").map(str::to_owned))
            .collect();
        names.sort();
        names
    };
    let answer = get(address, host, "/")?;
    assert_eq!((answer.status, answer.field("igw-cause")), (503, Some("no_endpoint")), "no such name yet");
    knot.set_name("svc1.ns1", 2, &ips(&origins[..3]))?;
    knot.reload()?;
    // A name that does not exist is asked for again within 5 s; then come two checks, 2 s apart.
    let evenly = || {
        let names = who(30);
        ["1", "2", "3"]
            .iter()
            .all(|name| (8..=12).contains(&names.iter().filter(|found| found == name).count()))
    };
    eventually("three share evenly", Duration::from_secs(12), evenly)?;
    origins[1].behave(origin::Manners::Unhealthy);
    eventually("the failing one leaves", Duration::from_secs(3 * 2 + 1), || {
        let names = who(12);
        names.len() == 12 && !names.contains(&"2".to_owned())
    })?;
    origins[1].behave(origin::Manners::Echo);
    eventually("it comes back", Duration::from_secs(2 * 2 + 1), || who(12).contains(&"2".to_owned()))?;
    knot.set_name("svc1.ns1", 3, &ips(&origins[1..]))?;
    knot.reload()?;
    eventually("another set is followed", Duration::from_secs(2 + 4 + 1), || {
        let names = who(12);
        names.len() == 12 && !names.contains(&"1".to_owned()) && names.contains(&"4".to_owned())
    })?;
    Ok(())
}

#[test]
fn large_answers_fill_all_slots() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let names = NameServer::start(up.ip, 0)?;
    let IpAddr::V4(base) = up.ip else { anyhow::bail!("IPv4 loopback") };
    let [a, b, c, _] = base.octets();
    let many = |n: u16| -> Vec<IpAddr> {
        (0..n)
            .map(|index| IpAddr::from([a, b, c.wrapping_add((index >> 8) as u8), (index & 0xff) as u8]))
            .collect()
    };
    // 300 addresses fit into EDNS 8192 and not into 4096; 400 are truncated and come over TCP.
    names.set(NAME, &many(300));
    up.write("all.yaml", &objects(address, 9, "  healthCheck: {active: {}}\n"))?;
    up.start(&["--nameserver", &names.address.to_string()])?;
    let n_endpoints = || -> Option<usize> {
        let answer = get(up.proxy_admin, "admin", "/api/v1/backends").ok()?;
        let backends: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        Some(backends[0]["endpoints"].as_array()?.len())
    };
    eventually("300 slots", Duration::from_secs(3), || n_endpoints() == Some(300))?;
    names.set(NAME, &many(400));
    eventually("400 slots over TCP", Duration::from_secs(3), || n_endpoints() == Some(400))?;
    Ok(())
}

#[test]
fn resolver_trouble_fails_no_request() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let names = NameServer::start(up.ip, 0)?;
    let origins = origins(up.ip, 2)?;
    names.set(NAME, &ips(&origins));
    names.behave(Manners::Noisy);
    up.write("all.yaml", &objects(address, origins[0].address.port(), ""))?;
    up.start(&["--nameserver", &names.address.to_string()])?;
    eventually("found behind the noise", Duration::from_secs(3), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })?;
    let outage = number("IGW_OUTAGE_S", 6);
    let load = Load::start(address, HOST, 500, 4, Duration::from_secs(outage * 2 + 30));
    for manners in [Manners::Silent, Manners::ServFail, Manners::Refused] {
        names.behave(manners);
        std::thread::sleep(Duration::from_secs(outage) / 3);
    }
    let seen = load.stop();
    assert_eq!((seen.n_failed, seen.n_closed), (0, 0), "{:?}", seen.failures);
    assert!(seen.n_good > 300 * outage, "{seen:?}");
    // And when the server is back, its news count.
    names.behave(Manners::Good);
    names.set(NAME, &ips(&origins[1..]));
    eventually("news after the outage", Duration::from_secs(5), || {
        who(address, 6).is_ok_and(|names| names.iter().all(|name| name == "2"))
    })?;
    Ok(())
}

#[test]
fn a_real_name_server_is_followed() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let knot = Knot::start(up.ip)?;
    let origins = origins(up.ip, 3)?;
    knot.set(1, &ips(&origins))?;
    knot.reload()?;
    up.write("all.yaml", &objects(address, origins[0].address.port(), ""))?;
    up.start(&["--nameserver", &knot.address.to_string()])?;
    eventually("all three answer", Duration::from_secs(5), || {
        who(address, 9)
            .is_ok_and(|names| ["1", "2", "3"].iter().all(|name| names.contains(&(*name).to_owned())))
    })?;
    knot.set(2, &ips(&origins[..1]))?;
    knot.reload()?;
    eventually("one is left", Duration::from_secs(4), || {
        who(address, 6).is_ok_and(|names| names.iter().all(|name| name == "1"))
    })?;
    Ok(())
}
