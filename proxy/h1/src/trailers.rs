//! Trailer sections (RFC 9110 section 6.5).

use crate::chunked::ChunkError;
use crate::field::lines_are_whole;
use crate::{FIELDS_MAX, Field, Known, Limits, Span};

/// Parses a whole trailer section, empty line included. Fields that frame, route or authenticate a message,
/// or that describe its content, are not trailers and are left out.
///
/// # Errors
/// [`ChunkError::Trailers`] if the section breaks the grammar or has too many fields.
pub fn parse_trailers(buf: &[u8], fields: &mut Vec<Field>, limits: &Limits) -> Result<(), ChunkError> {
    fields.clear();
    let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let parsed = httparse::parse_headers(buf, &mut headers);
    let Ok(httparse::Status::Complete((n_bytes, headers))) = parsed else { return Err(ChunkError::Trailers) };
    if n_bytes != buf.len() || headers.len() > limits.head_fields || !lines_are_whole(buf) {
        return Err(ChunkError::Trailers);
    }
    for header in headers {
        let known = Known::of(header.name.as_bytes());
        let value = header.value.trim_ascii();
        if is_allowed(known, header.name) {
            fields.push(Field {
                name: Span::within(buf, header.name.as_bytes()),
                value: if value.is_empty() { Span::default() } else { Span::within(buf, value) },
                known,
                hop_by_hop: false,
            });
        }
    }
    Ok(())
}

fn is_allowed(known: Known, name: &str) -> bool {
    let is_plain = matches!(known, Known::Other | Known::Via | Known::Date | Known::Server);
    let is_forbidden = FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden));
    is_plain && !is_forbidden && !name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"))
}

/// Names that would change how the message was understood (RFC 9110 section 6.5.1).
const FORBIDDEN: [&str; 10] = [
    "age",
    "authorization",
    "cache-control",
    "cookie",
    "max-forwards",
    "pragma",
    "range",
    "set-cookie",
    "vary",
    "www-authenticate",
];
