//! `/etc/resolv.conf`, followed when it changes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// What is taken from the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostSettings {
    pub(crate) nameservers: Vec<SocketAddr>,
    pub(crate) search: Vec<String>,
    pub(crate) ndots: u32,
    /// Ask over TCP at once.
    pub(crate) use_tcp: bool,
}

/// The file and what was read of it.
#[derive(Debug)]
pub(crate) struct ResolvConf {
    path: PathBuf,
    stamp: Option<(SystemTime, u64)>,
    looked: Option<Instant>,
    settings: HostSettings,
}

// === impl ResolvConf ===

impl ResolvConf {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            stamp: None,
            looked: None,
            settings: HostSettings { ndots: 1, ..HostSettings::default() },
        }
    }

    /// What the file says now. It is looked at once a second; a file that is gone or broken changes nothing.
    pub(crate) fn settings(&mut self, now: Instant) -> &HostSettings {
        let is_due = self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_EVERY);
        if is_due {
            self.looked = Some(now);
            let stamp = stamp(&self.path);
            if stamp.is_some()
                && stamp != self.stamp
                && let Some(settings) = read(&self.path)
            {
                self.settings = settings;
                self.stamp = stamp;
            }
        }
        &self.settings
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Option<HostSettings> {
    let file = resolv_conf::Config::parse(std::fs::read(path).ok()?).ok()?;
    Some(HostSettings {
        nameservers: file.nameservers.iter().map(|server| SocketAddr::new(server.into(), 53)).collect(),
        search: file
            .get_last_search_or_domain()
            .map(|domain| domain.trim_end_matches('.').to_owned())
            .collect(),
        ndots: file.ndots,
        use_tcp: file.use_vc,
    })
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
