//! Objects of every kind of the Gateway API: valid ones, and such as break one limit or rule, or two. The table of
//! fields says what can be broken; the same objects are made every time.

use std::collections::HashSet;

use igw_crds::limits::FIELDS;
use igw_crds::objects::Kind;
use serde_json::{Map, Value, json};

/// One case: an object to be made, what it is about, and writes after that.
pub struct Case {
    pub name: String,
    pub object: Value,
    pub steps: Vec<Value>,
}

/// One change of a tree: where, and what stands there then; nothing removes it.
#[derive(Clone)]
struct Edit {
    name: String,
    pointer: String,
    value: Option<Value>,
}

/// Every case, in order.
pub fn cases() -> Vec<Case> {
    let seeds: Vec<Value> = serde_json::from_str(include_str!("seeds.json")).expect("seeds");
    let mut cases = Vec::new();
    let mut seen = HashSet::new();
    for (number, seed) in seeds.iter().enumerate() {
        let kind = seed["kind"].as_str().expect("a kind");
        let table = table(kind);
        let content = json!({"spec": seed["spec"]});
        let mut edits = Vec::new();
        walk(&content["spec"], "spec", "/spec", &table, &mut edits);
        edits.push(edit("no spec", "/spec", None));
        edits.push(edit("unknown beside spec", "/more", Some(json!(1))));
        let object = |name: String, content: &Value| Case {
            object: object(kind, &format!("c{number}"), content),
            steps: steps(content),
            name: format!("{kind} {number} {name}"),
        };
        cases.push(object("valid".to_owned(), &content));
        // Rules meet every value that they judge; everything else is done to a field of a kind once.
        let mut place = edits.len();
        edits.retain(|edit| {
            place -= 1;
            seen.insert(format!("{kind} {}", edit.name)) || (edit.name.contains("rule `") && place % 5 == 0)
        });
        for (index, one) in edits.iter().enumerate() {
            let changed = apply(&content, &[one]);
            cases.push(object(one.name.clone(), &changed));
            // Now and then two are wrong.
            let other = &edits[(index * 7 + 3) % edits.len()];
            let is_apart =
                !one.pointer.starts_with(&other.pointer) && !other.pointer.starts_with(&one.pointer);
            if index % 11 == 0 && is_apart {
                let changed = apply(&content, &[one, other]);
                cases.push(object(format!("{} and {}", one.name, other.name), &changed));
            }
        }
    }
    cases
}

/// Lines of the table for a kind: the path of a field and its limits.
fn table(kind: &str) -> Vec<(&'static str, Value)> {
    let lines = FIELDS.lines().filter_map(|line| line.split_once(' '));
    let lines = lines.map(|(path, limits)| (path, serde_json::from_str::<Value>(limits).expect("limits")));
    lines
        .skip_while(|(path, _)| *path != kind)
        .skip(1)
        .take_while(|(_, limits)| limits.get("type").is_some())
        .collect()
}

fn object(kind: &str, name: &str, content: &Value) -> Value {
    let of = Kind::ALL.into_iter().find(|one| one.as_str() == kind).expect("a kind");
    let mut metadata = json!({"name": name});
    if of.is_namespaced() {
        metadata["namespace"] = json!("default");
    }
    let mut object = json!({"apiVersion": of.api_version(), "kind": kind, "metadata": metadata});
    for (name, value) in content.as_object().expect("content") {
        object[name] = value.clone();
    }
    object
}

/// Writes after the first: metadata alone, nothing, a change of content, and the content of before.
fn steps(content: &Value) -> Vec<Value> {
    let mut steps =
        vec![json!({"merge": {"metadata": {"labels": {"a": "b"}}}}), json!({"merge": {"spec": {}}})];
    let spec = content["spec"].as_object().cloned().unwrap_or_default();
    if let Some(name) = ["hostnames", "description", "parentRefs", "addresses", "options"]
        .into_iter()
        .find(|name| spec.contains_key(*name))
    {
        steps.push(json!({"merge": {"spec": {name: null}}}));
    }
    if spec.contains_key("controllerName") {
        steps.push(json!({"merge": {"spec": {"controllerName": "example.net/other"}}}));
    }
    if spec.contains_key("rules") {
        steps.push(json!({"merge": {"spec": {"rules": []}}}));
        let rules = json!([{"backendRefs": [{"name": "z", "port": 9}]}]);
        steps.push(json!({"merge": {"spec": {"rules": rules}}}));
    }
    steps.push(json!({"put": content}));
    steps
}

fn apply(content: &Value, edits: &[&Edit]) -> Value {
    let mut changed = content.clone();
    for edit in edits {
        let (parent, name) = edit.pointer.rsplit_once('/').expect("a pointer");
        let name = name.replace("~1", "/").replace("~0", "~");
        match (changed.pointer_mut(parent), &edit.value) {
            (Some(Value::Object(fields)), Some(value)) => {
                fields.insert(name, value.clone());
            }
            (Some(Value::Object(fields)), None) => {
                fields.remove(&name);
            }
            (Some(Value::Array(items)), value) => {
                let index: usize = name.parse().expect("an index");
                match value {
                    Some(value) if index < items.len() => items[index] = value.clone(),
                    Some(value) => items.push(value.clone()),
                    None => drop(items.remove(index)),
                }
            }
            _ => {}
        }
    }
    changed
}

fn edit(name: impl Into<String>, pointer: &str, value: Option<Value>) -> Edit {
    Edit { name: name.into(), pointer: pointer.to_owned(), value }
}

/// Everything that can be done to a value and what is below it.
fn walk(value: &Value, path: &str, pointer: &str, table: &[(&str, Value)], edits: &mut Vec<Edit>) {
    let Some((_, limits)) = table.iter().find(|(known, _)| *known == path) else { return };
    let mut to = |what: &str, value: Value| edits.push(edit(format!("{path}: {what}"), pointer, Some(value)));
    to("null", Value::Null);
    match limits["type"].as_str() {
        Some("string") => {
            to("a number", json!(5));
            if let Some(text) = value.as_str() {
                strings(text, limits, &mut to);
            }
        }
        Some("integer") => {
            to("text", json!("80"));
            to("a fraction", json!(1.5));
            to("huge", json!(5_000_000_000_u64));
            for bound in ["minimum", "maximum"] {
                if let Some(bound_at) = limits[bound].as_i64() {
                    to(bound, json!(bound_at));
                    to("beyond", json!(if bound == "minimum" { bound_at - 1 } else { bound_at + 1 }));
                }
            }
        }
        Some("boolean") => to("text", json!("true")),
        Some("array") => {
            to("text", json!("x"));
            to("empty", json!([]));
            let items = value.as_array().cloned().unwrap_or_default();
            if let Some(first) = items.first() {
                to("twice the first", Value::Array([items.as_slice(), std::slice::from_ref(first)].concat()));
                to("a null item", Value::Array([items.as_slice(), &[Value::Null]].concat()));
                if let Some(max) = limits["maxItems"].as_u64() {
                    let many = |n: u64| (0..n).map(|index| numbered(first, index)).collect::<Vec<_>>();
                    to("as many as allowed", Value::Array(many(max)));
                    to("one too many", Value::Array(many(max + 1)));
                }
            }
        }
        _ => {
            to("text", json!("x"));
            to("a list", json!([]));
            to("empty", json!({}));
            if let Some(max) = limits["maxProperties"].as_u64() {
                let many = (0..=max).map(|index| (format!("k{index}"), json!("v")));
                to("one too many", Value::Object(many.collect::<Map<_, _>>()));
            }
        }
    }
    for word in limits["enum"].as_array().into_iter().flatten() {
        to(&format!("value {word}"), word.clone());
    }
    for rule in limits["rules"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        super::rules::breaks(rule, value, &mut to);
    }
    match value {
        Value::Object(fields) => {
            edits.push(edit(
                format!("{path}: unknown field"),
                &format!("{pointer}/nope"),
                Some(json!({"a": 1})),
            ));
            for (name, value) in fields {
                let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                edits.push(edit(format!("{path}: without {name}"), &below, None));
                let free = format!("{path}{{}}");
                let is_free = table.iter().any(|(known, _)| *known == free);
                let path = if is_free { free } else { format!("{path}.{name}") };
                walk(value, &path, &below, table, edits);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[]"), &format!("{pointer}/{index}"), table, edits);
            }
        }
        _ => {}
    }
}

fn strings(text: &str, limits: &Value, to: &mut impl FnMut(&str, Value)) {
    to("empty", json!(""));
    if let Some(max) = limits["maxLength"].as_u64() {
        let max = usize::try_from(max).expect("a length");
        let fill = text.chars().next().unwrap_or('a').to_string();
        to("as long as allowed", json!(fill.repeat(max)));
        to("too long", json!(fill.repeat(max + 1)));
        to("many bytes", json!("é".repeat(max)));
    }
    if limits.get("pattern").is_some() {
        for strange in ["-", "A_b", "a b", "*", "1.2.3.4", "9s"] {
            to(&format!("value {strange:?}"), json!(strange));
        }
    }
}

/// An item like another, told apart where items must be.
fn numbered(item: &Value, index: u64) -> Value {
    let mut item = item.clone();
    match &mut item {
        Value::String(text) => *text = format!("{text}{index}"),
        Value::Number(_) => item = json!(400 + index),
        Value::Object(fields) => {
            for name in ["name", "value", "port"] {
                match fields.get_mut(name) {
                    Some(Value::String(text)) if text.as_str() != "10.0.0.1" => {
                        *text = format!("{text}{index}")
                    }
                    Some(Value::String(text)) => *text = format!("10.0.0.{index}"),
                    Some(port @ Value::Number(_)) => *port = json!(1 + index),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    item
}
