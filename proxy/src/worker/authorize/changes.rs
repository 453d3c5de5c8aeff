//! What a yes changes: fields and the query of the request, in the text of its head.

use http::{HeaderName, HeaderValue};
use igw_h1::Known;
use igw_route::decoded_eq;

use crate::worker::Worker;
use crate::worker::request::AnswerField;
use crate::worker::request_head::field;

/// What a service says of a request that may go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) fields: Vec<Change>,
    /// Names of fields that go, in lower case.
    pub(super) removed: Vec<Vec<u8>>,
    /// Parameters of the query, which take the place of those of the same names.
    pub(super) query: Vec<(Vec<u8>, Vec<u8>)>,
    /// Names of parameters that go.
    pub(super) removed_query: Vec<Vec<u8>>,
    /// Fields for the answer to the client.
    pub(super) told: Vec<AnswerField>,
}

/// A field that is changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// In place of those of the same name.
    Replace,
    /// Beside them.
    Append,
    /// Where there is none.
    IfAbsent,
    /// In place of those that there are.
    IfPresent,
}

// === impl Grant ===

impl Grant {
    /// Changes the text of a head.
    pub(super) fn apply(&self, worker: &Worker, head: &mut Vec<u8>) {
        let is_plain = self.fields.is_empty() && self.removed.is_empty();
        if is_plain && self.query.is_empty() && self.removed_query.is_empty() {
            return;
        }
        let Some(n_fields) = end(head) else { return };
        let mut out = worker.scratch.take();
        let (text, rest) = head.split_at(n_fields);
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        self.write_line(&mut out, lines.next().unwrap_or_default());
        let is_there = |change: &Change| names(text).any(|name| is(name, &change.name));
        let goes = |name: &[u8]| {
            self.removed.iter().any(|removed| name.eq_ignore_ascii_case(removed))
                || self.fields.iter().any(|change| {
                    matches!(change.how, How::Replace | How::IfPresent) && is(name, &change.name)
                })
        };
        for line in lines.filter(|line| !goes(name(line))) {
            out.extend_from_slice(line);
        }
        let written = self.fields.iter().filter(|change| match change.how {
            How::Replace | How::Append => true,
            How::IfAbsent => !is_there(change),
            How::IfPresent => is_there(change),
        });
        for change in written {
            field(&mut out, change.name.as_str().as_bytes(), change.value.as_bytes());
        }
        out.extend_from_slice(rest);
        worker.scratch.give(std::mem::replace(head, out));
    }

    /// Writes the first line, with the query that the service wants.
    fn write_line(&self, out: &mut Vec<u8>, line: &[u8]) {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let (method, target, rest) = (parts.next(), parts.next(), parts.next());
        let (Some(method), Some(target), Some(rest)) = (method, target, rest) else {
            return out.extend_from_slice(line);
        };
        if self.query.is_empty() && self.removed_query.is_empty() {
            return out.extend_from_slice(line);
        }
        let mut halves = target.splitn(2, |byte| *byte == b'?');
        let (path, query) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        out.extend_from_slice(method);
        out.push(b' ');
        out.extend_from_slice(path);
        let mut separator = b'?';
        let mut push = |out: &mut Vec<u8>, parameter: &dyn Fn(&mut Vec<u8>)| {
            out.push(separator);
            separator = b'&';
            parameter(out);
        };
        for parameter in query.split(|byte| *byte == b'&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
            let is_named = |other: &Vec<u8>| decoded_eq(name, other);
            if !self.removed_query.iter().any(is_named)
                && !self.query.iter().any(|(other, _)| is_named(other))
            {
                push(out, &|out| out.extend_from_slice(parameter));
            }
        }
        for (name, value) in &self.query {
            push(out, &|out| {
                encode(out, name);
                out.push(b'=');
                encode(out, value);
            });
        }
        out.push(b' ');
        out.extend_from_slice(rest);
    }
}

// === impl Change ===

impl Change {
    /// A field of a request, or nothing for one that frames a message or chooses who gets it.
    ///
    /// # Errors
    /// Fails if it is none that HTTP can carry.
    pub(super) fn new(name: &[u8], value: &[u8], how: How) -> Result<Option<Self>, ()> {
        let name = HeaderName::from_bytes(name).map_err(|_| ())?;
        let value = HeaderValue::from_bytes(value).map_err(|_| ())?;
        Ok((!is_framing(name.as_str())).then_some(Self { name, value, how }))
    }
}

/// Puts the whole body of a request behind its head, and its length into it.
pub(super) fn put_body(worker: &Worker, head: &mut Vec<u8>, body: &[u8]) {
    let Some(n_fields) = end(head) else { return };
    let mut out = worker.scratch.take();
    out.reserve(n_fields + body.len() + 64);
    let text = head.get(..n_fields).unwrap_or_default();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let frames = matches!(
            Known::of(name(line)),
            Known::ContentLength | Known::TransferEncoding | Known::Expect | Known::Trailer
        );
        if !frames {
            out.extend_from_slice(line);
        }
    }
    field(&mut out, b"content-length", body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    worker.scratch.give(std::mem::replace(head, out));
}

/// Where the fields of a head end.
pub(super) fn end(head: &[u8]) -> Option<usize> {
    head.windows(4).position(|four| four == b"\r\n\r\n").map(|position| position + 2)
}

/// The value of a field that the gateway wrote.
pub(super) fn value_of<'h>(head: &'h [u8], wanted: &[u8]) -> Option<&'h [u8]> {
    let text = head.get(..end(head)?)?;
    let line =
        text.split_inclusive(|byte| *byte == b'\n').find(|line| name(line).eq_ignore_ascii_case(wanted))?;
    line.get(wanted.len() + 1..).map(<[u8]>::trim_ascii)
}

fn names(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').skip(1).map(name)
}

fn name(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b':').next().unwrap_or_default()
}

fn is(name: &[u8], other: &HeaderName) -> bool {
    name.eq_ignore_ascii_case(other.as_str().as_bytes())
}

/// Fields that frame a message or choose who gets it.
pub(super) fn is_framing(name: &str) -> bool {
    let known = Known::of(name.as_bytes());
    known.is_hop_by_hop() || matches!(known, Known::Host | Known::ContentLength | Known::Expect)
}

/// Appends a part of a query; what is not unreserved is escaped.
fn encode(out: &mut Vec<u8>, part: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in part {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            _ => {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or_default();
                out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}
