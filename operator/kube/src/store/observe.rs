//! What the owner of the objects saw: files that were edited by hand, keys that somebody else wrote, statuses.
//!
//! It is compared with what shows; what differs shows from now on and goes to watches. It is never asked of the owner.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::settle::same_content;
use super::write::identify;
use super::{Early, Place, Store};
use crate::metadata;
use crate::persist::Identity;
use crate::resource::Resource;
use crate::source::Wanted;
use crate::tree;

/// One object as its owner sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Where it is.
    pub place: Place,
    /// The object with defaults, in the version that is stored. Labels, annotations and content count.
    pub object: Value,
    /// Its status; nothing leaves the status as it is.
    pub status: Option<Value>,
    /// What the owner knows of it.
    pub identity: Identity,
}

// === impl Store ===

impl Store {
    /// Takes everything that the owner sees of some kinds: what is not among it is gone.
    ///
    /// `since` is [`Store::revision`] from before the owner began to look. What clients changed after it, or are
    /// about to change, is newer than what the owner saw, and only its status is taken.
    pub fn observe(&self, kinds: &[Arc<Resource>], seen: Vec<Seen>, since: u64) {
        let mut present = HashSet::new();
        for one in seen {
            present.insert(one.place.spot());
            self.observe_one(one, since);
        }
        for kind in kinds {
            let (objects, _) = self.list(kind, "");
            for object in objects {
                let place = place_of(kind, &object);
                if !present.contains(&place.spot()) {
                    self.forget(&place, since);
                }
            }
        }
    }

    /// Takes what there is of a kind in one namespace (or in all), or of one name: what is not among it is gone.
    /// `since` is as for [`Store::observe`].
    pub fn observe_within(&self, wanted: Wanted<'_>, seen: Vec<Seen>, since: u64) {
        let Wanted { resource, namespace, name } = wanted;
        let mut present = HashSet::new();
        for one in seen {
            present.insert(one.place.spot());
            self.observe_one(one, since);
        }
        let places: Vec<Place> = match name {
            "" => self.list(resource, namespace).0.iter().map(|object| place_of(resource, object)).collect(),
            name => vec![Place::new(resource, namespace, name)],
        };
        for place in places.iter().filter(|place| !present.contains(&place.spot())) {
            self.forget(place, since);
        }
    }

    /// Sets the status of an object, as the owner has worked it out. Nothing happens if the object is not there, or
    /// has this status.
    pub fn set_status(&self, place: &Place, status: Value) {
        let mut state = self.state();
        let Some(now) =
            state.shelf(&place.resource).and_then(|shelf| shelf.get(&place.namespace, &place.name))
        else {
            return;
        };
        if now.get("status").is_some_and(|known| tree::alike(known, &status)) {
            return;
        }
        let mut object = Value::clone(&now);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("status".to_owned(), status);
        }
        let shown = state.put(place, Some(object));
        drop(state);
        if let Some((_, revision)) = shown {
            self.announce(&place.resource, revision);
        }
    }

    fn observe_one(&self, seen: Seen, since: u64) {
        let Seen { place, object, status, identity } = seen;
        let mut state = self.state();
        let now = state.shelf(&place.resource).and_then(|shelf| shelf.get(&place.namespace, &place.name));
        let busy = state.busy.get_mut(&place.spot());
        if busy.is_some() || now.as_ref().is_some_and(|now| revision(now) > since) {
            match (busy, status) {
                (Some(early), Some(status)) if now.is_none() => {
                    *early = Some(Early { uid: identity.uid, status });
                }
                (_, Some(status)) => {
                    drop(state);
                    self.set_status(&place, status);
                }
                (_, None) => {}
            }
            return;
        }
        let mut next = merged(&place, now.as_deref(), object, status);
        identify(&mut next, Some(identity));
        let is_same = now.as_ref().is_some_and(|now| tree::alike(&unnumbered(now), &unnumbered(&next)));
        let shown = if is_same { None } else { state.put(&place, Some(next)) };
        drop(state);
        if let Some((_, revision)) = shown {
            self.announce(&place.resource, revision);
        }
    }

    /// Takes note that an object is gone, as its owner sees it. `since` is as for [`Store::observe`].
    pub fn forget(&self, place: &Place, since: u64) {
        let mut state = self.state();
        let now = state.shelf(&place.resource).and_then(|shelf| shelf.get(&place.namespace, &place.name));
        let is_newer = now.as_ref().is_none_or(|now| revision(now) > since);
        if is_newer || state.busy.contains_key(&place.spot()) {
            return;
        }
        let shown = state.put(place, None);
        drop(state);
        if let Some((_, revision)) = shown {
            self.announce(&place.resource, revision);
        }
    }
}

fn place_of(resource: &Arc<Resource>, object: &Value) -> Place {
    Place::new(resource, tree::text(object, "metadata.namespace"), tree::text(object, "metadata.name"))
}

/// What is seen, with what only the store remembers.
fn merged(place: &Place, now: Option<&Value>, object: Value, status: Option<Value>) -> Value {
    let resource = &place.resource;
    let mut fields = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.insert("apiVersion".to_owned(), resource.api_version(resource.stored_version()).into());
    fields.insert("kind".to_owned(), resource.kind.as_ref().into());
    match status.or_else(|| now.and_then(|now| now.get("status")).cloned()) {
        Some(status) => fields.insert("status".to_owned(), status),
        None => fields.remove("status"),
    };
    tree::edit_mapping(&mut fields, "metadata", |metadata| {
        metadata.insert("name".to_owned(), place.name.as_ref().into());
        if resource.is_namespaced() {
            metadata.insert("namespace".to_owned(), place.namespace.as_ref().into());
        }
        match now {
            None => metadata::begin(metadata),
            Some(now) => {
                for field in ["managedFields", "finalizers", "ownerReferences", "generateName"] {
                    let known = now.get("metadata").and_then(|metadata| metadata.get(field));
                    if let Some(known) = known.filter(|_| !metadata.contains_key(field)) {
                        metadata.insert(field.to_owned(), known.clone());
                    }
                }
                metadata::carry_over(metadata, now);
            }
        }
    });
    let mut next = Value::Object(fields);
    if let Some(now) = now {
        let is_alike = alike_content(now, &next);
        if is_alike && !same_content(now, &next) {
            // It differs only in what is as good as absent: what clients wrote goes on to show.
            next = with_content_of(&next, now);
        }
        let generation = metadata::generation(now) + u64::from(!is_alike);
        if let Some(metadata) = next.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("generation".to_owned(), generation.into());
        }
    }
    next
}

fn alike_content(one: &Value, other: &Value) -> bool {
    tree::alike(&content(one), &content(other))
}

fn content(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<Map<_, _>>()
        .into()
}

fn with_content_of(object: &Value, known: &Value) -> Value {
    let mut fields = match content(known) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for name in ["metadata", "status"] {
        if let Some(value) = object.get(name) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(fields)
}

fn unnumbered(object: &Value) -> Value {
    let mut plain = object.clone();
    if let Some(metadata) = plain.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    plain
}

fn revision(object: &Value) -> u64 {
    tree::text(object, "metadata.resourceVersion").parse().unwrap_or(0)
}
