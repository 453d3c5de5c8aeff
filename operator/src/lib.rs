//! `igw`: Gateway API objects in, traffic out.
//!
//! `cli` has one file per verb, `standalone` is the gateway of one machine (`igw up`), `cluster` the operator of
//! an OpenSVC cluster, `dialect` lets clients of Kubernetes in,
//! `objects` and `doors` are what both share, `output` is what people read. Everything a verb knows
//! about objects comes from `igw-crds` (reading) and `igw-compile` (meaning); everything about matching from `igw-route`.
//! Nothing here speaks HTTP to clients: traffic is `igw-proxy`'s.
//!
//! There are two doors: [`run`] is the program, [`embedded`] the gateway of one machine inside another program.

mod acme;
mod certificates;
mod cli;
mod cluster;
mod dialect;
mod doors;
pub mod embedded;
mod objects;
mod output;
mod standalone;

pub use cli::run;
