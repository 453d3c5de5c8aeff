//! Certificates, accounts and orders of a cluster: `sec` objects of the namespaces that want them, and the book in
//! `system/sec/igw-acme`, where no user of a namespace can write: whoever could would answer challenges for the names of
//! others.
//!
//! Guarantees: what a `sec` is to hold goes there in one write, at least 300 ms after the one before, and is read back;
//! a `sec` that igw did not make is never written; nothing is made in the place of what may only be out of sight.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use igw_opensvc::{Client, Error, KeyChange, KeyName, Kind, ObjectPath};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::warn;

use super::change::{save_secret, write};
use super::layout::{self, ACME, SYSTEM};
use super::owned::WRITE_SPACING;
use crate::acme::made::{MARK, NEXT_KEY, RENEW, Values};
use crate::acme::record::Book;
use crate::acme::shelf::{Shelf, Stored};
use crate::certificates::authorities::CA;
use crate::certificates::pair::PAIR_VALUES;
use crate::certificates::vault::Place;

/// The shelf.
pub struct Store {
    client: Client,
    seen: Arc<Seen>,
    /// When each object was written last.
    written: Mutex<BTreeMap<ObjectPath, Instant>>,
    /// Keys of the book as they are stored.
    book: Mutex<BTreeMap<String, Bytes>>,
}

/// What the cluster says of the objects that were asked for: shared with the one who hears events.
#[derive(Debug, Default)]
pub struct Seen {
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Nodes are lost: what is not there may be on one of them.
    has_lost: bool,
    objects: BTreeMap<ObjectPath, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Version that was announced last.
    announced: String,
    /// Version that is held, and what it is; nothing if it has no keys.
    held: Option<(String, Option<Stored>)>,
}

// === impl Seen ===

impl Seen {
    /// Takes the version that an event or a list tells; true if somebody should read it again.
    pub fn announce(&self, path: &ObjectPath, version: &str) -> bool {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = shared.objects.get_mut(path).filter(|known| known.announced != version) else {
            return false;
        };
        version.clone_into(&mut known.announced);
        true
    }

    /// Objects that were asked for.
    #[must_use]
    pub fn paths(&self) -> Vec<ObjectPath> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).objects.keys().cloned().collect()
    }

    /// Nodes are lost, or all are there.
    pub fn lose(&self, has_lost: bool) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).has_lost = has_lost;
    }

    fn has_lost(&self) -> bool {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).has_lost
    }

    /// What is held of an object, if that is its newest version; else that version.
    fn fresh(&self, path: &ObjectPath) -> Result<Option<Stored>, String> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.objects.entry(path.clone()).or_default();
        match &known.held {
            Some((version, stored)) if *version == known.announced => Ok(stored.clone()),
            _ => Err(known.announced.clone()),
        }
    }

    fn hold(&self, path: &ObjectPath, version: Option<String>, stored: Option<Stored>) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.objects.entry(path.clone()).or_default();
        // What is announced from now on is read again.
        known.held = Some((version.unwrap_or_else(|| known.announced.clone()), stored));
    }
}

// === impl Store ===

impl Store {
    /// A shelf in the cluster of `client`.
    #[must_use]
    pub fn new(client: Client, seen: Arc<Seen>) -> Self {
        Self { client, seen, written: Mutex::default(), book: Mutex::default() }
    }

    /// What an object holds of use; nothing if it is sure that there is no such object, or if it has no keys.
    async fn stored(&self, path: &ObjectPath) -> Result<Option<Stored>, String> {
        let version = match self.seen.fresh(path) {
            Ok(stored) => return Ok(stored),
            Err(version) => version,
        };
        let Some(names) = self.names(path).await? else { return Ok(None) };
        let wanted: Vec<KeyName> = names.iter().filter(|name| is_of_use(name.as_str())).cloned().collect();
        let found = self.client.key_values(path, &wanted).await;
        let found = found.map_err(|error| format!("{path} cannot be read: {error}"))?;
        let text = |value: Bytes| String::from_utf8(value.to_vec()).ok().map(SecretString::from);
        let values =
            found.into_iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)));
        let values = Values(values.collect());
        let is_ours = is_ours(&names);
        let stored = (!names.is_empty()).then_some(Stored { values, is_ours });
        self.seen.hold(path, Some(version), stored.clone());
        Ok(stored)
    }

    /// Names of the keys of an object; nothing if it is sure that there is no such object.
    async fn names(&self, path: &ObjectPath) -> Result<Option<Vec<KeyName>>, String> {
        match self.client.keys(path).await {
            Ok(items) => Ok(Some(items.iter().map(|item| KeyName::unchecked(&item.name)).collect())),
            Err(Error::UnknownObject { .. }) if self.seen.has_lost() => {
                Err(format!("{path} is not found, and may be on a node that is lost"))
            }
            Err(Error::UnknownObject { .. }) => Ok(None),
            Err(error) => Err(format!("{path} cannot be read: {error}")),
        }
    }

    /// Faster writers hide an object from every reader.
    async fn wait_turn(&self, path: &ObjectPath) {
        let before = self.written.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        if let Some(before) = before {
            sleep(WRITE_SPACING.saturating_sub(before.elapsed())).await;
        }
    }

    fn note_write(&self, path: &ObjectPath) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), Instant::now());
    }
}

impl Shelf for Store {
    async fn secret(&self, place: &Place) -> Result<Option<Stored>, String> {
        self.stored(&path(Kind::Sec, place)?).await
    }

    async fn config(&self, place: &Place, name: &str) -> Result<Option<Vec<u8>>, String> {
        let stored = self.stored(&path(Kind::Cfg, place)?).await?;
        Ok(stored.and_then(|stored| stored.values.text(name).map(|text| text.as_bytes().to_vec())))
    }

    async fn put(&self, place: &Place, values: &Values) -> Result<(), String> {
        let path = path(Kind::Sec, place)?;
        let mut changes: Vec<KeyChange> = values
            .0
            .iter()
            .map(|(name, value)| KeyChange::Set {
                name: KeyName::unchecked(name),
                value: Bytes::from(value.expose_secret().to_owned()),
            })
            .collect();
        // What people keep beside it stays.
        let gone = PASSING.iter().filter(|name| !values.0.contains_key(**name));
        changes.extend(gone.map(|name| KeyChange::Remove { name: KeyName::unchecked(name) }));
        // Somebody may have put another one there since it was read.
        if self.names(&path).await?.is_some_and(|names| !names.is_empty() && !is_ours(&names)) {
            return Err(format!("{path} is not igw's; remove it, or choose another secretName"));
        }
        self.wait_turn(&path).await;
        let saved = save_secret(&self.client, &path, &changes).await;
        self.note_write(&path);
        saved.map_err(|error| error.to_string())?;
        self.seen.hold(&path, None, Some(Stored { values: values.clone(), is_ours: true }));
        Ok(())
    }

    async fn book(&self) -> Result<Book, String> {
        let path = path(Kind::Sec, &(SYSTEM.to_owned(), ACME.to_owned()))?;
        let names = self.names(&path).await?.unwrap_or_default();
        let found = self.client.key_values(&path, &names).await;
        let found = found.map_err(|error| format!("{path} cannot be read: {error}"))?;
        let found: BTreeMap<String, Bytes> =
            found.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect();
        let mut book = Book::default();
        for (key, value) in &found {
            if key == AUTHORITIES {
                book.authorities = parsed(key, value).unwrap_or_default();
            } else if key == ACCOUNTS {
                book.accounts = parsed(key, value).unwrap_or_default();
            } else if key == ORDERED {
                book.ordered = parsed(key, value).unwrap_or_default();
            } else if let Some(secret) = secret_of(key)
                && let Some(record) = parsed(key, value)
            {
                book.certificates.insert(secret.to_owned(), record);
            }
        }
        *self.book.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(book)
    }

    async fn keep_book(&self, book: &Book) -> Result<(), String> {
        let path = path(Kind::Sec, &(SYSTEM.to_owned(), ACME.to_owned()))?;
        let mut wanted = BTreeMap::new();
        wanted.insert(AUTHORITIES.to_owned(), encoded(&book.authorities));
        wanted.insert(ACCOUNTS.to_owned(), encoded(&book.accounts));
        wanted.insert(ORDERED.to_owned(), encoded(&book.ordered));
        for (secret, record) in &book.certificates {
            wanted.insert(format!("{CERTIFICATES}/{secret}.json"), encoded(record));
        }
        let changes = {
            let stored = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            let sets = wanted.iter().filter(|(name, value)| stored.get(*name) != Some(value));
            let sets = sets
                .map(|(name, value)| KeyChange::Set { name: KeyName::unchecked(name), value: value.clone() });
            let gone = stored.keys().filter(|name| !wanted.contains_key(*name));
            let gone = gone.map(|name| KeyChange::Remove { name: KeyName::unchecked(name) });
            sets.chain(gone).collect::<Vec<KeyChange>>()
        };
        if changes.is_empty() {
            return Ok(());
        }
        self.wait_turn(&path).await;
        let written = write(&self.client, &path, &changes).await;
        self.note_write(&path);
        written.map_err(|error| format!("{path} cannot be written: {error}"))?;
        *self.book.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        Ok(())
    }
}

fn path(kind: Kind, place: &Place) -> Result<ObjectPath, String> {
    layout::path(&place.0, kind, &place.1)
        .ok_or_else(|| format!("the cluster takes no object with the name {}/{kind}/{}", place.0, place.1))
}

fn is_ours(names: &[KeyName]) -> bool {
    names.iter().any(|name| name.as_str() == MARK)
}

/// Whether a key is one that issuers or certificates use: nothing else of an object is read.
fn is_of_use(name: &str) -> bool {
    let of_accounts = ["hmac", "secret", "name", CA];
    PAIR_VALUES.contains(&name)
        || PASSING.contains(&name)
        || OWN.contains(&name)
        || of_accounts.contains(&name)
}

/// `namespace/name` of the Secret whose record a key holds.
fn secret_of(key: &str) -> Option<&str> {
    key.strip_prefix(CERTIFICATES)?.strip_prefix('/')?.strip_suffix(".json")
}

fn parsed<T: DeserializeOwned>(key: &str, value: &Bytes) -> Option<T> {
    serde_json::from_slice(value)
        .inspect_err(|error| warn!(key, %error, "record of orders cannot be read; beginning anew"))
        .ok()
}

fn encoded(value: &impl Serialize) -> Bytes {
    // Maps with text as keys always encode.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

/// Keys of a `sec` that go when a certificate is there.
const PASSING: [&str; 2] = [NEXT_KEY, RENEW];
/// Keys that igw writes beside a pair.
const OWN: [&str; 4] = [MARK, "certificate", "fullpem", "serial_number"];
const AUTHORITIES: &str = "authorities.json";
const ACCOUNTS: &str = "accounts.json";
const ORDERED: &str = "ordered.json";
/// Folder of the records of certificates, one key for each Secret.
const CERTIFICATES: &str = "certificates";
