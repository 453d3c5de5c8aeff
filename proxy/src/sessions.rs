//! Sessions: a client that was answered by an endpoint stays with it. Nothing is kept here: what the client sends back
//! names its back end and endpoint, sealed with a key that all nodes of the gateway share, so that nobody reads an address
//! in it or makes one up.

use std::io::Write as _;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::fill;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use igw_crds::snapshot::{self, SessionCarrier};
use sha2::{Digest as _, Sha256};

use crate::clock;

/// Seals the sessions of a gateway.
pub(crate) struct SessionKey(LessSafeKey);

/// Where a session leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Identity of the back end.
    pub(crate) backend: u64,
    /// Identity of the endpoint.
    pub(crate) endpoint: u64,
}

/// What a rule says of sessions.
pub(crate) struct SessionRule {
    carrier: Carrier,
    timeout_s: u32,
    /// What a token is bound to: it means nothing to another rule.
    label: Vec<u8>,
}

enum Carrier {
    Cookie { name: String, attributes: String },
    Header { name: String },
}

// === impl SessionKey ===

impl SessionKey {
    /// Reads the key that came beside a snapshot.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find(|line| !line.starts_with('-'))?;
        let bytes = STANDARD.decode(line).ok()?;
        Some(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &bytes).ok()?)))
    }
}

// === impl Session ===

impl Session {
    pub(crate) fn new(backend: u64, endpoint: u64) -> Self {
        Self { backend, endpoint }
    }
}

// === impl SessionRule ===

impl SessionRule {
    pub(crate) fn new(session: &snapshot::Session, route: &str, rule: &str) -> Self {
        let label = format!("{route}/{rule}").into_bytes();
        let timeout_s = u32::try_from(session.timeout_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
        let carrier = match &session.carrier {
            SessionCarrier::Header { name } => Carrier::Header { name: name.clone() },
            SessionCarrier::Cookie { name, path, permanent } => {
                let unique = || format!("igw-{:08x}", identity(&format!("{route}/{rule}")) as u32);
                let mut attributes = format!("; Path={path}; HttpOnly");
                if *permanent {
                    // Writing to a string cannot fail. The gateway keeps the time too.
                    let _ =
                        std::fmt::Write::write_fmt(&mut attributes, format_args!("; Max-Age={timeout_s}"));
                }
                Carrier::Cookie { name: name.clone().unwrap_or_else(unique), attributes }
            }
        };
        Self { carrier, timeout_s, label }
    }

    /// Name of the field of answers that carries a new session.
    pub(crate) fn field(&self) -> &[u8] {
        match &self.carrier {
            Carrier::Cookie { .. } => b"set-cookie",
            Carrier::Header { name } => name.as_bytes(),
        }
    }

    /// The session of a request, where it brings one that this rule made and that lives still. `fields` lends the values
    /// of a field.
    pub(crate) fn find(
        &self,
        key: &SessionKey,
        fields: impl FnOnce(&str, &mut dyn FnMut(&[u8])),
    ) -> Option<Session> {
        let mut found = None;
        match &self.carrier {
            Carrier::Header { name } => {
                fields(name, &mut |value| found = found.or_else(|| self.open(key, value)))
            }
            Carrier::Cookie { name, .. } => fields("cookie", &mut |value| {
                for token in cookies(value, name.as_bytes()) {
                    found = found.or_else(|| self.open(key, token));
                }
            }),
        }
        found
    }

    /// Appends the value of the field that carries a new session.
    pub(crate) fn write(&self, key: &SessionKey, session: Session, is_secure: bool, out: &mut Vec<u8>) {
        let mut token = [0; TOKEN_BYTES];
        if self.seal(key, session, &mut token).is_none() {
            return;
        }
        let mut text = [0; TOKEN_CHARS];
        let Ok(n_chars) = URL_SAFE_NO_PAD.encode_slice(token, &mut text) else { return };
        let text = text.get(..n_chars).unwrap_or_default();
        match &self.carrier {
            Carrier::Header { .. } => out.extend_from_slice(text),
            Carrier::Cookie { name, attributes } => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "{name}=");
                out.extend_from_slice(text);
                out.extend_from_slice(attributes.as_bytes());
                if is_secure {
                    out.extend_from_slice(b"; Secure");
                }
            }
        }
    }

    fn seal(&self, key: &SessionKey, session: Session, token: &mut [u8; TOKEN_BYTES]) -> Option<()> {
        let (nonce, rest) = token.split_first_chunk_mut::<NONCE_LEN>()?;
        fill(nonce).ok()?;
        let (content, tag) = rest.split_first_chunk_mut::<CONTENT_BYTES>()?;
        content[..4].copy_from_slice(&now_s().to_be_bytes());
        content[4..12].copy_from_slice(&session.backend.to_be_bytes());
        content[12..].copy_from_slice(&session.endpoint.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let made = key.0.seal_in_place_separate_tag(nonce, Aad::from(&self.label), content).ok()?;
        tag.copy_from_slice(made.as_ref());
        Some(())
    }

    fn open(&self, key: &SessionKey, text: &[u8]) -> Option<Session> {
        if text.len() != TOKEN_CHARS {
            return None;
        }
        let mut token = [0; TOKEN_BYTES];
        let n_bytes = URL_SAFE_NO_PAD.decode_slice(text, &mut token).ok()?;
        let (nonce, sealed) = token.get_mut(..n_bytes)?.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let content = key.0.open_in_place(nonce, Aad::from(&self.label), sealed).ok()?;
        let (begun, content) = content.split_first_chunk::<4>()?;
        let (backend, content) = content.split_first_chunk::<8>()?;
        let endpoint = content.first_chunk::<8>()?;
        let age = now_s().saturating_sub(u32::from_be_bytes(*begun));
        let is_alive = self.timeout_s == 0 || age < self.timeout_s;
        is_alive.then(|| Session::new(u64::from_be_bytes(*backend), u64::from_be_bytes(*endpoint)))
    }
}

/// What stands for a name in sessions, in every process.
pub(crate) fn identity(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Values of the cookies of a name (RFC 6265 4.2.1).
fn cookies<'v>(value: &'v [u8], name: &[u8]) -> impl Iterator<Item = &'v [u8]> {
    value.split(|byte| *byte == b';').filter_map(move |pair| {
        let rest = pair.trim_ascii().strip_prefix(name)?;
        rest.strip_prefix(b"=")
    })
}

fn now_s() -> u32 {
    u32::try_from(clock::wall().as_secs()).unwrap_or(u32::MAX)
}

/// When it began, back end, endpoint.
const CONTENT_BYTES: usize = 4 + 8 + 8;
const TAG_BYTES: usize = 16;
const TOKEN_BYTES: usize = NONCE_LEN + CONTENT_BYTES + TAG_BYTES;
/// The same in base64.
const TOKEN_CHARS: usize = TOKEN_BYTES * 4 / 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SessionKey {
        let text = STANDARD.encode([byte; 32]);
        SessionKey::parse(&format!(
            "-----BEGIN IGW SESSION KEY-----\n{text}\n-----END IGW SESSION KEY-----\n"
        ))
        .unwrap()
    }

    fn rule(name: &str, carrier: SessionCarrier, timeout_ms: u64) -> SessionRule {
        SessionRule::new(&snapshot::Session { carrier, timeout_ms }, "ns/route", name)
    }

    fn cookie(name: Option<&str>, permanent: bool) -> SessionCarrier {
        SessionCarrier::Cookie { name: name.map(str::to_owned), path: "/shop".to_owned(), permanent }
    }

    fn written(rule: &SessionRule, key: &SessionKey, is_secure: bool) -> String {
        let mut out = Vec::new();
        rule.write(key, Session::new(1, 2), is_secure, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn found(rule: &SessionRule, key: &SessionKey, field: &str, value: &str) -> Option<Session> {
        rule.find(key, |name, each| {
            if name == field {
                each(value.as_bytes());
            }
        })
    }

    #[test]
    fn what_was_sealed_is_found_by_its_rule_and_key_alone() {
        let (one, two) = (rule("0", cookie(None, false), 0), rule("1", cookie(None, false), 0));
        let text = written(&one, &key(1), false);
        let (pair, attributes) = text.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/shop; HttpOnly");
        assert!(pair.starts_with("igw-") && !written(&two, &key(1), false).starts_with(&pair[..12]));
        let with_others = format!("a=b; {pair};c=d");
        assert_eq!(found(&one, &key(1), "cookie", &with_others), Some(Session::new(1, 2)));
        assert_eq!(found(&one, &key(2), "cookie", pair), None, "another key");
        let renamed = format!("igw-{:08x}{}", identity("ns/route/1") as u32, &pair[12..]);
        assert_eq!(found(&two, &key(1), "cookie", &renamed), None, "another rule");
        assert_ne!(written(&one, &key(1), false), text, "no two are alike");
    }

    #[test]
    fn a_byte_that_changed_makes_it_nothing() {
        let one = rule("0", SessionCarrier::Header { name: "x-session".to_owned() }, 0);
        let text = written(&one, &key(1), true);
        assert_eq!(
            (text.len(), found(&one, &key(1), "x-session", &text)),
            (TOKEN_CHARS, Some(Session::new(1, 2)))
        );
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(found(&one, &key(1), "x-session", &changed), None, "{at}");
            assert_eq!(found(&one, &key(1), "x-session", &text[..at]), None);
        }
    }

    #[test]
    fn cookies_tell_how_long_they_live_and_whether_they_are_secure() {
        let one = rule("0", cookie(Some("sid"), true), 90_000);
        assert!(written(&one, &key(1), true).ends_with("; Path=/shop; HttpOnly; Max-Age=90; Secure"));
        assert!(written(&one, &key(1), true).starts_with("sid="));
    }
}
