//! The calls, one file per part of the API. Each names its path; §-numbers are those of the contract.

mod actions;
mod auth;
mod cluster;
mod instances;
mod keys;
mod objects;
mod stored;

pub use actions::{Action, OrchestrationId};
pub use auth::{RefreshToken, TokenRequest};
pub use cluster::NO_OBJECTS;
pub use instances::{InstanceAction, InstanceOptions, SessionId};
pub use keys::{KeyChange, KeyName, MAX_BATCH, MAX_QUERY};
pub use stored::{Evaluate, KeywordChanges, StoredFile};
