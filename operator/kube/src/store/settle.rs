//! What becomes of an object that was wished for: which parts of it are the client's, and which the server's.

use serde_json::{Map, Value};

use super::Place;
use super::write::Part;
use crate::builtin;
use crate::metadata;
use crate::tree;

/// The object that a wish makes of the one before.
pub(super) fn settle(place: &Place, before: Option<&Value>, wish: Value, part: Part) -> Value {
    let resource = &place.resource;
    let mut fields = match wish {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.insert("apiVersion".to_owned(), resource.api_version(resource.stored_version()).into());
    fields.insert("kind".to_owned(), resource.kind.as_ref().into());
    match (before, part) {
        (None, _) => {
            if resource.has_status {
                fields.remove("status");
            }
            tree::edit_mapping(&mut fields, "metadata", metadata::begin);
        }
        (Some(before), Part::Main) => {
            if resource.has_status {
                keep(&mut fields, before, "status");
            }
            tree::edit_mapping(&mut fields, "metadata", |metadata| metadata::carry_over(metadata, before));
        }
        (Some(before), Part::Status) => {
            let status = fields.remove("status");
            let owners = fields.get("metadata").and_then(|metadata| metadata.get("managedFields")).cloned();
            fields = before.as_object().cloned().unwrap_or_default();
            if let Some(status) = status {
                fields.insert("status".to_owned(), status);
            }
            if let Some(owners) = owners {
                tree::edit_mapping(&mut fields, "metadata", |metadata| {
                    metadata.insert("managedFields".to_owned(), owners)
                });
            }
        }
    }
    if resource.group.is_empty() && &*resource.plural == "namespaces" {
        namespace(&mut fields, &place.name);
    }
    let mut settled = Value::Object(fields);
    if let Some(before) = before.filter(|before| !same_content(before, &settled)) {
        let next = metadata::generation(before).saturating_add(1);
        if let Some(metadata) = settled.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("generation".to_owned(), next.into());
        }
    }
    settled
}

/// Two states of an object are the same but for their number and what is remembered of who wrote them.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    same_content(one, other)
        && one.get("status") == other.get("status")
        && plain_metadata(one) == plain_metadata(other)
}

/// What counts for the generation: everything but metadata and status.
pub(super) fn same_content(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    let counts = |name: &str| !matches!(name, "metadata" | "status" | "apiVersion" | "kind");
    let part = |fields: &Map<String, Value>, others: &Map<String, Value>| {
        fields.iter().all(|(name, value)| !counts(name) || others.get(name) == Some(value))
    };
    part(one, other) && part(other, one)
}

fn plain_metadata(object: &Value) -> Map<String, Value> {
    let mut metadata = object.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    metadata.remove("resourceVersion");
    if let Some(owners) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
        for owner in owners.iter_mut().filter_map(Value::as_object_mut) {
            owner.remove("time");
        }
    }
    metadata.retain(|_, value| !matches!(value, Value::Object(map) if map.is_empty()));
    metadata
}

/// Takes a field from the state before.
pub(super) fn keep(fields: &mut Map<String, Value>, before: &Value, name: &str) {
    match before.get(name) {
        Some(value) => fields.insert(name.to_owned(), value.clone()),
        None => fields.remove(name),
    };
}

fn namespace(fields: &mut Map<String, Value>, name: &str) {
    tree::edit_mapping(fields, "metadata", |metadata| {
        tree::edit_mapping(metadata, "labels", |labels| {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.into())
        })
    });
    fields.entry("status").or_insert_with(builtin::active);
}
