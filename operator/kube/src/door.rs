//! Where clients come in: HTTP/1.1 over Unix sockets, TCP and TLS.
//!
//! Connections, heads and bodies are bounded; a connection that breaks ends alone. When the future of [`serve`] is
//! dropped, every connection closes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tracing::{debug, warn};

use crate::access::Caller;
use crate::failure::{Failure, Reason};
use crate::reply;
use crate::server::Server;

/// Where connections come from.
pub enum Door {
    /// A Unix socket.
    Unix(UnixListener),
    /// A TCP port.
    Tcp(TcpListener),
    /// A TCP port with TLS; the configuration says whose certificates are taken.
    Tls(TcpListener, Arc<ServerConfig>),
}

/// Under which names a door is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Under any: a browser does not reach it, or the certificate has its names.
    Any,
    /// Under those of the server.
    Own,
}

/// Answers what comes through a door, until the future is dropped.
pub async fn serve(door: Door, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        // A finished connection makes room; a new one is taken only while there is some.
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        let server = Arc::clone(&server);
        let accepted = match &door {
            Door::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                connections.spawn(converse(stream, Caller::Anybody, Names::Any, server));
            }),
            Door::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tune(&stream);
                connections.spawn(converse(stream, Caller::Anybody, Names::Own, server));
            }),
            Door::Tls(listener, config) => listener.accept().await.map(|(stream, _)| {
                tune(&stream);
                connections.spawn(shake_hands(stream, TlsAcceptor::from(Arc::clone(config)), server));
            }),
        };
        if let Err(error) = accepted {
            warn!(%error, "connection cannot be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Changes of a watch are small and wait for nothing; a client that takes nothing is not waited for. A system that has
/// no such settings does without.
fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    if let Err(error) =
        socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_user_timeout(Some(STALL_TIMEOUT)))
    {
        debug!(%error, "connection keeps the system's settings");
    }
}

async fn shake_hands(stream: TcpStream, acceptor: TlsAcceptor, server: Arc<Server>) {
    let stream = match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "TLS handshake failed"),
        Err(_) => return debug!("TLS handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let caller = match session.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => Caller::Certified(certificate.as_ref().into()),
        None => Caller::Anybody,
    };
    converse(stream, caller, Names::Any, server).await;
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    caller: Caller,
    names: Names,
    server: Arc<Server>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        let server = Arc::clone(&server);
        async move {
            if names == Names::Own && !server.is_named(&request) {
                let message = "the server is not known under this name; use its address";
                return Ok::<_, Infallible>(reply::refusal(&Failure::new(Reason::Forbidden, message)));
            }
            Ok(server.answer(request).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "connection ended early");
    }
}

/// Connections of one door at a time. A watch has one for as long as it lasts.
const MAX_CONNECTIONS: usize = 4096;
/// Pause after a failed accept, which out of descriptors would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for a request head, and for a TLS handshake; a connection that is at rest has it from its last answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Time after which a client that takes nothing of what is sent is gone.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Buffer of a connection, the bound of a request head.
const BUFFER_BYTES: usize = 64 * 1024;
