//! What a real cluster answered, asked of the emulated one: status, shape and words of each recorded exchange.
//!
//! Times, identifiers and checksums are masked.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use igw_emulator::{Cluster, Delays, Spec};
use serde_json::Value;

/// Recordings that are replayed whole.
/// With what was in their objects when each began; nothing where there were none.
const REPLAYED: &[(&str, Option<&str>)] = &[
    ("01-cfg-unknown-object", None),
    ("03-cfg-put-key-unknown-object", None),
    ("04-cfg-key-post-put-get-delete", Some("[data]\nfirst = literal:x\n")),
    ("05-cfg-patch-data", Some("[data]\nfirst = literal:x\nempty = literal:\n")),
    ("07-cfg-key-charset", Some("[data]\nafter = literal:a\nbefore = literal:b\n")),
    ("10-cfg-values", Some("[data]\n")),
];

/// Exchanges that are not reproduced, with the reason.
const OUT_OF_SCOPE: &[(&str, usize, &str)] =
    &[("10-cfg-values", 31, "the size told of a value with references is that after their resolution")];

/// A request and the answer that the real cluster gave.
struct Exchange {
    node: String,
    method: String,
    path: String,
    body: Vec<u8>,
    content_type: Option<String>,
    status: u16,
    answer: String,
}

fn exchanges(name: &str) -> anyhow::Result<Vec<Exchange>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings").join(format!("{name}.json"));
    let recording: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let list = recording["exchanges"].as_array().context("exchanges")?;
    list.iter()
        .map(|exchange| {
            let (request, response) = (&exchange["request"], &exchange["response"]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            Ok(Exchange {
                node: text(&request["node"]),
                method: text(&request["method"]),
                path: text(&request["path"]),
                body: match request["body_base64"].as_str() {
                    Some(coded) => STANDARD.decode(coded)?,
                    None => text(&request["body"]).into_bytes(),
                },
                content_type: request["headers"]["Content-Type"].as_str().map(ToOwned::to_owned),
                status: u16::try_from(response["status"].as_u64().context("status")?)?,
                answer: match response["body_base64"].as_str() {
                    Some(coded) => String::from_utf8_lossy(&STANDARD.decode(coded)?).into_owned(),
                    None => text(&response["body"]),
                },
            })
        })
        .collect()
}

/// Objects that a recording is about, as the start of their paths.
fn objects(name: &str) -> anyhow::Result<BTreeSet<String>> {
    let paths = exchanges(name)?.into_iter().map(|exchange| exchange.path);
    let objects = paths.filter_map(|path| {
        let parts: Vec<&str> = path.split(['/', '?']).collect();
        (path.starts_with("/api/object/path/") && parts.len() > 6).then(|| parts[..7].join("/"))
    });
    Ok(objects.collect())
}

fn ask(cluster: &Cluster, exchange: &Exchange) -> anyhow::Result<(u16, String)> {
    let mut stream = UnixStream::connect(cluster.socket(&exchange.node))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let kind =
        exchange.content_type.as_ref().map(|kind| format!("Content-Type: {kind}\r\n")).unwrap_or_default();
    write!(
        stream,
        "{} {} HTTP/1.0\r\nHost: localhost\r\n{kind}Content-Length: {}\r\n\r\n",
        exchange.method,
        exchange.path.replace(' ', "%20"),
        exchange.body.len()
    )?;
    stream.write_all(&exchange.body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok((status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

/// The part of a text from where another one begins to differ.
fn from_difference(text: &str, other: &str) -> String {
    let n_same = text.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    text.chars().skip(n_same.saturating_sub(40)).take(300).collect()
}

/// What two answers have in common if they say the same.
fn masked(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            mask(&mut value);
            value.to_string()
        }
        Err(_) => {
            let lines = text.trim_end().lines();
            lines
                .map(|line| if line.starts_with("id = ") { "id = masked" } else { line })
                .collect::<Vec<_>>()
                .join("\n")
        }
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                let is_volatile =
                    matches!(name.as_str(), "csum" | "node" | "id" | "orchestration_id" | "session_id");
                if is_volatile || name.ends_with("_at") {
                    *value = "masked".into();
                } else if let Some(text) = value.as_str().filter(|text| text.starts_with("error: code=")) {
                    // The words of the daemon's parser.
                    *value = text.split(", message").next().unwrap_or_default().into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(mask);
            items.sort_by_key(ToString::to_string);
        }
        _ => {}
    }
}

#[test]
fn recorded_exchanges_are_reproduced() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut different = Vec::new();
    let mut n_exchanges = 0;
    for (n, (name, before)) in REPLAYED.iter().enumerate() {
        let folder = tempfile::tempdir()?;
        let spec = Spec {
            name: "blue".to_owned(),
            n_nodes: 3,
            folder: folder.path().to_owned(),
            base: 60 + 4 * u8::try_from(n)?,
            delays: Delays { debounce: Duration::from_millis(5), ..Delays::none() },
        };
        let cluster = {
            let _inside = runtime.enter();
            Cluster::start(&spec)?
        };
        if let Some(before) = before {
            for object in objects(name)? {
                let create = Exchange {
                    node: "n1".to_owned(),
                    method: "POST".to_owned(),
                    path: format!("{object}/config/file"),
                    body: before.as_bytes().to_vec(),
                    content_type: None,
                    status: 204,
                    answer: String::new(),
                };
                ensure!(ask(&cluster, &create)?.0 == create.status);
            }
            std::thread::sleep(Duration::from_millis(60));
        }
        // An answer that was cut off on the way says nothing.
        for (at, exchange) in exchanges(name)?
            .iter()
            .enumerate()
            .filter(|(_, exchange)| exchange.status > 0)
            .filter(|(at, _)| !OUT_OF_SCOPE.iter().any(|(of, out, _)| of == name && out == at))
        {
            let (status, answer) = ask(&cluster, exchange)?;
            n_exchanges += 1;
            if (status, masked(&answer)) != (exchange.status, masked(&exchange.answer)) {
                different.push(format!(
                    "{name} #{at} {} {}\n   real: {} {}\n  ours: {status} {}",
                    exchange.method,
                    exchange.path,
                    exchange.status,
                    from_difference(&masked(&exchange.answer), &masked(&answer)),
                    from_difference(&masked(&answer), &masked(&exchange.answer))
                ));
            }
            // The recording waited for what it had written.
            std::thread::sleep(Duration::from_millis(30));
        }
    }
    ensure!(different.is_empty(), "{} of {n_exchanges} differ:\n{}", different.len(), different.join("\n"));
    Ok(())
}
