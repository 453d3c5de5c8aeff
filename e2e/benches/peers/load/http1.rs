//! Answers of HTTP/1, one after the other: where each ends, and whether it is a 200.

use super::connection::{Answered, End};

/// What was read of an answer.
#[derive(Default)]
pub struct Http1 {
    next: Next,
    is_good: bool,
    is_last: bool,
    /// What could not be understood without more.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Head,
    /// So many bytes of body.
    Body(u64),
    ChunkSize,
    /// So many bytes of a chunk with its end of line.
    Chunk(u64),
    /// Fields behind the last chunk.
    Trailers,
}

// === impl Http1 ===

impl Http1 {
    /// Reads on; says when the answer is whole.
    ///
    /// # Errors
    /// Fails if this is no answer, or more than one.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Answered>, End> {
        let joined;
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.rest);
            bytes = &joined;
        }
        loop {
            match &mut self.next {
                Next::Head => match self.head(bytes)? {
                    Some(n_bytes) => bytes = &bytes[n_bytes..],
                    None => return self.wait(bytes),
                },
                Next::Body(left) | Next::Chunk(left) => {
                    let n_bytes = (bytes.len() as u64).min(*left);
                    *left -= n_bytes;
                    bytes = &bytes[n_bytes as usize..];
                    match self.next {
                        Next::Chunk(0) => self.next = Next::ChunkSize,
                        Next::Body(0) if !bytes.is_empty() => return Err(End::Strange),
                        Next::Body(0) => {
                            self.next = Next::Head;
                            return Ok(Some(Answered { stream: 0, is_good: self.is_good }));
                        }
                        _ => return Ok(None),
                    }
                }
                Next::ChunkSize | Next::Trailers => {
                    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                        return self.wait(bytes);
                    };
                    let line = bytes[..end].trim_ascii_end();
                    bytes = &bytes[end + 1..];
                    self.next = match self.next {
                        Next::Trailers if line.is_empty() => Next::Body(0),
                        Next::Trailers => Next::Trailers,
                        _ => match size(line)? {
                            0 => Next::Trailers,
                            size => Next::Chunk(size + 2),
                        },
                    };
                }
            }
        }
    }

    /// Whether the proxy ends the connection with this answer.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    fn wait(&mut self, bytes: &[u8]) -> Result<Option<Answered>, End> {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > LONGEST { Err(End::Strange) } else { Ok(None) }
    }

    /// Length of a head, if it is whole.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, End> {
        let mut next = None;
        let mut is_last = false;
        let mut at = 0;
        loop {
            let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') else { return Ok(None) };
            let line = bytes[at..at + length].trim_ascii_end();
            at += length + 1;
            let value = |name: &[u8]| {
                let begin = line.get(..name.len())?;
                begin.eq_ignore_ascii_case(name).then(|| line[name.len()..].trim_ascii())
            };
            match line.first().map(|byte| byte | 0x20) {
                None => break,
                Some(b'c') => {
                    if let Some(length) = value(b"content-length:") {
                        let length = str::from_utf8(length).ok().and_then(|length| length.parse().ok());
                        next = Some(Next::Body(length.ok_or(End::Strange)?));
                    } else if let Some(options) = value(b"connection:") {
                        is_last |= options.eq_ignore_ascii_case(b"close");
                    }
                }
                Some(b't') if value(b"transfer-encoding:").is_some() => next = Some(Next::ChunkSize),
                _ => {}
            }
        }
        let status = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or(End::Strange)?;
        self.is_good = status == b"200";
        self.is_last = is_last;
        // Every answer of the origin tells its length or has chunks.
        self.next = next.ok_or(End::Strange)?;
        Ok(Some(at))
    }
}

fn size(line: &[u8]) -> Result<u64, End> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = str::from_utf8(digits).map_err(|_| End::Strange)?;
    u64::from_str_radix(digits.trim(), 16).map_err(|_| End::Strange)
}

const LONGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], step: usize) -> Vec<bool> {
        let mut dialog = Http1::default();
        let pieces = text.chunks(step);
        pieces.filter_map(|piece| dialog.take(piece).expect("an answer")).map(|one| one.is_good).collect()
    }

    #[test]
    fn answers_end_where_they_say() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked = b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n";
        for step in [1, 2, 7, 1000] {
            assert_eq!(read(sized, step), [true]);
            assert_eq!(read(chunked, step), [false]);
        }
        assert_eq!(read(&[&sized[..], &chunked[..]].concat(), 1), [true, false]);
    }

    #[test]
    fn the_last_answer_says_so() {
        let mut dialog = Http1::default();
        let text = b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        assert!(dialog.take(text).expect("an answer").is_some() && dialog.is_last());
        assert!(Http1::default().take(b"HTTP/1.0 200 OK\r\n\r\n").is_err());
    }
}
