//! What a server removes from an object and adds to it before it judges it.

use serde_json::{Number, Value};

use super::path::Path;
use super::table::{Field, Type};

/// Removes fields that are not known, and tells their paths.
pub(super) fn prune(tree: &mut Value, field: Option<&Field>, path: &mut Path, unknown: &mut Vec<String>) {
    match tree {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                if path.as_str().is_empty() && ENVELOPE.contains(&name.as_str()) {
                    return true;
                }
                let Some(below) = field.and_then(|field| field.property(name)) else {
                    unknown.push(path.child(name));
                    return false;
                };
                path.within(name, |path| prune(value, Some(below), path, unknown));
                true
            });
        }
        Value::Array(items) => {
            let below = field.and_then(|field| field.items.as_deref());
            for (index, item) in items.iter_mut().enumerate() {
                path.at(index, |path| prune(item, below, path, unknown));
            }
        }
        _ => {}
    }
}

/// Adds defaults. A field that is null is as good as absent.
pub(super) fn fill(tree: &mut Value, field: &Field) {
    match tree {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            for (name, below) in &field.properties {
                if let Some(default) = &below.limits.default
                    && !fields.contains_key(name)
                {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields {
                if let Some(below) = field.property(name) {
                    fill(value, below);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &field.items {
                items.iter_mut().for_each(|item| fill(item, below));
            }
        }
        // 80.0 is a whole number too.
        Value::Number(number) if field.limits.r#type == Some(Type::Integer) => {
            if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(as_whole) {
                *tree = Value::Number(whole);
            }
        }
        _ => {}
    }
}

fn as_whole(value: f64) -> Option<Number> {
    let is_whole = value.fract() == 0.0 && value.abs() < WHOLE_MAX;
    // Every whole number below the bound is one of `i64`.
    is_whole.then(|| format!("{value:.0}").parse::<i64>().ok().map(Number::from)).flatten()
}

/// What is not content.
const ENVELOPE: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];
/// Floating-point numbers are exact below it: 2^53.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
