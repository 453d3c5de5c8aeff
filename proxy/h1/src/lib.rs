//! HTTP/1 heads and framing: pure, strict, fuzzed.
//!
//! Bytes go in, offsets come out. Nothing here reads a socket, owns a buffer of the message, or knows about routes.
//! Heads are parsed into [`Span`]s over the caller's buffer and the vector of [`Field`]s is used again for the next
//! head, so that parsing does not allocate in steady state.
//!
//! Invariants:
//! * One grammar and no option to relax it. What two parsers could read in two ways is refused: RFC 9112 where it is
//!   strict, stricter where it leaves a choice (a message with both lengths, a repeated length, bare line feeds).
//! * A prefix of a message is either partial or refused for the reason that the whole message is refused for. How a
//!   message is cut into packets never changes what it means.
//! * No input panics, and no input costs more than a small multiple of its bytes.

#![warn(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

pub mod encode;

mod authority;
mod byte_set;
mod chunked;
mod connection;
mod error;
mod field;
mod framing;
mod limits;
mod line;
mod request;
mod response;
mod section;
mod span;
mod target;
mod trailers;

pub use chunked::{ChunkEvent, ChunkedDecoder, Decoded};
pub use error::{ChunkError, FieldError, FramingError, RequestError, ResponseError, TrailerError};
pub use field::{Field, Known};
pub use framing::Body;
pub use limits::Limits;
pub use request::RequestHead;
pub use response::{RequestKind, ResponseHead};
pub use span::Span;
pub use target::{Target, TargetForm};
pub use trailers::parse_trailers;

/// Version of a message. No other version gets past a parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How far a head has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is not complete; parse again with the same bytes and more behind them.
    Partial,
    /// The head is complete.
    Complete {
        /// Bytes of the head, its empty last line included; the body begins there.
        len: usize,
    },
}
