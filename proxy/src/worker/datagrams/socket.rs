//! The socket that clients send to: many datagrams with one call, and answers from the address that was asked.

use std::cell::{OnceCell, RefCell, RefMut};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};

use nix::sys::socket::{setsockopt, sockopt::Ipv6DontFrag};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A socket that clients send to.
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// It has all addresses of the machine: an answer names the one that was asked.
    is_wildcard: bool,
}

/// Memory of one worker for datagrams; made when the first one comes.
#[derive(Default)]
pub(crate) struct Buffers {
    requests: OnceCell<RefCell<Box<[u8]>>>,
    answer: OnceCell<RefCell<Box<[u8]>>>,
}

// === impl Socket ===

impl Socket {
    /// # Errors
    /// Fails where the socket cannot be watched.
    pub(super) fn new(address: SocketAddr, socket: StdUdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // Whoever sends less than the path takes is not known: what is too large is sent in fragments.
        match address {
            SocketAddr::V4(_) => set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::WANT)?,
            SocketAddr::V6(_) => {
                set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::WANT)?;
                setsockopt(&socket, Ipv6DontFrag, &false)?;
            }
        }
        Ok(Self { io: UdpSocket::from_std(socket)?, state, is_wildcard: address.ip().is_unspecified() })
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Lends each datagram that waits, with who sent it and to which address; true if more may wait.
    pub(super) fn receive(
        &self,
        buffers: &Buffers,
        mut each: impl FnMut(&[u8], SocketAddr, Option<IpAddr>),
    ) -> io::Result<bool> {
        let mut memory = buffers.requests();
        let mut metas = [RecvMeta::default(); BATCH];
        let n_received = {
            let mut parts = memory.chunks_exact_mut(DATAGRAM_BYTES);
            let mut slices: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
            let read = || self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut metas);
            self.io.try_io(Interest::READABLE, read)?
        };
        for (part, meta) in memory.chunks_exact(DATAGRAM_BYTES).zip(&metas).take(n_received) {
            let bytes = part.get(..meta.len).unwrap_or_default();
            if bytes.is_empty() {
                each(bytes, meta.addr, meta.dst_ip);
            }
            // The kernel may put what one sender sends into one piece.
            for datagram in bytes.chunks(meta.stride.max(1)) {
                each(datagram, meta.addr, meta.dst_ip);
            }
        }
        Ok(n_received == BATCH)
    }

    /// Answers a client from the address that it asked.
    ///
    /// # Errors
    /// The system's; a socket without room is [`io::ErrorKind::WouldBlock`].
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> io::Result<()> {
        let src_ip = from.filter(|_| self.is_wildcard);
        let transmit = Transmit { destination: to, ecn: None, contents: bytes, segment_size: None, src_ip };
        self.state.try_send(UdpSockRef::from(&self.io), &transmit)
    }
}

// === impl Buffers ===

impl Buffers {
    fn requests(&self) -> RefMut<'_, Box<[u8]>> {
        self.requests.get_or_init(|| memory(BATCH)).borrow_mut()
    }

    /// Room for one answer. Never held across a return to the runtime.
    pub(super) fn answer(&self) -> RefMut<'_, Box<[u8]>> {
        self.answer.get_or_init(|| memory(1)).borrow_mut()
    }
}

fn memory(n_datagrams: usize) -> RefCell<Box<[u8]>> {
    RefCell::new(vec![0; n_datagrams * DATAGRAM_BYTES].into_boxed_slice())
}

/// Datagrams that one call receives.
const BATCH: usize = 8;
/// Room for the largest datagram, and for the largest piece that the kernel puts together.
const DATAGRAM_BYTES: usize = 64 * 1024;
