//! A socket with or without TLS, and what is still to be sent on it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use super::connection::End;
use crate::sockets::is_waiting;

/// A way to the proxy.
pub struct Wire {
    pub socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Frames that were not sent yet.
    frames: Vec<u8>,
    /// A request that was not sent whole, and how much of it was.
    request: Option<(Rc<[u8]>, usize)>,
}

// === impl Wire ===

impl Wire {
    /// On a socket that is about to be connected.
    ///
    /// # Errors
    /// Fails if TLS cannot begin.
    pub fn new(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> anyhow::Result<Self> {
        let tls = match tls {
            Some(config) => {
                let name = ServerName::try_from(HOST)?;
                Some(Box::new(ClientConnection::new(Arc::clone(config), name)?))
            }
            None => None,
        };
        Ok(Self { socket, tls, frames: Vec::new(), request: None })
    }

    /// Whether requests may be sent.
    pub fn is_ready(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Whether the session is one of before.
    pub fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// Notes a request; the one before was sent whole, or there is no answer to it.
    pub fn send(&mut self, request: &Rc<[u8]>) {
        self.request = Some((Rc::clone(request), 0));
    }

    /// Frames to be sent.
    pub fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.frames
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// Fails if the connection is broken.
    pub fn flush(&mut self) -> Result<(), End> {
        let is_sent = match self.tls {
            Some(_) => self.flush_tls(),
            None => self.flush_plain(),
        };
        match is_sent {
            Err(error) if !is_waiting(&error) => Err(End::Broken),
            _ => Ok(()),
        }
    }

    /// Reads what is there once; false where nothing is. What TLS carried is given to `take` piece by piece.
    ///
    /// # Errors
    /// Fails where the connection ends, or with `take`.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, End> {
        match self.socket.read(buffer) {
            Ok(0) => Err(End::Closed),
            Ok(n_bytes) => Ok(Some(n_bytes)),
            Err(error) if is_waiting(&error) => Ok(None),
            Err(_) => Err(End::Broken),
        }
    }

    /// Opens records of TLS up to the first that carry something for the layer above, of which it says how much.
    ///
    /// # Errors
    /// Fails if TLS does, or if the other side has ended it.
    pub fn open(&mut self, sealed: &mut &[u8], plain: &mut [u8]) -> Result<usize, End> {
        let Some(tls) = &mut self.tls else { return Ok(0) };
        loop {
            match tls.reader().read(plain) {
                Ok(0) => return Err(End::Closed),
                Ok(n_bytes) => return Ok(n_bytes),
                Err(error) if is_waiting(&error) => {}
                Err(_) => return Err(End::Broken),
            }
            if sealed.is_empty() {
                return Ok(0);
            }
            let was_handshaking = tls.is_handshaking();
            tls.read_tls(sealed).map_err(|_| End::Broken)?;
            tls.process_new_packets().map_err(|_| End::Strange)?;
            if was_handshaking && !tls.is_handshaking() {
                // The first request goes with the end of the handshake.
                return Ok(0);
            }
        }
    }

    /// Whether there is TLS.
    pub fn is_sealed(&self) -> bool {
        self.tls.is_some()
    }

    fn flush_plain(&mut self) -> std::io::Result<()> {
        while !self.frames.is_empty() {
            let n_bytes = self.socket.write(&self.frames)?;
            self.frames.drain(..n_bytes);
        }
        while let Some((request, at)) = &mut self.request {
            *at += self.socket.write(&request[*at..])?;
            if *at == request.len() {
                self.request = None;
            }
        }
        Ok(())
    }

    fn flush_tls(&mut self) -> std::io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        loop {
            if !self.frames.is_empty() {
                let n_bytes = tls.writer().write(&self.frames)?;
                self.frames.drain(..n_bytes);
            } else if let Some((request, at)) = &mut self.request {
                let end = request.len().min(*at + PIECE);
                *at += tls.writer().write(&request[*at..end])?;
                if *at == request.len() {
                    self.request = None;
                }
            }
            if !tls.wants_write() {
                return Ok(());
            }
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
        }
    }
}

/// Name that certificates of scenarios are for.
pub const HOST: &str = "localhost";
const PIECE: usize = 16 * 1024;
