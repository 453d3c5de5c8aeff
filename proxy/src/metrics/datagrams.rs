//! Why datagrams of UDP listeners are dropped.

use super::counts::Counted;

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// No route takes it.
    NoRoute,
    /// Its route has no valid back end for it.
    InvalidBackend,
    /// No endpoint is ready, or none has room.
    NoEndpoint,
    /// The endpoint is this proxy.
    Loop,
    /// There is no room for another flow.
    Full,
    /// An answer to a client that may not have asked: its address can be forged.
    Unasked,
    /// A socket did not take it: its buffer is full, or it is larger than what the network takes.
    NotSent,
}

impl Counted for Dropped {
    const ALL: &'static [Self] = &[
        Self::NoRoute,
        Self::InvalidBackend,
        Self::NoEndpoint,
        Self::Loop,
        Self::Full,
        Self::Unasked,
        Self::NotSent,
    ];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::InvalidBackend => "backend_invalid",
            Self::NoEndpoint => "no_endpoint",
            Self::Loop => "loop",
            Self::Full => "full",
            Self::Unasked => "unasked",
            Self::NotSent => "not_sent",
        }
    }
}
