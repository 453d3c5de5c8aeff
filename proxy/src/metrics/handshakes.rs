//! Counts of TLS handshakes by how they ended.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Done,
    /// The protocol failed, or a certificate.
    Failed,
    /// The client left.
    Gone,
    /// The ClientHello is not well formed.
    Malformed,
    /// The client speaks something else.
    NotTls,
    Timeout,
    /// No listener serves the name.
    UnknownName,
}

/// Counters of one process.
#[derive(Default)]
pub(crate) struct HandshakeCounts {
    counts: [AtomicU64; Handshake::ALL.len()],
}

// === impl Handshake ===

impl Handshake {
    pub(crate) const ALL: [Handshake; 7] = [
        Handshake::Done,
        Handshake::Failed,
        Handshake::Gone,
        Handshake::Malformed,
        Handshake::NotTls,
        Handshake::Timeout,
        Handshake::UnknownName,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Gone => "gone",
            Self::Malformed => "malformed",
            Self::NotTls => "not_tls",
            Self::Timeout => "timeout",
            Self::UnknownName => "unknown_name",
        }
    }
}

// === impl HandshakeCounts ===

impl HandshakeCounts {
    pub(crate) fn count(&self, handshake: Handshake) {
        if let Some(count) = self.counts.get(handshake as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Results with their counts.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Handshake::ALL.into_iter().map(Handshake::as_str).zip(counts)
    }
}
