//! Strategic merge patches: merge patches that know lists by keys, with directives.

use serde_json::{Map, Value};

use crate::answers::patch::unversioned;
use crate::failure::Failure;
use crate::list_keys::ListKeys;
use crate::ownership::fields::below;

/// The object that a patch makes of another.
///
/// # Errors
/// If the patch has a directive that is not known.
pub(crate) fn merge(before: &Value, patch: &Value, keys: &ListKeys) -> Result<Value, Failure> {
    let mut wanted = unversioned(before);
    merge_value(&mut wanted, patch, keys, "")?;
    Ok(wanted)
}

fn merge_value(tree: &mut Value, patch: &Value, keys: &ListKeys, path: &str) -> Result<(), Failure> {
    match patch {
        Value::Object(patch) => {
            if !tree.is_object() {
                *tree = Value::Object(Map::new());
            }
            match tree {
                Value::Object(fields) => merge_mapping(fields, patch, keys, path),
                _ => Ok(()),
            }
        }
        Value::Array(items) => {
            match (tree.as_array_mut(), keys.of(path)) {
                (Some(list), Some(names)) => merge_list(list, items, names, keys, path)?,
                (_, Some(names)) => {
                    let mut list = Vec::new();
                    merge_list(&mut list, items, names, keys, path)?;
                    *tree = Value::Array(list);
                }
                (_, None) => *tree = patch.clone(),
            }
            Ok(())
        }
        other => {
            *tree = other.clone();
            Ok(())
        }
    }
}

fn merge_mapping(
    fields: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    keys: &ListKeys,
    path: &str,
) -> Result<(), Failure> {
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *fields = patch.iter().filter(|(name, _)| *name != "$patch").map(owned).collect();
            return Ok(());
        }
        Some("delete") => {
            fields.clear();
            return Ok(());
        }
        Some(other) => return Err(Failure::bad_request(format!("unknown directive $patch: {other}"))),
    }
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        fields.retain(|name, _| kept.iter().any(|one| one.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(items) = fields.get_mut(list).and_then(Value::as_array_mut) {
                let gone = value.as_array().map(Vec::as_slice).unwrap_or_default();
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if name.starts_with('$') {
            // The order of items is looked at when the items are there.
            continue;
        }
        match value {
            Value::Null => drop(fields.remove(name)),
            value => {
                let slot = fields.entry(name.clone()).or_insert(Value::Null);
                merge_value(slot, value, keys, &below(path, name))?;
            }
        }
    }
    for (name, order) in patch {
        if let (Some(list), Some(order)) = (name.strip_prefix("$setElementOrder/"), order.as_array())
            && let Some(items) = fields.get_mut(list).and_then(Value::as_array_mut)
        {
            let names = keys.of(&below(path, list)).unwrap_or_default();
            let place =
                |item: &Value| order.iter().position(|one| is_same(one, item, names)).unwrap_or(usize::MAX);
            items.sort_by_key(place);
        }
    }
    Ok(())
}

fn merge_list(
    list: &mut Vec<Value>,
    patch: &[Value],
    names: &[&str],
    keys: &ListKeys,
    path: &str,
) -> Result<(), Failure> {
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        *list = patch.iter().filter(|item| directive(item).is_none()).cloned().collect();
        return Ok(());
    }
    for item in patch {
        let at = list.iter().position(|known| is_same(known, item, names));
        match (directive(item).as_deref(), at) {
            (Some("delete"), Some(at)) => drop(list.remove(at)),
            (Some("delete"), None) => {}
            (_, Some(at)) => {
                if let Some(known) = list.get_mut(at) {
                    merge_value(known, item, keys, path)?;
                }
            }
            (_, None) => {
                let mut new = Value::Null;
                merge_value(&mut new, item, keys, path)?;
                list.push(new);
            }
        }
    }
    Ok(())
}

/// The same item: where it has no fields of a key, the same value. A key that an item does not name is not compared:
/// a patch of the ports of a Service names the port and perhaps not the protocol.
fn is_same(one: &Value, other: &Value, names: &[&str]) -> bool {
    if !one.is_object() || !other.is_object() {
        return one == other;
    }
    let mut n_compared = 0;
    names.iter().all(|name| match (one.get(name), other.get(name)) {
        (Some(one), Some(other)) => {
            n_compared += 1;
            one == other
        }
        _ => true,
    }) && n_compared > 0
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(before: Value, patch: Value, expected: Value) {
        let keys = ListKeys::new(&[("spec.ports", &["port", "protocol"])]);
        assert_eq!(merge(&before, &patch, &keys).unwrap(), expected);
    }

    #[test]
    fn lists_with_keys_merge_and_others_are_replaced() {
        check(
            json!({"spec": {"ports": [{"port": 1, "protocol": "TCP", "name": "a"}, {"port": 2}], "x": [1]}}),
            json!({"spec": {"ports": [{"port": 1, "name": "b"}, {"port": 3}], "x": [2]}}),
            json!({"spec": {"ports": [{"port": 1, "protocol": "TCP", "name": "b"}, {"port": 2}, {"port": 3}], "x": [2]}}),
        );
        check(
            json!({"spec": {"ports": [{"port": 1}, {"port": 2}]}}),
            json!({"spec": {"ports": [{"port": 1, "$patch": "delete"}, {"port": 3}],
                "$setElementOrder/ports": [{"port": 3}, {"port": 2}]}}),
            json!({"spec": {"ports": [{"port": 3}, {"port": 2}]}}),
        );
    }

    #[test]
    fn directives_replace_delete_and_keep() {
        check(json!({"a": {"b": 1}}), json!({"a": {"$patch": "replace", "c": 2}}), json!({"a": {"c": 2}}));
        check(
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"$retainKeys": ["c"], "c": 3}}),
            json!({"a": {"c": 3}}),
        );
        check(json!({"a": [1, 2]}), json!({"$deleteFromPrimitiveList/a": [1]}), json!({"a": [2]}));
        check(json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2}));
        let wrong = json!({"a": {"$patch": "other"}});
        assert!(merge(&json!({}), &wrong, &ListKeys::default()).is_err());
    }
}
