//! DELETE: one object, or all that are selected. With a namespace goes everything in it.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::shape;
use crate::failure::Failure;
use crate::reply::{self, Body};
use crate::request::Asked;
use crate::resource::{Resource, Verbs};
use crate::selector::Selector;
use crate::server::{Server, Target};
use crate::store::{Next, Part, Place, Write};
use crate::tree;

pub(crate) async fn answer(
    server: &Server,
    target: &Target,
    asked: &Asked,
) -> Result<Response<Body>, Failure> {
    let options = options(asked)?;
    let is_dry = asked.is_dry() || options.get("dryRun").is_some_and(|dry| dry.to_string().contains("All"));
    let preconditions = options.get("preconditions").cloned().unwrap_or_default();
    if target.name.is_empty() {
        return collection(server, target, asked, is_dry).await;
    }
    let place = Place::new(&target.resource, &target.namespace, &target.name);
    let is_namespace = target.resource.group.is_empty() && &*target.resource.plural == "namespaces";
    if is_namespace && !is_dry && server.store().get(&place).is_some() {
        empty(server, asked, &target.name).await?;
    }
    let object = delete(server, asked, &place, is_dry, &preconditions).await?;
    if tree::at(&object, "metadata.deletionTimestamp").is_some() {
        // Finalizers hold it: it is still there, and shown as it is.
        return Ok(shape::one(target, asked, StatusCode::OK, &object));
    }
    let success = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {
            "name": target.name, "group": &*target.resource.group, "kind": &*target.resource.plural,
            "uid": tree::text(&object, "metadata.uid"),
        },
    });
    Ok(reply::json(StatusCode::OK, &success))
}

async fn delete(
    server: &Server,
    asked: &Asked,
    place: &Place,
    is_dry: bool,
    preconditions: &Value,
) -> Result<Arc<Value>, Failure> {
    let write = Write { place, user: &asked.user, part: Part::Main, is_dry };
    let outcome = server
        .store()
        .write(&write, |before| {
            let before = before.ok_or_else(|| Failure::not_found(&place.resource, &place.name))?;
            for field in ["uid", "resourceVersion"] {
                let wanted = tree::text(preconditions, field);
                let have = tree::text(before, &format!("metadata.{field}"));
                if !wanted.is_empty() && wanted != have {
                    let why = format!(
                        "the {field} in the precondition ({wanted}) does not match the {field} in record ({have}); \
                         the object might have been deleted and then recreated"
                    );
                    return Err(Failure::conflict(&place.resource, &place.name, &why));
                }
            }
            Ok(Next::Delete)
        })
        .await?;
    Ok(outcome.object)
}

async fn collection(
    server: &Server,
    target: &Target,
    asked: &Asked,
    is_dry: bool,
) -> Result<Response<Body>, Failure> {
    let selector = Selector::parse(
        asked.query.get("labelSelector").unwrap_or_default(),
        asked.query.get("fieldSelector").unwrap_or_default(),
    )?;
    let (objects, revision) = server.store().select(&target.resource, &target.namespace, &selector);
    for object in &objects {
        delete_if_there(server, asked, &place_of(target, object), is_dry).await?;
    }
    Ok(shape::list(target, asked, &objects, revision, None))
}

/// Deletes everything in a namespace that is not kept by somebody else.
async fn empty(server: &Server, asked: &Asked, namespace: &str) -> Result<(), Failure> {
    let resources: Vec<_> = server.store().registry().iter().map(Arc::clone).collect();
    for resource in resources.iter().filter(|one| is_emptied(one)) {
        let (objects, _) = server.store().list(resource, namespace);
        for object in &objects {
            let place = Place::new(resource, namespace, tree::text(object, "metadata.name"));
            server.require(asked, "delete", resource, "", namespace, &place.name).await?;
            delete_if_there(server, asked, &place, false).await?;
        }
    }
    Ok(())
}

fn is_emptied(resource: &Resource) -> bool {
    resource.is_namespaced() && resource.verbs == Verbs::All && resource.source.is_none()
}

async fn delete_if_there(server: &Server, asked: &Asked, place: &Place, is_dry: bool) -> Result<(), Failure> {
    match delete(server, asked, place, is_dry, &Value::Null).await {
        Err(failure) if failure.reason == crate::failure::Reason::NotFound => Ok(()),
        other => other.map(|_| ()),
    }
}

fn place_of(target: &Target, object: &Value) -> Place {
    let metadata = |field: &str| tree::text(object, field);
    Place::new(&target.resource, metadata("metadata.namespace"), metadata("metadata.name"))
}

/// What the body says, if there is one.
fn options(asked: &Asked) -> Result<Value, Failure> {
    if asked.body.is_empty() {
        return Ok(Value::Null);
    }
    match asked.content_type.as_str() {
        // Compiled clients send options that hold nothing which counts here.
        crate::request::PROTOBUF => Ok(Value::Null),
        _ => asked.document().map(|(tree, _)| tree),
    }
}
