//! What the first lines of requests and responses have in common: the version and the end of the line.

use crate::Version;

/// A version that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionError {
    Malformed,
    Unsupported,
}

/// Reads the version at the start of `bytes`; `None` while it is not complete.
///
/// # Errors
///
/// Where it is none, or not one of HTTP/1.0 and HTTP/1.1.
pub(crate) fn version(bytes: &[u8]) -> Result<Option<Version>, VersionError> {
    match bytes.get(..VERSION_BYTES) {
        Some(b"HTTP/1.1") => return Ok(Some(Version::Http11)),
        Some(b"HTTP/1.0") => return Ok(Some(Version::Http10)),
        _ => {}
    }
    let is_begun = bytes.iter().zip(b"HTTP/0.0").all(|(byte, expected)| match expected {
        b'0' => byte.is_ascii_digit(),
        _ => byte == expected,
    });
    match is_begun {
        false => Err(VersionError::Malformed),
        true if bytes.len() < VERSION_BYTES => Ok(None),
        true => Err(VersionError::Unsupported),
    }
}

/// Where the parse of a first line has to end, and the error there: at the limit of the line or at that of the head.
pub(crate) fn bound<E>(line_end: usize, head_end: usize, line_error: E, head_error: E) -> (usize, E) {
    if line_end <= head_end { (line_end, line_error) } else { (head_end, head_error) }
}

pub(crate) const VERSION_BYTES: usize = 8;
