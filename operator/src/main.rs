//! `igw`: Gateway API objects in, traffic out.
//!
//! `cli` has one file per verb, `standalone` is the gateway of one machine (`igw up`), `output` is what
//! people read. Everything a verb knows about objects comes from `igw-crds` (reading) and `igw-compile`
//! (meaning); everything about matching from `igw-route`. This binary speaks no HTTP to clients: traffic is
//! `igw-proxy`'s.

mod cli;
mod output;
mod standalone;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
