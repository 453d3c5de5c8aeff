//! The table of fields, read once.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::Value;

use super::pattern::{Pattern, Patterns};
use super::rules::Rule;
use crate::objects::Kind;

/// A field with everything below it.
#[derive(Debug, Default)]
pub(super) struct Field {
    pub(super) limits: Limits,
    pub(super) pattern: Option<Arc<Pattern>>,
    pub(super) rules: Vec<Rule>,
    pub(super) properties: BTreeMap<String, Field>,
    /// What the items of a list are.
    pub(super) items: Option<Box<Field>>,
    /// What the values of a mapping are whose names are free.
    pub(super) values: Option<Box<Field>>,
}

/// Limits of one field, as the table writes them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) r#type: Option<Type>,
    /// Of numbers: `int32`.
    pub(super) format: Option<String>,
    pub(super) required: Vec<String>,
    pub(super) r#enum: Vec<Value>,
    pub(super) default: Option<Value>,
    pub(super) minimum: Option<i64>,
    pub(super) maximum: Option<i64>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    pattern: Option<String>,
    pub(super) min_items: Option<usize>,
    pub(super) max_items: Option<usize>,
    pub(super) max_properties: Option<usize>,
    /// Names of the fields that tell items of a list apart.
    pub(super) keys: Vec<String>,
    /// No item stands twice.
    pub(super) set: bool,
    /// `address`: of a Gateway.
    pub(super) form: Option<String>,
    rules: Vec<String>,
}

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    Array,
    Boolean,
    Integer,
    Object,
    String,
}

static TABLE: LazyLock<BTreeMap<Kind, Field>> = LazyLock::new(|| parse(super::FIELDS));

/// The content of a kind of the Gateway API.
pub(super) fn of(kind: Kind) -> Option<&'static Field> {
    TABLE.get(&kind)
}

/// Every rule of the table with its kind and field.
pub(super) fn rules() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut kind = "";
    for line in super::FIELDS.lines() {
        let Some((path, limits)) = line.split_once(' ') else { continue };
        let limits: Limits = serde_json::from_str(limits).unwrap_or_default();
        if limits.r#type.is_none() {
            kind = path;
        }
        found.extend(limits.rules.into_iter().map(|rule| (rule, format!("{kind} {path}"))));
    }
    found
}

fn parse(text: &str) -> BTreeMap<Kind, Field> {
    let mut kinds = BTreeMap::new();
    let mut patterns = Patterns::default();
    let mut current: Option<(Kind, Field)> = None;
    for line in text.lines() {
        let Some((path, limits)) = line.split_once(' ') else { continue };
        let limits: Limits = serde_json::from_str(limits).unwrap_or_default();
        let is_kind = limits.r#type.is_none();
        let field = Field::new(limits, &mut patterns);
        if is_kind {
            kinds.extend(current.take());
            current = Kind::ALL.into_iter().find(|kind| kind.as_str() == path).map(|kind| (kind, field));
        } else if let Some((_, root)) = &mut current {
            root.put(path, field);
        }
    }
    kinds.extend(current);
    kinds
}

// === impl Field ===

impl Field {
    fn new(mut limits: Limits, patterns: &mut Patterns) -> Self {
        Self {
            pattern: limits.pattern.take().map(|text| patterns.share(text)),
            rules: limits.rules.iter().filter_map(|rule| Rule::parse(rule)).collect(),
            limits,
            ..Self::default()
        }
    }

    /// The field of a name in a mapping.
    pub(super) fn property(&self, name: &str) -> Option<&Field> {
        self.properties.get(name).or(self.values.as_deref())
    }

    /// Rules stand here or below.
    pub(super) fn has_rules(&self) -> bool {
        let below = self.properties.values().chain(self.items.as_deref()).chain(self.values.as_deref());
        !self.rules.is_empty() || below.into_iter().any(Field::has_rules)
    }

    /// Puts a field at its path.
    fn put(&mut self, path: &str, field: Field) {
        if let Some(rest) = path.strip_prefix("[]") {
            return self.items.get_or_insert_default().put(rest, field);
        }
        if let Some(rest) = path.strip_prefix("{}") {
            return self.values.get_or_insert_default().put(rest, field);
        }
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            *self = field;
            return;
        }
        let end = path.find(['.', '[', '{']).unwrap_or(path.len());
        let (name, rest) = path.split_at(end);
        self.properties.entry(name.to_owned()).or_default().put(rest, field);
    }
}

// === impl Type ===

impl Type {
    /// Whether a value is of the type.
    pub(super) fn has(self, value: &Value) -> bool {
        match self {
            Self::Array => value.is_array(),
            Self::Boolean => value.is_boolean(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Object => value.is_object(),
            Self::String => value.is_string(),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Array => "a sequence",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Object => "a mapping",
            Self::String => "text",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_understood() {
        for line in super::super::FIELDS.lines() {
            let (path, limits) = line.split_once(' ').expect("a path and its limits");
            let limits: Limits =
                serde_json::from_str(limits).unwrap_or_else(|error| panic!("{path}: {error}"));
            for rule in &limits.rules {
                assert!(Rule::parse(rule).is_some(), "{path}: rule `{rule}`");
            }
        }
        let route = of(Kind::HttpRoute).expect("a route");
        let names = &route.properties["spec"].properties["rules"].items.as_ref().expect("rules").properties;
        assert_eq!(names["matches"].limits.max_items, Some(64));
        assert!(of(Kind::Secret).is_none());
    }
}
