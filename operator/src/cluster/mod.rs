//! Cluster mode: objects in keys of OpenSVC `cfg` objects, an operator, services that run proxies.
//!
//! ```text
//! cfg igw, igw.* --(lists, events: runner)--> inputs --> compile --> snapshots --(board, sync)--> proxies
//!                                               |            |                                      |
//!                             igw-status <--- books       services, owned objects     reports <-----+
//! ```
//!
//! `engine` decides and neither waits nor asks; `runner` makes the calls it wants made. Everything that is stored is
//! written by `owned` (own `cfg` and `sec` objects) and `services`, one step at a time per object; certificates that
//! renew themselves, and what is remembered of their orders, rest on the `shelf`.

pub mod app;
pub mod arrivals;
pub mod board;
pub mod books;
pub mod change;
pub mod credentials;
pub mod engine;
pub mod inputs;
pub mod issuance;
pub mod layout;
mod materials;
pub mod mirror;
mod neighbours;
pub mod owned;
pub mod plan;
pub mod proxies;
pub mod reader;
pub mod rollout;
pub mod runner;
pub mod service_text;
pub mod services;
pub mod shelf;
pub mod term;
