//! Fields of answers between the form of HTTP/1, spans of a buffer, and that of HTTP/2, a map.

use bytes::Bytes;
use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue};
use igw_h1::{Field, ResponseHead};

use crate::worker::Worker;
use crate::worker::request::Request;
use crate::worker::response_head::response_fields;

/// The fields of an HTTP/1 answer for a client that speaks another version. Values stay where they are, in `buf`.
pub(crate) fn of_response(
    worker: &Worker,
    buf: &Bytes,
    head: &ResponseHead,
    request: &Request,
    length: Option<u64>,
) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(head.fields.len());
    let fields = head
        .fields
        .iter()
        .map(|entry| (entry.name.of(buf), entry.value.of(buf), entry.known, entry.hop_by_hop));
    let tells_length =
        length.is_none() && super::super::response_head::tells_length(head.body, head.status, request);
    response_fields(worker, fields, request, tells_length, |name, value| match part(buf, value) {
        Some(value) => append(&mut map, name, HeaderValue::from_maybe_shared(value)),
        None => push(&mut map, name, value),
    });
    if let Some(length) = length {
        map.insert(http::header::CONTENT_LENGTH, length.into());
    }
    map
}

/// Fields of an interim answer, or trailers.
pub(crate) fn of_section(buf: &[u8], fields: &[Field]) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields.iter().filter(|field| !field.hop_by_hop) {
        push(&mut map, field.name.of(buf), field.value.of(buf));
    }
    map
}

/// Appends a field. One that the other version cannot carry is left out.
pub(crate) fn push(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    append(map, name, HeaderValue::from_bytes(value));
}

fn append(map: &mut HeaderMap, name: &[u8], value: Result<HeaderValue, InvalidHeaderValue>) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
        map.append(name, value);
    }
}

/// `value` as a part of `buf`, if it lies there.
fn part(buf: &Bytes, value: &[u8]) -> Option<Bytes> {
    let start = (value.as_ptr() as usize).checked_sub(buf.as_ptr() as usize)?;
    let end = start.checked_add(value.len())?;
    (end <= buf.len()).then(|| buf.slice(start..end))
}
