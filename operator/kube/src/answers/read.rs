//! GET: one object, or a list.

use base64::Engine as _;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::{shape, watch};
use crate::failure::Failure;
use crate::reply::Body;
use crate::request::{Asked, Form};
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
            let place = (tree::text(object, "metadata.namespace"), tree::text(object, "metadata.name"));
            place > (namespace.as_str(), name.as_str())
        });
    }
    let limit =
        asked.query.number("limit").and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    // The limit may be ignored (API Concepts, "Retrieving large results sets in chunks"). kubectl asks for tables in
    // chunks of 500, and waits 200 ms before each from the eleventh on.
    let limit = limit.map(|limit| match asked.accept.form {
        Form::Table if limit >= CHUNK_ROWS => limit.max(TABLE_ROWS),
        _ => limit,
    });
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

/// Rows of a table that a client asks for who means no page in particular.
const CHUNK_ROWS: usize = 500;
/// Rows that it gets.
const TABLE_ROWS: usize = 5_000;
