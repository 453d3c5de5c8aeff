//! The event stream (§8): parser, types, filters, and a stream that stays.
//!
//! Events are triggers, not a log: several writes give one event, a stream can lose events and cannot be resumed.
//! So after each [`Signal::Relist`] the whole must be read again, and a slow resync beside it finds what no signal
//! told.

mod event;
mod filter;
mod sse;
mod stream;

pub use event::{Event, EventKind, Origin, Received};
pub use filter::{Filter, Subscription};
pub use sse::{Frame, MAX_EVENT, Parsed, SseParser};
pub use stream::{Cause, EventStream, Patience, Signal};
