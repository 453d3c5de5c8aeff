//! Items of lists that stand twice.

use std::collections::HashMap;

use serde_json::Value;

use super::path::Path;
use super::table::Field;
use crate::validate::Problem;
use crate::yaml::Fault;

/// Every item whose key, or which itself, stands in its list before.
pub(super) fn check(value: &Value, field: &Field, path: &mut Path, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(below) = field.property(name) {
                    path.within(name, |path| check(value, below, path, problems));
                }
            }
        }
        Value::Array(items) => {
            twice(items, field, path, problems);
            if let Some(below) = &field.items {
                for (index, item) in items.iter().enumerate() {
                    path.at(index, |path| check(item, below, path, problems));
                }
            }
        }
        _ => {}
    }
}

fn twice(items: &[Value], field: &Field, path: &mut Path, problems: &mut Vec<Problem>) {
    let keys = &field.limits.keys;
    let identity: Box<dyn Fn(&Value) -> String> = match keys.as_slice() {
        _ if field.limits.set => Box::new(Value::to_string),
        [] => return,
        keys => {
            if let Some(index) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
                // What is no mapping has no key: nothing else is said of the list.
                let message = "expected a mapping".to_owned();
                path.at(index, |path| problems.push(Problem::new(path.as_str(), Fault::Invalid, message)));
                return;
            }
            let part = |item: &Value, key: &String| item.get(key).map(Value::to_string).unwrap_or_default();
            Box::new(move |item| keys.iter().map(|key| part(item, key)).collect::<Vec<_>>().join("\n"))
        }
    };
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let n_before = seen.entry(identity(item)).or_default();
        *n_before += 1;
        // A third one is told with the second.
        if *n_before == 2 {
            let name = match keys.as_slice() {
                [key] => item.get(key).unwrap_or(item),
                _ => item,
            };
            let shown = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            path.at(index, |path| {
                let message = format!("`{shown}` stands twice");
                let mut problem = Problem::new(path.as_str(), Fault::Duplicate, message);
                if let [key] = keys.as_slice() {
                    problem.is_at(&path.child(key));
                }
                problem.hints("remove one of the two, or give it a name of its own");
                problems.push(problem);
            });
        }
    }
}
