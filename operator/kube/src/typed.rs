//! Admission of the kinds of igw: the same types, limits and rules as everywhere, worded as a Kubernetes server does.

use base64::Engine as _;
use igw_crds::objects::names::ObjectName;
use igw_crds::objects::{Kind, Metadata, ObjectKey};
use igw_crds::yaml::{Fault, Mistake, judge};
use serde_json::{Map, Value, json};

use crate::admission::{Admission, Admitted};
use crate::failure::Cause;
use crate::rules;
use crate::tree;

/// Admission of a kind.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) kind: Kind,
    /// Schema of the content.
    pub(crate) schema: Value,
}

// === impl Typed ===

impl Admission for Typed {
    fn admit(&self, object: &mut Value, before: Option<&Value>) -> Admitted {
        let mut content = content_of(object);
        tree::drop_nulls(&mut content);
        if let (Kind::Secret, Some(fields)) = (self.kind, content.as_object_mut()) {
            // Typed clients write an absent type as an empty one.
            fields.retain(|name, value| name != "type" || value.as_str() != Some(""));
        }
        let key = ObjectKey::new(self.kind, tree::text(object, "metadata.namespace"), name_of(object));
        let mut metadata = Metadata::default();
        metadata.name = ObjectName::parse(name_of(object)).ok();
        let verdict = judge(self.kind, &key, metadata, &content, before);
        let mut causes: Vec<Cause> =
            verdict.mistakes.iter().map(|mistake| cause(mistake, &content)).collect();
        match verdict.content {
            Some(_) if verdict.is_unfinished => causes.push(Cause {
                reason: "FieldValueInvalid",
                message: "Invalid value: null: other rules are looked at when these mistakes are corrected"
                    .to_owned(),
                field: NO_FIELD.to_owned(),
            }),
            Some(_) => {}
            None => self.add_missing(&content, &mut causes),
        }
        for path in &verdict.unknown {
            tree::remove(&mut content, path);
        }
        if let Some(completed) = verdict.content {
            content = completed;
        } else if let Some(judged) = verdict.object {
            let mut full = judged.to_value();
            if let Some(fields) = full.as_object_mut() {
                fields.remove("metadata");
            }
            tree::fill(&mut content, &full);
        }
        self.finish(&mut content, before, &mut causes);
        put_back(object, content);
        Admitted { unknown: verdict.unknown, causes }
    }
}

impl Typed {
    /// The types tell of one missing field of a mapping; the schema knows the others.
    fn add_missing(&self, content: &Value, causes: &mut Vec<Cause>) {
        let missing = causes.iter().filter(|cause| cause.reason == REQUIRED);
        let mut more = Vec::new();
        for parent in missing.filter_map(|cause| Some(cause.field.rsplit_once('.')?.0)) {
            let required = required(&self.schema, parent);
            let there = tree::at(content, parent).and_then(Value::as_object);
            let absent =
                required.iter().filter(|name| !there.is_some_and(|there| there.contains_key(**name)));
            more.extend(absent.map(|name| Cause {
                reason: REQUIRED,
                message: "Required value".to_owned(),
                field: format!("{parent}.{name}"),
            }));
        }
        for cause in more {
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
    }

    /// What a server adds to kinds of the core group.
    fn finish(&self, content: &mut Value, before: Option<&Value>, causes: &mut Vec<Cause>) {
        let Some(fields) = content.as_object_mut() else { return };
        match self.kind {
            Kind::Secret => {
                if let Some(Value::Object(texts)) = fields.remove("stringData") {
                    tree::edit_mapping(fields, "data", |data| {
                        for (name, text) in texts {
                            let bytes = text.as_str().unwrap_or_default();
                            let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
                            data.insert(name, encoded.into());
                        }
                    });
                }
                immutable(fields, before, &["data", "type"], causes);
                if let Some(before) = before.filter(|before| before.get("type") != fields.get("type")) {
                    let now = fields.get("type").cloned().unwrap_or_default();
                    causes.push(Cause {
                        reason: "FieldValueInvalid",
                        message: format!(
                            "Invalid value: {now}: field is immutable; it was {}",
                            tree::text(before, "type")
                        ),
                        field: "type".to_owned(),
                    });
                }
            }
            Kind::ConfigMap => immutable(fields, before, &["data", "binaryData"], causes),
            Kind::Namespace => {
                tree::edit_mapping(fields, "spec", |spec| {
                    spec.insert("finalizers".to_owned(), json!(["kubernetes"]));
                });
            }
            _ => {}
        }
    }
}

/// An object that says it is immutable stays so.
fn immutable(fields: &Map<String, Value>, before: Option<&Value>, names: &[&str], causes: &mut Vec<Cause>) {
    let Some(before) = before.filter(|before| before.get("immutable") == Some(&Value::Bool(true))) else {
        return;
    };
    for name in names.iter().copied().chain(["immutable"]) {
        if before.get(name) != fields.get(name) {
            causes.push(Cause {
                reason: "FieldValueForbidden",
                message: "Forbidden: field is immutable when `immutable` is set".to_owned(),
                field: name.to_owned(),
            });
        }
    }
}

fn name_of(object: &Value) -> &str {
    tree::text(object, "metadata.name")
}

/// The object without what is not the admission's.
fn content_of(object: &Value) -> Value {
    let mut content = object.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("metadata");
        fields.remove("status");
    }
    content
}

/// The object with its judged content, and its own metadata and status.
fn put_back(object: &mut Value, content: Value) {
    let (Some(fields), Value::Object(content)) = (object.as_object_mut(), content) else { return };
    fields.retain(|name, _| matches!(name.as_str(), "metadata" | "status"));
    fields.extend(content);
}

/// A mistake in the words of a Kubernetes server.
fn cause(mistake: &Mistake, content: &Value) -> Cause {
    let field = if mistake.field.is_empty() { NO_FIELD } else { &mistake.field };
    let value = tree::at(content, &mistake.field);
    let shown = match value {
        Some(value @ (Value::Object(_) | Value::Array(_))) => {
            value.to_string().chars().take(SHOWN_CHARS).collect()
        }
        Some(value) => value.to_string(),
        None => "\"\"".to_owned(),
    };
    let allowed = mistake.allowed.as_deref();
    if let Some(above) = rules::field_of_rule(mistake) {
        let message = format!("Invalid value: {shown}: {}: {}", mistake.field, mistake.message);
        return Cause { reason: "FieldValueInvalid", message, field: above.to_owned() };
    }
    let more = allowed.map(|allowed| format!(" (allowed: {allowed})")).unwrap_or_default();
    let (reason, message) = match mistake.fault {
        Fault::Missing => (REQUIRED, "Required value".to_owned()),
        Fault::Unsupported => {
            let words: Vec<String> =
                allowed.unwrap_or_default().split(", ").map(|word| format!("\"{word}\"")).collect();
            (
                "FieldValueNotSupported",
                format!("Unsupported value: {shown}: supported values: {}", words.join(", ")),
            )
        }
        Fault::Type => ("FieldValueTypeInvalid", format!("Invalid value: {shown}: {}", mistake.message)),
        Fault::TooMany => ("FieldValueTooMany", format!("Too many: {}{more}", mistake.message)),
        Fault::TooLong => ("FieldValueTooLong", format!("Too long: {}{more}", mistake.message)),
        Fault::Duplicate => ("FieldValueDuplicate", format!("Duplicate value: {shown}")),
        _ => ("FieldValueInvalid", format!("Invalid value: {shown}: {}{more}", mistake.message)),
    };
    let message = match &mistake.place {
        Some(place) => format!("{message} ({place})"),
        None => message,
    };
    Cause { reason, message, field: field.to_owned() }
}

/// Names of the fields that the mapping at a path must have.
fn required<'s>(schema: &'s Value, path: &str) -> Vec<&'s str> {
    let mut node = schema;
    for part in path.split('.') {
        let (name, indices) =
            part.split_once('[').map_or((part, 0), |(name, rest)| (name, rest.matches(']').count()));
        let Some(below) = node.get("properties").and_then(|properties| properties.get(name)) else {
            return Vec::new();
        };
        node = below;
        for _ in 0..indices {
            let Some(items) = node.get("items") else { return Vec::new() };
            node = items;
        }
    }
    node.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

const REQUIRED: &str = "FieldValueRequired";
/// What a server writes in place of a field where it names none.
const NO_FIELD: &str = "<nil>";
/// Of a value that is shown in a message.
const SHOWN_CHARS: usize = 256;
