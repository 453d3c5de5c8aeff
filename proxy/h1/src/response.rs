//! Heads of responses: as strict as those of requests, because a back end may be hostile too.

use std::mem::MaybeUninit;

use thiserror::Error;

use crate::field::{FramingFields, lines_are_whole, lists, mark_named};
use crate::{Body, FIELDS_MAX, Field, Known, Limits, Parsed, Span, Version};

/// The head of a response, as offsets into the buffer that was parsed.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Version.
    pub version: Version,
    /// Status, 100 to 599.
    pub status: u16,
    /// Reason phrase, may be empty.
    pub reason: Span,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// Framing of the body.
    pub body: Body,
    /// The connection may go on after this message.
    pub keep_alive: bool,
    /// Value of `Upgrade`, if `Connection` names it.
    pub upgrade: Option<Span>,
}

/// What the request was, as far as it decides over the response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// CONNECT: a 2xx has no body.
    Connect,
    /// HEAD: no response has a body.
    Head,
    /// Anything else.
    Other,
}

/// Why a response is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// Content-Length that is no number, repeated, or too large.
    #[error("invalid content-length")]
    ContentLength,
    /// The head is larger than allowed.
    #[error("head is too large")]
    HeadTooLarge,
    /// Breaks the grammar.
    #[error("malformed head")]
    Malformed,
    /// A status outside 100 to 599.
    #[error("invalid status")]
    Status,
    /// More fields than allowed.
    #[error("too many fields")]
    TooManyFields,
    /// Transfer-Encoding that is not one final `chunked`, or beside Content-Length.
    #[error("invalid transfer-encoding")]
    TransferEncoding,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("unsupported version")]
    Version,
}

// === impl ResponseHead ===

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseHead {
    /// An empty head with room for every field.
    #[must_use]
    pub fn new() -> Self {
        Self {
            version: Version::Http11,
            status: 0,
            reason: Span::default(),
            fields: Vec::with_capacity(FIELDS_MAX),
            body: Body::None,
            keep_alive: false,
            upgrade: None,
        }
    }

    /// Parses the head at the start of `buf`.
    ///
    /// # Errors
    /// [`ResponseError`] by rule; the connection is of no use afterwards.
    pub fn parse(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        request: RequestKind,
    ) -> Result<Parsed, ResponseError> {
        if matches!(buf, [b'\r' | b'\n', ..]) {
            return Err(ResponseError::Malformed);
        }
        let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            buf,
            &mut headers,
        );
        let n_head = match parsed {
            Ok(httparse::Status::Complete(n_head)) => n_head,
            Ok(httparse::Status::Partial) if buf.len() > limits.head_bytes => {
                return Err(ResponseError::HeadTooLarge);
            }
            Ok(httparse::Status::Partial) => return Ok(Parsed::Partial),
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooManyFields),
            Err(httparse::Error::Version) => return Err(ResponseError::Version),
            Err(httparse::Error::Status) => return Err(ResponseError::Status),
            Err(_) => return Err(ResponseError::Malformed),
        };
        let head = buf.get(..n_head).unwrap_or_default();
        if n_head > limits.head_bytes {
            return Err(ResponseError::HeadTooLarge);
        }
        if response.headers.len() > limits.head_fields {
            return Err(ResponseError::TooManyFields);
        }
        if !lines_are_whole(head) {
            return Err(ResponseError::Malformed);
        }
        self.version = match response.version {
            Some(0) => Version::Http10,
            Some(1) => Version::Http11,
            _ => return Err(ResponseError::Version),
        };
        self.status = response.code.unwrap_or_default();
        if !(100..=599).contains(&self.status) {
            return Err(ResponseError::Status);
        }
        let reason = response.reason.unwrap_or_default();
        self.reason = if reason.is_empty() { Span::default() } else { Span::within(buf, reason.as_bytes()) };
        self.take_fields(buf, response.headers, request)?;
        Ok(Parsed::Complete { len: n_head })
    }

    fn take_fields(
        &mut self,
        buf: &[u8],
        headers: &[httparse::Header<'_>],
        request: RequestKind,
    ) -> Result<(), ResponseError> {
        self.fields.clear();
        let mut framing = FramingFields::default();
        let mut upgrade = None;
        let (mut has_close, mut has_keep_alive, mut has_upgrade, mut has_connection) =
            (false, false, false, false);
        for header in headers {
            let known = Known::of(header.name.as_bytes());
            let value = header.value.trim_ascii();
            let field = Field {
                name: Span::within(buf, header.name.as_bytes()),
                value: if value.is_empty() { Span::default() } else { Span::within(buf, value) },
                known,
                hop_by_hop: known.is_hop_by_hop(),
            };
            match known {
                Known::Connection => {
                    has_connection = true;
                    has_close |= lists(value, b"close");
                    has_keep_alive |= lists(value, b"keep-alive");
                    has_upgrade |= lists(value, b"upgrade");
                }
                Known::Upgrade => upgrade = Some(field.value),
                _ => framing.take(known, value),
            }
            self.fields.push(field);
        }
        if has_connection {
            mark_named(buf, &mut self.fields);
        }
        self.body = self.body_of(framing, request)?;
        self.keep_alive = self.body != Body::UntilClose
            && match self.version {
                Version::Http11 => !has_close,
                Version::Http10 => has_keep_alive && !has_close,
            };
        self.upgrade = upgrade.filter(|value| has_upgrade && !value.is_empty());
        Ok(())
    }

    /// Framing (RFC 9112 section 6.3): the request and the status first, then the fields, strictly.
    fn body_of(&self, framing: FramingFields, request: RequestKind) -> Result<Body, ResponseError> {
        let has_none = request == RequestKind::Head
            || matches!(self.status, 100..=199 | 204 | 304)
            || (request == RequestKind::Connect && matches!(self.status, 200..=299));
        let framed = match framing {
            FramingFields { n_codings: 0, n_lengths: 0, .. } => Body::UntilClose,
            FramingFields { n_codings: 0, n_lengths: 1, length: Some(length), .. } => Body::Length(length),
            FramingFields { n_codings: 0, .. } => return Err(ResponseError::ContentLength),
            FramingFields { n_codings: 1, n_lengths: 0, is_chunked: true, .. }
                if self.version == Version::Http11 =>
            {
                Body::Chunked
            }
            _ => return Err(ResponseError::TransferEncoding),
        };
        // Framing fields are judged even where no body follows: what they break, they break for somebody else.
        Ok(if has_none { Body::None } else { framed })
    }
}
