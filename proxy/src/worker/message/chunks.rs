//! Chunks of HTTP/1 taken apart, for a side that speaks something else.

use bytes::Bytes;
use http::HeaderMap;
use igw_h1::{ChunkEvent, ChunkedDecoder, Limits, parse_trailers};

use super::fields;
use crate::worker::Worker;

/// What was found in some bytes.
pub(crate) struct Taken {
    pub(crate) n_bytes: usize,
    pub(crate) data: Bytes,
    /// The body is complete; its trailers, perhaps none.
    pub(crate) end: Option<HeaderMap>,
}

/// Takes what there is.
///
/// # Errors
/// Fails if the chunks break HTTP.
pub(crate) fn take(
    worker: &Worker,
    decoder: &mut ChunkedDecoder,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Taken, ()> {
    let mut out = worker.scratch.output();
    let mut n_bytes = 0;
    let end = loop {
        let rest = bytes.get(n_bytes..).unwrap_or_default();
        let decoded = decoder.decode(rest).map_err(|_| ())?;
        n_bytes += decoded.consumed;
        match decoded.event {
            ChunkEvent::NeedMore => break None,
            ChunkEvent::Data { start, end } => {
                out.extend_from_slice(rest.get(start..end).unwrap_or_default());
            }
            ChunkEvent::Trailers { start, end } => {
                let section = rest.get(start..end).unwrap_or_default();
                if section.is_empty() {
                    break Some(HeaderMap::new());
                }
                let mut trailers = worker.scratch.trailers();
                trailers.clear();
                parse_trailers(section, &mut trailers, limits).map_err(|_| ())?;
                break Some(fields::of_section(section, &trailers));
            }
        }
    };
    Ok(Taken { n_bytes, data: Bytes::copy_from_slice(&out), end })
}
