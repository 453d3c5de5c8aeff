//! How supervisor and server speak: a seqpacket socket pair, JSON messages, descriptors as ancillary data.
//!
//! The server says where it wants to listen; the supervisor answers with one message for each, with one
//! socket per worker, and a last message. Either says other things at any time. What one side does not know is
//! passed over: the two may be of different releases.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use igw_crds::sync::BindFailureKind;
use rustix::fs::OFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::place::{Place, Places};

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OfServer {
    /// It wants to listen at these places and no others.
    Wants(Places),
    /// Its workers accept connections.
    Serves(Standing),
    /// It alone writes state, reports and shows the admin pages.
    Leads,
    /// The control side asks for the binary on disk.
    TakeOver,
    /// To a supervisor that it did not start: it listens here, with these sockets.
    Holds(Place),
}

/// What a supervisor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OfSupervisor {
    /// Answer for one place.
    Bound(BindResult),
    /// End of the answers.
    Done,
    /// Another server serves: finish what is under way.
    Retire,
    /// How upgrades went.
    Upgrades(Upgrades),
}

/// What a server serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    listening: Vec<SocketAddr>,
    /// The same for datagrams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    datagrams: Vec<SocketAddr>,
}

/// What became of a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindResult {
    #[serde(flatten)]
    pub(crate) place: Place,
    pub(crate) failure: Option<Failure>,
}

/// Why a place is not bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: BindFailureKind,
    pub(crate) message: String,
}

/// Upgrades since the supervisor started, over all its binaries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Upgrades {
    pub(crate) n_done: u64,
    pub(crate) n_failed: u64,
    /// Servers that finish what they began.
    pub(crate) n_retired: u64,
    pub(crate) refused: Option<Refused>,
}

/// A binary that did not come to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// Its identity.
    pub(crate) binary: String,
    pub(crate) reason: String,
}

/// The supervisor's end.
pub(crate) struct SupervisorEnd {
    socket: AsyncFd<OwnedFd>,
}

/// The server's end: reading blocks, and is meant for a thread of its own.
pub(crate) struct ServerEnd {
    socket: OwnedFd,
}

// === impl Standing ===

impl Standing {
    pub(crate) fn new(epoch: u64, generation: u64, places: Places) -> Self {
        let Places { addresses: listening, datagrams } = places;
        Self { epoch, generation, listening, datagrams }
    }

    /// Where it listens.
    pub(crate) fn places(&self) -> Places {
        Places { addresses: self.listening.clone(), datagrams: self.datagrams.clone() }
    }
}

// === impl SupervisorEnd ===

impl SupervisorEnd {
    /// # Errors
    /// Fails where descriptors cannot be watched.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&socket)?;
        rustix::fs::fcntl_setfl(&socket, flags | OFlags::NONBLOCK)?;
        Ok(Self { socket: watch(socket)? })
    }

    /// Waits for the next message; `None` when the server is gone.
    pub(crate) async fn receive(&self) -> io::Result<Option<OfServer>> {
        loop {
            let read = self.socket.async_io(Interest::READABLE, |socket| receive(socket.as_fd()));
            let (bytes, _) = read.await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(message) = understand(&bytes) {
                return Ok(Some(message));
            }
        }
    }

    /// Sends what became of each place, and the end.
    pub(crate) async fn answer(&self, results: &[(BindResult, Vec<BorrowedFd<'_>>)]) -> io::Result<()> {
        for (result, sockets) in results {
            self.send(&OfSupervisor::Bound(result.clone()), sockets).await?;
        }
        self.send(&OfSupervisor::Done, &[]).await
    }

    /// Says something; a server that does not listen for long is given up.
    pub(crate) async fn send(
        &self,
        message: &OfSupervisor,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let write =
            self.socket.async_io(Interest::WRITABLE, |socket| send(socket.as_fd(), &bytes, descriptors));
        tokio::time::timeout(PATIENCE, write).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

impl AsFd for SupervisorEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

// === impl ServerEnd ===

impl ServerEnd {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// # Errors
    /// Fails if the supervisor is gone.
    pub(crate) fn send(&self, message: &OfServer, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(self.socket.as_fd(), &serde_json::to_vec(message)?, descriptors)
    }

    /// Waits for the next message; `None` when the supervisor is gone.
    pub(crate) fn receive(&self) -> io::Result<Option<(OfSupervisor, Vec<OwnedFd>)>> {
        loop {
            let (bytes, descriptors) = receive(self.socket.as_fd())?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(message) = understand(&bytes) {
                return Ok(Some((message, descriptors)));
            }
        }
    }
}

/// Makes a descriptor that is owned one that can be waited for.
#[expect(
    deprecated,
    reason = "what it asks to be upheld is upheld by every OwnedFd; the other way is unsafe code"
)]
pub(super) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

fn understand<M: DeserializeOwned>(bytes: &[u8]) -> Option<M> {
    let read = serde_json::from_slice(bytes);
    if let Err(error) = &read {
        tracing::warn!(%error, "message between supervisor and server not understood; passed over");
    }
    read.ok()
}

/// Sends one message.
pub(super) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("more sockets for one address than a message can carry"));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message; an empty one is the end.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    bytes.truncate(received.bytes);
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((bytes, descriptors))
}

/// Descriptors in one message; the kernel's bound is 253.
pub(crate) const DESCRIPTORS_MAX: usize = 250;
const MESSAGE_BYTES: usize = 128 * 1024;
/// How long a server may leave its messages unread.
const PATIENCE: Duration = Duration::from_secs(1);
