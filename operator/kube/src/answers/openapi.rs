//! OpenAPI v3: what kubectl looks up before it sends anything, and where `kubectl explain` has its text from.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Response, StatusCode};
use igw_crds::objects::Kind;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::failure::Failure;
use crate::registry::Registry;
use crate::reply::{self, Body};
use crate::resource::Resource;

/// The documents, one for each version of a group.
pub(crate) struct Documents {
    index: Value,
    documents: BTreeMap<String, Vec<u8>>,
}

// === impl Documents ===

impl Documents {
    pub(crate) fn of(registry: &Registry) -> Self {
        let mut documents = BTreeMap::new();
        let mut index = Map::new();
        for (group, versions) in registry.groups() {
            for version in versions {
                let path = match group.as_ref() {
                    "" => format!("api/{version}"),
                    group => format!("apis/{group}/{version}"),
                };
                let document = document(registry, &group, &version);
                // A tree always encodes.
                let bytes = serde_json::to_vec(&document).unwrap_or_default();
                let url = format!("/openapi/v3/{path}?hash={:032X}", xxh3_128(&bytes));
                index.insert(path.clone(), json!({ "serverRelativeURL": url }));
                documents.insert(path, bytes);
            }
        }
        Self { index: json!({ "paths": index }), documents }
    }

    /// Answers below `/openapi/v3`.
    pub(crate) fn answer(&self, path: &[&str]) -> Result<Response<Body>, Failure> {
        if path.is_empty() {
            return Ok(reply::json(StatusCode::OK, &self.index));
        }
        let bytes = self.documents.get(&path.join("/")).ok_or_else(Failure::no_such_path)?;
        Ok(reply::reply(StatusCode::OK, reply::JSON, Body::whole(bytes.clone())))
    }
}

/// Schema of a kind of igw without apiVersion, kind and metadata: everything it refers to written in place.
pub(crate) fn schema_of(kind: Kind) -> Value {
    let mut schema = igw_crds::schema::schema(kind);
    let definitions = schema.get("$defs").cloned().unwrap_or_default();
    let Some(fields) = schema.as_object_mut() else { return schema };
    for name in ["$schema", "$defs", "title", "additionalProperties", "required"] {
        fields.remove(name);
    }
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        for name in ["apiVersion", "kind", "metadata", "status"] {
            properties.remove(name);
        }
    }
    fields.insert("description".to_owned(), format!("{kind} of {}", kind.api_version()).into());
    in_openapi(&schema, &definitions, DEPTH_MAX)
}

/// JSON Schema in the words of OpenAPI 3.0.
fn in_openapi(schema: &Value, definitions: &Value, depth: usize) -> Value {
    let Some(fields) = schema.as_object() else {
        return json!({ "x-kubernetes-preserve-unknown-fields": true });
    };
    if depth == 0 {
        return json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    }
    let inner = |schema: &Value| in_openapi(schema, definitions, depth - 1);
    if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().unwrap_or_default();
        let mut found = definitions.get(name).map(inner).unwrap_or_default();
        if let (Some(text), Some(found)) = (fields.get("description"), found.as_object_mut()) {
            found.insert("description".to_owned(), text.clone());
        }
        return found;
    }
    // A value or nothing is the value: OpenAPI says of a field whether it must be there, not whether it is null.
    for name in ["anyOf", "oneOf"] {
        let choices = fields.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let present: Vec<&Value> =
            choices.iter().filter(|one| one.get("type") != Some(&json!("null"))).collect();
        if let [only] = present.as_slice() {
            let mut found = inner(only);
            if let (Some(text), Some(found)) = (fields.get("description"), found.as_object_mut()) {
                found.insert("description".to_owned(), text.clone());
            }
            return found;
        }
        // Words that each have a text of their own.
        let words: Vec<&Value> = present.iter().filter_map(|one| one.get("const")).collect();
        if !words.is_empty() && words.len() == present.len() {
            let texts = present.iter().filter_map(|one| {
                Some(format!("`{}`: {}", one.get("const")?.as_str()?, one.get("description")?.as_str()?))
            });
            let own = fields.get("description").and_then(Value::as_str).map(str::to_owned);
            let description: Vec<String> = own.into_iter().chain(texts).collect();
            return json!({ "type": "string", "enum": words, "description": description.join(" ") });
        }
    }
    let mut out = Map::new();
    for (name, value) in fields {
        let kept = match name.as_str() {
            "properties" => {
                let map = value.as_object().into_iter().flatten();
                map.map(|(name, schema)| (name.clone(), inner(schema))).collect::<Map<_, _>>().into()
            }
            "items" => inner(value),
            "additionalProperties" if value.is_object() => inner(value),
            "type" => match value.as_array() {
                Some(types) => types.iter().find(|one| **one != json!("null")).cloned().unwrap_or_default(),
                None => value.clone(),
            },
            "const" => {
                out.insert("enum".to_owned(), json!([value]));
                continue;
            }
            "description" | "enum" | "required" | "default" | "minimum" | "maximum" | "minLength"
            | "maxLength" | "minItems" | "maxItems" | "pattern" | "minProperties" | "maxProperties" => {
                value.clone()
            }
            "format" if matches!(value.as_str(), Some("int32" | "int64" | "double")) => value.clone(),
            _ => continue,
        };
        out.insert(name.clone(), kept);
    }
    Value::Object(out)
}

fn document(registry: &Registry, group: &str, version: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for resource in registry.of_version(group, version) {
        let (path, operations) = operations(resource, version);
        paths.insert(path, operations);
        schemas.insert(schema_name(resource, version), schema(resource, version));
    }
    json!({
        "openapi": "3.0.0", "info": { "title": "igw", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths, "components": { "schemas": schemas },
    })
}

fn schema_name(resource: &Resource, version: &str) -> String {
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{}", reversed.join("."), resource.kind)
}

fn operations(resource: &Resource, version: &str) -> (String, Value) {
    let root = match resource.group.as_ref() {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    };
    let within = if resource.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    let kind = json!({ "group": &*resource.group, "version": version, "kind": &*resource.kind });
    let parameter = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string" } });
    let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter).into();
    let reference = format!("#/components/schemas/{}", schema_name(resource, version));
    let content = json!({ "application/json": { "schema": { "$ref": reference } } });
    let responses = json!({ "200": { "description": "OK", "content": content } });
    let operation = |action: &str, parameters: &[Value]| {
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind, "parameters": parameters,
            "responses": responses,
        })
    };
    let operations = json!({ "get": operation("get", &[]), "patch": operation("patch", &parameters) });
    (format!("{root}{within}/{}/{{name}}", resource.plural), operations)
}

fn schema(resource: &Arc<Resource>, version: &str) -> Value {
    let mut schema = resource.schema.clone();
    let Some(fields) = schema.as_object_mut() else { return schema };
    fields.insert("type".to_owned(), "object".into());
    fields.insert(
        "x-kubernetes-group-version-kind".to_owned(),
        json!([{ "group": &*resource.group, "version": version, "kind": &*resource.kind }]),
    );
    let text = |description: &str| json!({ "type": "string", "description": description });
    let mut own = vec![
        ("apiVersion", text("Group and version of the kind.")),
        ("kind", text("Kind.")),
        ("metadata", metadata_schema()),
    ];
    if resource.has_status {
        let open = json!({
            "type": "object", "description": "What became of it. Written by the server.",
            "x-kubernetes-preserve-unknown-fields": true,
        });
        own.push(("status", open));
    }
    crate::tree::edit_mapping(fields, "properties", |properties| {
        for (name, schema) in own {
            properties.entry(name).or_insert(schema);
        }
    });
    schema
}

fn metadata_schema() -> Value {
    let texts = |description: &str| json!({ "type": "object", "description": description, "additionalProperties": { "type": "string" } });
    json!({
        "type": "object", "description": "Metadata.",
        "properties": {
            "name": { "type": "string", "description": "Name, unique for its kind in its namespace." },
            "generateName": { "type": "string", "description": "Beginning of a name that the server completes." },
            "namespace": { "type": "string", "description": "Namespace." },
            "labels": texts("Labels, by which objects are selected."),
            "annotations": texts("Annotations."),
            "finalizers": {
                "type": "array", "items": { "type": "string" },
                "description": "Who must let go of the object before it is gone.",
            },
            "uid": { "type": "string", "description": "Identity. Given by the server." },
            "resourceVersion": { "type": "string", "description": "Changes with every change. Given by the server." },
            "generation": { "type": "integer", "format": "int64", "description": "Counts changes of the content." },
            "creationTimestamp": { "type": "string", "description": "When it was made. Given by the server." },
        },
    })
}

/// Nesting of schemas that is followed.
const DEPTH_MAX: usize = 48;
