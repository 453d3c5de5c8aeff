//! What a load saw.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Counts of a load. Those without a word on it are of the time that counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Answers 200.
    pub n_good: u64,
    /// Other answers.
    pub n_bad: u64,
    /// Connections that were not made.
    pub n_unconnected: u64,
    /// Requests whose connection ended before the answer.
    pub n_broken: u64,
    /// Requests whose answer was not understood.
    pub n_strange: u64,
    /// Connections that the proxy ended between requests.
    pub n_closed: u64,
    pub n_opened: u64,
    pub n_resumed: u64,
    /// Bytes received and sent.
    pub n_bytes: u64,
    /// Answers of the warm-up too.
    pub n_answers_ever: u64,
    /// Bytes of the warm-up too.
    pub n_bytes_ever: u64,
    pub seconds: f64,
    /// Time of an answer in microseconds, the median.
    pub p50: f64,
    /// Time of an answer in microseconds that one in a hundred exceeds.
    pub p99: f64,
    /// Each time in units of 100 ns.
    #[serde(skip)]
    times: Vec<u32>,
}

// === impl Tally ===

impl Tally {
    /// Begins to count, after the warm-up.
    pub fn begin(&mut self) {
        *self = Self {
            n_answers_ever: self.n_answers_ever + self.n_good + self.n_bad,
            n_bytes_ever: self.n_bytes_ever + self.n_bytes,
            // What failed counts whenever it failed.
            n_unconnected: self.n_unconnected,
            n_broken: self.n_broken,
            n_strange: self.n_strange,
            ..Self::default()
        };
    }

    /// Ends after so many seconds of counting.
    pub fn end(&mut self, seconds: f64) {
        self.n_answers_ever += self.n_good + self.n_bad;
        self.n_bytes_ever += self.n_bytes;
        self.seconds = seconds.max(0.0);
        self.times.sort_unstable();
        self.p50 = self.quantile(0.5);
        self.p99 = self.quantile(0.99);
    }

    /// Counts an answer.
    pub fn answer(&mut self, is_good: bool, time: Duration) {
        if is_good {
            self.n_good += 1;
        } else {
            self.n_bad += 1;
        }
        self.times.push(u32::try_from(time.as_nanos() / 100).unwrap_or(u32::MAX));
    }

    /// Everything that is no good answer.
    pub fn n_errors(&self) -> u64 {
        self.n_bad + self.n_unconnected + self.n_broken + self.n_strange
    }

    fn quantile(&self, part: f64) -> f64 {
        let rank = (self.times.len() as f64 * part).ceil() as usize;
        self.times.get(rank.saturating_sub(1)).map_or(0.0, |time| f64::from(*time) / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_counted() {
        let mut tally = Tally::default();
        tally.answer(true, Duration::from_secs(1));
        tally.begin();
        (1..=100).for_each(|micros| tally.answer(micros != 7, Duration::from_micros(micros)));
        tally.end(1.0);
        assert_eq!((tally.p50, tally.p99), (50.0, 99.0));
        assert_eq!((tally.n_good, tally.n_bad, tally.n_answers_ever), (99, 1, 101));
    }
}
