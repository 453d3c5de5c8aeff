//! The head of a request.

use crate::byte_set::ByteSet;
use crate::connection::Options;
use crate::error::RequestError;
use crate::field::{Field, Known, elements, is_token_byte};
use crate::framing::{self, Body};
use crate::limits::Limits;
use crate::line::{self, VERSION_BYTES, VersionError};
use crate::section::{self, Summary};
use crate::span::Span;
use crate::target::{self, Target, TargetForm};
use crate::{Parsed, Version, authority};

/// The head of a request. One value serves many requests, so that its vector is allocated once.
///
/// All but `fields` keep their former content until a parse is complete.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Method; a token, never `CONNECT`.
    pub method: Span,
    /// Version.
    pub version: Version,
    /// Request target.
    pub target: Target,
    /// Host and optional port that the request is for: those of an absolute target, else those of Host. Valid, and
    /// empty only where an HTTP/1.0 request has neither.
    pub host: Span,
    /// Fields in the order received.
    pub fields: Vec<Field>,
    /// Framing of the body; never [`Body::UntilClose`].
    pub body: Body,
    /// Whether the client wants the connection to go on.
    pub keep_alive: bool,
    /// Whether the client waits for 100 (Continue) before it sends the body. False in HTTP/1.0 and without a body.
    pub expect_continue: bool,
    /// Protocols to switch to, where Connection lists `upgrade`, there is no body, and all of them are other
    /// protocols than HTTP and TLS.
    pub upgrade: Option<Span>,
    /// Whether the client takes trailers.
    pub te_trailers: bool,
}

struct Line {
    method: Span,
    target: Span,
    version: Version,
    end: usize,
}

// === impl RequestHead ===

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestHead {
    /// An empty head, to be parsed into.
    #[must_use]
    pub fn new() -> Self {
        Self {
            method: Span::default(),
            version: Version::Http11,
            target: Target { form: TargetForm::Origin, path: Span::default(), query: None },
            host: Span::default(),
            fields: Vec::new(),
            body: Body::None,
            keep_alive: false,
            expect_continue: false,
            upgrade: None,
            te_trailers: false,
        }
    }

    /// Parses the head at the start of `buf`. One empty line before it is skipped and counted.
    ///
    /// # Errors
    ///
    /// Where the request is refused; the error tells the status of the answer.
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Parsed, RequestError> {
        self.fields.clear();
        let start = match buf {
            [b'\r', b'\n', ..] => 2,
            [b'\r'] => return Ok(Parsed::Partial),
            [b'\r' | b'\n', ..] => return Err(RequestError::LineEnd),
            _ => 0,
        };
        let (bound, too_long) = line::bound(
            limits.line().saturating_add(start),
            limits.head(),
            RequestError::LineTooLong,
            RequestError::HeadTooLong,
        );
        let Some(line) = request_line(buf.get(..bound).unwrap_or(buf), start)? else {
            return if buf.len() >= bound { Err(too_long) } else { Ok(Parsed::Partial) };
        };
        let method = line.method.of(buf);
        if method == b"CONNECT" {
            return Err(RequestError::Connect);
        }
        let (target, authority) = target::parse(buf, line.target, method == b"OPTIONS")?;
        let Some(section) = section::read(buf, line.end, limits, &mut self.fields)? else {
            return Ok(Parsed::Partial);
        };
        let summary = section.summary;
        let host = host(buf, &summary, line.version)?;
        let body = framing::read(buf, &summary, line.version)?.unwrap_or(Body::None);
        let has_body = !matches!(body, Body::None | Body::Length(0));
        if has_body && method == b"TRACE" {
            return Err(RequestError::TraceBody);
        }
        let options = Options::read(buf, &mut self.fields, &summary)?;
        let expects = expects_continue(buf, &summary)?;
        self.method = line.method;
        self.version = line.version;
        self.target = target;
        self.host = authority.or(host).unwrap_or_default();
        self.body = body;
        self.keep_alive = options.persists(line.version);
        self.expect_continue = expects && has_body && line.version == Version::Http11;
        self.upgrade = options.upgrade(buf, &summary, line.version, body);
        self.te_trailers = options.te && summary.te.first.is_some() && takes_trailers(buf, &self.fields);
        Ok(Parsed::Complete { len: section.end })
    }

    /// Values of the fields with this name, whatever its case, in the order received.
    pub fn field<'a>(&'a self, buf: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |field: &&Field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(move |field| field.value.of(buf))
    }
}

/// Reads the request line at `start`; `None` while it is not complete. Faults are found in the order of their bytes.
fn request_line(view: &[u8], start: usize) -> Result<Option<Line>, RequestError> {
    let rest = view.get(start..).unwrap_or_default();
    let Some((n_method, after)) = find(rest, |byte| !is_token_byte(byte)) else { return Ok(None) };
    if n_method == 0 || after != b' ' {
        return Err(RequestError::Method);
    }
    let method_end = start.saturating_add(n_method);
    let target_start = method_end.saturating_add(1);
    let rest = view.get(target_start..).unwrap_or_default();
    let Some((n_target, after)) = find(rest, |byte| !is_target_byte(byte)) else { return Ok(None) };
    match after {
        b' ' if n_target > 0 => {}
        b'#' => return Err(RequestError::TargetFragment),
        // A line without a version is HTTP/0.9.
        b'\r' | b'\n' if n_target > 0 => return Err(RequestError::Version),
        _ => return Err(RequestError::Target),
    }
    let target_end = target_start.saturating_add(n_target);
    let version_start = target_end.saturating_add(1);
    let rest = view.get(version_start..).unwrap_or_default();
    let version = match line::version(rest) {
        Ok(Some(version)) => version,
        Ok(None) => return Ok(None),
        Err(VersionError::Malformed) => return Err(RequestError::Version),
        Err(VersionError::Unsupported) => return Err(RequestError::VersionUnsupported),
    };
    match rest.get(VERSION_BYTES..).unwrap_or_default() {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Ok(None),
        [b'\r' | b'\n', ..] => return Err(RequestError::LineEnd),
        _ => return Err(RequestError::Version),
    }
    Ok(Some(Line {
        method: Span::between(start, method_end),
        target: Span::between(target_start, target_end),
        version,
        end: version_start.saturating_add(VERSION_BYTES).saturating_add(2),
    }))
}

/// Position and value of the first byte that is wanted.
#[inline]
fn find(bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> Option<(usize, u8)> {
    bytes.iter().copied().enumerate().find(|(_, byte)| is_wanted(*byte))
}

/// Bytes of a target: visible ASCII without the number sign, which starts a fragment, and without what no URI has and
/// some readers take for something else: quotes, angle brackets, and the backslash that passes for a slash.
#[inline]
fn is_target_byte(byte: u8) -> bool {
    TARGET_BYTES.has(byte)
}

/// The Host field, if there is one. It has to be there in HTTP/1.1, even when an absolute target wins over it.
fn host(buf: &[u8], summary: &Summary, version: Version) -> Result<Option<Span>, RequestError> {
    match summary.host.first {
        Some(_) if summary.host.is_repeated => Err(RequestError::HostRepeated),
        Some(host) if authority::is_valid(host.of(buf)) => Ok(Some(host)),
        Some(_) => Err(RequestError::Host),
        None if version == Version::Http11 => Err(RequestError::HostMissing),
        None => Ok(None),
    }
}

fn expects_continue(buf: &[u8], summary: &Summary) -> Result<bool, RequestError> {
    match summary.expect.first {
        None => Ok(false),
        Some(value) if !summary.expect.is_repeated && value.of(buf).eq_ignore_ascii_case(b"100-continue") => {
            Ok(true)
        }
        Some(_) => Err(RequestError::Expectation),
    }
}

fn takes_trailers(buf: &[u8], fields: &[Field]) -> bool {
    fields
        .iter()
        .filter(|field| field.known == Known::Te)
        .any(|field| elements(field.value.of(buf)).any(|coding| coding.eq_ignore_ascii_case(b"trailers")))
}

static TARGET_BYTES: ByteSet = ByteSet::new(
    b"!$%&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~",
);
