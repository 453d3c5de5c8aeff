//! The echo server of HTTP: in cleartext, with prior knowledge of HTTP/2, over TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::{Asked, plain};
use super::container::Identity;
use super::log::Log;
use super::retries::{Outcome, Retries};
use super::session::Session;
use super::{duration, websocket};

/// How clients speak to a port.
#[derive(Clone, Debug)]
pub(crate) enum Front {
    /// HTTP/1 in cleartext.
    Plain,
    /// HTTP/2 in cleartext; HTTP/1 is refused with an answer.
    H2c,
    /// HTTP/1 and HTTP/2 over TLS.
    Tls(Arc<ServerConfig>),
}

/// The server of one pod.
#[derive(Debug)]
pub(crate) struct HttpEcho {
    identity: Identity,
    port: u16,
    log: Log,
    retries: Retries,
    /// What goes on when its client has left.
    lasting: Mutex<JoinSet<()>>,
}

/// A connection, as its requests see it.
struct Connection {
    client: SocketAddr,
    session: Option<Session>,
    is_h2c: bool,
    /// Wakes who resets it.
    reset: Notify,
}

/// Takes connections until it is dropped, and gives each to a task.
pub(crate) async fn accept<F>(listener: TcpListener, mut converse: impl FnMut(TcpStream, SocketAddr) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, client)) => {
                connections.spawn(converse(stream, client));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves a port.
pub(crate) async fn run(listener: TcpListener, front: Front, echo: Arc<HttpEcho>) {
    accept(listener, |stream, client| converse(stream, client, front.clone(), Arc::clone(&echo))).await;
}

async fn converse(stream: TcpStream, client: SocketAddr, front: Front, echo: Arc<HttpEcho>) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = SockRef::from(&stream).try_clone() else { return };
    let mut connection =
        Connection { client, session: None, is_h2c: matches!(front, Front::H2c), reset: Notify::new() };
    match front {
        Front::Plain | Front::H2c => serve(stream, socket, connection, echo).await,
        Front::Tls(config) => {
            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
            connection.session = Some(Session::of(stream.get_ref().1));
            serve(stream, socket, connection, echo).await;
        }
    }
}

async fn serve<S>(stream: S, socket: Socket, connection: Connection, echo: Arc<HttpEcho>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let of_requests = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let (connection, echo) = (Arc::clone(&of_requests), Arc::clone(&echo));
        async move { Ok::<_, Infallible>(echo.take(request, connection).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let builder =
        if connection.is_h2c || connection.session.is_some() { builder } else { builder.http1_only() };
    let conversation = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    // Arms: the connection ends; a request wants it reset, which closing does where nothing may linger.
    tokio::select! {
        _ = conversation => {}
        () = connection.reset.notified() => {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

// === impl HttpEcho ===

impl HttpEcho {
    pub(crate) fn new(identity: Identity, port: u16, log: Log) -> Self {
        Self { identity, port, log, retries: Retries::default(), lasting: Mutex::new(JoinSet::new()) }
    }

    async fn take(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Response<Full<Bytes>> {
        // Paths are compared as if two slashes were one.
        let path = request.uri().path().replace("//", "/");
        if path == "/ws" && !connection.is_h2c {
            return self.open_websocket(&mut request, connection.client);
        }
        let asked = Asked {
            head: request.into_parts().0,
            client: connection.client,
            session: connection.session.clone(),
        };
        if connection.is_h2c {
            let speaks = asked.head.version == Version::HTTP_2
                || asked.head.headers.get("upgrade").is_some_and(|protocol| protocol == "h2c");
            return match speaks {
                true => self.echo(&asked).await,
                false => plain(StatusCode::BAD_REQUEST, "Expected h2c request"),
            };
        }
        if path == "/health" {
            plain(StatusCode::OK, "OK")
        } else if path.starts_with("/status/") {
            plain(status(&asked.target()), "")
        } else if path.starts_with("/retry/") {
            self.fail_at_first(asked, &connection).await
        } else {
            self.echo(&asked).await
        }
    }

    /// Echoes, after the time that the request asks for.
    pub(crate) async fn echo(&self, asked: &Asked) -> Response<Full<Bytes>> {
        self.log.write(asked.line());
        if let Some(delay) = asked.parameter("delay").and_then(|text| duration::parse(&text)) {
            tokio::time::sleep(delay).await;
        }
        asked.echo(&self.identity, self.port)
    }

    async fn fail_at_first(self: Arc<Self>, asked: Asked, connection: &Connection) -> Response<Full<Bytes>> {
        let (sender, outcome) = oneshot::channel();
        let echo = Arc::clone(&self);
        {
            let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
            while lasting.try_join_next().is_some() {}
            lasting.spawn(async move {
                let outcome = echo.retries.take(&asked, &echo).await;
                // The client may have left.
                let _ = sender.send(outcome);
            });
        }
        match outcome.await {
            Ok(Outcome::Answer(response)) => response,
            Ok(Outcome::Reset) => {
                connection.reset.notify_one();
                std::future::pending().await
            }
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, ""),
        }
    }

    fn open_websocket(&self, request: &mut Request<Incoming>, client: SocketAddr) -> Response<Full<Bytes>> {
        let response = match websocket::accept(request.headers()) {
            Ok(response) => response,
            Err(status) => return plain(status, ""),
        };
        self.log.write(format!("established websocket connection {client}"));
        let upgraded = hyper::upgrade::on(request);
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        while lasting.try_join_next().is_some() {}
        lasting.spawn(async move {
            if let Ok(stream) = upgraded.await {
                // A client that breaks the protocol ends its own connection.
                let _ = websocket::echo(TokioIo::new(stream)).await;
            }
        });
        response
    }
}

/// The status that a target of the form `/status/NNN` wants.
fn status(target: &str) -> StatusCode {
    let digits = target.strip_prefix("/status/").filter(|digits| digits.len() == 3);
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(StatusCode::BAD_REQUEST)
}

/// Pause after a failed accept, which out of descriptors would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
