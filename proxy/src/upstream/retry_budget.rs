//! How many requests of one back end may be tried again, so that retries do not become the load that fails them.
//!
//! Every request earns a fifth of a retry. Where there are few requests, of which many need a retry, time earns too: ten
//! retries a second, up to ten.

use std::cell::Cell;
use std::time::Duration;

/// The budget of one worker.
pub(crate) struct RetryBudget {
    /// In hundredths of a retry.
    tokens: Cell<u32>,
}

// === impl RetryBudget ===

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self { tokens: Cell::new(QUIET_TOKENS) }
    }

    /// There is a retry.
    pub(crate) fn has_one(&self) -> bool {
        self.tokens.get() >= RETRY_TOKENS
    }

    /// Takes a retry out; false if there is none.
    pub(crate) fn spend(&self) -> bool {
        let has_one = self.has_one();
        if has_one {
            self.tokens.set(self.tokens.get() - RETRY_TOKENS);
        }
        has_one
    }

    /// A request comes, so long after the one before.
    pub(crate) fn earn(&self, pause: Duration) {
        let tokens = self.tokens.get();
        let of_time = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX).saturating_mul(TOKENS_PER_MS);
        let rested = tokens.max(tokens.saturating_add(of_time).min(QUIET_TOKENS));
        self.tokens.set(rested.saturating_add(REQUEST_TOKENS).min(MAX_TOKENS));
    }
}

/// Tokens of one retry.
const RETRY_TOKENS: u32 = 100;
/// Tokens that a request earns: a fifth of a retry.
const REQUEST_TOKENS: u32 = 20;
/// Tokens that a millisecond earns: ten retries a second.
const TOKENS_PER_MS: u32 = 1;
/// What there is at first, and what time alone brings at most.
const QUIET_TOKENS: u32 = 1_000;
/// What there is at most.
const MAX_TOKENS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn spend_all(budget: &RetryBudget) -> usize {
        std::iter::repeat_with(|| budget.spend()).take_while(|spent| *spent).count()
    }

    #[test]
    fn requests_and_time_earn_retries() {
        let budget = RetryBudget::new();
        assert_eq!(spend_all(&budget), 10);
        for _ in 0..25 {
            budget.earn(Duration::ZERO);
        }
        assert_eq!(spend_all(&budget), 5);
        // The request itself, and the time before it.
        budget.earn(Duration::from_millis(300));
        assert_eq!(spend_all(&budget), 3);
        budget.earn(Duration::from_secs(3_600));
        assert_eq!(spend_all(&budget), 10);
        // Time brings no more to who has much.
        for _ in 0..100_000 {
            budget.earn(Duration::from_secs(1));
        }
        assert_eq!(spend_all(&budget), 100);
    }
}
