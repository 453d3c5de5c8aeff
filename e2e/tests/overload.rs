//! More than there is room for: of requests before busy back ends, and of connections before few descriptors.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::ensure;
use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::objects::{backend, backend_policy, beside, gateway, route, to_backend};
use igw_e2e::origin::{Manners, Origin};
use igw_e2e::pace::{Pace, Sample, percentile};
use igw_e2e::process::{Up, free};
use igw_e2e::raw::server;
use igw_e2e::usage::{Process, at_length, number};

/// A gateway before endpoints that each have so many connections at a time.
fn scene(up: &mut Up, endpoints: &[SocketAddr], connections: &str) -> anyhow::Result<SocketAddr> {
    let address = free(up.ip)?;
    let policy =
        format!("  healthCheck: {{active: {{}}, passive: {{}}}}\n  connections: {{{connections}}}\n");
    let objects = gateway(address)
        + &route("r", HOST, &to_backend("b"))
        + &backend("b", endpoints)
        + &backend_policy("b", &policy);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    Ok(address)
}

/// A back end that answers after [`DELAY`].
fn busy(up: &Up) -> anyhow::Result<SocketAddr> {
    server(beside(up.ip, 250), |mut stream| {
        stream.set_nodelay(true)?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            let n_read = stream.read(&mut buffer)?;
            bytes.extend_from_slice(&buffer[..n_read]);
            if n_read == 0 {
                return Ok(());
            }
            if bytes.ends_with(b"\r\n\r\n") {
                bytes.clear();
                std::thread::sleep(DELAY);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            }
        }
    })
}

/// Three times as many requests as the back ends can answer.
fn overload(queue: &str) -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let endpoints = [busy(&up)?, busy(&up)?];
    let address = scene(&mut up, &endpoints, &format!("maxPerEndpoint: {PER_ENDPOINT}{queue}"))?;
    let capacity = 2 * PER_ENDPOINT * 1_000 / DELAY.as_millis() as u32;
    let limit = Duration::from_secs(number("IGW_OVERLOAD_S", 6));
    // So many clients that each has its answer before its next request is due.
    let pace = Pace::start(192, capacity * 3, limit, HOST, move || Connection::open(address));
    let samples = pace.finish();
    let of = |status: u16| samples.iter().filter(move |sample| sample.outcome == Ok(status));
    let (n_good, n_shed) = (of(200).count(), of(503).count());
    let n_possible = f64::from(capacity) * limit.as_secs_f64();
    let goodput = n_good as f64 / n_possible;
    println!(
        "queue {queue:?}: {} requests, {n_good} good ({:.1} % of capacity), p99 {:?}; {n_shed} shed, p99 {:?}, slowest {:?}; latest {:?}",
        samples.len(),
        goodput * 100.0,
        percentile(of(200), 99),
        percentile(of(503), 99),
        percentile(of(503), 100),
        samples.iter().map(|sample| sample.late).max().unwrap_or_default(),
    );
    let others: Vec<&Sample> =
        samples.iter().filter(|sample| !matches!(sample.outcome, Ok(200 | 503))).take(10).collect();
    ensure!(others.is_empty(), "{others:?}");
    ensure!(samples.len() as f64 > n_possible * 2.9, "{} requests were sent", samples.len());
    let (goodput_min, shed_max) = at_length("IGW_OVERLOAD_S", (0.9, 5), (0.8, 50));
    ensure!(goodput >= goodput_min, "{n_good} good of {n_possible} possible");
    let shed = percentile(of(503), 99);
    ensure!(shed <= Duration::from_millis(shed_max), "shed after {shed:?}");
    // Who waits waits for as long as those before it take, and no longer.
    ensure!(
        percentile(of(200), 99) <= DELAY * at_length("IGW_OVERLOAD_S", 3, 6),
        "{:?}",
        percentile(of(200), 99)
    );
    Ok(())
}

#[test]
fn what_is_too_much_is_shed_at_once() -> anyhow::Result<()> {
    overload("")
}

#[test]
fn a_queue_turns_nothing_into_timeouts() -> anyhow::Result<()> {
    overload(", queue: {max: 8, timeout: 5s}")
}

#[test]
fn who_gave_up_waiting_takes_nobodys_turn() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    up.n_workers = 1;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let address = scene(&mut up, &[origin.address], "maxPerEndpoint: 1, queue: {max: 10, timeout: 1s}")?;
    origin.behave(Manners::Hang);
    let ask = || -> anyhow::Result<Connection> {
        let mut connection = Connection::open(address)?;
        connection.send(b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n")?;
        Ok(connection)
    };
    let mut first = ask()?;
    eventually("the back end is busy", Duration::from_secs(5), || origin.n_requests() == 1)?;
    let mut impatient = [ask()?, ask()?, ask()?];
    for connection in &mut impatient {
        assert_eq!(connection.read("POST")?.status, 503, "it waited its time");
    }
    let mut patient = ask()?;
    // In the queue for sure, with most of its time before it.
    std::thread::sleep(Duration::from_millis(200));
    origin.behave(Manners::Echo);
    assert_eq!(first.read("POST")?.status, 502, "the busy back end closed");
    let free = Instant::now();
    assert_eq!(patient.read("POST")?.status, 200);
    let took = free.elapsed();
    println!("served {took:?} after there was room");
    ensure!(took < Duration::from_millis(300), "served {took:?} after there was room");
    Ok(())
}

#[test]
fn few_descriptors_are_full_and_nothing_spins() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    up.max_descriptors = Some(256);
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    up.write(
        "limits.yaml",
        "apiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\n\
         spec: {limits: {headerTimeout: 60s}}\n",
    )?;
    let address = scene(&mut up, &[origin.address], "")?;
    assert_eq!(get(address, HOST, "/")?.status, 200);
    let server = Process(up.server_pid()?);
    let crowd: Vec<TcpStream> =
        (0..1_000).map(|_| TcpStream::connect(address)).collect::<std::io::Result<_>>()?;
    let mut n_before = 0;
    eventually("it takes no more", Duration::from_secs(5), || {
        let n_now = server.n_descriptors().unwrap_or(0);
        std::mem::replace(&mut n_before, n_now) == n_now && n_now > 100
    })?;
    let (started, cpu) = (Instant::now(), server.cpu_time()?);
    let mut slowest = Duration::ZERO;
    while started.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert_eq!(get(up.proxy_admin, "admin", "/healthz")?.status, 200, "admin answers");
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    let busy = (server.cpu_time()? - cpu).as_secs_f64() / started.elapsed().as_secs_f64();
    let n_descriptors = server.n_descriptors()?;
    drop(crowd);
    let took = eventually("it serves again", Duration::from_secs(5), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })?;
    println!(
        "full with {n_descriptors} descriptors: {:.1} % of a processor, admin after {slowest:?}; recovered after {took:?}",
        busy * 100.0
    );
    ensure!(n_descriptors < 256, "{n_descriptors}");
    ensure!(busy < 0.2, "{busy} of a processor");
    ensure!(took < Duration::from_secs(1), "recovered after {took:?}");
    Ok(())
}

const HOST: &str = "a.test";
/// How long a back end takes for a request.
const DELAY: Duration = Duration::from_millis(50);
const PER_ENDPOINT: u32 = 8;
