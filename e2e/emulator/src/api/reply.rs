//! Answers, and reading of queries.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// A body.
pub type Body = BoxBody<Bytes, Infallible>;
/// An answer.
pub type Answer = Response<Body>;

/// A failure in the daemon's own words.
#[must_use]
pub fn problem(status: u16, title: &str, detail: &str) -> Answer {
    json_of(status, &json!({"detail": detail, "status": status, "title": title}))
}

/// A failure in the words of the daemon's framework.
#[must_use]
pub fn message(status: u16, text: &str) -> Answer {
    json_of(status, &json!({"message": text}))
}

/// JSON.
#[must_use]
pub fn json_of(status: u16, value: &Value) -> Answer {
    with_type(status, "application/json", format!("{value}\n").into_bytes())
}

/// Nothing.
#[must_use]
pub fn empty(status: u16) -> Answer {
    let mut answer = Response::new(Full::default().boxed());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    answer
}

/// Bytes of a type.
#[must_use]
pub fn with_type(status: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::from(body).boxed());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    answer.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    answer
}

/// Parameters of a query, in order.
#[must_use]
pub fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decode(name), decode(&value.replace('+', " "))))
        .collect()
}

/// Undoes percent-encoding.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let code = if byte == b'%' { rest.clone().next().zip(rest.clone().nth(1)) } else { None };
        let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match code.and_then(|(high, low)| digit(high).zip(digit(low))) {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
