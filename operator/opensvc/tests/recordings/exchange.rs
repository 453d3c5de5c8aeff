//! One recorded exchange, read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use crate::served::{self, Reply};

/// One recorded exchange.
pub struct Exchange {
    pub file: String,
    pub index: usize,
    pub listener: String,
    pub method: String,
    pub segments: Vec<String>,
    pub parameters: Vec<(String, String)>,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// The body was too large to be kept; its size was this.
    pub left_out: Option<usize>,
    pub reply: Reply,
}

// === impl Exchange ===

impl Exchange {
    pub fn read(file: &str, index: usize, recorded: &Value) -> anyhow::Result<Self> {
        let (request, response) = (&recorded["request"], &recorded["response"]);
        let path = request["path"].as_str().context("path")?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let segments = path.trim_start_matches('/').split('/');
        let mut headers = BTreeMap::new();
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            headers.insert(name.to_lowercase(), value.as_str().unwrap_or_default().to_owned());
        }
        let left_out = request["body_note"].as_str().and_then(|note| note.split(' ').next()?.parse().ok());
        Ok(Self {
            file: file.to_owned(),
            index,
            listener: request["listener"].as_str().unwrap_or_default().to_owned(),
            method: request["method"].as_str().context("method")?.to_owned(),
            segments: segments.map(|segment| served::decode(segment, false)).collect(),
            parameters: served::parameters(query),
            headers,
            body: body_of(request)?,
            left_out,
            reply: reply_of(file, index, response)?,
        })
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        let named = self.parameters.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    pub fn sent_body(&self) -> Bytes {
        match self.left_out {
            Some(size) => Bytes::from(vec![b'x'; size]),
            None => Bytes::from(self.body.clone()),
        }
    }
}

/// A body that the recording left out is the one of another exchange with the same answer.
fn reply_of(file: &str, index: usize, response: &Value) -> anyhow::Result<Reply> {
    let status =
        response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).context("status")?;
    let mut headers = Vec::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if name != "content-length" {
            headers.push((name.clone(), value.to_owned()));
        }
    }
    let body = match response["body_note"].as_str() {
        None => body_of(response)?,
        Some(_) => {
            let start = response["body_start"].as_str().unwrap_or_default();
            let (other, other_index) = match start.get(..12).unwrap_or_default() {
                "{\"data\":{\"in" => ("12-cfg-object-and-list.json", 0),
                "{\"items\":[{\""
                    if response["body_note"].as_str().is_some_and(|n| n.starts_with("3794")) =>
                {
                    ("36-instance-actions-and-reads.json", 6)
                }
                "{\"items\":[{\"" => ("12-cfg-object-and-list.json", 3),
                "{\"cluster\":{" => ("36-instance-actions-and-reads.json", 10),
                "event: NodeS" | "event: Insta" => return Ok(Reply { status, headers, body: start.into() }),
                _ if start.is_empty() => {
                    return Ok(Reply { status, headers, body: b"{\"items\":[]}".to_vec() });
                }
                other => anyhow::bail!("{file} {index}: a body that starts with {other:?} was left out"),
            };
            let text = std::fs::read_to_string(folder().join(other))?;
            let whole: Value = serde_json::from_str(&text)?;
            body_of(&whole["exchanges"][other_index]["response"])?
        }
    };
    Ok(Reply { status, headers, body })
}

fn body_of(part: &Value) -> anyhow::Result<Vec<u8>> {
    match (&part["body"], part["body_base64"].as_str()) {
        (_, Some(text)) => Ok(STANDARD.decode(text)?),
        (Value::String(text), _) => Ok(text.as_bytes().to_vec()),
        (Value::Null, _) => Ok(Vec::new()),
        (other, _) => Ok(serde_json::to_vec(other)?),
    }
}

/// Where the recordings are kept.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/emulator/recordings")
}
