//! What connections of peers begin with that must tell the client's address.

use super::counts::Counted;

/// What a connection of a trusted peer began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// A header with addresses.
    Proxied,
    /// A header of a peer that speaks for itself.
    Local,
    /// Something else, or nothing in time: the connection was closed.
    Refused,
}

impl Counted for Greeting {
    const ALL: &'static [Self] = &[Self::Proxied, Self::Local, Self::Refused];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Proxied => "proxied",
            Self::Local => "local",
            Self::Refused => "refused",
        }
    }
}
