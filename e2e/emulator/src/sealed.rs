//! Values of secrets as they rest: the envelope of the real daemon, with a stream of its own in place of a cipher.
//!
//! What it must share with the real one: the form, the size, and that the same value looks different each time.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Seals a value.
#[must_use]
pub fn seal(cluster: &str, node: &str, value: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(value);
    let mut data = encoder.finish().unwrap_or_default();
    let n_padding = BLOCK - data.len() % BLOCK;
    data.extend(std::iter::repeat_n(u8::try_from(n_padding).unwrap_or(0), n_padding));
    let vector: [u8; BLOCK] = rand::random();
    mix(&mut data, &vector);
    // The order of the members is that of the real one, and so is the length.
    let text = format!(
        r#"{{"clustername":"{cluster}","nodename":"{node}","iv":"{}","data":"{}","gen":0}}"#,
        URL_SAFE.encode(vector),
        URL_SAFE.encode(&data)
    );
    URL_SAFE.encode(text)
}

/// The value behind what is stored.
#[must_use]
pub fn open(coded: &str) -> Option<Vec<u8>> {
    let envelope: Value = serde_json::from_slice(&URL_SAFE.decode(coded).ok()?).ok()?;
    let vector = URL_SAFE.decode(envelope["iv"].as_str()?).ok()?;
    let mut data = URL_SAFE.decode(envelope["data"].as_str()?).ok()?;
    mix(&mut data, &vector);
    let n_padding = usize::from(*data.last()?);
    data.truncate(data.len().checked_sub(n_padding)?);
    let mut value = Vec::new();
    GzDecoder::new(&data[..]).read_to_end(&mut value).ok()?;
    Some(value)
}

fn mix(data: &mut [u8], vector: &[u8]) {
    for (n, part) in (0..).zip(data.chunks_mut(8)) {
        let stream = xxh3_64_with_seed(vector, n).to_le_bytes();
        part.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
    }
}

const BLOCK: usize = 16;
