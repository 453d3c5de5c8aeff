//! Snapshots that nobody compiled, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/route/tests/snapshots/mod.rs"]
mod snapshots;

fuzz_target!(|bytes: &[u8]| snapshots::tables(bytes));
