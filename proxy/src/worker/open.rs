//! A new connection to an endpoint: the socket, TLS where the back end has it, and what is spoken on it.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use igw_crds::snapshot::BackendProtocol;
use rustls::client::UnbufferedClientConnection;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tracing::warn;

use super::Worker;
use super::client::Peer;
use super::request::Request;
use super::stream::Stream;
use super::timer::{Tick, Timer};
use crate::proxy_protocol;
use crate::tables::PortTables;
use crate::tls::stream::TlsStream;
use crate::upstream::backend::Security;
use crate::upstream::endpoint::Address;
use crate::upstream::local::{Lease, Leased, LocalBackend, Picked, SharedLease};
use crate::upstream::secure::{BackendTls, ClientIdentity, Identity, Offer};
use crate::upstream::shared_link::SharedLink;

/// What a request wants of a connection.
pub(crate) struct Way {
    tls: Option<Arc<BackendTls>>,
    client: Option<Arc<ClientIdentity>>,
    offer: Offer,
}

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectFailure {
    Refused,
    Timeout,
    /// The machine has no port or descriptor left: the endpoint is not to blame.
    Exhausted,
    /// The endpoint did not prove who it is, or does not speak what it should.
    Insecure,
    RequestTimeout,
}

// === impl Way ===

impl Way {
    /// # Errors
    /// Fails where no connection may be made at all.
    pub(crate) fn of(request: &Request, picked: &Picked) -> Result<Self, ConnectFailure> {
        let set = picked.set();
        let speaks_http2 = set.protocol == BackendProtocol::Http2
            || request.target_tables().is_some_and(|target| target.rule.speaks_http2)
            || request.extras.as_ref().is_some_and(|extras| extras.is_call);
        let (tls, offer) = match &set.tls {
            Security::Impossible => return Err(ConnectFailure::Insecure),
            Security::Cleartext => (None, if speaks_http2 { Offer::Http2 } else { Offer::Http1 }),
            Security::Tls(tls) if speaks_http2 => (Some(Arc::clone(tls)), Offer::Http2),
            // A change of protocols needs a connection of its own.
            Security::Tls(tls) if request.upgrade => (Some(Arc::clone(tls)), Offer::Http1),
            Security::Tls(tls) => (Some(Arc::clone(tls)), Offer::Either),
        };
        let client = match &tls {
            Some(_) => request.port_tables().and_then(|port| port.client_identity.clone()),
            None => None,
        };
        Ok(Self { tls, client, offer })
    }

    /// The way of a connection that is passed on as it is, with TLS where the back end has it and the client's own does
    /// not go through.
    ///
    /// # Errors
    /// Fails where no connection may be made at all.
    pub(crate) fn of_stream(
        port: Option<&PortTables>,
        picked: &Picked,
        is_passed_through: bool,
    ) -> Result<Self, ConnectFailure> {
        let tls = match &picked.set().tls {
            _ if is_passed_through => None,
            Security::Impossible => return Err(ConnectFailure::Insecure),
            Security::Cleartext => None,
            Security::Tls(tls) => Some(Arc::clone(tls)),
        };
        let client = tls.as_ref().and_then(|_| port?.client_identity.clone());
        Ok(Self { tls, client, offer: Offer::Nothing })
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::new(self.tls.as_deref(), self.client.as_deref())
    }

    /// A place on a shared connection will do.
    pub(crate) fn may_share(&self) -> bool {
        matches!(self.offer, Offer::Http2 | Offer::Either)
    }

    /// A connection of HTTP/1 will do.
    pub(crate) fn may_own(&self) -> bool {
        self.offer != Offer::Http2
    }
}

// === impl ConnectFailure ===

impl ConnectFailure {
    pub(crate) fn blames_endpoint(self) -> bool {
        matches!(self, Self::Refused | Self::Timeout | Self::Insecure)
    }
}

impl From<io::Error> for ConnectFailure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::AddrNotAvailable => Self::Exhausted,
            _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => Self::Exhausted,
            _ => Self::Refused,
        }
    }
}

/// A connection that is being opened.
pub(crate) struct Opening<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) local: &'a Rc<LocalBackend>,
    pub(crate) picked: &'a Picked,
    pub(crate) way: &'a Way,
    /// Whom it is for.
    pub(crate) peer: &'a Peer,
}

// === impl Opening ===

impl Opening<'_> {
    /// Opens it within a time that connecting and shaking hands share.
    pub(crate) async fn run(
        self,
        timer: &Timer,
        limit: Duration,
        deadline: Option<Tick>,
    ) -> Result<Leased, ConnectFailure> {
        let wheel = &self.worker.wheel;
        timer.set(Tick::earlier(wheel.after(limit), deadline));
        let mut establishing = pin!(self.establish());
        let opened = poll_fn(|cx| {
            if let Poll::Ready(opened) = establishing.as_mut().poll(cx) {
                return Poll::Ready(Some(opened));
            }
            if timer.poll_expired(cx) { Poll::Ready(None) } else { Poll::Pending }
        });
        match opened.await {
            Some(opened) => opened,
            None if deadline.is_some_and(|deadline| deadline <= wheel.now()) => {
                Err(ConnectFailure::RequestTimeout)
            }
            None => Err(ConnectFailure::Timeout),
        }
    }

    async fn establish(&self) -> Result<Leased, ConnectFailure> {
        let Self { worker, local, picked, way, .. } = self;
        let ticket = local.ticket((*picked).clone());
        let identity = way.identity();
        let mut socket = connect(&picked.endpoint().address).await?;
        let header = self.header();
        if let Some(header) = &header {
            socket.write_all(header).await?;
        }
        let (stream, is_http2) = match &way.tls {
            None => (socket, way.offer == Offer::Http2),
            Some(tls) => {
                let (stream, is_http2) = secure(worker, local, tls, way, socket).await.map_err(|error| {
                    self.tell(&error);
                    ConnectFailure::Insecure
                })?;
                if way.offer == Offer::Http2 && !is_http2 {
                    self.tell(&"it does not agree on HTTP/2");
                    return Err(ConnectFailure::Insecure);
                }
                (stream, is_http2)
            }
        };
        if !is_http2 {
            return Ok(Leased::Own(Lease::new(stream, identity, ticket)));
        }
        let now = worker.wheel.now();
        let link = SharedLink::open(stream, identity, now).await?;
        // One that was announced as a client's is that client's.
        if header.is_none() {
            local.keep_shared(picked, &link, now);
        }
        Ok(Leased::Shared(SharedLease::new(link, false, ticket, now)))
    }

    /// The PROXY header for an endpoint that expects one.
    fn header(&self) -> Option<Vec<u8>> {
        let version = self.picked.set().connections.proxy_protocol?;
        let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let mut header = Vec::new();
        let destination = self.peer.destination.unwrap_or(unknown);
        proxy_protocol::write(&mut header, version, self.peer.address, destination);
        Some(header)
    }

    /// Warns of a handshake that failed, not more than once in a while.
    fn tell(&self, error: &dyn std::fmt::Display) {
        if self.local.may_tell(self.worker.wheel.now()) {
            let endpoint = &self.picked.endpoint().address;
            warn!(backend = &*self.local.shared.key, %endpoint, %error, "no TLS with the endpoint");
        }
    }
}

/// Shakes hands; tells whether HTTP/2 was agreed on.
async fn secure(
    worker: &Rc<Worker>,
    local: &Rc<LocalBackend>,
    tls: &Arc<BackendTls>,
    way: &Way,
    socket: Stream,
) -> io::Result<(Stream, bool)> {
    let config = local.client_configs.borrow_mut().find(tls, way.client.as_deref(), way.offer);
    let session =
        UnbufferedClientConnection::new(config, tls.server_name.clone()).map_err(io::Error::other)?;
    let mut stream = TlsStream::new(session, socket, Vec::new(), Rc::clone(&worker.tls_buffers));
    poll_fn(|cx| stream.poll_handshake(cx)).await?;
    let is_http2 = stream.session().alpn_protocol() == Some(b"h2");
    Ok((Stream::Tls(Box::new(stream)), is_http2))
}

async fn connect(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
