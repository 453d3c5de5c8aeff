//! Fields of a head, by offset, with what the engine must know of each.

/// A range of the buffer that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name as it was sent.
    pub name: Span,
    /// Value without surrounding whitespace.
    pub value: Span,
    /// Which name it is.
    pub known: Known,
    /// It ends with this connection (RFC 9110 section 7.6.1): a hop-by-hop name, or named by `Connection`.
    pub hop_by_hop: bool,
}

/// Names that mean something to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Known {
    /// Any other name.
    Other,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Date`
    Date,
    /// `Expect`
    Expect,
    /// `Forwarded`
    Forwarded,
    /// `Host`
    Host,
    /// `Keep-Alive`
    KeepAlive,
    /// `Location`
    Location,
    /// `Proxy`
    Proxy,
    /// `Proxy-Authenticate`
    ProxyAuthenticate,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Server`
    Server,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// A name with `_`, which some servers read as `-`
    Underscored,
    /// `Upgrade`
    Upgrade,
    /// `Via`
    Via,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Port`
    XForwardedPort,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-Id`
    XRequestId,
}

// === impl Span ===

impl Span {
    /// The bytes, empty if the span does not lie in `buf`.
    #[must_use]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Where `part`, a slice of `buf`, lies in it.
    pub(crate) fn within(buf: &[u8], part: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(buf.as_ptr() as usize);
        Self::new(start, start.wrapping_add(part.len()))
    }

    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Heads are bounded far below 4 GiB; what does not fit becomes an empty span.
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Self { start, end },
            _ => Self::default(),
        }
    }
}

// === impl Known ===

impl Known {
    /// Classifies a name, without case.
    pub(crate) fn of(name: &[u8]) -> Self {
        let candidates: &[(&[u8], Known)] = match name.len() {
            2 => &[(b"te", Known::Te)],
            3 => &[(b"via", Known::Via)],
            4 => &[(b"host", Known::Host), (b"date", Known::Date)],
            5 => &[(b"proxy", Known::Proxy)],
            6 => &[(b"expect", Known::Expect), (b"server", Known::Server)],
            7 => &[(b"upgrade", Known::Upgrade), (b"trailer", Known::Trailer)],
            8 => &[(b"location", Known::Location)],
            9 => &[(b"x-real-ip", Known::XRealIp), (b"forwarded", Known::Forwarded)],
            10 => &[(b"connection", Known::Connection), (b"keep-alive", Known::KeepAlive)],
            12 => &[(b"x-request-id", Known::XRequestId)],
            14 => &[(b"content-length", Known::ContentLength)],
            15 => &[(b"x-forwarded-for", Known::XForwardedFor)],
            16 => &[
                (b"x-forwarded-host", Known::XForwardedHost),
                (b"x-forwarded-port", Known::XForwardedPort),
                (b"proxy-connection", Known::ProxyConnection),
            ],
            17 => &[
                (b"transfer-encoding", Known::TransferEncoding),
                (b"x-forwarded-proto", Known::XForwardedProto),
            ],
            18 => &[(b"proxy-authenticate", Known::ProxyAuthenticate)],
            19 => &[(b"proxy-authorization", Known::ProxyAuthorization)],
            _ => &[],
        };
        for (known_name, known) in candidates {
            if name.eq_ignore_ascii_case(known_name) {
                return *known;
            }
        }
        if name.contains(&b'_') { Known::Underscored } else { Known::Other }
    }

    /// Fields that never pass a gateway.
    pub(crate) fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::ProxyAuthenticate
                | Known::ProxyAuthorization
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade
        )
    }

    /// Fields that `Connection` cannot take away: they frame or route the message.
    pub(crate) fn is_protected(self) -> bool {
        matches!(self, Known::Host | Known::ContentLength | Known::TransferEncoding)
    }
}

/// Marks the fields that a `Connection` field names.
pub(crate) fn mark_named(buf: &[u8], fields: &mut [Field]) {
    for index in 0..fields.len() {
        let Some(field) = fields.get(index).copied().filter(|field| field.known == Known::Connection) else {
            continue;
        };
        for option in field.value.of(buf).split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.is_empty()
                || option.eq_ignore_ascii_case(b"close")
                || option.eq_ignore_ascii_case(b"keep-alive")
            {
                continue;
            }
            for other in fields.iter_mut().filter(|other| !other.known.is_protected()) {
                if other.name.of(buf).eq_ignore_ascii_case(option) {
                    other.hop_by_hop = true;
                }
            }
        }
    }
}

/// True if the token list `value` holds `token`.
pub(crate) fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

/// True if every line of a head that the tokenizer took ends with CR LF: it lets a lone LF pass, never a lone CR.
pub(crate) fn lines_are_whole(head: &[u8]) -> bool {
    let n_lf = head.iter().filter(|byte| **byte == b'\n').count();
    let n_cr = head.iter().filter(|byte| **byte == b'\r').count();
    n_lf == n_cr
}

/// Reads a Content-Length: 1*DIGIT, at most 2^63-1 (RFC 9110 section 8.6).
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut length: u64 = 0;
    for digit in value {
        length = length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (length <= i64::MAX as u64).then_some(length)
}

/// What the framing fields of a message say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FramingFields {
    pub(crate) n_lengths: u32,
    pub(crate) length: Option<u64>,
    pub(crate) n_codings: u32,
    pub(crate) is_chunked: bool,
}

impl FramingFields {
    pub(crate) fn take(&mut self, known: Known, value: &[u8]) {
        match known {
            Known::ContentLength => {
                self.n_lengths += 1;
                self.length = content_length(value);
            }
            Known::TransferEncoding => {
                self.n_codings += 1;
                self.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
    }
}
