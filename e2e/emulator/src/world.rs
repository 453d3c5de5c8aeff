//! The state of the cluster and how it spreads: files per node, publication after a pause, replication by newest time.
//!
//! A write is a read, a moment, and a write back, without a lock: of two at once one is lost, as in the real daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::path::Path;
use crate::stored::Stored;

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

/// State of an instance that runs.
#[derive(Clone, Debug)]
pub struct Status {
    /// Resources by id: driver, status, facts.
    pub resources: BTreeMap<String, (String, String, Value)>,
    /// Made.
    pub is_provisioned: bool,
    /// Orchestration is suspended here.
    pub frozen_at: Option<Timestamp>,
    /// The daemon keeps it up.
    pub is_expected_up: bool,
}

/// What a monitor does.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// What it works towards.
    pub global_expect: String,
    /// State.
    pub state: String,
    /// Open orchestration.
    pub orchestration: Option<String>,
}

/// A node.
#[derive(Debug, Default)]
pub struct Node {
    /// Processes, network and daemon.
    pub is_alive: bool,
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
}

/// An open event stream.
#[derive(Debug)]
pub struct Stream {
    /// What it wants; empty = everything.
    pub filters: Vec<crate::events::Filter>,
    /// Where it goes.
    pub sink: mpsc::UnboundedSender<String>,
    /// Number of the next event.
    pub next: u64,
}

/// What goes wrong with events.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventFaults {
    /// Share that is lost, in percent.
    pub lose: u32,
    /// Share that comes twice, in percent.
    pub duplicate: u32,
    /// Nothing comes any more, and the stream stays open.
    pub is_silent: bool,
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
    /// Tasks that end with the cluster.
    pub tasks: Mutex<JoinSet<()>>,
    /// The cluster's name server.
    pub names: crate::dns::NameServer,
    zone: Mutex<BTreeMap<String, Vec<std::net::IpAddr>>>,
    /// Running processes.
    pub processes: Mutex<BTreeMap<(String, Path, String), tokio::process::Child>>,
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
        }
    }
}

// === impl World ===

impl World {
    /// A cluster of nodes that are not started.
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
            }),
            tasks: Mutex::new(JoinSet::new()),
            names,
            zone: Mutex::default(),
            processes: Mutex::new(BTreeMap::new()),
        }))
    }

    /// Replaces the names of the cluster's zone.
    pub fn replace_zone(&self, zone: BTreeMap<String, Vec<std::net::IpAddr>>) {
        let mut before = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        for name in before.keys().filter(|name| !zone.contains_key(*name)) {
            self.names.set(name, &[]);
        }
        for (name, addresses) in &zone {
            if before.get(name) != Some(addresses) {
                self.names.set(name, addresses);
            }
        }
        *before = zone;
    }

    /// The state.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something beside, until the cluster ends.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Address of a node.
    #[must_use]
    pub fn address(&self, node: &str) -> std::net::Ipv4Addr {
        let n: u8 = node.trim_start_matches('n').parse().unwrap_or(0);
        std::net::Ipv4Addr::new(127, 0, self.base.wrapping_add(n), 1)
    }

    /// Changes a file on a node, as the daemon does: read, a moment, write. Nothing is written where nothing changes.
    ///
    /// # Errors
    /// What `change` says.
    pub async fn write<E>(
        self: &Arc<Self>,
        node: &str,
        path: &Path,
        change: impl FnOnce(&mut Stored) -> Result<bool, E>,
    ) -> Result<(), E> {
        let (before, pause) = {
            let inner = self.lock();
            let file = inner.nodes.get(node).and_then(|node| node.files.get(path));
            (file.map(|file| file.stored.clone()).unwrap_or_default(), inner.delays.write)
        };
        let mut stored = before;
        let is_changed = change(&mut stored)?;
        if !is_changed {
            return Ok(());
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.install(node, path, stored, Timestamp::now().as_nanosecond());
        crate::volumes::refresh(self, node, path);
        Ok(())
    }

    /// Puts a file on a node and has it published.
    pub fn install(self: &Arc<Self>, node: &str, path: &Path, mut stored: Stored, mtime: i128) {
        if stored.keyword("DEFAULT", "id").is_none() {
            let id: u128 = rand::random();
            stored.set("DEFAULT", "id", &format!("{id:032x}"));
        }
        let (version, debounce) = {
            let mut inner = self.lock();
            let debounce = inner.delays.debounce;
            let Some(node) = inner.nodes.get_mut(node) else { return };
            let version = node.files.get(path).map_or(0, |file| file.version) + 1;
            node.files.insert(path.clone(), File { stored, mtime, version });
            (version, debounce)
        };
        let (world, node, path) = (Arc::clone(self), node.to_owned(), path.clone());
        self.spawn(async move {
            tokio::time::sleep(debounce).await;
            world.publish(&node, &path, version);
        });
    }

    /// Publishes a file unless it was written again, and has peers fetch it.
    fn publish(self: &Arc<Self>, node: &str, path: &Path, version: u64) {
        let scope = self.scope(node, path);
        let (is_new, csum, mtime) = {
            let mut inner = self.lock();
            let Some(state) = inner.nodes.get_mut(node).filter(|state| state.is_alive) else { return };
            let Some(file) = state.files.get(path).filter(|file| file.version == version) else { return };
            let (csum, mtime) = (file.stored.csum(), file.mtime);
            let before = state.published.get(path);
            if before.is_some_and(|before| before.csum == csum && before.updated_at == mtime) {
                return;
            }
            let is_new = before.is_none();
            let published =
                Published { csum: csum.clone(), updated_at: mtime, scope: scope.clone(), at: Instant::now() };
            state.published.insert(path.clone(), published);
            state.monitors.entry(path.clone()).or_insert_with(Monitor::idle);
            (is_new, csum, mtime)
        };
        if is_new {
            if path.is_actor() {
                crate::orchestration::first_status(self, node, path);
            }
            self.emit_everywhere(node, "ObjectCreated", path, json!({}));
        }
        let settings = json!({"csum": csum, "priority": 0, "scope": scope, "updated_at": time(mtime)});
        self.emit(node, "InstanceConfigUpdated", path, node, false, json!({"instance_config": settings}));
        for peer in self.peers(node) {
            let delay = self.relay_delay();
            let (world, node, path, settings) =
                (Arc::clone(self), node.to_owned(), path.clone(), settings.clone());
            let is_in_scope = scope.contains(&peer);
            self.spawn(async move {
                tokio::time::sleep(delay).await;
                if !world.reaches(&node, &peer) {
                    return;
                }
                world.emit(
                    &peer,
                    "InstanceConfigUpdated",
                    &path,
                    &node,
                    true,
                    json!({"instance_config": settings}),
                );
                if is_in_scope {
                    world.fetch(&peer, &node, &path);
                }
            });
        }
    }

    /// A node takes a peer's file if it is newer.
    fn fetch(self: &Arc<Self>, node: &str, from: &str, path: &Path) {
        if !self.scope(from, path).iter().any(|member| member == node) {
            return;
        }
        let newer = {
            let inner = self.lock();
            let theirs = inner.nodes.get(from).and_then(|peer| peer.files.get(path));
            let ours = inner.nodes.get(node).and_then(|own| own.files.get(path));
            match (theirs, ours) {
                (Some(theirs), ours) if ours.is_none_or(|ours| theirs.mtime > ours.mtime) => {
                    Some(theirs.clone())
                }
                _ => None,
            }
        };
        if let Some(file) = newer {
            self.install(node, path, file.stored, file.mtime);
        }
    }

    /// A node that is back compares its files with those of its peers, in both directions.
    pub fn rejoin(self: &Arc<Self>, node: &str) {
        for peer in self.peers(node) {
            if !self.reaches(node, &peer) {
                continue;
            }
            let (ours, theirs): (Vec<Path>, Vec<Path>) = {
                let inner = self.lock();
                let of = |name: &str| {
                    inner
                        .nodes
                        .get(name)
                        .map(|node| node.published.keys().cloned().collect())
                        .unwrap_or_default()
                };
                (of(node), of(&peer))
            };
            theirs.iter().for_each(|path| self.fetch(node, &peer, path));
            ours.iter().for_each(|path| self.fetch(&peer, node, path));
        }
    }

    /// Nodes that an object is for.
    #[must_use]
    pub fn scope(&self, node: &str, path: &Path) -> Vec<String> {
        let inner = self.lock();
        let all: Vec<String> = inner.nodes.keys().cloned().collect();
        let file = inner.nodes.get(node).and_then(|node| node.files.get(path));
        let nodes = file.and_then(|file| file.stored.keyword("DEFAULT", "nodes"));
        match nodes {
            Some("*") => all,
            Some(list) => list.split_whitespace().map(ToOwned::to_owned).collect(),
            None if path.is_actor() => vec![node.to_owned()],
            None => all,
        }
    }

    /// The other nodes.
    #[must_use]
    pub fn peers(&self, node: &str) -> Vec<String> {
        self.lock().nodes.keys().filter(|peer| *peer != node).cloned().collect()
    }

    /// Whether two nodes live and reach each other.
    #[must_use]
    pub fn reaches(&self, one: &str, other: &str) -> bool {
        let inner = self.lock();
        let is_cut = inner.cuts.iter().any(|(a, b)| (a == one && b == other) || (a == other && b == one));
        let lives = |name: &str| inner.nodes.get(name).is_some_and(|node| node.is_alive);
        !is_cut && lives(one) && lives(other)
    }

    /// Tells the streams of all nodes, the peers later.
    pub fn emit_everywhere(self: &Arc<Self>, node: &str, kind: &'static str, path: &Path, payload: Value) {
        self.emit(node, kind, path, node, false, payload.clone());
        for peer in self.peers(node) {
            let delay = self.relay_delay();
            let (world, node, path, payload) =
                (Arc::clone(self), node.to_owned(), path.clone(), payload.clone());
            self.spawn(async move {
                tokio::time::sleep(delay).await;
                if world.reaches(&node, &peer) {
                    world.emit(&peer, kind, &path, &node, true, payload);
                }
            });
        }
    }

    /// Tells the streams of one node something about an object of a node.
    pub fn emit(&self, on: &str, kind: &str, path: &Path, about: &str, is_from_peer: bool, payload: Value) {
        let mut labels = json!({"namespace": path.namespace, "node": about, "path": path.to_string()});
        if is_from_peer {
            labels["from"] = "peer".into();
        }
        let mut body = json!({"labels": labels, "path": path.to_string(), "node": about});
        if let (Value::Object(body), Value::Object(payload)) = (&mut body, payload) {
            body.extend(payload);
        }
        self.send(on, kind, &body);
    }

    /// Tells the streams of one node something.
    pub fn send(&self, on: &str, kind: &str, body: &Value) {
        let mut inner = self.lock();
        let faults = inner.event_faults;
        let Some(node) = inner.nodes.get_mut(on) else { return };
        let mut random = rand::rng();
        node.streams.retain_mut(|stream| {
            if faults.is_silent
                || !stream.filters.is_empty() && !stream.filters.iter().any(|filter| filter.takes(kind, body))
            {
                return !stream.sink.is_closed();
            }
            if random.random_range(0..100) < faults.lose {
                return true;
            }
            let n_times = if random.random_range(0..100) < faults.duplicate { 2 } else { 1 };
            (0..n_times).all(|_| {
                let text = format!("event: {kind}\nid: {}\ndata: {body}\n\n", stream.next);
                stream.next += 1;
                stream.sink.send(text).is_ok()
            })
        });
    }

    fn relay_delay(&self) -> Duration {
        let (min, max) = self.lock().delays.relay;
        rand::rng().random_range(min..=max.max(min))
    }
}

// === impl Monitor ===

impl Monitor {
    /// One that does nothing.
    #[must_use]
    pub fn idle() -> Self {
        Self { global_expect: "none".to_owned(), state: "idle".to_owned(), orchestration: None }
    }
}

/// A time as the API writes it.
#[must_use]
pub fn time(nanoseconds: i128) -> String {
    Timestamp::from_nanosecond(nanoseconds).map(|time| time.to_string()).unwrap_or_default()
}
