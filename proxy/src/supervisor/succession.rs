//! How the supervisor becomes another binary and stays the same process: everything that it holds is put into a socket
//! pair, whose other end is the standard input of the binary that follows. The kernel keeps what is under way.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use igw_crds::snapshot::Transport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde::{Deserialize, Serialize};
use socket2::Socket;

use super::channel::{DESCRIPTORS_MAX, Upgrades, receive, send};
use super::server::{Facts, Server};
use crate::place::Place;

/// What goes from one binary of the supervisor to the next.
#[derive(Default)]
pub(super) struct Estate {
    pub(super) lock: Option<OwnedFd>,
    pub(super) sockets: BTreeMap<Place, Vec<OwnedFd>>,
    /// Facts, channel, process.
    pub(super) servers: Vec<(Facts, OwnedFd, OwnedFd)>,
    pub(super) upgrades: Upgrades,
    /// Another upgrade was asked for meanwhile.
    pub(super) is_asked: bool,
}

/// One message; its descriptors are in the order of what it names.
#[derive(Serialize, Deserialize)]
enum Item {
    Lock,
    /// Addresses, each with the number of its sockets.
    Listeners(Vec<(SocketAddr, usize)>),
    /// The same for datagrams.
    Datagrams(Vec<(SocketAddr, usize)>),
    Server(Facts),
    Rest {
        upgrades: Upgrades,
        is_asked: bool,
    },
}

/// The sending side.
pub(super) struct Testament {
    ours: OwnedFd,
    theirs: OwnedFd,
}

// === impl Estate ===

impl Estate {
    /// What the binary before left for this one, if there was one.
    ///
    /// # Errors
    /// Fails if it cannot be read whole.
    pub(super) fn take() -> anyhow::Result<Option<Self>> {
        // The variable names the process: one that was inherited from another process means nothing.
        if std::env::var(SUCCEEDS).ok() != Some(std::process::id().to_string()) {
            return Ok(None);
        }
        let source = io::stdin().as_fd().try_clone_to_owned()?;
        let mut estate = Self::default();
        loop {
            let (bytes, descriptors) = receive(source.as_fd()).context("nothing is left to read")?;
            if bytes.is_empty() {
                bail!("what the binary before left ends too early");
            }
            if estate.add(serde_json::from_slice(&bytes)?, descriptors)? {
                return Ok(Some(estate));
            }
        }
    }

    /// Adds an item; true if it was the last.
    fn add(&mut self, item: Item, descriptors: Vec<OwnedFd>) -> anyhow::Result<bool> {
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().context("a descriptor is missing");
        match item {
            Item::Lock => self.lock = Some(next()?),
            Item::Listeners(addresses) => self.add_sockets(Transport::Tcp, addresses, next)?,
            Item::Datagrams(addresses) => self.add_sockets(Transport::Udp, addresses, next)?,
            Item::Server(facts) => self.servers.push((facts, next()?, next()?)),
            Item::Rest { upgrades, is_asked } => {
                (self.upgrades, self.is_asked) = (upgrades, is_asked);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn add_sockets(
        &mut self,
        transport: Transport,
        addresses: Vec<(SocketAddr, usize)>,
        mut next: impl FnMut() -> anyhow::Result<OwnedFd>,
    ) -> anyhow::Result<()> {
        for (address, n_sockets) in addresses {
            let sockets = self.sockets.entry(Place { address, transport }).or_default();
            for _ in 0..n_sockets {
                sockets.push(next()?);
            }
        }
        Ok(())
    }
}

// === impl Testament ===

impl Testament {
    /// # Errors
    /// Fails if there is no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // As much as the machine allows; what does not fit is told by the writes.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&ours, SPACE_BYTES);
        Ok(Self { ours, theirs })
    }

    pub(super) fn lock(&self, lock: BorrowedFd<'_>) -> io::Result<()> {
        self.put(&Item::Lock, &[lock])
    }

    pub(super) fn sockets(&self, sockets: &BTreeMap<Place, Vec<Socket>>) -> io::Result<()> {
        for (transport, item) in
            [(Transport::Tcp, Item::Listeners as fn(_) -> Item), (Transport::Udp, Item::Datagrams)]
        {
            let (mut names, mut descriptors) = (Vec::new(), Vec::new());
            for (place, sockets) in sockets.iter().filter(|(place, _)| place.transport == transport) {
                if descriptors.len() + sockets.len() > DESCRIPTORS_MAX {
                    self.put(&item(std::mem::take(&mut names)), &descriptors)?;
                    descriptors.clear();
                }
                names.push((place.address, sockets.len()));
                descriptors.extend(sockets.iter().map(|socket| socket.as_fd()));
            }
            // A release that knows no datagrams stops at what it does not know.
            if !names.is_empty() {
                self.put(&item(names), &descriptors)?;
            }
        }
        Ok(())
    }

    pub(super) fn server(&self, server: &Server) -> io::Result<()> {
        self.put(&Item::Server(server.facts.clone()), &server.descriptors())
    }

    /// Runs the binary in place of this one. Returns only if that fails; nothing is lost then.
    pub(super) fn run(self, binary: &Path, upgrades: &Upgrades, is_asked: bool) -> io::Error {
        let rest = Item::Rest { upgrades: upgrades.clone(), is_asked };
        if let Err(error) = self.put(&rest, &[]) {
            return error;
        }
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| binary.as_os_str().to_owned());
        Command::new(binary)
            .arg0(name)
            .args(arguments)
            .env(SUCCEEDS, std::process::id().to_string())
            .stdin(Stdio::from(self.theirs))
            .exec()
    }

    fn put(&self, item: &Item, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(self.ours.as_fd(), &serde_json::to_vec(item)?, descriptors)
    }
}

/// Tells a binary that it follows another one in the process of this number.
pub(super) const SUCCEEDS: &str = "IGW_PROXY_SUCCEEDS";
const SPACE_BYTES: usize = 4 * 1024 * 1024;
