//! Questions and answers of `envoy.service.auth.v3.Authorization/Check`: the messages, and the frames of gRPC around them.

use std::net::SocketAddr;
use std::time::Duration;

use super::changes::{Change, Grant, How, is_framing};
use crate::worker::request::{AnswerField, Passed};
use crate::worker::wire::{self, Fields, Malformed, Value};

/// What a call says besides the request itself.
pub(super) struct Around<'a> {
    pub(super) source: SocketAddr,
    /// Subject of the client's verified certificate.
    pub(super) principal: Option<&'a [u8]>,
    pub(super) destination: Option<SocketAddr>,
    /// Since the epoch.
    pub(super) time: Duration,
}

/// What the service says.
#[derive(Debug)]
pub(super) enum Verdict {
    Yes(Grant),
    No { status: u16, passed: Passed },
}

/// The path of the calls.
pub(super) const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Appends a frame with a `CheckRequest`. `http` are the fields of an `AttributeContext.HttpRequest` so far.
pub(super) fn write(out: &mut Vec<u8>, around: &Around<'_>, http: &[u8], body: &[u8]) {
    // A string is UTF-8: what is not goes as bytes.
    let body_field = if std::str::from_utf8(body).is_ok() { 11 } else { 12 };
    let mut body_head = Vec::new();
    if !body.is_empty() {
        wire::begin(&mut body_head, body_field, body.len());
    }
    let mut time = Vec::new();
    wire::number(&mut time, 1, around.time.as_secs());
    wire::number(&mut time, 2, around.time.subsec_nanos().into());
    let mut request = Vec::new();
    wire::bytes(&mut request, 1, &time);
    let n_http = http.len() + body_head.len() + body.len();
    wire::begin(&mut request, 2, n_http);
    let mut attributes = Vec::new();
    wire::bytes(&mut attributes, 1, &peer(around.source, around.principal));
    if let Some(destination) = around.destination {
        wire::bytes(&mut attributes, 2, &peer(destination, None));
    }
    wire::begin(&mut attributes, 4, request.len() + n_http);
    attributes.extend_from_slice(&request);
    let mut message = Vec::new();
    wire::begin(&mut message, 1, attributes.len() + n_http);
    message.extend_from_slice(&attributes);
    let n_message = u32::try_from(message.len() + n_http).unwrap_or(u32::MAX);
    out.reserve(5 + message.len() + n_http);
    out.push(0);
    out.extend_from_slice(&n_message.to_be_bytes());
    for part in [&message, http, &body_head, body] {
        out.extend_from_slice(part);
    }
}

/// Appends a string field, of which bytes that are no UTF-8 are replaced.
pub(super) fn string(out: &mut Vec<u8>, field: u32, text: &[u8]) {
    wire::bytes(out, field, String::from_utf8_lossy(text).as_bytes());
}

/// Appends an entry of the map of fields.
pub(super) fn header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let mut entry = Vec::with_capacity(name.len() + value.len() + 8);
    wire::bytes(&mut entry, 1, name.as_bytes());
    string(&mut entry, 2, value);
    wire::bytes(out, 3, &entry);
}

fn peer(address: SocketAddr, principal: Option<&[u8]>) -> Vec<u8> {
    let mut socket = Vec::new();
    wire::bytes(&mut socket, 2, address.ip().to_canonical().to_string().as_bytes());
    wire::number(&mut socket, 3, address.port().into());
    let mut outer = Vec::new();
    wire::bytes(&mut outer, 1, &socket);
    let mut peer = Vec::new();
    wire::bytes(&mut peer, 1, &outer);
    if let Some(principal) = principal {
        string(&mut peer, 4, principal);
    }
    peer
}

/// Reads a body of an answer: one frame, not compressed, with a `CheckResponse`.
///
/// # Errors
/// Fails if it is anything else, or neither a clear yes nor a clear no.
pub(super) fn read(body: &[u8]) -> Result<Verdict, Malformed> {
    let (head, message) = body.split_first_chunk::<5>().ok_or(Malformed)?;
    let [is_compressed, length @ ..] = *head;
    if is_compressed != 0 || u32::from_be_bytes(length) as usize != message.len() {
        return Err(Malformed);
    }
    let mut code = None;
    let mut granted = None;
    let mut denied = None;
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(status)) => code = Some(first_number(status)?),
            // The last of the two counts.
            (2, Value::Bytes(one)) => (denied, granted) = (Some(one), None),
            (3, Value::Bytes(one)) => (denied, granted) = (None, Some(one)),
            (1..=3, _) => return Err(Malformed),
            _ => {}
        }
    }
    match (code, denied, granted) {
        (Some(0) | None, None, Some(granted)) => grant(granted).map(Verdict::Yes),
        (Some(0), None, None) => Ok(Verdict::Yes(Grant::default())),
        (Some(_), Some(denied), _) => denial(denied),
        (Some(_), None, _) => denial(&[]),
        // Nothing that a service says on purpose.
        (None, _, _) => Err(Malformed),
    }
}

/// The first field of a `google.rpc.Status`, an `HttpStatus` or a `BoolValue`; 0 where it is left out.
fn first_number(message: &[u8]) -> Result<u64, Malformed> {
    let mut first = 0;
    for field in Fields::of(message) {
        match field? {
            (1, Value::Number(number)) => first = number,
            (1, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(first)
}

/// Reads an `OkHttpResponse`.
fn grant(message: &[u8]) -> Result<Grant, Malformed> {
    let mut grant = Grant::default();
    for field in Fields::of(message) {
        match field? {
            (2, Value::Bytes(option)) => {
                let (name, value, how) = header_option(option)?;
                grant.fields.extend(Change::new(name, value, how).map_err(|()| Malformed)?);
            }
            (5, Value::Bytes(name)) => {
                let name = name.to_ascii_lowercase();
                let is_kept = name.first() == Some(&b':') || std::str::from_utf8(&name).is_ok_and(is_framing);
                grant.removed.extend((!is_kept).then_some(name));
            }
            (6, Value::Bytes(option)) => {
                let (name, value, how) = header_option(option)?;
                let change = Change::new(name, value, how).map_err(|()| Malformed)?;
                grant.told.extend(change.map(|change| AnswerField {
                    name: change.name.as_str().as_bytes().to_vec(),
                    value: change.value.as_bytes().to_vec(),
                    is_alone: change.how == How::Replace,
                }));
            }
            (7, Value::Bytes(parameter)) => {
                let (name, value) = pair(parameter)?;
                grant.query.push((name.to_vec(), value.to_vec()));
            }
            (8, Value::Bytes(name)) => grant.removed_query.push(name.to_vec()),
            (2 | 5..=8, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(grant)
}

/// Reads a `DeniedHttpResponse`.
fn denial(message: &[u8]) -> Result<Verdict, Malformed> {
    let mut status = 0;
    let mut passed = Passed { fields: Vec::new(), body: Vec::new() };
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(one)) => status = first_number(one)?,
            (2, Value::Bytes(option)) => {
                let (name, value, how) = header_option(option)?;
                let change = Change::new(name, value, how).map_err(|()| Malformed)?;
                passed.fields.extend(change.map(|change| {
                    (change.name.as_str().as_bytes().to_vec(), change.value.as_bytes().to_vec())
                }));
            }
            (3, Value::Bytes(body)) => passed.body = body.to_vec(),
            (1..=3, _) => return Err(Malformed),
            _ => {}
        }
    }
    let status = match status {
        200..=599 => u16::try_from(status).unwrap_or(FORBIDDEN),
        _ => FORBIDDEN,
    };
    Ok(Verdict::No { status, passed })
}

/// Reads a `HeaderValueOption`: name, value, and what it does to others of the name.
fn header_option(message: &[u8]) -> Result<(&[u8], &[u8], How), Malformed> {
    let (mut name, mut value) = (&[][..], &[][..]);
    let (mut appends, mut action) = (false, 0);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(header)) => (name, value) = pair(header)?,
            (2, Value::Bytes(flag)) => appends = first_number(flag)? != 0,
            (3, Value::Number(number)) => action = number,
            (1..=3, _) => return Err(Malformed),
            _ => {}
        }
    }
    let how = match (action, appends) {
        (0, true) => How::Append,
        // Unlike elsewhere, services that say nothing mean this.
        (0 | 2, _) => How::Replace,
        (1, _) => How::IfAbsent,
        (3, _) => How::IfPresent,
        _ => return Err(Malformed),
    };
    Ok((name, value, how))
}

/// Reads a `HeaderValue` or a `QueryParameter`. A value as bytes counts if there is one.
fn pair(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut text, mut raw) = (&[][..], &[][..], &[][..]);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, Value::Bytes(bytes)) => text = bytes,
            (3, Value::Bytes(bytes)) => raw = bytes,
            (1..=3, _) => return Err(Malformed),
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(Malformed);
    }
    Ok((name, if raw.is_empty() { text } else { raw }))
}

/// Status of a no that names none.
const FORBIDDEN: u16 = 403;

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
