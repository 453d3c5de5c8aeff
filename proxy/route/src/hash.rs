//! A fast hash for tables whose keys are configured. Requests only probe, so nobody can make keys collide.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map from configured bytes.
pub(crate) struct ByteMap<V> {
    inner: HashMap<Box<[u8]>, V, BuildHasherDefault<Mixer>>,
}

/// Multiplies and folds eight bytes at a time.
#[derive(Default)]
pub(crate) struct Mixer {
    state: u64,
}

// === impl ByteMap ===

impl<V> Default for ByteMap<V> {
    fn default() -> Self {
        Self { inner: HashMap::default() }
    }
}

impl<V> ByteMap<V> {
    pub(crate) fn find(&self, key: &[u8]) -> Option<&V> {
        if self.inner.is_empty() { None } else { self.inner.get(key) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    pub(crate) fn entry(&mut self, key: &[u8]) -> &mut V
    where
        V: Default,
    {
        self.inner.entry(key.into()).or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.inner.iter().map(|(key, value)| (&**key, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.inner.values_mut()
    }
}

// === impl Mixer ===

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0_u8; 8];
        for (place, byte) in last.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}

impl Mixer {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(FACTOR);
        self.state = (product as u64) ^ (product >> 64) as u64 ^ word.rotate_left(17);
    }
}

/// An odd number without pattern (fraction of the square root of two).
const FACTOR: u64 = 0x6A09_E667_F3BC_C909;
