//! The Connection field: what its options say, and which fields they take from the next hop.

use crate::error::FieldError;
use crate::field::{Field, Known, elements, is_token};
use crate::section::Summary;
use crate::span::Span;
use crate::{Body, Version};

/// What the Connection fields of a message say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    /// The TE field is meant for us.
    pub(crate) te: bool,
}

// === impl Options ===

impl Options {
    /// Reads the options and marks the fields that they name.
    ///
    /// # Errors
    ///
    /// Where an option is not a token, or there are too many.
    pub(crate) fn read(buf: &[u8], fields: &mut [Field], summary: &Summary) -> Result<Self, FieldError> {
        let mut options = Self::default();
        if summary.connection.is_repeated {
            let mut n_named = 0;
            for at in 0..fields.len() {
                if let Some(Field { known: Known::Connection, value, .. }) = fields.get(at).copied() {
                    options.read_value(value.of(buf), buf, fields, &mut n_named)?;
                }
            }
        } else if let Some(value) = summary.connection.first {
            options.read_value(value.of(buf), buf, fields, &mut 0)?;
        }
        Ok(options)
    }

    fn read_value(
        &mut self,
        value: &[u8],
        buf: &[u8],
        fields: &mut [Field],
        n_named: &mut usize,
    ) -> Result<(), FieldError> {
        for option in elements(value) {
            match option.len() {
                0 => {}
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                2 if option.eq_ignore_ascii_case(b"te") => self.te = true,
                _ if !is_token(option) => return Err(FieldError::ConnectionOption),
                _ => {
                    *n_named = n_named.saturating_add(1);
                    if *n_named > NAMED_MAX {
                        return Err(FieldError::ConnectionOptions);
                    }
                    for field in fields.iter_mut() {
                        field.hop_by_hop |=
                            field.known.is_optional() && field.name.of(buf).eq_ignore_ascii_case(option);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the connection may go on after the message (RFC 9112 9.3).
    pub(crate) fn persists(self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
        }
    }

    /// The protocols to switch to. Other versions of HTTP and TLS are not among them: they would lead past
    /// everything that the gateway decides over. Nor is a message with a body a start of something else.
    pub(crate) fn upgrade(self, buf: &[u8], summary: &Summary, version: Version, body: Body) -> Option<Span> {
        if !self.upgrade
            || version != Version::Http11
            || summary.upgrade.is_repeated
            || !matches!(body, Body::None | Body::Length(0))
        {
            return None;
        }
        summary.upgrade.first.filter(|value| elements(value.of(buf)).all(is_protocol))
    }
}

/// Whether an element of an Upgrade field names a protocol that may be switched to.
fn is_protocol(element: &[u8]) -> bool {
    let mut parts = element.splitn(2, |byte| *byte == b'/');
    let name = parts.next().unwrap_or_default();
    let is_transport = TRANSPORTS.iter().any(|transport| name.eq_ignore_ascii_case(transport));
    is_token(name) && parts.next().is_none_or(is_token) && !is_transport
}

/// Most options of a message that name fields: each costs a look at every field.
const NAMED_MAX: usize = 32;
const TRANSPORTS: [&[u8]; 5] = [b"h2c", b"h2", b"h3", b"http", b"tls"];
