//! The fields behind a chunked body.

use crate::error::TrailerError;
use crate::field::{Field, Known, begins_with};
use crate::limits::Limits;
use crate::section;

/// Parses the trailer section that a decoder has found, all of `buf`, into `fields`. A field that frames, routes or
/// authenticates a message, or says how to read its body, comes too late in a trailer and is left out (RFC 9110 6.5.1).
///
/// # Errors
///
/// Where a line breaks the grammar, the section breaks a limit, or `buf` is not one whole section.
pub fn parse_trailers(buf: &[u8], fields: &mut Vec<Field>, limits: &Limits) -> Result<(), TrailerError> {
    fields.clear();
    if buf.is_empty() {
        return Ok(());
    }
    match section::read(buf, 0, limits, fields)? {
        Some(section) if section.end == buf.len() => {
            fields.retain(|field| field.known == Known::Other && !is_forbidden(field.name.of(buf)));
            Ok(())
        }
        _ => {
            fields.clear();
            Err(TrailerError::Incomplete)
        }
    }
}

fn is_forbidden(name: &[u8]) -> bool {
    let is_about_content = begins_with(name, b"content-") && !name.eq_ignore_ascii_case(b"content-digest");
    is_about_content
        || begins_with(name, b"if-")
        || FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// Request modifiers, controls of caches and authentication.
const FORBIDDEN: [&[u8]; 14] = [
    b"age",
    b"authentication-info",
    b"cache-control",
    b"expires",
    b"max-forwards",
    b"pragma",
    b"proxy-authentication-info",
    b"range",
    b"retry-after",
    b"te",
    b"vary",
    b"warning",
    b"www-authenticate",
    b"x-http-method-override",
];
