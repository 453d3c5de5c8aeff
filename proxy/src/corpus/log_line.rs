//! What holds for every line of the access log.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use crate::log::{LogDraft, LogLine};

use super::cuts::Cuts;

/// What a client says, taken from an input: flags, then parts that begin with their length.
struct Said<'b> {
    flags: u8,
    method: &'b [u8],
    host: &'b [u8],
    path: &'b [u8],
    query: &'b [u8],
}

/// What a line tells of.
#[derive(Clone, Copy, Debug)]
enum About {
    Request,
    Stream,
}

/// What a reader of a line as JSON is told.
#[derive(Deserialize)]
struct Told<'l> {
    #[serde(borrow)]
    method: Cow<'l, str>,
    #[serde(borrow)]
    host: Cow<'l, str>,
    #[serde(borrow)]
    path: Cow<'l, str>,
    status: u16,
    #[serde(borrow)]
    route: Cow<'l, str>,
}

/// A line is one line of printable ASCII in either form: as text with its request between the only two quotes, as JSON an
/// object from which everything is read as it was said. Checked for a request and for a stream; with few cuts, for one.
pub(crate) fn line(input: &[u8], cuts: Cuts) {
    let said = Said::of(input);
    for about in cuts.ways(input, &[About::Request, About::Stream]) {
        match about {
            About::Request => request(&said),
            About::Stream => {
                let draft = LogDraft::of_stream("192.0.2.1", "TLS", said.host, Duration::from_secs(1));
                check(&said, &draft, [b"TLS", cut(said.host), b""]);
            }
        }
    }
}

fn request(said: &Said<'_>) {
    let has_query = said.flags & 1 != 0;
    let query = (said.flags & 2 != 0).then_some(said.query);
    let shown = match query {
        _ if !has_query => Vec::new(),
        Some(query) => [b"?", cut(query)].concat(),
        None => b"?-".to_vec(),
    };
    let draft = LogDraft::new("192.0.2.1", said.method, said.host, said.path, has_query, query, "HTTP/1.1");
    check(said, &draft, [said.method, cut(said.host), &[cut(said.path), &shown].concat()]);
}

/// A line as JSON, the longer form; for a bound of what it takes.
pub(crate) fn written(input: &[u8]) -> Vec<u8> {
    let said = Said::of(input);
    let draft =
        LogDraft::new("192.0.2.1", said.method, said.host, said.path, true, Some(said.query), "HTTP/1.1");
    // A buffer is the caller's, who uses it again: here it has room for a line whose every byte is escaped.
    let mut out = Vec::with_capacity(6 * input.len() + 1_024);
    said.line(&draft).write_json(&mut out);
    out
}

fn check(said: &Said<'_>, draft: &LogDraft, expected: [&[u8]; 3]) {
    let mut text = Vec::with_capacity(LINE_BYTES);
    said.line(draft).write_text(&mut text);
    let text = one_line(&text);
    let mut n_quotes = 0;
    let mut is_escaped = false;
    for byte in text.bytes() {
        n_quotes += u32::from(byte == b'"' && !is_escaped);
        is_escaped = byte == b'\\' && !is_escaped;
    }
    assert!(n_quotes == 2 && text.ends_with('"'), "{text}");
    let mut json = Vec::with_capacity(LINE_BYTES);
    said.line(draft).write_json(&mut json);
    let json = one_line(&json);
    let told: Told = serde_json::from_str(json).expect("JSON");
    for (told, expected) in [&told.method, &told.host, &told.path].into_iter().zip(expected) {
        assert!(told.chars().eq(expected.iter().map(|byte| char::from(*byte))), "{told:?} of {json}");
    }
    assert_eq!((told.status, &told.route[..]), (503, "shop/front"));
}

#[track_caller]
fn one_line(bytes: &[u8]) -> &str {
    let line = bytes.strip_suffix(b"\n").expect("an end of the line");
    // Without a way out at every byte, which a fuzz target would count.
    let is_printable = line.iter().fold(true, |all, byte| all & (0x20..0x7f).contains(byte));
    assert!(is_printable, "{}", line.escape_ascii());
    std::str::from_utf8(line).expect("ASCII")
}

/// A part of a request as far as a line shows it.
fn cut(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(2_048)]
}

// === impl Said ===

impl<'b> Said<'b> {
    fn of(input: &'b [u8]) -> Self {
        let (flags, mut rest) = input.split_first().map_or((0, input), |(flags, rest)| (*flags, rest));
        let mut part = |unit: usize| {
            let Some((n_units, bytes)) = rest.split_first() else { return rest };
            let (part, after) = bytes.split_at(bytes.len().min(usize::from(*n_units) * unit));
            rest = after;
            part
        };
        Self { flags, method: part(1), host: part(1), query: part(1), path: part(16) }
    }

    fn line<'a>(&self, draft: &'a LogDraft) -> LogLine<'a> {
        LogLine {
            draft,
            trace: None,
            gateway: "edge/public",
            listener: "web",
            route: "shop/front",
            rule: "0",
            backend: "",
            endpoint: "192.0.2.2:80",
            status: 503,
            cause: "no_endpoint",
            bytes_in: u64::MAX,
            bytes_out: 2,
            n_retries: self.flags.into(),
            connected_ms: (self.flags & 4 != 0).then_some(u64::MAX),
            answered_ms: None,
            total_ms: 9,
        }
    }
}

/// Place for most lines.
const LINE_BYTES: usize = 4_096;
