//! What clients do too much of, so that their connection is ended.

use super::counts::Counted;

/// What a client did too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abuse {
    /// Streams given up before they had an answer.
    AbandonedStreams,
}

impl Counted for Abuse {
    const ALL: &'static [Self] = &[Self::AbandonedStreams];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::AbandonedStreams => "abandoned_streams",
        }
    }
}
