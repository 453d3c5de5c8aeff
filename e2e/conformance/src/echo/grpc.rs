//! The echo server of gRPC: `GrpcEcho` with Echo and EchoTwo. Everything else is not implemented, EchoThree on purpose.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::container::Identity;
use super::http::accept;
use super::log::Log;
use super::protobuf::Message;
use super::session::Session;

/// The server of one pod.
#[derive(Debug)]
pub(crate) struct GrpcEcho {
    identity: Identity,
    log: Log,
}

/// Serves a port.
pub(crate) async fn run(listener: TcpListener, tls: Option<Arc<ServerConfig>>, echo: Arc<GrpcEcho>) {
    accept(listener, |stream, _| converse(stream, tls.clone(), Arc::clone(&echo))).await;
}

async fn converse(stream: TcpStream, tls: Option<Arc<ServerConfig>>, echo: Arc<GrpcEcho>) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, None, echo).await,
        Some(config) => {
            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
            let session = Session::of(stream.get_ref().1);
            serve(stream, Some(session), echo).await;
        }
    }
}

async fn serve<S>(stream: S, session: Option<Session>, echo: Arc<GrpcEcho>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let session = Arc::new(session);
    let service = service_fn(move |request: Request<Incoming>| {
        let (session, echo) = (Arc::clone(&session), Arc::clone(&echo));
        async move {
            let (head, body) = request.into_parts();
            // The message of a call is empty. A body that breaks breaks its call with it.
            let _ = body.collect().await;
            Ok::<_, Infallible>(echo.answer(&head, session.as_ref().as_ref()))
        }
    });
    // A connection that breaks ends alone.
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

// === impl GrpcEcho ===

impl GrpcEcho {
    pub(crate) fn new(identity: Identity, log: Log) -> Self {
        Self { identity, log }
    }

    fn answer(&self, head: &Parts, session: Option<&Session>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let method = head.uri.path();
        let is_served = method.strip_prefix(SERVICE).is_some_and(|name| ["Echo", "EchoTwo"].contains(&name));
        let mut trailers = HeaderMap::new();
        let body = if is_served {
            self.log.write(format!("Received over {}", if session.is_some() { "TLS" } else { "plaintext" }));
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            Full::from(self.reply(head, session).framed())
        } else {
            trailers.insert("grpc-status", HeaderValue::from_static(UNIMPLEMENTED));
            trailers.insert("grpc-message", HeaderValue::from_static("method is not implemented"));
            Full::default()
        };
        let body = body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync();
        let mut response = Response::new(body);
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response
    }

    /// EchoResponse, with the field numbers of `grpcecho.proto`.
    fn reply(&self, head: &Parts, session: Option<&Session>) -> Message {
        let host = head.headers.get("host").and_then(|host| host.to_str().ok());
        let authority = head.uri.authority().map(|authority| authority.as_str()).or(host).unwrap_or_default();
        let mut assertions = Message::default();
        assertions.string(1, head.uri.path());
        assertions.message(2, &header(":authority", authority));
        for (name, value) in &head.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            assertions.message(2, &header(name.as_str(), &value));
        }
        assertions.string(3, authority);
        let mut context = Message::default();
        context.string(1, &self.identity.namespace);
        context.string(2, &self.identity.ingress);
        context.string(3, &self.identity.service);
        context.string(4, &self.identity.pod);
        assertions.message(4, &context);
        if let Some(session) = session {
            let mut tls = Message::default();
            tls.string(1, session.version);
            tls.string(2, &session.negotiated_protocol);
            tls.string(3, &session.server_name);
            tls.string(4, &session.cipher_suite);
            for certificate in &session.peer_certificates {
                tls.string(5, certificate);
            }
            assertions.message(5, &tls);
        }
        let mut response = Message::default();
        response.message(1, &assertions);
        response
    }
}

fn header(name: &str, value: &str) -> Message {
    let mut header = Message::default();
    header.string(1, name);
    header.string(2, value);
    header
}

/// What the paths of all calls begin with.
const SERVICE: &str = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/";
/// Status of a call that nobody implements.
const UNIMPLEMENTED: &str = "12";
