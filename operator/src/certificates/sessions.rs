//! Keys that seal the sessions of gateways: one secret, from which each gateway's key is derived, so that a proxy holds
//! its own alone and every node and every restart has the same.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::fill;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use igw_crds::snapshot::Snapshot;
use secrecy::{ExposeSecret as _, SecretBox};
use tracing::warn;

/// What keys are derived from.
#[derive(Debug)]
pub struct SessionSecret(Option<SecretBox<[u8]>>);

// === impl SessionSecret ===

impl SessionSecret {
    /// The secret that lies in a file, or a new one, which is written there. A file that cannot be written costs sessions
    /// with the next start.
    #[must_use]
    pub fn keep(file: &Path, write: impl FnOnce(&Path, &[u8]) -> io::Result<()>) -> Self {
        if let Ok(bytes) = std::fs::read(file)
            && bytes.len() >= SECRET_BYTES
        {
            return Self(Some(SecretBox::from(bytes)));
        }
        let mut bytes = vec![0; SECRET_BYTES];
        if fill(&mut bytes).is_err() {
            warn!("the system has no randomness: no session stays with its endpoint");
            return Self(None);
        }
        if let Err(error) = write(file, &bytes) {
            warn!(file = %file.display(), %error, "the secret of sessions cannot be written; they end with this run");
        }
        Self(Some(SecretBox::from(bytes)))
    }

    /// The secret that follows from another one.
    #[must_use]
    pub fn of(other: &str) -> Self {
        let key = hmac::Key::new(HMAC_SHA256, other.as_bytes());
        Self(Some(SecretBox::from(hmac::sign(&key, b"igw sessions").as_ref().to_vec())))
    }

    /// Adds the keys that the gateways of a snapshot need, by name, in PEM.
    pub fn add_keys(&self, snapshot: &Snapshot, keys: &mut BTreeMap<String, String>) {
        let Some(secret) = &self.0 else { return };
        let secret = hmac::Key::new(HMAC_SHA256, secret.expose_secret());
        for (name, gateway) in snapshot.session_keys() {
            let key = STANDARD.encode(hmac::sign(&secret, gateway.as_bytes()));
            keys.insert(
                name,
                format!("-----BEGIN IGW SESSION KEY-----\n{key}\n-----END IGW SESSION KEY-----\n"),
            );
        }
    }
}

const SECRET_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use igw_crds::snapshot::Snapshot;

    use super::*;

    fn keys(secret: &SessionSecret) -> BTreeMap<String, String> {
        let snapshot: Snapshot = serde_json::from_value(serde_json::json!({
            "cluster": "c", "backends": [], "resolvers": [],
            "gateways": [{
                "namespace": "a", "name": "g", "addresses": [], "settings": {},
                "listeners": [{"name": "l", "port": 80, "protocol": "HTTP", "hostname": null, "attachments": [{"route": 0, "hosts": []}]}],
            }],
            "routes": [{"kind": "HTTPRoute", "namespace": "a", "name": "r", "rules": [{
                "matches": [], "action": {"type": "Forward", "backends": []},
                "session": {"carrier": {"type": "Header", "name": "x-session"}},
            }]}],
        }))
        .unwrap();
        let mut keys = BTreeMap::new();
        secret.add_keys(&snapshot, &mut keys);
        keys
    }

    #[test]
    fn the_same_secret_makes_the_same_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let first = keys(&SessionSecret::keep(&file, |file, bytes| std::fs::write(file, bytes)));
        let again = keys(&SessionSecret::keep(&file, |_, _| Err(io::Error::other("read only"))));
        assert_eq!(first.len(), 1);
        assert_eq!(first, again);
        assert_ne!(first, keys(&SessionSecret::of("another")));
        assert_eq!(keys(&SessionSecret::of("one")), keys(&SessionSecret::of("one")));
    }
}
