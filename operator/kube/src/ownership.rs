//! Who wrote which fields of an object: `metadata.managedFields`, as a Kubernetes server keeps it.
//!
//! Fields belong to whoever wrote them last, and to everybody who applied the same value. It counts when somebody
//! applies fields: those of others are not taken without force.

pub(crate) mod fields;

use serde_json::{Map, Value, json};

use crate::metadata;
use crate::resource::Resource;
use crate::store::Part;
use crate::tree;
pub(crate) use fields::{Difference, Fields};

/// Somebody and what they own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Owner {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    pub(crate) subresource: String,
    pub(crate) api_version: String,
    pub(crate) time: String,
    pub(crate) fields: Fields,
}

/// How somebody came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// The owners of an object.
pub(crate) fn owners(object: &Value) -> Vec<Owner> {
    let list = tree::at(object, "metadata.managedFields").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Owner::of).collect()
}

/// Writes the owners into an object.
pub(crate) fn put_owners(object: &mut Value, owners: &[Owner]) {
    let Some(fields) = object.as_object_mut() else { return };
    tree::edit_mapping(fields, "metadata", |metadata| {
        let list: Vec<Value> =
            owners.iter().filter(|owner| !owner.fields.is_empty()).map(Owner::to_value).collect();
        match list.is_empty() {
            true => metadata.remove("managedFields"),
            false => metadata.insert("managedFields".to_owned(), Value::Array(list)),
        }
    });
}

/// Notes that somebody wrote an object by other means than applying: what differs is theirs now.
pub(crate) fn written(
    resource: &Resource,
    before: Option<&Value>,
    wish: &mut Value,
    manager: &str,
    part: Part,
) {
    let said = tree::at(wish, "metadata.managedFields").and_then(Value::as_array);
    let mut owners = match (said, before) {
        // Clients that say who owns what are believed: that is how ownership is migrated.
        (Some(_), _) => owners(wish),
        (None, Some(before)) => owners(before),
        (None, None) => Vec::new(),
    };
    let nothing = Value::Object(Map::new());
    let old = counted(resource, before.unwrap_or(&nothing), part);
    let new = counted(resource, wish, part);
    let difference = Difference::between(&old, &new, &resource.list_keys);
    let subresource = subresource(part);
    let is_own = |owner: &Owner| {
        owner.manager == manager && owner.operation == Operation::Update && owner.subresource == subresource
    };
    for owner in &mut owners {
        owner.fields.remove(&difference.gone);
        if !is_own(owner) {
            owner.fields.remove(&difference.set);
        }
    }
    if !difference.set.is_empty() {
        let at = owners.iter().position(is_own).unwrap_or_else(|| {
            owners.push(Owner {
                manager: manager.to_owned(),
                operation: Operation::Update,
                subresource: subresource.to_owned(),
                api_version: String::new(),
                time: String::new(),
                fields: Fields::default(),
            });
            owners.len() - 1
        });
        if let Some(owner) = owners.get_mut(at) {
            owner.fields.add(&difference.set);
            owner.time = metadata::now();
            owner.api_version = resource.api_version(resource.stored_version());
        }
    }
    put_owners(wish, &owners);
}

/// What of an object is owned: not what the server says of it.
pub(crate) fn counted(resource: &Resource, object: &Value, part: Part) -> Value {
    let mut counted = Map::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        let is_counted = match (name.as_str(), part) {
            ("apiVersion" | "kind" | "metadata", _) => false,
            ("status", Part::Main) => !resource.has_status,
            ("status", Part::Status) => true,
            (_, part) => part == Part::Main,
        };
        if is_counted {
            counted.insert(name.clone(), value.clone());
        }
    }
    if part == Part::Main {
        let metadata = object.get("metadata").and_then(Value::as_object).into_iter().flatten();
        let metadata = metadata.filter(|(name, _)| {
            matches!(name.as_str(), "labels" | "annotations" | "finalizers" | "ownerReferences")
        });
        let metadata: Map<String, Value> =
            metadata.map(|(name, value)| (name.clone(), value.clone())).collect();
        if !metadata.is_empty() {
            counted.insert("metadata".to_owned(), Value::Object(metadata));
        }
    }
    Value::Object(counted)
}

pub(crate) fn subresource(part: Part) -> &'static str {
    match part {
        Part::Main => "",
        Part::Status => "status",
    }
}

// === impl Owner ===

impl Owner {
    fn of(entry: &Value) -> Option<Self> {
        let text = |name: &str| tree::text(entry, name).to_owned();
        let operation = match tree::text(entry, "operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        Some(Self {
            manager: text("manager"),
            operation,
            subresource: text("subresource"),
            api_version: text("apiVersion"),
            time: text("time"),
            fields: Fields(entry.get("fieldsV1")?.as_object()?.clone()),
        })
    }

    fn to_value(&self) -> Value {
        let operation = match self.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = json!({
            "manager": self.manager, "operation": operation, "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.0,
        });
        if let (false, Some(fields)) = (self.subresource.is_empty(), entry.as_object_mut()) {
            fields.insert("subresource".to_owned(), self.subresource.as_str().into());
        }
        entry
    }
}
