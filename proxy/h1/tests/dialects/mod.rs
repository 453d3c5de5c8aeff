//! Readers that are lax, each in its own way, as back ends may be (RFC 9112 2.2, 5.1, 5.2, 6.3, 7.1). What is written
//! from a parsed form leaves them nothing to be lax about.

use igw_h1::{Body, Known, RequestHead, Target, TargetForm, encode};

/// What a reader takes that it should not, or makes of what it should refuse.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dialect {
    /// A line feed alone ends a line.
    takes_line_feed: bool,
    /// A carriage return alone ends a line.
    takes_return: bool,
    /// A line that begins with white space continues the one before.
    unfolds: bool,
    /// White space around a name is no part of it.
    trims_names: bool,
    /// An underscore in a name is a hyphen.
    joins_underscores: bool,
    /// A NUL ends a value.
    ends_at_nul: bool,
    /// The length counts where both are said, and else the coding.
    prefers_length: bool,
    /// Of two equal names the last counts, and else the first.
    prefers_last: bool,
    /// The name of the coding is found in any case and among others, and else only as such.
    searches_coding: bool,
    /// A length with a leading zero is octal.
    reads_octal: bool,
    /// A chunk size ends at the first byte that is no digit, and may have a prefix and white space.
    guesses_sizes: bool,
    /// A length ends at a comma.
    splits_lengths: bool,
}

/// A message as a reader has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// First line.
    pub line: Vec<u8>,
    /// Fields in order, names in lower case, framing left out.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Content.
    pub content: Vec<u8>,
}

// === impl Dialect ===

impl Dialect {
    /// The strict reader, one reader per habit, and one that has them all.
    pub fn all() -> Vec<Self> {
        let flag = |set: fn(&mut Self)| {
            let mut dialect = Self::default();
            set(&mut dialect);
            dialect
        };
        let habits: [fn(&mut Self); 12] = [
            |dialect| dialect.takes_line_feed = true,
            |dialect| dialect.takes_return = true,
            |dialect| dialect.unfolds = true,
            |dialect| dialect.trims_names = true,
            |dialect| dialect.joins_underscores = true,
            |dialect| dialect.ends_at_nul = true,
            |dialect| dialect.prefers_length = true,
            |dialect| dialect.prefers_last = true,
            |dialect| dialect.searches_coding = true,
            |dialect| dialect.reads_octal = true,
            |dialect| dialect.guesses_sizes = true,
            |dialect| dialect.splits_lengths = true,
        ];
        let mut everything = Self::default();
        habits.iter().for_each(|set| set(&mut everything));
        let mut dialects = vec![Self::default(), everything];
        dialects.extend(habits.map(flag));
        dialects
    }

    /// All messages of a stream, and how many bytes are left behind them.
    pub fn read(&self, mut stream: &[u8]) -> (Vec<Message>, usize) {
        let mut messages = Vec::new();
        while let Some((message, rest)) = self.message(stream) {
            messages.push(message);
            stream = rest;
        }
        (messages, stream.len())
    }

    fn message<'a>(&self, stream: &'a [u8]) -> Option<(Message, &'a [u8])> {
        let (line, mut rest) = self.line(stream)?;
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        loop {
            let (text, behind) = self.line(rest)?;
            rest = behind;
            if text.is_empty() {
                break;
            }
            if let (true, b' ' | b'\t', Some((_, value))) = (self.unfolds, text[0], fields.last_mut()) {
                value.extend_from_slice(text);
                continue;
            }
            fields.push(self.field(text)?);
        }
        let (length, is_chunked) = (self.length(&fields)?, self.is_chunked(&fields));
        let (content, rest) = match length {
            Some(length) if self.prefers_length || !is_chunked => rest.split_at_checked(length)?,
            _ if is_chunked => {
                let (content, rest) = self.chunks(rest)?;
                fields.retain(|(name, _)| !is_framing(name));
                return Some((Message { line: line.to_vec(), fields, content }, rest));
            }
            _ => (&[][..], rest),
        };
        fields.retain(|(name, _)| !is_framing(name));
        Some((Message { line: line.to_vec(), fields, content: content.to_vec() }, rest))
    }

    fn line<'a>(&self, stream: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        for (at, byte) in stream.iter().enumerate() {
            let is_pair = stream[at..].starts_with(b"\r\n");
            if is_pair || (*byte == b'\r' && self.takes_return) || (*byte == b'\n' && self.takes_line_feed) {
                return Some((&stream[..at], &stream[at + 1 + usize::from(is_pair)..]));
            }
        }
        None
    }

    fn field(&self, text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let n_name = text.iter().position(|byte| *byte == b':')?;
        let mut name = text[..n_name].to_ascii_lowercase();
        if self.trims_names {
            name = name.trim_ascii().to_vec();
        }
        if self.joins_underscores {
            name.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-');
        }
        let mut value = text[n_name + 1..].trim_ascii();
        if let (true, Some(end)) = (self.ends_at_nul, value.iter().position(|byte| *byte == 0)) {
            value = &value[..end];
        }
        Some((name, value.to_vec()))
    }

    /// Length that is said, if one is; nothing where it is no number.
    fn length(&self, fields: &[(Vec<u8>, Vec<u8>)]) -> Option<Option<usize>> {
        let mut said = fields.iter().filter(|(name, _)| name == b"content-length").map(|(_, value)| value);
        let Some(value) = (if self.prefers_last { said.next_back() } else { said.next() }) else {
            return Some(None);
        };
        let text = std::str::from_utf8(value).ok()?;
        let text = if self.splits_lengths { text.split(',').next()? } else { text };
        let radix = if self.reads_octal && text.len() > 1 && text.starts_with('0') { 8 } else { 10 };
        usize::from_str_radix(text, radix).ok().map(Some)
    }

    fn is_chunked(&self, fields: &[(Vec<u8>, Vec<u8>)]) -> bool {
        let mut said = fields.iter().filter(|(name, _)| name == b"transfer-encoding").map(|(_, value)| value);
        let value = if self.prefers_last { said.next_back() } else { said.next() };
        value.is_some_and(|value| match self.searches_coding {
            true => value.to_ascii_lowercase().windows(7).any(|part| part == b"chunked"),
            false => value == b"chunked",
        })
    }

    fn chunks<'a>(&self, mut stream: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        let mut content = Vec::new();
        loop {
            let (text, rest) = self.line(stream)?;
            let mut digits = std::str::from_utf8(text).ok()?;
            if self.guesses_sizes {
                digits = digits.trim();
                digits = digits.strip_prefix("0x").unwrap_or(digits);
                digits =
                    &digits[..digits.find(|digit: char| !digit.is_ascii_hexdigit()).unwrap_or(digits.len())];
            }
            let size = usize::from_str_radix(digits, 16).ok()?;
            if size == 0 {
                stream = rest;
                break;
            }
            let (part, rest) = rest.split_at_checked(size)?;
            content.extend_from_slice(part);
            let (end, rest) = self.line(rest)?;
            if !end.is_empty() {
                return None;
            }
            stream = rest;
        }
        loop {
            let (text, rest) = self.line(stream)?;
            stream = rest;
            if text.is_empty() {
                return Some((content, stream));
            }
        }
    }
}

/// Writes a request from what was read alone, with content in pieces of `n_piece` bytes where it is chunked, and says
/// what it is.
pub fn written(head: &RequestHead, message: &[u8], content: &[u8], n_piece: usize) -> (Vec<u8>, Message) {
    let Target { form, path, query } = head.target;
    let mut line = head.method.of(message).to_vec();
    line.push(b' ');
    line.extend_from_slice(if form == TargetForm::Asterisk { b"*" } else { path.of(message) });
    if let Some(query) = query {
        line.push(b'?');
        line.extend_from_slice(query.of(message));
    }
    line.extend_from_slice(b" HTTP/1.1");
    let mut fields = vec![(b"host".to_vec(), head.host.of(message).to_vec())];
    let forwarded = head.fields.iter().filter(|field| !field.hop_by_hop);
    for field in forwarded {
        if !matches!(field.known, Known::Host | Known::ContentLength | Known::Underscored) {
            fields.push((field.name.of(message).to_ascii_lowercase(), field.value.of(message).to_vec()));
        }
    }
    let mut out = [&line[..], b"\r\n"].concat();
    for (name, value) in &fields {
        out.extend([&name[..], b": ", &value[..], b"\r\n"].concat());
    }
    match head.body {
        Body::None | Body::UntilClose => out.extend_from_slice(b"\r\n"),
        Body::Length(_) => {
            out.extend_from_slice(b"content-length: ");
            encode::decimal(&mut out, content.len() as u64);
            out.extend_from_slice(b"\r\n\r\n");
            out.extend_from_slice(content);
        }
        Body::Chunked => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for piece in content.chunks(n_piece) {
                encode::chunk_size_line(&mut out, piece.len());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(encode::LAST_CHUNK);
        }
    }
    let has_content = matches!(head.body, Body::Length(_) | Body::Chunked);
    let content = if has_content { content.to_vec() } else { Vec::new() };
    (out, Message { line, fields, content })
}

fn is_framing(name: &[u8]) -> bool {
    matches!(name, b"content-length" | b"transfer-encoding")
}
