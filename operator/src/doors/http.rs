//! HTTP/1.1 of the control side: the server loop of sync and admin, and a small client for Unix sockets.
//!
//! Nothing here is on the path of traffic. Bodies and connections are bounded; a connection that breaks
//! ends alone.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tracing::{debug, warn};

/// Where connections come from.
pub enum Door {
    /// A Unix socket.
    Unix(UnixListener),
    /// A TCP port.
    Tcp(TcpListener),
    /// A TCP port with TLS; the configuration says whose certificates are taken.
    Tls(TcpListener, Arc<ServerConfig>),
}

/// Who sent a request, among its extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who may use the door: nothing more is known.
    #[default]
    Anybody,
    /// The holder of a certificate, in DER, which the door has verified.
    Certified(Arc<[u8]>),
}

/// Serves `door` until the future is dropped, which closes every connection.
pub async fn serve<F, R>(door: Door, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        // A finished connection makes room; a new one is taken only while there is some.
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        let accepted = match &door {
            Door::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                connections.spawn(converse(TokioIo::new(stream), Caller::Anybody, answer.clone()));
            }),
            Door::Tls(listener, config) => listener.accept().await.map(|(stream, _)| {
                connections.spawn(shake_hands(stream, TlsAcceptor::from(Arc::clone(config)), answer.clone()));
            }),
            Door::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                connections.spawn(converse(TokioIo::new(stream), Caller::Anybody, answer.clone()));
            }),
        };
        if let Err(error) = accepted {
            warn!(%error, "connection cannot be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// An answer with a content type.
#[must_use]
pub fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}

/// Asks a Unix socket for `path` and returns the body of a 200 answer.
///
/// # Errors
/// The system's, where nobody listens or answers within two seconds, and one that names the status where it
/// is not 200.
pub fn fetch(socket: &Path, path: &str) -> io::Result<Vec<u8>> {
    ask(socket, "GET", path)
}

/// The same with another method, without a body.
///
/// # Errors
/// As [`fetch`].
pub fn ask(socket: &Path, method: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(FETCH_TIMEOUT))?;
    stream.set_write_timeout(Some(FETCH_TIMEOUT))?;
    // HTTP/1.0: the answer ends with the connection and is never chunked.
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut bytes)?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(malformed)?;
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let status = head.split_ascii_whitespace().nth(1).ok_or_else(malformed)?;
    if status != "200" {
        return Err(io::Error::other(format!("the answer to {path} has status {status}")));
    }
    bytes.drain(..end + 4);
    Ok(bytes)
}

async fn shake_hands<F, R>(stream: TcpStream, acceptor: TlsAcceptor, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Send + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
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
    converse(TokioIo::new(stream), caller, answer).await;
}

async fn converse<I, F, R>(stream: TokioIo<I>, caller: Caller, answer: F)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Send + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        let response = answer(request);
        async move { Ok::<_, std::convert::Infallible>(response.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(stream, service);
    if let Err(error) = connection.await {
        debug!(%error, "local connection ended early");
    }
}

/// Connections of one door at a time.
const MAX_CONNECTIONS: usize = 256;
/// Pause after a failed accept, which out of descriptors would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time of one read or write of [`fetch`].
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer [`fetch`] takes.
const MAX_ANSWER_BYTES: u64 = 1 << 30;
