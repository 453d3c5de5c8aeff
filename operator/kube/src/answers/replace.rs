//! PUT: an object, or its status, replaced whole.

use std::sync::{Mutex, PoisonError};

use hyper::{Response, StatusCode};

use super::shape;
use super::wish;
use crate::failure::{Cause, Failure};
use crate::ownership;
use crate::reply::{Body, warn};
use crate::request::Asked;
use crate::server::{Server, Target};
use crate::store::{Next, Place, Write, check_version, needs_version};

pub(crate) async fn answer(
    server: &Server,
    target: &Target,
    asked: &Asked,
) -> Result<Response<Body>, Failure> {
    if target.name.is_empty() {
        return Err(Failure::not_allowed());
    }
    let (tree, twice) = asked.document()?;
    let validation = asked.field_validation()?;
    let place = Place::new(&target.resource, &target.namespace, &target.name);
    let write = Write { place: &place, user: &asked.user, part: target.part, is_dry: asked.is_dry() };
    let told = Mutex::new(Vec::new());
    let outcome = server
        .store()
        .write(&write, |before| {
            let before = before.ok_or_else(|| Failure::not_found(&target.resource, &target.name))?;
            let (mut wish, warnings) = wish::admit(target, tree, &twice, Some(before), validation)?;
            if needs_version(&place, &wish) {
                let cause = Cause {
                    reason: "FieldValueInvalid",
                    message: "Invalid value: 0: must be specified for an update".to_owned(),
                    field: "metadata.resourceVersion".to_owned(),
                };
                return Err(Failure::invalid(&target.resource, &target.name, vec![cause]));
            }
            check_version(&place, &wish, before)?;
            ownership::written(&target.resource, Some(before), &mut wish, asked.field_manager(), target.part);
            *told.lock().unwrap_or_else(PoisonError::into_inner) = warnings;
            Ok(Next::Put(wish))
        })
        .await?;
    let warnings = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(warn(shape::one(target, asked, StatusCode::OK, &outcome.object), &warnings))
}
