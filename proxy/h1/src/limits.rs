//! Bounds of a head.

/// Bounds of a head. Zero stands for the largest value that the parser takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole head, from 1 to 1,048,576; default 65,536.
    pub head_bytes: usize,
    /// Fields of a head, from 1 to 1,024; default 128.
    pub head_fields: usize,
    /// Bytes of the request line or status line with its line end, from 1 to 1,048,576; default 8,192. A single
    /// field may be as long as the head.
    pub line_bytes: usize,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 64 * 1024, head_fields: 128, line_bytes: 8 * 1024 }
    }
}

impl Limits {
    pub(crate) fn head(&self) -> usize {
        bounded(self.head_bytes, HEAD_BYTES_MAX)
    }

    pub(crate) fn fields(&self) -> usize {
        bounded(self.head_fields, HEAD_FIELDS_MAX)
    }

    pub(crate) fn line(&self) -> usize {
        bounded(self.line_bytes, HEAD_BYTES_MAX)
    }
}

fn bounded(limit: usize, max: usize) -> usize {
    if limit == 0 { max } else { limit.min(max) }
}

const HEAD_BYTES_MAX: usize = 1024 * 1024;
pub(crate) const HEAD_FIELDS_MAX: usize = 1024;
