//! How often a request is tried, and when again.

use std::time::Duration;

use igw_crds::snapshot::Retry;

use super::random::Random;
use crate::upstream::local::LocalBackend;

/// The tries of one request.
pub(crate) struct Tries<'r> {
    /// What the rule says, in place of the default.
    rule: Option<&'r Retry>,
    /// Endpoints that were tried, the first try's first.
    tried: Vec<u64>,
}

// === impl Tries ===

impl<'r> Tries<'r> {
    pub(crate) fn new(rule: Option<&'r Retry>) -> Self {
        Self { rule, tried: Vec::new() }
    }

    /// Tries after the first one.
    pub(crate) fn n_retries(&self) -> u32 {
        u32::try_from(self.tried.len()).unwrap_or(u32::MAX)
    }

    /// Endpoints that another try avoids, as long as there are others.
    pub(crate) fn tried(&self) -> &[u64] {
        &self.tried
    }

    /// One more try is within what the rule allows and what the back end's budget holds.
    pub(crate) fn may_go_on(&self, local: &LocalBackend) -> bool {
        let n_max = self.rule.map_or(DEFAULT_RETRIES, |retry| retry.attempts.min(RETRIES_MAX));
        self.n_retries() < n_max && local.retries.has_one()
    }

    /// Takes one more try after that of `endpoint`; false if there is none.
    pub(crate) fn go_on(&mut self, local: &LocalBackend, endpoint: u64) -> bool {
        let goes_on = self.may_go_on(local) && local.retries.spend();
        if goes_on {
            self.tried.push(endpoint);
        }
        goes_on
    }

    /// Statuses that are tried again.
    pub(crate) fn codes(&self) -> &'r [u16] {
        self.rule.map_or(&[], |retry| &retry.codes)
    }

    /// An answer that takes too long is tried again: where a rule says so.
    pub(crate) fn hurries(&self) -> bool {
        self.rule.is_some()
    }

    /// Time before the next try: twice as long each time, and up to half more by chance, so that those who failed together
    /// do not come back together. By default another endpoint is asked at once.
    pub(crate) fn pause(&self, random: &Random) -> Option<Duration> {
        let retry = self.rule?;
        let n_doubled = self.n_retries().saturating_sub(1).min(DOUBLED_MAX);
        let base_ms = retry.backoff_ms.saturating_mul(1 << n_doubled);
        let pause_ms = base_ms.saturating_add(random.below(base_ms / 2 + 1));
        (pause_ms > 0).then(|| Duration::from_millis(pause_ms))
    }
}

/// Tries after the first one where no rule says another number.
pub(crate) const DEFAULT_RETRIES: u32 = 2;
/// More are not made, whatever a rule says.
const RETRIES_MAX: u32 = 16;
/// A pause is at most 16 times the first one, and half more.
const DOUBLED_MAX: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_differ() {
        let random = Random::new(7);
        let retry = Retry { codes: Vec::new(), attempts: 9, backoff_ms: 100 };
        let mut tries = Tries::new(Some(&retry));
        for (n, base) in [100, 200, 400, 800, 1_600, 1_600].into_iter().enumerate() {
            tries.tried.push(n as u64);
            let pauses: Vec<u64> =
                (0..50).map(|_| tries.pause(&random).expect("a pause").as_millis() as u64).collect();
            assert!(pauses.iter().all(|pause| (base..=base * 3 / 2).contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        }
        assert_eq!(Tries::new(None).pause(&random), None);
    }
}
