//! Texts for the YAML door, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../crds/tests/oracle/mod.rs"]
mod oracle;

fuzz_target!(|text: &[u8]| {
    if let Ok(read) = str::from_utf8(text) {
        igw_fuzz::within(FIXED_BYTES + FACTOR * text.len() as u64, text, || igw_crds::yaml::read("f", read));
    }
    oracle::yaml(text);
});

/// A rule of an HTTPRoute is three bytes at least, `{},`, and has place for all that it could say.
const FACTOR: u64 = 400;
/// What the parser holds back: for up to 1,024 bytes that may be a key, as much as 800 bytes for each.
const FIXED_BYTES: u64 = 320 * 1_024;
