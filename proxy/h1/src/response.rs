//! The head of a response.

use crate::connection::Options;
use crate::error::ResponseError;
use crate::field::Field;
use crate::framing::{self, Body};
use crate::limits::Limits;
use crate::line::{self, VERSION_BYTES};
use crate::section;
use crate::span::Span;
use crate::{Parsed, Version};

/// The request that a response belongs to; it decides whether there is a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A HEAD request: its responses have no body.
    Head,
    /// A CONNECT request: its successful responses have no body.
    Connect,
    /// Any other request.
    Other,
}

/// The head of a response. One value serves many responses, so that its vector is allocated once.
///
/// All but `fields` keep their former content until a parse is complete.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Version.
    pub version: Version,
    /// Status, from 100 to 599.
    pub status: u16,
    /// Reason phrase; may be empty.
    pub reason: Span,
    /// Fields in the order received.
    pub fields: Vec<Field>,
    /// Framing of the body.
    pub body: Body,
    /// Whether the server lets the connection go on. False also where the head announces a body that the status
    /// forbids: what follows could be that body.
    pub keep_alive: bool,
    /// Protocol switched to, in a 101 response whose Connection lists `upgrade`.
    pub upgrade: Option<Span>,
}

struct Line {
    version: Version,
    status: u16,
    reason: Span,
    end: usize,
}

// === impl ResponseHead ===

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseHead {
    /// An empty head, to be parsed into.
    #[must_use]
    pub fn new() -> Self {
        Self {
            version: Version::Http11,
            status: 0,
            reason: Span::default(),
            fields: Vec::new(),
            body: Body::None,
            keep_alive: false,
            upgrade: None,
        }
    }

    /// Parses the head at the start of `buf`, as strictly as a request's.
    ///
    /// # Errors
    ///
    /// Where the response is refused. The connection it came from cannot be used any more.
    pub fn parse(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        request: RequestKind,
    ) -> Result<Parsed, ResponseError> {
        self.fields.clear();
        let (bound, too_long) =
            line::bound(limits.line(), limits.head(), ResponseError::LineTooLong, ResponseError::HeadTooLong);
        let Some(line) = status_line(buf.get(..bound).unwrap_or(buf))? else {
            return if buf.len() >= bound { Err(too_long) } else { Ok(Parsed::Partial) };
        };
        let Some(section) = section::read(buf, line.end, limits, &mut self.fields)? else {
            return Ok(Parsed::Partial);
        };
        let summary = section.summary;
        let framed = framing::read(buf, &summary, line.version)?;
        let options = Options::read(buf, &mut self.fields, &summary)?;
        let body = match line.status {
            100..=199 | 204 | 304 => Body::None,
            200..=299 if request == RequestKind::Connect => Body::None,
            _ if request == RequestKind::Head => Body::None,
            _ => framed.unwrap_or(Body::UntilClose),
        };
        let is_suspect =
            matches!(line.status, 100..=199 | 204) && !matches!(framed, None | Some(Body::Length(0)));
        self.version = line.version;
        self.status = line.status;
        self.reason = line.reason;
        self.body = body;
        self.keep_alive = options.persists(line.version) && body != Body::UntilClose && !is_suspect;
        self.upgrade =
            (line.status == 101).then(|| options.upgrade(buf, &summary, line.version, body)).flatten();
        Ok(Parsed::Complete { len: section.end })
    }

    /// Values of the fields with this name, whatever its case, in the order received.
    pub fn field<'a>(&'a self, buf: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |field: &&Field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(move |field| field.value.of(buf))
    }
}

/// Reads the status line; `None` while it is not complete. Faults are found in the order of their bytes.
fn status_line(view: &[u8]) -> Result<Option<Line>, ResponseError> {
    let Some(version) = line::version(view).map_err(|_| ResponseError::Version)? else { return Ok(None) };
    let rest = view.get(VERSION_BYTES..).unwrap_or_default();
    let mut status: u16 = 0;
    for at in 0..STATUS_BYTES {
        let Some(byte) = rest.get(at).copied() else { return Ok(None) };
        match (at, byte) {
            (0, b' ') | (1, b'1'..=b'5') | (2 | 3, b'0'..=b'9') => {}
            _ => return Err(ResponseError::Status),
        }
        if at > 0 {
            status = status.saturating_mul(10).saturating_add(u16::from(byte.wrapping_sub(b'0')));
        }
    }
    let line_start = VERSION_BYTES.saturating_add(STATUS_BYTES);
    let reason_start = match rest.get(STATUS_BYTES) {
        None => return Ok(None),
        Some(b' ') => line_start.saturating_add(1),
        // Many servers leave out the space before an empty reason.
        Some(b'\r' | b'\n') => line_start,
        Some(_) => return Err(ResponseError::Status),
    };
    let rest = view.get(reason_start..).unwrap_or_default();
    let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    let Some(n_reason) = rest.iter().position(is_control) else { return Ok(None) };
    match rest.get(n_reason..).unwrap_or_default() {
        [b'\r', b'\n', ..] => {}
        [b'\r'] => return Ok(None),
        [b'\r' | b'\n', ..] => return Err(ResponseError::LineEnd),
        _ => return Err(ResponseError::Reason),
    }
    let reason_end = reason_start.saturating_add(n_reason);
    let reason = Span::between(reason_start, reason_end);
    Ok(Some(Line { version, status, reason, end: reason_end.saturating_add(2) }))
}

/// The space before the status and its digits.
const STATUS_BYTES: usize = 4;
