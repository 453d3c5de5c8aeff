//! An OpenSVC v3 cluster for tests: nodes in one process, each with the daemon's API on a Unix socket, its own files,
//! and an address of the loopback net; services that run real processes; a name server; faults by switch.
//!
//! It knows nothing of igw. Where it is kinder than the real one, what depends on that is wrong: known differences
//! are an address of 127/8 in `ip.host`, which the real one refuses to start, and shared memory in place of tmpfs.

pub mod api;
pub mod dns;
pub mod events;
pub mod orchestration;
pub mod path;
pub mod shapes;
pub mod stored;
pub mod volumes;
pub mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

pub use path::Path;
use world::World;
pub use world::{Delays, EventFaults};

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
    doors: std::sync::Mutex<std::collections::BTreeMap<String, JoinHandle<()>>>,
}

// === impl Cluster ===

impl Cluster {
    /// Starts all nodes. Within a runtime.
    ///
    /// # Errors
    /// Fails if a socket cannot be opened.
    pub fn start(spec: &Spec) -> anyhow::Result<Self> {
        let world = World::new(&spec.name, spec.n_nodes, spec.folder.clone(), spec.base, spec.delays)?;
        let cluster = Self { world: Arc::clone(&world), doors: std::sync::Mutex::default() };
        for node in cluster.nodes() {
            cluster.start_node(&node)?;
            world.lock().nodes.get_mut(&node).into_iter().for_each(|state| state.started_at = None);
        }
        world.spawn(orchestration::watch(Arc::clone(&world)));
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
                state.statuses.values_mut().for_each(|status| status.is_expected_up = false);
            }
            state.is_alive = true;
            state.is_lost = false;
            state.started_at = Some(Instant::now());
        }
        let (world, name) = (Arc::clone(&self.world), node.to_owned());
        let door = tokio::spawn(serve(listener, world, name));
        if let Some(before) = self.doors().insert(node.to_owned(), door) {
            before.abort();
        }
        for peer in self.world.peers(node) {
            self.world.send(&peer, "NodeAlive", &json!({"labels": {"node": peer}, "node": node}));
        }
        self.world.rejoin(node);
        orchestration::renew_names(&self.world);
        Ok(())
    }

    /// Ends the daemon of a node; what runs there goes on.
    pub fn kill_daemon(&self, node: &str) {
        if let Some(door) = self.doors().remove(node) {
            door.abort();
        }
        let _ = std::fs::remove_file(self.socket(node));
        if let Some(state) = self.world.lock().nodes.get_mut(node) {
            state.streams.clear();
        }
    }

    /// Ends a node with everything on it. Peers notice after the heartbeat.
    pub fn kill_node(&self, node: &str) {
        self.kill_daemon(node);
        let heartbeat = {
            let mut inner = self.world.lock();
            let heartbeat = inner.delays.heartbeat;
            if let Some(state) = inner.nodes.get_mut(node) {
                state.is_alive = false;
            }
            heartbeat
        };
        orchestration::kill_processes(&self.world, node);
        let (world, node) = (Arc::clone(&self.world), node.to_owned());
        self.world.spawn(async move {
            tokio::time::sleep(heartbeat).await;
            lose(&world, &node);
        });
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

    fn doors(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<String, JoinHandle<()>>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, door) in std::mem::take(&mut *self.doors()) {
            door.abort();
        }
        self.world.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        for node in self.nodes() {
            orchestration::kill_processes(&self.world, &node);
        }
    }
}

/// Peers take a node for lost, and say of everything on it that it is deleted.
fn lose(world: &Arc<World>, node: &str) {
    let (paths, peers) = {
        let mut inner = world.lock();
        let Some(state) = inner.nodes.get_mut(node).filter(|state| !state.is_alive) else { return };
        state.is_lost = true;
        for status in state.statuses.values_mut() {
            status.is_expected_up = false;
        }
        let paths: Vec<Path> = state.published.keys().cloned().collect();
        let peers: Vec<String> =
            inner.nodes.iter().filter(|(_, state)| state.is_alive).map(|(name, _)| name.clone()).collect();
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
    orchestration::renew_names(world);
}

async fn serve(listener: UnixListener, world: Arc<World>, node: String) {
    // Connections end with the door.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (world, node) = (Arc::clone(&world), node.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| api::answer(Arc::clone(&world), node.clone(), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
