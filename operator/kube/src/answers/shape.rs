//! Objects in the form and version that a client asked for.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::reply::{self, Body};
use crate::request::{Asked, Form};
use crate::resource::Resource;
use crate::server::Target;
use crate::tree;

/// One object.
pub(crate) fn one(target: &Target, asked: &Asked, status: StatusCode, object: &Value) -> Response<Body> {
    match asked.accept.form {
        Form::Whole => reply::json(status, &in_version(&target.resource, &target.version, object)),
        form => {
            let revision = tree::text(object, "metadata.resourceVersion").to_owned();
            reply::json(status, &formed(target, asked, form, &[object], &revision, true))
        }
    }
}

/// A list of objects. `rest` continues it.
pub(crate) fn list(
    target: &Target,
    asked: &Asked,
    objects: &[Arc<Value>],
    revision: u64,
    rest: Option<(String, usize)>,
) -> Response<Body> {
    let revision = revision.to_string();
    let mut metadata = json!({ "resourceVersion": revision });
    if let (Some((token, n_more)), Some(fields)) = (rest, metadata.as_object_mut()) {
        fields.insert("continue".to_owned(), token.into());
        fields.insert("remainingItemCount".to_owned(), n_more.into());
    }
    if asked.accept.form != Form::Whole {
        let objects: Vec<&Value> = objects.iter().map(AsRef::as_ref).collect();
        let mut formed = formed(target, asked, asked.accept.form, &objects, &revision, true);
        if let Some(fields) = formed.as_object_mut() {
            fields.insert("metadata".to_owned(), metadata);
        }
        return reply::json(StatusCode::OK, &formed);
    }
    let list = List {
        api_version: target.resource.api_version(&target.version),
        kind: format!("{}List", target.resource.kind),
        metadata,
        items: objects.iter().map(|object| in_version(&target.resource, &target.version, object)).collect(),
    };
    reply::json(StatusCode::OK, &list)
}

/// One object of a watch.
pub(crate) fn of_watch<'o>(
    target: &Target,
    asked: &Asked,
    object: &'o Value,
    is_first: bool,
) -> Cow<'o, Value> {
    match asked.accept.form {
        Form::Whole => in_version(&target.resource, &target.version, object),
        form => {
            let revision = tree::text(object, "metadata.resourceVersion").to_owned();
            Cow::Owned(formed(target, asked, form, &[object], &revision, is_first))
        }
    }
}

/// The object in a version: nothing but its name differs.
pub(crate) fn in_version<'o>(resource: &Resource, version: &str, object: &'o Value) -> Cow<'o, Value> {
    if version == resource.stored_version() {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), resource.api_version(version).into());
    }
    Cow::Owned(object)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'o> {
    api_version: String,
    kind: String,
    metadata: Value,
    items: Vec<Cow<'o, Value>>,
}

fn formed(
    target: &Target,
    asked: &Asked,
    form: Form,
    objects: &[&Value],
    revision: &str,
    has_columns: bool,
) -> Value {
    if form == Form::Metadata {
        let partial = |object: &&Value| metadata_of(object);
        return match (
            objects,
            target.name.is_empty() && asked.method == hyper::Method::GET && !is_watch(asked),
        ) {
            ([object], false) => metadata_of(object),
            _ => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": { "resourceVersion": revision },
                "items": objects.iter().map(partial).collect::<Vec<_>>(),
            }),
        };
    }
    let resource = &target.resource;
    let now = Timestamp::now();
    let rows = objects.iter().map(|object| {
        let name = std::iter::once(tree::text(object, "metadata.name").into());
        let cells: Vec<Value> =
            name.chain(resource.columns.iter().map(|column| column.cell.of(object, now))).collect();
        let shown = match asked.query.get("includeObject") {
            Some("None") => Value::Null,
            Some("Object") => in_version(resource, &target.version, object).into_owned(),
            _ => metadata_of(object),
        };
        json!({ "cells": cells, "object": shown })
    });
    let rows: Vec<Value> = rows.collect();
    let name = json!({
        "name": "Name", "type": "string", "format": "name", "priority": 0,
        "description": "Name, unique for its kind in its namespace.",
    });
    let columns = resource.columns.iter().map(|column| {
        json!({
            "name": column.name, "type": column.r#type(), "format": "", "description": column.description,
            "priority": i32::from(column.is_wide),
        })
    });
    let columns: Vec<Value> =
        if has_columns { std::iter::once(name).chain(columns).collect() } else { Vec::new() };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": { "resourceVersion": revision },
        "columnDefinitions": columns, "rows": rows,
    })
}

fn is_watch(asked: &Asked) -> bool {
    asked.query.is_true("watch")
}

fn metadata_of(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}
