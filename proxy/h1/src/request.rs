//! Heads of requests.

use std::mem::MaybeUninit;

use thiserror::Error;

use crate::field::{FramingFields, lines_are_whole, lists, mark_named};
use crate::{Body, FIELDS_MAX, Field, Known, Limits, Parsed, Span, Version, host};

/// The head of a request, as offsets into the buffer that was parsed. Made once, used for many.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// Method token.
    pub method: Span,
    /// Version.
    pub version: Version,
    /// Request target.
    pub target: Target,
    /// Authority that counts: of an absolute-form target, else of `Host`. Empty only in HTTP/1.0.
    pub host: Span,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// Framing of the body.
    pub body: Body,
    /// The connection may go on after this message.
    pub keep_alive: bool,
    /// The client waits for 100 (Continue).
    pub expect_continue: bool,
    /// Value of `Upgrade`, if `Connection` names it.
    pub upgrade: Option<Span>,
    /// `TE` lists `trailers`.
    pub te_trailers: bool,
}

/// A request target (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its form.
    pub form: TargetForm,
    /// Path; may be empty in absolute-form, which means `/`.
    pub path: Span,
    /// Query without `?`.
    pub query: Option<Span>,
}

/// Form of a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// A whole URI.
    Absolute,
    /// `*`
    Asterisk,
    /// A path.
    Origin,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Content-Length that is no number, repeated, or too large.
    #[error("invalid content-length")]
    ContentLength,
    /// A method that a gateway does not forward.
    #[error("method is not forwarded")]
    Method,
    /// `Expect` with anything but `100-continue`.
    #[error("unknown expectation")]
    Expectation,
    /// The head is larger than allowed.
    #[error("head is too large")]
    HeadTooLarge,
    /// Host missing, repeated or invalid.
    #[error("missing, repeated or invalid host")]
    Host,
    /// The request line is longer than allowed.
    #[error("request line is too long")]
    LineTooLong,
    /// Breaks the grammar.
    #[error("malformed head")]
    Malformed,
    /// A request target that is not valid.
    #[error("invalid request target")]
    Target,
    /// Transfer-Encoding where it must not be.
    #[error("invalid transfer-encoding")]
    TransferEncoding,
    /// More fields than allowed.
    #[error("too many fields")]
    TooManyFields,
    /// A transfer coding that is not implemented.
    #[error("unknown transfer coding")]
    UnknownCoding,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("unsupported version")]
    Version,
}

// === impl RequestHead ===

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestHead {
    /// An empty head with room for every field.
    #[must_use]
    pub fn new() -> Self {
        Self {
            method: Span::default(),
            version: Version::Http11,
            target: Target { form: TargetForm::Origin, path: Span::default(), query: None },
            host: Span::default(),
            fields: Vec::with_capacity(FIELDS_MAX),
            body: Body::None,
            keep_alive: false,
            expect_continue: false,
            upgrade: None,
            te_trailers: false,
        }
    }

    /// Parses the head at the start of `buf`.
    ///
    /// # Errors
    /// [`RequestError`] by rule; the connection is of no use afterwards.
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Parsed, RequestError> {
        // A server should ignore an empty line before a request (RFC 9112 section 2.2): one.
        let n_skipped = match buf {
            [] | [b'\r'] => return Ok(Parsed::Partial),
            [b'\r', b'\n', b'\r' | b'\n', ..] => return Err(RequestError::Malformed),
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => return Err(RequestError::Malformed),
            _ => 0,
        };
        let bytes = buf.get(n_skipped..).unwrap_or_default();
        let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut headers);
        let n_head = match parsed {
            Ok(httparse::Status::Complete(n_head)) => n_head,
            Ok(httparse::Status::Partial) => return check_growth(bytes, limits).map(|()| Parsed::Partial),
            Err(httparse::Error::TooManyHeaders) => return Err(RequestError::TooManyFields),
            Err(httparse::Error::Version) => return Err(version_error(bytes)),
            Err(_) => return check_growth(bytes, limits).and(Err(RequestError::Malformed)),
        };
        let head = bytes.get(..n_head).unwrap_or_default();
        check_size(head, limits)?;
        if !lines_are_whole(head) {
            return Err(RequestError::Malformed);
        }
        self.version = match request.version {
            Some(0) => Version::Http10,
            Some(1) => Version::Http11,
            _ => return Err(RequestError::Version),
        };
        let method = request.method.unwrap_or_default().as_bytes();
        self.method = Span::within(buf, method);
        self.take_fields(buf, request.headers, limits)?;
        self.take_target(buf, method, request.path.unwrap_or_default().as_bytes())?;
        Ok(Parsed::Complete { len: n_skipped + n_head })
    }

    /// Values of the field `name`, in order.
    pub fn field<'a>(&'a self, buf: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes()))
            .map(move |field| field.value.of(buf))
    }

    fn take_fields(
        &mut self,
        buf: &[u8],
        headers: &[httparse::Header<'_>],
        limits: &Limits,
    ) -> Result<(), RequestError> {
        if headers.len() > limits.head_fields {
            return Err(RequestError::TooManyFields);
        }
        self.fields.clear();
        self.host = Span::default();
        self.expect_continue = false;
        self.te_trailers = false;
        let mut framing = FramingFields::default();
        let mut n_hosts = 0_u32;
        let mut upgrade = None;
        let (mut has_close, mut has_keep_alive, mut has_upgrade, mut has_connection) =
            (false, false, false, false);
        for header in headers {
            let known = Known::of(header.name.as_bytes());
            let value = header.value.trim_ascii();
            let field = Field {
                name: Span::within(buf, header.name.as_bytes()),
                value: Span::within(buf, value),
                known,
                hop_by_hop: known.is_hop_by_hop(),
            };
            match known {
                Known::Host => {
                    n_hosts += 1;
                    self.host = field.value;
                }
                Known::Connection => {
                    has_connection = true;
                    has_close |= lists(value, b"close");
                    has_keep_alive |= lists(value, b"keep-alive");
                    has_upgrade |= lists(value, b"upgrade");
                }
                Known::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                    return Err(RequestError::Expectation);
                }
                Known::Expect => self.expect_continue = true,
                Known::Upgrade => upgrade = Some(field.value),
                Known::Te => self.te_trailers |= lists(value, b"trailers"),
                _ => framing.take(known, value),
            }
            self.fields.push(field);
        }
        if has_connection {
            mark_named(buf, &mut self.fields);
        }
        let is_host_needed = self.version == Version::Http11;
        if n_hosts > 1
            || (n_hosts == 0 && is_host_needed)
            || (n_hosts == 1 && !host::is_valid(self.host.of(buf)))
        {
            return Err(RequestError::Host);
        }
        self.body = self.body_of(framing)?;
        self.keep_alive = match self.version {
            Version::Http11 => !has_close,
            Version::Http10 => has_keep_alive && !has_close,
        };
        self.upgrade =
            upgrade.filter(|value| has_upgrade && self.version == Version::Http11 && !value.is_empty());
        // Expectations of HTTP/1.0 clients are ignored (RFC 9110 section 10.1.1).
        self.expect_continue &=
            self.version == Version::Http11 && !matches!(self.body, Body::None | Body::Length(0));
        Ok(())
    }

    /// Framing, strictly: never two ways to read it (RFC 9112 section 6.3).
    fn body_of(&self, framing: FramingFields) -> Result<Body, RequestError> {
        match framing {
            FramingFields { n_codings: 0, n_lengths: 0, .. } => Ok(Body::None),
            FramingFields { n_codings: 0, n_lengths: 1, length: Some(length), .. } => {
                Ok(Body::Length(length))
            }
            FramingFields { n_codings: 0, .. } => Err(RequestError::ContentLength),
            _ if framing.n_lengths > 0 || framing.n_codings > 1 || self.version == Version::Http10 => {
                Err(RequestError::TransferEncoding)
            }
            FramingFields { is_chunked: true, .. } => Ok(Body::Chunked),
            _ => Err(RequestError::UnknownCoding),
        }
    }

    fn take_target(&mut self, buf: &[u8], method: &[u8], target: &[u8]) -> Result<(), RequestError> {
        if method == b"CONNECT" || method == b"TRACE" {
            return Err(RequestError::Method);
        }
        if !target
            .iter()
            .all(|byte| (0x21..=0x7e).contains(byte) && !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>'))
        {
            return Err(RequestError::Target);
        }
        let (form, rest) = match target {
            [b'/', ..] => (TargetForm::Origin, target),
            b"*" if method == b"OPTIONS" => (TargetForm::Asterisk, target),
            _ => (TargetForm::Absolute, self.take_authority(buf, target)?),
        };
        let (path, query) = match rest.iter().position(|byte| *byte == b'?') {
            Some(mark) => {
                let (path, query) = rest.split_at(mark);
                (path, query.get(1..))
            }
            None => (rest, None),
        };
        self.target = Target {
            form,
            path: if path.is_empty() { Span::default() } else { Span::within(buf, path) },
            query: query.map(|query| Span::within(buf, query)),
        };
        Ok(())
    }

    /// The authority of an absolute-form target replaces Host (RFC 9112 section 3.2.2). Returns what follows it.
    fn take_authority<'b>(&mut self, buf: &[u8], target: &'b [u8]) -> Result<&'b [u8], RequestError> {
        let n_scheme = [b"http://".as_slice(), b"https://"]
            .into_iter()
            .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
            .map(<[u8]>::len)
            .ok_or(RequestError::Target)?;
        let rest = target.get(n_scheme..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if !host::is_valid(authority) {
            return Err(RequestError::Host);
        }
        self.host = Span::within(buf, authority);
        Ok(rest)
    }
}

/// Bounds a head that is not complete yet.
fn check_growth(bytes: &[u8], limits: &Limits) -> Result<(), RequestError> {
    let line = bytes.iter().take(limits.line_bytes + 1).position(|byte| *byte == b'\n');
    if line.is_none() && bytes.len() > limits.line_bytes {
        return Err(RequestError::LineTooLong);
    }
    if bytes.len() > limits.head_bytes {
        return Err(RequestError::HeadTooLarge);
    }
    Ok(())
}

fn check_size(head: &[u8], limits: &Limits) -> Result<(), RequestError> {
    let line = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
    if line > limits.line_bytes {
        return Err(RequestError::LineTooLong);
    }
    if head.len() > limits.head_bytes {
        return Err(RequestError::HeadTooLarge);
    }
    Ok(())
}

/// A version we do not speak, or no version at all.
fn version_error(bytes: &[u8]) -> RequestError {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            RequestError::Version
        }
        _ => RequestError::Malformed,
    }
}

// === impl RequestError ===

impl RequestError {
    /// Status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::ContentLength | Self::Host | Self::Malformed | Self::Target | Self::TransferEncoding => 400,
            Self::LineTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::Method | Self::UnknownCoding => 501,
            Self::Version => 505,
        }
    }

    /// Section of the rule that was broken.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::ContentLength => "RFC 9112 section 6.3",
            Self::Expectation => "RFC 9110 section 10.1.1",
            Self::HeadTooLarge | Self::TooManyFields => "RFC 6585 section 5",
            Self::Host => "RFC 9112 section 3.2",
            Self::LineTooLong => "RFC 9112 section 3",
            Self::Malformed => "RFC 9112 section 2.1",
            Self::Method => "RFC 9110 section 9.3.6",
            Self::Target => "RFC 9112 section 3.2",
            Self::TransferEncoding | Self::UnknownCoding => "RFC 9112 section 6.1",
            Self::Version => "RFC 9110 section 2.5",
        }
    }
}
