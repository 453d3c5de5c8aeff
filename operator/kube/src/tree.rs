//! Walks in trees of JSON.

use serde_json::{Map, Value};

/// What stands at a path of names, like `spec.gatewayClassName`, with `[0]` for items.
pub(crate) fn at<'t>(tree: &'t Value, path: &str) -> Option<&'t Value> {
    path.split('.').try_fold(tree, |node, part| {
        let (name, indices) = part.split_once('[').unwrap_or((part, ""));
        let node = if name.is_empty() { node } else { node.get(name)? };
        indices
            .split(['[', ']'])
            .filter_map(|index| index.parse::<usize>().ok())
            .try_fold(node, |node, index| node.get(index))
    })
}

/// The text at a path.
pub(crate) fn text<'t>(tree: &'t Value, path: &str) -> &'t str {
    at(tree, path).and_then(Value::as_str).unwrap_or_default()
}

/// Edits the mapping under a name, which is made if it is absent or no mapping.
pub(crate) fn edit_mapping<R>(
    fields: &mut Map<String, Value>,
    name: &str,
    edit: impl FnOnce(&mut Map<String, Value>) -> R,
) -> R {
    let mut map = match fields.remove(name) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let result = edit(&mut map);
    fields.insert(name.to_owned(), Value::Object(map));
    result
}

/// How deep a tree is nested.
pub(crate) fn depth(tree: &Value) -> usize {
    match tree {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// About how much memory a tree takes.
pub(crate) fn weight(tree: &Value) -> usize {
    const NODE: usize = 32;
    match tree {
        Value::Object(fields) => fields.iter().map(|(name, value)| NODE + name.len() + weight(value)).sum(),
        Value::Array(items) => items.iter().map(|item| NODE + weight(item)).sum(),
        Value::String(text) => text.len(),
        _ => 0,
    }
}

/// Removes every field that is null: to a server a null field is absent.
pub(crate) fn drop_nulls(tree: &mut Value) {
    match tree {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Removes what stands at a path as findings name it. Names may have dots.
pub(crate) fn remove(tree: &mut Value, path: &str) -> bool {
    match tree {
        Value::Object(fields) => {
            if fields.remove(path).is_some() {
                return true;
            }
            fields.iter_mut().any(|(name, value)| match path.strip_prefix(name.as_str()) {
                Some(rest) if rest.starts_with('.') => remove(value, rest.get(1..).unwrap_or_default()),
                Some(rest) if rest.starts_with('[') => remove(value, rest),
                _ => false,
            })
        }
        Value::Array(items) => {
            let Some((index, rest)) = path.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
                return false;
            };
            let item = index.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            item.is_some_and(|item| remove(item, rest.strip_prefix('.').unwrap_or(rest)))
        }
        _ => false,
    }
}

/// Adds to `tree` what `full` has more. What is there stays as it is.
pub(crate) fn fill(tree: &mut Value, full: &Value) {
    match (tree, full) {
        (Value::Object(fields), Value::Object(more)) => {
            for (name, value) in more {
                match fields.get_mut(name) {
                    Some(known) => fill(known, value),
                    None => {
                        fields.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(items), Value::Array(more)) if items.len() == more.len() => {
            items.iter_mut().zip(more).for_each(|(item, more)| fill(item, more));
        }
        _ => {}
    }
}

/// Two trees say the same, where what is empty or null is as good as absent.
pub(crate) fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let covers = |these: &Map<String, Value>, those: &Map<String, Value>| {
                these.iter().all(|(name, value)| match those.get(name) {
                    Some(other) => alike(value, other),
                    None => is_empty(value),
                })
            };
            covers(one, other) && other.iter().all(|(name, value)| one.contains_key(name) || is_empty(value))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        _ => one == other || (is_empty(one) && is_empty(other)),
    }
}

fn is_empty(tree: &Value) -> bool {
    match tree {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_with_items_and_dots_are_found() {
        let mut tree = json!({"a": {"b.c": [{"d": 1, "e.f": 2}]}});
        assert_eq!(at(&tree, "a").and_then(|a| a.get("b.c")), Some(&json!([{"d": 1, "e.f": 2}])));
        assert!(remove(&mut tree, "a.b.c[0].e.f"));
        assert!(!remove(&mut tree, "a.b.c[1].d"));
        assert_eq!(tree, json!({"a": {"b.c": [{"d": 1}]}}));
        assert_eq!(at(&json!({"a": [{"b": 3}]}), "a[0].b"), Some(&json!(3)));
    }

    #[test]
    fn what_is_there_stays_and_what_is_empty_is_as_good_as_absent() {
        let mut tree = json!({"a": [{"x": 1}], "b": []});
        fill(&mut tree, &json!({"a": [{"x": 2, "y": 3}], "b": [1], "c": true}));
        assert_eq!(tree, json!({"a": [{"x": 1, "y": 3}], "b": [], "c": true}));
        assert!(alike(&json!({"a": 1, "b": []}), &json!({"a": 1, "c": null})));
        assert!(!alike(&json!({"a": 1, "b": [0]}), &json!({"a": 1})));
    }
}
