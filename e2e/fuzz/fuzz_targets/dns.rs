//! Answers of DNS servers, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/dns/tests/dns/oracle.rs"]
mod oracle;

fuzz_target!(|input: &[u8]| {
    if let Some((question, answer)) = oracle::parts(input) {
        igw_fuzz::bounded(&answer, || question.decode(&answer));
    }
    oracle::answer(input);
});
