//! Every exchange recorded from a real daemon, replayed: the call that belongs to it sends exactly that request, and
//! makes of that answer what `table.txt` says. `IGW_BLESS=1` writes that table anew, to be read before it is kept.

mod exchange;
mod replay;
#[path = "../served/mod.rs"]
mod served;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use igw_opensvc::{
    Budget, Client, Credentials, Event, EventKind, Frame, Origin, Parsed, Received, Settings, SseParser,
    Target, Trust,
};
use secrecy::SecretString;
use serde_json::Value;

use exchange::{Exchange, folder};
use replay::replay;
use served::{Asked, Served};

fn table() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/table.txt")
}

fn files(ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Asserts that the request is the recorded one.
fn assert_same(exchange: &Exchange, asked: &Asked) {
    let place = format!("{} {}", exchange.file, exchange.index);
    assert_eq!(asked.method, exchange.method, "{place}");
    assert_eq!(asked.segments(), exchange.segments, "{place}");
    assert_eq!(asked.parameters(), exchange.parameters, "{place}");
    assert_eq!(asked.header("x-forwarded-for"), None, "{place}");
    for name in ["content-type", "accept", "if-modified-since"] {
        if let Some(value) = exchange.headers.get(name) {
            assert_eq!(asked.header(name), Some(value.as_str()), "{place}: {name}");
        }
    }
    if exchange.listener == "tcp" {
        let scheme = |header: Option<&str>| header.map(|header| header.split(' ').next().map(str::to_owned));
        let wanted = exchange.headers.get("authorization").map(String::as_str);
        assert_eq!(scheme(asked.header("authorization")), scheme(wanted), "{place}: authorization");
    }
    match exchange.left_out {
        Some(size) => assert!(asked.body.len() >= size, "{place}: {} bytes", asked.body.len()),
        None => assert_eq!(comparable(&asked.body), comparable(&exchange.body), "{place}"),
    }
}

/// JSON is compared as such, values of keys as bytes: the client writes them all in base64.
fn comparable(body: &[u8]) -> Value {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else {
        return Value::String(String::from_utf8_lossy(body).into_owned());
    };
    for item in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(Value::String(text)) = item.remove("string") {
            item.entry("bytes").or_insert_with(|| Value::String(STANDARD.encode(text)));
        }
    }
    value
}

fn client_for(served: &Served, exchange: &Exchange) -> anyhow::Result<Client> {
    let settings =
        Settings { budget: Some(Budget::new(10_000, 10_000)), limited_tries: 1, ..Settings::default() };
    if exchange.listener == "unix" {
        return Ok(Client::connect_with(Target::Unix(served.socket.clone()), &settings)?);
    }
    let secret = || SecretString::from("eyJ.SCRUBBED.TOKEN");
    let header = exchange.headers.get("authorization").map(String::as_str).unwrap_or_default();
    let credentials = match header.split(' ').next() {
        Some("Bearer") => Credentials::Token { access: secret(), refresh: None },
        Some("Basic") => Credentials::Basic { user: "adm1".to_owned(), password: secret() },
        _ => Credentials::Anonymous,
    };
    let target = Target::Tcp {
        url: format!("https://{}", served.address),
        trust: Trust::AuthorityPem(served.authority.ca.clone()),
        server_name: Some("n1".to_owned()),
        credentials,
    };
    Ok(Client::connect_with(target, &settings)?)
}

#[tokio::test]
async fn every_recorded_exchange_is_sent_and_understood() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let mut clients: BTreeMap<(String, String), Client> = BTreeMap::new();
    let (mut found, mut n_raw, mut n_exchanges) = (String::new(), 0, 0);
    for path in files("json")? {
        let file = path.file_name().and_then(|name| name.to_str()).context("name")?.to_owned();
        let recorded: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        for (index, recorded) in recorded["exchanges"].as_array().context("exchanges")?.iter().enumerate() {
            let exchange = Exchange::read(&file, index, recorded)?;
            let refused = recorded["response"]["transport_error"].as_str().is_some_and(|e| e.contains("(7)"));
            let header = exchange.headers.get("authorization").cloned().unwrap_or_default();
            let scheme = header.split(' ').next().unwrap_or_default().to_owned();
            let client = match clients.get(&(exchange.listener.clone(), scheme.clone())) {
                Some(client) => client.clone(),
                None => client_for(&served, &exchange)?,
            };
            clients.insert((exchange.listener.clone(), scheme), client.clone());
            served.will_answer(exchange.reply.clone());
            let outcome = if refused {
                let nowhere = Client::connect(Target::Unix(served.socket.with_extension("gone")))?;
                replay(&nowhere, &exchange).await
            } else {
                replay(&client, &exchange).await
            };
            let asked = served.take_asked();
            if !refused {
                assert!(!asked.is_empty(), "{file} {index}: nothing was sent");
                for asked in &asked {
                    assert_same(&exchange, asked);
                }
            }
            served.clear();
            n_exchanges += 1;
            n_raw += usize::from(outcome.call == "raw");
            writeln!(found, "{} {index} {} {}: {}", file, exchange.method, outcome.call, outcome.text)?;
        }
    }
    if std::env::var_os("IGW_BLESS").is_some() {
        std::fs::write(table(), &found)?;
    }
    let kept = std::fs::read_to_string(table())?;
    for (found, kept) in found.lines().zip(kept.lines()) {
        assert_eq!(found, kept);
    }
    assert_eq!(found.lines().count(), kept.lines().count());
    assert!(n_exchanges > 500, "{n_exchanges}");
    assert!(n_raw < 60, "{n_raw} of {n_exchanges} are sent raw");
    Ok(())
}

/// The raw stream of a recording: what follows the first empty line.
fn stream_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read_to_string(path)?;
    let (_, stream) = text.split_once("\n\n").context("an empty line")?;
    Ok(format!("{stream}\n\n").into_bytes())
}

fn events_of(path: &Path) -> anyhow::Result<Vec<(Frame, Received)>> {
    let mut events = Vec::new();
    for parsed in SseParser::new().push(&stream_of(path)?) {
        let Parsed::Frame(frame) = parsed else { anyhow::bail!("{}: too large", path.display()) };
        let received = Received::parse(&frame).with_context(|| {
            format!("{}: {} {}", path.display(), frame.name, String::from_utf8_lossy(&frame.body))
        })?;
        events.push((frame, received));
    }
    Ok(events)
}

/// Kinds of which the name says it all, or that no controller needs.
const PLAIN: [&str; 18] = [
    "ConfigFileRemoved",
    "ConfigFileUpdated",
    "Exec",
    "HeartbeatStale",
    "InstanceConfigDeleted",
    "InstanceConfigDeleting",
    "InstanceConfigManagerDone",
    "InstanceMonitorDeleted",
    "InstanceStatusDeleted",
    "InstanceStatusPost",
    "NodeAlive",
    "NodeStale",
    "ObjectCreated",
    "ObjectDeleted",
    "ObjectStatusDeleted",
    "ObjectStatusDone",
    "SetInstanceMonitor",
    "SetInstanceMonitorRefused",
];

#[test]
fn every_recorded_event_is_understood() -> anyhow::Result<()> {
    let mut n_by_kind: BTreeMap<String, usize> = BTreeMap::new();
    for path in files("sse")? {
        let text = String::from_utf8(stream_of(&path)?)?;
        let events = events_of(&path)?;
        let n_written = text.lines().filter(|line| line.starts_with("event:")).count();
        assert_eq!(events.len(), n_written, "{}", path.display());
        for (frame, received) in events {
            let about_object = !frame.name.starts_with("Node") && !frame.name.starts_with("Heartbeat");
            assert_eq!(received.path.is_some(), about_object, "{}: {}", path.display(), frame.name);
            let kind = EventKind::of(&received.event);
            if let Event::Plain(kind) = &received.event {
                assert!(PLAIN.contains(&kind.as_str()), "{}: {kind} lost its body", path.display());
            }
            // Deletions of records are told as changes.
            if frame.name != "ZoneRecordDeleted" {
                assert_eq!(kind.as_str(), frame.name);
            }
            *n_by_kind.entry(frame.name).or_default() += 1;
        }
    }
    for (kind, n) in [
        ("InstanceConfigUpdated", 66),
        ("ObjectDeleted", 5),
        ("ObjectOrchestrationEnd", 25),
        ("NodeStale", 2),
    ] {
        assert_eq!(n_by_kind.get(kind), Some(&n), "{kind}");
    }
    Ok(())
}

#[test]
fn a_replay_ignores_namespaces_and_says_that_it_is_one() -> anyhow::Result<()> {
    let events = events_of(&folder().join("22-sse-replay-filters.sse"))?;
    assert!(events.iter().all(|(_, received)| received.origin == Origin::Replay));
    let is_elsewhere =
        |received: &Received| received.path.as_ref().is_some_and(|path| path.namespace() != "edge");
    assert!(events.iter().any(|(_, received)| is_elsewhere(received)));
    Ok(())
}

#[test]
fn the_end_of_an_orchestration_may_carry_an_id_that_nobody_has() -> anyhow::Result<()> {
    let events = events_of(&folder().join("35-sse-svc-orchestration-id-swap.sse"))?;
    let ids = |wanted: fn(&Event) -> Option<&String>| -> Vec<String> {
        events.iter().filter_map(|(_, received)| wanted(&received.event)).cloned().collect()
    };
    let accepted = ids(|event| match event {
        Event::OrchestrationAccepted { id, .. } => Some(id),
        _ => None,
    });
    let ended = ids(|event| match event {
        Event::OrchestrationEnd { id, .. } => Some(id),
        _ => None,
    });
    assert!(accepted.len() >= 2, "{accepted:?}");
    assert!(ended.first().is_some_and(|id| Some(id) != accepted.first()), "{accepted:?} {ended:?}");
    Ok(())
}
