//! The stub resolver: servers in turn, tries, TCP where UDP does not carry the answer.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::message::{MessageError, QueryKind, Question, Records, Reply};
use crate::resolv_conf::{HostSettings, ResolvConf};
use crate::transport;

/// How a resolver asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResolverSpec {
    /// Name in metrics.
    pub name: String,
    /// Servers, asked before those of `resolv_conf`.
    pub nameservers: Vec<SocketAddr>,
    /// File to follow. Its `use-vc` holds for all servers.
    pub resolv_conf: Option<PathBuf>,
    /// Apply the file's search list to names with fewer dots than its `ndots`.
    pub search: bool,
    /// Largest UDP answer taken, in bytes, at most [`UDP_BYTES_MAX`].
    pub edns_payload: u16,
    /// Time limit of one try.
    pub timeout: Duration,
    /// Tries after the first one, over all servers.
    pub retries: u32,
}

/// A stub resolver.
#[derive(Debug)]
pub struct Resolver {
    spec: ResolverSpec,
    host: Option<Mutex<ResolvConf>>,
    /// Server that answered last.
    preferred: AtomicUsize,
    /// Room for tries under way: a thousand questions at once would overrun the server's socket.
    room: Semaphore,
    counts: Arc<QueryCounts>,
}

/// Result of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Records.
    Found(Records),
    /// The name does not exist or has no such records; so for this long.
    Nothing(Duration),
    /// No server answered in time.
    Timeout,
    /// The servers refused.
    Refused,
    /// Anything else.
    Failed,
}

/// Tries by result.
#[derive(Debug, Default)]
pub struct QueryCounts {
    counts: [AtomicU64; RESULTS.len()],
}

#[derive(Clone, Copy, Debug)]
enum TryResult {
    Success,
    NoName,
    NoData,
    Timeout,
    Refused,
    ServerFailure,
    Error,
}

// === impl Resolver ===

impl Resolver {
    /// A resolver; asks nothing yet.
    #[must_use]
    pub fn new(spec: ResolverSpec) -> Self {
        let host = spec.resolv_conf.clone().map(|path| Mutex::new(ResolvConf::new(path)));
        Self {
            spec,
            host,
            preferred: AtomicUsize::new(0),
            room: Semaphore::new(TRIES_MAX),
            counts: Arc::new(QueryCounts::default()),
        }
    }

    /// Counts of tries by result.
    #[must_use]
    pub fn counts(&self) -> Arc<QueryCounts> {
        Arc::clone(&self.counts)
    }

    /// Looks a name up.
    pub async fn lookup(&self, name: &str, kind: QueryKind) -> Lookup {
        let host = self.host_settings();
        let mut last = Lookup::Failed;
        for candidate in self.candidates(name, &host) {
            last = self.ask(&candidate, kind, &host).await;
            if !matches!(last, Lookup::Nothing(_)) {
                break;
            }
        }
        last
    }

    /// Names to try, in order.
    fn candidates(&self, name: &str, host: &HostSettings) -> Vec<String> {
        let plain = name.trim_end_matches('.').to_owned();
        let n_dots = plain.bytes().filter(|byte| *byte == b'.').count();
        if !self.spec.search || name.ends_with('.') || host.search.is_empty() {
            return vec![plain];
        }
        let searched = host.search.iter().map(|domain| format!("{plain}.{domain}"));
        if n_dots >= host.ndots as usize {
            std::iter::once(plain.clone()).chain(searched).collect()
        } else {
            searched.chain([plain.clone()]).collect()
        }
    }

    /// Asks servers in turn until one gives an answer that counts.
    async fn ask(&self, name: &str, kind: QueryKind, host: &HostSettings) -> Lookup {
        let servers: Vec<SocketAddr> =
            self.spec.nameservers.iter().chain(&host.nameservers).copied().collect();
        if servers.is_empty() {
            self.counts.count(TryResult::Error);
            return Lookup::Failed;
        }
        let mut last = Lookup::Failed;
        // Every server gets a try, however few tries were asked for.
        let n_tries = (self.spec.retries as usize + 1).max(servers.len());
        let first = self.preferred.load(Ordering::Relaxed);
        for attempt in 0..n_tries {
            let index = first.wrapping_add(attempt) % servers.len();
            let Some(server) = servers.get(index).copied() else { continue };
            let Ok(question) = Question::new(rand::rng().random(), name, kind) else {
                self.counts.count(TryResult::Error);
                return Lookup::Failed;
            };
            // Never closed; waiting for room costs nothing of the try's time.
            let room = self.room.acquire().await;
            let reply = timeout(self.spec.timeout, self.converse(server, &question, host.use_tcp)).await;
            drop(room);
            let (result, lookup, is_final) = match reply {
                Ok(Ok(Reply::Records(records))) => (TryResult::Success, Lookup::Found(records), true),
                Ok(Ok(Reply::NoName(ttl))) => (TryResult::NoName, Lookup::Nothing(ttl), true),
                Ok(Ok(Reply::NoData(ttl))) => (TryResult::NoData, Lookup::Nothing(ttl), true),
                Ok(Ok(Reply::Refused)) => (TryResult::Refused, Lookup::Refused, false),
                Ok(Ok(Reply::Failed | Reply::Truncated)) => (TryResult::ServerFailure, Lookup::Failed, false),
                Ok(Err(_)) => (TryResult::Error, Lookup::Failed, false),
                Err(_elapsed) => (TryResult::Timeout, Lookup::Timeout, false),
            };
            self.counts.count(result);
            last = lookup;
            if is_final {
                self.preferred.store(index, Ordering::Relaxed);
                break;
            }
        }
        last
    }

    /// One try with one server.
    async fn converse(&self, server: SocketAddr, question: &Question, use_tcp: bool) -> io::Result<Reply> {
        let payload = self.spec.edns_payload.clamp(UDP_BYTES_MIN, UDP_BYTES_MAX);
        let query = question.encode(payload).map_err(io::Error::other)?;
        if !use_tcp {
            let reply = transport::udp(server, &query, payload, |bytes| match question.decode(bytes) {
                Err(MessageError::NotOurs | MessageError::Malformed) => None,
                other => Some(other),
            })
            .await?
            .map_err(io::Error::other)?;
            if reply != Reply::Truncated {
                return Ok(reply);
            }
        }
        let bytes = transport::tcp(server, &query).await?;
        question.decode(&bytes).map_err(io::Error::other)
    }

    fn host_settings(&self) -> HostSettings {
        match &self.host {
            // Reading leaves the settings whole.
            Some(host) => host
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .settings(Instant::now().into_std())
                .clone(),
            None => HostSettings::default(),
        }
    }
}

// === impl QueryCounts ===

impl QueryCounts {
    /// `(result, count)` for each result.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        RESULTS
            .iter()
            .zip(&self.counts)
            .map(|(result, count)| (*result, count.load(Ordering::Relaxed)))
            .collect()
    }

    fn count(&self, result: TryResult) {
        if let Some(count) = self.counts.get(result as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Largest UDP answer, in bytes.
pub const UDP_BYTES_MAX: u16 = 8_192;
/// Tries of one resolver under way at once.
pub const TRIES_MAX: usize = 128;
/// What every server may send, in bytes (RFC 1035).
const UDP_BYTES_MIN: u16 = 512;
/// Names of [`TryResult`], in its order.
const RESULTS: [&str; 7] = ["success", "nxdomain", "nodata", "timeout", "refused", "servfail", "error"];
