//! Whether two answers say the same: times, identifiers, checksums and figures of a machine are masked.

use serde_json::Value;

use crate::exchange::{Answer, Exchange, Expected};

/// What differs, in words.
pub fn difference(exchange: &Exchange, answer: &Answer, dns: &str) -> Option<String> {
    let (real, ours) = match &exchange.answer {
        Expected::Whole(text) => (masked(text), masked(&answer.body.replace(dns, DNS))),
        // How it begins: the kind of body.
        Expected::Start(text) => {
            let kind = |text: &str| text.chars().next().map(|first| if first == 'e' { 'e' } else { first });
            let is_stream = exchange.path.contains("/daemon/event");
            let ours = if is_stream && answer.body.is_empty() { kind(text) } else { kind(&answer.body) };
            (format!("{:?}", kind(text)), format!("{ours:?}"))
        }
    };
    // What happens while a stream is open is not the same each time.
    if exchange.path.contains("/daemon/event") && exchange.status == 200 && answer.status == 200 {
        let is_events = answer.body.is_empty() || answer.body.starts_with("event: ");
        return (!is_events).then(|| format!("   no events: {}", answer.body));
    }
    let is_same = exchange.status == answer.status && real == ours;
    (!is_same).then(|| {
        format!(
            "   real: {} {}\n   ours: {} {}",
            exchange.status,
            from_difference(&real, &ours),
            answer.status,
            from_difference(&ours, &real)
        )
    })
}

/// The part of a text from where another one begins to differ.
fn from_difference(text: &str, other: &str) -> String {
    let n_same = text.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    text.chars().skip(n_same.saturating_sub(60)).take(300).collect()
}

/// What two answers have in common if they say the same.
pub fn masked(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            if value["kind"] == "DataKeyList" {
                // Any node of the scope may have answered.
                for item in value["items"].as_array_mut().into_iter().flatten() {
                    item["node"] = "masked".into();
                }
            }
            mask(&mut value);
            value.to_string()
        }
        Err(_) => {
            let of = |line: &str| {
                let is_id = line.starts_with("id = ");
                let is_sealed = line.contains(" = crypt:");
                match line.split_once(" = ") {
                    Some((name, value)) if is_id || is_sealed => {
                        format!("{name} = masked {}", if is_id { 0 } else { value.len() })
                    }
                    _ => line.to_owned(),
                }
            };
            text.trim_end().lines().map(of).collect::<Vec<_>>().join("\n")
        }
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // Of a pool.
            if map.contains_key("volume_count") {
                map.insert("size".to_owned(), "masked".into());
            }
            for (name, value) in map.iter_mut() {
                let is_volatile =
                    VOLATILE.contains(&name.as_str()) || name.ends_with("_at") || name.ends_with("_token");
                if is_volatile {
                    *value = "masked".into();
                } else if matches!(name.as_str(), "dns" | "nameservers") && value.is_array() {
                    // The recordings were made before and after the cluster had a name server.
                    *value = "masked".into();
                } else if let Some(text) = value.as_str() {
                    let text = text.split(", message").next().unwrap_or_default();
                    *value = without_identifiers(text).into();
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

/// A text with its identifiers masked.
fn without_identifiers(text: &str) -> String {
    let is_identifier = |word: &str| {
        word.len() == 36 && word.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-')
    };
    // The weight of a server is the score of its node.
    let text = if text.starts_with("0 70 ") { text.replacen("0 70 ", "0 71 ", 1) } else { text.to_owned() };
    let words = text.split(' ').map(|word| if is_identifier(word) { "masked" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Members that differ each time, or from machine to machine.
const VOLATILE: &[&str] = &[
    "csum",
    "id",
    "orchestration_id",
    "session_id",
    "mtime",
    "free",
    "used",
    "load_15m",
    "mem_avail",
    "mem_total",
    "score",
    "gen",
    "prkey",
    "pid",
    "routines",
    "patch_length",
    "is_beating",
    "addr",
];
const DNS: &str = "10.99.0.1";
