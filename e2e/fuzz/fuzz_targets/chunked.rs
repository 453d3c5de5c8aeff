//! Chunked bodies and trailers, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/h1/tests/oracle/mod.rs"]
#[allow(dead_code)]
mod oracle;

fuzz_target!(|message: &[u8]| oracle::chunked(message));
