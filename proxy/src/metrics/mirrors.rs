//! How copies of requests end.

use super::counts::Counted;

/// How a copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mirrored {
    /// Its back end answered, whatever it said.
    Answered,
    /// It lagged behind its request, took too long after it, or there were too many.
    Dropped,
    /// There was no answer, or its request broke off.
    Failed,
}

impl Counted for Mirrored {
    const ALL: &'static [Self] = &[Self::Answered, Self::Dropped, Self::Failed];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}
