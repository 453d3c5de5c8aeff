//! Types and bounds of fields.

use std::net::IpAddr;

use serde_json::Value;

use super::path::Path;
use super::table::{Field, Type};
use crate::validate::Problem;
use crate::yaml::Fault;

/// Every bound that is broken at a place and below.
pub(super) fn check(value: &Value, field: &Field, path: &mut Path, problems: &mut Vec<Problem>) {
    let limits = &field.limits;
    if let Some(wanted) = limits.r#type.filter(|wanted| !wanted.has(value)) {
        let message = format!("{}, expected {}", what(value), wanted.as_str());
        problems.push(Problem::new(path.as_str(), Fault::Type, message));
    }
    match value {
        Value::String(text) => self::text(text, field, path, problems),
        Value::Number(_) => number(value, field, path, problems),
        Value::Array(items) => {
            count(items.len(), limits.min_items, limits.max_items, "items", path, problems);
            if let Some(below) = &field.items {
                for (index, item) in items.iter().enumerate() {
                    path.at(index, |path| check(item, below, path, problems));
                }
            }
        }
        Value::Object(fields) => {
            count(fields.len(), None, limits.max_properties, "entries", path, problems);
            for (name, value) in fields {
                if let Some(below) = field.property(name) {
                    path.within(name, |path| check(value, below, path, problems));
                }
            }
            for name in limits.required.iter().filter(|name| !fields.contains_key(*name)) {
                let mut problem =
                    Problem::new(path.child(name), Fault::Missing, format!("field `{name}` is missing"));
                problem.hints(format!("add `{name}`"));
                problems.push(problem);
            }
            if limits.form.is_some() {
                address(value, path, problems);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    if !limits.r#enum.is_empty() && !limits.r#enum.contains(value) {
        let words =
            limits.r#enum.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned));
        let allowed = words.collect::<Vec<_>>().join(", ");
        let message =
            format!("unknown value `{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let mut problem = Problem::new(path.as_str(), Fault::Unsupported, message);
        problem.allows(allowed);
        problems.push(problem);
    }
}

/// The first bound of a text that is broken.
fn text(text: &str, field: &Field, path: &Path, problems: &mut Vec<Problem>) {
    let limits = &field.limits;
    let length = text.chars().count();
    let (min, max) = (limits.min_length.unwrap_or(0), limits.max_length.unwrap_or(usize::MAX));
    let problem = if length > max {
        let mut problem = Problem::new(path.as_str(), Fault::TooLong, format!("{length} characters"));
        problem.allows(format!("{min} to {max} characters"));
        problem
    } else if length < min {
        let mut problem = Problem::new(path.as_str(), Fault::TooFew, format!("{length} characters"));
        problem.allows(format!("{min} or more characters"));
        problem
    } else if let Some(pattern) = field.pattern.as_ref().filter(|pattern| !pattern.is_found(text)) {
        let mut problem = Problem::new(path.as_str(), Fault::Invalid, format!("`{text}` is not valid"));
        problem.allows(format!("what matches {}", pattern.text));
        problem
    } else {
        return;
    };
    problems.push(problem);
}

fn number(value: &Value, field: &Field, path: &Path, problems: &mut Vec<Problem>) {
    let limits = &field.limits;
    if limits.r#type != Some(Type::Integer) {
        return;
    }
    let whole = value.as_i64();
    let fits = match (whole, limits.format.as_deref()) {
        (Some(whole), Some("int32")) => i32::try_from(whole).is_ok(),
        (whole, _) => whole.is_some(),
    };
    if !fits {
        // A server names no field here.
        let mut problem =
            Problem::new("", Fault::Invalid, format!("{}: {value} is out of range", path.as_str()));
        problem.is_at(path.as_str());
        problems.push(problem);
    }
    let number = value.as_f64().unwrap_or_default();
    let is_below = limits.minimum.is_some_and(|min| whole.map_or(number < min as f64, |whole| whole < min));
    let is_above = limits.maximum.is_some_and(|max| whole.map_or(number > max as f64, |whole| whole > max));
    if is_below || is_above {
        let mut problem = Problem::new(path.as_str(), Fault::Invalid, format!("{value} is out of range"));
        problem.allows(match (limits.minimum, limits.maximum) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("{min} or more"),
            (None, max) => format!("at most {}", max.unwrap_or_default()),
        });
        problems.push(problem);
    }
}

fn count(
    n_things: usize,
    min: Option<usize>,
    max: Option<usize>,
    what: &str,
    path: &Path,
    problems: &mut Vec<Problem>,
) {
    let (low, high) = (min.unwrap_or(0), max.unwrap_or(usize::MAX));
    let fault = match n_things {
        n_things if n_things < low => Fault::TooFew,
        n_things if n_things > high => Fault::TooMany,
        _ => return,
    };
    let mut problem = Problem::new(path.as_str(), fault, format!("{n_things} {what}"));
    problem.allows(match max {
        Some(max) => format!("{low} to {max} {what}"),
        None => format!("{low} or more {what}"),
    });
    problems.push(problem);
}

/// The value of an address of type IPAddress is one.
fn address(value: &Value, path: &Path, problems: &mut Vec<Problem>) {
    let is_ip = value.get("type").and_then(Value::as_str) == Some("IPAddress");
    let Some(text) = value.get("value").and_then(Value::as_str).filter(|_| is_ip) else { return };
    if text.parse::<IpAddr>().is_err() {
        let field = path.child("value");
        let mut problem = Problem::new(field.as_str(), Fault::Type, format!("`{text}` is no IP address"));
        problem.allows("an IPv4 or IPv6 address");
        problems.push(problem);
        let mut problem = Problem::new("", Fault::Invalid, format!("{field}: `{text}` is no IP address"));
        problem.is_at(&field);
        problems.push(problem);
    }
}

/// A value in words.
fn what(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("boolean `{value}`"),
        Value::Number(value) => format!("number `{value}`"),
        Value::String(value) => format!("string {value:?}"),
        Value::Array(_) => "a sequence".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}
