//! What becomes of spans.

use super::counts::Counted;

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Its collector took it.
    Exported,
    /// Too many waited.
    Dropped,
    /// Its collector did not take it, or did not answer in time.
    Failed,
}

impl Counted for Told {
    const ALL: &'static [Self] = &[Self::Exported, Self::Dropped, Self::Failed];

    fn index(self) -> usize {
        self as usize
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}
