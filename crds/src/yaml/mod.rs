//! The YAML door: the only way from text to objects.
//!
//! Text is split into documents, each is parsed into a tree with positions, decoded into its type, and
//! validated. One bad document hides no other. No anchors, aliases, tags, merge keys or duplicate keys;
//! bounded in size, depth and time.

mod decode;
mod diagnostic;
mod document;
mod emit;
mod fault;
mod json;
mod judge;
mod split;
mod suggest;
mod tree;

pub use diagnostic::{Diagnostic, Severity};
pub use document::{Cache, Document, Foreign, Reading, read, read_cached, read_in};
pub use emit::{to_yaml, value_to_yaml};
pub use fault::Fault;
pub use json::parse_value;
pub use judge::{Mistake, Verdict, judge};

/// The documents of a stream as they are written, each with the digest by which [`Document`] names it.
#[must_use]
pub fn texts(stream: &str) -> Vec<(u128, &str)> {
    split::split(stream)
        .iter()
        .map(|piece| (xxhash_rust::xxh3::xxh3_128(piece.text.as_bytes()), piece.text))
        .collect()
}
