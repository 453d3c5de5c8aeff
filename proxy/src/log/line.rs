//! Form of an access log line.
//!
//! Control characters, quotes and bytes outside ASCII are escaped; a field is cut at 2 KiB; credentials never
//! get here and query strings only on request.

use std::io::Write;

/// What is kept of a request's head until its line is written.
pub(crate) struct LogDraft {
    client: String,
    method: Vec<u8>,
    host: Vec<u8>,
    path: Vec<u8>,
    version: &'static str,
    started_wall_ms: u64,
}

/// One line.
pub(crate) struct LogLine<'a> {
    pub(crate) draft: &'a LogDraft,
    /// The trace that the request is a part of, in hexadecimal digits.
    pub(crate) trace: Option<&'a [u8]>,
    pub(crate) gateway: &'a str,
    pub(crate) listener: &'a str,
    pub(crate) route: &'a str,
    pub(crate) rule: &'a str,
    pub(crate) backend: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) status: u16,
    pub(crate) cause: &'a str,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) n_retries: u32,
    pub(crate) connected_ms: Option<u64>,
    pub(crate) answered_ms: Option<u64>,
    pub(crate) total_ms: u64,
}

// === impl LogDraft ===

impl LogDraft {
    /// Keeps what the line needs. `query` is what may be shown of a query.
    pub(crate) fn new(
        client: &str,
        method: &[u8],
        host: &[u8],
        path: &[u8],
        has_query: bool,
        query: Option<&[u8]>,
        version: &'static str,
    ) -> Self {
        let mut shown = cut(path).to_vec();
        if has_query {
            shown.push(b'?');
            shown.extend_from_slice(query.map_or(REDACTED, cut));
        }
        Self {
            client: client.to_owned(),
            method: cut(method).to_vec(),
            host: cut(host).to_vec(),
            path: shown,
            version,
            started_wall_ms: u64::try_from(crate::clock::wall().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl LogDraft {
    /// A line about a connection that is passed on as it is: `protocol` and the name that the client asked for stand in
    /// for the request.
    pub(crate) fn of_stream(client: &str, protocol: &str, name: &[u8], age: std::time::Duration) -> Self {
        let started = crate::clock::wall().saturating_sub(age);
        Self {
            client: client.to_owned(),
            method: protocol.as_bytes().to_vec(),
            host: cut(name).to_vec(),
            path: Vec::new(),
            version: "",
            started_wall_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

// === impl LogLine ===

impl LogLine<'_> {
    /// Like HAProxy's `option httplog`: client, time, listener, back end, timings, status, bytes, cause, request.
    pub(crate) fn write_text(&self, out: &mut Vec<u8>) {
        let draft = self.draft;
        let seconds = draft.started_wall_ms / 1_000;
        let ms = |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX));
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            "{} [{seconds}.{:03}] {}/{} {}:{} {}/{} {}/{}/{} {} {} {} {} {} ",
            draft.client,
            draft.started_wall_ms % 1_000,
            self.gateway,
            or_dash(self.listener),
            or_dash(self.route),
            or_dash(self.rule),
            or_dash(self.backend),
            or_dash(self.endpoint),
            ms(self.connected_ms),
            ms(self.answered_ms),
            self.total_ms,
            self.status,
            self.bytes_in,
            self.bytes_out,
            self.n_retries,
            or_dash(self.cause),
        );
        if let Some(trace) = self.trace {
            out.extend_from_slice(b"trace_id=");
            out.extend_from_slice(trace);
            out.push(b' ');
        }
        out.push(b'"');
        escape(out, &draft.method);
        if draft.version.is_empty() {
            if !draft.host.is_empty() {
                out.push(b' ');
                escape(out, &draft.host);
            }
        } else {
            out.extend_from_slice(b" http://");
            escape(out, &draft.host);
            escape(out, &draft.path);
            out.push(b' ');
            out.extend_from_slice(draft.version.as_bytes());
        }
        out.extend_from_slice(b"\"\n");
    }

    /// One JSON object.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        let draft = self.draft;
        out.push(b'{');
        // Writing to a vector cannot fail.
        let _ = write!(out, "\"time_ms\":{},", draft.started_wall_ms);
        let texts: [(&str, &[u8]); 12] = [
            ("client", draft.client.as_bytes()),
            ("gateway", self.gateway.as_bytes()),
            ("listener", self.listener.as_bytes()),
            ("route", self.route.as_bytes()),
            ("rule", self.rule.as_bytes()),
            ("backend", self.backend.as_bytes()),
            ("endpoint", self.endpoint.as_bytes()),
            ("method", &draft.method),
            ("host", &draft.host),
            ("path", &draft.path),
            ("version", draft.version.as_bytes()),
            ("cause", self.cause.as_bytes()),
        ];
        for (name, value) in texts {
            let _ = write!(out, "\"{name}\":\"");
            escape(out, value);
            out.extend_from_slice(b"\",");
        }
        if let Some(trace) = self.trace {
            out.extend_from_slice(b"\"trace_id\":\"");
            out.extend_from_slice(trace);
            out.extend_from_slice(b"\",");
        }
        for (name, value) in [("connected_ms", self.connected_ms), ("answered_ms", self.answered_ms)] {
            if let Some(value) = value {
                let _ = write!(out, "\"{name}\":{value},");
            }
        }
        let _ = writeln!(
            out,
            "\"total_ms\":{},\"status\":{},\"bytes_in\":{},\"bytes_out\":{},\"retries\":{}}}",
            self.total_ms, self.status, self.bytes_in, self.bytes_out, self.n_retries
        );
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn cut(bytes: &[u8]) -> &[u8] {
    bytes.get(..FIELD_BYTES).unwrap_or(bytes)
}

/// Escapes for both forms: `\u00XX` for what is not printable ASCII, a backslash before quotes and backslashes.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => out.push(*byte),
            _ => {
                let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
            }
        }
    }
}

/// Longest part of a request that a line shows, in bytes.
const FIELD_BYTES: usize = 2_048;
const REDACTED: &[u8] = b"-";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(draft: &LogDraft) -> LogLine<'_> {
        LogLine {
            draft,
            trace: None,
            gateway: "edge/public",
            listener: "web",
            route: "shop/front",
            rule: "0",
            backend: "Service/shop/front:8080",
            endpoint: "",
            status: 503,
            cause: "no_endpoint",
            bytes_in: 1,
            bytes_out: 2,
            n_retries: 0,
            connected_ms: None,
            answered_ms: Some(7),
            total_ms: 9,
        }
    }

    #[test]
    fn hostile_bytes_cannot_break_a_line() {
        let path = b"/a\r\nb\"c\\\x80";
        let mut draft = LogDraft::new("192.0.2.1", b"GET", b"h", path, true, None, "HTTP/1.1");
        draft.started_wall_ms = 1_500;
        let mut text = Vec::new();
        line(&draft).write_text(&mut text);
        assert_eq!(
            String::from_utf8_lossy(&text),
            "192.0.2.1 [1.500] edge/public/web shop/front:0 Service/shop/front:8080/- -1/7/9 503 1 2 0 no_endpoint \
             \"GET http://h/a\\u000d\\u000ab\\\"c\\\\\\u0080?- HTTP/1.1\"\n"
        );
        let mut json = Vec::new();
        line(&draft).write_json(&mut json);
        let value: serde_json::Value = serde_json::from_slice(&json).expect("one JSON object");
        assert_eq!(value["path"], "/a\r\nb\"c\\\u{80}?-");
        assert_eq!(value["answered_ms"], 7);
        assert_eq!(value["status"], 503);
    }

    #[test]
    fn traces_are_named_where_there_are_some() {
        let mut draft = LogDraft::new("192.0.2.1", b"GET", b"h", b"/", false, None, "HTTP/1.1");
        draft.started_wall_ms = 1_500;
        let line = LogLine { trace: Some(b"0af7"), ..line(&draft) };
        let (mut text, mut json) = (Vec::new(), Vec::new());
        line.write_text(&mut text);
        let text = String::from_utf8_lossy(&text);
        assert!(text.ends_with(" no_endpoint trace_id=0af7 \"GET http://h/ HTTP/1.1\"\n"), "{text}");
        line.write_json(&mut json);
        let value: serde_json::Value = serde_json::from_slice(&json).expect("one JSON object");
        assert_eq!((&value["trace_id"], &value["status"]), (&"0af7".into(), &503.into()));
    }

    #[test]
    fn queries_are_shown_only_on_request_and_fields_are_cut() {
        let shown = LogDraft::new("c", b"GET", b"h", b"/", true, Some(b"k=v"), "HTTP/1.1");
        assert_eq!(shown.path, b"/?k=v");
        let long = LogDraft::new("c", b"GET", b"h", &[b'a'; 5_000], false, None, "HTTP/1.0");
        assert_eq!(long.path.len(), FIELD_BYTES);
    }
}
