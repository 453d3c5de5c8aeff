//! How long a message is (RFC 9112 6). There is one answer or none.

use crate::Version;
use crate::error::FramingError;
use crate::field::{elements, is_token};
use crate::section::Summary;
use crate::span::Span;

/// Framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is no body.
    None,
    /// So many bytes follow the head.
    Length(u64),
    /// Chunks follow the head.
    Chunked,
    /// The body ends with the connection; responses only.
    UntilClose,
}

/// What the fields say about the length; `None` where they say nothing.
///
/// # Errors
///
/// Where they contradict each other or themselves.
pub(crate) fn read(buf: &[u8], summary: &Summary, version: Version) -> Result<Option<Body>, FramingError> {
    let lengths = summary.content_length;
    let codings = summary.transfer_encoding;
    match (lengths.first, codings.first) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(FramingError::LengthAndCoding),
        (Some(_), None) if lengths.is_repeated => Err(FramingError::LengthRepeated),
        (Some(value), None) => content_length(value.of(buf)).map(|length| Some(Body::Length(length))),
        (None, Some(_)) if version == Version::Http10 => Err(FramingError::CodingVersion),
        (None, Some(_)) if codings.is_repeated => Err(FramingError::Coding),
        (None, Some(value)) => transfer_encoding(buf, value).map(|()| Some(Body::Chunked)),
    }
}

fn content_length(value: &[u8]) -> Result<u64, FramingError> {
    if value.contains(&b',') {
        return Err(FramingError::LengthRepeated);
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(FramingError::Length);
    }
    let mut length: u64 = 0;
    for digit in value {
        let digit = u64::from(digit.wrapping_sub(b'0'));
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(digit))
            .filter(|length| *length <= LENGTH_MAX)
            .ok_or(FramingError::LengthTooLarge)?;
    }
    Ok(length)
}

fn transfer_encoding(buf: &[u8], value: Span) -> Result<(), FramingError> {
    let value = value.of(buf);
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    if !elements(value).all(is_token) {
        return Err(FramingError::Coding);
    }
    // All that is left is a list of names, one of them unknown, or `chunked` more than once.
    match elements(value).all(|name| name.eq_ignore_ascii_case(b"chunked")) {
        true => Err(FramingError::Coding),
        false => Err(FramingError::CodingUnknown),
    }
}

/// Largest length, of a body or of a chunk.
pub(crate) const LENGTH_MAX: u64 = i64::MAX as u64;
