//! The server process as its supervisor sees it.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tracing::warn;

use super::channel::SupervisorEnd;

/// A running server.
pub(crate) struct Server {
    pub(crate) process: ServerProcess,
    pub(crate) channel: SupervisorEnd,
}

/// The process alone.
pub(crate) struct ServerProcess {
    child: Child,
}

// === impl Server ===

impl Server {
    /// Starts a server with the supervisor's own arguments; the channel is its standard input.
    ///
    /// # Errors
    /// Fails if the machine has no room for a process, or the binary is gone.
    pub(crate) fn start() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs): (OwnedFd, OwnedFd) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let child = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .arg("--server")
            .stdin(Stdio::from(theirs))
            .spawn()?;
        Ok(Self { process: ServerProcess { child }, channel: SupervisorEnd::new(ours) })
    }
}

// === impl ServerProcess ===

impl ServerProcess {
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    pub(crate) fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            warn!(%error, "server not killed");
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
            warn!(?signal, %error, "signal not passed to the server");
        }
    }
}
