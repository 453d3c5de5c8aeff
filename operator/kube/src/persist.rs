//! The owner of the objects, asked before a change shows.
//!
//! What a client writes is a wish until the owner has made it last: a file, a key of a cluster. The owner is asked
//! for one object at a time, in order, and a slow answer holds up nobody else's objects. A client that goes away
//! while the owner works leaves a change that the owner may have made; it shows when the owner next tells what it
//! sees ([`crate::Store::observe`]).

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::access::User;
use crate::failure::{Failure, Reason};
use crate::store::Place;

/// A change that a client wants. Made if `before` is absent, deleted if `after` is.
#[derive(Clone, Debug)]
pub struct Change {
    /// Of which object.
    pub place: Place,
    /// The object as it shows now.
    pub before: Option<Arc<Value>>,
    /// The object as it would show, in the version that is stored.
    pub after: Option<Arc<Value>>,
    /// Only the status differs.
    pub is_status: bool,
}

/// What the owner knows of an object better than the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Identity.
    pub uid: Option<String>,
    /// RFC 3339, whole seconds.
    pub creation_timestamp: Option<String>,
    /// Counts changes of the content, from 1.
    pub generation: Option<u64>,
}

/// Why the owner does not make a change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// In one word.
    pub reason: Reason,
    /// In a sentence for the client.
    pub message: String,
}

/// Makes changes last.
pub trait Persist: Send + Sync {
    /// Makes one change last. The store shows it when this has returned.
    fn write<'a>(
        &'a self,
        who: &'a User,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Option<Identity>, Refusal>>;
}

/// Accepts everything at once: the store alone holds the objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accept;

// === impl Accept ===

impl Persist for Accept {
    fn write<'a>(&'a self, _: &'a User, _: &'a Change) -> BoxFuture<'a, Result<Option<Identity>, Refusal>> {
        Box::pin(async { Ok(None) })
    }
}

// === impl Refusal ===

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(crate) fn into_failure(self, place: &Place) -> Failure {
        Failure::new(self.reason, self.message).of(&place.resource, &place.name)
    }
}
