//! Offsets into the caller's buffer.

/// A range of bytes in the buffer that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

// === impl Span ===

impl Span {
    /// Bytes of the span; empty where the span is not inside `buf`.
    #[inline]
    #[must_use]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Number of bytes.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether the span has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Span between two offsets. Offsets past 4 GiB do not occur: a head is bounded far below.
    #[inline]
    pub(crate) fn between(start: usize, end: usize) -> Self {
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    /// Span of a slice of `buf`; empty where it is none.
    #[inline]
    pub(crate) fn within(buf: &[u8], slice: &[u8]) -> Self {
        let start = slice.as_ptr().addr().wrapping_sub(buf.as_ptr().addr());
        match start.checked_add(slice.len()) {
            Some(end) if end <= buf.len() => Self::between(start, end),
            _ => Self::default(),
        }
    }
}
