//! What goes wrong between igw and an authority, by what has to be done about it.

use jiff::Timestamp;
use thiserror::Error;

/// Trouble of one step.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The authority wants no request before a moment.
    #[error("the authority wants no request before {until}")]
    NotBefore {
        /// The moment.
        until: Timestamp,
        /// What it said.
        why: String,
    },
    /// Nobody answers there, or not well.
    #[error("{0}")]
    Unavailable(String),
    /// The authority does not know the account any more.
    #[error("the authority does not know the account any more; registering again")]
    AccountLost,
    /// The authority does not know the order any more.
    #[error("the authority does not know the order any more; ordering again")]
    OrderLost,
    /// The authority refuses, for reasons of the names or of the account.
    #[error("{0}")]
    Refused(String),
    /// Something on this side is missing or broken.
    #[error("{0}")]
    Local(String),
}
