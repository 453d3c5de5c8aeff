//! `igw`: Gateway API objects in, traffic out.
//!
//! `cli` has one file per verb, `standalone` is the gateway of one machine (`igw up`), `cluster` the operator of
//! an OpenSVC cluster, `objects` and `doors` are what both share, `output` is what people read. Everything a verb knows about objects comes from `igw-crds` (reading) and `igw-compile`
//! (meaning); everything about matching from `igw-route`. This binary speaks no HTTP to clients: traffic is
//! `igw-proxy`'s.

mod acme;
mod certificates;
mod cli;
mod cluster;
mod doors;
mod objects;
mod output;
mod standalone;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A pass makes and drops many thousand small values; this allocator halves its time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A pass touches much memory once: clearing it in huge pages takes a third of the pass. A kernel that knows none of
    // them has nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    cli::run()
}
