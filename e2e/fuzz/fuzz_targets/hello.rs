//! Beginnings of TLS connections, checked as in the tests of the crate.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/h1/tests/oracle/cuts.rs"]
mod cuts;
#[path = "../../../proxy/src/tls/hello.rs"]
mod hello;
#[path = "../../../proxy/src/corpus/hello.rs"]
mod property;

/// The place of the subject in its crate.
mod tls {
    pub(crate) use crate::hello;
}

fuzz_target!(|bytes: &[u8]| {
    igw_fuzz::bounded(bytes, || hello::read(bytes));
    property::beginning(bytes, cuts::Cuts::Few);
});
