//! A collector that takes spans over HTTP, and reads them by their numbers in the definitions of OTLP 1.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::raw::server;

/// A collector.
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Export>>,
    /// It reads and never answers.
    hangs: AtomicBool,
    n_connections: AtomicUsize,
}

/// One request of an exporter.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// Request line.
    pub line: String,
    /// Fields, names in lower case.
    pub fields: BTreeMap<String, String>,
    /// What was told.
    pub spans: Vec<Span>,
}

/// A span.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Attributes of the resource.
    pub resource: BTreeMap<String, String>,
    /// Name of the scope.
    pub scope: String,
    /// In hexadecimal digits.
    pub trace: String,
    /// In hexadecimal digits.
    pub id: String,
    /// What others say of the trace.
    pub state: String,
    /// In hexadecimal digits; empty without one.
    pub parent: String,
    /// Name.
    pub name: String,
    /// 2 = of a server.
    pub kind: u64,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds since the epoch.
    pub end: u64,
    /// Attributes, numbers in decimal digits.
    pub attributes: BTreeMap<String, String>,
    /// 2 = an error.
    pub status: u64,
    /// Flags.
    pub flags: u64,
}

/// A field of a message.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

// === impl Collector ===

impl Collector {
    /// Starts a collector.
    ///
    /// # Errors
    /// Fails without a free port.
    pub fn start(ip: IpAddr) -> anyhow::Result<Self> {
        let shared: Arc<Shared> = Arc::default();
        let of_server = Arc::clone(&shared);
        let address = server(ip, move |stream| of_server.converse(stream))?;
        Ok(Self { address, shared })
    }

    /// Answers, or does not from now on.
    pub fn hang(&self, hangs: bool) {
        self.shared.hangs.store(hangs, Ordering::SeqCst);
    }

    /// Connections so far.
    #[must_use]
    pub fn n_connections(&self) -> usize {
        self.shared.n_connections.load(Ordering::SeqCst)
    }

    /// What was told so far.
    #[must_use]
    pub fn exports(&self) -> Vec<Export> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.exports().into_iter().flat_map(|export| export.spans).collect()
    }
}

// === impl Shared ===

impl Shared {
    fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        self.n_connections.fetch_add(1, Ordering::SeqCst);
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        loop {
            let mut export = Export::default();
            if reader.read_line(&mut export.line)? == 0 {
                return Ok(());
            }
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                export.fields.insert(name.to_lowercase(), value.to_owned());
            }
            let length = export.fields.get("content-length").and_then(|length| length.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body)?;
            if self.hangs.load(Ordering::SeqCst) {
                continue;
            }
            let read = spans(&body);
            let status = if read.is_some() { "200 OK" } else { "400 Bad Request" };
            export.spans = read.unwrap_or_default();
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(export);
            let head = "content-type: application/x-protobuf\r\ncontent-length: 0";
            stream.write_all(format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n").as_bytes())?;
        }
    }
}

/// The spans of an `ExportTraceServiceRequest`; nothing if it is none.
fn spans(message: &[u8]) -> Option<Vec<Span>> {
    let mut found = Vec::new();
    for of_resource in parts(message, 1)? {
        let resource = attributes(parts(of_resource, 1)?.first()?, 1)?;
        for of_scope in parts(of_resource, 2)? {
            let scope = text(parts(parts(of_scope, 1)?.first()?, 1)?.first()?);
            for message in parts(of_scope, 2)? {
                let (resource, scope) = (resource.clone(), scope.clone());
                found.push(Span { resource, scope, ..span(message)? });
            }
        }
    }
    Some(found)
}

fn span(message: &[u8]) -> Option<Span> {
    let mut span = Span { attributes: attributes(message, 9)?, ..Span::default() };
    for (number, value) in fields(message)? {
        match (number, value) {
            (1, Value::Bytes(id)) => span.trace = hex(id),
            (2, Value::Bytes(id)) => span.id = hex(id),
            (3, Value::Bytes(state)) => span.state = text(state),
            (4, Value::Bytes(id)) => span.parent = hex(id),
            (5, Value::Bytes(name)) => span.name = text(name),
            (6, Value::Number(kind)) => span.kind = kind,
            (7, Value::Number(time)) => span.start = time,
            (8, Value::Number(time)) => span.end = time,
            (15, Value::Bytes(status)) => {
                for (number, value) in fields(status)? {
                    if let (3, Value::Number(code)) = (number, value) {
                        span.status = code;
                    }
                }
            }
            (16, Value::Number(flags)) => span.flags = flags,
            (9, Value::Bytes(_)) => {}
            _ => return None,
        }
    }
    Some(span)
}

/// The pairs of names and values in the fields of a number.
fn attributes(message: &[u8], number: u64) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for pair in parts(message, number)? {
        let name = text(parts(pair, 1)?.first()?);
        let value = match fields(parts(pair, 2)?.first()?)?.into_iter().next()? {
            (1, Value::Bytes(value)) => text(value),
            (3, Value::Number(value)) => value.to_string(),
            _ => return None,
        };
        // A name that stands twice is a mistake.
        if found.insert(name, value).is_some() {
            return None;
        }
    }
    Some(found)
}

/// The messages, strings or bytes in the fields of a number.
fn parts(message: &[u8], wanted: u64) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    for (number, value) in fields(message)? {
        if let (Value::Bytes(bytes), true) = (value, number == wanted) {
            found.push(bytes);
        }
    }
    Some(found)
}

fn fields(message: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut rest = message;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut rest)?),
            1 => Value::Number(u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Value::Bytes(take(&mut rest, length)?)
            }
            5 => Value::Number(u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?).into()),
            _ => return None,
        };
        found.push((key >> 3, value));
    }
    Some(found)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], n_bytes: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(n_bytes)?;
    *rest = behind;
    Some(taken)
}

fn text(bytes: &[u8]) -> String {
    // Strings are UTF-8: what is not is no name that anybody looks for.
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| "no UTF-8".to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
