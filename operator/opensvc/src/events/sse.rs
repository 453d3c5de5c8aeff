//! Server-sent events out of chunks of bytes, cut anywhere.
//!
//! Invariant: no more than [`MAX_EVENT`] bytes of an event are held; of a larger one the end is waited for, and
//! [`Parsed::Oversized`] told in its place.

/// One event as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// The name after `event:`.
    pub name: String,
    /// What stood after `data:`, several lines joined by line feeds.
    pub body: Vec<u8>,
}

/// What a piece of a stream completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// An event.
    Frame(Frame),
    /// An event that was larger than [`MAX_EVENT`] and is lost.
    Oversized,
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    frame: Frame,
    /// The event under way is too large; its bytes are dropped.
    is_oversized: bool,
    /// A line feed now belongs to the carriage return before it.
    after_return: bool,
    /// Something of the event under way was there, if only a name.
    has_body: bool,
}

// === impl SseParser ===

impl SseParser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and gives back what they complete.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<Parsed> {
        let mut complete = Vec::new();
        for piece in chunk.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let mut piece = piece;
            if std::mem::take(&mut self.after_return) && piece.first() == Some(&b'\n') {
                piece = piece.get(1..).unwrap_or_default();
            }
            match piece.split_last() {
                Some((end @ (b'\n' | b'\r'), text)) => {
                    self.after_return = *end == b'\r';
                    self.hold(text);
                    self.end_line(&mut complete);
                }
                Some(_) => self.hold(piece),
                None => {}
            }
        }
        complete
    }

    fn hold(&mut self, text: &[u8]) {
        if self.line.len() + self.frame.body.len() + text.len() > MAX_EVENT {
            self.is_oversized = true;
            self.line.clear();
            self.frame.body.clear();
            // One byte stands for the line, so that its end is no empty line.
            self.line.push(b':');
            return;
        }
        if !self.is_oversized || self.line.is_empty() {
            self.line.extend_from_slice(text);
        }
    }

    fn end_line(&mut self, complete: &mut Vec<Parsed>) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            if !self.is_oversized {
                self.take_field(&line);
            }
            return;
        }
        let frame = std::mem::take(&mut self.frame);
        let has_body = std::mem::take(&mut self.has_body);
        if std::mem::take(&mut self.is_oversized) {
            complete.push(Parsed::Oversized);
        } else if has_body {
            complete.push(Parsed::Frame(frame));
        }
    }

    fn take_field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.frame.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if self.has_body {
                    self.frame.body.push(b'\n');
                }
                self.has_body = true;
                self.frame.body.extend_from_slice(value);
            }
            // `id` counts per connection and `retry` is never sent; comments keep the line busy.
            _ => {}
        }
    }
}

/// The largest event the daemon's own reader takes (§8.2).
pub const MAX_EVENT: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(name: &str, body: &str) -> Parsed {
        Parsed::Frame(Frame { name: name.to_owned(), body: body.as_bytes().to_vec() })
    }

    const TEXT: &[u8] =
        b": hello\nevent: A\nid: 0\ndata: {\"x\":1}\n\nevent:B\r\ndata:one\r\ndata: two\r\n\r\nid: 3\n\nevent: C\ndata\n\nevent: D\ndata: cut";

    fn expected() -> Vec<Parsed> {
        vec![frame("A", "{\"x\":1}"), frame("B", "one\ntwo"), frame("C", "")]
    }

    #[test]
    fn events_are_read_and_an_unfinished_one_is_not() {
        assert_eq!(SseParser::new().push(TEXT), expected());
    }

    proptest! {
        #[test]
        fn chunks_may_be_cut_anywhere(cuts in proptest::collection::vec(0..TEXT.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut parser = SseParser::new();
            let mut parsed = Vec::new();
            let mut start = 0;
            for cut in cuts.into_iter().chain([TEXT.len()]) {
                parsed.extend(parser.push(&TEXT[start..cut]));
                start = cut;
            }
            prop_assert_eq!(parsed, expected());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut parser = SseParser::new();
            parser.push(&bytes);
            parser.push(b"\n\n");
            prop_assert_eq!(parser.push(b"event: A\ndata: 1\n\n"), vec![frame("A", "1")]);
        }
    }

    #[test]
    fn an_event_that_is_too_large_is_skipped_and_the_next_is_read() {
        let mut parser = SseParser::new();
        assert_eq!(parser.push(b"event: Big\ndata: "), []);
        let part = vec![b'x'; MAX_EVENT / 4];
        for _ in 0..20 {
            assert_eq!(parser.push(&part), []);
            assert!(parser.line.len() <= MAX_EVENT);
        }
        assert_eq!(parser.push(b"\n"), []);
        for _ in 0..5 {
            assert_eq!(parser.push(b"data: more\n"), []);
        }
        assert_eq!(parser.push(b"\nevent: A\ndata: 1\n\n"), [Parsed::Oversized, frame("A", "1")]);
    }

    #[test]
    fn many_small_lines_cannot_grow_an_event_for_ever() {
        let mut parser = SseParser::new();
        let mut line = b"data: ".to_vec();
        line.extend(vec![b'x'; 100_000]);
        line.push(b'\n');
        for _ in 0..100 {
            assert_eq!(parser.push(&line), []);
            assert!(parser.frame.body.len() <= MAX_EVENT);
        }
        assert_eq!(parser.push(b"\n"), [Parsed::Oversized]);
    }
}
