//! The state of the cluster: nodes with their files, what they have published, what runs on them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::callers::Sessions;
use crate::path::Path;
use crate::stored::Stored;
use crate::streams::{EventFaults, Stream};

/// Times of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// From the last write of a file to its publication on that node.
    pub debounce: Duration,
    /// From there to the peers.
    pub relay: (Duration, Duration),
    /// Until peers take a silent node for lost.
    pub heartbeat: Duration,
    /// Until a service of a lost node starts elsewhere.
    pub ready: Duration,
    /// One step of an orchestration.
    pub transition: Duration,
    /// Between two looks at the processes of monitored resources.
    pub monitor: Duration,
    /// Between reading and writing a file.
    pub write: Duration,
    /// Times of files are multiples of this.
    pub tick: Duration,
}

/// A file on a node.
#[derive(Clone, Debug)]
pub struct File {
    /// Its content.
    pub stored: Stored,
    /// Its time in nanoseconds.
    pub mtime: i128,
    /// Counts writes, so that a publication knows whether it is the last one.
    pub version: u64,
}

/// What a node has published of an object.
#[derive(Clone, Debug)]
pub struct Published {
    /// Checksum of the file.
    pub csum: String,
    /// Time of the file.
    pub updated_at: i128,
    /// Nodes.
    pub scope: Vec<String>,
    /// When.
    pub at: Instant,
}

/// A resource of an instance.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Driver.
    pub driver: String,
    /// What it is, in words.
    pub label: String,
    /// `up` or `down`.
    pub state: &'static str,
    /// `true`, `false` or `n/a`.
    pub provisioned: &'static str,
    /// Facts; an empty map for none.
    pub facts: Value,
}

/// State of an instance that runs.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Resources by id.
    pub resources: BTreeMap<String, Resource>,
    /// Resources that were made.
    pub made: BTreeSet<String>,
    /// Resources that were started.
    pub started: BTreeSet<String>,
    /// Orchestration is suspended here.
    pub frozen_at: Option<Timestamp>,
    /// The daemon keeps it up.
    pub is_expected_up: bool,
    /// When it was started last.
    pub last_started_at: Option<Timestamp>,
}

/// What a monitor does.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// What it works towards.
    pub global_expect: String,
    /// Since when.
    pub global_expect_at: Option<Timestamp>,
    /// State.
    pub state: String,
    /// What the instance is to stay.
    pub local_expect: &'static str,
    /// Open orchestration.
    pub orchestration: Option<String>,
    /// When that was accepted.
    pub accepted: Option<Instant>,
    /// It stays open whatever happens, until the file is written again.
    pub is_stuck: bool,
}

/// A node.
#[derive(Debug, Default)]
pub struct Node {
    /// Processes and network.
    pub is_alive: bool,
    /// The daemon.
    pub is_serving: bool,
    /// Since when the daemon is down.
    pub down_since: Option<Instant>,
    /// Peers have given up on it.
    pub is_lost: bool,
    /// The daemon has just started: lists are empty, then partial.
    pub started_at: Option<Instant>,
    /// Files.
    pub files: BTreeMap<Path, File>,
    /// What the daemon knows.
    pub published: BTreeMap<Path, Published>,
    /// Instances that run.
    pub statuses: BTreeMap<Path, Status>,
    /// Monitors.
    pub monitors: BTreeMap<Path, Monitor>,
    /// Open event streams.
    pub streams: Vec<Stream>,
    /// Answers to come that are failures, by status.
    pub failures: Vec<u16>,
    /// Added to every answer.
    pub slowness: Duration,
    /// What its clock is ahead of the others, in nanoseconds.
    pub skew: i128,
}

/// The cluster.
pub struct World {
    /// Its name.
    pub name: String,
    /// Folder with sockets, logs and volumes.
    pub folder: PathBuf,
    /// Third octet of the first node's address, less one.
    pub base: u8,
    inner: Mutex<Inner>,
    runtime: Handle,
    /// Tasks that end with the cluster.
    pub tasks: Mutex<JoinSet<()>>,
    /// The cluster's name server.
    pub names: crate::dns::NameServer,
    /// Who has logged in, and how often clients have asked.
    pub sessions: Mutex<Sessions>,
    /// Running processes.
    pub processes: Mutex<BTreeMap<(String, Path, String), Process>>,
}

/// A process of a resource.
#[derive(Debug)]
pub struct Process {
    /// The process.
    pub child: tokio::process::Child,
    /// The command line it was started with, by which it is found.
    pub command: String,
}

/// What changes.
pub struct Inner {
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Times.
    pub delays: Delays,
    /// What goes wrong with events.
    pub event_faults: EventFaults,
    /// Pairs of nodes that do not reach each other.
    pub cuts: Vec<(String, String)>,
    /// Requests by node.
    pub n_requests: BTreeMap<String, u64>,
    /// Calls that fail until further notice: part of the path, and status.
    pub failing: Option<(String, u16)>,
    /// How many did.
    pub n_failing: u64,
    /// Objects that were deleted, with the time of the last file.
    pub deleted: BTreeMap<Path, i128>,
    /// Programs do not start: a host without control groups.
    pub is_start_broken: bool,
    /// Objects whose next purge gets stuck.
    pub stuck_purges: BTreeSet<Path>,
}

// === impl Delays ===

impl Delays {
    /// As measured on a real cluster.
    #[must_use]
    pub fn verified() -> Self {
        Self {
            debounce: Duration::from_millis(200),
            relay: (Duration::from_millis(36), Duration::from_millis(243)),
            heartbeat: Duration::from_millis(12_700),
            ready: Duration::from_secs(5),
            transition: Duration::from_millis(700),
            monitor: Duration::from_secs(60),
            write: Duration::from_millis(2),
            tick: Duration::from_millis(4),
        }
    }

    /// As short as they may be.
    #[must_use]
    pub fn none() -> Self {
        Self {
            debounce: Duration::from_millis(20),
            relay: (Duration::from_millis(1), Duration::from_millis(5)),
            heartbeat: Duration::from_millis(200),
            ready: Duration::from_millis(100),
            transition: Duration::from_millis(20),
            monitor: Duration::from_millis(300),
            write: Duration::from_millis(1),
            tick: Duration::ZERO,
        }
    }
}

// === impl World ===

impl World {
    /// A cluster of nodes that are not started. Within a runtime.
    ///
    /// # Errors
    /// Fails without a port for the name server.
    pub fn new(
        name: &str,
        n_nodes: usize,
        folder: PathBuf,
        base: u8,
        delays: Delays,
    ) -> anyhow::Result<Arc<Self>> {
        let nodes = (1..=n_nodes).map(|n| (format!("n{n}"), Node::default())).collect();
        // Nameservers of a cluster are addresses: they answer on port 53. Without the right to it, on another.
        let own = std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, base, 53));
        let names =
            crate::dns::NameServer::start(own, 53).or_else(|_| crate::dns::NameServer::start(own, 0))?;
        names.set_ttl_s(60);
        Ok(Arc::new(Self {
            name: name.to_owned(),
            folder,
            base,
            inner: Mutex::new(Inner {
                nodes,
                delays,
                event_faults: EventFaults::default(),
                cuts: Vec::new(),
                n_requests: BTreeMap::new(),
                failing: None,
                n_failing: 0,
                deleted: BTreeMap::new(),
                is_start_broken: false,
                stuck_purges: BTreeSet::new(),
            }),
            runtime: Handle::current(),
            tasks: Mutex::new(JoinSet::new()),
            names,
            sessions: Mutex::default(),
            processes: Mutex::new(BTreeMap::new()),
        }))
    }

    /// The state.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something beside, until the cluster ends.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }

    /// Address of a node.
    #[must_use]
    pub fn address(&self, node: &str) -> std::net::Ipv4Addr {
        let n: u8 = node.trim_start_matches('n').parse().unwrap_or(0);
        std::net::Ipv4Addr::new(127, 0, self.base.wrapping_add(n), 1)
    }

    /// The other nodes.
    #[must_use]
    pub fn peers(&self, node: &str) -> Vec<String> {
        self.lock().nodes.keys().filter(|peer| *peer != node).cloned().collect()
    }

    /// Whether the daemons of two nodes live and reach each other.
    #[must_use]
    pub fn reaches(&self, one: &str, other: &str) -> bool {
        let inner = self.lock();
        let lives = |name: &str| inner.nodes.get(name).is_some_and(|node| node.is_serving);
        !inner.is_cut(one, other) && lives(one) && lives(other)
    }

    /// Some time between the least and the most that news take to a peer.
    #[must_use]
    pub fn relay_delay(&self) -> Duration {
        let (min, max) = self.lock().delays.relay;
        rand::rng().random_range(min..=max.max(min))
    }
}

// === impl Inner ===

impl Inner {
    /// Whether the way between two nodes is cut.
    #[must_use]
    pub fn is_cut(&self, one: &str, other: &str) -> bool {
        self.cuts.iter().any(|(a, b)| (a == one && b == other) || (a == other && b == one))
    }

    /// The time of a file that a node writes now, in nanoseconds.
    #[must_use]
    pub fn now(&self, node: &str) -> i128 {
        let skew = self.nodes.get(node).map_or(0, |node| node.skew);
        let now = Timestamp::now().as_nanosecond() + skew;
        let tick = i128::try_from(self.delays.tick.as_nanos()).unwrap_or(0);
        if tick == 0 { now } else { now - now.rem_euclid(tick) }
    }

    /// A keyword of the defaults of an object, as a node has it.
    #[must_use]
    pub fn keyword(&self, node: &str, path: &Path, name: &str) -> Option<&str> {
        self.nodes.get(node)?.files.get(path)?.stored.keyword("DEFAULT", name)
    }
}

// === impl Status ===

impl Status {
    /// Whether what can be made was made: `true`, `false`, `mixed` or `n/a`.
    #[must_use]
    pub fn provisioned(&self) -> &'static str {
        let mut states =
            self.resources.values().map(|resource| resource.provisioned).filter(|state| *state != "n/a");
        let Some(first) = states.next() else { return "n/a" };
        if states.all(|state| state == first) { first } else { "mixed" }
    }

    /// Whether all of it is up.
    #[must_use]
    pub fn avail(&self) -> &'static str {
        let n_up = self.resources.values().filter(|resource| resource.state == "up").count();
        match n_up {
            _ if self.resources.is_empty() => "n/a",
            0 => "down",
            n if n == self.resources.len() => "up",
            _ => "warn",
        }
    }
}

// === impl Monitor ===

impl Monitor {
    /// One that does nothing.
    #[must_use]
    pub fn idle() -> Self {
        Self {
            global_expect: "none".to_owned(),
            global_expect_at: None,
            state: "idle".to_owned(),
            local_expect: "none",
            orchestration: None,
            accepted: None,
            is_stuck: false,
        }
    }

    /// Ends what it worked on.
    pub fn rest(&mut self, state: &str) {
        "none".clone_into(&mut self.global_expect);
        state.clone_into(&mut self.state);
        self.orchestration = None;
        self.accepted = None;
    }
}

/// A time as the API writes it.
#[must_use]
pub fn time(nanoseconds: i128) -> String {
    Timestamp::from_nanosecond(nanoseconds).map(|time| time.to_string()).unwrap_or_default()
}

/// A random identifier in its usual form.
#[must_use]
pub fn identifier() -> String {
    let random: u128 = rand::random();
    let hex = format!("{random:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
