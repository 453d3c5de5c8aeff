//! An OpenSVC v3 cluster for tests: nodes in one process, each with the daemon's API on a Unix socket, its own files,
//! and an address of the loopback net; services that run real processes; a name server; faults by switch.
//!
//! It knows nothing of igw. Where it is kinder than the real one, what depends on that is wrong: known differences
//! are an address of 127/8 in `ip.host`, which the real one refuses to start; shared memory in place of tmpfs; listeners
//! of one address each; checksums that are no MD5; secrets that are no ciphers.

pub mod api;
pub mod callers;
pub mod dns;
pub mod door;
pub mod events;
pub mod files;
pub mod instances;
pub mod orchestration;
pub mod path;
pub mod policy;
mod sealed;
pub mod shapes;
pub mod stored;
pub mod streams;
pub mod users;
pub mod volumes;
pub mod world;
pub mod zone;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use door::Authority;
pub use path::Path;
use stored::{Coding, Stored};
pub use streams::EventFaults;
pub use world::Delays;
use world::World;

/// What a cluster is.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name, the zone of its names.
    pub name: String,
    /// Nodes, `n1` and so on.
    pub n_nodes: usize,
    /// Folder for sockets, logs and volumes.
    pub folder: PathBuf,
    /// Node N has the address `127.0.<base + N>.1`.
    pub base: u8,
    /// Times.
    pub delays: Delays,
}

/// A running cluster. Dropping it ends its processes.
pub struct Cluster {
    world: Arc<World>,
    authority: Authority,
    doors: std::sync::Mutex<std::collections::BTreeMap<String, Vec<JoinHandle<()>>>>,
}

// === impl Cluster ===

impl Cluster {
    /// Starts all nodes. Within a runtime.
    ///
    /// # Errors
    /// Fails if a socket cannot be opened.
    pub fn start(spec: &Spec) -> anyhow::Result<Self> {
        let world = World::new(&spec.name, spec.n_nodes, spec.folder.clone(), spec.base, spec.delays)?;
        let cluster = Self {
            world: Arc::clone(&world),
            authority: Authority::new()?,
            doors: std::sync::Mutex::default(),
        };
        for node in cluster.nodes() {
            cluster.start_node(&node)?;
            world.lock().nodes.get_mut(&node).into_iter().for_each(|state| state.started_at = None);
        }
        world.spawn(instances::watch(Arc::clone(&world)));
        Ok(cluster)
    }

    /// Names of the nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.world.lock().nodes.keys().cloned().collect()
    }

    /// Socket of a node's daemon.
    #[must_use]
    pub fn socket(&self, node: &str) -> PathBuf {
        self.world.folder.join(node).join("http.sock")
    }

    /// Address of a node.
    #[must_use]
    pub fn address(&self, node: &str) -> Ipv4Addr {
        self.world.address(node)
    }

    /// The cluster's name server.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        self.world.names.address
    }

    /// The name server, to change its manners.
    #[must_use]
    pub fn name_server(&self) -> &dns::NameServer {
        &self.world.names
    }

    /// Starts a node that is down, or its daemon.
    ///
    /// # Errors
    /// Fails if its socket cannot be opened.
    pub fn start_node(&self, node: &str) -> anyhow::Result<()> {
        let socket = self.socket(node);
        if let Some(folder) = socket.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).with_context(|| socket.display().to_string())?;
        {
            let mut inner = self.world.lock();
            let state = inner.nodes.get_mut(node).context("no such node")?;
            if !state.is_alive {
                // A node that was down has booted: nothing runs on it.
                for status in state.statuses.values_mut() {
                    status.is_expected_up = false;
                    status.started.clear();
                }
            }
            state.is_alive = true;
            state.is_serving = true;
            state.down_since = None;
            state.is_lost = false;
            state.started_at = Some(Instant::now());
        }
        // Connections of the last life end before their port is opened again.
        self.close_doors(node);
        let network = door::network_listener(&self.world, node)?;
        let acceptor = self.authority.acceptor()?;
        let doors = vec![
            tokio::spawn(door::serve_socket(listener, Arc::clone(&self.world), node.to_owned())),
            tokio::spawn(door::serve_network(network, acceptor, Arc::clone(&self.world), node.to_owned())),
        ];
        self.doors().insert(node.to_owned(), doors);
        for peer in self.world.peers(node) {
            self.world.send(&peer, "NodeAlive", &json!({"labels": {"node": peer}, "node": node}));
        }
        self.world.rejoin(node);
        let services: Vec<Path> = {
            let inner = self.world.lock();
            inner.nodes.get(node).map(|state| state.statuses.keys().cloned().collect()).unwrap_or_default()
        };
        services.iter().for_each(|path| instances::evaluate(&self.world, node, path));
        zone::publish(&self.world);
        Ok(())
    }

    /// Ends the daemon of a node; what runs there goes on. Peers notice after the heartbeat.
    pub fn kill_daemon(&self, node: &str) {
        self.close_doors(node);
        let _ = std::fs::remove_file(self.socket(node));
        let heartbeat = {
            let mut inner = self.world.lock();
            let heartbeat = inner.delays.heartbeat;
            if let Some(state) = inner.nodes.get_mut(node) {
                state.streams.clear();
                state.is_serving = false;
                state.down_since = Some(Instant::now());
                // What it was doing is forgotten.
                state.monitors.values_mut().for_each(|monitor| monitor.rest("idle"));
            }
            heartbeat
        };
        let (world, node) = (Arc::clone(&self.world), node.to_owned());
        self.world.spawn(async move {
            tokio::time::sleep(heartbeat).await;
            lose(&world, &node);
        });
    }

    /// Ends a node with everything on it. Peers notice after the heartbeat.
    pub fn kill_node(&self, node: &str) {
        if let Some(state) = self.world.lock().nodes.get_mut(node) {
            state.is_alive = false;
        }
        self.kill_daemon(node);
        instances::kill_processes(&self.world, node);
    }

    /// Changes the times.
    pub fn set_delays(&self, delays: Delays) {
        self.world.lock().delays = delays;
    }

    /// Changes what goes wrong with events.
    pub fn set_event_faults(&self, faults: EventFaults) {
        self.world.lock().event_faults = faults;
    }

    /// Ends all event streams of a node.
    pub fn cut_streams(&self, node: &str) {
        if let Some(state) = self.world.lock().nodes.get_mut(node) {
            state.streams.clear();
        }
    }

    /// The next requests to a node fail with these statuses, the last one first.
    pub fn fail_next(&self, node: &str, statuses: &[u16]) {
        if let Some(state) = self.world.lock().nodes.get_mut(node) {
            state.failures.extend(statuses);
        }
    }

    /// Breaks the event streams of a node within the next event, after so many bytes of it.
    pub fn cut_streams_after(&self, node: &str, n_bytes: usize) {
        if let Some(state) = self.world.lock().nodes.get_mut(node) {
            state.streams.iter_mut().for_each(|stream| stream.cut_after = Some(n_bytes));
        }
    }

    /// All calls whose path has this part fail with a status, or none do any more.
    pub fn fail_calls(&self, failing: Option<(&str, u16)>) {
        self.world.lock().failing = failing.map(|(part, status)| (part.to_owned(), status));
    }

    /// How many calls have failed so.
    #[must_use]
    pub fn n_failing(&self) -> u64 {
        self.world.lock().n_failing
    }

    /// Every answer of a node comes so much later.
    pub fn slow_down(&self, node: &str, slowness: Duration) {
        if let Some(state) = self.world.lock().nodes.get_mut(node) {
            state.slowness = slowness;
        }
    }

    /// Two nodes do not reach each other any more, or again.
    pub fn cut(&self, one: &str, other: &str, is_cut: bool) {
        let mut inner = self.world.lock();
        inner.cuts.retain(|(a, b)| !((a == one && b == other) || (a == other && b == one)));
        if is_cut {
            inner.cuts.push((one.to_owned(), other.to_owned()));
        } else {
            drop(inner);
            self.world.rejoin(one);
        }
    }

    /// Requests that a node has got so far.
    #[must_use]
    pub fn n_requests(&self, node: &str) -> u64 {
        self.world.lock().n_requests.get(node).copied().unwrap_or(0)
    }

    /// Names of all objects on a node's disk.
    #[must_use]
    pub fn objects_on(&self, node: &str) -> Vec<String> {
        let inner = self.world.lock();
        inner.nodes.get(node).map(|state| state.files.keys().map(Path::full).collect()).unwrap_or_default()
    }

    /// The value of a key on a node's disk.
    #[must_use]
    pub fn value_on(&self, node: &str, object: &str, key: &str) -> Option<Vec<u8>> {
        let path = Path::parse(object)?;
        let inner = self.world.lock();
        inner.nodes.get(node)?.files.get(&path)?.stored.value(key)
    }

    /// Nodes where a service is up.
    #[must_use]
    pub fn up_on(&self, service: &str) -> Vec<String> {
        let Some(path) = Path::parse(service) else { return Vec::new() };
        let inner = self.world.lock();
        let is_up = |node: &world::Node| {
            node.is_alive && node.statuses.get(&path).is_some_and(|status| status.is_expected_up)
        };
        inner.nodes.iter().filter(|(_, node)| is_up(node)).map(|(name, _)| name.clone()).collect()
    }

    /// Two writes of one tick get the same time.
    pub fn set_tick(&self, tick: Duration) {
        self.world.lock().delays.tick = tick;
    }

    /// Puts the clock of a node ahead of the others by so many milliseconds, or back.
    pub fn set_skew_ms(&self, node: &str, skew_ms: i64) {
        if let Some(state) = self.world.lock().nodes.get_mut(node) {
            state.skew = i128::from(skew_ms) * 1_000_000;
        }
    }

    /// Programs do not start any more, as on a host without control groups, or do again.
    pub fn break_starts(&self, is_broken: bool) {
        self.world.lock().is_start_broken = is_broken;
    }

    /// The next purge of an object gets stuck on the first node.
    pub fn stick_next_purge(&self, object: &str) {
        if let Some(path) = Path::parse(object) {
            self.world.lock().stuck_purges.insert(path);
        }
    }

    /// Makes a user with grants and a password on all nodes.
    pub fn add_user(&self, name: &str, grants: &str, password: &str) {
        let path = Path::new("system", "usr", name);
        let mut stored = Stored::default();
        stored.set("DEFAULT", "grant", grants);
        stored.set_value("password", password.as_bytes(), Coding::Sealed(&self.world.name, "n1"));
        stored.set("DEFAULT", "id", &world::identifier());
        let now = Timestamp::now().as_nanosecond();
        for node in self.nodes() {
            self.world.install(&node, &path, stored.clone(), now);
        }
    }

    /// Certificate and key of a user, both PEM.
    ///
    /// # Errors
    /// Fails without randomness.
    pub fn user_certificate(&self, name: &str) -> anyhow::Result<(String, String)> {
        self.authority.of_user(name)
    }

    /// Certificate of the cluster's authority, PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority.certificate
    }

    /// Ends all tokens.
    pub fn revoke_tokens(&self) {
        self.world.revoke_tokens();
    }

    /// Waits until everything written has spread and nothing is being done; false if that takes longer.
    pub async fn rest(&self, at_most: Duration) -> bool {
        self.world.rest(at_most).await
    }

    fn close_doors(&self, node: &str) {
        for door in self.doors().remove(node).into_iter().flatten() {
            door.abort();
        }
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<String, Vec<JoinHandle<()>>>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for door in std::mem::take(&mut *self.doors()).into_values().flatten() {
            door.abort();
        }
        self.world.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        for node in self.nodes() {
            instances::kill_processes(&self.world, &node);
        }
    }
}

/// Peers take a node for lost, and say of everything on it that it is deleted.
fn lose(world: &Arc<World>, node: &str) {
    let (paths, peers) = {
        let mut inner = world.lock();
        let heartbeat = inner.delays.heartbeat;
        let is_silent = |state: &world::Node| {
            !state.is_lost && state.down_since.is_some_and(|since| since.elapsed() >= heartbeat)
        };
        let Some(state) = inner.nodes.get_mut(node).filter(|state| is_silent(state)) else { return };
        state.is_lost = true;
        if !state.is_alive {
            state.statuses.values_mut().for_each(|status| status.is_expected_up = false);
        }
        let paths: Vec<Path> = state.published.keys().cloned().collect();
        let peers: Vec<String> =
            inner.nodes.iter().filter(|(_, state)| state.is_serving).map(|(name, _)| name.clone()).collect();
        (paths, peers)
    };
    for peer in peers {
        world.send(&peer, "NodeStale", &json!({"labels": {"node": peer}, "node": node}));
        for path in &paths {
            world.emit(&peer, "InstanceConfigDeleted", path, node, true, json!({}));
            world.emit(&peer, "InstanceStatusDeleted", path, node, true, json!({}));
            let is_only_there = {
                let inner = world.lock();
                !inner.nodes.iter().any(|(name, state)| name != node && state.published.contains_key(path))
            };
            if is_only_there {
                world.emit(&peer, "ObjectDeleted", path, &peer, false, json!({}));
            }
        }
    }
    zone::publish(world);
}
