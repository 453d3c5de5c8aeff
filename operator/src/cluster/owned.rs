//! Objects that the operator alone writes: what they should hold, what they hold, and the next step between.
//!
//! A state machine without clock and network. Guarantees: one call at a time per object; two writes to one object
//! are at least [`WRITE_SPACING`] apart; all changes of an object go in one write; every write is read back;
//! nothing is written where nothing differs; a failing object waits longer each time and delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use igw_opensvc::{Error, KeyChange, KeyName, ObjectItem, ObjectPath};
use xxhash_rust::xxh3::xxh3_128;

use super::layout::{is_ours, version};

/// The operator's `cfg` and `sec` objects.
#[derive(Debug, Default)]
pub struct Owned {
    objects: BTreeMap<ObjectPath, Object>,
}

/// What has to be done with one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make it, empty.
    Create,
    /// Read all its keys.
    Read,
    /// Write these keys.
    Write(Vec<KeyChange>),
    /// Read these keys back.
    Confirm(Vec<KeyName>),
    /// Delete it.
    Delete,
}

/// How a step ended.
#[derive(Debug)]
pub enum Done {
    /// Made, written or deleted.
    Ok,
    /// Keys with their values.
    Values(Vec<(KeyName, Bytes)>),
}

#[derive(Debug)]
struct Object {
    /// What it should hold; `None` as long as nobody has decided.
    desired: Option<Desired>,
    /// Whether the cluster has it; `None` as long as no list has told.
    exists: Option<bool>,
    /// Hashes of what it holds; `None` as long as it was not read.
    actual: Option<BTreeMap<String, u128>>,
    /// Values as read, for those who need them at the start.
    values: BTreeMap<String, Bytes>,
    version: String,
    /// Nothing differed when it was looked at last, and nothing changed since.
    is_compared: bool,
    /// Keys that were written and not read back yet.
    unconfirmed: BTreeSet<String>,
    confirm_at: Option<Instant>,
    not_before: Option<Instant>,
    spacing: Duration,
    is_busy: bool,
    n_failures: u32,
    failure: Option<String>,
}

#[derive(Debug)]
enum Desired {
    Keys(BTreeMap<String, (u128, Bytes)>),
    Absent,
}

// === impl Owned ===

impl Owned {
    /// Says what an object should hold.
    pub fn want(&mut self, path: &ObjectPath, keys: BTreeMap<String, Bytes>) {
        let object = self.objects.entry(path.clone()).or_default();
        let keys = keys.into_iter().map(|(name, value)| (name, (xxh3_128(&value), value)));
        object.desired = Some(Desired::Keys(keys.collect()));
        object.is_compared = false;
    }

    /// Says what one key should hold, `None` that it should not be; the others stay as they are wanted.
    pub fn want_key(&mut self, path: &ObjectPath, name: &str, value: Option<Bytes>) {
        let object = self.objects.entry(path.clone()).or_default();
        object.is_compared = false;
        let desired = object.desired.get_or_insert_with(|| Desired::Keys(BTreeMap::new()));
        if let Desired::Absent = desired {
            *desired = Desired::Keys(BTreeMap::new());
        }
        if let Desired::Keys(keys) = desired {
            match value {
                Some(value) => keys.insert(name.to_owned(), (xxh3_128(&value), value)),
                None => keys.remove(name),
            };
        }
    }

    /// Says that an object should not be.
    pub fn want_absent(&mut self, path: &ObjectPath) {
        self.objects.entry(path.clone()).or_default().desired = Some(Desired::Absent);
    }

    /// Least time between two writes to an object, where it is longer than [`WRITE_SPACING`].
    pub fn space(&mut self, path: &ObjectPath, spacing: Duration) {
        self.objects.entry(path.clone()).or_default().spacing = spacing.max(WRITE_SPACING);
    }

    /// Asks for an object to be read although nobody wants it to hold anything yet.
    pub fn watch(&mut self, path: &ObjectPath) {
        self.objects.entry(path.clone()).or_default();
    }

    /// Reads an object again before anything is written to it.
    pub fn reread(&mut self, path: &ObjectPath) {
        if let Some(object) = self.objects.get_mut(path) {
            object.actual = None;
            object.unconfirmed.clear();
            object.confirm_at = None;
        }
    }

    /// Takes a complete list of the operator's objects.
    pub fn list(&mut self, items: &[ObjectItem], node: &str, is_complete: bool) {
        let mut seen = BTreeSet::new();
        for item in items.iter().filter(|item| is_ours(&item.path) && item.path.kind().holds_keys()) {
            seen.insert(&item.path);
            let object = self.objects.entry(item.path.clone()).or_default();
            object.exists = Some(true);
            let own = item.instances.get(node).and_then(|instance| instance.settings.as_ref());
            let is_divergent = !item.divergent_nodes().is_empty();
            if let Some(settings) = own {
                object.announce(&version(settings));
            }
            if is_divergent && object.unconfirmed.is_empty() {
                // Any write heals it: what one key holds is written again.
                if let Some(actual) = &mut object.actual
                    && let Some(hash) = actual.values_mut().next()
                {
                    *hash = !*hash;
                    object.is_compared = false;
                }
            }
        }
        for (path, object) in &mut self.objects {
            if !seen.contains(path) && (is_complete || object.exists.is_none()) && !object.is_busy {
                object.exists = Some(false);
                object.actual = None;
                object.version.clear();
            }
        }
        self.objects.retain(|_, object| {
            !(matches!(object.desired, Some(Desired::Absent))
                && object.exists == Some(false)
                && !object.is_busy)
        });
    }

    /// Takes the version that an event tells.
    pub fn announce(&mut self, path: &ObjectPath, version: &str) {
        if let Some(object) = self.objects.get_mut(path) {
            object.exists = Some(true);
            object.announce(version);
        }
    }

    /// The next steps. Each has to be answered by [`Owned::done`] or [`Owned::fail`].
    pub fn steps(
        &mut self,
        now: Instant,
        may_write: impl Fn(&ObjectPath) -> bool,
    ) -> Vec<(ObjectPath, Step)> {
        let mut steps = Vec::new();
        for (path, object) in &mut self.objects {
            if object.is_busy || object.not_before.is_some_and(|at| at > now) {
                continue;
            }
            if let Some(step) = object.step(now, may_write(path)) {
                object.is_busy = true;
                steps.push((path.clone(), step));
            }
        }
        steps
    }

    /// The moment when a step is due without any event.
    #[must_use]
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        let due = self.objects.values().filter(|object| !object.is_busy).filter_map(|object| {
            let waits = object.not_before.filter(|at| *at > now);
            [waits, object.confirm_at].into_iter().flatten().max()
        });
        due.min()
    }

    /// A step ended well.
    pub fn done(&mut self, path: &ObjectPath, step: &Step, done: Done, now: Instant) {
        let Some(object) = self.objects.get_mut(path) else { return };
        object.is_busy = false;
        object.is_compared = false;
        object.n_failures = 0;
        object.failure = None;
        match (step, done) {
            (Step::Create, _) => {
                // The daemon knows it some 0.2 s later; a write before that is lost.
                object.exists = Some(true);
                object.actual = Some(BTreeMap::new());
                object.not_before = Some(now + PUBLICATION);
            }
            (Step::Read, Done::Values(values)) => {
                object.actual = Some(
                    values.iter().map(|(name, value)| (name.as_str().to_owned(), xxh3_128(value))).collect(),
                );
                object.values =
                    values.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect();
                object.unconfirmed.clear();
                object.confirm_at = None;
            }
            (Step::Write(changes), _) => {
                let actual = object.actual.get_or_insert_default();
                for change in changes {
                    match change {
                        KeyChange::Set { name, value } => {
                            object.values.insert(name.as_str().to_owned(), value.clone());
                            actual.insert(name.as_str().to_owned(), xxh3_128(value));
                            object.unconfirmed.insert(name.as_str().to_owned());
                        }
                        KeyChange::Remove { name } => {
                            object.values.remove(name.as_str());
                            actual.remove(name.as_str());
                        }
                        KeyChange::Add { .. } | KeyChange::Rename { .. } => {}
                    }
                }
                object.confirm_at = Some(now + PUBLICATION);
                object.not_before = Some(now + object.spacing.max(WRITE_SPACING));
            }
            (Step::Confirm(_), Done::Values(values)) => {
                let found: BTreeMap<String, u128> =
                    values.iter().map(|(name, value)| (name.as_str().to_owned(), xxh3_128(value))).collect();
                let is_there = |name: &String| {
                    object.actual.as_ref().and_then(|actual| actual.get(name)) == found.get(name)
                };
                let is_good = object.unconfirmed.iter().all(is_there);
                object.unconfirmed.clear();
                object.confirm_at = None;
                if !is_good {
                    object.actual = None;
                }
            }
            (Step::Delete, _) => object.not_before = Some(now + DELETION),
            (Step::Read | Step::Confirm(_), Done::Ok) => object.actual = None,
        }
    }

    /// A step failed.
    pub fn fail(&mut self, path: &ObjectPath, step: &Step, error: &Error, now: Instant) {
        let Some(object) = self.objects.get_mut(path) else { return };
        object.is_busy = false;
        match (step, error) {
            (Step::Create, Error::ObjectExists { .. }) => {
                object.exists = Some(true);
                object.actual = None;
                object.not_before = Some(now + PUBLICATION);
                return;
            }
            (Step::Confirm(_), Error::UnknownKey { .. }) => {
                object.unconfirmed.clear();
                object.confirm_at = None;
                object.actual = None;
                return;
            }
            (
                Step::Read | Step::Write(_) | Step::Confirm(_),
                Error::UnknownObject { .. } | Error::NotConfirmed { .. },
            ) => {
                // Not known yet, or not any more: the next list tells.
                object.actual = None;
                object.unconfirmed.clear();
                object.confirm_at = None;
            }
            (Step::Delete, Error::UnknownObject { .. }) => object.exists = Some(false),
            _ if error.outcome_unknown() => object.actual = None,
            _ => {}
        }
        object.n_failures = object.n_failures.saturating_add(1);
        object.failure = Some(error.to_string());
        let pause = FIRST_PAUSE.saturating_mul(1 << object.n_failures.min(10)).min(LONGEST_PAUSE);
        object.not_before = Some(now + pause);
    }

    /// Whether a list or an event has told of an object, or of its absence.
    #[must_use]
    pub fn is_listed(&self, path: &ObjectPath) -> bool {
        self.objects.get(path).is_some_and(|object| object.exists.is_some())
    }

    /// Whether an object is read, or known not to be.
    #[must_use]
    pub fn is_known(&self, path: &ObjectPath) -> bool {
        self.objects.get(path).is_some_and(|object| object.exists == Some(false) || object.actual.is_some())
    }

    /// Whether an object holds what it should, read back.
    #[must_use]
    pub fn is_settled(&self, path: &ObjectPath) -> bool {
        self.objects.get(path).is_some_and(|object| object.unconfirmed.is_empty() && object.is_as_wanted())
    }

    /// A value as it was read last.
    #[must_use]
    pub fn value(&self, path: &ObjectPath, name: &str) -> Option<&Bytes> {
        self.objects.get(path)?.values.get(name)
    }

    /// All values of an object as they were read last.
    pub fn values(&self, path: &ObjectPath) -> impl Iterator<Item = (&str, &Bytes)> {
        self.objects
            .get(path)
            .into_iter()
            .flat_map(|object| object.values.iter().map(|(name, value)| (name.as_str(), value)))
    }

    /// Objects that the cluster has.
    pub fn existing(&self) -> impl Iterator<Item = &ObjectPath> {
        self.objects.iter().filter(|(_, object)| object.exists == Some(true)).map(|(path, _)| path)
    }

    /// What goes wrong, by object.
    pub fn failures(&self) -> impl Iterator<Item = (&ObjectPath, &str)> {
        self.objects.iter().filter_map(|(path, object)| Some((path, object.failure.as_deref()?)))
    }
}

// === impl Object ===

impl Object {
    fn announce(&mut self, version: &str) {
        if self.version == version {
            return;
        }
        version.clone_into(&mut self.version);
        // After a write of ours the version changes, and the write is read back anyhow.
        if self.unconfirmed.is_empty() && !self.is_busy {
            self.actual = None;
        }
    }

    fn step(&mut self, now: Instant, may_write: bool) -> Option<Step> {
        let exists = self.exists?;
        match &self.desired {
            Some(Desired::Absent) => return (exists && may_write).then_some(Step::Delete),
            Some(Desired::Keys(_)) if !exists => return may_write.then_some(Step::Create),
            _ if !exists => return None,
            _ => {}
        }
        let Some(actual) = &self.actual else { return Some(Step::Read) };
        if self.confirm_at.is_some_and(|at| at <= now) && !self.unconfirmed.is_empty() {
            return Some(Step::Confirm(
                self.unconfirmed.iter().map(|name| KeyName::unchecked(name)).collect(),
            ));
        }
        let Some(Desired::Keys(desired)) = &self.desired else { return None };
        if !may_write || self.is_compared {
            return None;
        }
        let mut changes: Vec<KeyChange> = desired
            .iter()
            .filter(|(name, (hash, _))| actual.get(*name) != Some(hash))
            .map(|(name, (_, value))| KeyChange::Set { name: KeyName::unchecked(name), value: value.clone() })
            .collect();
        let gone = actual.keys().filter(|name| !desired.contains_key(*name));
        changes.extend(gone.map(|name| KeyChange::Remove { name: KeyName::unchecked(name) }));
        self.is_compared = changes.is_empty();
        (!changes.is_empty()).then_some(Step::Write(changes))
    }

    fn is_as_wanted(&self) -> bool {
        match (&self.desired, &self.actual) {
            (Some(Desired::Keys(desired)), Some(actual)) => {
                desired.len() == actual.len()
                    && desired.iter().all(|(name, (hash, _))| actual.get(name) == Some(hash))
            }
            (Some(Desired::Absent), _) => self.exists == Some(false),
            _ => false,
        }
    }
}

impl Default for Object {
    fn default() -> Self {
        Self {
            desired: None,
            exists: None,
            actual: None,
            values: BTreeMap::new(),
            version: String::new(),
            is_compared: false,
            unconfirmed: BTreeSet::new(),
            confirm_at: None,
            not_before: None,
            spacing: WRITE_SPACING,
            is_busy: false,
            n_failures: 0,
            failure: None,
        }
    }
}

/// Least time between two writes to one object: faster writers hide the object from every reader.
pub const WRITE_SPACING: Duration = Duration::from_millis(300);
/// Least time between two writes of statuses in one namespace.
pub const STATUS_SPACING: Duration = Duration::from_secs(1);
/// Time until a daemon knows what was written.
const PUBLICATION: Duration = Duration::from_millis(400);
/// Time until a deletion is looked after again.
const DELETION: Duration = Duration::from_secs(5);
/// Pause after the first failure; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
