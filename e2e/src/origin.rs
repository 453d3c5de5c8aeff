//! Back ends that say what they got, and that misbehave on request.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A back end. Dropping it ends it.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// How a back end answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// With 200 and a report of the request.
    #[default]
    Echo,
    /// With 200, but 503 for `/health`.
    Unhealthy,
    /// Takes the request and closes.
    Reset,
    /// Takes the request and says nothing.
    Hang,
    /// Announces more body than it sends.
    Truncate,
    /// Sends bytes behind a complete answer.
    Extra,
    /// Answers in chunks, with a trailer.
    Chunked,
    /// Answers with what is no HTTP.
    Garbage,
    /// Answers without length and closes.
    UntilClose,
    /// Sends an early hint first.
    EarlyHints,
    /// With this status.
    Status(u16),
    /// As `Echo`, and says that every origin may read the answer.
    OpenToAll,
}

/// A request as a back end saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Request line.
    pub line: String,
    /// Fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Body, chunks joined.
    pub body: Vec<u8>,
}

struct Shared {
    name: String,
    manners: Mutex<Manners>,
    n_requests: AtomicU64,
    n_connections: AtomicU64,
    is_over: AtomicBool,
    /// No new connections, and each that is open ends with its next answer.
    is_draining: AtomicBool,
}

// === impl Origin ===

impl Origin {
    /// Starts a back end on an address; port 0 is a free one.
    ///
    /// # Errors
    /// Fails if the address is taken.
    pub fn start(name: &str, address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("{address} for a back end"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            manners: Mutex::new(Manners::Echo),
            n_requests: AtomicU64::new(0),
            n_connections: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            loop {
                if of_thread.is_draining.load(Ordering::SeqCst) && listener.set_nonblocking(true).is_err() {
                    return;
                }
                let stream = match listener.accept() {
                    Ok((stream, _)) => stream,
                    // Nobody waits any more.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    Err(_) => continue,
                };
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                shared.n_connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _ = shared.serve(stream);
                    shared.n_connections.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { address, shared })
    }

    /// Changes the manners, of open connections too.
    pub fn behave(&self, manners: Manners) {
        *lock(&self.shared.manners) = manners;
    }

    /// Ends as a server should that is told to stop: takes no new connections, closes each open one with its next
    /// answer, and waits for that for `limit` at most.
    pub fn drain(self, limit: Duration) {
        self.shared.is_draining.store(true, Ordering::SeqCst);
        let until = Instant::now() + limit;
        while self.shared.n_connections.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            // Wakes the accepting thread the first time, which then closes the socket.
            let _ = TcpStream::connect(self.address);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Requests so far, checks left out.
    #[must_use]
    pub fn n_requests(&self) -> u64 {
        self.shared.n_requests.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then ends and closes the socket.
        let _ = TcpStream::connect(self.address);
    }
}

// === impl Shared ===

impl Shared {
    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(seen) = self.read(&mut reader, &mut writer)? {
            if self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let manners = *lock(&self.manners);
            if seen.line.contains(" /health") {
                let status = if manners == Manners::Unhealthy { "503 Service Unavailable" } else { "200 OK" };
                write!(writer, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")?;
                continue;
            }
            self.n_requests.fetch_add(1, Ordering::Relaxed);
            if seen.fields.iter().any(|(name, value)| name == "upgrade" && value == "echo") {
                write!(
                    writer,
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
                )?;
                let mut buffer = [0; 65_536];
                loop {
                    let n_bytes = reader.read(&mut buffer)?;
                    if n_bytes == 0 {
                        return Ok(());
                    }
                    writer.write_all(&buffer[..n_bytes])?;
                }
            }
            let body = self.report(&seen);
            let is_head = seen.line.starts_with("HEAD ");
            let is_last = self.is_draining.load(Ordering::SeqCst);
            let more = match (is_last, manners) {
                (true, _) => "connection: close\r\n",
                (_, Manners::OpenToAll) => "Access-Control-Allow-Origin: *\r\naccess-control-max-age: 1\r\n",
                _ => "",
            };
            let head = |length: usize| {
                format!(
                    "HTTP/1.1 200 OK\r\nx-origin: {}\r\n{more}content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
                    self.name
                )
            };
            match manners {
                Manners::Echo | Manners::Unhealthy | Manners::OpenToAll => {
                    let size = size_wanted(&seen.line);
                    let body = if size > 0 { pattern(size) } else { body.into_bytes() };
                    // In one write, so that it is one receipt as well.
                    let head = head(body.len()).into_bytes();
                    writer.write_all(&if is_head { head } else { [head, body].concat() })?;
                    if is_last {
                        return Ok(());
                    }
                }
                Manners::Status(status) => {
                    writer.write_all(
                        (head(body.len()) + &body)
                            .replacen("200 OK", &format!("{status} As Told"), 1)
                            .as_bytes(),
                    )?;
                }
                Manners::Reset => return Ok(()),
                Manners::Hang => {
                    while !self.is_over.load(Ordering::Relaxed) && *lock(&self.manners) == Manners::Hang {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    return Ok(());
                }
                Manners::Truncate => {
                    writer.write_all(head(body.len() + 100).as_bytes())?;
                    writer.write_all(body.as_bytes())?;
                    return Ok(());
                }
                Manners::Extra => {
                    // In one write: bytes that come after the next request look like its answer to anybody.
                    let extra = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
                    writer.write_all((head(body.len()) + &body + extra).as_bytes())?;
                }
                Manners::Chunked => {
                    write!(
                        writer,
                        "HTTP/1.1 200 OK\r\nx-origin: {}\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n",
                        self.name
                    )?;
                    for piece in body.as_bytes().chunks(7) {
                        write!(writer, "{:x}\r\n", piece.len())?;
                        writer.write_all(piece)?;
                        writer.write_all(b"\r\n")?;
                    }
                    write!(writer, "0\r\nx-sum: {}\r\n\r\n", body.len())?;
                }
                Manners::Garbage => {
                    writer.write_all(b"this is not HTTP\r\n\r\n")?;
                    return Ok(());
                }
                Manners::UntilClose => {
                    write!(writer, "HTTP/1.0 200 OK\r\nx-origin: {}\r\n\r\n{body}", self.name)?;
                    return Ok(());
                }
                Manners::EarlyHints => {
                    write!(writer, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n")?;
                    writer.write_all(head(body.len()).as_bytes())?;
                    writer.write_all(body.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    fn read(
        &self,
        reader: &mut BufReader<TcpStream>,
        writer: &mut TcpStream,
    ) -> anyhow::Result<Option<Seen>> {
        let mut seen = Seen::default();
        if reader.read_line(&mut seen.line)? == 0 {
            return Ok(None);
        }
        seen.line = seen.line.trim_end().to_owned();
        let mut length = 0;
        let mut is_chunked = false;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').context("a field without colon")?;
            let (name, value) = (name.to_lowercase(), value.trim().to_owned());
            match name.as_str() {
                "content-length" => length = value.parse()?,
                "transfer-encoding" => is_chunked = true,
                "expect" => writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
                _ => {}
            }
            seen.fields.push((name, value));
        }
        if is_chunked {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let size = usize::from_str_radix(line.trim_end(), 16)?;
                if size == 0 {
                    break;
                }
                let start = seen.body.len();
                seen.body.resize(start + size, 0);
                reader.read_exact(&mut seen.body[start..])?;
                reader.read_line(&mut String::new())?;
            }
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                if let Some((name, value)) = line.split_once(':') {
                    seen.fields.push((format!("trailer:{}", name.to_lowercase()), value.trim().to_owned()));
                }
            }
        } else {
            seen.body.resize(length, 0);
            reader.read_exact(&mut seen.body)?;
        }
        Ok(Some(seen))
    }

    /// What was seen, as JSON.
    fn report(&self, seen: &Seen) -> String {
        let sum =
            seen.body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        serde_json::json!({
            "origin": self.name,
            "line": seen.line,
            "fields": seen.fields,
            "body_bytes": seen.body.len(),
            "body_sum": sum,
        })
        .to_string()
    }
}

/// Bytes of a body by a fixed pattern.
#[must_use]
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index % 251) as u8).collect()
}

/// `/size/N` asks for a body of N bytes.
fn size_wanted(line: &str) -> usize {
    line.split_whitespace()
        .nth(1)
        .and_then(|path| path.strip_prefix("/size/"))
        .and_then(|size| size.parse().ok())
        .unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
