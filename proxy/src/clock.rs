//! The only place that reads the monotonic clock, so that times of one process compare.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the process first asked.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(START.get_or_init(now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Wall-clock time since the epoch; zero before it.
pub(crate) fn wall() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
