//! The lock of a state folder: one proxy at a time. Its content tells who holds it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Seek, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use tracing::warn;

/// The held lock; the kernel gives it up with the process.
pub(crate) struct StateLock {
    file: Option<File>,
}

#[derive(Serialize)]
struct Holder {
    pid: u32,
    args: Vec<String>,
}

// === impl StateLock ===

impl StateLock {
    /// The lock that the binary before this one held.
    pub(crate) fn inherit(file: Option<OwnedFd>) -> Self {
        Self { file: file.map(File::from) }
    }

    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|file| file.as_fd())
    }

    /// Takes the lock `<state>/lock`. A state that cannot be written costs the lock, not the service.
    ///
    /// # Errors
    /// Fails if another process holds it.
    pub(crate) fn take(state: &Path) -> anyhow::Result<Self> {
        let opened = DirBuilder::new().recursive(true).mode(0o700).create(state).and_then(|()| {
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(state.join("lock"))
        });
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                warn!(state = %state.display(), %error, "state folder is not writable; nothing will be remembered over a restart");
                return Ok(Self { file: None });
            }
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            anyhow::bail!(
                "another igw-proxy runs on {}; stop it first or choose another --state",
                state.display()
            );
        }
        let holder = Holder { pid: std::process::id(), args: std::env::args().skip(1).collect() };
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(serde_json::to_string(&holder)?.as_bytes()));
        if let Err(error) = written {
            warn!(%error, "lock file not written; the lock itself holds");
        }
        Ok(Self { file: Some(file) })
    }
}
