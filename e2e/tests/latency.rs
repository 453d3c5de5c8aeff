//! What small requests notice of others: eight transfers without end beside them, through one worker.
//! `IGW_LATENCY_S` is how long each measurement takes. Over TLS it needs optimised clients: `e2e/long latency`.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use igw_e2e::client::{Connection, dial};
use igw_e2e::objects::{backend, beside, gateway_with, http_listener, https_listener, route, to_backend};
use igw_e2e::pace::{Pace, percentile};
use igw_e2e::process::{Up, free};
use igw_e2e::raw::server;
use igw_e2e::tls::{Authority, Client, Use};
use igw_e2e::usage::{Process, at_length, number};

/// What goes on beside the small requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    Downloads,
    Uploads,
}

/// Transfers under way.
struct Bulk {
    is_over: Arc<AtomicBool>,
    n_bytes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

/// How to reach the gateway.
#[derive(Clone)]
enum Way {
    Plain(SocketAddr),
    Tls(SocketAddr, Client),
}

/// Either kind of stream.
trait Wire: Read + Write + Send {}
impl<S: Read + Write + Send> Wire for S {}

/// Leaves every other thread the processor at once. Without it the transfers of this test, which a busy machine lets run
/// for milliseconds at a time, delay its small requests more than the gateway does.
fn step_back() {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else { return };
    let id = thread.file_name().unwrap_or_default();
    let _ = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(id).output();
}

/// Keeps every thread of a process on a processor.
fn pin(pid: u32, processor: usize) -> anyhow::Result<()> {
    let (pid, processor) = (pid.to_string(), processor.to_string());
    let done =
        Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", &processor, &pid]).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// A back end that answers small requests, sends without end and receives without end.
fn origin(up: &Up) -> anyhow::Result<SocketAddr> {
    server(beside(up.ip, 250), |mut stream| {
        stream.set_nodelay(true)?;
        let mut head = Vec::new();
        let mut buffer = vec![b'x'; PIECE];
        loop {
            let n_read = stream.read(&mut buffer)?;
            if n_read == 0 {
                return Ok(());
            }
            head.extend_from_slice(&buffer[..n_read]);
            if head.starts_with(b"GET /down ") && head.ends_with(b"\r\n\r\n") {
                step_back();
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {ENDLESS}\r\n\r\n")?;
                loop {
                    stream.write_all(&buffer)?;
                }
            }
            if head.starts_with(b"POST ") {
                step_back();
                while stream.read(&mut buffer)? > 0 {}
                return Ok(());
            }
            if head.ends_with(b"\r\n\r\n") {
                head.clear();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            }
        }
    })
}

// === impl Way ===

impl Way {
    fn connect(&self) -> anyhow::Result<Connection<Box<dyn Wire>>> {
        Ok(match self {
            Way::Plain(address) => Connection::over(Box::new(dial(*address)?)),
            Way::Tls(address, client) => {
                Connection::over(Box::new(client.over(dial(*address)?, HOST)?.into_stream()))
            }
        })
    }
}

// === impl Bulk ===

impl Bulk {
    fn start(way: &Way, beside: Beside) -> anyhow::Result<Self> {
        let (is_over, n_bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut threads = Vec::new();
        let n_transfers = if beside == Beside::Nothing { 0 } else { 8 };
        for _ in 0..n_transfers {
            let (way, is_over, n_bytes) = (way.clone(), Arc::clone(&is_over), Arc::clone(&n_bytes));
            threads.push(std::thread::spawn(move || {
                step_back();
                // It ends with an error where the test ends first.
                let _ = transfer(&way, beside, &is_over, &n_bytes);
            }));
        }
        Ok(Self { is_over, n_bytes, threads })
    }

    /// Bytes so far.
    fn n_bytes(&self) -> u64 {
        self.n_bytes.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn transfer(way: &Way, beside: Beside, is_over: &AtomicBool, n_bytes: &AtomicU64) -> anyhow::Result<()> {
    let mut connection = way.connect()?;
    let mut buffer = vec![b'x'; PIECE];
    let request = match beside {
        Beside::Downloads => format!("GET /down HTTP/1.1\r\nhost: {HOST}\r\n\r\n"),
        _ => format!("POST /up HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {ENDLESS}\r\n\r\n"),
    };
    connection.send(request.as_bytes())?;
    let stream = connection.stream();
    while !is_over.load(Ordering::Relaxed) {
        let n_moved = match beside {
            Beside::Downloads => stream.read(&mut buffer)?,
            _ => stream.write(&buffer)?,
        };
        ensure!(n_moved > 0, "a transfer ended");
        n_bytes.fetch_add(n_moved as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// The 99th percentile of small requests, and mebibytes a second that went beside them.
fn measure(way: &Way, beside: Beside, server: Process) -> anyhow::Result<(Duration, f64)> {
    let limit = Duration::from_secs(number("IGW_LATENCY_S", 3));
    let bulk = Bulk::start(way, beside)?;
    let settled = Instant::now() + Duration::from_millis(300);
    while Instant::now() < settled || (beside != Beside::Nothing && bulk.n_bytes() == 0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (n_before, cpu, started) = (bulk.n_bytes(), server.cpu_time()?, Instant::now());
    let of_clients = way.clone();
    let pace = Pace::start(4, RATE, limit, HOST, move || of_clients.connect());
    let samples = pace.finish();
    let seconds = started.elapsed().as_secs_f64();
    let rate = (bulk.n_bytes() - n_before) as f64 / seconds / (1024.0 * 1024.0);
    let busy = (server.cpu_time()? - cpu).as_secs_f64() / seconds;
    bulk.stop();
    ensure!(samples.iter().all(|sample| sample.outcome == Ok(200)), "{:?}", samples.first());
    let p99 = percentile(&samples, 99);
    println!(
        "{beside:?}: {} requests, median {:?}, p99 {p99:?}; {rate:.0} MiB/s beside, server {:.0} % busy",
        samples.len(),
        percentile(&samples, 50),
        busy * 100.0
    );
    Ok((p99, rate))
}

/// Three rounds of all; the middle one of each counts. Up to `loose_ms` nothing is said beside other work of the machine.
fn small_beside_large(way: &Way, server: Process, loose_ms: u64) -> anyhow::Result<()> {
    // The gateway has a processor of its own, and its peers share another.
    if std::thread::available_parallelism()?.get() > 1 {
        pin(server.0, 0)?;
        pin(std::process::id(), 1)?;
    }
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (beside, times) in
            [Beside::Nothing, Beside::Downloads, Beside::Uploads].into_iter().zip(&mut times)
        {
            let (p99, rate) = measure(way, beside, server)?;
            ensure!(beside == Beside::Nothing || rate > 10.0, "{rate} MiB/s are no load");
            times.push(p99);
        }
    }
    let [alone, down, up] = times.map(|mut times| {
        times.sort_unstable();
        times[1]
    });
    let ratio = |with: Duration| with.as_secs_f64() / alone.as_secs_f64();
    println!(
        "p99 {alone:?} alone; {down:?} beside downloads ({:.2}), {up:?} beside uploads ({:.2})",
        ratio(down),
        ratio(up)
    );
    // Whatever else runs on the machine delays one of a hundred requests, too.
    let most = (3 * alone).max(Duration::from_millis(at_length("IGW_LATENCY_S", 0, loose_ms)));
    ensure!(down <= most, "{down:?} beside downloads, {alone:?} alone");
    ensure!(up <= most, "{up:?} beside uploads, {alone:?} alone");
    Ok(())
}

/// A gateway with one worker; its plain and its TLS address.
fn scene() -> anyhow::Result<(Up, SocketAddr, SocketAddr, Client)> {
    let mut up = Up::prepare()?;
    up.n_workers = 1;
    let (plain, tls) = (free(up.ip)?, free(up.ip)?);
    let authority = Authority::new("tests")?;
    let pair = authority.issue(Use::Server, &[HOST])?;
    let listeners = [http_listener("web", plain), https_listener("websecure", tls, "own")];
    let objects = gateway_with(up.ip, &listeners)
        + &route("r", HOST, &to_backend("b"))
        + &backend("b", &[origin(&up)?])
        + &pair.secret("own");
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let client = Client::trusting(&[&authority.certificate])?;
    Ok((up, plain, tls, client))
}

#[test]
fn small_requests_hardly_notice_large_ones() -> anyhow::Result<()> {
    let (up, plain, _, _) = scene()?;
    small_beside_large(&Way::Plain(plain), Process(up.server_pid()?), 10)
}

#[test]
fn small_requests_hardly_notice_large_ones_over_tls() -> anyhow::Result<()> {
    let (up, _, tls, client) = scene()?;
    // Clients of TLS that are not optimised delay more than the gateway.
    small_beside_large(&Way::Tls(tls, client), Process(up.server_pid()?), 100)
}

const HOST: &str = "a.test";
/// Small requests in a second.
const RATE: u32 = 1_000;
const PIECE: usize = 64 * 1024;
/// Bytes that no transfer of a test ends with.
const ENDLESS: u64 = 1 << 50;
