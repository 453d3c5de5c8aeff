//! What holds for every line of the access log.

use std::time::Duration;

use crate::log::{LogDraft, LogLine};

/// What a client says, taken from an input: flags, then parts that begin with their length.
struct Said<'b> {
    flags: u8,
    method: &'b [u8],
    host: &'b [u8],
    path: &'b [u8],
    query: &'b [u8],
}

/// A line is one line of printable ASCII in either form: as text with its request between the only two quotes, as JSON an
/// object from which everything is read as it was said.
pub(crate) fn line(input: &[u8]) {
    let said = Said::of(input);
    let has_query = said.flags & 1 != 0;
    let query = (said.flags & 2 != 0).then_some(said.query);
    let shown = match query {
        _ if !has_query => Vec::new(),
        Some(query) => [b"?", cut(query)].concat(),
        None => b"?-".to_vec(),
    };
    let request = LogDraft::new("192.0.2.1", said.method, said.host, said.path, has_query, query, "HTTP/1.1");
    check(&said, &request, [said.method, cut(said.host), &[cut(said.path), &shown].concat()]);
    let stream = LogDraft::of_stream("192.0.2.1", "TLS", said.host, Duration::from_secs(1));
    check(&said, &stream, [b"TLS", cut(said.host), b""]);
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
    let mut text = Vec::new();
    said.line(draft).write_text(&mut text);
    let text = one_line(&text);
    let mut n_quotes = 0;
    let mut is_escaped = false;
    for character in text.chars() {
        n_quotes += u32::from(character == '"' && !is_escaped);
        is_escaped = character == '\\' && !is_escaped;
    }
    assert!(n_quotes == 2 && text.ends_with('"'), "{text}");
    let mut json = Vec::new();
    said.line(draft).write_json(&mut json);
    let json = one_line(&json);
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    for (name, expected) in ["method", "host", "path"].into_iter().zip(expected) {
        let expected: String = cut(expected).iter().map(|byte| char::from(*byte)).collect();
        let told = value[name].as_str().expect("a text");
        assert!(told.starts_with(&expected), "{name} of {json}");
    }
    assert_eq!(value["path"].as_str().map(|path| path.chars().count()), Some(expected[2].len()), "{json}");
    assert_eq!((&value["status"], &value["route"]), (&503.into(), &"shop/front".into()));
}

#[track_caller]
fn one_line(bytes: &[u8]) -> &str {
    let line = bytes.strip_suffix(b"\n").expect("an end of the line");
    assert!(line.iter().all(|byte| (0x20..0x7f).contains(byte)), "{}", line.escape_ascii());
    std::str::from_utf8(line).expect("ASCII")
}

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
