//! Fast random numbers of one worker, for choices that need no secrecy.

use std::cell::Cell;

/// An xorshift generator (Marsaglia), seeded from the system.
pub(crate) struct Random {
    state: Cell<u64>,
}

// === impl Random ===

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: Cell::new(seed | 1) }
    }

    pub(crate) fn next(&self) -> u64 {
        let mut x = self.state.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}
