//! One field of a head or trailer section, and the names that the gateway itself has a use for.

use crate::byte_set::ByteSet;
use crate::span::Span;

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name as received; a token.
    pub name: Span,
    /// Value without the white space around it.
    pub value: Span,
    /// What the name means to the gateway.
    pub known: Known,
    /// Whether the field is for this connection alone and must not be forwarded: by its name, or because the
    /// Connection field lists it.
    pub hop_by_hop: bool,
}

/// Names that the gateway has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Any name not listed here.
    Other,
    /// `Host`
    Host,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Proxy-Authenticate`
    ProxyAuthenticate,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy`, which CGI programs mistake for the environment variable `HTTP_PROXY`
    Proxy,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Upgrade`
    Upgrade,
    /// `HTTP2-Settings`
    Http2Settings,
    /// `Expect`
    Expect,
    /// `Forwarded`
    Forwarded,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Port`
    XForwardedPort,
    /// Any other name that begins with `X-Forwarded-`
    XForwardedOther,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-ID`
    XRequestId,
    /// `Via`
    Via,
    /// `Date`
    Date,
    /// `Server`
    Server,
    /// `Location`
    Location,
    /// `Cookie`
    Cookie,
    /// `Set-Cookie`
    SetCookie,
    /// `Authorization`
    Authorization,
    /// Any name with an underscore, which many back ends mistake for the name with a hyphen in its place
    Underscored,
}

// === impl Known ===

impl Known {
    /// Classifies a field name, whatever its case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let candidate = match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (2, Some(b't')) => Some((b"te".as_slice(), Self::Te)),
            (3, Some(b'v')) => Some((b"via".as_slice(), Self::Via)),
            (4, Some(b'h')) => Some((b"host".as_slice(), Self::Host)),
            (4, Some(b'd')) => Some((b"date".as_slice(), Self::Date)),
            (5, Some(b'p')) => Some((b"proxy".as_slice(), Self::Proxy)),
            (6, Some(b'e')) => Some((b"expect".as_slice(), Self::Expect)),
            (6, Some(b'c')) => Some((b"cookie".as_slice(), Self::Cookie)),
            (6, Some(b's')) => Some((b"server".as_slice(), Self::Server)),
            (7, Some(b't')) => Some((b"trailer".as_slice(), Self::Trailer)),
            (7, Some(b'u')) => Some((b"upgrade".as_slice(), Self::Upgrade)),
            (8, Some(b'l')) => Some((b"location".as_slice(), Self::Location)),
            (9, Some(b'f')) => Some((b"forwarded".as_slice(), Self::Forwarded)),
            (9, Some(b'x')) => Some((b"x-real-ip".as_slice(), Self::XRealIp)),
            (10, Some(b'c')) => Some((b"connection".as_slice(), Self::Connection)),
            (10, Some(b'k')) => Some((b"keep-alive".as_slice(), Self::KeepAlive)),
            (10, Some(b's')) => Some((b"set-cookie".as_slice(), Self::SetCookie)),
            (12, Some(b'x')) => Some((b"x-request-id".as_slice(), Self::XRequestId)),
            (13, Some(b'a')) => Some((b"authorization".as_slice(), Self::Authorization)),
            (14, Some(b'c')) => Some((b"content-length".as_slice(), Self::ContentLength)),
            (14, Some(b'h')) => Some((b"http2-settings".as_slice(), Self::Http2Settings)),
            (15, Some(b'x')) => Some((b"x-forwarded-for".as_slice(), Self::XForwardedFor)),
            (16, Some(b'p')) => Some((b"proxy-connection".as_slice(), Self::ProxyConnection)),
            (17, Some(b't')) => Some((b"transfer-encoding".as_slice(), Self::TransferEncoding)),
            (17, Some(b'x')) => Some((b"x-forwarded-proto".as_slice(), Self::XForwardedProto)),
            (18, Some(b'p')) => Some((b"proxy-authenticate".as_slice(), Self::ProxyAuthenticate)),
            (19, Some(b'p')) => Some((b"proxy-authorization".as_slice(), Self::ProxyAuthorization)),
            (16, Some(b'x')) if name.last().is_some_and(|last| last.eq_ignore_ascii_case(&b't')) => {
                match name.get(12).map(u8::to_ascii_lowercase) {
                    Some(b'h') => Some((b"x-forwarded-host".as_slice(), Self::XForwardedHost)),
                    _ => Some((b"x-forwarded-port".as_slice(), Self::XForwardedPort)),
                }
            }
            _ => None,
        };
        match candidate {
            Some((lower, known)) if equals_lower(name, lower) => known,
            _ if has_underscore(name) => Self::Underscored,
            _ if begins_with(name, b"x-forwarded-") => Self::XForwardedOther,
            _ => Self::Other,
        }
    }

    /// Whether a field of this name is for one connection alone (RFC 9110 7.6.1).
    #[inline]
    #[must_use]
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::TransferEncoding
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::Te
                | Self::Trailer
                | Self::Upgrade
                | Self::Http2Settings
        )
    }

    /// Whether a Connection field may declare a field of this name to be for one connection alone. A name that
    /// frames, routes or authenticates is not the sender's to take away.
    #[inline]
    pub(crate) fn is_optional(self) -> bool {
        matches!(self, Self::Other | Self::Underscored)
    }
}

/// Whether `name` is `lower`, whatever its case. Eight bytes at a time: every name of every head is asked about.
fn equals_lower(name: &[u8], lower: &[u8]) -> bool {
    let (words, lower_words) = (name.as_chunks().0, lower.as_chunks().0);
    let mut pairs = words.iter().zip(lower_words);
    name.len() == lower.len()
        && pairs.all(|(word, lower)| lowered(u64::from_ne_bytes(*word)) == u64::from_ne_bytes(*lower))
        && lowered(last_word(name)) == last_word(lower)
}

fn has_underscore(name: &[u8]) -> bool {
    let is_in = |word: u64| {
        let zeros = word ^ UNDERSCORES;
        zeros.wrapping_sub(ONES) & !zeros & HIGH_BITS != 0
    };
    name.as_chunks().0.iter().any(|word| is_in(u64::from_ne_bytes(*word))) || is_in(last_word(name))
}

/// The last eight bytes, or all of fewer, some of them twice.
fn last_word(bytes: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk() {
        return u64::from_ne_bytes(*last);
    }
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_ne_bytes(*first)) << 32 | u64::from(u32::from_ne_bytes(*last))
        }
        _ => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Eight bytes with letters in lower case.
fn lowered(word: u64) -> u64 {
    let low_bits = word & !HIGH_BITS;
    let is_from_a = low_bits.wrapping_add(TO_A);
    let is_behind_z = low_bits.wrapping_add(BEYOND_Z);
    word | (is_from_a & !is_behind_z & !word & HIGH_BITS) >> 2
}

/// Whether `name` begins with `lower`, whatever its case.
pub(crate) fn begins_with(name: &[u8], lower: &[u8]) -> bool {
    name.get(..lower.len()).is_some_and(|start| start.eq_ignore_ascii_case(lower))
}

/// Whether a byte may be in a token (RFC 9110 5.6.2).
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES.has(byte)
}

/// Whether `bytes` are a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// The elements of a comma-separated list, without the white space around them; empty ones included.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trimmed)
}

/// Without spaces and tabs at both ends.
pub(crate) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// One in each of eight bytes.
const ONES: u64 = u64::MAX / 0xff;
/// The highest bit of each of them.
const HIGH_BITS: u64 = ONES * 0x80;
/// An underscore in each of them.
const UNDERSCORES: u64 = ONES * b'_' as u64;
/// What lifts `A`, and what is behind it, to the highest bit.
const TO_A: u64 = ONES * (0x80 - b'A' as u64);
/// What lifts all that is behind `Z` to the highest bit.
const BEYOND_Z: u64 = ONES * (0x7f - b'Z' as u64);
static TOKEN_BYTES: ByteSet =
    ByteSet::new(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
