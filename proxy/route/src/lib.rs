//! Match tables: which rule gets a request.
//!
//! Used by the proxy on the path of every request and by `igw explain`, so that they cannot disagree. Pure:
//! no socket, no clock; a look-up allocates nothing and does not slow down with the number of hosts or paths.
//!
//! Precedence (Gateway API v1.7): the listener with the most specific hostname alone is eligible (listener
//! isolation); inside it the route's own hostname, then the path, then [`rank::Rank`].

mod condition;
pub mod cors;
pub mod edit;
mod explain;
mod hash;
mod host_table;
pub mod normalize;
mod path_index;
mod patterns;
pub mod rank;
mod table;

pub use condition::decoded_eq;
pub use explain::{Considered, Explanation, Verdict};
pub use table::{PortRoutes, Selection, Target};

/// What a look-up reads of a request. All values are views into the caller's buffer.
pub trait RequestView {
    /// Host, normalised by [`normalize::host`]; may be empty.
    fn host(&self) -> &[u8];
    /// Method token.
    fn method(&self) -> &[u8];
    /// Path, normalised by [`normalize::path`], without the query.
    fn path(&self) -> &[u8];
    /// Query without `?`; may be empty.
    fn query(&self) -> &[u8];
    /// Calls `each` with every value of the field `name` (lower case), in order.
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8]));
}
