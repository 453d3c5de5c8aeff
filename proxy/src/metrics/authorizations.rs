//! How questions whether requests may go on are answered.

use super::counts::Counted;

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorized {
    /// The request goes on.
    Allowed,
    /// The client has the answer of the service.
    Denied,
    /// There was no answer: the request does not go on.
    Failed,
    /// The body could not be shown: it is too large, or did not come. Nobody was asked.
    Refused,
}

impl Counted for Authorized {
    const ALL: &'static [Self] = &[Self::Allowed, Self::Denied, Self::Failed, Self::Refused];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}
