//! What a request costs.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::objects::{beside, one_route};
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
    up.write("all.yaml", &one_route(address, "a.test", &[origin.address]))?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    for _ in 0..200 {
        assert_eq!(connection.get("a.test", "/")?.status, 200);
    }
    // What a scrape itself allocates is measured without requests, then subtracted. Once a second the control
    // thread looks around and allocates a little: of some rounds one is without.
    let n_requests = 500;
    let mut rounds = Vec::new();
    for _ in 0..10 {
        let first = allocations(up.proxy_admin)?;
        let second = allocations(up.proxy_admin)?;
        for _ in 0..n_requests {
            connection.get("a.test", "/")?;
        }
        let third = allocations(up.proxy_admin)?;
        rounds.push((third - second).saturating_sub(second - first));
    }
    println!("allocations beside those of a scrape, in {n_requests} requests each: {rounds:?}");
    assert!(rounds.contains(&0), "{rounds:?} allocations in {n_requests} requests each");

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
    let n_traced = 200;
    connection.get("a.test", "/begin")?;
    for _ in 1..n_traced {
        connection.get("a.test", "/")?;
    }
    connection.get("a.test", "/end")?;
    signal(strace.id(), "INT")?;
    strace.wait()?;
    let text = text();
    // From the receipt of one request to that of another, on the thread that serves the connection.
    let is_receipt = |line: &&str, path: &str| line.contains("recvfrom") && line.contains(path);
    let begin = text.lines().find(|line| is_receipt(line, "GET /begin ")).context("the first request")?;
    let thread = begin.split(' ').next().unwrap_or_default();
    let calls: Vec<&str> = text
        .lines()
        .filter(|line| line.split(' ').next() == Some(thread) && !line.contains("<unfinished"))
        .skip_while(|line| !is_receipt(line, "GET /begin "))
        .take_while(|line| !is_receipt(line, "GET /end "))
        .collect();
    let count = |call: &str| calls.iter().filter(|line| line.contains(call)).count();
    let (receives, sends) = (count("recv"), count("send"));
    println!("{n_traced} requests: {receives} receives, {sends} sends");
    assert_eq!((receives, sends), (2 * n_traced, 2 * n_traced), "{}", calls.join("\n"));
    Ok(())
}
