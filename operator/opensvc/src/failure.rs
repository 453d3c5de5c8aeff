//! From an answer that is no success to an [`Error`].
//!
//! The daemon speaks four dialects (contract §4.1): a Problem with title and detail, `{"message": …}` of its
//! framework, the word `null` of its rate limiter, and nothing at all. The same status means different things in
//! different parts of the API, and some refusals come as 500; the tables here are what the recordings show.

use serde::Deserialize;

use crate::error::{Error, Grants, Place, mask};
use crate::request::{Answer, Area, Request};

/// The body of a failure, whichever dialect it is in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Words {
    title: String,
    detail: String,
    message: String,
}

/// Gives success statuses back, and turns the others into errors.
pub(crate) fn check(request: &Request, answer: Answer) -> Result<Answer, Error> {
    match answer.status {
        200..=299 | 304 => Ok(answer),
        _ => Err(failure(request, &answer)),
    }
}

fn failure(request: &Request, answer: &Answer) -> Error {
    let place = request.place();
    let words: Words = serde_json::from_slice(&answer.body).unwrap_or_default();
    match answer.status {
        400 if words.title == "Invalid nodename" => Error::UnknownNode { place },
        400 => Error::Invalid { place, detail: words.text() },
        401 => Error::Unauthorized { place, detail: words.text() },
        403 if is_null(answer) => Error::RateLimited { place },
        403 => refusal(place, &words),
        404 => absence(request, place, &words),
        405 => Error::NoRoute { place },
        408 => Error::Undecided { place },
        409 => conflict(request, place, &words),
        413 => Error::TooLarge { place, key: key_of(request, &words) },
        429 => Error::RateLimited { place },
        500 => breakdown(request, place, &words),
        status => Error::Server { place, status, detail: words.text() },
    }
}

fn is_null(answer: &Answer) -> bool {
    let body = answer.body.trim_ascii();
    body.is_empty() || body == b"null"
}

/// 403 with words: a missing grant, or content that is not allowed, or a file that is not a configuration at all.
fn refusal(place: Place, words: &Words) -> Error {
    match Grants::parse_refusal(&words.detail) {
        Some(needs) => Error::Forbidden { place, needs },
        None if words.detail.contains("load config sources error") => {
            Error::Invalid { place, detail: words.text() }
        }
        None => denied(place, words),
    }
}

fn denied(place: Place, words: &Words) -> Error {
    let needs = Grants::parse_rule(&words.detail);
    Error::Denied { place, needs, detail: words.text() }
}

fn absence(request: &Request, place: Place, words: &Words) -> Error {
    if words.title == "node status data not found" {
        return Error::UnknownNode { place };
    }
    if !words.message.is_empty() {
        return Error::NoRoute { place };
    }
    match request.area {
        Area::Keys if request.key.is_some() => Error::UnknownKey { place, key: key_of(request, words) },
        Area::Instance => Error::UnknownInstance { place },
        Area::Object | Area::Stored | Area::Keys | Area::Action => Error::UnknownObject { place },
        Area::Login | Area::Cluster => Error::Server { place, status: 404, detail: words.text() },
    }
}

fn conflict(request: &Request, place: Place, words: &Words) -> Error {
    match request.area {
        Area::Stored => Error::ObjectExists { place },
        Area::Keys => Error::KeyExists { place, key: key_of(request, words) },
        _ => match parse_busy(&words.detail) {
            Some((orchestration, expect)) => Error::Busy { place, orchestration, expect },
            None => Error::Refused { place, detail: words.text() },
        },
    }
}

/// 500: half of them are refusals that deserved another status.
fn breakdown(request: &Request, place: Place, words: &Words) -> Error {
    let detail = words.detail.as_str();
    let key = || key_of(request, words);
    if detail.contains("load config sources error") {
        return Error::Unreadable { place, detail: words.text() };
    }
    if request.area == Area::Keys {
        if let Some((_, taken)) = detail.split_once("key already exists") {
            // A renaming names the key that is in its way last, an addition names it first.
            let key = taken.strip_prefix(": ").map_or_else(key, mask);
            return Error::KeyExists { place, key };
        }
        if detail.contains("key does not exist") || detail.contains("configuration does not exist") {
            return Error::UnknownKey { place, key: key() };
        }
        if detail.contains("exceeds the allowed size") {
            return Error::TooLarge { place, key: key() };
        }
        if detail.contains("key name is empty") {
            return Error::Invalid { place, detail: words.text() };
        }
    }
    if request.area == Area::Stored {
        if detail.starts_with("denied:") {
            return denied(place, words);
        }
        if detail.contains("configuration validation has errors") {
            return Error::Invalid { place, detail: words.text() };
        }
    }
    if request.area == Area::Object && detail == "expand selection" {
        return Error::UnknownObject { place };
    }
    Error::Server { place, status: 500, detail: words.text() }
}

/// Reads `orchestration <id> (><expect>) already in progress`.
fn parse_busy(detail: &str) -> Option<(String, String)> {
    let rest = detail.strip_prefix("orchestration ")?;
    let (id, rest) = rest.split_once(" (>")?;
    let (expect, _) = rest.split_once(')')?;
    Some((mask(id), mask(expect)))
}

/// The key a failure is about: the request's, else the word before the first colon, where the daemon puts it.
fn key_of(request: &Request, words: &Words) -> String {
    match &request.key {
        Some(key) => key.clone(),
        None => words.detail.split_once(": ").map(|(key, _)| mask(key)).unwrap_or_default(),
    }
}

// === impl Words ===

impl Words {
    fn text(&self) -> String {
        let parts = [&self.title, &self.detail, &self.message];
        let said: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        mask(&said.join(": "))
    }
}
