//! The Kubernetes REST dialect over the objects of igw.
//!
//! What: an HTTP door that kubectl, GitOps tools and clients of the Gateway API use as they would use a Kubernetes
//! server. Why an own crate: it knows kinds and clients, and nothing of files, clusters or compile; whoever owns the
//! objects says so through two traits.
//!
//! How it is used:
//!
//! 1. [`Registry::builtin`] makes the kinds of igw; [`Registry::add`] takes more.
//! 2. [`Store::new`] holds the objects. Writes of clients are asked of the owner's [`Persist`] before they show;
//!    what the owner saw elsewhere comes in through [`Store::observe`] and is never echoed. Kinds that somebody else
//!    keeps have a [`Source`], which is asked whenever a client asks.
//! 3. [`Server::new`] takes the store and an [`Access`], which says who somebody is and what they may do.
//! 4. [`serve`] answers on a [`Door`] until its future is dropped.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod access;
mod admission;
mod answers;
mod body;
mod builtin;
mod column;
mod door;
mod failure;
mod list_keys;
mod metadata;
mod ownership;
mod patch;
mod persist;
mod protobuf;
mod registry;
mod reply;
mod request;
mod resource;
mod rules;
mod selector;
mod server;
mod source;
mod store;
mod tree;
mod typed;

pub use access::{Access, Act, Caller, Everybody, Token, User};
pub use admission::{Admission, Admitted, Open};
pub use column::{Cell, Column};
pub use door::{Door, serve};
pub use failure::{Cause, Failure, Reason};
pub use list_keys::ListKeys;
pub use persist::{Accept, Change, Identity, Persist, Refusal};
pub use registry::Registry;
pub use reply::Body;
pub use request::Query;
pub use resource::{Resource, Scope, Style, Subresource, Verbs};
pub use server::{Server, Settings as ServerSettings};
pub use source::{Source, Wanted};
pub use store::{Action, Event, Place, Seen, Settings, Store};
