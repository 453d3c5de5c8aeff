//! Clients that are slow, stop reading, half close or ask for too much, and the limits that hold them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::objects::{beside, one_route};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};
use igw_e2e::usage::Process;

const HOST: &str = "a.test";

/// A gateway with these limits before a back end at `origin`.
fn limited(
    limits: &str,
    origin: impl FnOnce(&Up) -> anyhow::Result<SocketAddr>,
) -> anyhow::Result<(Up, SocketAddr)> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = origin(&up)?;
    let config = format!(
        "---
apiVersion: igw.opensvc.com/v1alpha1
kind: GatewayConfig
metadata: {{name: default, namespace: system}}
spec:
  limits: {{{limits}}}
"
    );
    up.write("all.yaml", &(one_route(address, HOST, &[origin]) + &config))?;
    up.start(&[])?;
    Ok((up, address))
}

/// As [`limited`], before an ordinary back end.
fn scene(limits: &str) -> anyhow::Result<(Up, Origin, SocketAddr)> {
    let mut origin = None;
    let (up, address) = limited(limits, |up| {
        let started = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
        let address = started.address;
        origin = Some(started);
        Ok(address)
    })?;
    let origin = origin.ok_or_else(|| anyhow::anyhow!("no back end"))?;
    Ok((up, origin, address))
}

#[test]
fn a_head_has_its_time_however_it_drips() -> anyhow::Result<()> {
    let (_up, origin, address) = scene("headerTimeout: 1s")?;
    let started = Instant::now();
    let mut stalled = Connection::open(address)?;
    stalled.send(b"GET / HTTP/1.1\r\nhost: a.t")?;
    let mut dripping = Connection::open(address)?;
    for byte in b"GET / HT" {
        dripping.send(&[*byte])?;
        std::thread::sleep(Duration::from_millis(100));
    }
    for connection in [&mut stalled, &mut dripping] {
        assert_eq!(connection.read("GET")?.status, 408);
        assert!(connection.rest()?.is_empty(), "the connection ends with its answer");
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(950), "{took:?}");
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert_eq!(origin.n_requests(), 0);
    Ok(())
}

#[test]
fn a_body_below_the_rate_ends_and_one_above_it_passes() -> anyhow::Result<()> {
    let (_up, _origin, address) = scene("bodyMinRate: 1000, bodyGrace: 1s")?;
    let head = |length: usize| format!("POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n");
    // 2,000 bytes a second, for longer than the grace.
    let mut steady = Connection::open(address)?;
    steady.send(head(5_000).as_bytes())?;
    for _ in 0..50 {
        steady.send(&[b'x'; 100])?;
        std::thread::sleep(Duration::from_millis(50));
    }
    let answer = steady.read("POST")?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.report()?["body_bytes"], 5_000);
    // 100 bytes a second.
    let mut slow = Connection::open(address)?;
    slow.send(head(5_000).as_bytes())?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1_500) {
        if slow.send(&[b'x'; 10]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let answer = slow.read("POST")?;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    Ok(())
}

#[test]
fn a_client_that_stops_reading_slows_the_back_end() -> anyhow::Result<()> {
    let n_sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n_sent);
    let (up, address) = limited("idleTimeout: 60s", |up| {
        let listener = TcpListener::bind((beside(up.ip, 250), 0))?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || -> std::io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            // The request, of which nothing counts but that it came.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {BULK}\r\n\r\n")?;
            let piece = vec![b'x'; PIECE];
            while counted.load(Ordering::Relaxed) < BULK {
                stream.write_all(&piece)?;
                counted.fetch_add(PIECE, Ordering::Relaxed);
            }
            Ok(())
        });
        Ok(address)
    })?;
    let before = Process(up.server_pid()?).resident_kib()?;
    let mut client = Connection::open(address)?;
    client.send(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    // Still when nothing moved for half a second.
    let mut last = (0, Instant::now());
    eventually("the back end stands still", Duration::from_secs(10), || {
        let now = n_sent.load(Ordering::Relaxed);
        if now != last.0 || now == 0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(500)
    })?;
    assert!(last.0 < BULK / 2, "the back end sent {} of {BULK} bytes to a client that reads none", last.0);
    let grown = Process(up.server_pid()?).resident_kib()?.saturating_sub(before);
    assert!(grown < 8 * 1024, "the server grew by {grown} KiB");
    let answer = client.read("GET")?;
    assert_eq!((answer.status, answer.body.len()), (200, BULK));
    assert!(answer.body.iter().all(|byte| *byte == b'x'));
    Ok(())
}

#[test]
fn a_half_closed_client_gets_its_answer() -> anyhow::Result<()> {
    let (_up, _origin, address) = scene("idleTimeout: 60s")?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"POST /half HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi")?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.contains("POST /half"), "{text}");
    Ok(())
}

#[test]
fn a_head_too_large_is_refused() -> anyhow::Result<()> {
    let (_up, origin, address) = scene("requestHeaderBytes: 4Ki")?;
    for (n_bytes, status) in [(3 * 1024, 200), (5 * 1024, 431)] {
        let mut connection = Connection::open(address)?;
        let field = "x".repeat(n_bytes);
        connection.send(format!("GET / HTTP/1.1\r\nhost: a.test\r\nx-long: {field}\r\n\r\n").as_bytes())?;
        assert_eq!(connection.read("GET")?.status, status, "{n_bytes} bytes");
    }
    assert_eq!(origin.n_requests(), 1);
    Ok(())
}

#[test]
fn a_source_has_so_many_connections_and_no_more() -> anyhow::Result<()> {
    let (_up, _origin, address) = scene("connectionsPerSource: 2")?;
    let mut first = Connection::open(address)?;
    assert_eq!(first.get(HOST, "/")?.status, 200);
    let mut second = Connection::open(address)?;
    assert_eq!(second.get(HOST, "/")?.status, 200);
    assert!(get(address, HOST, "/").is_err(), "the third is closed");
    // Those that are there go on, and one that ends makes room.
    assert_eq!(first.get(HOST, "/")?.status, 200);
    drop(first);
    eventually("there is room again", Duration::from_secs(2), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })?;
    assert_eq!(second.get(HOST, "/")?.status, 200);
    Ok(())
}

/// More than the buffers of all sockets on the way hold.
const BULK: usize = 128 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
