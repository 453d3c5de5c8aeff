//! Which binary runs and which one lies on the disk: a release and a digest of the file's bytes.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The file that was started, wherever it is now.
pub(crate) const RUNNING: &str = "/proc/self/exe";

/// The binary on the disk, read again only when it is another file.
#[derive(Clone, Debug)]
pub(crate) struct OnDisk {
    path: PathBuf,
    seen: Option<Stamp>,
    identity: Option<String>,
}

/// What changes with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    n_bytes: u64,
    modified: (i64, i64),
}

// === impl OnDisk ===

impl OnDisk {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: None, identity: None }
    }

    /// Whether the file is another one than at the last look.
    pub(crate) fn has_changed(&self) -> bool {
        Stamp::of(&self.path) != self.seen
    }

    /// Looks again.
    pub(crate) fn read(mut self) -> Self {
        self.seen = Stamp::of(&self.path);
        self.identity = identity(&self.path);
        self
    }

    /// Whether the file is the one that runs.
    pub(crate) fn is_running(&self) -> bool {
        self.seen.is_some() && Stamp::of(Path::new(RUNNING)) == self.seen
    }

    /// Nothing if there is no file.
    pub(crate) fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let facts = std::fs::metadata(path).ok()?;
        Some(Self {
            device: facts.dev(),
            inode: facts.ino(),
            n_bytes: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
        })
    }
}

/// Where the binary was started from, so where the next one will lie.
pub(crate) fn path() -> PathBuf {
    let name = std::env::args_os().next().map(PathBuf::from);
    // A link that points to another release is followed at each start, so that it is not resolved here.
    let as_named = name.filter(|name| name.components().count() > 1 && name.is_file());
    if let Some(path) = as_named.and_then(|name| std::path::absolute(name).ok()) {
        return path;
    }
    let running = std::env::current_exe().unwrap_or_else(|_| PathBuf::from(RUNNING));
    let text = running.to_string_lossy();
    text.strip_suffix(" (deleted)").map_or_else(|| running.clone(), PathBuf::from)
}

/// Release and digest of a file; nothing if it cannot be read.
pub(crate) fn identity(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let (mut digest, mut named) = (Sha256::new(), None);
    // A piece begins with the end of the one before, where a release may be cut in two.
    let mut piece = Vec::new();
    loop {
        let n_kept = piece.len().min(MARK_BYTES + RELEASE_BYTES);
        piece.drain(..piece.len() - n_kept);
        if (&mut file).take(PIECE_BYTES).read_to_end(&mut piece).ok()? == 0 {
            break;
        }
        digest.update(&piece[n_kept..]);
        if named.is_none() {
            named = release(&piece).map(str::to_owned);
        }
    }
    let short: String =
        digest.finalize().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{}-{short}", named.as_deref().unwrap_or("unknown")))
}

/// The release that a binary of ours names itself.
fn release(bytes: &[u8]) -> Option<&str> {
    let start = MARK.as_bytes().get(..MARK_BYTES)?;
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'=').map(|(at, _)| at + 1);
    let rests = ends.filter(|end| bytes.get(..*end).is_some_and(|before| before.ends_with(start)));
    rests.filter_map(|end| bytes.get(end..)).find_map(|rest| {
        let n_text = rest.iter().take(RELEASE_BYTES).position(|byte| *byte == b';')?;
        let text = std::str::from_utf8(&rest[..n_text]).ok()?;
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte)).then_some(text)
    })
}

/// Stands in the binary, so that a file tells its release without being run. Nothing else needs all of it, so that it has
/// to be kept on purpose.
#[used]
static MARK: &str = concat!("igw-proxy/release=", env!("CARGO_PKG_VERSION"), ";");
const MARK_BYTES: usize = "igw-proxy/release=".len();
const RELEASE_BYTES: usize = 64;
const DIGEST_BYTES: usize = 6;
/// Bytes read at once: a binary with its symbols is a hundred times as large.
const PIECE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_is_another_binary() {
        let folder = std::env::temp_dir().join(format!("igw-binary-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        let path = folder.join("igw-proxy");
        let disk = OnDisk::new(path.clone());
        assert!(!disk.has_changed(), "no file, as before");
        std::fs::write(&path, format!("…{MARK}…")).expect("the folder is writable");
        assert!(disk.has_changed());
        let disk = disk.read();
        assert!(!disk.has_changed());
        let first = disk.identity().map(str::to_owned);
        let release = concat!(env!("CARGO_PKG_VERSION"), "-");
        assert!(first.as_deref().is_some_and(|first| first.starts_with(release)), "{first:?}");
        std::fs::write(folder.join("new"), "#!/bin/sh\n").expect("the folder is writable");
        std::fs::rename(folder.join("new"), &path).expect("the folder is writable");
        assert!(disk.has_changed());
        let disk = disk.read();
        assert!(disk.identity().is_some_and(|second| second.starts_with("unknown-")), "{disk:?}");
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }

    #[test]
    fn a_release_is_found_wherever_pieces_are_cut() {
        let path = std::env::temp_dir().join(format!("igw-pieces-{}", std::process::id()));
        for n_before in 0..=MARK.len() {
            let mut bytes = vec![b'='; PIECE_BYTES as usize - n_before];
            bytes.extend_from_slice(MARK.as_bytes());
            std::fs::write(&path, &bytes).expect("the folder is writable");
            let digest: String = Sha256::digest(&bytes).iter().take(6).map(|b| format!("{b:02x}")).collect();
            let expected = format!("{}-{digest}", env!("CARGO_PKG_VERSION"));
            assert_eq!(identity(&path), Some(expected), "{n_before} bytes of it in the first piece");
        }
        std::fs::remove_file(&path).expect("the file is ours");
    }

    #[test]
    fn this_test_is_no_release_but_itself() {
        let running = identity(Path::new(RUNNING)).expect("it runs");
        assert_eq!(Some(running), identity(&path()));
    }
}
