//! A server process as its supervisor sees it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tracing::warn;

use super::channel::{OfServer, Standing, SupervisorEnd, watch};
use super::environment;
use super::succession::SUCCEEDS;

/// A running server.
pub(super) struct Server {
    pub(super) id: u32,
    pub(super) facts: Facts,
    pub(super) started: std::time::Instant,
    pub(super) channel: Arc<SupervisorEnd>,
    process: OwnedFd,
    tasks: [JoinHandle<()>; 2],
}

/// What is known of a server; it goes on with the supervisor's next binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) pid: i32,
    /// Its end is told to this process alone.
    pub(super) is_child: bool,
    pub(super) role: Role,
    pub(super) standing: Option<Standing>,
    /// Has asked for sockets, so that it may hold connections.
    pub(super) has_sockets: bool,
    /// Identity of its binary.
    pub(super) binary: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// Serves, and is started again when it ends.
    Leader,
    /// Shall follow the leader if it comes to serve.
    Candidate,
    /// Finishes what it began.
    Retired,
}

/// Something of a server.
pub(super) struct Event {
    pub(super) server: u32,
    pub(super) what: What,
}

pub(super) enum What {
    Said(OfServer),
    Ended,
}

/// Which binary to start, as what.
pub(super) struct Start<'a> {
    pub(super) binary: &'a Path,
    pub(super) name: &'a OsStr,
    pub(super) identity: String,
    pub(super) role: Role,
}

// === impl Server ===

impl Server {
    /// Starts a server with the supervisor's own arguments; the channel is its standard input.
    ///
    /// # Errors
    /// Fails if the machine has no room for a process, or the binary cannot be run.
    pub(super) fn start(id: u32, start: Start<'_>, events: &UnboundedSender<Event>) -> io::Result<Self> {
        let (ours, theirs): (OwnedFd, OwnedFd) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(start.binary);
        command.arg0(start.name).args(std::env::args_os().skip(1)).arg("--server");
        if start.role == Role::Candidate {
            command.arg("--standby");
        }
        environment::complete(&mut command);
        // The handle does not end the process when it goes; the end is watched below.
        let child = command.env_remove(SUCCEEDS).stdin(Stdio::from(theirs)).spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let process = open_process(pid)?;
        let facts = Facts {
            pid,
            is_child: true,
            role: start.role,
            standing: None,
            has_sockets: false,
            binary: start.identity,
        };
        Self::watch(id, facts, ours, process, events)
    }

    /// Watches a server that runs already.
    ///
    /// # Errors
    /// Fails where descriptors cannot be watched.
    pub(super) fn watch(
        id: u32,
        facts: Facts,
        channel: OwnedFd,
        process: OwnedFd,
        events: &UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let channel = Arc::new(SupervisorEnd::new(channel)?);
        let end = watch(process.try_clone()?)?;
        let (of_end, of_channel, heard) = (events.clone(), events.clone(), Arc::clone(&channel));
        let watching = tokio::spawn(async move {
            if let Err(error) = end.readable().await {
                warn!(%error, "server's end cannot be watched");
            }
            // A closed inbox means that the supervisor ends.
            let _ = of_end.send(Event { server: id, what: What::Ended });
        });
        let listening = tokio::spawn(async move {
            loop {
                match heard.receive().await {
                    Ok(Some(said)) => {
                        let _ = of_channel.send(Event { server: id, what: What::Said(said) });
                    }
                    // Its end is told by the process.
                    Ok(None) => return,
                    Err(error) => return warn!(%error, "server is not heard any more"),
                }
            }
        });
        Ok(Self { id, facts, started: crate::clock::now(), channel, process, tasks: [watching, listening] })
    }

    /// How the process ended; collects it from the kernel.
    pub(super) fn collect(&self) -> String {
        if !self.facts.is_child {
            return "unknown".to_owned();
        }
        match waitid(WaitId::PidFd(self.process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => format!("exit status {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "unknown".to_owned(),
            },
            Ok(None) => "unknown".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        match pidfd_send_signal(&self.process, signal) {
            // It ended by itself.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => warn!(?signal, %error, "signal not passed to the server"),
        }
    }

    /// What the next binary of the supervisor gets: the channel and the process.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.channel.as_fd(), self.process.as_fd()]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A descriptor that stands for the process, whatever becomes of its number.
pub(super) fn open_process(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}
