//! The client's side of a connection.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::Worker;
use super::scratch::InBuffer;
use super::timer::Timer;

/// A client connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Bytes received and not consumed: the start of a body or of the next request.
    pub(crate) unread: InBuffer,
    pub(crate) timer: Timer,
    /// Address of the peer in text, IPv4-mapped addresses as IPv4.
    pub(crate) peer_text: String,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(worker: &Worker, stream: TcpStream, peer: SocketAddr) -> Self {
        Self {
            stream,
            unread: InBuffer::default(),
            timer: worker.wheel.timer(),
            peer_text: peer.ip().to_canonical().to_string(),
        }
    }
}
