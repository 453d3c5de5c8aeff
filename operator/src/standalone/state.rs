//! The state folder of one `igw up`: its lock, and files that survive crashes.
//!
//! Invariants: one process at a time holds the lock; a file is replaced whole or not at all (temporary
//! file, fsync, rename, fsync of the folder); nothing in the folder is readable by other users.
//! A folder that cannot be written costs persistence, not service: [`State::open`] then takes a folder
//! under the system's temporary one, which holds sockets and locks until the next boot.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

/// File that tells kubectl where the dialect of Kubernetes is spoken, while it is.
pub const KUBECONFIG: &str = "kubeconfig";

/// An open, locked state folder. Dropping it releases the lock.
#[derive(Debug)]
pub struct State {
    root: PathBuf,
    _lock: File,
}

/// Why a state folder cannot be opened.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another process holds it.
    #[error(
        "state folder {} is in use by another igw up{}; stop that one, or give this one its own folder with --state",
        .folder.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The process, as it wrote itself down.
        pid: Option<u32>,
    },
    /// Neither it nor a temporary folder can be used.
    #[error("state folder {} cannot be used: {source}; name one that can be written with --state", .folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a state folder is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where it was asked for.
    Chosen,
    /// Where everybody may write: it must be our own.
    Temporary,
}

// === impl State ===

impl State {
    /// Opens and locks the folder, creating it with mode 0700 where it is missing.
    ///
    /// # Errors
    /// [`StateError::Held`] if another process has it, [`StateError::Unusable`] if no folder can be written.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        match Self::open_in(folder, Place::Chosen) {
            Err(StateError::Unusable { source, .. }) => {
                let substitute = temporary_folder(folder);
                warn!(
                    state = %folder.display(), error = %source, sockets = %substitute.display(),
                    "state folder cannot be written; serving without persistence"
                );
                Self::open_in(&substitute, Place::Temporary)
                    .map_err(|_| StateError::Unusable { folder: folder.to_owned(), source })
            }
            other => other,
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn open_in(folder: &Path, place: Place) -> Result<Self, StateError> {
        let unusable = |source| StateError::Unusable { folder: folder.to_owned(), source };
        for name in ["", "keys", "proxy"] {
            private_folder(&folder.join(name)).map_err(unusable)?;
        }
        let owner = fs::metadata(folder).map_err(unusable)?.uid();
        if place == Place::Temporary && owner != rustix::process::geteuid().as_raw() {
            return Err(unusable(io::Error::other("it belongs to another user")));
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("lock"))
            .map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = lock.read_to_string(&mut text);
                return Err(StateError::Held { folder: folder.to_owned(), pid: text.trim().parse().ok() });
            }
            Err(errno) => return Err(unusable(errno.into())),
        }
        // The pid is for the message of a second process alone: a full disk must not keep the first one out.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(lock, "{}", std::process::id()));
        let root = fs::canonicalize(folder).map_err(unusable)?;
        Ok(Self { root, _lock: lock })
    }
}

/// The state folder where no `--state` is given: `$XDG_STATE_HOME/igw`, else `~/.local/state/igw`.
#[must_use]
pub fn default_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("igw"))
}

/// Replaces a file whole, so that a reader sees the old or the new bytes, also after a crash.
///
/// # Errors
/// What the system said; the old file is untouched then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, &Permissions::from_mode(0o600))
}

/// The same for a file of somebody else: who may read it, and whose it is, stays; a link stays one.
///
/// # Errors
/// As [`write_atomic`].
pub fn rewrite(path: &Path, bytes: &[u8], mode_if_new: u32) -> io::Result<()> {
    let Ok(found) = fs::metadata(path) else {
        return replace(path, bytes, &Permissions::from_mode(mode_if_new));
    };
    let path = fs::canonicalize(path)?;
    replace(&path, bytes, &found.permissions())?;
    // Whoever may not give it away has made it their own, as an editor would.
    let _ = chown(&path, Some(found.uid()), Some(found.gid()));
    Ok(())
}

fn replace(path: &Path, bytes: &[u8], permissions: &Permissions) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file without a folder"))?;
    let name = path.file_name().ok_or_else(|| io::Error::other("a file without a name"))?;
    let temporary = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_permissions(permissions.clone())?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Creates a folder with mode 0700, and its parents; an existing one stays as it is.
///
/// # Errors
/// What the system said.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The folder that stands in for one that cannot be written: the same one for the same state, so that a
/// restarted process finds the proxy of the one before.
fn temporary_folder(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let tag = xxh3_64(absolute.as_os_str().as_encoded_bytes());
    std::env::temp_dir().join(format!("igw-{}-{tag:016x}", rustix::process::geteuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_refused_by_pid_until_the_first_is_gone() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("state");
        let first = State::open(&folder).unwrap();
        let refusal = State::open(&folder).unwrap_err().to_string();
        assert!(refusal.contains(&format!("(pid {})", std::process::id())), "{refusal}");
        assert!(refusal.contains("--state"), "{refusal}");
        drop(first);
        assert_eq!(State::open(&folder).unwrap().root(), fs::canonicalize(&folder).unwrap());
    }

    #[test]
    fn files_are_replaced_whole_and_private() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("ledger.json");
        write_atomic(&file, b"one").unwrap();
        write_atomic(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_of_others_stay_theirs() {
        let scratch = tempfile::tempdir().unwrap();
        let (file, link) = (scratch.path().join("all.yaml"), scratch.path().join("link.yaml"));
        fs::write(&file, b"one").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        rewrite(&link, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o664);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let new = scratch.path().join("new.yaml");
        rewrite(&new, b"one", 0o644).unwrap();
        assert_eq!(fs::metadata(&new).unwrap().mode() & 0o777, 0o644);
    }

    #[test]
    fn unusable_folder_is_replaced_by_a_temporary_one() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, b"").unwrap();
        let state = State::open(&file.join("state")).unwrap();
        let root = state.root().to_owned();
        assert!(root.starts_with(std::env::temp_dir()), "{}", root.display());
        drop(state);
        fs::remove_dir_all(root).unwrap();
    }
}
