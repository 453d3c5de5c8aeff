//! Headers of the PROXY protocol, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/h1/tests/oracle/cuts.rs"]
mod cuts;
#[path = "../../../proxy/src/corpus/proxy_protocol.rs"]
mod property;
#[path = "../../../proxy/src/proxy_protocol.rs"]
mod proxy_protocol;

fuzz_target!(|bytes: &[u8]| {
    igw_fuzz::bounded(bytes, || proxy_protocol::read(bytes));
    property::header(bytes, cuts::Cuts::Few);
});
