//! Objects of one kind, and its changes of late.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use super::Objects;
use crate::tree;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The object is new.
    Added,
    /// It is another one.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number among all changes.
    pub revision: u64,
    /// What happened.
    pub action: Action,
    /// The object; its last state with the revision of its end, if it is gone.
    pub object: Arc<Value>,
    /// The object before.
    pub before: Option<Arc<Value>>,
}

/// Objects and changes of one kind.
pub(super) struct Shelf {
    pub(super) objects: Objects,
    /// Each with the memory that its object takes.
    changes: VecDeque<(Arc<Event>, usize)>,
    n_bytes: usize,
    /// Changes up to this one are forgotten.
    forgotten: u64,
}

// === impl Shelf ===

impl Shelf {
    pub(super) fn new(first_revision: u64) -> Self {
        Self { objects: Objects::new(), changes: VecDeque::new(), n_bytes: 0, forgotten: first_revision }
    }

    pub(super) fn get(&self, namespace: &Arc<str>, name: &Arc<str>) -> Option<Arc<Value>> {
        self.objects.get(&(Arc::clone(namespace), Arc::clone(name))).cloned()
    }

    pub(super) fn list(&self, namespace: &str) -> Vec<Arc<Value>> {
        if namespace.is_empty() {
            return self.objects.values().cloned().collect();
        }
        let first = (Arc::from(namespace), Arc::from(""));
        let within = self.objects.range(first..).take_while(|((other, _), _)| **other == *namespace);
        within.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// Changes after a revision; none if some are forgotten.
    pub(super) fn after(&self, revision: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        if revision < self.forgotten {
            return None;
        }
        let first = self.changes.partition_point(|(event, _)| event.revision <= revision);
        Some(self.changes.iter().skip(first).take(limit).map(|(event, _)| Arc::clone(event)).collect())
    }

    /// Puts an object in its place, or takes away what is there. Returns what the change shows.
    pub(super) fn put(
        &mut self,
        namespace: &Arc<str>,
        name: &Arc<str>,
        object: Option<Value>,
        revision: u64,
    ) -> Option<Arc<Value>> {
        let key = (Arc::clone(namespace), Arc::clone(name));
        let (action, object, before) = match object {
            Some(object) => {
                let object = Arc::new(stamped(object, revision));
                let before = self.objects.insert(key, Arc::clone(&object));
                let action = if before.is_some() { Action::Modified } else { Action::Added };
                (action, object, before)
            }
            None => {
                let before = self.objects.remove(&key)?;
                (Action::Deleted, Arc::new(stamped(Value::clone(&before), revision)), Some(before))
            }
        };
        let n_bytes = tree::weight(&object);
        self.n_bytes += n_bytes;
        let event = Event { revision, action, object: Arc::clone(&object), before };
        self.changes.push_back((Arc::new(event), n_bytes));
        while (self.changes.len() > CHANGES_KEPT || self.n_bytes > BYTES_KEPT)
            && let Some((oldest, n_bytes)) = self.changes.pop_front()
        {
            self.forgotten = oldest.revision;
            self.n_bytes -= n_bytes;
        }
        Some(object)
    }
}

fn stamped(mut object: Value, revision: u64) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
    }
    object
}

/// Changes of one kind that are kept for watches.
const CHANGES_KEPT: usize = 8192;
/// What the objects of these changes may take, about.
const BYTES_KEPT: usize = 64 * 1024 * 1024;
