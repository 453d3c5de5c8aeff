//! Server-side apply: somebody says which fields they want, and owns them from then on.
//!
//! Fields merge; lists without keys are replaced whole. What somebody applied before and does not name any more goes,
//! unless somebody else owns it too. A field of somebody else with another value is a conflict, unless force is used.

use serde_json::{Map, Value};

use crate::answers::patch::unversioned;
use crate::failure::{Cause, Failure, Reason};
use crate::list_keys::ListKeys;
use crate::metadata;
use crate::ownership::fields::{below, step_of};
use crate::ownership::{Fields, Operation, Owner, counted, owners, put_owners, subresource};
use crate::request::Asked;
use crate::server::Target;
use crate::tree;

/// The object that an applied one makes of the one that is there, with its owners.
///
/// # Errors
/// If fields belong to others, or nobody says who applies.
pub(crate) fn apply(
    target: &Target,
    asked: &Asked,
    before: Option<&Value>,
    wanted: &Value,
) -> Result<Value, Failure> {
    let resource = &target.resource;
    let manager = asked.query.get("fieldManager").filter(|name| !name.is_empty()).ok_or_else(|| {
        Failure::bad_request("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")
    })?;
    if tree::text(wanted, "apiVersion").is_empty() || tree::text(wanted, "kind").is_empty() {
        return Err(Failure::bad_request("apiVersion and kind are required in an applied object"));
    }
    if tree::at(wanted, "metadata.managedFields")
        .is_some_and(|list| list.as_array().is_none_or(|list| !list.is_empty()))
    {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let mut wanted = wanted.clone();
    tree::drop_nulls(&mut wanted);
    let keys = &resource.list_keys;
    let own = Fields::of(&counted(resource, &wanted, target.part), keys);
    let live = before.map_or_else(|| Value::Object(Map::new()), unversioned);
    let mut known = before.map(owners).unwrap_or_default();
    let part = subresource(target.part);
    let is_own = |owner: &Owner| {
        owner.manager == manager && owner.operation == Operation::Apply && owner.subresource == part
    };
    let mut merged = live.clone();
    merge(&mut merged, &counted(resource, &wanted, target.part), keys, "");
    merge_identity(&mut merged, &wanted);
    // Lists that are replaced whole have defaults in them: whoever applies what they applied before changes nothing.
    let mut full = merged.clone();
    resource.admission.admit(&mut full, before);
    let is_forced = asked.query.is_true("force");
    let mut causes = Vec::new();
    for owner in known.iter_mut().filter(|owner| !is_own(owner)) {
        for path in own.shared(&owner.fields) {
            let theirs = value_at(&live, &path);
            if theirs.is_none() || theirs == value_at(&wanted, &path) || theirs == value_at(&full, &path) {
                continue;
            }
            match is_forced {
                true => owner.fields.remove(&Fields::one(&path)),
                false => causes.push(conflict(owner, &path)),
            }
        }
    }
    if !causes.is_empty() {
        return Err(conflicts(target, causes));
    }
    let mine = known.iter().find(|owner| is_own(owner));
    let mut paths = mine.map(|owner| owner.fields.paths_beyond(&own)).unwrap_or_default();
    let others: Vec<&Owner> = known.iter().filter(|owner| !is_own(owner)).collect();
    // An item goes before its fields would.
    paths.sort_by_key(Vec::len);
    for path in paths {
        let item = path.strip_suffix(&[".".to_owned()]).unwrap_or(&path);
        if !others.iter().any(|owner| owner.fields.touches(item)) && !own.has(item) {
            remove(&mut merged, item);
        }
    }
    known.retain(|owner| !is_own(owner));
    known.push(Owner {
        manager: manager.to_owned(),
        operation: Operation::Apply,
        subresource: part.to_owned(),
        api_version: tree::text(&wanted, "apiVersion").to_owned(),
        time: metadata::now(),
        fields: own,
    });
    put_owners(&mut merged, &known);
    Ok(merged)
}

/// What the applied object says of itself.
fn merge_identity(merged: &mut Value, wanted: &Value) {
    let Some(fields) = merged.as_object_mut() else { return };
    for name in ["apiVersion", "kind"] {
        fields.insert(name.to_owned(), wanted.get(name).cloned().unwrap_or_default());
    }
    tree::edit_mapping(fields, "metadata", |metadata| {
        for name in ["name", "namespace", "resourceVersion", "uid"] {
            if let Some(value) = wanted.get("metadata").and_then(|metadata| metadata.get(name)) {
                metadata.insert(name.to_owned(), value.clone());
            }
        }
    });
}

fn merge(tree: &mut Value, wanted: &Value, keys: &ListKeys, path: &str) {
    match (tree, wanted) {
        (Value::Object(fields), Value::Object(wanted)) => {
            for (name, value) in wanted {
                match fields.get_mut(name) {
                    Some(known) => merge(known, value, keys, &below(path, name)),
                    None => drop(fields.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(items), Value::Array(wanted)) if keys.of(path).is_some() => {
            let names = keys.of(path).unwrap_or_default();
            for item in wanted {
                let step = step_of(item, names);
                match items.iter_mut().find(|known| step_of(known, names) == step) {
                    Some(known) => merge(known, item, keys, path),
                    None => items.push(item.clone()),
                }
            }
        }
        (tree, wanted) => *tree = wanted.clone(),
    }
}

/// The value at a path of a set of fields.
fn value_at<'t>(tree: &'t Value, path: &[String]) -> Option<&'t Value> {
    path.iter().try_fold(tree, |node, step| match step.strip_prefix("f:") {
        Some(name) => node.get(name),
        None => node.as_array()?.iter().find(|item| is_item(item, step)),
    })
}

fn is_item(item: &Value, step: &str) -> bool {
    let key = step.strip_prefix("k:").and_then(|key| serde_json::from_str::<Map<String, Value>>(key).ok());
    key.is_some_and(|key| key.iter().all(|(name, value)| item.get(name) == Some(value)))
}

/// Removes a path, and what is empty then.
fn remove(tree: &mut Value, path: &[String]) {
    let Some((step, rest)) = path.split_first() else { return };
    match tree {
        Value::Object(fields) => {
            let Some(name) = step.strip_prefix("f:") else { return };
            if rest.is_empty() {
                fields.remove(name);
            } else if let Some(below) = fields.get_mut(name) {
                remove(below, rest);
                let is_empty = below.as_object().is_some_and(Map::is_empty)
                    || below.as_array().is_some_and(Vec::is_empty);
                if is_empty {
                    fields.remove(name);
                }
            }
        }
        Value::Array(items) => {
            let Some(at) = items.iter().position(|item| is_item(item, step)) else { return };
            if rest.is_empty() {
                items.remove(at);
            } else if let Some(item) = items.get_mut(at) {
                remove(item, rest);
            }
        }
        _ => {}
    }
}

fn conflict(owner: &Owner, path: &[String]) -> Cause {
    let how = match owner.operation {
        Operation::Apply => String::new(),
        Operation::Update => format!(" using {}", owner.api_version),
    };
    Cause {
        reason: "FieldManagerConflict",
        message: format!("conflict with \"{}\"{how}", owner.manager),
        field: shown(path),
    }
}

fn conflicts(target: &Target, causes: Vec<Cause>) -> Failure {
    let told: Vec<String> =
        causes.iter().map(|cause| format!("{}: {}", cause.message, cause.field)).collect();
    let noun = if causes.len() == 1 { "conflict" } else { "conflicts" };
    let message = format!("Apply failed with {} {noun}: {}", causes.len(), told.join(", "));
    Failure::new(Reason::Conflict, message).of(&target.resource, &target.name).because(causes)
}

/// A path as people read it: `.spec.listeners[name="a"].port`.
fn shown(path: &[String]) -> String {
    let mut out = String::new();
    for step in path {
        match (step.strip_prefix("f:"), step.strip_prefix("k:")) {
            (Some(name), _) => {
                out.push('.');
                out.push_str(name);
            }
            (_, Some(key)) => {
                let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let parts: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                out.push_str(&format!("[{}]", parts.join(",")));
            }
            _ => {}
        }
    }
    out
}
