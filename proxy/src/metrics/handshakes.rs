//! How TLS handshakes with clients end.

use super::counts::Counted;

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

impl Counted for Handshake {
    const ALL: &'static [Self] = &[
        Self::Done,
        Self::Failed,
        Self::Gone,
        Self::Malformed,
        Self::NotTls,
        Self::Timeout,
        Self::UnknownName,
    ];

    fn index(self) -> usize {
        self as usize
    }

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
