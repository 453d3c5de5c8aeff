//! Keys of `cfg`, `sec` and `usr` objects (§6).
//!
//! All changes of one object belong into one [`Client::change_keys`]: the daemon then writes the file once, readers
//! never see half of it, and one event tells of it. Writes to one object belong at least 300 ms apart (§8.5).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, malformed};
use crate::error::Error;
use crate::model::{KeyItem, List};
use crate::path::ObjectPath;
use crate::request::{Area, JSON, OCTETS, Request};

/// The name of a key that comes back as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// A change of one key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// Creates the key or replaces its value.
    Set {
        /// The key.
        name: KeyName,
        /// Its value, at most 1,000,000 bytes by default.
        value: Bytes,
    },
    /// Creates the key; fails with [`Error::KeyExists`] if it is there.
    Add {
        /// The key.
        name: KeyName,
        /// Its value.
        value: Bytes,
    },
    /// Removes the key; nothing happens if it is not there.
    Remove {
        /// The key.
        name: KeyName,
    },
    /// Renames the key; fails if it is not there or the new name is taken.
    Rename {
        /// The key.
        name: KeyName,
        /// Its new name.
        to: KeyName,
    },
}

/// A change on the wire. Exactly one value: with none or two the daemon stores an empty one (§6.2).
#[derive(Serialize)]
struct RawChange<'a> {
    action: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
}

#[derive(Deserialize)]
struct RawValue {
    name: String,
    #[serde(default)]
    bytes: String,
}

// === impl KeyName ===

impl KeyName {
    /// Takes a name that survives storage (§6.3).
    ///
    /// # Errors
    ///
    /// [`Error::BadKeyName`] for names that the daemon accepts and then loses, renames, or damages the object with.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let reason = if name.is_empty() {
            "it is empty"
        } else if name.len() > MAX_KEY_NAME {
            "it is longer than 1000 bytes"
        } else if name.chars().any(char::is_control) {
            "it has a control character: the object would become unreadable"
        } else if name.starts_with('[') {
            "it starts with '[': the object would become unreadable"
        } else if name.starts_with(['#', ';']) {
            "it starts as a comment does: the key would be lost"
        } else if name.starts_with(char::is_whitespace) {
            "it starts with a blank: the key before it would be damaged"
        } else if name.ends_with(char::is_whitespace) {
            "it ends with a blank, which would be cut off"
        } else if name == "-" {
            "the daemon would rename it"
        } else {
            return Ok(Self(name.to_owned()));
        };
        Err(Error::BadKeyName { name: name.chars().take(100).collect(), reason })
    }

    /// Takes any name, to read or remove what another writer stored. Writing to such a name can damage the object.
    pub fn unchecked(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl KeyChange ===

impl KeyChange {
    /// The key.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        match self {
            Self::Set { name, .. }
            | Self::Add { name, .. }
            | Self::Remove { name }
            | Self::Rename { name, .. } => name,
        }
    }

    fn raw(&self) -> RawChange<'_> {
        let raw = |action, name, bytes, to| RawChange { action, name, bytes, to };
        match self {
            Self::Set { name, value } => raw("change", name.as_str(), Some(STANDARD.encode(value)), None),
            Self::Add { name, value } => raw("add", name.as_str(), Some(STANDARD.encode(value)), None),
            Self::Remove { name } => raw("remove", name.as_str(), None, None),
            Self::Rename { name, to } => raw("rename", name.as_str(), None, Some(to.as_str())),
        }
    }
}

/// Values stay out of logs: they may be secrets.
impl fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { name, value } => write!(f, "Set({name:?}, {} bytes)", value.len()),
            Self::Add { name, value } => write!(f, "Add({name:?}, {} bytes)", value.len()),
            Self::Remove { name } => write!(f, "Remove({name:?})"),
            Self::Rename { name, to } => write!(f, "Rename({name:?}, {to:?})"),
        }
    }
}

// === impl Client ===

impl Client {
    /// Lists the keys of an object, in the order of its file: `GET {O}/data/keys`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownObject`]; [`Error::Unreadable`] for a damaged object; see [`Error`].
    pub async fn keys(&self, path: &ObjectPath) -> Result<Vec<KeyItem>, Error> {
        let request = Request::object(Method::GET, Area::Keys, path, &["data", "keys"]);
        Ok(self.read::<List<KeyItem>>(&request).await?.items)
    }

    /// Reads one value: `GET {O}/data/key?name=`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKey`], [`Error::UnknownObject`]; see [`Error`].
    pub async fn key(&self, path: &ObjectPath, name: &KeyName) -> Result<Bytes, Error> {
        let request =
            Request::object(Method::GET, Area::Keys, path, &["data", "key"]).with_key(name.as_str());
        Ok(self.fetch(&request).await?.body)
    }

    /// Reads the values of many keys: `GET {O}/data?name=…&name=…`, in as few calls as queries of [`MAX_QUERY`] bytes
    /// allow. The values of one call belong together; those of several may not.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKey`] when one key is not there any more: list again. [`Error::UnknownObject`]; see [`Error`].
    pub async fn key_values(
        &self,
        path: &ObjectPath,
        names: &[KeyName],
    ) -> Result<Vec<(KeyName, Bytes)>, Error> {
        let mut values = Vec::with_capacity(names.len());
        for names in batches(names, |name| name.as_str().len() * 3 + 6, MAX_QUERY) {
            self.read_batch(path, names, &mut values).await?;
        }
        Ok(values)
    }

    /// Reads an object's keys that `wanted` picks, with their values, in batches of at most [`MAX_BATCH`] bytes.
    ///
    /// # Errors
    ///
    /// As [`Client::key_values`].
    pub async fn read_keys(
        &self,
        path: &ObjectPath,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(KeyName, Bytes)>, Error> {
        let listed = self.keys(path).await?;
        let picked: Vec<KeyItem> = listed.into_iter().filter(|item| wanted(&item.name)).collect();
        let mut values = Vec::with_capacity(picked.len());
        // Queries grow with names, answers with stored sizes; both are bounded by one figure per key.
        let weight = |item: &KeyItem| item.size.max(item.name.len() * 3 * (MAX_BATCH / MAX_QUERY));
        for items in batches(&picked, weight, MAX_BATCH) {
            let names: Vec<KeyName> = items.iter().map(|item| KeyName::unchecked(&item.name)).collect();
            self.read_batch(path, &names, &mut values).await?;
        }
        Ok(values)
    }

    /// Makes several changes at once, wholly or not at all: `PATCH {O}/data`. No changes, no call.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfirmed`] when the daemon does not know the object yet, or may have written it through another
    /// node; [`Error::TooLarge`]; see [`Error`].
    pub async fn change_keys(&self, path: &ObjectPath, changes: &[KeyChange]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let raw: Vec<RawChange<'_>> = changes.iter().map(KeyChange::raw).collect();
        let request = Request::object(Method::PATCH, Area::Keys, path, &["data"]);
        let body = serde_json::to_vec(&raw).map_err(|error| malformed(&request, error.to_string()))?;
        self.write(&request.with_body(JSON, body)).await
    }

    /// Creates a key: `POST {O}/data/key?name=`. No lock: of two writers at once both may succeed (§9).
    ///
    /// # Errors
    ///
    /// [`Error::KeyExists`]; [`Error::NotConfirmed`]; see [`Error`].
    pub async fn add_key(&self, path: &ObjectPath, name: &KeyName, value: Bytes) -> Result<(), Error> {
        let request =
            Request::object(Method::POST, Area::Keys, path, &["data", "key"]).with_key(name.as_str());
        self.write(&request.with_body(OCTETS, value)).await
    }

    /// Replaces the value of a key: `PUT {O}/data/key?name=`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKey`]; [`Error::NotConfirmed`]; see [`Error`].
    pub async fn replace_key(&self, path: &ObjectPath, name: &KeyName, value: Bytes) -> Result<(), Error> {
        let request =
            Request::object(Method::PUT, Area::Keys, path, &["data", "key"]).with_key(name.as_str());
        self.write(&request.with_body(OCTETS, value)).await
    }

    /// Removes a key, also one that is not there: `DELETE {O}/data/key?name=`.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfirmed`]; see [`Error`].
    pub async fn remove_key(&self, path: &ObjectPath, name: &KeyName) -> Result<(), Error> {
        let request =
            Request::object(Method::DELETE, Area::Keys, path, &["data", "key"]).with_key(name.as_str());
        self.write(&request).await
    }

    async fn read_batch(
        &self,
        path: &ObjectPath,
        names: &[KeyName],
        values: &mut Vec<(KeyName, Bytes)>,
    ) -> Result<(), Error> {
        let mut request = Request::object(Method::GET, Area::Keys, path, &["data"]);
        for name in names {
            request = request.with_query("name", name.as_str());
        }
        for raw in self.read::<Vec<RawValue>>(&request).await? {
            let value =
                STANDARD.decode(&raw.bytes).map_err(|_| malformed(&request, "a value that is no base64"))?;
            values.push((KeyName(raw.name), Bytes::from(value)));
        }
        Ok(())
    }
}

/// Cuts a list where the weights of its items would pass a limit; an item that is too heavy goes alone.
fn batches<T>(items: &[T], weight: impl Fn(&T) -> usize, limit: usize) -> Vec<&[T]> {
    let mut parts = Vec::new();
    let (mut start, mut sum) = (0, 0_usize);
    for (i, item) in items.iter().enumerate() {
        let weight = weight(item);
        if i > start && sum.saturating_add(weight) > limit {
            parts.extend(items.get(start..i));
            (start, sum) = (i, 0);
        }
        sum = sum.saturating_add(weight);
    }
    parts.extend(items.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

/// Bytes of names in the query of one call, percent-encoded; URLs end at 64 KiB.
pub const MAX_QUERY: usize = 32 << 10;
/// Stored bytes that one call reads. Its answer is base64, a third larger.
pub const MAX_BATCH: usize = 8 << 20;
/// The longest name seen to survive.
const MAX_KEY_NAME: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_damage_objects_are_refused() {
        for name in ["", "[x", "#a", ";a", " a", "a ", "\ta", "a\nb", "-", "a\u{0}"] {
            assert!(KeyName::parse(name).is_err(), "{name:?}");
        }
        for name in ["a/b.yaml", ".lead", "é", "a b", "k:v", "a=b", "--", "A"] {
            assert_eq!(KeyName::parse(name).map(|name| name.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn batches_keep_order_and_limits() {
        let items = [4, 4, 4, 20, 1, 1];
        let parts = batches(&items, |item| *item, 10);
        assert_eq!(parts, [&[4, 4][..], &[4], &[20], &[1, 1]]);
        assert!(batches::<usize>(&[], |item| *item, 10).is_empty());
    }

    #[test]
    fn values_do_not_show() {
        let change = KeyChange::Set { name: KeyName::unchecked("k"), value: Bytes::from_static(b"secret") };
        assert_eq!(format!("{change:?}"), "Set(KeyName(\"k\"), 6 bytes)");
    }
}
