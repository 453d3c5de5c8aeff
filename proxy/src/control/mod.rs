//! The control thread of the server process: it pulls snapshots, builds tables, binds, resolves, checks,
//! reports. It never touches a request.

pub(crate) mod bootstrap;
mod discovery;
mod health;
mod persist;
mod pull;
mod sockets;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use igw_crds::snapshot::Snapshot;
use igw_crds::sync::{BindFailure, BindFailureKind, Envelope, ListenerReport, Report};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};
use tracing::{error, info, warn};

use crate::admin::{self, AdminState};
use crate::arguments::Arguments;
use crate::log::LogWriter;
use crate::metrics::series::SeriesIndex;
use crate::metrics::{Metrics, Readings};
use crate::shared::{Phase, Shared};
use crate::supervisor::channel::{BindResult, ServerEnd};
use crate::tables::{Lasting, Tables};
use crate::upstream::backend::Backend;
use crate::worker::{Command, WorkerThread};
use bootstrap::Bootstrap;
use discovery::Discovery;
use health::Checks;
use persist::State;
use sockets::SocketSource;

/// What can wake the control loop besides signals and the clock.
enum Event {
    /// A snapshot arrived.
    Envelope(Box<Envelope>),
    /// Endpoints of a back end were named anew.
    Endpoints(Arc<Backend>),
    /// The supervisor answered.
    Sockets(io::Result<Vec<(BindResult, Vec<std::os::fd::OwnedFd>)>>),
}

/// Runs the server until it is asked to stop and has drained.
///
/// # Errors
/// Fails if threads or signals are not to be had, or if `--snapshot` names no snapshot at the start.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // A server without its supervisor would hold the ports: it drains as soon as the supervisor is gone.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .context("parent's end cannot be watched")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async { Control::new(arguments)?.run().await })
}

struct Control {
    arguments: Arguments,
    shared: Arc<Shared>,
    lasting: Lasting,
    workers: Vec<WorkerThread>,
    log: LogWriter,
    state: State,
    discovery: Discovery,
    checks: Checks,
    live_since: Arc<AtomicU64>,
    sockets: SocketSource,
    events: mpsc::UnboundedReceiver<Event>,
    ejections: mpsc::UnboundedReceiver<Arc<Backend>>,
    report: watch::Sender<pull::Standing>,
    admin: Rc<AdminState>,
    background: Vec<JoinHandle<()>>,
    tables: Arc<Tables>,
    snapshot: Snapshot,
    bound: BTreeMap<SocketAddr, usize>,
    failures: BTreeMap<SocketAddr, crate::supervisor::channel::Failure>,
    bind_pause: Duration,
    bind_again: Option<tokio::time::Instant>,
}

// === impl Control ===

impl Control {
    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let n_workers = arguments.n_workers();
        let shared = Arc::new(Shared::new(n_workers, default_max_connections()));
        let series = Arc::new(SeriesIndex::new(n_workers));
        let (eject, ejections) = mpsc::unbounded_channel();
        let (post, events) = mpsc::unbounded_channel();
        let log = LogWriter::start().context("the log thread cannot be started")?;
        let workers: Vec<WorkerThread> = (0..n_workers)
            .map(|index| WorkerThread::start(index, Arc::clone(&shared), log.sink()))
            .collect::<io::Result<_>>()
            .context("worker threads cannot be started")?;
        let state = State::open(&arguments.state);
        let channel = ServerEnd::new(io::stdin().as_fd().try_clone_to_owned()?);
        let of_sockets = post.clone();
        let sockets = SocketSource::start(channel, move |answer| {
            // A closed channel means that the process ends.
            let _ = of_sockets.send(Event::Sockets(answer));
        })?;
        let of_discovery = post.clone();
        let discovery = Discovery::new(state.endpoints(), move |backend| {
            let _ = of_discovery.send(Event::Endpoints(backend));
        });
        let (report, _) = watch::channel(pull::Standing::default());
        let checks = Checks::default();
        let live_since = Arc::new(AtomicU64::new(0));
        let metrics = Metrics::new(Readings {
            series: Arc::clone(&series),
            shared: Arc::clone(&shared),
            dropped_lines: log.dropped(),
            checks: Arc::clone(&checks.counts),
            queries: discovery.queries(),
            live_since: Arc::clone(&live_since),
        });
        let admin = Rc::new(AdminState::new(Arc::clone(&shared), metrics, discovery.states()));
        let control = Self {
            arguments: arguments.clone(),
            lasting: Lasting::new(n_workers, series, eject),
            shared,
            workers,
            log,
            state,
            discovery,
            checks,
            live_since,
            sockets,
            events,
            ejections,
            report,
            admin,
            background: Vec::new(),
            tables: Arc::new(Tables::default()),
            snapshot: Snapshot::default(),
            bound: BTreeMap::new(),
            failures: BTreeMap::new(),
            bind_pause: FIRST_BIND_PAUSE,
            bind_again: None,
        };
        control.start(post)
    }

    /// Loads what is at rest and starts the tasks that run beside the loop.
    fn start(mut self, post: mpsc::UnboundedSender<Event>) -> anyhow::Result<Self> {
        match &self.arguments.snapshot {
            Some(folder) => {
                let path = folder.join("snapshot.json");
                self.lasting.keys.add_folder(&folder.join("keys"));
                let envelope = persist::read_envelope(&path).with_context(|| {
                    format!("no snapshot to serve in {}; write one with `igw render`", folder.display())
                })?;
                self.apply(&envelope, Keep::No);
            }
            None => {
                self.lasting.keys.add_folder(&self.state.keys());
                if let Some(envelope) = self.state.newest_envelope() {
                    info!(generation = envelope.generation, "serving the last known good snapshot");
                    self.apply(&envelope, Keep::No);
                }
                self.take_bootstrap();
                let bootstrap = self.arguments.bootstrap.as_deref().map(Bootstrap::new);
                let source = pull::Source::parse(self.arguments.sync.as_deref(), bootstrap)?;
                let identity =
                    pull::Identity { gateway: self.arguments.gateway.clone(), node: self.arguments.node() };
                let deliver = move |envelope| {
                    let _ = post.send(Event::Envelope(Box::new(envelope)));
                };
                self.background.push(tokio::task::spawn_local(pull::run(
                    source,
                    identity,
                    self.report.subscribe(),
                    deliver,
                )));
            }
        }
        self.background.extend(admin::start(
            Rc::clone(&self.admin),
            self.arguments.admin(),
            &self.arguments.state,
        ));
        Ok(self)
    }

    /// Arms of the loop: a signal, an event, an ejection, the next attempt to bind, the clock.
    async fn run(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut reopen = signal(SignalKind::user_defined1())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut clock = tokio::time::interval(CLOCK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let bind_again = self.bind_again;
            tokio::select! {
                _ = terminate.recv() => break,
                // A terminal sends it to the whole group; the supervisor decides.
                _ = interrupt.recv() => {}
                _ = hangup.recv() => self.reread(),
                _ = reopen.recv() => self.log.reopen(),
                event = self.events.recv() => match event {
                    Some(Event::Envelope(envelope)) => self.take(&envelope),
                    Some(Event::Endpoints(backend)) => self.checks.follow(&backend),
                    Some(Event::Sockets(answer)) => self.listen(answer),
                    None => break,
                },
                Some(backend) = self.ejections.recv() => backend.refresh(),
                () = async {
                    match bind_again {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.bind_again = None;
                    self.ask_sockets();
                }
                _ = clock.tick() => {
                    self.state.save_endpoints(self.discovery.persisted());
                    for backend in &self.tables.backends {
                        backend.refresh_if_ejection_ended();
                    }
                }
            }
        }
        self.drain(&mut terminate).await;
        Ok(())
    }

    /// Takes a snapshot of the control side unless it is older than the one that runs.
    fn take(&mut self, envelope: &Envelope) {
        for hint in &envelope.hints {
            if let igw_crds::sync::Hint::Resolve { fqdn } = hint {
                self.discovery.hint(fqdn);
            }
        }
        if !envelope.has_snapshot() {
            return;
        }
        let have = (self.tables.epoch, self.tables.generation);
        if (envelope.epoch, envelope.generation) <= have && self.tables.stamp() > 0 {
            warn!(?have, epoch = envelope.epoch, generation = envelope.generation, "stale snapshot refused");
            return;
        }
        self.apply(envelope, Keep::Yes);
    }

    /// Serves what the bootstrap folder holds if it is newer than what runs.
    fn take_bootstrap(&mut self) {
        let Some(folder) = &self.arguments.bootstrap else { return };
        self.lasting.keys.add_folder(&folder.join("keys"));
        match Bootstrap::new(folder).envelope() {
            Ok(envelope) => {
                let have = (self.tables.epoch, self.tables.generation);
                if self.tables.stamp() == 0 || (envelope.epoch, envelope.generation) > have {
                    info!(generation = envelope.generation, "serving the snapshot of the bootstrap folder");
                    self.apply(&envelope, Keep::Yes);
                }
            }
            Err(error) => warn!(error = format!("{error:#}"), "no snapshot in the bootstrap folder"),
        }
    }

    fn reread(&mut self) {
        self.take_bootstrap();
        let Some(folder) = &self.arguments.snapshot else { return };
        self.lasting.keys.add_folder(&folder.join("keys"));
        match persist::read_envelope(&folder.join("snapshot.json")) {
            Ok(envelope) => self.apply(&envelope, Keep::No),
            Err(error) => {
                error!(error = format!("{error:#}"), "snapshot not read; the one before stays");
                self.refuse(format!("{error:#}"));
            }
        }
    }

    /// Turns an envelope into what workers serve.
    fn apply(&mut self, envelope: &Envelope, keep: Keep) {
        let snapshot = match envelope.open() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                error!(%error, generation = envelope.generation, "snapshot refused");
                self.refuse(error.to_string());
                return;
            }
        };
        let snapshot = own_part(snapshot, self.arguments.gateway.as_deref(), &self.arguments.node());
        self.lasting.keys.add(&envelope.keys);
        let tables = Arc::new(self.lasting.build(&snapshot, envelope.epoch, envelope.generation));
        self.shared.set_max_connections(max_connections(&snapshot));
        self.discovery.follow(&snapshot, &tables.backends);
        self.checks.forget_others(&tables.backends);
        for backend in &tables.backends {
            self.checks.follow(backend);
        }
        self.shared.publish(Arc::clone(&tables));
        self.live_since.store(crate::clock::now_ms(), Ordering::Relaxed);
        self.tables = tables;
        self.snapshot = snapshot;
        self.bind_pause = FIRST_BIND_PAUSE;
        info!(epoch = envelope.epoch, generation = envelope.generation, "snapshot live");
        self.admin.set_envelope(Envelope { keys: BTreeMap::new(), ..envelope.clone() });
        self.ask_sockets();
        self.report(None);
        if keep == Keep::Yes {
            self.state.save_keys(self.lasting.keys.texts());
            self.state.save_envelope(envelope.clone());
        }
    }

    fn refuse(&self, why: String) {
        self.report(Some(why));
    }

    /// Asks the supervisor for the sockets of the tables, unless all is as it should be.
    fn ask_sockets(&mut self) {
        let wanted: Vec<SocketAddr> = self.tables.binds.iter().map(|bind| bind.address).collect();
        let is_same = self.failures.is_empty()
            && wanted.len() == self.bound.len()
            && wanted.iter().all(|address| self.bound.contains_key(address));
        if !is_same {
            self.close_unwanted(&wanted);
            self.sockets.ask(wanted);
        }
        for bind in &self.tables.binds {
            if self.bound.get(&bind.address).is_some_and(|port| *port != bind.port) {
                self.bound.insert(bind.address, bind.port);
                self.tell(|| Command::Assign { address: bind.address, port: bind.port });
            }
        }
    }

    fn close_unwanted(&mut self, wanted: &[SocketAddr]) {
        let unwanted: Vec<SocketAddr> =
            self.bound.keys().filter(|address| !wanted.contains(address)).copied().collect();
        for address in unwanted {
            self.bound.remove(&address);
            self.tell(|| Command::Close { address });
        }
    }

    /// Hands the sockets to the workers, one each.
    fn listen(&mut self, answer: io::Result<Vec<(BindResult, Vec<std::os::fd::OwnedFd>)>>) {
        let answers = match answer {
            Ok(answers) => answers,
            Err(error) => {
                error!(%error, "supervisor gave no sockets");
                self.bind_later();
                return;
            }
        };
        self.failures.clear();
        for (result, sockets) in answers {
            let Some(address) = result.address else { continue };
            if let Some(failure) = result.failure {
                self.failures.insert(address, failure);
                continue;
            }
            // The tables may have changed while the supervisor worked.
            let Some(bind) = self.tables.binds.iter().find(|bind| bind.address == address) else { continue };
            if self.bound.contains_key(&address) {
                continue;
            }
            self.bound.insert(address, bind.port);
            for (worker, socket) in self.workers.iter().zip(sockets) {
                let socket = std::net::TcpListener::from(socket);
                // A worker that is gone has been reported by its thread.
                let _ = worker.commands.send(Command::Listen { address, port: bind.port, socket });
            }
        }
        self.forgive_missing_family();
        if !self.failures.is_empty() {
            self.bind_later();
        }
        self.report(None);
    }

    /// A machine without IPv6 (or IPv4) serves "all addresses" with the other family.
    fn forgive_missing_family(&mut self) {
        let bound = &self.bound;
        self.failures.retain(|address, failure| {
            let twin_is_bound = bound.keys().any(|other| {
                other.port() == address.port()
                    && other.ip().is_unspecified()
                    && other.is_ipv4() != address.is_ipv4()
            });
            let is_missing =
                matches!(failure.kind, BindFailureKind::AddressNotUsable | BindFailureKind::Other);
            !(address.ip().is_unspecified() && twin_is_bound && is_missing)
        });
    }

    fn bind_later(&mut self) {
        self.bind_again = Some(tokio::time::Instant::now() + self.bind_pause);
        self.bind_pause = (self.bind_pause * 2).min(LONGEST_BIND_PAUSE);
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            let _ = worker.commands.send(command());
        }
    }

    /// Publishes how things stand.
    fn report(&self, refused: Option<String>) {
        let mut listeners = Vec::new();
        for gateway in &self.snapshot.gateways {
            let name = format!("{}/{}", gateway.namespace, gateway.name);
            for listener in &gateway.listeners {
                let of_port = |bind: &&crate::tables::Bind| {
                    bind.address.port() == listener.port
                        && self
                            .tables
                            .ports
                            .get(bind.port)
                            .and_then(Option::as_ref)
                            .is_some_and(|port| *port.gateway == *name)
                };
                let binds: Vec<SocketAddr> =
                    self.tables.binds.iter().filter(of_port).map(|bind| bind.address).collect();
                let fault = self.tables.faults.get(&(name.as_str().into(), listener.name.as_str().into()));
                let error = match binds.first() {
                    None => first_address(gateway, listener.port).map(|address| BindFailure {
                        address,
                        kind: BindFailureKind::HeldByOtherGateway,
                        message: format!("an older gateway has {address}; choose another address or port"),
                    }),
                    Some(_) => binds.iter().find_map(|address| {
                        let failure = self.failures.get(address)?;
                        Some(BindFailure {
                            address: *address,
                            kind: failure.kind,
                            message: failure.message.clone(),
                        })
                    }),
                };
                let of_tls = |address: &SocketAddr| {
                    Some(BindFailure {
                        address: *address,
                        kind: BindFailureKind::Other,
                        message: fault?.clone(),
                    })
                };
                let error = error.or_else(|| binds.first().and_then(of_tls));
                listeners.push(ListenerReport {
                    gateway: name.clone(),
                    listener: listener.name.clone(),
                    bound: binds.into_iter().filter(|address| self.bound.contains_key(address)).collect(),
                    error,
                });
            }
        }
        let report = Report { listeners, serving: self.tables.stamp() > 0, refused };
        self.admin
            .set_report(report.clone(), self.tables.binds.len() == self.bound.len() + self.failures.len());
        self.report.send_if_modified(|standing| {
            let now = pull::Standing { epoch: self.tables.epoch, generation: self.tables.generation, report };
            let is_news = *standing != now;
            *standing = now;
            is_news
        });
    }

    /// Ends in order: no new connections, requests finish, tunnels go on for their own time, then what is left ends.
    async fn drain(self, terminate: &mut tokio::signal::unix::Signal) {
        let of_gateways = |ms: fn(&igw_crds::snapshot::Settings) -> u64| {
            Duration::from_millis(
                self.snapshot.gateways.iter().map(|gateway| ms(&gateway.settings)).max().unwrap_or(0),
            )
        };
        let limit = self.arguments.drain_timeout.unwrap_or_else(|| of_gateways(|settings| settings.drain_ms));
        let of_tunnels =
            self.arguments.drain_timeout.unwrap_or_else(|| of_gateways(|settings| settings.drain_tunnels_ms));
        info!(connections = self.shared.n_connections(), ?limit, "draining");
        self.state.save_endpoints(self.discovery.persisted());
        self.shared.set_phase(Phase::Stopping);
        self.tell(|| Command::Phase);
        let shared = &self.shared;
        let until = async |is_over: &dyn Fn() -> bool| {
            while !is_over() {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        let is_empty = || shared.n_connections() == 0;
        let in_order = async {
            let _ = tokio::time::timeout(limit, until(&is_empty)).await;
            let rest = of_tunnels.saturating_sub(limit);
            let _ = tokio::time::timeout(rest, until(&|| shared.n_tunnels() == 0)).await;
        };
        tokio::select! {
            () = in_order => {}
            _ = terminate.recv() => {}
        }
        // Tunnels end with a word in the log.
        self.shared.set_phase(Phase::Ending);
        self.tell(|| Command::Phase);
        let _ = tokio::time::timeout(DRAIN_LOOK * 10, until(&|| shared.n_tunnels() == 0)).await;
        self.shared.set_phase(Phase::Ended);
        self.tell(|| Command::Phase);
        for task in &self.background {
            task.abort();
        }
        for worker in self.workers {
            worker.join();
        }
        self.log.finish();
    }
}

/// Whether a snapshot becomes the last known good one on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

fn first_address(gateway: &igw_crds::snapshot::Gateway, port: u16) -> Option<SocketAddr> {
    let any = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    Some(SocketAddr::new(gateway.addresses.first().copied().unwrap_or(any), port))
}

/// Leaves one gateway in the snapshot, all where none is named, and binds what this node is to bind.
fn own_part(mut snapshot: Snapshot, gateway: Option<&str>, node: &str) -> Snapshot {
    if let Some(name) = gateway {
        snapshot.gateways.retain(|gateway| format!("{}/{}", gateway.namespace, gateway.name) == name);
    }
    for gateway in &mut snapshot.gateways {
        if gateway.node_addresses.is_empty() {
            continue;
        }
        match gateway.node_addresses.get(node) {
            Some(addresses) => gateway.addresses.clone_from(addresses),
            None => {
                warn!(node, "no address of this node is known; nothing is bound");
                gateway.listeners.clear();
            }
        }
    }
    snapshot
}

/// The limit of the gateways together, or what the machine bears.
fn max_connections(snapshot: &Snapshot) -> u32 {
    let set: Option<u32> = snapshot.gateways.iter().map(|gateway| gateway.settings.max_connections).sum();
    match set {
        Some(set) if set > 0 => set.min(default_max_connections().saturating_mul(2)),
        _ => default_max_connections(),
    }
}

/// Half of the descriptors that are not reserved, but no more than memory bears.
fn default_max_connections() -> u32 {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let descriptors = limits.current.unwrap_or(1 << 20).saturating_sub(RESERVED_DESCRIPTORS) / 2;
    let memory = memory_bytes().map_or(u64::MAX, |bytes| bytes / BYTES_PER_CONNECTION);
    u32::try_from(descriptors.min(memory)).unwrap_or(u32::MAX).max(16)
}

fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

const CLOCK: Duration = Duration::from_secs(1);
const FIRST_BIND_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_BIND_PAUSE: Duration = Duration::from_secs(2);
const DRAIN_LOOK: Duration = Duration::from_millis(10);
/// Descriptors kept for admin, checks, DNS and files.
const RESERVED_DESCRIPTORS: u64 = 64;
const BYTES_PER_CONNECTION: u64 = 64 * 1024;
