//! HTTP/1 heads and framing: strict, pure, without allocation in steady state.
//!
//! One grammar and no option to relax it (RFC 9110, RFC 9112). What is ambiguous between two readers is
//! refused, so that nobody behind this parser reads a message differently. `httparse` is the tokenizer; each
//! rule it is lax about is checked here.
//!
//! Invariants: no input panics; nothing is borrowed from a buffer (heads hold offsets and are used again);
//! no socket, no clock, no configuration besides [`Limits`].

mod chunked;
pub mod encode;
mod field;
mod host;
mod request;
mod response;
mod trailers;

pub use chunked::{ChunkError, ChunkEvent, ChunkedDecoder, Decoded};
pub use field::{Field, Known, Span};
pub use request::{RequestError, RequestHead, Target, TargetForm};
pub use response::{RequestKind, ResponseError, ResponseHead};
pub use trailers::parse_trailers;

/// Bounds of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole head. Default 65,536.
    pub head_bytes: usize,
    /// Fields of a head, at most [`FIELDS_MAX`]. Default 128.
    pub head_fields: usize,
    /// Bytes of the request line. Default 8,192.
    pub line_bytes: usize,
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How a body is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Up to the end of the connection; responses only.
    UntilClose,
}

/// Result of parsing a buffer that may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    Partial,
    /// The head is complete.
    Complete {
        /// Bytes of the head, including the empty line.
        len: usize,
    },
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 64 * 1024, head_fields: FIELDS_MAX, line_bytes: 8 * 1024 }
    }
}

/// Largest number of fields any limit can allow.
pub const FIELDS_MAX: usize = 128;
