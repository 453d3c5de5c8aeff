//! The strict reader: tokens from httparse, and around them what RFC 9110 and RFC 9112 demand. Where they leave a
//! recipient the choice, it takes the message.

use crate::{Content, Field, Message, Reading, Taken, Target, chunked, uri};

/// How a message says that it is framed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    /// A coding that is not known, which ends a response with its connection.
    Unknown,
}

pub fn requests(stream: &[u8]) -> Reading {
    Reading::of(stream, |rest| request(rest).map_err(str::to_owned))
}

/// Reads the responses to HEAD, or to another method than CONNECT.
pub fn responses(is_head: bool, stream: &[u8]) -> Reading {
    Reading::of(stream, |rest| response(is_head, rest).map_err(str::to_owned))
}

fn request(stream: &[u8]) -> Result<Option<Taken>, &'static str> {
    let mut tokens = [httparse::EMPTY_HEADER; 256];
    let mut head = httparse::Request::new(&mut tokens);
    let n_head = match head.parse(stream) {
        Ok(httparse::Status::Complete(n_head)) => n_head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("httparse"),
    };
    if !lines_end_well(&stream[..n_head]) {
        return Err("RFC 9112 2.2 end of a line");
    }
    let (Some(method), Some(target), Some(minor)) = (head.method, head.path, head.version) else {
        return Err("httparse");
    };
    let target = parse_target(method, target.as_bytes())?;
    let fields = fields(head.headers);
    host(&fields, minor)?;
    let framing = framing(&fields, minor)?;
    if framing == Framing::Unknown {
        return Err("RFC 9112 6.1 transfer coding");
    }
    let has_both = named(&fields, "content-length").next().is_some() && framing == Framing::Chunked;
    let rest = &stream[n_head..];
    let Some(content) = content(framing, rest)? else { return Ok(None) };
    // After a message with both, the connection ends (RFC 9112 6.1).
    let persists = persists(&fields, minor) && !has_both;
    let message = Message {
        subject: method.as_bytes().to_vec(),
        target,
        is_11: minor == 1,
        fields,
        content: content.bytes,
        trailers: content.trailers,
    };
    Ok(Some(Taken { message, len: n_head + content.len, persists }))
}

fn response(is_head: bool, stream: &[u8]) -> Result<Option<Taken>, &'static str> {
    let mut tokens = [httparse::EMPTY_HEADER; 256];
    let mut head = httparse::Response::new(&mut tokens);
    let n_head = match head.parse(stream) {
        Ok(httparse::Status::Complete(n_head)) => n_head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("httparse"),
    };
    // The tokenizer skips empty lines, which only requests may have before them (RFC 9112 2.2).
    if !stream.starts_with(b"HTTP/1.") || !lines_end_well(&stream[..n_head]) {
        return Err("RFC 9112 2.2 end of a line");
    }
    let (Some(status), Some(minor)) = (head.code, head.version) else { return Err("httparse") };
    if !(100..600).contains(&status) {
        return Err("RFC 9110 15 status");
    }
    if stream.get(12) != Some(&b' ') {
        return Err("RFC 9112 4 space behind the status");
    }
    let fields = fields(head.headers);
    let rest = &stream[n_head..];
    let has_no_content = is_head || matches!(status, 100..=199 | 204 | 304);
    let framing = if has_no_content { Framing::Length(0) } else { framing(&fields, minor)? };
    let is_until_close = matches!(framing, Framing::Nothing | Framing::Unknown);
    let framing = if is_until_close { Framing::Length(rest.len() as u64) } else { framing };
    let Some(content) = content(framing, rest)? else { return Ok(None) };
    // What informs is followed by the response, whatever it says of the connection (RFC 9110 15.2).
    let persists = match status {
        101 => false,
        100..=199 => true,
        _ => persists(&fields, minor) && !is_until_close,
    };
    let message = Message {
        subject: status.to_string().into_bytes(),
        target: Target::default(),
        is_11: minor == 1,
        fields,
        content: content.bytes,
        trailers: content.trailers,
    };
    Ok(Some(Taken { message, len: n_head + content.len, persists }))
}

/// Whether every carriage return and line feed stands in a pair.
pub fn lines_end_well(text: &[u8]) -> bool {
    let n_pairs = text.windows(2).filter(|pair| pair == b"\r\n").count();
    text.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() == 2 * n_pairs
}

/// The fields of a section.
pub fn fields(tokens: &[httparse::Header<'_>]) -> Vec<Field> {
    Field::sorted(tokens.iter().map(|token| (token.name.as_bytes(), token.value)))
}

fn named<'f>(fields: &'f [Field], name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    fields.iter().filter(move |field| field.name == name.as_bytes()).map(|field| &field.value[..])
}

/// The elements of all fields of a name, empty ones left out (RFC 9110 5.6.1.2).
fn elements<'f>(fields: &'f [Field], name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    let split = |value: &'f [u8]| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    named(fields, name).flat_map(split).filter(|element| !element.is_empty())
}

/// The forms of RFC 9112 3.2 with the parts that RFC 3986 gives them.
fn parse_target(method: &str, text: &[u8]) -> Result<Target, &'static str> {
    let split = |text: &[u8]| match text.iter().position(|byte| *byte == b'?') {
        Some(mark) => (text[..mark].to_vec(), Some(text[mark + 1..].to_vec())),
        None => (text.to_vec(), None),
    };
    let is_well = |path: &[u8], query: &Option<Vec<u8>>| {
        uri::is_path(path) && query.as_ref().is_none_or(|query| uri::is_query(query))
    };
    match (method, text) {
        ("CONNECT", _) => match text.iter().rposition(|byte| *byte == b':') {
            Some(colon) if uri::is_host_and_port(text) && 0 < colon && colon + 1 < text.len() => {
                Ok(Target { authority: Some(text.to_vec()), ..Target::default() })
            }
            _ => Err("RFC 9112 3.2.3 authority-form"),
        },
        (_, [b'/', ..]) => {
            let (path, query) = split(text);
            if !is_well(&path, &query) {
                return Err("RFC 9112 3.2.1 byte of a target");
            }
            Ok(Target { authority: None, path, query })
        }
        ("OPTIONS", b"*") => Ok(Target { path: b"*".to_vec(), ..Target::default() }),
        _ => {
            let n_scheme =
                text.iter().position(|byte| *byte == b':').ok_or("RFC 9112 3.2 form of a target")?;
            let (scheme, rest) = (&text[..n_scheme], &text[n_scheme + 1..]);
            if !uri::is_scheme(scheme) {
                return Err("RFC 9112 3.2 form of a target");
            }
            let is_http = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
            let Some(rest) = rest.strip_prefix(b"//") else {
                // Without an authority there is nobody to ask, but the form is that of a URI.
                let (path, query) = split(rest);
                return match is_http || !is_well(&path, &query) {
                    true => Err("RFC 9110 4.2.1 http without a host"),
                    false => Ok(Target { authority: None, path, query }),
                };
            };
            let n_authority = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(n_authority);
            let is_empty = authority.is_empty() || authority[0] == b':';
            if !uri::is_host_and_port(authority) || (is_http && is_empty) {
                return Err("RFC 9110 4.2 authority");
            }
            let (path, query) = split(rest);
            if !is_well(&path, &query) {
                return Err("RFC 9112 3.2.2 byte of a target");
            }
            // A server as a whole, or the path that an empty one stands for (RFC 9112 3.2.4, RFC 9110 4.2.3).
            let path = match (path.is_empty(), method, &query) {
                (false, ..) => path,
                (true, "OPTIONS", None) => b"*".to_vec(),
                _ => b"/".to_vec(),
            };
            Ok(Target { authority: Some(authority.to_vec()), path, query })
        }
    }
}

fn host(fields: &[Field], minor: u8) -> Result<(), &'static str> {
    let mut hosts = named(fields, "host");
    match (hosts.next(), hosts.next()) {
        (None, _) if minor == 1 => Err("RFC 9112 3.2 no host"),
        (Some(_), Some(_)) => Err("RFC 9112 3.2 more than one host"),
        (Some(host), None) if !uri::is_host_and_port(host) => Err("RFC 9112 3.2 host"),
        _ => Ok(()),
    }
}

/// RFC 9112 6.1, 6.3 and RFC 9110 8.6.
fn framing(fields: &[Field], minor: u8) -> Result<Framing, &'static str> {
    let mut length = None;
    for value in named(fields, "content-length").flat_map(|value| value.split(|byte| *byte == b',')) {
        let told = decimal(value.trim_ascii()).ok_or("RFC 9110 8.6 length")?;
        if length.is_some_and(|length| length != told) {
            return Err("RFC 9110 8.6 lengths that differ");
        }
        length = Some(told);
    }
    if named(fields, "transfer-encoding").next().is_none() {
        return Ok(length.map_or(Framing::Nothing, Framing::Length));
    }
    if minor == 0 {
        return Err("RFC 9112 6.1 transfer coding in HTTP/1.0");
    }
    let codings: Vec<_> = elements(fields, "transfer-encoding").collect();
    let n_chunked = codings.iter().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
    let is_last = codings.last().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    match codings.len() {
        _ if n_chunked > 1 => Err("RFC 9112 6.1 chunked more than once"),
        1 if is_last => Ok(Framing::Chunked),
        0 => Err("RFC 9112 6.1 no transfer coding"),
        // What is chunked and coded in another way can be framed, but not read.
        _ if is_last => Err("RFC 9112 6.1 transfer coding"),
        _ => Ok(Framing::Unknown),
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Content; `None` while it is not whole.
fn content(framing: Framing, rest: &[u8]) -> Result<Option<Content>, &'static str> {
    let plain = |bytes: &[u8]| Content { bytes: bytes.to_vec(), trailers: Vec::new(), len: bytes.len() };
    match framing {
        Framing::Chunked => chunked::read(rest),
        Framing::Length(length) => {
            Ok(usize::try_from(length).ok().and_then(|length| rest.get(..length)).map(plain))
        }
        Framing::Nothing | Framing::Unknown => Ok(Some(plain(&[]))),
    }
}

/// RFC 9112 9.3.
fn persists(fields: &[Field], minor: u8) -> bool {
    let has = |option: &str| {
        elements(fields, "connection").any(|element| element.eq_ignore_ascii_case(option.as_bytes()))
    };
    !has("close") && (minor == 1 || has("keep-alive"))
}

/// Whether a text is a token (RFC 9110 5.6.2).
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
