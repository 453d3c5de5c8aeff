//! Memory of the process: its allocations are counted, and pages of the program that it does not use are let go.
//! The one module with `unsafe`: allocators and mappings of memory are unsafe by nature.
//!
//! Invariants: every call to the allocator goes to mimalloc unchanged; the counter is the only addition, and the path
//! of a request does not allocate in steady state, which a test reads from it. Only pages are let go that hold what
//! their file holds, so that reading them again gives the same bytes.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mimalloc::MiMalloc;
use rustix::mm::Advice;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The counters of threads: those that live long count apart, so that workers share no memory that they write.
static COUNTS: [Count; COUNTS_MAX] = [const { Count(AtomicU64::new(0)) }; COUNTS_MAX];
/// Counter of all threads that came when every other one was taken.
static LATE: Count = Count(AtomicU64::new(0));
static N_TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Place of this thread's counter. Needs no destructor, so that allocators may ask for it at any time.
    static PLACE: Cell<usize> = const { Cell::new(UNKNOWN) };
}

/// The counter of one thread.
#[repr(align(64))]
struct Count(AtomicU64);

/// Allocations and reallocations since the start.
pub(crate) fn count_allocations() -> u64 {
    COUNTS.iter().chain([&LATE]).map(|count| count.0.load(Ordering::Relaxed)).sum()
}

/// Counts one. A thread with a counter of its own is the only one that writes it and needs no locked instruction.
#[inline]
fn count() {
    match COUNTS.get(PLACE.get()) {
        Some(Count(count)) => count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed),
        None => count_late(),
    }
}

/// The same for a thread that has no place yet, and for one that came too late for one.
#[cold]
#[inline(never)]
fn count_late() {
    if PLACE.get() == UNKNOWN {
        PLACE.set(N_TAKEN.fetch_add(1, Ordering::Relaxed).min(COUNTS_MAX));
    }
    COUNTS.get(PLACE.get()).unwrap_or(&LATE).0.fetch_add(1, Ordering::Relaxed);
}

/// Lets go the pages of the program and its libraries: what a start touched is needed once, and what is needed again
/// comes from the page cache. A process that can't be looked into keeps them.
pub(crate) fn let_go_program() {
    let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for range in unchanged(&mappings) {
        // SAFETY: the range is a private mapping of a file that cannot be written and has no page of its own, so
        // that its pages hold what the file holds and every later access reads the same bytes again.
        let _ = unsafe { rustix::mm::madvise(range.start as *mut _, range.len(), Advice::LinuxDontNeed) };
    }
}

/// Private mappings of files that cannot be written and of which no page was ever changed (proc_pid_smaps(5)).
fn unchanged(mappings: &str) -> Vec<Range<usize>> {
    let mut unchanged = Vec::new();
    let mut candidate = None;
    for line in mappings.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if first == "Anonymous:" {
            unchanged.extend(candidate.take().filter(|_| second == "0"));
        } else if let Some((start, end)) = first.split_once('-') {
            let is_fixed =
                matches!(second, "r--p" | "r-xp") && words.nth(3).is_some_and(|file| file.starts_with('/'));
            let address = |text| usize::from_str_radix(text, 16).ok().filter(|_| is_fixed);
            candidate = address(start).zip(address(end)).map(|(start, end)| start..end);
        }
    }
    unchanged
}

// SAFETY: every method hands its arguments to mimalloc, which keeps the trait's contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { MiMalloc.realloc(pointer, layout, new_size) }
    }
}

/// Threads that count apart: the first ones, which the workers are among.
const COUNTS_MAX: usize = 256;
/// Place of a thread that has not allocated yet.
const UNKNOWN: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_of_every_thread_count() {
        let n_before = count_allocations();
        let threads: Vec<_> = (0..COUNTS_MAX + 8)
            .map(|_| {
                std::thread::spawn(|| {
                    for n_bytes in 1..=10 {
                        drop(std::hint::black_box(vec![0_u8; n_bytes]));
                    }
                })
            })
            .collect();
        let n_threads = threads.len() as u64;
        for thread in threads {
            thread.join().expect("it only allocates");
        }
        let n_counted = count_allocations() - n_before;
        assert!(n_counted >= 10 * n_threads, "{n_counted} of {n_threads} threads");
        assert!(N_TAKEN.load(Ordering::Relaxed) > COUNTS_MAX, "the last ones had none of their own");
    }

    #[test]
    fn only_what_equals_its_file_is_let_go() {
        let mapping =
            |head: &str, anonymous: &str| format!("{head}\nRss:  8 kB\nAnonymous:  {anonymous} kB\n");
        let mappings = [
            mapping("1000-3000 r--p 00000000 fe:00 99 /bin/program", "0"),
            mapping("3000-8000 r-xp 00002000 fe:00 99   /bin/program", "0"),
            mapping("8000-9000 r-xp 00007000 fe:00 99 /bin/program", "4"),
            mapping("9000-a000 r--p 00008000 fe:00 99 /bin/program", "8"),
            mapping("a000-b000 rw-p 00009000 fe:00 99 /bin/program", "0"),
            mapping("b000-c000 rw-p 00000000 00:00 0", "0"),
            mapping("c000-d000 r--p 00000000 00:00 0", "0"),
            mapping("d000-e000 r-xs 00000000 fe:00 98 /lib/shared", "0"),
            mapping("e000-f000 r-xp 00000000 00:00 0 [vdso]", "0"),
            "f000-ff00 r-xp 00000000 fe:00 97 /lib/cut\n".to_owned(),
        ];
        assert_eq!(unchanged(&mappings.concat()), [0x1000..0x3000, 0x3000..0x8000]);
    }

    #[test]
    fn the_program_goes_on() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("a process has a status");
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("it has files");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        let before = resident();
        let_go_program();
        let after = resident();
        assert!(after < before, "{before} KiB before, {after} KiB after");
    }
}
