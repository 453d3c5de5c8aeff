//! How sockets travel: a seqpacket socket pair between supervisor and server, JSON messages, descriptors as
//! ancillary data.
//!
//! The server says which addresses it wants; the supervisor answers with one message for each, with one
//! socket per worker, and a last message without an address.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use igw_crds::sync::BindFailureKind;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// What the server wants to listen on. What it does not name any more is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Answer for one address; without an address the end of the answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindResult {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) failure: Option<Failure>,
}

/// Why an address is not bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: BindFailureKind,
    pub(crate) message: String,
}

/// Supervisor's end: blocking too, one thread for each server.
pub(crate) struct SupervisorEnd {
    socket: OwnedFd,
}

/// Server's end: a blocking conversation, meant for a thread of its own.
pub(crate) struct ServerEnd {
    socket: OwnedFd,
}

// === impl SupervisorEnd ===

impl SupervisorEnd {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Waits for the next message; `None` when the server is gone.
    pub(crate) fn receive(&self) -> io::Result<Option<Wanted>> {
        let (bytes, _) = receive(self.socket.as_fd())?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&bytes)?))
    }

    /// Sends what became of each address, and the end.
    pub(crate) fn answer(&self, results: &[(BindResult, Vec<BorrowedFd<'_>>)]) -> io::Result<()> {
        let end = (BindResult::default(), Vec::new());
        for (result, sockets) in results.iter().chain([&end]) {
            send(self.socket.as_fd(), &serde_json::to_vec(result)?, sockets)?;
        }
        Ok(())
    }
}

// === impl ServerEnd ===

impl ServerEnd {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Asks for addresses and receives every answer.
    pub(crate) fn ask(&self, wanted: &Wanted) -> io::Result<Vec<(BindResult, Vec<OwnedFd>)>> {
        send(self.socket.as_fd(), &serde_json::to_vec(wanted)?, &[])?;
        let mut answers = Vec::new();
        loop {
            let (bytes, sockets) = receive(self.socket.as_fd())?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let result: BindResult = serde_json::from_slice(&bytes)?;
            if result.address.is_none() {
                return Ok(answers);
            }
            answers.push((result, sockets));
        }
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("more sockets for one address than a message can carry"));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
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
