//! The program `igw`: the allocator, and the verbs of the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A pass makes and drops many thousand small values; this allocator halves its time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A pass touches much memory once: clearing it in huge pages takes a third of the pass. A kernel that knows none of
    // them has nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    igw::run()
}
