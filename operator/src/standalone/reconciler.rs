//! The one thread that decides: reads files, compiles, publishes, turns reports into statuses.
//!
//! It acts on the whole latest state whatever told it to. Files settle for 20 ms, at most 80 ms, before they
//! are read. A snapshot is published only if it differs from the one before. Statuses are published when the
//! proxy runs the newest snapshot, or after a second without that, so that `Programmed` is not claimed of
//! something that no proxy has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime};

use igw_compile::{Compiled, Facts, ObjectSet, Services, Status, compile};
use igw_crds::objects::ObjectKey;
use igw_crds::sync::{Envelope, Report, SyncRequest};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::Event;
use super::issuance::Issuance;
use super::keeper::{Content, Keeper};
use super::memory::Memory;
use super::outside::Write;
use super::state::{State, write_atomic};
use super::store::{Hints, Store};
use super::watch::Watch;
use crate::certificates::sessions::SessionSecret;
use crate::certificates::vault::Vault;
use crate::doors::metrics::Metrics;
use crate::doors::sync_server::Sealed;
use crate::objects::gathered::Gathered;
use crate::objects::leases::Leases;
use crate::objects::ledger::Ledger;
use crate::objects::listing::{Listing, Notice, Severity, object_id};
use crate::objects::meaning::{facts, material, notices_of, objects, statuses};
use crate::objects::reading::object_name;
use crate::objects::statuses::carry_times;
use crate::objects::view::{Record, Shown, View, is_every_listener_told, listeners_in_words, seconds};

/// What a gateway is made of.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Cluster name that completes service names.
    pub cluster: String,
    /// Servers of the default resolver; empty = those of resolv.conf.
    pub nameservers: Vec<SocketAddr>,
    /// Services with their endpoints, if somebody tells them; else DNS does.
    pub services: Option<Services>,
}

/// Where decisions go.
pub struct Outlets {
    /// The newest snapshot.
    pub newest: watch::Sender<Option<Arc<Sealed>>>,
    /// The newest view.
    pub view: watch::Sender<Arc<View>>,
    /// Counters.
    pub metrics: Metrics,
}

/// The thread's state.
pub struct Reconciler {
    store: Store,
    watch: Watch,
    ledger: Ledger,
    keeper: Keeper,
    facts: Facts,
    leases: Leases,
    outlets: Outlets,
    gathered: Gathered,
    records: BTreeMap<ObjectKey, Record>,
    compiled: Option<Compiled>,
    vault: Vault,
    sessions: SessionSecret,
    issuance: Issuance,
    /// The objects of the last compilation.
    objects: ObjectSet,
    /// Something is new that is not compiled yet, whatever files say.
    is_compile_due: bool,
    /// Names of the files in the folder of keys.
    kept_keys: BTreeSet<String>,
    /// When a certificate begins or ceases to be good.
    certificates_due: Option<Timestamp>,
    generation: u64,
    /// Writes of single objects so far.
    n_writes: u64,
    report: Option<SyncRequest>,
    told: BTreeMap<ObjectKey, Told>,
    /// Statuses that the run before wrote, by name, until the first of this one.
    earlier: BTreeMap<String, Value>,
    shown: BTreeMap<ObjectKey, Arc<Shown>>,
    logged: BTreeSet<String>,
    due: Due,
}

/// A status that was published.
struct Told {
    /// As compiled.
    bare: Arc<Status>,
    /// With its times.
    json: Arc<Value>,
}

/// What has to happen when.
struct Due {
    hints: Hints,
    /// Events came; read at the first, and not later than the second.
    files: Option<(Instant, Instant)>,
    /// Statuses wait for the proxy until then.
    statuses: Option<Instant>,
    /// Look at the files without any event.
    look: Instant,
}

// === impl Reconciler ===

impl Reconciler {
    /// A reconciler that has not looked at anything yet.
    ///
    /// # Errors
    /// The system's, if no thread can be started.
    pub fn new(
        subject: Subject,
        state: &State,
        outlets: Outlets,
        issuance: Issuance,
        events: Sender<Event>,
    ) -> io::Result<Self> {
        let now = Timestamp::now();
        let mut ledger = Ledger::load(&state.path(LEDGER), now);
        // An epoch that is not on disk would be counted again after the next start.
        if let Err(error) = write_atomic(&state.path(LEDGER), &ledger.to_bytes()) {
            warn!(%error, "ledger cannot be written; the epoch is taken from the clock");
            ledger.surpass(0, now);
        }
        let memory = Memory::load(&state.path(OBJECTS));
        Ok(Self {
            store: Store::new(subject.paths, Some(state.root().to_owned()), memory),
            watch: Watch::start(events),
            ledger,
            keeper: Keeper::start(state.root().to_owned())?,
            facts: Facts { services: subject.services, ..facts(&subject.cluster, &subject.nameservers) },
            leases: leases(&state.path(LEASES)),
            outlets,
            gathered: Gathered::default(),
            records: BTreeMap::new(),
            compiled: None,
            vault: Vault::load(&state.path(KEYS)),
            sessions: SessionSecret::keep(&state.path(SESSIONS), write_atomic),
            issuance,
            objects: ObjectSet::default(),
            is_compile_due: false,
            kept_keys: names_in(&state.path(KEYS)),
            certificates_due: None,
            generation: 0,
            n_writes: 0,
            report: None,
            told: BTreeMap::new(),
            earlier: earlier_statuses(state),
            shown: BTreeMap::new(),
            logged: BTreeSet::new(),
            due: Due { hints: Hints::default(), files: None, statuses: None, look: Instant::now() },
        })
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, events: &Receiver<Event>) {
        self.reconcile();
        loop {
            let wait = self.due.next().saturating_duration_since(Instant::now());
            match events.recv_timeout(wait) {
                Ok(Event::Files(paths)) => self.due.settle(paths),
                Ok(Event::Confirm) => {
                    self.due.hints.confirmed = true;
                    self.reconcile();
                }
                Ok(Event::Report(report)) => self.take_report(*report),
                Ok(Event::Certificates) => {
                    self.is_compile_due = true;
                    self.reconcile();
                }
                Ok(Event::Write(write)) => self.take_write(*write),
                Ok(Event::Services(services)) => self.take_services(services),
                Ok(Event::ProxyGone) => {
                    self.report = None;
                    self.publish_statuses();
                }
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if self.due.files.is_some_and(|(at, latest)| at.min(latest) <= now) || self.due.look <= now {
                self.reconcile();
            }
            if self.due.statuses.is_some_and(|at| at <= now) {
                self.publish_statuses();
            }
        }
        self.keeper.close();
    }

    /// One pass over the files, and what follows from it.
    fn reconcile(&mut self) {
        let started = Instant::now();
        let hints = std::mem::take(&mut self.due.hints);
        let pass = self.store.pass(&hints, SystemTime::now());
        self.due.files = None;
        self.due.look = started + LOOK;
        if self.watch.follow(&pass.folders) {
            // What was made between the walk and the watch made no event.
            self.due.look = started + SETTLE_MAX;
        }
        let now = Timestamp::now();
        let is_certificate_due = self.certificates_due.is_some_and(|due| due <= now);
        let is_compile_due = std::mem::take(&mut self.is_compile_due);
        if !pass.changed && !is_certificate_due && !is_compile_due && self.compiled.is_some() {
            self.outlets.metrics.reconciled("unchanged", started.elapsed());
            return;
        }
        if pass.changed || self.compiled.is_none() {
            self.gather();
        }
        let set = objects(&self.gathered, &self.records);
        let issued = self.issuance.want(&set);
        self.facts.material = material(&set, &issued, &mut self.vault, now);
        self.facts.challenges = self.issuance.challenges();
        if self.leases.renew(&set) {
            self.facts.leases = self.leases.held();
            let leases = self.leases.clone();
            self.keeper.write(LEASES, Content::new(move || leases.to_bytes()));
        }
        self.certificates_due = self.vault.next_change(now);
        let compiled = compile(&set, &self.facts);
        self.objects = set;
        let is_new = self.compiled.as_ref().is_none_or(|before| before.snapshot != compiled.snapshot);
        self.compiled = Some(compiled);
        if is_new {
            self.publish_snapshot();
        }
        self.log_notices();
        self.count_objects();
        let result = if self.gathered.broken.is_empty() { "changed" } else { "invalid" };
        self.outlets.metrics.reconciled(result, started.elapsed());
        let ledger = self.ledger.clone();
        self.keeper.write(LEDGER, Content::new(move || ledger.to_bytes()));
        self.keep_keys();
        let remembered = self.store.remember();
        self.keeper.write(OBJECTS, Content::new(move || remembered.to_bytes()));
        if self.is_current() {
            self.publish_statuses();
        } else {
            self.due.statuses = Some(Instant::now() + STATUS_PATIENCE);
        }
    }

    /// Writes an object for somebody, and tells them what is known of it. It is compiled with what else is new.
    fn take_write(&mut self, mut write: Write) {
        if let Some(taken) = self.gathered.objects.get(&write.key) {
            write.move_to(&taken.source.file);
        }
        let answer = match write.put() {
            Err(error) => Err(format!("{} cannot be written: {error}", write.file.display())),
            Ok(before) => {
                self.look_at(&write.file, false);
                if write.is_held(&self.gathered) {
                    // It was the last object, and somebody says that this is meant.
                    self.look_at(&write.file, true);
                }
                match write.refusal(&self.gathered) {
                    None => Ok(self.records.get(&write.key).cloned()),
                    Some(message) => {
                        if let Err(error) = write.undo(&before) {
                            warn!(file = %write.file.display(), %error, "a write cannot be taken back");
                        }
                        self.look_at(&write.file, false);
                        Err(message)
                    }
                }
            }
        };
        self.n_writes += 1;
        self.is_compile_due = true;
        self.due.settle(vec![write.file]);
        // Whoever asked may have gone.
        let _ = write.done.send(answer);
    }

    /// Reads a file that changed, and brings the ledger up to date.
    fn look_at(&mut self, file: &Path, confirmed: bool) {
        let hints = Hints { named: BTreeSet::from([file.to_owned()]), confirmed };
        self.store.pass(&hints, SystemTime::now());
        self.gather();
    }

    fn take_services(&mut self, services: Services) {
        if self.facts.services.as_ref() != Some(&services) {
            self.facts.services = Some(services);
            self.is_compile_due = true;
            self.due.settle(Vec::new());
        }
    }

    /// Writes the keys that are in use, and removes those that are not any more.
    fn keep_keys(&mut self) {
        let files = self.vault.files();
        if files.keys().eq(self.kept_keys.iter()) {
            return;
        }
        for name in self.kept_keys.iter().filter(|name| !files.contains_key(*name)) {
            self.keeper.remove(format!("{KEYS}/{name}"));
        }
        self.kept_keys = files.keys().cloned().collect();
        for (name, bytes) in files {
            self.keeper.write(format!("{KEYS}/{name}"), Content::new(move || bytes));
        }
    }

    /// Takes what the files hold now, and brings the ledger up to date.
    fn gather(&mut self) {
        self.gathered = self.store.gather();
        let now = Timestamp::now();
        let records = self.gathered.objects.iter().map(|(key, taken)| {
            let entry = self.ledger.observe(key, taken.content, now);
            let uid = Arc::clone(&entry.uid);
            (key.clone(), Record { uid, created: entry.created, generation: entry.generation })
        });
        self.records = records.collect();
        // While something cannot be told, what is not there may only be unreadable.
        if !self.gathered.uncertain {
            self.ledger.retain(|key| self.records.contains_key(key));
        }
    }

    /// Seals the compiled snapshot as the next generation.
    fn publish_snapshot(&mut self) {
        let Some(compiled) = &self.compiled else { return };
        let mut keys = self.vault.keys(&compiled.snapshot);
        self.sessions.add_keys(&compiled.snapshot, &mut keys);
        self.issuance.add_keys(&mut keys);
        let sealed = Envelope::seal(self.ledger.epoch, self.generation + 1, &compiled.snapshot)
            .and_then(|envelope| Sealed::new(&envelope, keys));
        match sealed {
            Ok(sealed) => {
                self.generation += 1;
                self.outlets.metrics.published(self.generation);
                info!(
                    generation = self.generation,
                    gateways = compiled.snapshot.gateways.len(),
                    routes = compiled.snapshot.routes.len(),
                    "snapshot published"
                );
                let bytes = sealed.stored.clone();
                self.keeper.write(SNAPSHOT, Content::new(move || bytes.to_vec()));
                self.outlets.newest.send_replace(Some(Arc::new(sealed)));
            }
            Err(error) => error!(%error, "snapshot cannot be sealed; the one before stays"),
        }
    }

    fn take_report(&mut self, report: SyncRequest) {
        if self.compiled.is_some() && (report.epoch, report.generation) > (self.ledger.epoch, self.generation)
        {
            // The ledger was lost or went back: the proxy would refuse every snapshot of this epoch.
            self.ledger.surpass(report.epoch, Timestamp::now());
            self.generation = 0;
            info!(epoch = self.ledger.epoch, "proxy has seen a later epoch; going above it");
            self.publish_snapshot();
            let ledger = self.ledger.clone();
            self.keeper.write(LEDGER, Content::new(move || ledger.to_bytes()));
        }
        let is_news = self.report.as_ref().is_none_or(|before| {
            before.report != report.report
                || (before.epoch, before.generation) != (report.epoch, report.generation)
        });
        if !is_news {
            return;
        }
        self.log_report(&report);
        self.report = Some(report);
        self.tell_served();
        if self.is_current() {
            self.publish_statuses();
        }
    }

    /// Tells who waits for it that the proxy runs the newest snapshot.
    fn tell_served(&mut self) {
        if let Some(compiled) = self.compiled.as_ref().filter(|_| self.is_current()) {
            self.issuance.served(&compiled.snapshot);
        }
    }

    /// Whether the proxy runs the newest snapshot.
    fn is_current(&self) -> bool {
        self.report.as_ref().is_some_and(|report| {
            report.report.serving && (report.epoch, report.generation) == (self.ledger.epoch, self.generation)
        })
    }

    /// Makes statuses from what was compiled and what the proxy said, and shows them.
    fn publish_statuses(&mut self) {
        self.due.statuses = None;
        let Some(compiled) = &self.compiled else { return };
        let nothing = Report::default();
        let report = self.report.as_ref().map_or(&nothing, |report| &report.report);
        let now = seconds(Timestamp::now());
        let mut told = BTreeMap::new();
        let mut statuses = statuses(compiled, report);
        self.issuance.show(&self.objects, &mut statuses);
        for (key, status) in statuses {
            let now_told = match self.told.remove(&key) {
                Some(before) if before.bare == status => before,
                before => {
                    let mut json = serde_json::to_value(&*status).unwrap_or_default();
                    let before = match &before {
                        Some(before) => Some(&*before.json),
                        None => self.earlier.get(&object_name(&key)),
                    };
                    carry_times(before, &mut json, &now);
                    Told { bare: status, json: Arc::new(json) }
                }
            };
            told.insert(key, now_told);
        }
        self.told = told;
        self.earlier.clear();
        let is_ready = self.is_current() && is_every_listener_told(&compiled.snapshot, report);
        let listeners = listeners_in_words(&compiled.snapshot, report);
        self.show();
        let view = View {
            epoch: self.ledger.epoch,
            generation: self.generation,
            surroundings: Arc::default(),
            n_writes: self.n_writes,
            ready: is_ready,
            notices: self.notices(),
            shown: self.shown.values().cloned().collect(),
            listeners,
        };
        let view = Arc::new(view);
        self.outlets.view.send_replace(view.clone());
        self.keeper.write(STATUS, Content::new(move || view.to_bytes()));
    }

    /// Brings what is shown up to date, and keeps what did not change.
    fn show(&mut self) {
        let mut before = std::mem::take(&mut self.shown);
        let shown = self.gathered.objects.iter().map(|(key, taken)| {
            let record = self.records.get(key);
            let status = self.told.get(key).map(|told| &told.json);
            let shown = match before.remove(key) {
                Some(before) if before.is_same(&taken.object, record, status, &taken.source) => before,
                before => {
                    let name =
                        before.map_or_else(|| object_name(key).into(), |before| Arc::clone(&before.name));
                    let object = Arc::clone(&taken.object);
                    let status = status.map(Arc::clone);
                    Arc::new(Shown::new(object, name, record.cloned(), status, taken.source.clone()))
                }
            };
            (key.clone(), shown)
        });
        self.shown = shown.collect();
    }

    fn notices(&self) -> Vec<Notice> {
        let mut notices = self.gathered.notices.clone();
        if let Some(compiled) = &self.compiled {
            notices.extend(notices_of(compiled, &self.gathered, false));
        }
        if let Some(refused) = self.report.as_ref().and_then(|report| report.report.refused.as_ref()) {
            notices.push(Notice {
                severity: Severity::Error,
                message: format!("the proxy refused the newest snapshot: {refused}"),
                hint: Some("it serves the one before".into()),
                ..Notice::default()
            });
        }
        notices
    }

    /// Logs what was not wrong before, and how much of it is right again.
    fn log_notices(&mut self) {
        let notices = self.notices();
        let lines: BTreeSet<String> = notices.iter().map(Notice::line).collect();
        let mut n_logged = 0_usize;
        for notice in &notices {
            let line = notice.line();
            if self.logged.contains(&line) {
                continue;
            }
            n_logged += 1;
            match notice.severity {
                _ if n_logged > MAX_LOGGED => {}
                Severity::Error => error!("{line}"),
                Severity::Warning => warn!("{line}"),
            }
        }
        if n_logged > MAX_LOGGED {
            warn!(more = n_logged - MAX_LOGGED, "more errors and warnings; igw validate lists them all");
        }
        let n_resolved = self.logged.difference(&lines).count();
        if n_resolved > 0 {
            info!(resolved = n_resolved, remaining = lines.len(), "errors and warnings resolved");
        }
        self.logged = lines;
    }

    fn log_report(&self, report: &SyncRequest) {
        let before = self.report.as_ref().map(|before| &before.report);
        for listener in &report.report.listeners {
            let earlier = before.and_then(|before| {
                before.listeners.iter().find(|earlier| {
                    (&earlier.gateway, &earlier.listener) == (&listener.gateway, &listener.listener)
                })
            });
            if earlier == Some(listener) {
                continue;
            }
            match &listener.error {
                Some(failure) => warn!(
                    gateway = %listener.gateway, listener = %listener.listener, address = %failure.address,
                    "listener is not bound: {}", failure.message
                ),
                None if listener.bound.is_empty() => {}
                None => info!(
                    gateway = %listener.gateway, listener = %listener.listener, bound = ?listener.bound,
                    "listener is bound"
                ),
            }
        }
        if let Some(refused) = &report.report.refused
            && before.and_then(|before| before.refused.as_ref()) != Some(refused)
        {
            error!(reason = %refused, "proxy refused the newest snapshot");
        }
    }

    fn count_objects(&self) {
        let counts = self.gathered.counts();
        self.outlets.metrics.count_objects(counts.into_iter().map(|((kind, state), n)| (kind, state, n)));
    }
}

// === impl Due ===

impl Due {
    /// Files changed: wait until they are quiet, but not for ever.
    fn settle(&mut self, paths: Vec<PathBuf>) {
        let now = Instant::now();
        let latest = self.files.map_or(now + SETTLE_MAX, |(_, latest)| latest);
        self.files = Some((now + SETTLE, latest));
        self.hints.named.extend(paths);
    }

    fn next(&self) -> Instant {
        let files = self.files.map(|(at, latest)| at.min(latest));
        [files, self.statuses].into_iter().flatten().fold(self.look, Instant::min)
    }
}

/// Statuses that the run before wrote, so that their times go on.
fn earlier_statuses(state: &State) -> BTreeMap<String, Value> {
    let Ok(bytes) = std::fs::read(state.path(STATUS)) else { return BTreeMap::new() };
    let Ok(listing) = serde_json::from_slice::<Listing>(&bytes) else { return BTreeMap::new() };
    let mut told = BTreeMap::new();
    for mut object in listing.objects {
        let name = object_id(&object);
        if let Some(status) = object.get_mut("status") {
            told.insert(name, status.take());
        }
    }
    told
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Quiet time after an event before files are read.
const SETTLE: Duration = Duration::from_millis(20);
/// Longest time from the first event to reading.
const SETTLE_MAX: Duration = Duration::from_millis(80);
/// Time between two looks at the files without events.
const LOOK: Duration = Duration::from_secs(2);
/// Time that statuses wait for the proxy to run what they are about.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);
/// Errors and warnings of one pass that are logged one by one.
const MAX_LOGGED: usize = 200;
/// Folder of private keys.
const KEYS: &str = "keys";
/// File of the addresses of gateways.
/// Addresses that an earlier run gave; nothing where there is nothing to read.
fn leases(file: &Path) -> Leases {
    std::fs::read(file).map(|bytes| Leases::from_bytes(&bytes)).unwrap_or_default()
}

const LEASES: &str = "addresses.json";
/// File of what keys of sessions are derived from.
const SESSIONS: &str = "sessions.secret";
/// File of the ledger.
const LEDGER: &str = "ledger.json";
/// File of the last good objects.
const OBJECTS: &str = "objects.json";
/// File of the newest snapshot.
const SNAPSHOT: &str = "snapshot.json";
/// File of objects and statuses.
const STATUS: &str = "status.json";
