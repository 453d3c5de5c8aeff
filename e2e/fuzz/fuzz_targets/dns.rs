//! Answers of DNS servers, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/dns/tests/dns/oracle.rs"]
mod oracle;

fuzz_target!(|input: &[u8]| {
    oracle::answer(input, oracle::Cuts::Few, |question, answer| {
        let n_bytes_max = FIXED_BYTES + FACTOR * answer.len() as u64;
        igw_fuzz::within(n_bytes_max, answer, || question.decode(answer))
    });
});

/// A record is 272 bytes in memory and from 12 in a message; the list that holds them grows to its double.
const FACTOR: u64 = 80;
const FIXED_BYTES: u64 = 4 * 1_024;
