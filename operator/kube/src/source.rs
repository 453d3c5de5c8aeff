//! Kinds whose objects somebody else keeps: they are looked up whenever a client asks for them, in its name.
//!
//! What was found shows in the store like everything else, so that lists, tables, watches and patches know one way
//! only. A watch sees changes when somebody looks, and looks by itself now and then.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::access::User;
use crate::persist::Refusal;
use crate::resource::Resource;
use crate::store::Seen;

/// What is looked up.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The kind.
    pub resource: &'a Arc<Resource>,
    /// Namespace; empty for all, or for kinds of the whole cluster.
    pub namespace: &'a str,
    /// Name; empty for all.
    pub name: &'a str,
}

/// Whoever keeps the objects of a kind.
pub trait Source: Send + Sync {
    /// The objects that are wanted, as they are now. Whoever asks may read them.
    fn look<'a>(&'a self, who: &'a User, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Vec<Seen>, Refusal>>;
}
