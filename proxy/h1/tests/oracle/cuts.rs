//! Where properties cut their inputs. Shared by all parsers of bytes.
#![allow(dead_code, reason = "tests and fuzz targets need different parts of it")]

use std::hash::{DefaultHasher, Hasher as _};

/// At how many of the places where an input can be cut a property is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// At all of them, in a long input at about 200: for inputs that are kept.
    All,
    /// At two that the bytes of the input choose: for a campaign, whose inputs are many and have all places between
    /// them.
    Few,
}

// === impl Cuts ===

impl Cuts {
    /// Places in the first `n_bytes` of `input`, in order.
    pub fn of(self, input: &[u8], n_bytes: usize) -> impl Iterator<Item = usize> {
        let n_places = if self == Self::All { 200 } else { 2 };
        let step = n_bytes / n_places + 1;
        let first = if self == Self::All { 0 } else { chosen(input, step) };
        (first..n_bytes).step_by(step)
    }

    /// All of `ways`, or one that the bytes of the input choose.
    pub fn ways<'w, T>(self, input: &[u8], ways: &'w [T]) -> &'w [T] {
        let one = if self == Self::All { 0 } else { chosen(input, ways.len()) };
        if self == Self::All { ways } else { &ways[one..=one] }
    }
}

/// A number below `n` that depends on all bytes of the input and on nothing else.
fn chosen(input: &[u8], n: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    hasher.write(input);
    usize::try_from(hasher.finish() % n as u64).expect("a number below one")
}
