//! What a process uses, and numbers that the environment sets.

use std::time::Duration;

use anyhow::Context as _;

/// A process by its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

// === impl Process ===

impl Process {
    /// Resident memory.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub fn resident_kib(self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Open descriptors.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub fn n_descriptors(self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.0))?.count())
    }

    /// Time on processors since its start, of all its threads.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub fn cpu_time(self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // Behind the name, which may hold anything: user and system time are the 12th and 13th field.
        let rest = stat.rsplit_once(") ").context("stat")?.1;
        let mut times = rest.split(' ').skip(11).take(2).map(str::parse::<u64>);
        let n_ticks = times.next().context("user time")?? + times.next().context("system time")??;
        Ok(Duration::from_millis(n_ticks * 1_000 / TICKS_PER_SECOND))
    }
}

/// A number that the environment may set.
#[must_use]
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What holds at full length, which the environment asks for with `name`, on a machine that does nothing else; else what
/// holds beside whatever else a machine does.
#[must_use]
pub fn at_length<T>(name: &str, strict: T, loose: T) -> T {
    if std::env::var_os(name).is_some() { strict } else { loose }
}

/// What Linux tells times of processes in, on every machine that it runs on here.
const TICKS_PER_SECOND: u64 = 100;
