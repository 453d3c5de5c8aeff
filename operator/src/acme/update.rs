//! Records in DNS by updates (RFC 2136) that are signed (RFC 8945, hmac-sha256), over TCP.
//!
//! Of the answer its number and its code are read, and nothing else is believed.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The key of updates.
pub struct Key {
    name: Vec<u8>,
    secret: hmac::Key,
}

/// A record of text and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is added.
    Add,
    /// It is removed; others of the same name stay.
    Remove,
}

/// One update.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// Zone.
    pub zone: &'a str,
    /// Name of the record.
    pub name: &'a str,
    /// Text of the record.
    pub text: &'a str,
    /// What is done.
    pub change: Change,
}

// === impl Key ===

impl Key {
    /// A key by its name and its secret in base64.
    ///
    /// # Errors
    /// Says what is wrong, without a byte of the secret.
    pub fn new(name: &str, secret: &SecretString) -> Result<Self, String> {
        let compact: String = secret.expose_secret().split_whitespace().collect();
        let bytes = STANDARD.decode(compact).map_err(|_| {
            "is not base64; write the secret as the name server's configuration has it".to_owned()
        })?;
        Ok(Self { name: wire(name)?, secret: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }
}

/// Changes a record at the longest zone that the server takes the update for, or at the one that is named.
///
/// # Errors
/// Says what the server answered, or that it did not.
pub async fn change(
    server: SocketAddr,
    key: &Key,
    zone: Option<&str>,
    name: &str,
    text: &str,
    change: Change,
) -> Result<(), String> {
    let mut refused = String::new();
    for zone in zones(zone, name) {
        let update = Update { zone, name, text, change };
        let id = rand::random();
        let message = message(&update, key, id, Timestamp::now())?;
        let code = match tokio::time::timeout(TIMEOUT, exchange(server, &message, id)).await {
            Ok(code) => code.map_err(|error| format!("name server {server}: {error}"))?,
            Err(_) => return Err(format!("name server {server} does not answer")),
        };
        match code {
            0 => return Ok(()),
            // It is not the one for this zone; a shorter one may be its own.
            code => {
                refused = format!("name server {server} refuses the update of zone {zone}: {}", words(code))
            }
        }
    }
    Err(refused)
}

/// Zones to try, the longest first.
fn zones<'a>(zone: Option<&'a str>, name: &'a str) -> Vec<&'a str> {
    if let Some(zone) = zone {
        return vec![zone];
    }
    let above = std::iter::successors(name.split_once('.').map(|(_, rest)| rest), |name| {
        name.split_once('.').map(|(_, rest)| rest)
    });
    above.collect()
}

async fn exchange(server: SocketAddr, message: &[u8], id: u16) -> std::io::Result<u8> {
    let malformed = || std::io::Error::other("the answer is no answer to the update");
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(|_| std::io::Error::other("the update is too long"))?;
    let framed = [&length.to_be_bytes()[..], message].concat();
    stream.write_all(&framed).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    match answer[..] {
        [high, low, flags, code, ..] if u16::from_be_bytes([high, low]) == id && flags & 0x80 != 0 => {
            Ok(code & 0x0f)
        }
        _ => Err(malformed()),
    }
}

/// The bytes of an update, signed.
fn message(update: &Update<'_>, key: &Key, id: u16, now: Timestamp) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let header = [id, OPCODE_UPDATE, 1, 0, 1, 0];
    bytes.extend(header.iter().flat_map(|word| word.to_be_bytes()));
    bytes.extend(wire(update.zone)?);
    bytes.extend([TYPE_SOA, CLASS_IN].iter().flat_map(|word| word.to_be_bytes()));
    bytes.extend(wire(update.name)?);
    let (class, ttl) = match update.change {
        Change::Add => (CLASS_IN, TTL),
        Change::Remove => (CLASS_NONE, 0),
    };
    bytes.extend([TYPE_TXT, class].iter().flat_map(|word| word.to_be_bytes()));
    bytes.extend(ttl.to_be_bytes());
    let n_text = u8::try_from(update.text.len()).map_err(|_| "the text is too long".to_owned())?;
    bytes.extend((u16::from(n_text) + 1).to_be_bytes());
    bytes.push(n_text);
    bytes.extend(update.text.as_bytes());
    Ok(signed(bytes, key, id, now))
}

/// Appends the signature (RFC 8945 4.2, 4.3.3).
fn signed(mut bytes: Vec<u8>, key: &Key, id: u16, now: Timestamp) -> Vec<u8> {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0).to_be_bytes();
    let time = &seconds[2..];
    let head = [&CLASS_ANY.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    let fudge = FUDGE.to_be_bytes();
    // No error, no other data.
    let nothing = [0; 4];
    let algorithm = ALGORITHM;
    let variables = [&key.name[..], &head, algorithm, time, &fudge, &nothing].concat();
    let tag = hmac::sign(&key.secret, &[&bytes[..], &variables].concat());
    let tag = tag.as_ref();
    // A tag has 32 bytes.
    let n_tag = u16::try_from(tag.len()).unwrap_or(0).to_be_bytes();
    let content = [algorithm, time, &fudge, &n_tag, tag, &id.to_be_bytes(), &nothing].concat();
    let n_content = u16::try_from(content.len()).unwrap_or(0).to_be_bytes();
    bytes.extend([&key.name[..], &TYPE_TSIG.to_be_bytes(), &head, &n_content, &content].concat());
    if let Some(n_additional) = bytes.get_mut(11) {
        *n_additional = 1;
    }
    bytes
}

/// A name as messages have it, in lower case (RFC 1035 3.1).
fn wire(name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        match u8::try_from(label.len()) {
            Ok(n_label @ 1..=63) => {
                bytes.push(n_label);
                bytes.extend(label.to_ascii_lowercase().bytes());
            }
            _ => return Err(format!("`{name}` is no domain name")),
        }
    }
    bytes.push(0);
    if bytes.len() > 255 { Err(format!("`{name}` is too long")) } else { Ok(bytes) }
}

/// Response codes in words (RFC 2136 2.2, RFC 8945 5).
fn words(code: u8) -> String {
    match code {
        1 => "it cannot read it (FORMERR)".to_owned(),
        2 => "it failed (SERVFAIL)".to_owned(),
        4 => "it takes no updates (NOTIMP)".to_owned(),
        5 => "this key may not change this name (REFUSED)".to_owned(),
        9 => {
            "it does not serve the zone, or does not know the key, or the clocks differ (NOTAUTH)".to_owned()
        }
        10 => "the name is not in the zone (NOTZONE)".to_owned(),
        code => format!("code {code}"),
    }
}

const OPCODE_UPDATE: u16 = 5 << 11;
const TYPE_SOA: u16 = 6;
const TYPE_TXT: u16 = 16;
const TYPE_TSIG: u16 = 250;
const CLASS_IN: u16 = 1;
const CLASS_NONE: u16 = 254;
const CLASS_ANY: u16 = 255;
/// `hmac-sha256.`
const ALGORITHM: &[u8] = b"\x0bhmac-sha256\x00";
/// Seconds by which clocks may differ.
const FUDGE: u16 = 300;
/// Life of records in caches, in seconds.
const TTL: u32 = 60;
const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_has_its_parts_in_order() {
        let key = Key::new("Key.Test.", &"c2VjcmV0".to_owned().into()).unwrap();
        let update =
            Update { zone: "a.test", name: "_acme-challenge.a.test", text: "xyz", change: Change::Add };
        let now = Timestamp::from_second(1_000_000).unwrap();
        let bytes = message(&update, &key, 0x1234, now).unwrap();
        assert_eq!(bytes[..12], [0x12, 0x34, 0x28, 0, 0, 1, 0, 0, 0, 1, 0, 1]);
        assert_eq!(bytes[12..24], *b"\x01a\x04test\x00\x00\x06\x00\x01");
        let text = b"\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x04\x03xyz";
        assert!(bytes.windows(text.len()).any(|window| window == text));
        let name = b"\x03key\x04test\x00\x00\xfa\x00\xff";
        assert!(bytes.windows(name.len()).any(|window| window == name));
        let removed = message(&Update { change: Change::Remove, ..update }, &key, 1, now).unwrap();
        let text = b"\x00\x10\x00\xfe\x00\x00\x00\x00\x00\x04\x03xyz";
        assert!(removed.windows(text.len()).any(|window| window == text));
    }

    #[test]
    fn names_and_zones() {
        assert_eq!(zones(None, "_acme-challenge.a.b.test"), ["a.b.test", "b.test", "test"]);
        assert_eq!(zones(Some("z"), "a.b"), ["z"]);
        for name in ["", "a..b", &"x".repeat(64), &["abcdefg"; 40].join(".")] {
            assert!(wire(name).is_err(), "{name}");
        }
        assert!(Key::new("k", &"not base64!".to_owned().into()).is_err());
    }
}
