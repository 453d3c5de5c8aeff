//! An authoritative name server whose zone and manners change while it runs (RFC 1035, by hand).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

/// The server. Dropping it ends its threads.
pub struct NameServer {
    /// UDP and TCP.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// How the server answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// As it should.
    #[default]
    Good,
    /// Not at all.
    Silent,
    /// With SERVFAIL.
    ServFail,
    /// With REFUSED.
    Refused,
    /// As it should, after noise: a wrong id, a query in place of an answer, another question.
    Noisy,
}

/// What a record says (RFC 1035, RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// A name for an address.
    Ptr(String),
    /// A server of the zone.
    Ns(String),
    /// The zone, as text.
    Soa(String),
    /// Weight, port and name of a server.
    Srv(u32, u16, String),
}

struct Shared {
    zone: Mutex<BTreeMap<String, Vec<Data>>>,
    manners: Mutex<Manners>,
    ttl_s: AtomicU64,
    n_queries: AtomicU64,
    is_over: AtomicBool,
}

// === impl NameServer ===

impl NameServer {
    /// Starts a server on a free port of `ip`, or on `port`.
    ///
    /// # Errors
    /// Fails if the port is taken.
    pub fn start(ip: IpAddr, port: u16) -> anyhow::Result<Self> {
        let (udp, tcp) = ports(ip, port)?;
        let address = udp.local_addr()?;
        udp.set_read_timeout(Some(POLL))?;
        tcp.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            zone: Mutex::new(BTreeMap::new()),
            manners: Mutex::new(Manners::Good),
            ttl_s: AtomicU64::new(1),
            n_queries: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let of_udp = Arc::clone(&shared);
        std::thread::spawn(move || of_udp.serve_udp(&udp));
        let of_tcp = Arc::clone(&shared);
        std::thread::spawn(move || of_tcp.serve_tcp(&tcp));
        Ok(Self { address, shared })
    }

    /// Replaces the addresses of a name; none makes the name vanish.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        let mut zone = lock(&self.shared.zone);
        if addresses.is_empty() {
            zone.remove(&name.to_lowercase());
        } else {
            zone.insert(name.to_lowercase(), addresses.iter().copied().map(Data::Address).collect());
        }
    }

    /// Replaces the whole zone. Names are in lower case, without the last dot.
    pub fn replace(&self, zone: BTreeMap<String, Vec<Data>>) {
        *lock(&self.shared.zone) = zone;
    }

    /// Changes the lifetime of answers, in seconds; 1 at first.
    pub fn set_ttl_s(&self, ttl_s: u64) {
        self.shared.ttl_s.store(ttl_s, Ordering::Relaxed);
    }

    /// Changes the manners.
    pub fn behave(&self, manners: Manners) {
        *lock(&self.shared.manners) = manners;
    }

    /// Questions so far.
    #[must_use]
    pub fn n_queries(&self) -> u64 {
        self.shared.n_queries.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

/// One port for both transports. A port that is free for UDP may not be for TCP: then another is tried.
fn ports(ip: IpAddr, port: u16) -> anyhow::Result<(UdpSocket, TcpListener)> {
    let mut n_tries = 0;
    loop {
        let udp = UdpSocket::bind((ip, port)).context("UDP port for the name server")?;
        n_tries += 1;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(_) if port == 0 && n_tries < 100 => {}
            Err(error) => return Err(error).context("TCP port for the name server"),
        }
    }
}

// === impl Shared ===

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok((n_bytes, peer)) = socket.recv_from(&mut buffer) else { continue };
            let query = &buffer[..n_bytes];
            if *lock(&self.manners) == Manners::Noisy
                && let Some(answer) = self.answer(query)
            {
                let mut wrong_id = answer.clone();
                wrong_id[0] ^= 0x55;
                let mut no_answer = answer.clone();
                no_answer[2] &= 0x7f;
                let mut other_question = answer;
                other_question[13] ^= 1;
                for noise in [wrong_id, no_answer, other_question, b"noise".to_vec()] {
                    let _ = socket.send_to(&noise, peer);
                }
            }
            let Some(answer) = self.answer(query) else { continue };
            let limit = payload(query).max(512);
            let answer = if answer.len() > limit { truncated(&answer, query) } else { answer };
            let _ = socket.send_to(&answer, peer);
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok((mut stream, _)) = listener.accept() else {
                std::thread::sleep(POLL / 10);
                continue;
            };
            let _ = stream.set_nonblocking(false);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut query).is_err() {
                continue;
            }
            if let Some(answer) = self.answer(&query) {
                let length = u16::try_from(answer.len()).unwrap_or(u16::MAX).to_be_bytes();
                let _ = stream.write_all(&[&length[..], &answer].concat());
            }
        }
    }

    /// The whole answer, or nothing for a silent server or a query that is none.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        self.n_queries.fetch_add(1, Ordering::Relaxed);
        let manners = *lock(&self.manners);
        let (name, end) = question(query)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        let rcode_of = |rcode: u8| header(query, end + 4, rcode, 0);
        match manners {
            Manners::Silent => return None,
            Manners::ServFail => return Some(rcode_of(2)),
            Manners::Refused => return Some(rcode_of(5)),
            Manners::Good | Manners::Noisy => {}
        }
        let zone = lock(&self.zone);
        let Some(records) = zone.get(&name) else { return Some(rcode_of(3)) };
        let matching: Vec<&Data> = records.iter().filter(|data| data.number() == kind).collect();
        let mut answer = header(query, end + 4, 0, u16::try_from(matching.len()).ok()?);
        let ttl = u32::try_from(self.ttl_s.load(Ordering::Relaxed)).ok()?;
        for data in matching {
            answer.extend_from_slice(&[0xc0, 12]);
            answer.extend_from_slice(&kind.to_be_bytes());
            answer.extend_from_slice(&[0, 1]);
            answer.extend_from_slice(&ttl.to_be_bytes());
            let bytes = data.bytes();
            answer.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
            answer.extend_from_slice(&bytes);
        }
        Some(answer)
    }
}

// === impl Data ===

impl Data {
    /// Type of the record.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Address(IpAddr::V4(_)) => "A",
            Self::Address(IpAddr::V6(_)) => "AAAA",
            Self::Ptr(_) => "PTR",
            Self::Ns(_) => "NS",
            Self::Soa(_) => "SOA",
            Self::Srv(..) => "SRV",
        }
    }

    /// What it says, as text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Ptr(name) | Self::Ns(name) | Self::Soa(name) => name.clone(),
            Self::Srv(weight, port, target) => format!("0 {weight} {port} {target}"),
        }
    }

    fn number(&self) -> u16 {
        match self {
            Self::Address(IpAddr::V4(_)) => 1,
            Self::Ns(_) => 2,
            Self::Soa(_) => 6,
            Self::Ptr(_) => 12,
            Self::Address(IpAddr::V6(_)) => 28,
            Self::Srv(..) => 33,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Self::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Self::Ptr(name) | Self::Ns(name) => labels(name),
            Self::Soa(text) => {
                let mut words = text.split(' ');
                let names = words
                    .by_ref()
                    .take(2)
                    .flat_map(|name| labels(&name.replace('@', ".")))
                    .collect::<Vec<_>>();
                let numbers = words.flat_map(|word| word.parse::<u32>().unwrap_or(0).to_be_bytes());
                names.into_iter().chain(numbers).collect()
            }
            Self::Srv(weight, port, target) => {
                let weight = u16::try_from(*weight).unwrap_or(u16::MAX);
                [&[0, 0][..], &weight.to_be_bytes(), &port.to_be_bytes(), &labels(target)].concat()
            }
        }
    }
}

/// A name as labels.
fn labels(name: &str) -> Vec<u8> {
    let parts = name.split('.').filter(|part| !part.is_empty());
    let mut bytes: Vec<u8> = parts
        .flat_map(|part| std::iter::once(u8::try_from(part.len()).unwrap_or(0)).chain(part.bytes()))
        .collect();
    bytes.push(0);
    bytes
}

/// Name asked for, in lower case, and where it ends.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
}

/// Header and question of an answer.
fn header(query: &[u8], end: usize, rcode: u8, n_answers: u16) -> Vec<u8> {
    let mut answer = query.get(..2).unwrap_or_default().to_vec();
    answer.extend_from_slice(&[0x85, 0x80 | rcode, 0, 1]);
    answer.extend_from_slice(&n_answers.to_be_bytes());
    answer.extend_from_slice(&[0, 0, 0, 0]);
    answer.extend_from_slice(query.get(12..end).unwrap_or_default());
    answer
}

fn truncated(answer: &[u8], query: &[u8]) -> Vec<u8> {
    let end = question(query).map_or(12, |(_, end)| end + 4);
    let mut short = answer.get(..end).unwrap_or_default().to_vec();
    short[2] |= 2;
    short[6] = 0;
    short[7] = 0;
    short
}

/// UDP payload size that the query's OPT record offers.
fn payload(query: &[u8]) -> usize {
    let Some((_, end)) = question(query) else { return 512 };
    match query.get(end + 4..) {
        Some([0, 0, 41, high, low, ..]) => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 512,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const POLL: Duration = Duration::from_millis(100);
