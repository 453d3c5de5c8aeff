//! Of the servers on one state folder one leads: it alone writes there, reports to the control side and has the admin
//! addresses. The kernel says which: the one that holds the lock of the folder. And it waits at a socket for the next
//! supervisor, should its own be killed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, shutdown,
    socket_with,
};
use tracing::warn;

use crate::supervisor::adoption::door;

/// The lead; it ends with the value, or with the process.
pub(crate) struct Lead {
    _lock: Option<File>,
}

/// Where the next supervisor calls.
pub(crate) struct Door {
    socket: OwnedFd,
}

// === impl Lead ===

impl Lead {
    /// Waits until no other server leads. Without a folder nobody can be found out, and nothing is shared.
    pub(crate) async fn wait(state: PathBuf) -> Self {
        // The folder itself can be locked where nothing can be written.
        let Ok(folder) = File::open(&state) else { return Self { _lock: None } };
        while let Err(error) = flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                warn!(state = %state.display(), %error, "state folder cannot be locked");
                return Self { _lock: None };
            }
            tokio::time::sleep(LOOK).await;
        }
        Self { _lock: Some(folder) }
    }
}

// === impl Door ===

impl Door {
    /// Opens the door, and starts a thread that gives each caller to `deliver`.
    ///
    /// # Errors
    /// Fails if the state folder cannot be written.
    pub(crate) fn open(state: &Path, deliver: impl Fn(OwnedFd) + Send + 'static) -> io::Result<Self> {
        let path = door(state);
        // Left behind by the server that led before.
        let _ = std::fs::remove_file(&path);
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrUnix::new(&path)?)?;
        rustix::fs::chmod(&path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        listen(&socket, 1)?;
        let waiting = socket.try_clone()?;
        std::thread::Builder::new().name("door".to_owned()).spawn(move || {
            while let Ok(caller) = accept_with(waiting.as_fd(), SocketFlags::CLOEXEC) {
                deliver(caller);
            }
        })?;
        Ok(Self { socket })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Ends the thread.
        if let Err(error) = shutdown(&self.socket, Shutdown::Both) {
            warn!(%error, "the door to the next supervisor stays open");
        }
    }
}

/// Time between two looks at the lock.
const LOOK: Duration = Duration::from_millis(5);
