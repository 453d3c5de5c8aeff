//! `/etc/resolv.conf`, followed when it changes.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
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
    stamp: Option<Stamp>,
    looked: Option<Instant>,
    settings: HostSettings,
}

/// Tells one version of the file from the next, also where it was put in place of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
    inode: u64,
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

    /// What the file says now. It is looked at once a second; a file that is gone,
    /// or names no server because it is just being written, changes nothing.
    pub(crate) fn settings(&mut self, now: Instant) -> &HostSettings {
        let is_due = self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_EVERY);
        if is_due {
            self.looked = Some(now);
            let stamp = stamp(&self.path);
            if stamp.is_some()
                && stamp != self.stamp
                && let Some(settings) = read(&self.path)
                && (!settings.nameservers.is_empty() || self.settings.nameservers.is_empty())
            {
                self.settings = settings;
                self.stamp = stamp;
            }
        }
        &self.settings
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok()?, len: metadata.len(), inode: metadata.ino() })
}

fn read(path: &Path) -> Option<HostSettings> {
    // Like libc: a line or an option that nobody knows is passed over, the rest counts.
    let (file, _unknown) = resolv_conf::Config::parse_with_errors(&std::fs::read(path).ok()?);
    Some(HostSettings {
        nameservers: file.nameservers.iter().map(|server| SocketAddr::new(server.into(), PORT)).collect(),
        search: file
            .get_last_search_or_domain()
            .map(|domain| domain.trim_end_matches('.').to_owned())
            .collect(),
        ndots: file.ndots,
        use_tcp: file.use_vc,
    })
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
const PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    use super::{HostSettings, ResolvConf};

    fn server(address: [u8; 4]) -> SocketAddr {
        (address, 53).into()
    }

    #[test]
    fn lines_nobody_knows_are_passed_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("resolv.conf");
        fs::write(
            &path,
            "# made by hand\nnonsense here\nnameserver 192.0.2.1\nnameserver not-an-address\n\
             nameserver 192.0.2.2\nsearch a.test. b.test\noptions ndots:3 use-vc hedge:7 trust-ad\n",
        )
        .expect("written");
        let mut followed = ResolvConf::new(path);
        assert_eq!(
            *followed.settings(Instant::now()),
            HostSettings {
                nameservers: vec![server([192, 0, 2, 1]), server([192, 0, 2, 2])],
                search: vec!["a.test".to_owned(), "b.test".to_owned()],
                ndots: 3,
                use_tcp: true,
            }
        );
    }

    #[test]
    fn changes_are_followed_and_holes_are_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("resolv.conf");
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut followed = ResolvConf::new(path.clone());
        assert_eq!(followed.settings(at(0)).nameservers, []);

        fs::write(&path, "nameserver 192.0.2.1\n").expect("written");
        assert_eq!(followed.settings(at(0)).nameservers, [], "looked at once a second");
        assert_eq!(followed.settings(at(1)).nameservers, [server([192, 0, 2, 1])]);

        // Same length, another file put in its place.
        let next = dir.path().join("next");
        fs::write(&next, "nameserver 192.0.2.2\n").expect("written");
        fs::rename(&next, &path).expect("renamed");
        assert_eq!(followed.settings(at(2)).nameservers, [server([192, 0, 2, 2])]);

        fs::write(&path, "").expect("written");
        assert_eq!(followed.settings(at(3)).nameservers, [server([192, 0, 2, 2])], "half written");
        fs::remove_file(&path).expect("removed");
        assert_eq!(followed.settings(at(4)).nameservers, [server([192, 0, 2, 2])], "gone");
        fs::write(&path, "nameserver 192.0.2.3\n").expect("written");
        assert_eq!(followed.settings(at(5)).nameservers, [server([192, 0, 2, 3])]);
    }
}
