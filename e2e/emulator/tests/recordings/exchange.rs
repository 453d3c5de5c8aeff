//! Recorded exchanges, and how one is made again.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A request and the answer that the real cluster gave.
pub struct Exchange {
    /// Recording.
    pub recording: String,
    /// Place in it.
    pub at: usize,
    /// Over the network, not the socket.
    pub is_network: bool,
    /// Node asked.
    pub node: String,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header fields.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
    /// Status; 0 for a connection that ended without one.
    pub status: u16,
    /// Body of the answer.
    pub answer: Expected,
}

/// What was recorded of an answer's body.
pub enum Expected {
    /// All of it.
    Whole(String),
    /// Its first letters.
    Start(String),
}

/// What came back; status 0 for a connection that ended without an answer.
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Header, as it came.
    pub head: String,
    /// Body.
    pub body: String,
}

/// All exchanges of a recording.
pub fn read(name: &str) -> anyhow::Result<Vec<Exchange>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings").join(format!("{name}.json"));
    let recording: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let list = recording["exchanges"].as_array().context("exchanges")?;
    list.iter()
        .enumerate()
        .map(|(at, exchange)| {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let headers = request["headers"].as_object();
            Ok(Exchange {
                recording: name.to_owned(),
                at,
                is_network: request["listener"] == "tcp",
                node: text(&request["node"]),
                method: text(&request["method"]),
                path: text(&request["path"]),
                headers: headers
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect(),
                body: match request["body_base64"].as_str() {
                    Some(coded) => STANDARD.decode(coded)?,
                    None => text(&request["body"]).into_bytes(),
                },
                status: u16::try_from(response["status"].as_u64().context("status")?)?,
                answer: match (response["body_base64"].as_str(), response["body_start"].as_str()) {
                    (_, Some(start)) => Expected::Start(start.to_owned()),
                    (Some(coded), _) => {
                        Expected::Whole(String::from_utf8_lossy(&STANDARD.decode(coded)?).into_owned())
                    }
                    (None, None) if response["body_note"].is_string() => Expected::Start(String::new()),
                    (None, None) => Expected::Whole(text(&response["body"])),
                },
            })
        })
        .collect()
}

impl Exchange {
    /// Sends the request and reads the answer to its end.
    pub fn send(&self, mut stream: impl Read + Write) -> anyhow::Result<Answer> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
            self.method,
            self.path.replace(' ', "%20")
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let is_chunked = self.headers.contains_key("Transfer-Encoding");
        let mut message = Vec::new();
        if is_chunked {
            message.extend_from_slice(format!("{head}\r\n{:x}\r\n", self.body.len()).as_bytes());
            message.extend_from_slice(&self.body);
            message.extend_from_slice(b"\r\n0\r\n\r\n");
        } else {
            message
                .extend_from_slice(format!("{head}Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
            message.extend_from_slice(&self.body);
        }
        stream.write_all(&message)?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            // The end of TLS is not always said.
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {}
            Err(error) => return Err(error.into()),
        }
        if bytes.is_empty() {
            return Ok(Answer { status: 0, head: String::new(), body: String::new() });
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").context("no end of the header")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { unchunked(body)? } else { body.to_owned() };
        Ok(Answer { status, head: head.to_owned(), body })
    }
}

fn unchunked(mut text: &str) -> anyhow::Result<String> {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            break;
        }
        body.push_str(rest.get(..size).context("chunk")?);
        text = rest.get(size + 2..).unwrap_or_default();
    }
    Ok(body)
}
