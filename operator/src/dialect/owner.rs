//! Makes changes of clients last: in files, which the engine reads at once and whose identity it knows.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use igw_crds::objects::{Kind, ObjectKey};
use igw_kube::{Change, Identity, Persist, Place, Reason, Refusal, User};
use serde_json::{Map, Value};

use crate::embedded::Engine;
use crate::objects::view::Record;

/// Counts a write when nobody waits for it any more.
struct Done<'o>(&'o AtomicU64);

/// Asks the engine.
#[derive(Debug)]
pub struct Owner {
    engine: Engine,
    n_done: AtomicU64,
}

// === impl Owner ===

impl Owner {
    /// One for the kinds of igw; others are the store's alone.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, n_done: AtomicU64::new(0) }
    }

    /// Writes that the engine has answered, or whose clients have left.
    pub(super) fn n_done(&self) -> u64 {
        self.n_done.load(Ordering::Acquire)
    }
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Persist for Owner {
    fn write<'a>(
        &'a self,
        _: &'a User,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Option<Identity>, Refusal>> {
        Box::pin(async move {
            // Statuses are the engine's own.
            let Some(key) = key(&change.place).filter(|_| !change.is_status) else { return Ok(None) };
            let document = change.after.as_deref().map(document);
            // A client that leaves ends this future, and the engine writes all the same.
            let _done = Done(&self.n_done);
            match self.engine.write(key, document.as_ref()).await {
                Ok(record) => Ok(record.as_ref().map(identity)),
                Err(error) => Err(Refusal::new(Reason::Invalid, format!("{error:#}"))),
            }
        })
    }
}

fn key(place: &Place) -> Option<ObjectKey> {
    let kind = Kind::find(&place.resource.group, &place.resource.kind)?;
    Some(ObjectKey::new(kind, &place.namespace, &place.name))
}

pub(super) fn identity(record: &Record) -> Identity {
    let created = jiff::Timestamp::from_second(record.created.as_second()).unwrap_or(record.created);
    Identity {
        uid: Some(record.uid.to_string()),
        creation_timestamp: Some(created.to_string()),
        generation: Some(record.generation),
    }
}

/// An object as a user writes it: what servers add is left out.
fn document(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let mut document: Map<String, Value> = fields
        .filter(|(name, _)| *name != "status")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| KEPT_METADATA.contains(&name.as_str()));
    }
    document.into()
}

const KEPT_METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];
