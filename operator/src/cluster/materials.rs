//! Key pairs and authorities that objects refer to: `sec` and `cfg` objects of users, which are read and never written.
//!
//! A state machine without clock and network. Nothing is read that no object refers to; nothing is taken for deleted
//! because it was not found once; what cannot be read keeps its last good content.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use igw_compile::{Material, References};
use igw_crds::snapshot::Snapshot;
use igw_opensvc::{Error, KeyName, Kind, ObjectItem, ObjectPath};
use jiff::Timestamp;

use super::layout::{self, version};
use crate::certificates::authorities;
use crate::certificates::pair::{PAIR_VALUES, Purpose};
use crate::certificates::vault::{Place, Vault};

/// Everything that is referred to.
#[derive(Debug, Default)]
pub struct Materials {
    wanted: BTreeMap<ObjectPath, Wanted>,
    vault: Vault,
    authorities: BTreeMap<Place, Result<String, String>>,
}

#[derive(Debug)]
struct Wanted {
    purpose: Purpose,
    /// Version of what was read last.
    version: String,
    /// Version that was announced last.
    announced: String,
    state: State,
    n_failures: u32,
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known of it.
    New,
    Read,
    /// It is not there.
    Absent,
    /// It was there and is not found any more.
    Lost,
    /// It cannot be read.
    Failed,
}

// === impl Materials ===

impl Materials {
    /// Takes what objects refer to now. True if something of it was never asked for: nothing is decided before it is
    /// known, so that no listener loses its certificate because an operator is new.
    pub fn want(&mut self, references: &References) -> bool {
        let path = |kind, place: &Place| layout::path(&place.0, kind, &place.1);
        let mut purposes: BTreeMap<ObjectPath, Purpose> = BTreeMap::new();
        for place in &references.client_secrets {
            purposes.extend(path(Kind::Sec, place).map(|path| (path, Purpose::Client)));
        }
        for place in &references.secrets {
            purposes.extend(path(Kind::Sec, place).map(|path| (path, Purpose::Server)));
        }
        for place in &references.config_maps {
            purposes.extend(path(Kind::Cfg, place).map(|path| (path, Purpose::Any)));
        }
        self.wanted.retain(|path, _| purposes.contains_key(path));
        for (path, purpose) in purposes {
            let wanted = self.wanted.entry(path).or_insert_with(|| Wanted::new(purpose));
            if wanted.purpose != purpose {
                *wanted = Wanted { purpose, version: String::new(), ..Wanted::new(purpose) };
            }
        }
        let is_wanted =
            |kind, place: &Place| path(kind, place).is_some_and(|path| self.wanted.contains_key(&path));
        self.vault.retain(|place| is_wanted(Kind::Sec, place));
        self.authorities.retain(|place, _| is_wanted(Kind::Cfg, place));
        self.wanted.values().any(|wanted| wanted.state == State::New)
    }

    /// Names of the objects, for lists.
    pub fn paths(&self) -> impl Iterator<Item = &ObjectPath> {
        self.wanted.keys()
    }

    /// Takes the versions that a list tells.
    pub fn list(&mut self, items: &[ObjectItem], node: &str) {
        for item in items {
            let own = item.instances.get(node).and_then(|instance| instance.settings.as_ref());
            if let Some(settings) = own {
                self.announce(&item.path, &version(settings));
            }
        }
    }

    /// Takes the version that an event tells.
    pub fn announce(&mut self, path: &ObjectPath, version: &str) {
        if let Some(wanted) = self.wanted.get_mut(path) {
            version.clone_into(&mut wanted.announced);
        }
    }

    /// The object was not in equal complete lists for long: what was lost is gone. True if that is news.
    pub fn gone(&mut self, is_gone: impl Fn(&ObjectPath) -> bool) -> bool {
        let mut changed = false;
        for (path, wanted) in &mut self.wanted {
            if wanted.state == State::Lost && is_gone(path) {
                wanted.state = State::Absent;
                let place = place(path);
                self.vault.forget(&place);
                self.authorities.remove(&place);
                changed = true;
            }
        }
        changed
    }

    /// Something that was there is not found: lists have to judge.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.wanted.values().any(|wanted| wanted.state == State::Lost)
    }

    /// What has to be read now, with the version that was announced.
    #[must_use]
    pub fn due(&self, now: Instant) -> Vec<(ObjectPath, String)> {
        let is_due = |wanted: &Wanted| {
            wanted.not_before.is_none_or(|at| at <= now)
                && (matches!(wanted.state, State::New | State::Failed)
                    || (wanted.announced != wanted.version && !wanted.announced.is_empty()))
        };
        let due = self.wanted.iter().filter(|(_, wanted)| is_due(wanted));
        due.map(|(path, wanted)| (path.clone(), wanted.announced.clone())).collect()
    }

    /// The moment when something is due without any event.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.wanted.values().filter_map(|wanted| wanted.not_before).min()
    }

    /// Takes what was read.
    pub fn take(&mut self, path: &ObjectPath, version: &str, values: &[(KeyName, Bytes)]) {
        let Some(wanted) = self.wanted.get_mut(path) else { return };
        version.clone_into(&mut wanted.version);
        *wanted = Wanted {
            version: version.to_owned(),
            announced: std::mem::take(&mut wanted.announced),
            state: State::Read,
            ..Wanted::new(wanted.purpose)
        };
        let value = |name: &str| values.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value);
        match path.kind() {
            Kind::Sec => self.vault.observe(place(path), wanted.purpose, &PAIR_VALUES, &|name| {
                value(name).map(|value| value.to_vec())
            }),
            _ => {
                let found = authorities::examine(value(authorities::CA).map(|value| &**value));
                // Nobody trusts what was there before: what is broken is no authority, as with igw up.
                self.authorities.insert(place(path), found);
            }
        }
    }

    /// It was not read.
    pub fn fail(&mut self, path: &ObjectPath, error: &Error, now: Instant) {
        let Some(wanted) = self.wanted.get_mut(path) else { return };
        wanted.n_failures = wanted.n_failures.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << wanted.n_failures.min(7)).min(LONGEST_PAUSE);
        wanted.not_before = Some(now + pause);
        if matches!(error, Error::UnknownObject { .. }) {
            // Not there, or not known yet, or its node is lost.
            wanted.version.clone_from(&wanted.announced);
            wanted.not_before = None;
            wanted.state = match wanted.state {
                State::New | State::Absent => State::Absent,
                State::Read | State::Lost | State::Failed => State::Lost,
            };
            return;
        }
        wanted.state = State::Failed;
        let fault = format!("cannot be read: {error}");
        match path.kind() {
            Kind::Sec => self.vault.doubt(place(path), &fault),
            _ => {
                self.authorities.entry(place(path)).or_insert(Err(fault));
            }
        }
    }

    /// What all of it is worth at a moment.
    pub fn states(&mut self, now: Timestamp) -> Material {
        Material { pairs: self.vault.states(now), authorities: self.authorities.clone() }
    }

    /// The private keys of the certificates in a snapshot, by fingerprint.
    #[must_use]
    pub fn keys(&self, snapshot: &Snapshot) -> BTreeMap<String, String> {
        self.vault.keys(snapshot)
    }

    /// The next moment at which a certificate begins or ceases to be good.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.vault.next_change(now)
    }
}

// === impl Wanted ===

impl Wanted {
    fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            version: String::new(),
            announced: String::new(),
            state: State::New,
            n_failures: 0,
            not_before: None,
        }
    }
}

/// Whether a key of an object is of any use.
#[must_use]
pub fn is_of_use(name: &str) -> bool {
    PAIR_VALUES.contains(&name) || name == authorities::CA
}

fn place(path: &ObjectPath) -> Place {
    (path.namespace().to_owned(), path.name().to_owned())
}

/// Pause after the first failure; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
