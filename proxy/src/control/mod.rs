//! The control thread of the server process: it pulls snapshots, builds tables, binds, resolves, checks,
//! reports. It never touches a request.

pub(crate) mod bootstrap;
mod discovery;
mod drain;
mod duties;
mod health;
mod lead;
mod persist;
mod pull;
mod report;
mod sockets;
mod versions;

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use igw_crds::snapshot::{Snapshot, Transport};
use igw_crds::sync::{BindFailureKind, Envelope, Hint};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};
use tracing::{error, info, warn};

use crate::admin::AdminState;
use crate::arguments::Arguments;
use crate::log::LogWriter;
use crate::metrics::series::SeriesIndex;
use crate::metrics::upgrades::UpgradeCounts;
use crate::metrics::{Metrics, Readings};
use crate::place::Place;
use crate::shared::Shared;
use crate::supervisor::channel::{BindResult, Failure, OfServer, Standing};
use crate::tables::{Lasting, Tables};
use crate::upstream::backend::Backend;
use crate::worker::{Command, Incoming, WorkerThread};
use bootstrap::Bootstrap;
use discovery::Discovery;
use drain::Leaving;
use health::Checks;
use lead::{Door, Lead};
use persist::State;
use sockets::{Heard, SupervisorLink};
use versions::Versions;

/// What can wake the control loop besides signals and the clock.
enum Event {
    /// A snapshot arrived.
    Envelope(Box<Envelope>),
    /// Endpoints of a back end were named anew.
    Endpoints(Arc<Backend>),
    /// The supervisor of this number said something.
    Supervisor(u32, Heard),
    /// Workers have done all that they were told before.
    Settled(Standing),
    /// No other server leads.
    Leads(Lead),
    /// A supervisor that did not start this server.
    Caller(OwnedFd),
    /// The binaries were looked at.
    Versions(Box<Versions>),
}

/// Runs the server until it is asked to stop and has drained.
///
/// # Errors
/// Fails if threads or signals are not to be had, or if `--snapshot` names no snapshot at the start.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let ended = local.block_on(&runtime, async { Control::new(arguments)?.run().await });
    // Whoever still reads a binary is not waited for.
    runtime.shutdown_background();
    ended
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
    supervisor: SupervisorLink,
    /// Counts supervisors.
    n_supervisors: u32,
    post: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    ejections: mpsc::UnboundedReceiver<Arc<Backend>>,
    report: watch::Sender<pull::Standing>,
    admin: Rc<AdminState>,
    background: Vec<JoinHandle<()>>,
    versions: Versions,
    upgrades: Arc<UpgradeCounts>,
    lead: Option<Lead>,
    door: Option<Door>,
    /// When a server without supervisor gives up.
    orphan_until: Option<tokio::time::Instant>,
    /// Workers served something, or had nothing to serve.
    is_started: bool,
    /// The supervisor was told that this server serves.
    is_proven: bool,
    is_looking: Rc<Cell<bool>>,
    tables: Arc<Tables>,
    snapshot: Snapshot,
    /// What is served and not at rest yet.
    unsaved: Option<Envelope>,
    bound: BTreeMap<Place, usize>,
    /// The sockets of workers once more, for the next supervisor.
    held: BTreeMap<Place, Vec<OwnedFd>>,
    is_asking: bool,
    failures: BTreeMap<Place, Failure>,
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
        let channel = io::stdin().as_fd().try_clone_to_owned()?;
        let supervisor = SupervisorLink::start(channel, duties::hear(&post, 0))?;
        let of_discovery = post.clone();
        let discovery = Discovery::new(state.endpoints(), move |backend| {
            let _ = of_discovery.send(Event::Endpoints(backend));
        });
        let (report, _) = watch::channel(pull::Standing::default());
        let checks = Checks::default();
        let live_since = Arc::new(AtomicU64::new(0));
        let upgrades = Arc::new(UpgradeCounts::default());
        let metrics = Metrics::new(Readings {
            series: Arc::clone(&series),
            shared: Arc::clone(&shared),
            dropped_lines: log.dropped(),
            checks: Arc::clone(&checks.counts),
            queries: discovery.queries(),
            live_since: Arc::clone(&live_since),
            upgrades: Arc::clone(&upgrades),
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
            supervisor,
            n_supervisors: 0,
            post,
            events,
            ejections,
            report,
            admin,
            background: Vec::new(),
            versions: Versions::new(),
            upgrades,
            lead: None,
            door: None,
            orphan_until: None,
            is_started: false,
            is_proven: false,
            is_looking: Rc::default(),
            tables: Arc::new(Tables::default()),
            snapshot: Snapshot::default(),
            unsaved: None,
            bound: BTreeMap::new(),
            held: BTreeMap::new(),
            is_asking: false,
            failures: BTreeMap::new(),
            bind_pause: FIRST_BIND_PAUSE,
            bind_again: None,
        };
        control.start()
    }

    /// Loads what is at rest, and begins to wait for the lead.
    fn start(mut self) -> anyhow::Result<Self> {
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
                // What is wrong with the command line is told before anything is served.
                self.source()?;
                self.load();
                self.take_bootstrap();
            }
        }
        if !self.arguments.standby {
            self.wait_for_lead();
        } else if self.tables.stamp() == 0 {
            // Nothing is at rest, so that nothing is to be served before the lead.
            let _ = self.post.send(Event::Settled(Standing::default()));
        }
        Ok(self)
    }

    /// Arms of the loop: a signal, an event, an ejection, the next attempt to bind, the end of patience without a
    /// supervisor, another snapshot at rest, the clock.
    async fn run(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut reopen = signal(SignalKind::user_defined1())?;
        // A terminal or a careless command sends these to all processes; the supervisor decides.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut upgrade = signal(SignalKind::user_defined2())?;
        let mut clock = tokio::time::interval(CLOCK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(STANDBY_LOOK);
        let mut at_rest = self.state.stamp();
        let sleep = async |until: Option<tokio::time::Instant>| match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        };
        let leaving = loop {
            let (bind_again, orphan_until) = (self.bind_again, self.orphan_until);
            tokio::select! {
                _ = terminate.recv() => break Leaving::Stop,
                _ = interrupt.recv() => {}
                _ = upgrade.recv() => {}
                _ = hangup.recv() => self.reread(),
                _ = reopen.recv() => self.log.reopen(),
                Some(event) = self.events.recv() => if let Some(leaving) = self.act(event) {
                    break leaving;
                },
                Some(backend) = self.ejections.recv() => backend.refresh(),
                () = sleep(bind_again) => {
                    self.bind_again = None;
                    self.ask_sockets();
                }
                () = sleep(orphan_until) => break Leaving::Stop,
                _ = look.tick(), if self.lead.is_none() && self.arguments.snapshot.is_none() => {
                    if self.state.stamp() != at_rest {
                        at_rest = self.state.stamp();
                        self.load();
                    }
                }
                _ = clock.tick() => {
                    if self.lead.is_some() {
                        self.state.save_endpoints(self.discovery.persisted());
                        self.look_at_binaries();
                    }
                    for backend in &self.tables.backends {
                        backend.refresh_if_ejection_ended();
                    }
                }
            }
        };
        self.leave(leaving, &mut terminate).await;
        Ok(())
    }

    /// Takes a snapshot of the control side unless it is older than the one that runs.
    fn take(&mut self, envelope: &Envelope) {
        for hint in &envelope.hints {
            match hint {
                Hint::Resolve { fqdn } => self.discovery.hint(fqdn),
                Hint::TakeOver { node, binary }
                    if *node == self.arguments.node() && self.versions.may_take_over(binary) =>
                {
                    info!(binary, "the control side asks for the binary on disk");
                    self.supervisor.say(&OfServer::TakeOver, &[]);
                }
                _ => {}
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
            self.unsaved = Some(envelope.clone());
            self.save();
        }
    }

    fn refuse(&self, why: String) {
        self.report(Some(why));
    }

    /// Asks the supervisor for the sockets of the tables, unless all is as it should be.
    fn ask_sockets(&mut self) {
        let wanted: Vec<Place> = self.tables.binds.iter().map(|bind| bind.place).collect();
        let is_same = self.failures.is_empty()
            && wanted.len() == self.bound.len()
            && wanted.iter().all(|place| self.bound.contains_key(place));
        if !is_same {
            self.close_unwanted(&wanted);
            self.is_asking = true;
            self.supervisor.ask(wanted.into_iter());
        }
        for bind in &self.tables.binds {
            if self.bound.get(&bind.place).is_some_and(|port| *port != bind.port) {
                self.bound.insert(bind.place, bind.port);
                self.tell(|| Command::Assign { place: bind.place, port: bind.port });
            }
        }
    }

    fn close_unwanted(&mut self, wanted: &[Place]) {
        let unwanted: Vec<Place> =
            self.bound.keys().filter(|place| !wanted.contains(place)).copied().collect();
        for place in unwanted {
            self.bound.remove(&place);
            self.held.remove(&place);
            self.tell(|| Command::Close { place });
        }
    }

    /// Hands the sockets to the workers, one each; more than that are shared out.
    fn listen(&mut self, answers: Vec<(BindResult, Vec<OwnedFd>)>) {
        self.is_asking = false;
        self.failures.clear();
        let answered: HashSet<Place> = answers.iter().map(|(result, _)| result.place).collect();
        for bind in self.tables.binds.iter().filter(|bind| bind.place.is_udp()) {
            if !answered.contains(&bind.place) {
                // It will be another one soon: this one is of the release that is being replaced.
                let message =
                    "the supervisor is of a release that knows no UDP; it is asked again".to_owned();
                self.failures.insert(bind.place, Failure { kind: BindFailureKind::Other, message });
            }
        }
        for (BindResult { place, failure }, sockets) in answers {
            if let Some(failure) = failure {
                self.failures.insert(place, failure);
                continue;
            }
            // The tables may have changed while the supervisor worked.
            let Some(bind) = self.tables.binds.iter().find(|bind| bind.place == place) else { continue };
            if self.bound.contains_key(&place) {
                continue;
            }
            self.bound.insert(place, bind.port);
            let held = sockets.iter().filter_map(|socket| socket.try_clone().ok());
            self.held.insert(place, held.collect());
            for (worker, socket) in self.workers.iter().cycle().zip(sockets) {
                let socket = match place.transport {
                    Transport::Tcp => Incoming::Connections(socket.into()),
                    Transport::Udp => Incoming::Datagrams(socket.into()),
                };
                // A worker that is gone has been reported by its thread.
                let _ = worker.commands.send(Command::Listen { place, port: bind.port, socket });
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
        self.failures.retain(|place, failure| {
            let address = place.address;
            let twin_is_bound = bound.keys().any(|other| {
                (other.transport, other.address.port()) == (place.transport, address.port())
                    && other.address.ip().is_unspecified()
                    && other.address.is_ipv4() != address.is_ipv4()
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
}

/// Whether a snapshot becomes the last known good one on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
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
/// Time between two looks of a server that does not lead at what is at rest.
const STANDBY_LOOK: Duration = Duration::from_millis(100);
/// Descriptors kept for admin, checks, DNS and files.
const RESERVED_DESCRIPTORS: u64 = 64;
const BYTES_PER_CONNECTION: u64 = 64 * 1024;
