//! Heads of responses, checked as in the tests of the crate.

#![no_main]

use igw_h1::{Limits, RequestKind, ResponseHead};
use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/h1/tests/oracle/mod.rs"]
#[allow(dead_code)]
mod oracle;

fuzz_target!(|message: &[u8]| {
    let limits = Limits { head_bytes: 0, head_fields: 0, line_bytes: 0 };
    igw_fuzz::bounded(message, || {
        let mut head = ResponseHead::new();
        let parsed = head.parse(message, &limits, RequestKind::Other);
        (parsed, head)
    });
    oracle::response(message, oracle::Cuts::Few);
});
