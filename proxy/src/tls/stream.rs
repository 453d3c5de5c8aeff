//! TLS over a socket, in the worker's shared buffers: an idle connection keeps no buffer of its own.
//!
//! Records are decrypted in the receive buffer and encrypted into the send buffer; only what is incomplete, or what a
//! socket did not take, rests with the connection.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Buffers that all TLS connections of a worker share. Never held across a return to the runtime.
pub(crate) struct TlsBuffers {
    received: RefCell<Box<[u8]>>,
    sent: RefCell<Box<[u8]>>,
}

/// One side of a connection.
pub(crate) trait Session {
    type Data;

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

/// A TLS connection over a socket.
pub(crate) struct TlsStream<S, T> {
    socket: T,
    session: S,
    buffers: Rc<TlsBuffers>,
    /// Received and not decrypted: the start of a record.
    encrypted: Vec<u8>,
    /// Decrypted and not read.
    plain: Vec<u8>,
    n_plain_read: usize,
    /// Encrypted and not sent.
    unsent: Vec<u8>,
    n_sent: usize,
    /// The peer has ended its side, by the protocol or by closing the socket.
    is_ended: bool,
    has_closed: bool,
}

/// What stopped the processing of records.
enum Stop {
    /// The handshake needs more bytes.
    Handshake,
    /// Everything received is decrypted.
    Traffic,
}

// === impl TlsBuffers ===

impl TlsBuffers {
    pub(crate) fn new() -> Rc<Self> {
        let buffer = |size| RefCell::new(vec![0; size].into_boxed_slice());
        Rc::new(Self { received: buffer(RECEIVED_BYTES), sent: buffer(SENT_BYTES) })
    }
}

// === impl Session ===

impl Session for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
}

impl Session for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
}

// === impl TlsStream ===

impl<S: Session, T: AsyncRead + AsyncWrite + Unpin> TlsStream<S, T> {
    /// A connection of which `received` has arrived already.
    pub(crate) fn new(session: S, socket: T, received: Vec<u8>, buffers: Rc<TlsBuffers>) -> Self {
        Self {
            socket,
            session,
            buffers,
            encrypted: received,
            plain: Vec::new(),
            n_plain_read: 0,
            unsent: Vec::new(),
            n_sent: 0,
            is_ended: false,
            has_closed: false,
        }
    }

    /// The session, for what was agreed on.
    pub(crate) fn session(&self) -> &S {
        &self.session
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &T {
        &self.socket
    }

    /// Bytes that are encrypted and not sent.
    pub(crate) fn n_unsent(&self) -> usize {
        self.unsent.len() - self.n_sent
    }

    /// Something decrypted waits to be read.
    pub(crate) fn has_plain(&self) -> bool {
        self.n_plain_read < self.plain.len()
    }

    /// Shakes hands. An error has been told to the peer as far as the socket took it.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let buffers = Rc::clone(&self.buffers);
        let mut received = buffers.received.borrow_mut();
        let mut n_received = self.restore(&mut received);
        loop {
            let stop = match self.process(&mut received, &mut n_received, None) {
                Ok(stop) => stop,
                Err(error) => {
                    // The alert that says why; if the socket does not take it now, the close tells enough.
                    let _ = self.poll_send(cx);
                    return Poll::Ready(Err(error));
                }
            };
            if let Stop::Traffic = stop {
                self.keep(&received[..n_received]);
                // What a server sends last, its tickets, may wait for the first answer.
                let is_sent = self.unsent.len() < LAZY_BYTES;
                return if is_sent { Poll::Ready(Ok(())) } else { self.poll_send(cx) };
            }
            if self.is_ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            // What is not sent yet is sent whenever the task is woken; the answer to it cannot come before.
            if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            match poll_receive(&mut self.socket, cx, &mut received, n_received) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(n_more)) => n_received += n_more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.keep(&received[..n_received]);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Moves what was kept to the front of the receive buffer.
    fn restore(&mut self, received: &mut [u8]) -> usize {
        let kept = std::mem::take(&mut self.encrypted);
        received[..kept.len()].copy_from_slice(&kept);
        kept.len()
    }

    fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.encrypted = rest.to_vec();
        }
    }

    /// Takes every whole record from the front of `received`. Plain text goes to `out` as far as it has room.
    fn process(
        &mut self,
        received: &mut [u8],
        n_received: &mut usize,
        mut out: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<Stop> {
        let mut start = 0;
        let stop = loop {
            let UnbufferedStatus { discard, state, .. } =
                self.session.process(&mut received[start..*n_received]);
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    start += discard;
                    self.collect_alert(&mut received[start..*n_received]);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            let mut stop = None;
            match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record =
                            record.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                        let mut payload = record.payload;
                        if let Some(out) = out.as_deref_mut().filter(|_| self.plain.is_empty()) {
                            let (now, later) = payload.split_at(payload.len().min(out.remaining()));
                            out.put_slice(now);
                            payload = later;
                        }
                        self.plain.extend_from_slice(payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = self.unsent.len();
                    let mut size = start + ENCODE_BYTES;
                    loop {
                        self.unsent.resize(size, 0);
                        match data.encode(&mut self.unsent[start..]) {
                            Ok(n_bytes) => {
                                self.unsent.truncate(start + n_bytes);
                                break;
                            }
                            Err(EncodeError::InsufficientSize(needed)) => size = start + needed.required_size,
                            Err(EncodeError::AlreadyEncoded) => {
                                self.unsent.truncate(start);
                                break;
                            }
                        }
                    }
                }
                // Sent as soon as the socket takes it; the order is kept either way.
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake => stop = Some(Stop::Handshake),
                ConnectionState::WriteTraffic(_) => stop = Some(Stop::Traffic),
                ConnectionState::PeerClosed => {
                    self.is_ended = true;
                }
                ConnectionState::Closed => {
                    self.is_ended = true;
                    stop = Some(Stop::Traffic);
                }
                // Early data is off, and no other state is known to this build.
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
            start += discard;
            if let Some(stop) = stop {
                break stop;
            }
        };
        received.copy_within(start..*n_received, 0);
        *n_received -= start;
        Ok(stop)
    }

    /// Takes the alert that follows an error. `received` is what follows the record with the error: the session may look
    /// for messages in it that it has seen there before.
    fn collect_alert(&mut self, received: &mut [u8]) {
        let mut start = 0;
        for _ in 0..ALERTS_MAX {
            let UnbufferedStatus { discard, state, .. } = self.session.process(&mut received[start..]);
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let start = self.unsent.len();
                    self.unsent.resize(start + ENCODE_BYTES, 0);
                    let n_bytes = data.encode(&mut self.unsent[start..]).unwrap_or(0);
                    self.unsent.truncate(start + n_bytes);
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return,
            }
            start += discard;
        }
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.unsent.get(self.n_sent..).filter(|rest| !rest.is_empty()) {
            let n_bytes = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if n_bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.n_sent += n_bytes;
        }
        self.unsent = Vec::new();
        self.n_sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Lets `each` encrypt into the send buffer behind what is there, and sends.
    fn send_traffic(
        &mut self,
        cx: &mut Context<'_>,
        each: impl FnOnce(&mut WriteTraffic<'_, S::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        let buffers = Rc::clone(&self.buffers);
        let mut sent = buffers.sent.borrow_mut();
        let mut received = std::mem::take(&mut self.encrypted);
        let mut n_received = received.len();
        // What the session has to say by itself goes first.
        self.process(&mut received, &mut n_received, None)?;
        received.truncate(n_received);
        let n_before = self.n_unsent();
        sent[..n_before].copy_from_slice(&self.unsent[self.n_sent..]);
        self.unsent.clear();
        self.n_sent = 0;
        let status = self.session.process(&mut received);
        let n_bytes = match status.state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => each(&mut traffic, &mut sent[n_before..])
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            _ => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.encrypted = received;
        let mut rest = &sent[..n_before + n_bytes];
        while !rest.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n_bytes)) => rest = &rest[n_bytes..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.unsent.extend_from_slice(rest);
                    break;
                }
            }
        }
        Ok(())
    }
}

impl<S: Session + Unpin, T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S, T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.has_plain() {
            let rest = &this.plain[this.n_plain_read..];
            let n_bytes = rest.len().min(out.remaining());
            out.put_slice(&rest[..n_bytes]);
            this.n_plain_read += n_bytes;
            if !this.has_plain() {
                this.plain = Vec::new();
                this.n_plain_read = 0;
            }
            return Poll::Ready(Ok(()));
        }
        if this.is_ended || out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let buffers = Rc::clone(&this.buffers);
        let mut received = buffers.received.borrow_mut();
        let mut n_received = this.restore(&mut received);
        let n_filled = out.filled().len();
        // What is kept may hold whole records only after a handshake; later it never does.
        let mut wants_bytes = n_received == 0;
        loop {
            if wants_bytes {
                // No more than the caller has room for: plain text is shorter than what it comes in.
                let room = (n_received + out.remaining().max(RECORD_BYTES)).min(received.len());
                match poll_receive(&mut this.socket, cx, &mut received[..room], n_received) {
                    Poll::Ready(Ok(0)) => {
                        this.is_ended = true;
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(Ok(n_more)) => n_received += n_more,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        this.keep(&received[..n_received]);
                        // Tickets and the like wait for an answer to travel with; here none is coming.
                        if let Poll::Ready(Err(error)) = this.poll_send(cx) {
                            return Poll::Ready(Err(error));
                        }
                        return Poll::Pending;
                    }
                }
            }
            wants_bytes = true;
            if let Err(error) = this.process(&mut received, &mut n_received, Some(out)) {
                let _ = this.poll_send(cx);
                return Poll::Ready(Err(error));
            }
            if out.filled().len() > n_filled || this.is_ended {
                this.keep(&received[..n_received]);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: Session + Unpin, T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S, T> {
    /// Encrypts and sends. Bytes are taken when they are encrypted; a flush waits until they are sent.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.has_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.n_unsent() > LAZY_BYTES {
            ready!(this.poll_send(cx))?;
        }
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES)];
        this.send_traffic(cx, |traffic, sent| traffic.encrypt(bytes, sent))?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_closed {
            this.has_closed = true;
            // A session that cannot say good-bye any more ends with its socket.
            let _ = this.send_traffic(cx, |traffic, sent| traffic.queue_close_notify(sent));
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// Receives behind what is there.
fn poll_receive<T: AsyncRead + Unpin>(
    socket: &mut T,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
    n_filled: usize,
) -> Poll<io::Result<usize>> {
    let mut free = ReadBuf::new(&mut buffer[n_filled..]);
    if free.remaining() == 0 {
        // No record is this long.
        return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
    }
    ready!(Pin::new(socket).poll_read(cx, &mut free))?;
    Poll::Ready(Ok(free.filled().len()))
}

/// Longest record with its header, and a little more.
const RECORD_BYTES: usize = 18 * 1024;
/// What one read decrypts, and one record that is not complete.
const RECEIVED_BYTES: usize = 256 * 1024 + 2 * RECORD_BYTES;
/// Bytes that one write encrypts: two records, which stay in the processor's nearest cache until they are sent.
const WRITE_BYTES: usize = 32 * 1024;
/// Room for them as records, and for what waits before them.
const SENT_BYTES: usize = WRITE_BYTES + 4 * 1024 + LAZY_BYTES;
/// Handshake messages up to this size wait for traffic to travel with.
const LAZY_BYTES: usize = 4 * 1024;
/// First guess of the size of a handshake record.
const ENCODE_BYTES: usize = 2 * 1024;
const ALERTS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// The messages of a server come in one record. When the one with the certificate is refused, others wait behind it.
    #[tokio::test]
    async fn a_refused_certificate_is_told_although_more_messages_wait() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["a.test".into()]).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from("a.test").unwrap();
        let session = UnbufferedClientConnection::new(Arc::new(client), name).unwrap();
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let mut stream = TlsStream::new(session, ours, Vec::new(), TlsBuffers::new());
        let shake = async {
            let shaken = poll_fn(|cx| stream.poll_handshake(cx)).await;
            drop(stream);
            shaken
        };
        let (shaken, accepted) = tokio::join!(shake, TlsAcceptor::from(Arc::new(server)).accept(theirs));
        assert!(shaken.unwrap_err().to_string().contains("UnknownIssuer"));
        let told = accepted.err().unwrap().to_string();
        assert!(told.contains("UnknownCA"), "{told}");
    }
}
