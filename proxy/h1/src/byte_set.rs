//! Sets of bytes that are asked about for every byte of a line.

/// A set of bytes, as a table.
pub(crate) struct ByteSet([bool; 256]);

// === impl ByteSet ===

impl ByteSet {
    /// The set of these bytes.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, and only over constants")]
    pub(crate) const fn new(mut bytes: &[u8]) -> Self {
        let mut table = [false; 256];
        while let [byte, rest @ ..] = bytes {
            table[*byte as usize] = true;
            bytes = rest;
        }
        Self(table)
    }

    /// Whether `byte` is in the set.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "every byte has its place in the table")]
    pub(crate) const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }
}
