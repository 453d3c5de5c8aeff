//! The beginning of a connection on a port with TLS: the ClientHello, the listener it asks for, the handshake.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use igw_crds::snapshot::Protocol;
use rustls::server::UnbufferedServerConnection;
use tokio::io::AsyncWrite;
use tracing::debug;

use super::Worker;
use super::client::{Client, ClientStream, ClientTls, Peer};
use super::relay::Passage;
use super::stream::poll_read_some;
use super::timer::Tick;
use crate::metrics::handshakes::Handshake;
use crate::tls::clients::Ending;
use crate::tls::hello::{self, Hello, HelloError};
use crate::tls::stream::TlsStream;
use crate::tls::subject;

/// What a connection is past its beginning.
pub(crate) enum Secured {
    /// Requests inside TLS.
    Http(Client),
    /// Bytes to be passed on, inside TLS that was ended here or as they came.
    Stream(Client, Passage),
}

/// Shakes hands with a client, or finds who will; `None` if nothing came of it. It has been counted then, and told as
/// far as it listens.
pub(crate) async fn secure(worker: &Rc<Worker>, client: Client, port: usize) -> Option<Secured> {
    let limit = worker.port_settings(port).map_or(DEFAULT_LIMIT, |settings| settings.handshake_timeout_ms);
    let deadline = worker.wheel.after(Duration::from_millis(limit));
    client.timer.set(Tick::earlier(deadline, worker.wheel.after(HELLO_TIME)));
    match begin(worker, client, port, deadline).await {
        Ok(secured) => {
            let is_passed_on = matches!(&secured, Secured::Stream(client, _) if matches!(client.stream, ClientStream::Plain(_)));
            if !is_passed_on {
                worker.count_handshake(Handshake::Done);
            }
            Some(secured)
        }
        Err(outcome) => {
            worker.count_handshake(outcome);
            None
        }
    }
}

/// Reads the ClientHello and does what the listener of its name wants.
async fn begin(
    worker: &Rc<Worker>,
    mut client: Client,
    port: usize,
    deadline: Option<Tick>,
) -> Result<Secured, Handshake> {
    let mut bytes = client.unread.bytes().to_vec();
    client.unread.discard(&worker.scratch);
    let name = loop {
        match hello::read(&bytes) {
            Ok(Hello::Whole(name)) => break name.unwrap_or_default(),
            Ok(Hello::Partial) => {}
            Err(HelloError::NotTls) => {
                tell(&mut client, PLAIN_TEXT).await;
                return Err(Handshake::NotTls);
            }
            Err(HelloError::Malformed) => {
                tell(&mut client, &alert(DECODE_ERROR)).await;
                return Err(Handshake::Malformed);
            }
        }
        let n_read = poll_fn(|cx| {
            let mut input = worker.scratch.input();
            match poll_read_some(&mut client.stream, cx, &mut input) {
                Poll::Ready(Ok(n_read)) if n_read > 0 => {
                    bytes.extend_from_slice(&input[..n_read]);
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(_) => Poll::Ready(Err(Handshake::Gone)),
                Poll::Pending if client.timer.poll_expired(cx) => Poll::Ready(Err(Handshake::Timeout)),
                Poll::Pending if worker.is_stopping() => Poll::Ready(Err(Handshake::Gone)),
                Poll::Pending => Poll::Pending,
            }
        });
        n_read.await?;
    };
    if let Some(config) = worker.tables().shared.challenges.tls(&name, &bytes) {
        let ending = Ending { config, judge: None };
        let mut client = handshake(worker, client, ending, name, bytes).await?;
        // Whoever asked has seen the certificate; nothing else is spoken here (RFC 8737 3).
        poll_fn(|cx| {
            let _ = Pin::new(&mut client.stream).poll_shutdown(cx);
            Poll::Ready(())
        })
        .await;
        return Err(Handshake::Done);
    }
    let (ending, protocol) = match listener(worker, port, &name) {
        Some((ending, protocol)) => (ending, protocol),
        None => {
            turn_away(worker, &mut client, port).await;
            return Err(Handshake::UnknownName);
        }
    };
    let passage = match protocol {
        Protocol::Tls => {
            Some(Passage::find(worker, port, name.clone(), "TLS").ok_or(Handshake::UnknownName)?)
        }
        _ => None,
    };
    if let Some(passage) = passage.as_ref().filter(|passage| !passage.has_route()) {
        passage.refuse(worker, &client, "no_route");
        turn_away(worker, &mut client, port).await;
        return Err(Handshake::UnknownName);
    }
    client.timer.set(deadline);
    match (ending, passage) {
        (Some(ending), passage) => {
            let client = handshake(worker, client, ending, name, bytes).await?;
            Ok(match passage {
                Some(passage) => Secured::Stream(client, passage),
                None => Secured::Http(client),
            })
        }
        (None, Some(passage)) => {
            client.unread.set(&worker.scratch, &bytes);
            Ok(Secured::Stream(client, passage))
        }
        (None, None) => {
            turn_away(worker, &mut client, port).await;
            Err(Handshake::UnknownName)
        }
    }
}

async fn handshake(
    worker: &Rc<Worker>,
    client: Client,
    ending: Ending,
    name: Vec<u8>,
    bytes: Vec<u8>,
) -> Result<Client, Handshake> {
    // Handshakes are the dearest thing that strangers can ask for: only so many at a time.
    let mut acquiring = pin!(worker.handshakes.acquire());
    let permit = poll_fn(|cx| match acquiring.as_mut().poll(cx) {
        Poll::Ready(permit) => Poll::Ready(permit.ok()),
        Poll::Pending if client.timer.poll_expired(cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let _permit = permit.await.ok_or(Handshake::Timeout)?;
    let session =
        UnbufferedServerConnection::new(Arc::clone(&ending.config)).map_err(|_| Handshake::Failed)?;
    let Client { stream, unread, timer, peer } = client;
    let ClientStream::Plain(socket) = stream else { return Err(Handshake::Failed) };
    let mut stream = Box::new(TlsStream::new(session, socket, bytes, Rc::clone(&worker.tls_buffers)));
    let shaken = poll_fn(|cx| match stream.poll_handshake(cx) {
        Poll::Ready(shaken) => Poll::Ready(Some(shaken)),
        Poll::Pending if timer.poll_expired(cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match shaken.await {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            debug!(peer = peer.text, %error, "TLS handshake failed");
            return Err(Handshake::Failed);
        }
        None => return Err(Handshake::Timeout),
    }
    // Whoever showed a certificate that is not valid did not get here, or is served as nobody.
    let shown = stream.session().peer_certificates().filter(|chain| ending.believes(chain));
    let subject = shown.and_then(|chain| chain.first()).and_then(|certificate| subject::of(certificate));
    let peer = Peer {
        is_http2: stream.session().alpn_protocol() == Some(b"h2"),
        tls: Some(ClientTls::new(name, subject)),
        ..Peer::new(peer.address, peer.destination)
    };
    Ok(Client { stream: ClientStream::Tls(stream), unread, timer, peer: Rc::new(peer) })
}

/// What the listener of a name needs for handshakes, nothing where it leaves TLS to back ends, and its protocol.
fn listener(worker: &Worker, port: usize, name: &[u8]) -> Option<(Option<Ending>, Protocol)> {
    let tables = worker.tables();
    let port = tables.shared.ports.get(port)?.as_deref()?;
    let listener = port.routes.listener_of(name)?;
    let protocol = *port.protocols.get(listener)?;
    let ending = port.tls.as_ref()?.get(listener)?.clone();
    // Nobody passes through what was meant to end here: a listener whose key is missing refuses.
    (ending.is_some() || port.passes_through(listener)).then_some((ending, protocol))
}

/// Ends a connection for a name that nobody serves. A port that passes connections on by name resets it, as the Gateway
/// API wants; where all names are those of requests, an alert says what is wrong.
async fn turn_away(worker: &Worker, client: &mut Client, port: usize) {
    let tables = worker.tables();
    let port = tables.shared.ports.get(port).and_then(|port| port.as_deref());
    if port.is_some_and(|port| port.protocols.contains(&Protocol::Tls)) {
        client.stream.reset();
    } else {
        tell(client, &alert(UNRECOGNIZED_NAME)).await;
    }
}

/// Sends a few last bytes, if the socket takes them now.
async fn tell(client: &mut Client, bytes: &[u8]) {
    poll_fn(|cx| {
        // Whoever is not reading now is not told.
        let _ = Pin::new(&mut client.stream).poll_write(cx, bytes);
        let _ = Pin::new(&mut client.stream).poll_shutdown(cx);
        Poll::Ready(())
    })
    .await;
}

/// A fatal alert in plain text (RFC 8446 6).
fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

const DECODE_ERROR: u8 = 50;
const UNRECOGNIZED_NAME: u8 = 112;
const PLAIN_TEXT: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nigw-cause: tls_expected\r\ncontent-length: 46\r\nconnection: close\r\n\r\n400 Bad Request: this port speaks HTTPS alone\n";
/// Time for a whole ClientHello.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// Time for a handshake on a port that is configured no more, in milliseconds.
const DEFAULT_LIMIT: u64 = 10_000;
