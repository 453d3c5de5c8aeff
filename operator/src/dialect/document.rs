//! Objects of clients as igw keeps them.

use igw_crds::objects::{Kind, ObjectKey};
use igw_kube::{Identity, Place};
use serde_json::{Map, Value};

use crate::objects::view::Record;

/// The object of a place; nothing for kinds that are not igw's.
pub(super) fn key(place: &Place) -> Option<ObjectKey> {
    let kind = Kind::find(&place.resource.group, &place.resource.kind)?;
    Some(ObjectKey::new(kind, &place.namespace, &place.name))
}

/// What the ledger knows, as clients are told.
pub(super) fn identity(record: &Record) -> Identity {
    let created = jiff::Timestamp::from_second(record.created.as_second()).unwrap_or(record.created);
    Identity {
        uid: Some(record.uid.to_string()),
        creation_timestamp: Some(created.to_string()),
        generation: Some(record.generation),
    }
}

/// An object as a user writes it: what servers add is left out.
pub(super) fn document(object: &Value) -> Value {
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
