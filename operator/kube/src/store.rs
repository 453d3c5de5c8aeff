//! What is served: objects by kind, namespace and name, and the changes of late.
//!
//! One number counts changes of everything, so that lists and watches line up. Content and status change apart: a
//! write of one never takes back the other. Every kind remembers its last changes for watches; whoever is further
//! behind is told to begin anew. Nothing here waits but for the owner of the objects, and then only with the one
//! object that is written.

mod history;
mod observe;
mod settle;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::Value;
use tokio::sync::watch;

pub use history::{Action, Event};
pub use observe::Seen;
pub(crate) use write::{Next, Part, Write, check_version, needs_version};

use crate::failure::Failure;
use crate::persist::Persist;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::selector::Selector;
use history::Shelf;

/// How a store behaves.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Objects are made only in namespaces that were made before. Without it every namespace may be used.
    pub require_namespaces: bool,
    /// Where counting begins. It must be above what an earlier run reached, so that its clients begin anew.
    pub first_revision: u64,
}

/// An object's place.
#[derive(Clone)]
pub struct Place {
    /// Its kind.
    pub resource: Arc<Resource>,
    /// Its namespace; empty for kinds of the whole cluster.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// What is served.
pub struct Store {
    registry: Arc<Registry>,
    settings: Settings,
    owner: Arc<dyn Persist>,
    state: Mutex<State>,
    /// Who writes an object waits here for who wrote it before.
    turns: Mutex<HashMap<Spot, Weak<tokio::sync::Mutex<()>>>>,
    changed: Vec<watch::Sender<u64>>,
}

/// A place as a key.
type Spot = (usize, Arc<str>, Arc<str>);

#[derive(Default)]
struct State {
    revision: u64,
    shelves: Vec<Shelf>,
    /// Objects that the owner is asked about right now, with what was seen of those that do not show yet.
    busy: HashMap<Spot, Option<Early>>,
}

/// A status that came before its object shows.
struct Early {
    /// The object that it is of.
    uid: Option<String>,
    status: Value,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        // Milliseconds of the wall clock are above any number that an earlier run can have counted to.
        let now = jiff::Timestamp::now().as_millisecond();
        Self { require_namespaces: false, first_revision: u64::try_from(now).unwrap_or(1) }
    }
}

// === impl Place ===

impl Place {
    /// A place.
    #[must_use]
    pub fn new(resource: &Arc<Resource>, namespace: &str, name: &str) -> Self {
        let namespace = if resource.is_namespaced() { namespace } else { "" };
        Self { resource: Arc::clone(resource), namespace: namespace.into(), name: name.into() }
    }

    fn spot(&self) -> Spot {
        (self.resource.id, Arc::clone(&self.namespace), Arc::clone(&self.name))
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.resource.kind, self.namespace, self.name)
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.spot() == other.spot()
    }
}

impl Eq for Place {}

// === impl Store ===

impl Store {
    /// An empty store of the kinds of a registry, whose changes an owner makes last.
    #[must_use]
    pub fn new(registry: Arc<Registry>, settings: Settings, owner: Arc<dyn Persist>) -> Self {
        let n_kinds = registry.iter().count();
        let shelf = || Shelf::new(settings.first_revision);
        let state = State {
            revision: settings.first_revision,
            shelves: std::iter::repeat_with(shelf).take(n_kinds).collect(),
            busy: HashMap::new(),
        };
        let changed = std::iter::repeat_with(|| watch::Sender::new(settings.first_revision)).take(n_kinds);
        Self {
            registry,
            settings,
            owner,
            state: Mutex::new(state),
            turns: Mutex::default(),
            changed: changed.collect(),
        }
    }

    /// The kinds.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The number of the latest change of anything.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// An object.
    #[must_use]
    pub fn get(&self, place: &Place) -> Option<Arc<Value>> {
        self.state().shelf(&place.resource)?.get(&place.namespace, &place.name)
    }

    /// Objects of a kind, in one namespace or (with an empty one) in all, by namespace and name; and the revision at
    /// which this is so.
    #[must_use]
    pub fn list(&self, resource: &Resource, namespace: &str) -> (Vec<Arc<Value>>, u64) {
        let state = self.state();
        let objects = state.shelf(resource).map(|shelf| shelf.list(namespace)).unwrap_or_default();
        (objects, state.revision)
    }

    pub(crate) fn select(
        &self,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
    ) -> (Vec<Arc<Value>>, u64) {
        let (mut objects, revision) = self.list(resource, namespace);
        objects.retain(|object| selector.matches(object));
        (objects, revision)
    }

    /// Tells of changes of a kind: the value is the revision of the latest.
    #[must_use]
    pub fn subscribe(&self, resource: &Resource) -> Option<watch::Receiver<u64>> {
        self.changed.get(resource.id).map(watch::Sender::subscribe)
    }

    /// Changes of a kind after a revision, in order, at most `limit` at a time.
    ///
    /// # Errors
    /// If some of them are forgotten, or the revision is one of another run.
    pub fn changes_after(
        &self,
        resource: &Resource,
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, Failure> {
        let state = self.state();
        if revision > state.revision {
            return Err(Failure::expired());
        }
        match state.shelf(resource) {
            Some(shelf) => shelf.after(revision, limit).ok_or_else(Failure::expired),
            None => Ok(Vec::new()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves a change half done: a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, resource: &Resource, revision: u64) {
        if let Some(sender) = self.changed.get(resource.id) {
            sender.send_replace(revision);
        }
    }

    /// The turn of an object.
    fn turn(&self, spot: &Spot) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(spot).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= TURNS_KEPT {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(spot.clone(), Arc::downgrade(&turn));
        turn
    }
}

// === impl State ===

impl State {
    fn shelf(&self, resource: &Resource) -> Option<&Shelf> {
        self.shelves.get(resource.id)
    }

    /// Puts an object in its place (or takes it away), with a new revision.
    fn put(&mut self, place: &Place, object: Option<Value>) -> Option<(Arc<Value>, u64)> {
        self.revision += 1;
        let revision = self.revision;
        let shelf = self.shelves.get_mut(place.resource.id)?;
        let shown = shelf.put(&place.namespace, &place.name, object, revision)?;
        Some((shown, revision))
    }
}

/// Turns that are remembered before those that nobody holds are forgotten.
const TURNS_KEPT: usize = 1024;

/// Objects of one kind by namespace and name.
type Objects = BTreeMap<(Arc<str>, Arc<str>), Arc<Value>>;
