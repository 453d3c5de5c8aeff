//! Books: what the operator keeps of each object, in parts that are keys of the namespace's `igw-status`.
//!
//! One object's change rewrites one part. Parts are encoded only when something in them differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use igw_crds::objects::{Kind, ObjectKey};
use igw_crds::stored::{pack, unpack};
use serde_json::Value;

use super::layout::{SYSTEM, shard};

/// One book.
#[derive(Debug)]
pub struct Book {
    name: &'static str,
    parts: BTreeMap<(String, String), BTreeMap<String, Arc<Value>>>,
    dirty: BTreeSet<(String, String)>,
}

// === impl Book ===

impl Book {
    /// An empty book.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, parts: BTreeMap::new(), dirty: BTreeSet::new() }
    }

    /// Reads the parts among the keys of a namespace's `igw-status`; entries by object. What is broken is left out.
    #[must_use]
    pub fn read<'k>(
        &self,
        keys: impl Iterator<Item = (&'k str, &'k Bytes)>,
        namespace: &str,
    ) -> Vec<(ObjectKey, Value)> {
        let mut entries = Vec::new();
        for (key, value) in keys {
            let mut parts = key.split('/');
            let (book, kind) = (parts.next(), parts.next().and_then(Kind::parse));
            let (Some(kind), true) = (kind, book == Some(self.name)) else { continue };
            let Ok(plain) = unpack(value) else { continue };
            let Ok(found) = serde_json::from_slice::<BTreeMap<String, Value>>(&plain) else { continue };
            entries.extend(
                found.into_iter().map(|(name, value)| (ObjectKey::new(kind, namespace, &name), value)),
            );
        }
        entries
    }

    /// Writes what is kept of an object.
    pub fn set(&mut self, key: &ObjectKey, value: &Arc<Value>) {
        let place = self.place(key);
        let part = self.parts.entry(place.clone()).or_default();
        let is_same =
            part.get(&*key.name).is_some_and(|before| Arc::ptr_eq(before, value) || before == value);
        if !is_same {
            part.insert(key.name.to_string(), Arc::clone(value));
            self.dirty.insert(place);
        }
    }

    /// Objects that something is kept of.
    #[must_use]
    pub fn n_entries(&self) -> usize {
        self.parts.values().map(BTreeMap::len).sum()
    }

    /// Forgets objects.
    pub fn retain(&mut self, exists: impl Fn(Kind, &str, &str) -> bool) {
        for (place, part) in &mut self.parts {
            let kind = place.1.split('/').nth(1).and_then(Kind::parse);
            let n_before = part.len();
            part.retain(|name, _| kind.is_some_and(|kind| exists(kind, &place.0, name)));
            if part.len() != n_before {
                self.dirty.insert(place.clone());
            }
        }
    }

    /// The parts that are different now: namespace, key, and value, `None` for a part that is empty.
    pub fn changes(&mut self) -> Vec<(String, String, Option<Bytes>)> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut changes = Vec::with_capacity(dirty.len());
        for place in dirty {
            let part = self.parts.get(&place).filter(|part| !part.is_empty());
            // Trees with string keys always encode.
            let value = part.map(|part| pack(serde_json::to_vec(part).unwrap_or_default()).into());
            if value.is_none() {
                self.parts.remove(&place);
            }
            changes.push((place.0, place.1, value));
        }
        changes
    }

    fn place(&self, key: &ObjectKey) -> (String, String) {
        let namespace = if key.kind.is_namespaced() { &*key.namespace } else { SYSTEM };
        (namespace.to_owned(), shard(self.name, key.kind, &key.name))
    }
}
