//! What a process uses, and numbers that the environment sets.

use std::str::FromStr;
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
        self.times(2)
    }

    /// The same with that of its children that ended.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub fn cpu_time_with_ended(self) -> anyhow::Result<Duration> {
        self.times(4)
    }

    /// The sum of its first times: user, system, then both of children that ended.
    fn times(self, n: usize) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // Behind the name, which may hold anything, they are the 12th field and those after it.
        let rest = stat.rsplit_once(") ").context("stat")?.1;
        let n_ticks = rest.split(' ').skip(11).take(n).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(n_ticks * 1_000 / rustix::param::clock_ticks_per_second()))
    }
}

/// A number that the environment may set.
#[must_use]
pub fn number<N: FromStr>(name: &str, default: N) -> N {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What holds at full length, which the environment asks for with `name`, on a machine that does nothing else; else what
/// holds beside whatever else a machine does.
#[must_use]
pub fn at_length<T>(name: &str, strict: T, loose: T) -> T {
    if std::env::var_os(name).is_some() { strict } else { loose }
}
