//! Chunked bodies (RFC 9112 7.1) for the strict reader: sizes and extensions by the grammar, trailers by httparse.

use crate::Content;
use crate::strict::{fields, is_token, lines_end_well};

/// Reads a body; `None` while it is not whole.
pub fn read(stream: &[u8]) -> Result<Option<Content>, &'static str> {
    let mut content = Vec::new();
    let mut rest = stream;
    loop {
        let Some(end) = line_end(rest)? else { return Ok(None) };
        let line = &rest[..end];
        let size = size(line)?;
        // The tokenizer has its own opinion of sizes that it takes.
        if let Ok(httparse::Status::Complete((_, told))) = httparse::parse_chunk_size(rest) {
            assert_eq!(told, size, "{}", line.escape_ascii());
        }
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        let Ok(size) = usize::try_from(size) else { return Ok(None) };
        let Some((data, behind)) = rest.split_at_checked(size) else { return Ok(None) };
        content.extend_from_slice(data);
        rest = match behind {
            [b'\r', b'\n', behind @ ..] => behind,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("RFC 9112 7.1 end of a chunk"),
        };
    }
    let mut tokens = [httparse::EMPTY_HEADER; 256];
    match httparse::parse_headers(rest, &mut tokens) {
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err("RFC 9112 5 trailer line"),
        Ok(httparse::Status::Complete((n_section, _))) if !lines_end_well(&rest[..n_section]) => {
            Err("RFC 9112 2.2 end of a trailer line")
        }
        Ok(httparse::Status::Complete((n_section, tokens))) => {
            let len = stream.len() - rest.len() + n_section;
            Ok(Some(Content { bytes: content, trailers: fields(tokens), len }))
        }
    }
}

/// Where the line at the start ends.
fn line_end(rest: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return Ok(None) };
    match rest[end..] {
        [b'\r', b'\n', ..] => Ok(Some(end)),
        [b'\r'] => Ok(None),
        _ => Err("RFC 9112 2.2 end of a chunk line"),
    }
}

/// The size that a line says: `1*HEXDIG [ chunk-ext ]`.
fn size(line: &[u8]) -> Result<u64, &'static str> {
    let n_digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if n_digits == 0 {
        return Err("RFC 9112 7.1 chunk size");
    }
    let mut size: u64 = 0;
    for digit in &line[..n_digits] {
        let digit = char::from(*digit).to_digit(16).map_or(0, u64::from);
        let next = size.checked_mul(16).and_then(|size| size.checked_add(digit));
        size = next.ok_or("RFC 9112 7.1 chunk size too large")?;
    }
    let mut rest = &line[n_digits..];
    while !rest.is_empty() {
        rest = extension(rest).ok_or("RFC 9112 7.1.1 chunk extension")?;
    }
    Ok(size)
}

/// What is behind `BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ]`.
fn extension(text: &[u8]) -> Option<&[u8]> {
    let text = unspaced(text).strip_prefix(b";")?;
    let text = token(unspaced(text))?;
    let Some(value) = unspaced(text).strip_prefix(b"=") else { return Some(text) };
    match unspaced(value) {
        [b'"', quoted @ ..] => unquoted(quoted),
        value => token(value),
    }
}

fn unspaced(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// What is behind a token.
fn token(text: &[u8]) -> Option<&[u8]> {
    let n_token = text.iter().take_while(|byte| is_token(&[**byte])).count();
    (n_token > 0).then(|| &text[n_token..])
}

/// What is behind the second quote of a quoted string (RFC 9110 5.6.4).
fn unquoted(mut text: &[u8]) -> Option<&[u8]> {
    let is_text = |byte: u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_text(*escaped) => rest,
            [b'\\', ..] => return None,
            [byte, rest @ ..] if is_text(*byte) => rest,
            _ => return None,
        };
    }
}
