//! POST: a new object.

use hyper::{Response, StatusCode};

use super::shape;
use super::wish;
use crate::failure::Failure;
use crate::ownership;
use crate::reply::{Body, warn};
use crate::request::Asked;
use crate::server::{Server, Target};
use crate::store::{Next, Place, Write};
use crate::tree;

pub(crate) async fn answer(
    server: &Server,
    target: &Target,
    asked: &Asked,
) -> Result<Response<Body>, Failure> {
    if !target.name.is_empty() {
        return Err(Failure::not_allowed());
    }
    let (tree, twice) = asked.document()?;
    let (mut wish, warnings) = wish::admit(target, tree, &twice, None, asked.field_validation()?)?;
    let name = tree::text(&wish, "metadata.name").to_owned();
    if !tree::text(&wish, "metadata.resourceVersion").is_empty() {
        return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
    }
    ownership::written(&target.resource, None, &mut wish, asked.field_manager(), target.part);
    let place = Place::new(&target.resource, &target.namespace, &name);
    let write = Write { place: &place, user: &asked.user, part: target.part, is_dry: asked.is_dry() };
    let outcome = server
        .store()
        .write(&write, move |before| match before {
            Some(_) => Err(Failure::already_exists(&target.resource, &name)),
            None => Ok(Next::Put(wish)),
        })
        .await?;
    Ok(warn(shape::one(target, asked, StatusCode::CREATED, &outcome.object), &warnings))
}
