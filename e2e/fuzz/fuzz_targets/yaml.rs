//! Texts for the YAML door, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../crds/tests/oracle/mod.rs"]
mod oracle;

fuzz_target!(|text: &[u8]| oracle::yaml(text));
