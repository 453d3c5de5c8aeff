//! PATCH: in five forms, each a way from the object that is there to the one that is wished for.

use std::sync::{Mutex, PoisonError};

use hyper::{Response, StatusCode};
use serde_json::{Map, Value};

use super::shape;
use super::wish;
use crate::failure::Failure;
use crate::ownership;
use crate::patch::{apply, operations, strategic};
use crate::reply::{Body, warn};
use crate::request::Asked;
use crate::resource::Style;
use crate::server::{Server, Target};
use crate::store::{Next, Place, Write, check_version};
use crate::tree;

/// A patch, read.
enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
    Strategic(Value),
    Apply(Value),
}

pub(crate) async fn answer(
    server: &Server,
    target: &Target,
    asked: &Asked,
) -> Result<Response<Body>, Failure> {
    if target.name.is_empty() {
        return Err(Failure::not_allowed());
    }
    let (patch, twice) = Patch::read(target, asked)?;
    let validation = asked.field_validation()?;
    let place = Place::new(&target.resource, &target.namespace, &target.name);
    let write = Write { place: &place, user: &asked.user, part: target.part, is_dry: asked.is_dry() };
    let told = Mutex::new(Vec::new());
    let outcome = server
        .store()
        .write(&write, |before| {
            let creates = matches!(patch, Patch::Apply(_)) && target.part == crate::store::Part::Main;
            if before.is_none() && !creates {
                return Err(Failure::not_found(&target.resource, &target.name));
            }
            let nothing = Value::Object(Map::new());
            let wanted = match &patch {
                Patch::Merge(patch) => merged(before.unwrap_or(&nothing), patch),
                Patch::Json(patch) => operated(target, before.unwrap_or(&nothing), patch)?,
                Patch::Strategic(patch) => {
                    strategic::merge(before.unwrap_or(&nothing), patch, &target.resource.list_keys)?
                }
                Patch::Apply(wanted) => apply::apply(target, asked, before, wanted)?,
            };
            let wanted = in_stored_version(target, wanted);
            let (mut wish, warnings) = wish::admit(target, wanted, &twice, before, validation)?;
            if let Some(before) = before {
                check_version(&place, &wish, before)?;
            }
            match &patch {
                Patch::Apply(_) => {}
                _ => ownership::written(
                    &target.resource,
                    before,
                    &mut wish,
                    asked.field_manager(),
                    target.part,
                ),
            }
            *told.lock().unwrap_or_else(PoisonError::into_inner) = warnings;
            Ok(Next::Put(wish))
        })
        .await?;
    let warnings = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let status = if outcome.is_created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(warn(shape::one(target, asked, status, &outcome.object), &warnings))
}

// === impl Patch ===

impl Patch {
    fn read(target: &Target, asked: &Asked) -> Result<(Self, Vec<String>), Failure> {
        let is_core = target.resource.style == Style::Core;
        match asked.content_type.as_str() {
            "application/merge-patch+json" => {
                let (patch, twice) = crate::body::json(&asked.body)?;
                Ok((Self::Merge(object(patch)?), twice))
            }
            "application/strategic-merge-patch+json" if is_core => {
                let (patch, twice) = crate::body::json(&asked.body)?;
                Ok((Self::Strategic(object(patch)?), twice))
            }
            "application/json-patch+json" => {
                let patch: json_patch::Patch = serde_json::from_slice(&asked.body)
                    .map_err(|error| Failure::bad_request(format!("the body is no JSON patch: {error}")))?;
                Ok((Self::Json(patch), Vec::new()))
            }
            "application/apply-patch+yaml" | "application/apply-patch+json" => {
                Ok((Self::Apply(object(crate::body::yaml(&asked.body)?)?), Vec::new()))
            }
            _ => Err(Failure::unsupported_media(match is_core {
                true => {
                    "application/json-patch+json, application/merge-patch+json, \
                     application/strategic-merge-patch+json, application/apply-patch+yaml"
                }
                false => {
                    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
                }
            })),
        }
    }
}

fn object(tree: Value) -> Result<Value, Failure> {
    match tree.is_object() {
        true => Ok(tree),
        false => Err(Failure::bad_request("a patch must be an object")),
    }
}

/// RFC 7386.
fn merged(before: &Value, patch: &Value) -> Value {
    let mut wanted = unversioned(before);
    json_patch::merge(&mut wanted, patch);
    wanted
}

/// RFC 6902.
fn operated(target: &Target, before: &Value, patch: &json_patch::Patch) -> Result<Value, Failure> {
    let wanted = operations::operate(target, before, patch)?;
    let is_untouched =
        tree::text(&wanted, "metadata.resourceVersion") == tree::text(before, "metadata.resourceVersion");
    Ok(if is_untouched { unversioned(&wanted) } else { wanted })
}

/// Without a version, so that what the patch says of it can be told from what was there.
pub(crate) fn unversioned(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    object
}

/// A patch may name another version than the stored one.
fn in_stored_version(target: &Target, mut wanted: Value) -> Value {
    let resource = &target.resource;
    let is_served = |api_version: &str| {
        resource.versions.iter().any(|version| resource.api_version(version) == api_version)
    };
    if let Some(fields) = wanted.as_object_mut()
        && fields.get("apiVersion").and_then(Value::as_str).is_none_or(is_served)
    {
        fields.insert("apiVersion".to_owned(), resource.api_version(resource.stored_version()).into());
    }
    wanted
}
