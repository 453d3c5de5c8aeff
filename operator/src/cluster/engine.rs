//! The operator's mind: what it is told, what it decides, which calls it wants made.
//!
//! No clock, no network: [`Engine::poll`] gives calls, [`Engine::answer`] takes what they brought, events and reports
//! come in between. Events are hints, lists are truth. Nothing is written before lists are complete and equal, every
//! input is read, and the term is ours.

mod publish;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use igw_compile::{Compiled, Services as Told};
use igw_crds::objects::ObjectKey;
use igw_crds::sync::SyncRequest;
use igw_opensvc::{
    Availability, Error, Event, InstanceStatus, KeyName, Kind, ObjectItem, ObjectPath, Received,
    ResourceStatus, Signal,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::arrivals::{Arrival, Arrivals};
use super::board::Gateways;
use super::books::Book;
use super::credentials::Authority;
use super::inputs::{Inputs, LIST_GRACE};
use super::issuance::Issuance;
use super::layout::{self, LEASE_BOOK, LEDGER_BOOK, STATUS, STATUS_BOOK, SYSTEM, is_input, is_ours};
use super::materials::Materials;
use super::neighbours::Neighbours;
use super::owned::{self, Owned};
use super::proxies::Reports;
use super::rollout::Rollouts;
use super::service_text::Places;
use super::services::{self, Services};
use super::term::{Term, Verdict};
use crate::doors::metrics::Metrics;
use crate::objects::gathered::Gathered;
use crate::objects::leases::Leases;
use crate::objects::ledger::Ledger;
use crate::objects::listing::Notice;
use crate::objects::view::{Record, Shown, Surroundings, View};
pub use publish::names_addresses;

/// What the operator is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces that are served; `None` = all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Port of the sync door.
    pub sync_port: u16,
    /// Where things are on every node.
    pub places: Places,
    /// Unique to this process.
    pub holder: String,
    /// Where the dialect of Kubernetes is spoken, if anywhere.
    pub dialect: Option<SocketAddr>,
    /// Services that are told, if somebody tells them: none of them is asked of DNS.
    pub services: Option<Told>,
}

/// Where decisions go.
pub struct Outlets {
    /// Snapshots for proxies.
    pub gateways: Gateways,
    /// What people are shown.
    pub view: watch::Sender<Arc<View>>,
    /// The authority of the sync door, once it is known.
    pub authority: watch::Sender<Option<Arc<Authority>>>,
    /// Certificates that renew themselves.
    pub issuance: Issuance,
    /// Counters.
    pub metrics: Metrics,
}

/// A call that has to be made.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Look at cluster and nodes.
    LookAround,
    /// List the objects of igw with their instances.
    List,
    /// List the names of all objects.
    Names,
    /// Read the addresses of all services.
    Addresses,
    /// Read the keys of an input, of which this version was announced.
    Read(ObjectPath, String),
    /// Read a key pair or authorities that objects refer to, of which this version was announced.
    Material(ObjectPath, String),
    /// A step of an object that is the operator's.
    Owned(ObjectPath, owned::Step),
    /// A step of a service.
    Service(ObjectPath, services::Step),
}

/// What a call brought.
#[derive(Debug)]
pub enum Answer {
    /// Cluster and nodes.
    Around(Box<Around>),
    /// Objects.
    List(Vec<ObjectItem>),
    /// Names.
    Names(Vec<ObjectPath>),
    /// Services, as `namespace/name`, by address.
    Addresses(Owners),
    /// Keys of an input.
    Keys(Vec<(KeyName, Bytes)>),
    /// An object of the operator's.
    Owned(owned::Done),
    /// A service.
    Service(services::Done),
}

/// Cluster and nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Name of the cluster.
    pub cluster: String,
    /// The node that answers.
    pub node: String,
    /// Members.
    pub nodes: Vec<String>,
    /// Members that are not there.
    pub lost: Vec<String>,
    /// The cluster's nameservers.
    pub nameservers: Vec<IpAddr>,
    /// Addresses of nodes.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// Services, as `namespace/name`, by the addresses of their instances.
pub type Owners = BTreeMap<IpAddr, BTreeSet<String>>;

/// Whose address is whose, as far as that matters: where a Backend names addresses.
#[derive(Debug, Default)]
struct Addresses {
    is_wanted: bool,
    is_asking: bool,
    known: Option<Owners>,
    due: Option<Instant>,
}

/// The operator.
pub struct Engine {
    settings: Settings,
    outlets: Outlets,
    around: Option<Around>,
    inputs: Inputs,
    arrivals: Arrivals,
    materials: Materials,
    /// Private keys of each gateway's certificates.
    gateway_keys: BTreeMap<String, BTreeMap<String, String>>,
    /// When a certificate begins or ceases to be good.
    certificates_due: Option<Timestamp>,
    owned: Owned,
    services: Services,
    reports: Reports,
    rollouts: Rollouts,
    term: Term,
    neighbours: Neighbours,
    addresses: Addresses,
    /// State and addresses of others' instances, as events tell them.
    instances: BTreeMap<(ObjectPath, String), (Availability, Vec<IpAddr>)>,
    hints: Vec<(Instant, String)>,
    ledger: Ledger,
    ledger_book: Book,
    status_book: Book,
    kept_book: Book,
    leases: Leases,
    lease_book: Book,
    /// Namespaces whose books were read.
    recalled: BTreeSet<String>,
    gathered: Gathered,
    records: BTreeMap<ObjectKey, Record>,
    compiled: Option<Compiled>,
    /// What is wrong with objects, once somebody has asked since they were compiled.
    object_notices: OnceCell<Vec<Notice>>,
    published: BTreeMap<String, publish::Published>,
    told: BTreeMap<ObjectKey, publish::Told>,
    shown: BTreeMap<ObjectKey, Arc<Shown>>,
    surroundings: Arc<Surroundings>,
    earlier: BTreeMap<ObjectKey, Value>,
    authority: Option<Arc<Authority>>,
    logged: BTreeSet<String>,
    started: Instant,
    is_leading: bool,
    superseded: Option<String>,
    under_way: BTreeSet<ObjectPath>,
    /// The event stream broke: its own attempts are the only ones until it is open again.
    is_down: bool,
    is_listing: u8,
    /// One of the lists under way failed.
    has_list_failed: bool,
    is_looking: bool,
    next_list: Instant,
    next_look: Instant,
    /// Something changed: decide at the first, and not later than the second.
    compile_due: Option<(Instant, Instant)>,
    statuses_due: Option<Instant>,
    jitter: Duration,
}

// === impl Addresses ===

impl Addresses {
    fn wake(&self, now: Instant) -> Option<Instant> {
        (self.is_wanted && !self.is_asking).then(|| self.due.unwrap_or(now))
    }
}

// === impl Engine ===

impl Engine {
    /// An operator that knows nothing yet. `jitter` is added to the time between two full lists.
    #[must_use]
    pub fn new(settings: Settings, outlets: Outlets, jitter: Duration, now: Instant) -> Self {
        Self {
            term: Term::new(settings.holder.clone()),
            settings,
            outlets,
            around: None,
            inputs: Inputs::default(),
            arrivals: Arrivals::default(),
            materials: Materials::default(),
            gateway_keys: BTreeMap::new(),
            certificates_due: None,
            owned: Owned::default(),
            services: Services::default(),
            reports: Reports::default(),
            rollouts: Rollouts::default(),
            neighbours: Neighbours::default(),
            addresses: Addresses::default(),
            instances: BTreeMap::new(),
            hints: Vec::new(),
            ledger: Ledger::new(0),
            ledger_book: Book::new(LEDGER_BOOK),
            status_book: Book::new(STATUS_BOOK),
            kept_book: Book::new(publish::KEPT_BOOK),
            leases: Leases::default(),
            lease_book: Book::new(LEASE_BOOK),
            recalled: BTreeSet::new(),
            gathered: Gathered::default(),
            records: BTreeMap::new(),
            compiled: None,
            object_notices: OnceCell::new(),
            published: BTreeMap::new(),
            told: BTreeMap::new(),
            shown: BTreeMap::new(),
            surroundings: Arc::default(),
            earlier: BTreeMap::new(),
            authority: None,
            logged: BTreeSet::new(),
            started: now,
            is_leading: false,
            superseded: None,
            under_way: BTreeSet::new(),
            is_down: false,
            is_listing: 0,
            has_list_failed: false,
            is_looking: false,
            next_list: now,
            next_look: now,
            compile_due: None,
            statuses_due: None,
            jitter,
        }
    }

    /// Who took over, if somebody did: nothing more is to be done.
    #[must_use]
    pub fn superseded(&self) -> Option<&str> {
        self.superseded.as_deref()
    }

    /// The selector of everything that is igw's in the namespaces that are served.
    #[must_use]
    pub fn selector(&self) -> String {
        let of = |namespace: &str| {
            format!(
                "{namespace}/cfg/igw,{namespace}/cfg/igw.*,{namespace}/cfg/igw-*,{namespace}/sec/igw-*,{namespace}/svc/igw-*,{namespace}/vol/igw-*"
            )
        };
        let mut parts: Vec<String> = match &self.settings.namespaces {
            None => vec![of("*")],
            Some(namespaces) => namespaces.iter().map(|namespace| of(namespace)).collect(),
        };
        parts.push("system/sec/igw*".to_owned());
        if self.settings.namespaces.as_ref().is_some_and(|namespaces| !namespaces.contains(SYSTEM)) {
            parts.push("system/cfg/igw*".to_owned());
        }
        // Adopted services have names of their own.
        parts.extend(self.services.paths().filter(|path| !is_ours(path)).map(full_name));
        let mut read: BTreeSet<ObjectPath> = self.materials.paths().cloned().collect();
        read.extend(self.outlets.issuance.paths());
        parts.extend(read.iter().map(full_name));
        parts.join(",")
    }

    /// An event of the cluster, or of the stream itself.
    pub fn event(&mut self, signal: Signal, now: Instant) {
        match signal {
            Signal::Down(reason) => {
                warn!(%reason, "event stream of the cluster is down; opening it again");
                self.outlets.metrics.stream(false);
                self.is_down = true;
            }
            Signal::Relist(cause) => {
                debug!(?cause, "reading everything again");
                self.outlets.metrics.stream(true);
                self.is_down = false;
                self.inputs.distrust();
                self.neighbours.distrust();
                self.next_list = now;
                self.next_look = now;
            }
            Signal::Event(received) => self.happened(*received, now),
        }
    }

    fn happened(&mut self, received: Received, now: Instant) {
        let Received { event, path, node, .. } = received;
        let own_node = self.around.as_ref().map(|around| around.node.as_str());
        let is_here = node.as_deref() == own_node;
        match (&event, path) {
            (Event::InstanceConfigUpdated(settings), Some(path)) if is_here => {
                self.materials.announce(&path, &layout::version(settings));
                self.outlets.issuance.announce(&path, &layout::version(settings));
                if is_input(&path) && self.is_served(path.namespace()) {
                    self.inputs.announce(&path, &layout::version(settings));
                } else if is_ours(&path) && path.kind().holds_keys() {
                    self.owned.announce(&path, &layout::version(settings));
                } else if path.kind() == Kind::Svc && self.neighbours.meet(&path) {
                    self.decide_soon(now);
                }
                self.services.touch(&path);
            }
            (Event::InstanceConfigUpdated(settings), Some(path)) => {
                // Our node will say so itself; should that event be lost, a list finds it.
                if is_input(&path)
                    && self.is_served(path.namespace())
                    && !self.inputs.knows(&path, &layout::version(settings))
                {
                    self.next_list = self.next_list.min(now + PEER_GRACE);
                }
            }
            (_, Some(path)) => {
                if let Event::InstanceStatusUpdated(status) = &event {
                    self.services.touch(&path);
                    self.hint(&path, node, status, now);
                } else if matches!(event, Event::InstanceMonitorUpdated(_)) {
                    self.services.touch(&path);
                } else if is_input(&path) || is_ours(&path) || path.kind() == Kind::Svc {
                    self.services.touch(&path);
                    self.next_list = self.next_list.min(now + SETTLE_LIST);
                }
            }
            (_, None) => self.next_look = self.next_look.min(now + SETTLE_LIST),
        }
    }

    /// An instance started, stopped or moved: who uses its name looks it up now, and once more when names have spread.
    fn hint(&mut self, path: &ObjectPath, node: Option<String>, status: &InstanceStatus, now: Instant) {
        let Some(cluster) = self.around.as_ref().map(|around| around.cluster.as_str()) else { return };
        if path.kind() != Kind::Svc || is_ours(path) {
            return;
        }
        let addresses = status.resources.values().filter_map(ResourceStatus::address).collect();
        let state = (status.avail.clone(), addresses);
        let place = (path.clone(), node.unwrap_or_default());
        if self.instances.get(&place) != Some(&state) {
            self.instances.insert(place, state);
            // Whose addresses these are is read again when it is on all nodes.
            self.addresses.due = Some(now + NAMES_SPREAD);
            let fqdn = format!("{}.{}.svc.{cluster}", path.name(), path.namespace());
            self.outlets.gateways.hint(&fqdn);
            self.hints.push((now + NAMES_SPREAD, fqdn));
        }
    }

    /// A proxy says how it fares.
    pub fn report(&mut self, asked: SyncRequest, now: Instant, wall: Timestamp) {
        let gateway = asked.gateway.clone().unwrap_or_default();
        let seen = (asked.epoch, asked.generation);
        if self.reports.take(asked, now) {
            self.statuses_due.get_or_insert(now + STATUS_SETTLE);
        }
        let newest = self.published.get(&gateway).map(|published| (published.epoch, published.generation));
        if newest.is_some_and(|newest| seen > newest) {
            // The term was lost or went back: the proxy would refuse every snapshot.
            self.term.surpass(seen.0, &mut self.owned, wall);
            self.published.values_mut().for_each(|published| published.checksum.clear());
            self.decide_soon(now);
        }
    }

    /// Somebody has changed an input through this operator.
    pub fn arrive(&mut self, arrival: Arrival, now: Instant) {
        self.inputs.ask(&arrival.path, now);
        self.arrivals.arrive(arrival);
    }

    /// Somebody says which Services there are, with their endpoints.
    pub fn tell_services(&mut self, services: Told, now: Instant) {
        if self.settings.services.as_ref() != Some(&services) {
            self.settings.services = Some(services);
            self.decide_soon(now);
        }
    }

    /// Certificates stand otherwise than before.
    pub fn issued(&mut self, now: Instant) {
        let challenges = self.outlets.issuance.challenges();
        if self.compiled.as_ref().is_some_and(|compiled| compiled.snapshot.challenges != challenges) {
            self.decide_soon(now);
        }
        self.statuses_due.get_or_insert(now + STATUS_SETTLE);
    }

    /// What a call brought.
    pub fn answer(&mut self, call: &Call, answer: Result<Answer, Error>, now: Instant) {
        match (call, answer) {
            (Call::LookAround, Ok(Answer::Around(around))) => {
                self.is_looking = false;
                self.next_look = now + RESYNC + self.jitter;
                if self.around.as_ref() != Some(&*around) {
                    if !around.lost.is_empty() {
                        warn!(
                            nodes = around.lost.join(", "),
                            "nodes are lost; what lives there alone stays as it was"
                        );
                    }
                    self.outlets.issuance.lose(!around.lost.is_empty());
                    self.around = Some(*around);
                    self.decide_soon(now);
                }
            }
            (Call::LookAround, answer) => {
                self.is_looking = false;
                self.next_look = now + RETRY;
                self.complain(call, answer.err());
            }
            (Call::List, Ok(Answer::List(items))) => self.listed(&items, now),
            (Call::Names, Ok(Answer::Names(names))) => self.named(names, now),
            (Call::Addresses, answer) => {
                self.addresses.is_asking = false;
                self.addresses.due = Some(now + if answer.is_ok() { ADDRESSES_REST } else { RETRY });
                match answer {
                    Ok(Answer::Addresses(owners)) if self.addresses.known.as_ref() != Some(&owners) => {
                        self.addresses.known = Some(owners);
                        self.decide_soon(now);
                    }
                    Ok(_) => {}
                    Err(error) => self.complain(call, Some(error)),
                }
            }
            (Call::List | Call::Names, answer) => {
                self.is_listing = self.is_listing.saturating_sub(1);
                self.has_list_failed = true;
                self.schedule_list(now);
                self.complain(call, answer.err());
            }
            (Call::Read(path, version), Ok(Answer::Keys(values))) => {
                self.under_way.remove(path);
                if self.inputs.take(path, version, &values, now) {
                    self.decide_soon(now);
                }
                if self.arrivals.end(path) {
                    self.inputs.ask(path, now);
                }
                if self.arrivals.has_read() {
                    self.compile_due = Some((now, now));
                }
            }
            (Call::Read(path, _), answer) => {
                self.under_way.remove(path);
                let error =
                    answer.err().map_or_else(|| "unexpected answer".to_owned(), |error| error.to_string());
                self.inputs.fail(path, &error, now);
                self.arrivals.fail(path);
                self.decide_soon(now);
            }
            (Call::Material(path, version), Ok(Answer::Keys(values))) => {
                self.under_way.remove(path);
                self.materials.take(path, version, &values);
                self.decide_soon(now);
            }
            (Call::Material(path, _), answer) => {
                self.under_way.remove(path);
                if let Err(error) = answer {
                    self.materials.fail(path, &error, now);
                    self.decide_soon(now);
                }
            }
            (Call::Owned(path, step), Ok(Answer::Owned(done))) => self.owned.done(path, step, done, now),
            (Call::Owned(path, step), Err(error)) => {
                debug!(%path, %error, "step of an own object failed");
                self.owned.fail(path, step, &error, now);
            }
            (Call::Service(path, step), Ok(Answer::Service(done))) => {
                self.services.done(path, step, done, now);
                self.statuses_due.get_or_insert(now + STATUS_SETTLE);
                if matches!(step, services::Step::Inspect) && self.services.is_gone(path) {
                    self.decide_soon(now);
                }
            }
            (Call::Service(path, step), Err(error)) => {
                if !matches!(error, Error::UnknownObject { .. }) {
                    warn!(%path, %error, "step of a service failed");
                }
                self.services.fail(path, step, &error, now);
                self.statuses_due.get_or_insert(now + STATUS_SETTLE);
                self.decide_soon(now);
            }
            (call, Ok(_)) => warn!(?call, "an answer of another kind"),
        }
    }

    /// The calls that are due. Each has to be answered.
    pub fn poll(&mut self, now: Instant, wall: Timestamp) -> Vec<Call> {
        let mut calls = Vec::new();
        if self.superseded.is_some() || self.is_down {
            return calls;
        }
        if !self.is_looking && self.next_look <= now {
            self.is_looking = true;
            calls.push(Call::LookAround);
        }
        if self.around.is_none() {
            return calls;
        }
        if self.is_listing == 0 && self.next_list <= now {
            self.is_listing = 2;
            self.has_list_failed = false;
            calls.extend([Call::List, Call::Names]);
        }
        if self.addresses.is_wanted
            && !self.addresses.is_asking
            && self.addresses.due.is_none_or(|due| due <= now)
        {
            self.addresses.is_asking = true;
            calls.push(Call::Addresses);
        }
        for (path, version) in self.inputs.due(now) {
            if self.under_way.len() < READS_AT_ONCE && self.under_way.insert(path.clone()) {
                let gone = self.arrivals.begin(&path);
                self.inputs.mean(&path, gone);
                calls.push(Call::Read(path, version));
            }
        }
        for (path, version) in self.materials.due(now) {
            if self.under_way.len() < READS_AT_ONCE && self.under_way.insert(path.clone()) {
                calls.push(Call::Material(path, version));
            }
        }
        if self.certificates_due.is_some_and(|due| due <= wall) {
            self.certificates_due = None;
            self.decide_soon(now);
        }
        match self.term.follow(&mut self.owned, now, wall) {
            Verdict::Lost(other) => {
                let words = format!(
                    "another operator leads since {}: {}, epoch {}; this one stops, so that they do not write against each other",
                    other.since, other.holder, other.epoch
                );
                self.superseded = Some(words);
                return Vec::new();
            }
            Verdict::Pending | Verdict::Ours => {}
        }
        self.lead(now);
        self.hints.retain(|(at, fqdn)| {
            let is_due = *at <= now;
            if is_due {
                self.outlets.gateways.hint(fqdn);
            }
            !is_due
        });
        for (gateway, order) in self.rollouts.orders(now) {
            self.outlets.gateways.tell(&gateway, order);
        }
        if self.reports.expire(now) {
            self.statuses_due.get_or_insert(now);
        }
        if self.compile_due.is_some_and(|(at, latest)| at.min(latest) <= now) && self.is_ready(now) {
            self.compile_due = None;
            self.decide(now, wall);
        }
        if self.statuses_due.is_some_and(|at| at <= now) && self.compiled.is_some() {
            self.publish_statuses(now, wall);
        }
        let (is_leading, term) = (self.is_leading && self.term.is_old_enough(now), &self.term);
        let steps = self.owned.steps(now, |path| is_leading || term.is_at(path));
        calls.extend(steps.into_iter().map(|(path, step)| Call::Owned(path, step)));
        let owned = &self.owned;
        let is_ready = |path: &ObjectPath| {
            [Kind::Cfg, Kind::Sec].into_iter().all(|kind| {
                layout::path(path.namespace(), kind, path.name()).is_some_and(|path| owned.is_settled(&path))
            })
        };
        let steps = self.services.steps(now, is_leading, is_ready);
        calls.extend(steps.into_iter().map(|(path, step)| Call::Service(path, step)));
        calls
    }

    /// When to poll again without any event.
    #[must_use]
    pub fn wake(&self, now: Instant) -> Instant {
        if self.is_down {
            return now + HEARTBEAT;
        }
        let listing = (self.is_listing == 0).then_some(self.next_list);
        let looking = (!self.is_looking).then_some(self.next_look);
        let compile =
            self.compile_due.map(|(at, latest)| at.min(latest).max(now + Duration::from_millis(10)));
        let lead = (!self.is_leading).then(|| self.term.wake()).flatten();
        [
            listing,
            looking,
            compile,
            lead,
            self.statuses_due,
            self.rollouts.wake(),
            self.addresses.wake(now),
            self.inputs.wake(),
            self.materials.wake(),
            self.owned.wake(now),
            self.services.wake(now),
        ]
        .into_iter()
        .flatten()
        .fold(now + HEARTBEAT, Instant::min)
    }

    fn listed(&mut self, items: &[ObjectItem], now: Instant) {
        self.is_listing = self.is_listing.saturating_sub(1);
        let Some(around) = &self.around else { return };
        let is_complete = around.lost.is_empty();
        let served = |item: &&ObjectItem| self.is_served(item.path.namespace());
        let items: Vec<ObjectItem> = items.iter().filter(served).cloned().collect();
        if self.inputs.list(&items, &around.node, is_complete, now) {
            self.decide_soon(now);
        }
        let Some(around) = &self.around else { return };
        self.materials.list(&items, &around.node);
        self.outlets.issuance.list(&items, &around.node);
        self.owned.list(&items, &around.node, is_complete);
        self.services.list(&items, is_complete, now);
        self.schedule_list(now);
        self.statuses_due.get_or_insert(now + STATUS_SETTLE);
    }

    fn named(&mut self, names: Vec<ObjectPath>, now: Instant) {
        self.is_listing = self.is_listing.saturating_sub(1);
        let is_complete = self.around.as_ref().is_some_and(|around| around.lost.is_empty());
        let mut changed = self.neighbours.list(names.into_iter().collect(), is_complete, now);
        let neighbours = &self.neighbours;
        if is_complete && neighbours.equal_for(now).is_some_and(|equal| equal >= LIST_GRACE) {
            changed |= self.materials.gone(|path| !neighbours.names(path));
        }
        self.schedule_list(now);
        if changed {
            self.decide_soon(now);
        }
    }

    fn schedule_list(&mut self, now: Instant) {
        let has_absent =
            self.inputs.has_absent() || self.materials.has_lost() || self.neighbours.has_missing();
        let pause = if self.has_list_failed {
            RETRY
        } else if !self.is_leading {
            STARTING_LIST
        } else if has_absent {
            LIST_GRACE + Duration::from_millis(100)
        } else {
            RESYNC + self.jitter
        };
        self.next_list = now + pause;
    }

    /// Begins to write, once everything is read and the term is ours.
    fn lead(&mut self, now: Instant) {
        if self.is_leading || !self.term.is_old_enough(now) || !self.is_ready(now) {
            return;
        }
        // The last list has to be younger than the wait for the predecessor.
        if self.neighbours.age(now).is_none_or(|age| age > STARTING_LIST * 2) {
            self.next_list = self.next_list.min(now);
            return;
        }
        info!(epoch = self.term.epoch(), "leading");
        self.is_leading = true;
        self.decide_soon(now);
    }

    /// Whether enough is known to decide anything.
    fn is_ready(&self, now: Instant) -> bool {
        let is_stable =
            self.neighbours.equal_for(now).is_some_and(|equal| equal >= STABLE || self.is_leading);
        // An input that cannot be read must not hold up the others for ever.
        let is_read = self.inputs.is_read() || now.saturating_duration_since(self.started) >= READ_PATIENCE;
        self.around.is_some() && self.term.epoch().is_some() && (is_stable || self.is_leading) && is_read
    }

    fn decide_soon(&mut self, now: Instant) {
        let latest = self.compile_due.map_or(now + QUIET_MAX, |(_, latest)| latest);
        self.compile_due = Some((now + QUIET, latest));
    }

    fn is_served(&self, namespace: &str) -> bool {
        namespace == SYSTEM
            || self.settings.namespaces.as_ref().is_none_or(|served| served.contains(namespace))
    }

    fn status_path(namespace: &str) -> Option<ObjectPath> {
        layout::path(namespace, Kind::Cfg, STATUS)
    }

    fn complain(&mut self, call: &Call, error: Option<Error>) {
        let Some(error) = error else { return };
        let line = format!("{call:?}: {error}");
        if self.logged.insert(line) {
            warn!(%error, "the cluster does not answer as it should; going on with what is known");
        }
    }
}

fn full_name(path: &ObjectPath) -> String {
    format!("{}/{}/{}", path.namespace(), path.kind(), path.name())
}

/// Quiet time after a change before it is acted upon, and the longest wait.
const QUIET: Duration = Duration::from_millis(50);
const QUIET_MAX: Duration = Duration::from_millis(150);
/// Time between two full lists.
const RESYNC: Duration = Duration::from_secs(45);
/// The same at the start.
const STARTING_LIST: Duration = Duration::from_millis(1100);
/// How long lists must be equal before anything is decided.
const STABLE: Duration = Duration::from_secs(1);
/// How long inputs that cannot be read hold up the others at the start.
const READ_PATIENCE: Duration = Duration::from_secs(15);
/// Wait for our node's own event after a peer's.
const PEER_GRACE: Duration = Duration::from_secs(2);
/// Wait for more events before a list is taken.
const SETTLE_LIST: Duration = Duration::from_millis(500);
const STATUS_SETTLE: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_secs(2);
/// Between two readings of addresses, without news of instances.
const ADDRESSES_REST: Duration = Duration::from_secs(60);
const READS_AT_ONCE: usize = 8;
/// Time for a new name to reach every nameserver.
const NAMES_SPREAD: Duration = Duration::from_secs(1);
/// Shorter than the pause after which the term is doubted.
const HEARTBEAT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
