//! Thousands of clients that are slow on purpose, half of them over TLS, and one that is not.
//! `IGW_CROWD` is how many; `IGW_CROWD_DEFAULTS=1` keeps the limits that a gateway has without a word.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::client::{Connection, eventually};
use igw_e2e::objects::{backend, beside, gateway_with, http_listener, https_listener, route, to_backend};
use igw_e2e::pace::{Pace, percentile};
use igw_e2e::process::{Up, free};
use igw_e2e::raw::server;
use igw_e2e::tls::{Authority, Client, Use};
use igw_e2e::usage::{Process, at_length, number};
use rustix::io::ioctl_fionread;
use rustix::process::{Resource, getrlimit, setrlimit};

/// What a client is slow with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It asked once and keeps the connection.
    Idle,
    /// A byte of a body every second.
    Body,
    /// It asks for much and reads nothing.
    Reading,
    /// A byte of a head every second.
    Head,
}

/// A slow client.
struct Attacker {
    kind: Kind,
    wire: Wire,
    /// When its time began.
    begun: Instant,
    /// When its socket last took something, of one that does not read: before, it has not stalled.
    filled: Instant,
    /// Bytes in its socket.
    n_unread: u64,
    /// How long it lived, once it is closed.
    lived: Option<Duration>,
    /// How long it had been slow then.
    slow_for: Duration,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

/// The limits in force.
struct Limits {
    head: Duration,
    stall: Duration,
    idle: Duration,
}

struct Scene {
    up: Up,
    plain: SocketAddr,
    tls: SocketAddr,
    client: Client,
    limits: Limits,
}

#[test]
fn slow_crowds_cost_others_nothing() -> anyhow::Result<()> {
    raise_limit()?;
    let n_attackers = number("IGW_CROWD", 800_usize);
    let scene = Scene::start()?;
    let server = Process(scene.up.server_pid()?);
    let address = scene.plain;
    let honest = Pace::start(4, 200, Duration::from_secs(300), HOST, move || Connection::open(address));
    // What ordinary traffic and the first of each kind need, pages of the program and shared buffers, is not the crowd's.
    drop(scene.gather(FEW)?);
    std::thread::sleep(Duration::from_secs(2));
    let before = server.resident_kib()?;
    let began = Instant::now();
    let mut attackers = scene.gather(n_attackers)?;
    println!("{} attackers after {:?}", attackers.len(), began.elapsed());
    let mut n_most = 0;
    let mut peak = 0;
    let mut round = 0;
    while attackers.iter().any(|attacker| attacker.lived.is_none()) {
        round += 1;
        if round % ROUNDS_PER_DRIP == 0 {
            n_most = n_most.max(scene.active()?);
        }
        peak = peak.max(server.resident_kib()?);
        let longest = scene.limits.idle + Duration::from_secs(10);
        let living = attackers.iter_mut().enumerate().filter(|(_, attacker)| attacker.lived.is_none());
        for (index, attacker) in living {
            // Not all at once: they do not know of each other.
            attacker.go_on((index + round) % ROUNDS_PER_DRIP == 0);
            ensure!(attacker.begun.elapsed() < longest, "{:?} is not closed", attacker.kind);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let samples = honest.stop();
    let n_failed = samples.iter().filter(|sample| sample.outcome != Ok(200)).count();
    let p99 = percentile(&samples, 99);
    let per_attacker = peak.saturating_sub(before) as f64 / n_attackers as f64;
    println!(
        "{n_most} connections at most; resident {before} KiB before, {peak} KiB at most: {per_attacker:.1} KiB each; \
         honest: {} requests, {n_failed} failed, p99 {p99:?}, slowest {:?}",
        samples.len(),
        percentile(&samples, 100)
    );
    for kind in KINDS {
        let limit = scene.limits.of(kind);
        let of_kind = || attackers.iter().filter(|attacker| attacker.kind == kind);
        let shortest = of_kind().filter_map(|attacker| attacker.lived).min().unwrap_or_default();
        let longest = of_kind().map(|attacker| attacker.slow_for).max().unwrap_or_default();
        println!("{kind:?}: closed after {shortest:?} to {longest:?}, limit {limit:?}");
        ensure!(shortest + Duration::from_millis(500) >= limit, "{kind:?} closed after {shortest:?}");
        ensure!(longest <= limit + Duration::from_secs(1), "{kind:?} closed after {longest:?}");
    }
    ensure!(n_most >= n_attackers, "{n_most} connections at a time");
    ensure!(n_failed == 0, "{:?}", samples.iter().find(|sample| sample.outcome != Ok(200)));
    let p99_max = Duration::from_millis(at_length("IGW_CROWD", 10, 100));
    ensure!(p99 <= p99_max, "p99 {p99:?}");
    ensure!(per_attacker <= 16.0, "{per_attacker:.1} KiB for each attacker");
    // Nothing of them is left.
    eventually("their connections are gone", Duration::from_secs(3), || {
        scene.active().is_ok_and(|n_active| n_active <= 1)
    })?;
    Ok(())
}

// === impl Scene ===

impl Scene {
    fn start() -> anyhow::Result<Self> {
        let mut up = Up::prepare()?;
        let (plain, tls) = (free(up.ip)?, free(up.ip)?);
        let authority = Authority::new("tests")?;
        let pair = authority.issue(Use::Server, &[HOST])?;
        let listeners = [http_listener("web", plain), https_listener("websecure", tls, "own")];
        let mut objects = gateway_with(up.ip, &listeners)
            + &route("r", HOST, &to_backend("b"))
            + &backend("b", &[patient(&up)?])
            + &pair.secret("own");
        let mut limits = Limits {
            head: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        };
        if number("IGW_CROWD_DEFAULTS", 0_u8) == 0 {
            limits = Limits {
                head: Duration::from_secs(5),
                stall: Duration::from_secs(8),
                idle: Duration::from_secs(12),
            };
            objects += "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\n\
                        spec: {limits: {headerTimeout: 5s, bodyGrace: 8s, idleTimeout: 12s}}\n";
        }
        up.write("all.yaml", &objects)?;
        up.start(&[])?;
        let mut client = Client::trusting(&[&authority.certificate])?;
        client.keep_sessions()?;
        Ok(Self { up, plain, tls, client, limits })
    }

    /// Connections of clients that the proxy counts.
    fn active(&self) -> anyhow::Result<usize> {
        Ok(self.up.metric(&["igw_connections_active"])? as usize)
    }

    /// Opens as many connections, those with the most time first, at a steady rate: they are slow and no flood.
    fn gather(&self, n_attackers: usize) -> anyhow::Result<Vec<Attacker>> {
        let next = AtomicUsize::new(0);
        let began = Instant::now();
        let all = Mutex::new(Vec::new());
        let gather = || -> anyhow::Result<()> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= n_attackers {
                    return Ok(());
                }
                let due = began + ARRIVAL * u32::try_from(index)?;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let kind = KINDS[index * KINDS.len() / n_attackers];
                let attacker =
                    self.attacker(kind, index.is_multiple_of(2)).with_context(|| format!("{kind:?}"))?;
                all.lock().map_err(|_| anyhow::anyhow!("another thread failed"))?.push(attacker);
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(gather)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Ok(())))
        })?;
        all.into_inner().map_err(|_| anyhow::anyhow!("a thread failed"))
    }

    fn attacker(&self, kind: Kind, is_tls: bool) -> anyhow::Result<Attacker> {
        let mut wire = match is_tls {
            false => Wire::Plain(narrow(self.plain)?),
            true => Wire::Tls(Box::new(self.client.over(narrow(self.tls)?, HOST)?.into_stream())),
        };
        match kind {
            Kind::Idle => wire = wire.asked_once()?,
            Kind::Body => {
                wire.write_all(b"POST /slow HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000000\r\n\r\n")?
            }
            Kind::Reading => wire.write_all(b"GET /endless HTTP/1.1\r\nhost: a.test\r\n\r\n")?,
            Kind::Head => wire.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nx-slow: ")?,
        }
        let begun = Instant::now();
        wire.socket().set_nonblocking(true)?;
        Ok(Attacker { kind, wire, begun, filled: begun, n_unread: 0, lived: None, slow_for: Duration::ZERO })
    }
}

// === impl Limits ===

impl Limits {
    fn of(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Idle => self.idle,
            Kind::Body | Kind::Reading => self.stall,
            Kind::Head => self.head,
        }
    }
}

// === impl Attacker ===

impl Attacker {
    /// Looks whether it is closed, and drips.
    fn go_on(&mut self, is_drip: bool) {
        let is_closed = match self.kind {
            Kind::Reading => {
                let n_unread = ioctl_fionread(self.wire.socket()).unwrap_or(self.n_unread);
                if n_unread > self.n_unread {
                    self.n_unread = n_unread;
                    self.filled = Instant::now();
                }
                // It does not read: a reset is all that can tell it.
                !matches!(self.wire.socket().take_error(), Ok(None))
            }
            _ => self.wire.is_at_end(),
        };
        if is_closed {
            self.lived = Some(self.begun.elapsed());
            self.slow_for = self.filled.elapsed();
        } else if is_drip && matches!(self.kind, Kind::Head | Kind::Body) {
            // An error shows at the next look.
            let _ = self.wire.write(b"x");
        }
    }
}

// === impl Wire ===

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    /// The same after a request and its answer.
    fn asked_once(self) -> anyhow::Result<Self> {
        let mut connection = Connection::over(self);
        ensure!(connection.get(HOST, "/small")?.status == 200);
        Ok(connection.into_stream())
    }

    /// Takes what came; true if nothing will come any more.
    fn is_at_end(&mut self) -> bool {
        let mut buffer = [0; 1_024];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection as over a network, with segments of its size and a small window: on the loopback a kernel
/// swallows megabytes of an answer, and there is nobody to stall.
fn narrow(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_tcp_mss(1_460)?;
    socket.set_recv_buffer_size(16 * 1024)?;
    socket.connect_timeout(&address.into(), Duration::from_secs(10))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// A back end that answers what is small, sends what is endless and takes bodies of any length.
fn patient(up: &Up) -> anyhow::Result<SocketAddr> {
    server(beside(up.ip, 250), |mut stream| {
        stream.set_nodelay(true)?;
        let mut head = Vec::new();
        let mut buffer = [b'x'; 8_192];
        loop {
            let n_read = stream.read(&mut buffer)?;
            if n_read == 0 {
                return Ok(());
            }
            head.extend_from_slice(&buffer[..n_read]);
            if head.starts_with(b"POST ") {
                while stream.read(&mut buffer)? > 0 {}
                return Ok(());
            }
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            if head.starts_with(b"GET /endless ") {
                // Else the kernel holds megabytes for each of thousands.
                socket2::SockRef::from(&stream).set_send_buffer_size(buffer.len())?;
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1_u64 << 50)?;
                loop {
                    stream.write_all(&buffer)?;
                }
            }
            head.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
    })
}

/// As many descriptors as may be, for this process and those that it starts.
fn raise_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Attackers of every kind, plain and over TLS.
const FEW: usize = 16;
const HOST: &str = "a.test";
/// Time between two that come.
const ARRIVAL: Duration = Duration::from_millis(1);
/// Looks at all attackers, 100 ms apart, between two bytes of each.
const ROUNDS_PER_DRIP: usize = 10;
/// In the order in which they come: those that may stay longest first.
const KINDS: [Kind; 4] = [Kind::Idle, Kind::Body, Kind::Reading, Kind::Head];
