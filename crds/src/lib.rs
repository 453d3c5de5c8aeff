//! Contracts of igw.
//!
//! Two halves. `snapshot` (with `sync`) is what the control side tells the proxy and what the proxy
//! reports back; it is all that the proxy compiles. `objects` is what people write: Gateway API objects
//! and our own kinds, the YAML door that reads them, their defaults, limits and JSON Schemas.
//!
//! No network, no clock, no files.

#[cfg(feature = "snapshot")]
pub mod snapshot;
#[cfg(feature = "snapshot")]
pub mod stored;
#[cfg(feature = "snapshot")]
pub mod sync;

#[cfg(feature = "objects")]
pub mod limits;
#[cfg(feature = "objects")]
pub mod objects;
#[cfg(feature = "objects")]
pub mod schema;
#[cfg(feature = "objects")]
pub mod validate;
#[cfg(feature = "objects")]
pub mod yaml;
