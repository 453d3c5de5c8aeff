//! GET: one object, or a list.

use base64::Engine as _;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::{shape, watch};
use crate::failure::Failure;
use crate::reply::Body;
use crate::request::Asked;
use crate::selector::Selector;
use crate::server::{Server, Target};
use crate::store::Place;
use crate::tree;

pub(crate) async fn answer(
    server: &Server,
    target: &Target,
    asked: &Asked,
) -> Result<Response<Body>, Failure> {
    if !target.name.is_empty() && !asked.query.is_true("watch") {
        let place = Place::new(&target.resource, &target.namespace, &target.name);
        let object = server.store().get(&place);
        let object = object.ok_or_else(|| Failure::not_found(&target.resource, &target.name))?;
        return match target.other() {
            Some(other) => other.get(&object, &asked.query).await,
            None => Ok(shape::one(target, asked, StatusCode::OK, &object)),
        };
    }
    let mut fields = asked.query.get("fieldSelector").unwrap_or_default().to_owned();
    if !target.name.is_empty() {
        fields = format!("metadata.name={},{fields}", target.name);
    }
    let selector = Selector::parse(asked.query.get("labelSelector").unwrap_or_default(), &fields)?;
    if asked.query.is_true("watch") {
        return watch::answer(server, target, asked, selector);
    }
    let (mut objects, revision) = server.store().select(&target.resource, &target.namespace, &selector);
    let after = match asked.query.get("continue") {
        None | Some("") => None,
        Some(token) => Some(place_of_token(token).ok_or_else(Failure::expired)?),
    };
    if let Some((namespace, name)) = after {
        objects.retain(|object| {
            let of = |field: &str| tree::text(object, field).to_owned();
            (of("metadata.namespace"), of("metadata.name")) > (namespace.clone(), name.clone())
        });
    }
    let limit =
        asked.query.number("limit").and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let mut rest = None;
    if let Some(limit) = limit.filter(|limit| *limit < objects.len()) {
        let n_more = objects.len() - limit;
        objects.truncate(limit);
        rest = objects.last().map(|last| (token_of(last), n_more));
    }
    Ok(shape::list(target, asked, &objects, revision, rest))
}

/// A list goes on behind the last object that was shown; it is not frozen meanwhile.
fn token_of(last: &Value) -> String {
    let place = format!("{}/{}", tree::text(last, "metadata.namespace"), tree::text(last, "metadata.name"));
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(place)
}

fn place_of_token(token: &str) -> Option<(String, String)> {
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (namespace, name) = text.split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}
