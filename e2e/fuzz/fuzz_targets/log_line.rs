//! Lines of the access log about any request, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/src/clock.rs"]
#[allow(dead_code)]
mod clock;
#[path = "../../../proxy/h1/tests/oracle/cuts.rs"]
mod cuts;
#[path = "../../../proxy/src/log/line.rs"]
mod log;
#[path = "../../../proxy/src/corpus/log_line.rs"]
mod property;

fuzz_target!(|input: &[u8]| {
    igw_fuzz::bounded(input, || property::written(input));
    property::line(input, cuts::Cuts::Few);
});
