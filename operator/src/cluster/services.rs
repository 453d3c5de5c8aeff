//! Gateways become services: what each service is, what it should be, and the next step between.
//!
//! A state machine without clock and network. Guarantees: one action at a time per service; the state decides
//! whether an action is done, never an event; nobody acts before every node of the scope has an instance; a service
//! that somebody froze is left alone; an adopted service is never changed; a step that fails waits longer each time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use igw_opensvc::{
    Availability, Error, Frozen, GlobalExpect, KeywordItem, Kind, ObjectItem, ObjectPath, Provisioned,
    Topology,
};
use serde_json::Value;

use super::service_text::Sections;

/// The services of all gateways.
#[derive(Debug, Default)]
pub struct Services {
    services: BTreeMap<ObjectPath, Service>,
}

/// What has to be done with one service.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Look at it.
    Inspect,
    /// Read its keywords.
    ReadKeywords,
    /// Make it.
    Create(Sections),
    /// Replace its text. Resources that the new text does not have are stopped first.
    Replace(Sections, Vec<String>),
    /// Make its resources and start it.
    Provision,
    /// Reset its monitors after a failure, and provision again.
    Recover(Vec<String>),
    /// Unprovision and delete it.
    Purge,
    /// Write its text as it is: that ends an orchestration that hangs.
    Unstick,
}

/// What a step found.
#[derive(Debug)]
pub enum Done {
    /// It was done.
    Ok,
    /// The object; `None` where the cluster does not know it.
    Item(Option<Box<ObjectItem>>),
    /// Its keywords.
    Keywords(Vec<KeywordItem>),
}

/// How a service fares, in words for conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Nodes whose instance should run now.
    pub expected: BTreeSet<String>,
    /// Addresses of instances that run.
    pub addresses: Vec<IpAddr>,
    /// Why it is not as it should be.
    pub trouble: Option<String>,
}

#[derive(Debug, Default)]
struct Service {
    desired: Option<Desired>,
    seen: Seen,
    keywords: Option<Sections>,
    csum: String,
    /// An action was asked for; until the moment it is given up.
    acting: Option<Instant>,
    /// Looks in a row that found no orchestration.
    n_quiet: u32,
    /// Since when an orchestration is open that works towards nothing.
    stuck_since: Option<Instant>,
    /// The new text has resources that the old one had not.
    has_new_resources: bool,
    is_dirty: bool,
    not_before: Option<Instant>,
    is_busy: bool,
    n_failures: u32,
    failure: Option<String>,
}

#[derive(Clone, Debug)]
enum Desired {
    Run(Sections),
    Adopted,
    Invalid(String),
    Gone,
}

#[derive(Debug, Default)]
enum Seen {
    #[default]
    Unknown,
    Absent,
    Present(Box<ObjectItem>),
}

// === impl Services ===

impl Services {
    /// Says what a service should be; `Err` where nobody can tell.
    pub fn want(&mut self, path: &ObjectPath, text: Result<Sections, String>) {
        let service = self.services.entry(path.clone()).or_default();
        service.desired = Some(match text {
            Ok(sections) => Desired::Run(sections),
            Err(reason) => Desired::Invalid(reason),
        });
    }

    /// Watches an administrator's service.
    pub fn adopt(&mut self, path: &ObjectPath) {
        self.services.entry(path.clone()).or_default().desired = Some(Desired::Adopted);
    }

    /// Sees to it that an object is purged; true once it is not there any more.
    pub fn remove(&mut self, path: &ObjectPath) -> bool {
        let service = self.services.entry(path.clone()).or_default();
        if !matches!(service.desired, Some(Desired::Gone)) {
            service.desired = Some(Desired::Gone);
            service.is_dirty = true;
        }
        matches!(service.seen, Seen::Absent) && !service.is_busy
    }

    /// Services that are known and should run or go.
    pub fn paths(&self) -> impl Iterator<Item = &ObjectPath> {
        self.services.keys()
    }

    /// Whether a service is proven not to be there any more.
    #[must_use]
    pub fn is_gone(&self, path: &ObjectPath) -> bool {
        self.services.get(path).is_none_or(|service| matches!(service.seen, Seen::Absent) && !service.is_busy)
    }

    /// Takes a list of services and volumes: those of ours that no gateway wants are found by it.
    pub fn list(&mut self, items: &[ObjectItem], is_complete: bool, now: Instant) {
        let mut seen = BTreeSet::new();
        for item in items.iter().filter(|item| matches!(item.path.kind(), Kind::Svc | Kind::Vol)) {
            seen.insert(&item.path);
            if let Some(service) = self.services.get_mut(&item.path)
                && !service.is_busy
            {
                service.see(Some(Box::new(item.clone())), now);
            }
        }
        for (path, service) in &mut self.services {
            if !seen.contains(path) && is_complete && !service.is_busy {
                service.see(None, now);
            }
        }
    }

    /// Something happened to a service.
    pub fn touch(&mut self, path: &ObjectPath) {
        if let Some(service) = self.services.get_mut(path) {
            service.is_dirty = true;
        }
    }

    /// The next steps. Each has to be answered by [`Services::done`] or [`Services::fail`].
    pub fn steps(
        &mut self,
        now: Instant,
        may_write: bool,
        ready: impl Fn(&ObjectPath) -> bool,
    ) -> Vec<(ObjectPath, Step)> {
        let mut steps = Vec::new();
        for (path, service) in &mut self.services {
            if service.is_busy || service.not_before.is_some_and(|at| at > now) {
                continue;
            }
            if let Some(step) = service.step(now, may_write, || ready(path)) {
                service.is_busy = true;
                service.is_dirty = false;
                steps.push((path.clone(), step));
            }
        }
        steps
    }

    /// The moment when a step is due without any event.
    #[must_use]
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        let waits = self.services.values().filter(|service| !service.is_busy);
        waits.filter_map(|service| service.not_before.filter(|at| *at > now)).min()
    }

    /// A step ended well.
    pub fn done(&mut self, path: &ObjectPath, step: &Step, done: Done, now: Instant) {
        let Some(service) = self.services.get_mut(path) else { return };
        service.is_busy = false;
        service.not_before = None;
        match (step, done) {
            (Step::Inspect, Done::Item(item)) => service.see(item, now),
            (Step::ReadKeywords, Done::Keywords(items)) => {
                service.n_failures = 0;
                service.keywords = Some(sections_of(items));
            }
            (Step::Unstick, _) => {
                service.stuck_since = None;
                service.look_in(now, LOOK);
            }
            (Step::Create(_), _) => {
                service.look_in(now, LOOK);
                service.has_new_resources = false;
            }
            (Step::Replace(sections, _), _) => {
                let before: BTreeSet<&String> =
                    service.keywords.iter().flat_map(|keywords| keywords.keys()).collect();
                service.has_new_resources |=
                    sections.keys().any(|name| name.contains('#') && !before.contains(name));
                service.keywords = None;
                service.csum.clear();
                service.look_in(now, LOOK);
            }
            (Step::Provision | Step::Recover(_) | Step::Purge, _) => {
                service.has_new_resources = false;
                service.acting = Some(now + ACTION_TIME);
                service.n_quiet = 0;
                service.look_in(now, LOOK);
            }
            _ => service.is_dirty = true,
        }
    }

    /// A step failed.
    pub fn fail(&mut self, path: &ObjectPath, step: &Step, error: &Error, now: Instant) {
        let Some(service) = self.services.get_mut(path) else { return };
        service.is_busy = false;
        service.is_dirty = true;
        match error {
            Error::UnknownObject { .. } if *step == Step::Inspect => return service.see(None, now),
            Error::ObjectExists { .. } | Error::UnknownObject { .. } => service.seen = Seen::Unknown,
            // Somebody's orchestration runs, ours as it may be: wait for its end.
            Error::Busy { .. } | Error::Undecided { .. } => {
                service.acting = Some(now + ACTION_TIME);
                service.n_quiet = 0;
                return service.look_in(now, LOOK);
            }
            _ => service.failure = Some(error.to_string()),
        }
        service.n_failures = service.n_failures.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << service.n_failures.min(10)).min(LONGEST_PAUSE);
        service.not_before = Some(now + pause);
    }

    /// How a service fares. `lost` are nodes that are not there.
    #[must_use]
    pub fn standing(&self, path: &ObjectPath, lost: &[String]) -> Standing {
        self.services.get(path).map(|service| service.standing(path, lost)).unwrap_or_default()
    }
}

// === impl Service ===

impl Service {
    fn see(&mut self, item: Option<Box<ObjectItem>>, now: Instant) {
        self.is_dirty = false;
        match item {
            None => {
                self.seen = Seen::Absent;
                self.acting = None;
                self.keywords = None;
            }
            Some(item) => {
                let csum: String = item.csums().into_iter().collect::<Vec<_>>().join(" ");
                if csum != self.csum {
                    self.csum = csum;
                    self.keywords = None;
                }
                let is_active = item
                    .instances
                    .values()
                    .filter_map(|instance| instance.monitor.as_ref())
                    .any(|monitor| monitor.global_expect != GlobalExpect::None);
                self.n_quiet = if is_active { 0 } else { self.n_quiet.saturating_add(1) };
                let is_stuck = item.orchestration().is_some_and(|(_, expect)| *expect == GlobalExpect::None);
                self.stuck_since = if is_stuck { self.stuck_since.or(Some(now)) } else { None };
                if self.acting.is_some_and(|until| self.n_quiet >= 2 || until <= now) {
                    self.acting = None;
                }
                self.seen = Seen::Present(item);
                if self.acting.is_some() {
                    self.look_in(now, LOOK);
                }
            }
        }
    }

    fn look_in(&mut self, now: Instant, pause: Duration) {
        self.is_dirty = true;
        self.not_before = Some(now + pause);
    }

    fn step(&mut self, now: Instant, may_write: bool, is_ready: impl Fn() -> bool) -> Option<Step> {
        let desired = self.desired.clone()?;
        if self.is_dirty {
            return Some(Step::Inspect);
        }
        let item = match (&self.seen, &desired) {
            (Seen::Unknown, _) => return Some(Step::Inspect),
            (Seen::Absent, Desired::Run(sections)) => {
                return (may_write && is_ready()).then(|| Step::Create(sections.clone()));
            }
            (Seen::Absent, _) => return None,
            (Seen::Present(item), _) => item,
        };
        if !may_write || self.acting.is_some() || matches!(desired, Desired::Adopted | Desired::Invalid(_)) {
            return None;
        }
        if let Some(since) = self.stuck_since {
            // An orchestration that is just ending looks the same for a moment.
            if now.saturating_duration_since(since) >= STUCK_TIME {
                return Some(Step::Unstick);
            }
            self.look_in(now, LOOK);
            return None;
        }
        if !item.missing_nodes().is_empty() {
            // Too early, or a node is lost: actions could get stuck.
            self.look_in(now, SLOW_LOOK);
            return None;
        }
        if item.orchestration().is_some_and(|(_, expect)| *expect != GlobalExpect::None) {
            self.look_in(now, LOOK);
            return None;
        }
        let Desired::Run(wanted) = &desired else { return Some(Step::Purge) };
        let Some(keywords) = &self.keywords else { return Some(Step::ReadKeywords) };
        if differs(wanted, keywords) {
            let removed =
                keywords.keys().filter(|name| name.contains('#') && !wanted.contains_key(*name)).cloned();
            return Some(Step::Replace(wanted.clone(), removed.collect()));
        }
        let failed: Vec<String> = item
            .instances
            .iter()
            .filter(|(_, instance)| {
                instance.monitor.as_ref().is_some_and(|monitor| monitor.state.is_failed())
            })
            .map(|(node, _)| node.clone())
            .collect();
        let provisioned = item.status.provisioned.clone();
        if !failed.is_empty() {
            self.n_failures = self.n_failures.saturating_add(1);
            if self.n_failures > 1 && self.not_before.is_none() {
                let pause = RECOVERY_PAUSE.saturating_mul(1 << self.n_failures.min(5)).min(LONGEST_RECOVERY);
                self.not_before = Some(now + pause);
                self.is_dirty = true;
                return None;
            }
            return Some(Step::Recover(failed));
        }
        if matches!(provisioned, Some(Provisioned::No | Provisioned::Mixed)) {
            return Some(Step::Provision);
        }
        if self.has_new_resources && !is_frozen(item) {
            return Some(Step::Provision);
        }
        self.failure = None;
        if item.status.avail == Some(Availability::Up) {
            self.n_failures = 0;
        }
        None
    }

    fn standing(&self, path: &ObjectPath, lost: &[String]) -> Standing {
        let mut standing = Standing::default();
        if let Some(Desired::Invalid(reason)) = &self.desired {
            standing.trouble = Some(reason.clone());
        }
        let item = match &self.seen {
            Seen::Present(item) => item,
            Seen::Absent | Seen::Unknown => {
                let reason = match (&self.failure, &self.desired) {
                    (Some(failure), _) => failure.clone(),
                    (None, Some(Desired::Adopted)) => {
                        format!(
                            "service {path} does not exist; make it, or remove service.name from the GatewayConfig"
                        )
                    }
                    _ => format!("service {path} is not there yet"),
                };
                standing.trouble.get_or_insert(reason);
                return standing;
            }
        };
        let is_up = |node: &&String| {
            let status = item.instances.get(*node).and_then(|instance| instance.status.as_ref());
            status.is_some_and(|status| matches!(status.avail, Availability::Up | Availability::Warn))
        };
        let is_flex = item.status.topology == Some(Topology::Flex);
        let alive = item.status.scope.iter().filter(|node| !lost.contains(node));
        standing.expected =
            if is_flex { alive.cloned().collect() } else { alive.filter(is_up).cloned().collect() };
        for (node, instance) in &item.instances {
            if is_up(&node) {
                standing.addresses.extend(instance.addresses());
            }
        }
        standing.addresses.sort_unstable();
        standing.addresses.dedup();
        let failed = item.instances.iter().find_map(|(node, instance)| {
            let monitor = instance.monitor.as_ref().filter(|monitor| monitor.state.is_failed())?;
            Some(format!("service {path} on node {node}: {}", monitor.state.as_str()))
        });
        let frozen = is_frozen(item).then(|| {
            format!(
                "service {path} is frozen; it is left alone until somebody unfreezes it (om {path} unfreeze)"
            )
        });
        let waiting =
            (!is_flex && standing.expected.is_empty()).then(|| format!("service {path} runs nowhere yet"));
        let trouble = failed.or(frozen).or_else(|| self.failure.clone()).or(waiting);
        standing.trouble = standing.trouble.or(trouble);
        standing
    }
}

/// Whether keywords are other than wanted. What nobody wants is somebody's; only our sections are ours whole.
fn differs(wanted: &Sections, found: &Sections) -> bool {
    let is_resource = |name: &&String| name.contains('#');
    let has_stranger = found.keys().filter(is_resource).any(|name| !wanted.contains_key(name));
    has_stranger
        || wanted.iter().any(|(name, keywords)| {
            let Some(found) = found.get(name) else { return true };
            keywords.iter().any(|(keyword, value)| found.get(keyword) != Some(value))
                || (name.contains('#') && found.len() != keywords.len())
        })
}

fn is_frozen(item: &ObjectItem) -> bool {
    item.status.frozen == Some(Frozen::Frozen) && item.status.provisioned == Some(Provisioned::Yes)
}

/// Keywords as sections; values that the daemon shows as numbers or lists become text.
fn sections_of(items: Vec<KeywordItem>) -> Sections {
    let mut sections = Sections::new();
    for item in items {
        let (section, keyword) = item.keyword.split_once('.').unwrap_or(("DEFAULT", &item.keyword));
        let value = match item.value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        sections.entry(section.to_owned()).or_default().insert(keyword.to_owned(), value);
    }
    sections
}

/// Time until a service is looked at again while something is under way.
const LOOK: Duration = Duration::from_millis(500);
/// The same while nodes are missing.
const SLOW_LOOK: Duration = Duration::from_secs(1);
/// Time after which an orchestration that works towards nothing is taken for one that hangs.
const STUCK_TIME: Duration = Duration::from_secs(5);
/// Time after which an action is taken for over.
const ACTION_TIME: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pause before a service that failed is provisioned again; doubled each time.
const RECOVERY_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_RECOVERY: Duration = Duration::from_secs(300);
