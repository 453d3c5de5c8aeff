//! A client that reads answers strictly and tells everything about them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// A connection, over TCP or what stands on it.
pub struct Connection<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Body, chunks joined.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Vec<(String, String)>,
    /// Interim answers before it.
    pub interim: Vec<u16>,
}

// === impl Connection ===

impl Connection {
    /// Connects; reads and writes give up after 10 s.
    ///
    /// # Errors
    /// Fails if nobody listens.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self::over(dial(address)?))
    }
}

impl<S: Read + Write> Connection<S> {
    /// A connection over an open stream.
    pub fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The stream below.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream, without what was read beyond the last answer.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Fails if the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).context("not sent")
    }

    /// Sends a GET and reads its answer.
    ///
    /// # Errors
    /// Fails if the answer is not whole and well formed.
    pub fn get(&mut self, host: &str, path: &str) -> anyhow::Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())?;
        self.read("GET")
    }

    /// Reads one answer to a request of `method`.
    ///
    /// # Errors
    /// Fails if the answer is not whole and well formed.
    pub fn read(&mut self, method: &str) -> anyhow::Result<Answer> {
        let mut interim = Vec::new();
        let mut answer = loop {
            let answer = self.read_head()?;
            if !(100..200).contains(&answer.status) || answer.status == 101 {
                break answer;
            }
            interim.push(answer.status);
        };
        answer.interim = interim;
        let field = |name: &str| {
            answer.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            return Ok(answer);
        }
        if field("transfer-encoding").as_deref() == Some("chunked") {
            self.read_chunks(&mut answer)?;
        } else if let Some(length) = field("content-length") {
            let length: usize = length.parse().context("content-length")?;
            answer.body = self.take(length)?;
        } else {
            self.stream.read_to_end(&mut self.unread).context("body until close")?;
            answer.body = std::mem::take(&mut self.unread);
        }
        Ok(answer)
    }

    /// Reads what is there up to the end of the connection.
    ///
    /// # Errors
    /// Fails if the connection neither sends nor ends within the patience of a client.
    pub fn rest(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.unread);
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => Ok(rest),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(rest),
            Err(error) => Err(error).context("connection stays open"),
        }
    }

    /// Exactly so many bytes.
    ///
    /// # Errors
    /// Fails if the connection ends first.
    pub fn take(&mut self, n_bytes: usize) -> anyhow::Result<Vec<u8>> {
        while self.unread.len() < n_bytes {
            self.fill()?;
        }
        let rest = self.unread.split_off(n_bytes);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    fn read_head(&mut self) -> anyhow::Result<Answer> {
        let line = self.line()?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .with_context(|| format!("no status line: {line:?}"))?;
        let mut answer = Answer { status: status.parse()?, ..Answer::default() };
        answer.fields = self.fields()?;
        Ok(answer)
    }

    fn fields(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(": ").with_context(|| format!("no field: {line:?}"))?;
            fields.push((name.to_lowercase(), value.to_owned()));
        }
    }

    fn read_chunks(&mut self, answer: &mut Answer) -> anyhow::Result<()> {
        loop {
            let line = self.line()?;
            let size =
                usize::from_str_radix(&line, 16).with_context(|| format!("no chunk size: {line:?}"))?;
            if size == 0 {
                answer.trailers = self.fields()?;
                return Ok(());
            }
            answer.body.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                bail!("a chunk does not end with CR LF");
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.take(end)?;
                self.take(2)?;
                return Ok(String::from_utf8(line)?);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 65_536];
        match self.stream.read(&mut buffer).context("answer not read")? {
            0 => {
                bail!("connection ended inside an answer, after {:?}", String::from_utf8_lossy(&self.unread))
            }
            n_bytes => self.unread.extend_from_slice(&buffer[..n_bytes]),
        }
        Ok(())
    }
}

// === impl Answer ===

impl Answer {
    /// Value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The report of a back end.
    ///
    /// # Errors
    /// Fails if the body is none.
    pub fn report(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// Value of a field as the back end saw it.
    #[must_use]
    pub fn seen(&self, name: &str) -> Option<String> {
        let report = self.report().ok()?;
        report["fields"]
            .as_array()?
            .iter()
            .find(|field| field[0] == name)
            .and_then(|field| field[1].as_str().map(str::to_owned))
    }
}

/// Opens a socket whose reads and writes give up after 10 s.
///
/// # Errors
/// Fails if nobody listens.
pub fn dial(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("{address} not reached"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One request on a connection of its own.
///
/// # Errors
/// Fails if the answer is not whole and well formed.
pub fn get(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Answer> {
    Connection::open(address)?.get(host, path)
}

/// Whether a gateway answers a host with 200 at an address.
#[must_use]
pub fn answers(address: SocketAddr, host: &str) -> bool {
    get(address, host, "/").is_ok_and(|answer| answer.status == 200)
}

/// Waits until `check` holds, at most `limit`; returns how long it took.
///
/// # Errors
/// Fails if it does not hold in time.
pub fn eventually(what: &str, limit: Duration, mut check: impl FnMut() -> bool) -> anyhow::Result<Duration> {
    let started = Instant::now();
    while !check() {
        if started.elapsed() > limit {
            bail!("not within {limit:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(started.elapsed())
}

const PATIENCE: Duration = Duration::from_secs(10);
