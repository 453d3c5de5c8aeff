//! Trees between JSON and YAML: a client of an API sends either.

use serde_json::{Map, Number, Value as Json};

use super::decode::{Plain, plain};
use super::tree::{self, Entry, Node, Position, Value};

/// Reads one document as a tree, under the limits of the YAML door; text that is JSON is YAML too.
///
/// # Errors
/// Says where it is no tree, and why.
pub fn parse_value(text: &str) -> Result<Json, String> {
    match tree::parse(text, 0) {
        Ok(root) => Ok(root.to_json()),
        Err(error) => Err(format!("line {}, column {}: {}", error.at.line, error.at.column, error.message)),
    }
}

// === impl Node ===

impl Node {
    /// The tree in JSON.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Hidden => Json::Null,
            Value::Sequence(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Mapping(entries) => Json::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect::<Map<_, _>>(),
            ),
            Value::Scalar { text, is_plain } => match plain(text, *is_plain) {
                Plain::Null => Json::Null,
                Plain::Bool(value) => Json::Bool(value),
                Plain::Signed(value) => value.into(),
                Plain::Unsigned(value) => value.into(),
                Plain::Float(value) => Number::from_f64(value).map_or(Json::Null, Json::Number),
                Plain::Text => Json::String(text.clone()),
            },
        }
    }

    /// The same tree for the door. Every node and every key has a position of its own, by which it is found again.
    pub(super) fn of_json(tree: &Json) -> Self {
        node(tree, &mut 0)
    }
}

fn node(tree: &Json, last: &mut u32) -> Node {
    let mut next = || {
        *last += 1;
        Position { line: *last, column: 1 }
    };
    let at = next();
    let scalar = |text: String, is_plain| Value::Scalar { text, is_plain };
    let value = match tree {
        Json::Null => scalar(String::new(), true),
        Json::Bool(value) => scalar(value.to_string(), true),
        Json::Number(value) => scalar(value.to_string(), true),
        Json::String(text) => scalar(text.clone(), false),
        Json::Array(items) => Value::Sequence(items.iter().map(|item| node(item, last)).collect()),
        Json::Object(fields) => {
            let mut entries = Vec::with_capacity(fields.len());
            for (key, value) in fields {
                *last += 1;
                let at = Position { line: *last, column: 1 };
                entries.push(Entry { key: key.clone(), at, node: node(value, last) });
            }
            Value::Mapping(entries)
        }
    };
    Node { value, at }
}
