//! Chunked bodies and trailers, checked as in the tests of the crate.

#![no_main]

use igw_h1::{ChunkEvent, ChunkedDecoder, Decoded, Field, Limits, parse_trailers};
use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/h1/tests/oracle/mod.rs"]
#[allow(dead_code)]
mod oracle;

fuzz_target!(|message: &[u8]| {
    igw_fuzz::bounded(message, || fields(message));
    oracle::chunked(message, oracle::Cuts::Few);
});

/// The trailers of a body that comes in one piece.
fn fields(mut rest: &[u8]) -> Vec<Field> {
    let limits = Limits { head_bytes: 0, head_fields: 0, line_bytes: 0 };
    let mut decoder = ChunkedDecoder::new(limits.clone());
    let mut fields = Vec::new();
    while let Ok(Decoded { consumed, event }) = decoder.decode(rest) {
        match event {
            ChunkEvent::Data { .. } => rest = &rest[consumed..],
            ChunkEvent::NeedMore => break,
            ChunkEvent::Trailers { start, end } => {
                // A section that breaks a rule has filled the list before it is refused, which counts as well.
                let _ = parse_trailers(&rest[start..end], &mut fields, &limits);
                break;
            }
        }
    }
    fields
}
