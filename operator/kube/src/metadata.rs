//! Metadata: what a client may say, and what the server says.

use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::{Map, Value};

use crate::failure::{Cause, Failure};
use crate::resource::Resource;
use crate::tree;

/// Checks and cleans the metadata that a client wrote, for a place in a path. Returns fields that nobody knows.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(
    resource: &Resource,
    namespace: &str,
    name: &str,
    object: &mut Map<String, Value>,
) -> Result<(Vec<String>, Vec<Cause>), Failure> {
    let mut unknown = Vec::new();
    let mut causes = Vec::new();
    let metadata = match object.remove("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(metadata)) => metadata,
        Some(_) => return Err(Failure::bad_request("metadata is not an object")),
    };
    let mut kept = Map::new();
    for (field, value) in metadata {
        if value.is_null() {
            continue;
        }
        let path = format!("metadata.{field}");
        match field.as_str() {
            "labels" | "annotations" => texts(&path, &value, &mut causes),
            "finalizers" | "ownerReferences" | "managedFields" if !value.is_array() => {
                causes.push(invalid(&path, &value, "must be a list"));
            }
            "name" | "namespace" | "generateName" | "uid" | "resourceVersion" | "creationTimestamp"
            | "deletionTimestamp" | "selfLink"
                if !value.is_string() =>
            {
                return Err(Failure::bad_request(format!("{path} is not text")));
            }
            "name"
            | "namespace"
            | "generateName"
            | "uid"
            | "resourceVersion"
            | "creationTimestamp"
            | "deletionTimestamp"
            | "deletionGracePeriodSeconds"
            | "generation"
            | "selfLink"
            | "finalizers"
            | "ownerReferences"
            | "managedFields" => {}
            _ => {
                unknown.push(path);
                continue;
            }
        }
        kept.insert(field, value);
    }
    let said = |field: &str| kept.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (said_name, said_namespace) = (said("name"), said("namespace"));
    if !name.is_empty() && !said_name.is_empty() && said_name != name {
        let message =
            format!("the name of the object ({said_name}) does not match the name on the URL ({name})");
        return Err(Failure::bad_request(message));
    }
    if resource.is_namespaced() && !said_namespace.is_empty() && said_namespace != namespace {
        return Err(Failure::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request: \
             {said_namespace} and {namespace}"
        )));
    }
    let name = match (name, said_name.as_str(), said("generateName").as_str()) {
        ("", "", "") => {
            causes.push(Cause {
                reason: "FieldValueRequired",
                message: "Required value: name or generateName is required".to_owned(),
                field: "metadata.name".to_owned(),
            });
            String::new()
        }
        ("", "", prefix) => format!("{prefix}{}", suffix()),
        ("", said, _) => said.to_owned(),
        (name, ..) => name.to_owned(),
    };
    if !name.is_empty() && !is_name(resource, &name) {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!(
                "Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                 characters, '-' or '.', and must start and end with an alphanumeric character"
            ),
            field: "metadata.name".to_owned(),
        });
    }
    kept.insert("name".to_owned(), name.into());
    match resource.is_namespaced() {
        true => kept.insert("namespace".to_owned(), namespace.into()),
        false => kept.remove("namespace"),
    };
    object.insert("metadata".to_owned(), Value::Object(kept));
    Ok((unknown, causes))
}

/// A new object's own facts.
pub(crate) fn begin(metadata: &mut Map<String, Value>) {
    for field in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), uid().into());
    metadata.insert("creationTimestamp".to_owned(), now().into());
    metadata.insert("generation".to_owned(), 1.into());
}

/// What a new version of an object keeps of the one before.
pub(crate) fn carry_over(metadata: &mut Map<String, Value>, before: &Value) {
    const KEPT: [&str; 6] = [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ];
    metadata.remove("selfLink");
    for field in KEPT {
        match before.get("metadata").and_then(|metadata| metadata.get(field)) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
}

/// The wall clock in whole seconds, as Kubernetes writes it.
pub(crate) fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// The number that counts changes of the content.
pub(crate) fn generation(object: &Value) -> u64 {
    tree::at(object, "metadata.generation").and_then(Value::as_u64).unwrap_or(1)
}

/// A random identity (RFC 9562, version 4).
pub(crate) fn uid() -> String {
    let random: u128 = rand::rng().random();
    let uuid = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{uuid:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
    parts.join("-")
}

fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    let mut letter = || LETTERS.get(random.random_range(0..LETTERS.len())).copied().unwrap_or(b'x');
    (0..5).map(|_| char::from(letter())).collect()
}

/// Labels and annotations are texts by texts.
fn texts(path: &str, value: &Value, causes: &mut Vec<Cause>) {
    let Some(entries) = value.as_object() else {
        causes.push(invalid(path, value, "must be a mapping of text"));
        return;
    };
    let mut n_bytes = 0;
    for (key, value) in entries {
        let Some(text) = value.as_str() else {
            causes.push(invalid(&format!("{path}.{key}"), value, "must be text"));
            continue;
        };
        n_bytes += key.len() + text.len();
        if !is_qualified(key) {
            let message = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
                           end with an alphanumeric character";
            causes.push(invalid(path, &key.as_str().into(), message));
        }
        if path.ends_with("labels") && !(text.is_empty() || is_word(text)) {
            let message = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                           '.', and must start and end with an alphanumeric character";
            causes.push(invalid(path, &text.into(), message));
        }
    }
    if n_bytes > ANNOTATION_BYTES {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {ANNOTATION_BYTES} bytes"),
            field: path.to_owned(),
        });
    }
}

fn invalid(field: &str, value: &Value, why: &str) -> Cause {
    let message = format!("Invalid value: {value}: {why}");
    Cause { reason: "FieldValueInvalid", message, field: field.to_owned() }
}

fn is_name(resource: &Resource, name: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        is_edge(bytes.first())
            && is_edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
    };
    match &*resource.kind {
        "Namespace" => name.len() <= 63 && is_label(name),
        _ => name.len() <= 253 && name.split('.').all(is_label),
    }
}

/// A name with an optional domain before it.
pub(crate) fn is_qualified(key: &str) -> bool {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    domain.is_none_or(|domain| !domain.is_empty() && domain.len() <= 253) && is_word(name)
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// All labels, or all annotations, of an object.
const ANNOTATION_BYTES: usize = 256 * 1024;
