//! What a directory cannot remember: identity, creation time and generation of each object, and the epoch.
//!
//! An object keeps its entry from its first sight to its deletion, over restarts; its generation is one more
//! whenever its defaulted content changes. The epoch is one more at each start. A ledger that is lost or
//! unreadable begins anew with an epoch from the wall clock, which is above every epoch that was counted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use igw_crds::objects::{Kind, ObjectKey};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_128;

use super::reading::object_name;

/// The ledger. A clone shares what it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Term of this control side; one more at each start.
    pub epoch: u64,
    /// By `<Kind>/<namespace>/<name>`.
    #[serde(deserialize_with = "known_kinds")]
    objects: BTreeMap<ObjectKey, Entry>,
}

/// What is remembered of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Identity, new for an object that is made again after its deletion.
    pub uid: Arc<str>,
    /// First sight; decides precedence.
    pub created: Timestamp,
    /// Counts changes of the content, from 1.
    pub generation: u64,
    /// Hash of the content.
    #[serde(with = "hexadecimal")]
    content: u128,
}

// === impl Entry ===

impl Entry {
    /// Whether it is of this content.
    #[must_use]
    pub fn is_of(&self, content: u128) -> bool {
        self.content == content
    }
}

// === impl Ledger ===

impl Ledger {
    /// Reads the ledger of an earlier run and begins the next epoch.
    #[must_use]
    pub fn load(path: &Path, now: Timestamp) -> Self {
        let read = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes).map_err(io::Error::other),
            Err(error) => Err(error),
        };
        match read {
            Ok(mut ledger) => {
                ledger.epoch = ledger.epoch.saturating_add(1);
                ledger
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(file = %path.display(), %error, "ledger cannot be read; beginning a new one");
                }
                Self { epoch: clock_epoch(now), objects: BTreeMap::new() }
            }
        }
    }

    /// An empty ledger of a term.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self { epoch, objects: BTreeMap::new() }
    }

    /// Takes what another copy remembers of an object that this one does not know.
    pub fn recall(&mut self, key: ObjectKey, entry: Entry) {
        self.objects.entry(key).or_insert(entry);
    }

    /// Goes above `seen`, an epoch that a proxy has met and this ledger has not.
    pub fn surpass(&mut self, seen: u64, now: Timestamp) {
        self.epoch = self.epoch.max(seen).saturating_add(1).max(clock_epoch(now));
    }

    /// The entry of an object whose content hashes to `content`, made or brought up to date.
    pub fn observe(&mut self, key: &ObjectKey, content: u128, now: Timestamp) -> &Entry {
        let entry = self.objects.entry(key.clone()).or_insert_with(|| Entry {
            uid: uid(key, now).into(),
            // As it is shown: what is as old to the second is in order of names.
            created: Timestamp::from_second(now.as_second()).unwrap_or(now),
            generation: 1,
            content,
        });
        if entry.content != content {
            entry.generation = entry.generation.saturating_add(1);
            entry.content = content;
        }
        entry
    }

    /// Entries in the order of their objects.
    pub fn entries(&self) -> impl Iterator<Item = (&ObjectKey, &Entry)> {
        self.objects.iter()
    }

    /// Forgets objects that are deleted.
    pub fn retain(&mut self, exists: impl Fn(&ObjectKey) -> bool) {
        self.objects.retain(|key, _| exists(key));
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys always encode.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// An epoch that needs no memory: milliseconds of the wall clock.
#[must_use]
pub fn clock_epoch(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or(1)
}

/// An identity: a hash of key and first sight.
fn uid(key: &ObjectKey, now: Timestamp) -> String {
    let name = object_name(key);
    uid_of(xxh3_128(format!("{name} {}", now.as_nanosecond()).as_bytes()))
}

/// A hash in the form of a version 8 UUID (RFC 9562).
#[must_use]
pub fn uid_of(hash: u128) -> String {
    let uuid = hash & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{uuid:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
    parts.join("-")
}

/// Entries of kinds that this version knows: a ledger of a later one keeps its ages.
fn known_kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<ObjectKey, Entry>, D::Error> {
    let entries = BTreeMap::<String, Entry>::deserialize(deserializer)?;
    let key = |text: &str| {
        let mut parts = text.splitn(3, '/');
        let kind = Kind::parse(parts.next()?)?;
        Some(ObjectKey::new(kind, parts.next()?, parts.next()?))
    };
    Ok(entries.into_iter().filter_map(|(text, entry)| Some((key(&text)?, entry))).collect())
}

/// A hash as text.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{hash:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_age_survive_restarts_and_generation_follows_content() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("ledger.json");
        let [first, second] = [1_000, 2_000].map(|second| Timestamp::from_second(second).unwrap());
        let key = ObjectKey::new(Kind::Gateway, "default", "a");
        let mut ledger = Ledger::load(&file, first);
        assert_eq!(ledger.epoch, 1_000_000);
        let new = ledger.observe(&key, 1, first).clone();
        assert_eq!((new.generation, new.created), (1, first));
        assert_eq!(new.uid.len(), 36);
        assert_eq!(&new.uid[14..15], "8");
        assert_eq!(*ledger.observe(&key, 1, second), new);
        let other = ObjectKey::new(Kind::Gateway, "default", "b");
        let later = Timestamp::from_millisecond(1_000_700).unwrap();
        assert_eq!(ledger.observe(&other, 1, later).created, first);
        fs::write(&file, ledger.to_bytes()).unwrap();

        let mut ledger = Ledger::load(&file, second);
        assert_eq!(ledger.epoch, 1_000_001);
        let changed = ledger.observe(&key, 2, second).clone();
        assert_eq!((changed.generation, changed.created, &changed.uid), (2, first, &new.uid));

        ledger.retain(|_| false);
        let again = ledger.observe(&key, 2, second);
        assert_eq!((again.generation, again.created), (1, second));
        assert_ne!(again.uid, new.uid);
    }

    #[test]
    fn a_lost_ledger_and_a_proxy_ahead_are_surpassed() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("ledger.json");
        fs::write(&file, "{\"epoch\": 4, \"obj").unwrap();
        let now = Timestamp::from_second(5).unwrap();
        let mut ledger = Ledger::load(&file, now);
        assert_eq!(ledger.epoch, 5_000);
        ledger.surpass(9_000, now);
        assert_eq!(ledger.epoch, 9_001);
    }
}
