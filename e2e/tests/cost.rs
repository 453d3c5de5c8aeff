//! What a request costs.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::objects::{backend, beside, gateway, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free, signal};

fn allocations(admin: SocketAddr) -> anyhow::Result<u64> {
    let metrics = String::from_utf8(get(admin, "admin", "/metrics")?.body)?;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("igw_process_allocations_total"))
        .context("the counter")?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

#[test]
fn a_request_costs_four_calls_and_no_allocation() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    up.write(
        "all.yaml",
        &(gateway(address) + &route("r", "a.test", &to_backend("b")) + &backend("b", &[origin.address])),
    )?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    for _ in 0..200 {
        assert_eq!(connection.get("a.test", "/")?.status, 200);
    }
    // What a scrape itself allocates is measured without requests, then subtracted.
    let n_requests = 2_000;
    let first = allocations(up.proxy_admin)?;
    let second = allocations(up.proxy_admin)?;
    for _ in 0..n_requests {
        connection.get("a.test", "/")?;
    }
    let third = allocations(up.proxy_admin)?;
    let extra = (third - second).saturating_sub(second - first);
    println!("{extra} allocations beside those of a scrape in {n_requests} requests");
    assert!(extra < n_requests / 20, "{extra} allocations in {n_requests} requests");

    let trace = tempfile::NamedTempFile::new()?;
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-q",
            "-e",
            "trace=%network,read,write,readv,writev",
            "-o",
            &trace.path().display().to_string(),
            "-p",
            &up.server_pid()?.to_string(),
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("strace is installed by e2e/test")?;
    let text = || std::fs::read_to_string(trace.path()).unwrap_or_default();
    eventually("strace is attached", Duration::from_secs(5), || {
        let _ = connection.get("a.test", "/");
        text().contains("recvfrom")
    })?;
    let count =
        |text: &str, call: &str| text.lines().filter(|line| line.contains(&format!(" {call}("))).count();
    let before = text();
    let n_traced = 200;
    for _ in 0..n_traced {
        connection.get("a.test", "/")?;
    }
    signal(strace.id(), "INT")?;
    strace.wait()?;
    let after = text();
    let receives = count(&after, "recvfrom") - count(&before, "recvfrom");
    let sends = count(&after, "sendto") - count(&before, "sendto");
    println!("{n_traced} requests: {receives} receives, {sends} sends");
    assert!((2 * n_traced..=2 * n_traced + 8).contains(&receives), "{receives} receives");
    assert!((2 * n_traced..=2 * n_traced + 8).contains(&sends), "{sends} sends");
    Ok(())
}
