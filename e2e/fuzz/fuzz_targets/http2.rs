//! Heads of HTTP/2 requests in the form of HTTP/1, checked as in the tests of the crate.

#![no_main]

use igw_h1::{Limits, RequestHead};
use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/h1/tests/oracle/cuts.rs"]
mod cuts;
#[path = "../../../proxy/src/worker/h2/head.rs"]
mod head;
#[path = "../../../proxy/src/corpus/http2.rs"]
mod property;

/// The place of the subject in its crate.
mod worker {
    pub(crate) mod h2 {
        pub(crate) use crate::head;
    }
}

fuzz_target!(|input: &[u8]| {
    if let Some((request, rest)) = property::request(input) {
        igw_fuzz::bounded(input, || {
            let mut text = Vec::new();
            let written = head::write(&mut text, &request, rest, |_| ());
            let mut parsed = RequestHead::new();
            let outcome = parsed.parse(&text, &Limits::default());
            (text, parsed, written, outcome)
        });
    }
    property::head(input, cuts::Cuts::Few);
});
