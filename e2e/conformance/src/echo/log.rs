//! What a pod prints, kept in memory with its times.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

/// The lines of one pod. Copies write into the same log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: Arc<Mutex<VecDeque<(Timestamp, String)>>>,
}

// === impl Log ===

impl Log {
    /// Adds a line; beyond [`MAX_LINES`] the oldest goes.
    pub fn write(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back((Timestamp::now(), line));
    }

    /// The lines since a moment, each with its end of line.
    #[must_use]
    pub fn since(&self, moment: Timestamp) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = lines.iter().filter(|(at, _)| *at >= moment);
        recent.flat_map(|(_, line)| [line.as_str(), "\n"]).collect()
    }
}

/// Lines that are kept of one pod.
const MAX_LINES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_since_a_moment_are_told_and_old_ones_go() {
        let log = Log::default();
        let start = Timestamp::now();
        log.write("first".to_owned());
        assert_eq!(log.since(start), "first\n");
        let later = start.saturating_add(jiff::SignedDuration::from_secs(3600)).unwrap();
        assert_eq!(log.since(later), "");
        for n in 0..MAX_LINES {
            log.write(n.to_string());
        }
        assert!(log.since(start).starts_with("0\n"));
    }
}
