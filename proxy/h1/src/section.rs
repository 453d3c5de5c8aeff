//! A section of field lines: tokens from httparse, and what it is lax about checked on top.
//!
//! httparse refuses white space before a colon, folded lines, empty and non-token names, control bytes in values
//! and a carriage return alone. It takes a line feed alone as a line end; the two bytes before every name and the
//! four before the end of the section tell.

use httparse::{EMPTY_HEADER, Status};

use crate::error::{FieldError, SectionError};
use crate::field::{Field, Known, is_token_byte};
use crate::limits::{HEAD_FIELDS_MAX, Limits};
use crate::span::Span;

/// What a section says about the message itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) host: Seen,
    pub(crate) content_length: Seen,
    pub(crate) transfer_encoding: Seen,
    pub(crate) connection: Seen,
    pub(crate) expect: Seen,
    pub(crate) upgrade: Seen,
    pub(crate) te: Seen,
}

/// Occurrences of one name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Value of the first occurrence.
    pub(crate) first: Option<Span>,
    /// Whether there are more.
    pub(crate) is_repeated: bool,
}

/// A complete section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// Offset behind the empty line.
    pub(crate) end: usize,
    pub(crate) summary: Summary,
}

// === impl Seen ===

impl Seen {
    fn see(&mut self, value: Span) {
        if self.first.is_some() {
            self.is_repeated = true;
        } else {
            self.first = Some(value);
        }
    }
}

// === impl Summary ===

impl Summary {
    #[inline]
    fn see(&mut self, known: Known, value: Span) {
        match known {
            Known::Host => self.host.see(value),
            Known::ContentLength => self.content_length.see(value),
            Known::TransferEncoding => self.transfer_encoding.see(value),
            Known::Connection => self.connection.see(value),
            Known::Expect => self.expect.see(value),
            Known::Upgrade => self.upgrade.see(value),
            Known::Te => self.te.see(value),
            _ => {}
        }
    }
}

/// Reads the section that begins at `start` into `fields`. `None` while it is not complete.
///
/// # Errors
///
/// Where a line breaks the grammar, or the section breaks a limit.
pub(crate) fn read(
    buf: &[u8],
    start: usize,
    limits: &Limits,
    fields: &mut Vec<Field>,
) -> Result<Option<Section>, SectionError> {
    fields.clear();
    // The array of tokens is cleared for each head, and most heads have few fields.
    let few = read_into::<FEW_FIELDS>(buf, start, limits, fields);
    if !matches!(few, Err(SectionError::TooManyFields)) || limits.fields() <= FEW_FIELDS {
        return few;
    }
    let more = read_more::<SOME_FIELDS>(buf, start, limits, fields);
    if !matches!(more, Err(SectionError::TooManyFields)) || limits.fields() <= SOME_FIELDS {
        return more;
    }
    read_more::<HEAD_FIELDS_MAX>(buf, start, limits, fields)
}

/// The same with room for more fields; apart, so that its stack is not everybody's.
#[inline(never)]
fn read_more<const N: usize>(
    buf: &[u8],
    start: usize,
    limits: &Limits,
    fields: &mut Vec<Field>,
) -> Result<Option<Section>, SectionError> {
    read_into::<N>(buf, start, limits, fields)
}

#[inline]
fn read_into<const N: usize>(
    buf: &[u8],
    start: usize,
    limits: &Limits,
    fields: &mut Vec<Field>,
) -> Result<Option<Section>, SectionError> {
    let n_visible = buf.len().min(limits.head());
    let view = buf.get(start..n_visible).unwrap_or_default();
    let mut tokens = [EMPTY_HEADER; N];
    let tokens = tokens.get_mut(..limits.fields().min(N)).unwrap_or_default();
    let (n_section, tokens) = match httparse::parse_headers(view, tokens) {
        Ok(Status::Complete(complete)) => complete,
        Ok(Status::Partial) if buf.len() >= limits.head() => return Err(SectionError::TooLong),
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(SectionError::TooManyFields),
        Err(_) => return Err(SectionError::Field(diagnose(view))),
    };
    let end = start.saturating_add(n_section);
    let mut summary = Summary::default();
    let mut has_bare_feed = false;
    // Room for all of them is made once.
    fields.extend(tokens.iter().map(|token| {
        let name = Span::within(buf, token.name.as_bytes());
        let value = Span::within(buf, token.value);
        let known = Known::of(token.name.as_bytes());
        has_bare_feed |= name.start as usize != start && !ends_line(buf, name.start as usize);
        summary.see(known, value);
        Field { name, value, known, hop_by_hop: known.is_hop_by_hop() }
    }));
    has_bare_feed |= !ends_line(buf, end) || (!tokens.is_empty() && !ends_line(buf, end.saturating_sub(2)));
    if has_bare_feed {
        return Err(SectionError::Field(FieldError::BareLineFeed));
    }
    Ok(Some(Section { end, summary }))
}

/// Whether a line ends right before `offset` as it should.
#[inline]
fn ends_line(buf: &[u8], offset: usize) -> bool {
    offset.checked_sub(2).and_then(|start| buf.get(start..offset)) == Some(b"\r\n".as_slice())
}

/// Names the first fault of a section that is known to have one. The faults come in the order of their bytes, so
/// that more bytes behind never change the answer.
#[cold]
fn diagnose(view: &[u8]) -> FieldError {
    let mut bytes = view.iter().copied().peekable();
    loop {
        match bytes.peek() {
            Some(b' ' | b'\t') => return FieldError::Fold,
            Some(b':') => return FieldError::NameEmpty,
            // With a line feed it would be the end of the section and no fault.
            Some(b'\r') => return FieldError::BareCarriageReturn,
            _ => {}
        }
        match bytes.find(|byte| !is_token_byte(*byte)) {
            Some(b':') => {}
            Some(b' ' | b'\t') => return FieldError::NameSpace,
            _ => return FieldError::Name,
        }
        match bytes.find(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            Some(b'\r') if bytes.next() == Some(b'\n') => {}
            Some(b'\r') => return FieldError::BareCarriageReturn,
            Some(b'\n') => return FieldError::BareLineFeed,
            _ => return FieldError::Value,
        }
    }
}

const FEW_FIELDS: usize = 16;
const SOME_FIELDS: usize = 128;
