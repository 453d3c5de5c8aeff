//! Sets of fields, in the form in which Kubernetes writes them: `{"f:spec": {"f:listeners": {"k:{\"name\":\"a\"}": {}}}}`.
//!
//! A field without anything below it is in the set. `.` stands for an item itself, beside its fields.

use serde_json::{Map, Value};

use crate::list_keys::ListKeys;

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(pub(crate) Map<String, Value>);

/// What differs between two states of an object.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Fields that are new or have another value.
    pub(crate) set: Fields,
    /// Fields that are gone.
    pub(crate) gone: Fields,
}

// === impl Fields ===

impl Fields {
    /// Fields of an object.
    pub(crate) fn of(object: &Value, keys: &ListKeys) -> Self {
        match fields_of(object, keys, "") {
            Value::Object(fields) => Self(fields),
            _ => Self::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        union(&mut self.0, &other.0);
    }

    pub(crate) fn remove(&mut self, other: &Self) {
        subtract(&mut self.0, &other.0);
    }

    /// Paths that stand in both, each as far as it is the same.
    pub(crate) fn shared(&self, other: &Self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        shared(&self.0, &other.0, &mut Vec::new(), &mut paths);
        paths
    }

    /// The path, or one above it or below it, is in the set.
    pub(crate) fn touches(&self, path: &[String]) -> bool {
        let mut node = &self.0;
        for step in path {
            match node.get(step).and_then(Value::as_object) {
                None => return false,
                Some(below) if below.is_empty() => return true,
                Some(below) => node = below,
            }
        }
        true
    }

    /// The path, or one below it, is in the set.
    pub(crate) fn has(&self, path: &[String]) -> bool {
        let mut node = Some(&self.0);
        for step in path {
            node = node.and_then(|node| node.get(step)).and_then(Value::as_object);
        }
        node.is_some()
    }

    /// Paths of this set that are not in another, each by itself.
    pub(crate) fn paths_beyond(&self, other: &Self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        leaves(&self.0, &mut Vec::new(), &mut paths);
        paths.retain(|path| !other.has(path));
        paths
    }

    /// A set of one path.
    pub(crate) fn one(path: &[String]) -> Self {
        let mut node = Map::new();
        for step in path.iter().rev() {
            node = Map::from_iter([(step.clone(), Value::Object(node))]);
        }
        Self(node)
    }
}

// === impl Difference ===

impl Difference {
    pub(crate) fn between(before: &Value, after: &Value, keys: &ListKeys) -> Self {
        let mut difference = Self::default();
        compare(before, after, keys, "", &mut difference.set.0, &mut difference.gone.0);
        difference
    }
}

/// The key of an item as a step of a path.
pub(crate) fn step_of(item: &Value, names: &[&str]) -> String {
    let key = names.iter().filter_map(|name| Some(((*name).to_owned(), item.get(name)?.clone())));
    format!("k:{}", Value::Object(key.collect()))
}

/// The path of a list within, as [`ListKeys`] names it.
pub(crate) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn fields_of(tree: &Value, keys: &ListKeys, path: &str) -> Value {
    let mut fields = Map::new();
    match (tree, keys.of(path)) {
        (Value::Object(map), _) => {
            for (name, value) in map {
                let path = below(path, name);
                // A list of items with keys is nobody's while it is empty: its items have owners.
                let is_nobodys = keys.of(&path).is_some() && value.as_array().is_some_and(Vec::is_empty);
                if !is_nobodys {
                    fields.insert(format!("f:{name}"), fields_of(value, keys, &path));
                }
            }
        }
        (Value::Array(items), Some(names)) => {
            for item in items {
                let mut own = match fields_of(item, keys, path) {
                    Value::Object(own) => own,
                    _ => Map::new(),
                };
                own.insert(".".to_owned(), Value::Object(Map::new()));
                fields.insert(step_of(item, names), Value::Object(own));
            }
        }
        _ => {}
    }
    Value::Object(fields)
}

fn compare(
    before: &Value,
    after: &Value,
    keys: &ListKeys,
    path: &str,
    set: &mut Map<String, Value>,
    gone: &mut Map<String, Value>,
) {
    let mut step = |step: String, before: Option<&Value>, after: Option<&Value>, path: &str| {
        let is_item = step.starts_with("k:");
        let whole = |tree: &Value| {
            let mut fields = fields_of(tree, keys, path);
            if let (true, Some(fields)) = (is_item, fields.as_object_mut()) {
                fields.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields
        };
        let is_nobodys =
            |tree: &&Value| !is_item && keys.of(path).is_some() && tree.as_array().is_some_and(Vec::is_empty);
        match (before.filter(|tree| !is_nobodys(tree)), after.filter(|tree| !is_nobodys(tree))) {
            (None, Some(after)) => drop(set.insert(step, whole(after))),
            (Some(before), None) => drop(gone.insert(step, whole(before))),
            (Some(before), Some(after)) if before != after => {
                let is_list = before.is_array() && after.is_array() && keys.of(path).is_some();
                if (before.is_object() && after.is_object()) || is_list {
                    let (mut inner_set, mut inner_gone) = (Map::new(), Map::new());
                    compare(before, after, keys, path, &mut inner_set, &mut inner_gone);
                    if !inner_set.is_empty() {
                        set.insert(step.clone(), Value::Object(inner_set));
                    }
                    if !inner_gone.is_empty() {
                        gone.insert(step, Value::Object(inner_gone));
                    }
                } else {
                    gone.insert(step.clone(), whole(before));
                    set.insert(step, whole(after));
                }
            }
            _ => {}
        }
    };
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in one {
                step(format!("f:{name}"), Some(value), other.get(name), &below(path, name));
            }
            for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
                step(format!("f:{name}"), None, Some(value), &below(path, name));
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            let names = keys.of(path).unwrap_or_default();
            let find =
                |list: &[Value], wanted: &str| list.iter().position(|item| step_of(item, names) == wanted);
            for item in one {
                let key = step_of(item, names);
                let after = find(other, &key).and_then(|at| other.get(at));
                step(key, Some(item), after, path);
            }
            for item in other {
                let key = step_of(item, names);
                if find(one, &key).is_none() {
                    step(key, None, Some(item), path);
                }
            }
        }
        _ => {}
    }
}

fn union(one: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (step, below) in other {
        match (one.get_mut(step), below) {
            (Some(Value::Object(known)), Value::Object(below)) => union(known, below),
            _ => drop(one.insert(step.clone(), below.clone())),
        }
    }
}

fn subtract(one: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (step, below) in other {
        let Some(below) = below.as_object() else { continue };
        let is_gone = match one.get_mut(step) {
            Some(Value::Object(known)) if !below.is_empty() && !known.is_empty() => {
                subtract(known, below);
                known.is_empty()
            }
            Some(_) => true,
            None => false,
        };
        if is_gone {
            one.remove(step);
        }
    }
}

fn shared(
    one: &Map<String, Value>,
    other: &Map<String, Value>,
    path: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) {
    for (step, below) in one {
        let (Some(below), Some(theirs)) = (below.as_object(), other.get(step).and_then(Value::as_object))
        else {
            continue;
        };
        path.push(step.clone());
        match below.is_empty() || theirs.is_empty() {
            true if step != "." => paths.push(path.clone()),
            true => {}
            false => shared(below, theirs, path, paths),
        }
        path.pop();
    }
}

fn leaves(node: &Map<String, Value>, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    for (step, below) in node {
        path.push(step.clone());
        match below.as_object() {
            Some(below) if !below.is_empty() => leaves(below, path, paths),
            _ => paths.push(path.clone()),
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys() -> ListKeys {
        ListKeys::new(&[("spec.listeners", &["name"])])
    }

    #[test]
    fn sets_follow_objects_and_their_keys() {
        let object = json!({"spec": {"listeners": [{"name": "a", "port": 1}], "list": [1, 2]}});
        let expected = json!({"f:spec": {
            "f:list": {},
            "f:listeners": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:port": {}}},
        }});
        assert_eq!(Value::Object(Fields::of(&object, &keys()).0), expected);
    }

    #[test]
    fn differences_are_fields_that_changed() {
        let before = json!({"spec": {"listeners": [{"name": "a", "port": 1}, {"name": "b"}], "x": 1}});
        let after = json!({"spec": {"listeners": [{"name": "a", "port": 2}], "y": [3]}});
        let difference = Difference::between(&before, &after, &keys());
        let set = json!({"f:spec": {"f:listeners": {"k:{\"name\":\"a\"}": {"f:port": {}}}, "f:y": {}}});
        assert_eq!(Value::Object(difference.set.0.clone()), set);
        assert!(difference.gone.touches(&["f:spec".to_owned(), "f:x".to_owned()]));
        assert!(!difference.set.touches(&["f:spec".to_owned(), "f:x".to_owned()]));
        let mut owned = Fields::of(&before, &keys());
        owned.remove(&difference.gone);
        assert!(!owned.touches(&["f:spec".to_owned(), "f:x".to_owned()]));
        assert!(owned.touches(&["f:spec".to_owned(), "f:listeners".to_owned()]));
    }
}
