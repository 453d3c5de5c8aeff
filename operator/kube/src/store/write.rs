//! Writes of clients.
//!
//! A write waits for its turn with the object, looks at it, decides, asks the owner, and shows. What happened to the
//! other part of the object meanwhile (a status that was observed while the owner stored a spec) stays.

use std::sync::Arc;

use serde_json::Value;

use super::settle::{keep, same, settle};
use super::{Place, Spot, Store};
use crate::access::User;
use crate::failure::{Failure, Reason};
use crate::persist::{Change, Identity};
use crate::resource::Style;
use crate::tree;

/// Which part of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
}

/// What a write wants.
pub(crate) enum Next {
    /// The object shall be this; other parts of it are kept.
    Put(Value),
    /// It shall be gone.
    Delete,
}

/// A write.
pub(crate) struct Write<'w> {
    pub(crate) place: &'w Place,
    pub(crate) user: &'w User,
    pub(crate) part: Part,
    /// Everything but storing.
    pub(crate) is_dry: bool,
}

/// What a write did.
pub(crate) struct Outcome {
    /// The object as it shows now, or showed last.
    pub(crate) object: Arc<Value>,
    /// It is new.
    pub(crate) is_created: bool,
}

/// An object that the owner is asked about; observations leave its content alone meanwhile.
struct Busy<'s> {
    store: &'s Store,
    spot: Spot,
}

// === impl Store ===

impl Store {
    /// Does a write. `decide` sees the object as it is in this write's turn.
    ///
    /// # Errors
    /// Those of `decide`, of the owner, and of the namespace.
    pub(crate) async fn write(
        &self,
        write: &Write<'_>,
        decide: impl FnOnce(Option<&Value>) -> Result<Next, Failure> + Send,
    ) -> Result<Outcome, Failure> {
        let place = write.place;
        let spot = place.spot();
        let turn = self.turn(&spot);
        let _turn = turn.lock().await;
        // From here on nobody else changes the content: what is decided holds until it shows.
        let busy = self.begin(spot);
        let before = self.get(place);
        let next = decide(before.as_deref())?;
        let after = match next {
            Next::Delete => {
                let before =
                    before.clone().ok_or_else(|| Failure::not_found(&place.resource, &place.name))?;
                held(&before)
            }
            Next::Put(wish) => {
                if before.is_none() {
                    self.require_namespace(place)?;
                }
                Some(settle(place, before.as_deref(), wish, write.part))
            }
        };
        // Who waited for its last finalizer goes with it.
        let after = after.filter(|object| !is_finished(object));
        if let (Some(before), Some(after)) = (&before, &after)
            && same(before, after)
        {
            return Ok(Outcome { object: Arc::clone(before), is_created: false });
        }
        if let Some(after) = &after {
            small_enough(place, after)?;
        }
        let is_created = before.is_none();
        if write.is_dry {
            let shown = after.map(Arc::new).or(before);
            let object = shown.ok_or_else(|| Failure::not_found(&place.resource, &place.name))?;
            return Ok(Outcome { object, is_created });
        }
        let change = Change {
            place: place.clone(),
            before: before.clone(),
            after: after.map(Arc::new),
            is_status: write.part == Part::Status,
        };
        let identity = self.owner.write(write.user, &change).await;
        let identity = identity.map_err(|refusal| refusal.into_failure(place))?;
        let object = self.show(&change, identity);
        drop(busy);
        object.map(|object| Outcome { object, is_created })
    }

    /// Shows what the owner has made last.
    fn show(&self, change: &Change, identity: Option<Identity>) -> Result<Arc<Value>, Failure> {
        let place = &change.place;
        let mut state = self.state();
        let now = state.shelf(&place.resource).and_then(|shelf| shelf.get(&place.namespace, &place.name));
        let early = state.busy.get_mut(&place.spot()).and_then(Option::take);
        let wanted = change.after.as_deref().cloned().map(|mut after| {
            // The other part may have changed meanwhile.
            if let (Some(now), Some(fields)) = (&now, after.as_object_mut())
                && place.resource.has_status
                && change.before.is_some()
            {
                match change.is_status {
                    true => {
                        let names: Vec<String> = fields.keys().cloned().collect();
                        names
                            .iter()
                            .filter(|name| *name != "status")
                            .for_each(|name| keep(fields, now, name));
                    }
                    false => keep(fields, now, "status"),
                }
            }
            identify(&mut after, identity);
            if let Some(early) = early
                && early.uid.as_deref() == tree::at(&after, "metadata.uid").and_then(Value::as_str)
                && let Some(fields) = after.as_object_mut()
            {
                fields.insert("status".to_owned(), early.status);
            }
            after
        });
        let shown = state.put(place, wanted);
        drop(state);
        match shown {
            Some((object, revision)) => {
                self.announce(&place.resource, revision);
                Ok(object)
            }
            // It was deleted here, and seen to be gone before.
            None => change.before.clone().ok_or_else(|| Failure::not_found(&place.resource, &place.name)),
        }
    }

    fn begin(&self, spot: Spot) -> Busy<'_> {
        self.state().busy.insert(spot.clone(), None);
        Busy { store: self, spot }
    }

    /// The namespace of a new object is there, and is not on its way out.
    fn require_namespace(&self, place: &Place) -> Result<(), Failure> {
        if !self.settings.require_namespaces || place.namespace.is_empty() {
            return Ok(());
        }
        let Some(namespaces) = self.registry.find("", "namespaces") else { return Ok(()) };
        match self.get(&Place::new(namespaces, "", &place.namespace)) {
            Some(_) => Ok(()),
            None => Err(Failure::not_found(namespaces, &place.namespace)),
        }
    }
}

// === impl Busy ===

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.store.state().busy.remove(&self.spot);
    }
}

/// A version that a client names must be the one that is there.
pub(crate) fn check_version(place: &Place, wish: &Value, before: &Value) -> Result<(), Failure> {
    let (wanted, have) =
        (tree::text(wish, "metadata.resourceVersion"), tree::text(before, "metadata.resourceVersion"));
    if !wanted.is_empty() && wanted != "0" && wanted != have {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(&place.resource, &place.name, why));
    }
    let (wanted, have) = (tree::text(wish, "metadata.uid"), tree::text(before, "metadata.uid"));
    if !wanted.is_empty() && wanted != have {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}");
        return Err(Failure::conflict(&place.resource, &place.name, &why));
    }
    Ok(())
}

/// A replacement must name a version, but for kinds that are compiled into Kubernetes.
pub(crate) fn needs_version(place: &Place, wish: &Value) -> bool {
    place.resource.style == Style::Custom && tree::text(wish, "metadata.resourceVersion").is_empty()
}

/// An object has bounds, whatever patches it grew by.
fn small_enough(place: &Place, object: &Value) -> Result<(), Failure> {
    // A tree always encodes.
    let n_bytes = serde_json::to_vec(object).map_or(0, |bytes| bytes.len());
    if n_bytes <= OBJECT_BYTES {
        return Ok(());
    }
    let message = format!("Request is too large: the object has {n_bytes} bytes, more than {OBJECT_BYTES}");
    Err(Failure::new(Reason::RequestEntityTooLarge, message).of(&place.resource, &place.name))
}

/// An object that finalizers hold, marked; none if nothing holds it.
fn held(object: &Value) -> Option<Value> {
    if !has_finalizers(object) {
        return None;
    }
    let mut held = object.clone();
    if let Some(metadata) = held.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("deletionTimestamp").or_insert_with(|| crate::metadata::now().into());
        metadata.entry("deletionGracePeriodSeconds").or_insert_with(|| 0.into());
    }
    Some(held)
}

fn is_finished(object: &Value) -> bool {
    tree::at(object, "metadata.deletionTimestamp").is_some() && !has_finalizers(object)
}

fn has_finalizers(object: &Value) -> bool {
    tree::at(object, "metadata.finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// What the owner knows better.
pub(super) fn identify(object: &mut Value, identity: Option<Identity>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(identity) = identity else { return };
    if let Some(uid) = identity.uid {
        metadata.insert("uid".to_owned(), uid.into());
    }
    if let Some(created) = identity.creation_timestamp {
        metadata.insert("creationTimestamp".to_owned(), created.into());
    }
    if let Some(generation) = identity.generation {
        metadata.insert("generation".to_owned(), generation.into());
    }
}

/// Largest object, in JSON: what a Kubernetes server stores.
const OBJECT_BYTES: usize = 1_572_864;
