//! A new connection to an endpoint: the socket, TLS where the back end has it, and what is spoken on it.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use igw_crds::snapshot::BackendProtocol;
use rustls::client::UnbufferedClientConnection;
use tokio::net::{TcpStream, UnixStream};
use tracing::warn;

use super::Worker;
use super::request::Request;
use super::stream::Stream;
use super::timer::{Tick, Timer};
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
            || request.target_tables().is_some_and(|target| target.rule.speaks_http2);
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

    pub(crate) fn identity(&self) -> Identity {
        Identity::new(self.tls.as_deref(), self.client.as_deref())
    }

    /// A place on a shared connection will do.
    pub(crate) fn may_share(&self) -> bool {
        self.offer != Offer::Http1
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

/// Opens a connection within a time that the handshakes share.
pub(crate) async fn open(
    worker: &Rc<Worker>,
    timer: &Timer,
    request: &Request,
    local: &Rc<LocalBackend>,
    picked: &Picked,
    way: &Way,
    limit: Duration,
) -> Result<Leased, ConnectFailure> {
    timer.set(Tick::earlier(worker.wheel.after(limit), request.deadline));
    let mut opening = pin!(establish(worker, local, picked, way));
    let opened = poll_fn(|cx| {
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(Some(opened));
        }
        if timer.poll_expired(cx) { Poll::Ready(None) } else { Poll::Pending }
    });
    match opened.await {
        Some(opened) => opened,
        None if request.deadline.is_some_and(|deadline| deadline <= worker.wheel.now()) => {
            Err(ConnectFailure::RequestTimeout)
        }
        None => Err(ConnectFailure::Timeout),
    }
}

async fn establish(
    worker: &Rc<Worker>,
    local: &Rc<LocalBackend>,
    picked: &Picked,
    way: &Way,
) -> Result<Leased, ConnectFailure> {
    let ticket = local.ticket(picked.clone());
    let identity = way.identity();
    let socket = connect(&picked.endpoint().address).await?;
    let (stream, is_http2) = match &way.tls {
        None => (socket, way.offer == Offer::Http2),
        Some(tls) => {
            let told = |error: &dyn std::fmt::Display| {
                if local.may_tell(worker.wheel.now()) {
                    let endpoint = &picked.endpoint().address;
                    warn!(backend = &*local.shared.key, %endpoint, %error, "no TLS with the endpoint");
                }
            };
            let (stream, is_http2) = secure(worker, local, tls, way, socket).await.map_err(|error| {
                told(&error);
                ConnectFailure::Insecure
            })?;
            if way.offer == Offer::Http2 && !is_http2 {
                told(&"it does not agree on HTTP/2");
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
    local.keep_shared(picked, &link, now);
    Ok(Leased::Shared(SharedLease::new(link, false, ticket, now)))
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
