//! Traffic that goes on while the gateway changes, over TLS and over HTTP/2, as browsers behave: a goodbye of the gateway
//! is heeded, nothing is asked twice, and every request that is lost is counted.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::{Connection, dial};
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, section,
};
use crate::tls::{Client, Secured};
use anyhow::{Context as _, bail, ensure};

/// Something that goes on until it is told to stop.
#[derive(Default)]
pub struct Ongoing {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    n_good: AtomicU64,
    failures: Mutex<Vec<String>>,
}

// === impl Ongoing ===

impl Ongoing {
    /// Runs `step` again and again on a thread of its own.
    pub fn add(
        &mut self,
        name: &'static str,
        pause: Duration,
        mut step: impl FnMut() -> anyhow::Result<()> + Send + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        self.threads.push(std::thread::spawn(move || {
            while !shared.is_over.load(Ordering::Relaxed) {
                match step() {
                    Ok(()) => {
                        shared.n_good.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => {
                        let mut failures = shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(format!("{name}: {error:#}"));
                    }
                }
                std::thread::sleep(pause);
            }
        }));
    }

    /// Stops; how much went well, and what did not.
    #[must_use]
    pub fn stop(self) -> (u64, Vec<String>) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.shared.n_good.load(Ordering::Relaxed), failures)
    }
}

/// Requests over TLS on a connection that is kept as long as the gateway keeps it.
pub fn over_tls(
    client: Client,
    address: SocketAddr,
    host: &'static str,
) -> impl FnMut() -> anyhow::Result<()> {
    let mut kept: Option<Secured> = None;
    move || {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => client.connect(address, host)?,
        };
        let answer = connection.get(host, "/tls")?;
        ensure!(answer.status == 200, "status {}", answer.status);
        if answer.field("connection") != Some("close") {
            kept = Some(connection);
        }
        Ok(())
    }
}

/// Requests over TLS, each on a connection of its own.
pub fn over_new_tls(
    client: Client,
    address: SocketAddr,
    host: &'static str,
) -> impl FnMut() -> anyhow::Result<()> {
    move || {
        let answer = client.connect(address, host)?.get(host, "/new")?;
        ensure!(answer.status == 200, "status {}", answer.status);
        Ok(())
    }
}

/// Requests over HTTP/2 on a connection that is kept until the gateway says goodbye.
pub fn over_http2(address: SocketAddr, host: &'static str) -> impl FnMut() -> anyhow::Result<()> {
    let mut kept: Option<Http2> = None;
    move || {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Http2::open(address)?,
        };
        if connection.said_goodbye()? {
            connection = Http2::open(address)?;
        }
        // A request that a goodbye crossed was not looked at and may be asked again (RFC 9113 6.8).
        while !connection.get(host)? {
            connection = Http2::open(address)?;
        }
        if !connection.is_leaving {
            kept = Some(connection);
        }
        Ok(())
    }
}

/// Bytes back and forth on an upgraded connection.
pub struct Tunnel(Connection);

// === impl Tunnel ===

impl Tunnel {
    /// Asks for an echo.
    ///
    /// # Errors
    /// Fails without a connection, or if the answer is another than 101.
    pub fn open(address: SocketAddr, host: &str) -> anyhow::Result<Self> {
        let mut connection = Connection::open(address)?;
        connection.send(
            format!("GET /tunnel HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
                .as_bytes(),
        )?;
        let answer = connection.read("GET")?;
        ensure!(answer.status == 101, "status {}", answer.status);
        Ok(Self(connection))
    }

    /// Sends words and awaits them back.
    ///
    /// # Errors
    /// Fails if the tunnel broke or gives other bytes.
    pub fn exchange(&mut self, words: &[u8]) -> anyhow::Result<()> {
        self.0.send(words)?;
        let back = self.0.take(words.len())?;
        ensure!(back == words, "other bytes came back");
        Ok(())
    }
}

/// A download of which the rest is read later.
pub struct Download {
    stream: TcpStream,
    n_bytes: usize,
}

// === impl Download ===

impl Download {
    /// Asks, and reads a first part.
    ///
    /// # Errors
    /// Fails without a connection, or if the answer is another than 200.
    pub fn begin(address: SocketAddr, host: &str, n_bytes: usize) -> anyhow::Result<Self> {
        let mut stream = dial(address)?;
        write!(stream, "GET /size/{n_bytes} HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).context("no head")?;
            head.push(byte[0]);
        }
        ensure!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        Ok(Self { stream, n_bytes })
    }

    /// Reads the rest.
    ///
    /// # Errors
    /// Fails if it broke off or other bytes came.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let mut body = vec![0; self.n_bytes];
        self.stream.read_exact(&mut body).context("download broken")?;
        ensure!(body == crate::origin::pattern(self.n_bytes), "other bytes came");
        Ok(())
    }
}

/// A connection over HTTP/2 with one request at a time.
struct Http2 {
    stream: TcpStream,
    next: u32,
    is_leaving: bool,
}

// === impl Http2 ===

impl Http2 {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = dial(address)?;
        stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())?;
        Ok(Self { stream, next: 1, is_leaving: false })
    }

    /// Looks whether a goodbye came since the last answer.
    fn said_goodbye(&mut self) -> anyhow::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let mut first = [0; 1];
        let peeked = self.stream.peek(&mut first);
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(self.is_leaving),
            Err(error) => return Err(error).context("an idle connection broke"),
        }
        let frame = Frame::read(&mut self.stream).context("an idle connection broke")?;
        self.heed(&frame)?;
        if self.is_leaving { Ok(true) } else { self.said_goodbye() }
    }

    /// One request; false if the gateway says that it did not look at it.
    fn get(&mut self, host: &str) -> anyhow::Result<bool> {
        let stream = self.next;
        self.next += 2;
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", "/h2")];
        let sent =
            self.stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &section(&fields)));
        sent.context("request not sent")?;
        loop {
            let Some(frame) = Frame::read(&mut self.stream) else {
                bail!("connection ended inside an answer")
            };
            if let Some(last) = self.heed(&frame)?
                && last < stream
            {
                return Ok(false);
            }
            ensure!(!(frame.kind == RST_STREAM && frame.stream == stream), "stream reset");
            if frame.kind == HEADERS && frame.stream == stream {
                // `:status: 200` (RFC 7541 appendix A).
                ensure!(
                    frame.payload.first() == Some(&0x88),
                    "another status than 200: {:x?}",
                    frame.payload
                );
            }
            let is_part = frame.stream == stream && matches!(frame.kind, HEADERS | DATA);
            if is_part && frame.flags & END_STREAM != 0 {
                return Ok(true);
            }
        }
    }

    /// Does what frames ask for; the last stream of a goodbye.
    fn heed(&mut self, received: &Frame) -> anyhow::Result<Option<u32>> {
        match received.kind {
            SETTINGS if received.flags & 1 == 0 => self.stream.write_all(&frame(SETTINGS, 1, 0, &[]))?,
            PING if received.flags & 1 == 0 => {
                self.stream.write_all(&frame(PING, 1, 0, &received.payload))?
            }
            DATA if !received.payload.is_empty() => {
                let n_bytes = u32::try_from(received.payload.len())?.to_be_bytes();
                let room = [frame(WINDOW_UPDATE, 0, 0, &n_bytes)].concat();
                self.stream.write_all(&room)?;
            }
            GOAWAY => {
                self.is_leaving = true;
                let last = received.payload.get(..4).context("a short goodbye")?;
                return Ok(Some(u32::from_be_bytes(last.try_into()?) & 0x7fff_ffff));
            }
            _ => {}
        }
        Ok(None)
    }
}
