//! Values of keys in a cluster: JSON, gzip above 64 KiB, cut into pieces that the cluster takes. A bootstrap folder
//! holds the same as files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sync::{Envelope, checksum};

/// What the first key of a stored snapshot says of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Number of the keys `snapshot/<n>`, from 0.
    pub parts: usize,
    /// Of the bytes that the parts give together.
    pub checksum: String,
    /// Term of the operator that wrote it.
    pub epoch: u64,
    /// Number of the snapshot in its epoch.
    pub generation: u64,
}

/// Why keys give no value.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// A key that another one speaks of is not there.
    #[error("key {0} is missing")]
    Missing(String),
    /// The parts are not of one writing.
    #[error("the parts do not belong together")]
    Mixed,
    /// The bytes are no gzip, or give more than is read.
    #[error("the value cannot be decompressed: {0}")]
    Gzip(#[from] std::io::Error),
    /// The JSON has another shape.
    #[error("the value is not what it should be: {0}")]
    Json(#[from] serde_json::Error),
}

/// Compresses what is large.
#[must_use]
pub fn pack(bytes: Vec<u8>) -> Vec<u8> {
    compressed(&bytes).unwrap_or(bytes)
}

/// The bytes compressed, if they are many.
fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() <= PLAIN_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    // Writing to memory does not fail.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).ok()
}

/// The bytes that [`pack`] was given.
///
/// # Errors
/// Fails on a broken stream and on more than 256 MiB.
pub fn unpack(bytes: &[u8]) -> Result<Vec<u8>, UnpackError> {
    if !bytes.starts_with(GZIP_MAGIC) {
        return Ok(bytes.to_vec());
    }
    let mut plain = Vec::new();
    let n_read = GzDecoder::new(bytes).take(UNPACKED_BYTES).read_to_end(&mut plain)?;
    if n_read as u64 == UNPACKED_BYTES {
        return Err(UnpackError::Gzip(std::io::Error::other("it is too large")));
    }
    Ok(plain)
}

/// The keys of a stored snapshot.
#[must_use]
pub fn pack_snapshot(envelope: &[u8], epoch: u64, generation: u64) -> BTreeMap<String, Vec<u8>> {
    let packed = compressed(envelope).map_or(Cow::Borrowed(envelope), Cow::Owned);
    let parts: Vec<Vec<u8>> = packed.chunks(MAX_VALUE).map(<[u8]>::to_vec).collect();
    let manifest = Manifest { parts: parts.len(), checksum: checksum(&packed), epoch, generation };
    let mut keys: BTreeMap<String, Vec<u8>> =
        parts.into_iter().enumerate().map(|(n, part)| (part_key(n), part)).collect();
    // Numbers and text always encode.
    keys.insert(MANIFEST.to_owned(), serde_json::to_vec(&manifest).unwrap_or_default());
    keys
}

/// The snapshot that keys hold.
///
/// # Errors
/// [`UnpackError`] by cause; a snapshot of which some part is from another writing is refused.
pub fn unpack_snapshot<B: AsRef<[u8]>>(find: impl Fn(&str) -> Option<B>) -> Result<Envelope, UnpackError> {
    let key = |name: &str| find(name).ok_or_else(|| UnpackError::Missing(name.to_owned()));
    let manifest: Manifest = serde_json::from_slice(key(MANIFEST)?.as_ref())?;
    let mut packed = Vec::new();
    for n in 0..manifest.parts.min(MAX_PARTS) {
        packed.extend_from_slice(key(&part_key(n))?.as_ref());
    }
    if checksum(&packed) != manifest.checksum {
        return Err(UnpackError::Mixed);
    }
    Ok(serde_json::from_slice(&unpack(&packed)?)?)
}

fn part_key(n: usize) -> String {
    format!("snapshot/{n}")
}

/// First key of a stored snapshot.
pub const MANIFEST: &str = "snapshot/manifest.json";
/// Values up to here are stored as they are.
const PLAIN_BYTES: usize = 64 << 10;
/// Largest value of one key; the cluster takes 1,000,000 bytes.
const MAX_VALUE: usize = 900_000;
const MAX_PARTS: usize = 1000;
const UNPACKED_BYTES: u64 = 256 << 20;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

#[cfg(test)]
mod tests {
    use crate::snapshot::Snapshot;

    use super::*;

    #[test]
    fn values_come_back_whatever_their_size() {
        for size in [0, 1, PLAIN_BYTES, PLAIN_BYTES + 1, 3_000_000] {
            let value: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let packed = pack(value.clone());
            assert_eq!(packed.starts_with(GZIP_MAGIC), size > PLAIN_BYTES);
            assert_eq!(unpack(&packed).unwrap(), value);
        }
    }

    #[test]
    fn a_snapshot_is_whole_or_refused() {
        let envelope =
            Envelope::seal(7, 3, &Snapshot { cluster: "blue".into(), ..Snapshot::default() }).unwrap();
        let keys = pack_snapshot(&serde_json::to_vec(&envelope).unwrap(), 7, 3);
        let find = |keys: &BTreeMap<String, Vec<u8>>| {
            unpack_snapshot(|name| keys.get(name)).map(|found| found.generation)
        };
        assert_eq!(find(&keys).unwrap(), 3);
        for key in keys.keys() {
            let mut broken = keys.clone();
            broken.remove(key);
            assert!(find(&broken).is_err(), "without {key}");
            let value = &keys[key];
            for byte in 0..value.len() {
                let mut flipped = value.to_vec();
                flipped[byte] ^= 1;
                let mut broken = keys.clone();
                broken.insert(key.clone(), flipped);
                // A flip inside the numbers of the manifest changes no byte of the snapshot.
                assert!(find(&broken).map_or(true, |generation| generation == 3), "{key} byte {byte}");
            }
        }
    }
}
