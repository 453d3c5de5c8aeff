//! A server outlives its supervisor for a while, and serves. The next supervisor of the same state takes its sockets
//! over through a socket in the state folder.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tracing::{info, warn};

use super::channel::{OfServer, Standing, receive};
use super::server::{Facts, Role, open_process};
use crate::place::Place;

/// A server without a supervisor.
pub(super) struct Orphan {
    pub(super) facts: Facts,
    pub(super) channel: OwnedFd,
    pub(super) process: OwnedFd,
    pub(super) sockets: BTreeMap<Place, Vec<OwnedFd>>,
}

/// Finds the server that serves for this state without a supervisor.
pub(super) fn adopt(state: &Path) -> Option<Orphan> {
    match Orphan::call(&door(state)) {
        Ok(orphan) => {
            info!(pid = orphan.facts.pid, "a server without supervisor serves; taking over from it");
            Some(orphan)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            None
        }
        Err(error) => {
            warn!(%error, "the server without supervisor does not hand over");
            None
        }
    }
}

/// Where a server waits for its next supervisor.
pub(crate) fn door(state: &Path) -> PathBuf {
    state.join("server.sock")
}

// === impl Orphan ===

impl Orphan {
    fn call(door: &Path) -> io::Result<Self> {
        let channel = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        connect(&channel, &SocketAddrUnix::new(door)?)?;
        set_socket_timeout(&channel, Timeout::Recv, Some(PATIENCE))?;
        let pid = socket_peercred(&channel)?.pid.as_raw_nonzero().get();
        let process = open_process(pid)?;
        let mut sockets: BTreeMap<Place, Vec<OwnedFd>> = BTreeMap::new();
        let mut standing = Standing::default();
        loop {
            let (bytes, descriptors) = receive(channel.as_fd())?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match serde_json::from_slice(&bytes)? {
                OfServer::Holds(place) => sockets.entry(place).or_default().extend(descriptors),
                OfServer::Serves(now) => standing = now,
                OfServer::Leads => break,
                OfServer::TakeOver | OfServer::Wants(_) => {}
            }
        }
        let facts = Facts {
            pid,
            is_child: false,
            role: Role::Leader,
            standing: Some(standing),
            has_sockets: true,
            binary: String::new(),
        };
        Ok(Self { facts, channel, process, sockets })
    }
}

/// How long an orphan may take for its answer.
const PATIENCE: Duration = Duration::from_secs(1);
