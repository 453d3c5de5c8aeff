//! Makes changes of clients last: those of igw's kinds in files of the engine, which tells their identity.

use futures::future::BoxFuture;
use igw::embedded::{Engine, Record};
use igw_crds::objects::{Kind, ObjectKey};
use igw_kube::{Change, Identity, Persist, Place, Reason, Refusal, User};
use serde_json::{Map, Value};

/// Asks the engine.
pub(crate) struct Owner {
    engine: Engine,
}

// === impl Owner ===

impl Owner {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Persist for Owner {
    fn write<'a>(
        &'a self,
        _: &'a User,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Option<Identity>, Refusal>> {
        Box::pin(async move {
            // Other kinds and statuses are in the store alone.
            let Some(key) = key(&change.place).filter(|_| !change.is_status) else { return Ok(None) };
            let document = change.after.as_deref().map(document);
            match self.engine.write(key, document.as_ref()).await {
                Ok(record) => Ok(record.as_ref().map(identity)),
                Err(error) => Err(Refusal::new(Reason::Invalid, format!("{error:#}"))),
            }
        })
    }
}

/// An object of igw at its place.
pub(crate) fn key(place: &Place) -> Option<ObjectKey> {
    let kind = Kind::find(&place.resource.group, &place.resource.kind)?;
    Some(ObjectKey::new(kind, &place.namespace, &place.name))
}

pub(crate) fn identity(record: &Record) -> Identity {
    let created = jiff::Timestamp::from_second(record.created.as_second()).unwrap_or(record.created);
    Identity {
        uid: Some(record.uid.to_string()),
        creation_timestamp: Some(created.to_string()),
        generation: Some(record.generation),
    }
}

/// An object as a user writes it.
fn document(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let mut document: Map<String, Value> = fields
        .filter(|(name, _)| *name != "status")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| ["name", "namespace", "labels", "annotations"].contains(&name.as_str()));
    }
    document.into()
}
