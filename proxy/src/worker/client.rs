//! The client's side of a connection.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use rustls::server::UnbufferedServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Worker;
use super::scratch::InBuffer;
use super::timer::Timer;
use crate::tables::PortTables;
use crate::tls::stream::TlsStream;

/// A client connection.
pub(crate) struct Client {
    pub(crate) stream: ClientStream,
    /// Bytes received and not consumed: the start of a body or of the next request.
    pub(crate) unread: InBuffer,
    pub(crate) timer: Timer,
    pub(crate) peer: Rc<Peer>,
}

/// Who is at the other end of a client connection.
pub(crate) struct Peer {
    /// The client, as its socket tells or a trusted peer.
    pub(crate) address: SocketAddr,
    /// Where it connected to, if somebody wants to know.
    pub(crate) destination: Option<SocketAddr>,
    /// Address in text, IPv4-mapped addresses as IPv4.
    pub(crate) text: String,
    /// What TLS says of the client, where the gateway ends it.
    pub(crate) tls: Option<ClientTls>,
    /// The version of HTTP that is spoken, where the connection has one for all requests.
    pub(crate) is_http2: bool,
}

/// A client's socket, with TLS or without.
pub(crate) enum ClientStream {
    Plain(TcpStream),
    Tls(Box<ServerTls>),
}

/// TLS that the gateway ends.
pub(crate) type ServerTls = TlsStream<UnbufferedServerConnection, TcpStream>;

/// What TLS says of a client.
pub(crate) struct ClientTls {
    /// The name that the client asked for, in lower case; empty if it asked for none.
    pub(crate) server_name: Vec<u8>,
    /// Subject of the verified certificate that the client showed.
    pub(crate) subject: Option<Box<[u8]>>,
    /// The listener of that name in the tables of a stamp.
    listener: Cell<(u64, Option<usize>)>,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(worker: &Worker, stream: TcpStream, peer: SocketAddr) -> Self {
        let is_asked = worker.tables().shared.tells_clients;
        let destination = is_asked.then(|| stream.local_addr().ok()).flatten();
        Self {
            stream: ClientStream::Plain(stream),
            unread: InBuffer::default(),
            timer: worker.wheel.timer(),
            peer: Rc::new(Peer::new(peer, destination)),
        }
    }
}

impl Client {
    /// With TLS the handshake has settled what is spoken.
    pub(crate) fn may_speak_http2(&self) -> bool {
        self.peer.tls.is_none()
    }

    /// The same client, which speaks HTTP/2 as it turned out.
    pub(crate) fn into_http2(self) -> Self {
        let peer = Peer { is_http2: true, ..Peer::new(self.peer.address, self.peer.destination) };
        Self { peer: Rc::new(peer), ..self }
    }
}

// === impl Peer ===

impl Peer {
    pub(crate) fn new(address: SocketAddr, destination: Option<SocketAddr>) -> Self {
        let text = address.ip().to_canonical().to_string();
        Self { address, destination, text, tls: None, is_http2: false }
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

// === impl ClientTls ===

impl ClientTls {
    pub(crate) fn new(server_name: Vec<u8>, subject: Option<Box<[u8]>>) -> Self {
        Self { server_name, subject, listener: Cell::new((0, None)) }
    }

    /// The listener that the connection belongs to; looked up once for each tables.
    pub(crate) fn listener(&self, stamp: u64, port: &PortTables) -> Option<usize> {
        let (known, listener) = self.listener.get();
        if known == stamp {
            return listener;
        }
        let listener = port.routes.listener_of(&self.server_name);
        self.listener.set((stamp, listener));
        listener
    }
}

// === impl ClientStream ===

impl ClientStream {
    /// The socket itself.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Bytes that were taken and not sent.
    pub(crate) fn n_unsent(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(stream) => stream.n_unsent(),
        }
    }

    /// Makes the coming close a reset.
    pub(crate) fn reset(&self) {
        // If it fails, the close is an ordinary one.
        let _ = socket2::SockRef::from(self.socket()).set_linger(Some(std::time::Duration::ZERO));
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
