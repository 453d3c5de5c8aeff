//! Secrets and ConfigMaps: views of the `sec` and `cfg` objects of a namespace. Each value is a key; what Kubernetes
//! knows beside values rests in a key of its own.
//!
//! Values are read when somebody asks who may read them, and never for anybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::BoxFuture;
use igw_kube::{Change, Identity, Place, Reason, Refusal, Seen, Source, User, Wanted};
use igw_opensvc::{Action, Client, Error, KeyChange, KeyName, Kind, ObjectItem, ObjectPath};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_128;

use crate::cluster::change::{self, ChangeError, READ_BACK};
use crate::cluster::layout::{self, is_input, version};
use crate::objects::ledger::uid_of;

/// Reads and writes them.
pub struct Stores {
    client: Client,
    /// What was read of an object, while its version is the same.
    read: Mutex<BTreeMap<ObjectPath, (String, Seen)>>,
}

/// What Kubernetes knows beside values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Beside {
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
}

// === impl Stores ===

impl Stores {
    /// Over this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, read: Mutex::default() }
    }

    /// Makes a change of a Secret or ConfigMap last.
    pub(super) async fn write(&self, change: &Change) -> Result<Option<Identity>, Refusal> {
        let place = &change.place;
        let kind = kind_of(place);
        let path = layout::path(&place.namespace, kind, &place.name).filter(is_users);
        let path = path.ok_or_else(|| {
            let message = format!("the cluster takes no {kind} of the name {} from users", place.name);
            Refusal::new(Reason::Invalid, message)
        })?;
        let Some(after) = &change.after else {
            self.delete(&path).await.map_err(|error| unavailable(&error))?;
            return Ok(None);
        };
        let now = match change.before {
            Some(_) => change::read(&self.client, &path).await.map_err(|error| unavailable(&error))?,
            None => change::Base::new(),
        };
        let mut beside = now.get(BESIDE).map(|value| Beside::of(value)).unwrap_or_default();
        beside.kind = after.get("type").and_then(Value::as_str).map(str::to_owned);
        beside.labels = texts(after.pointer("/metadata/labels"));
        beside.annotations = texts(after.pointer("/metadata/annotations"));
        let created = after.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        beside.creation_timestamp.get_or_insert_with(|| {
            created.map_or_else(|| Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), str::to_owned)
        });
        let uid = after.pointer("/metadata/uid").and_then(Value::as_str);
        beside.uid.get_or_insert_with(|| uid.map_or_else(|| known_uid(&path), str::to_owned));
        let mut wanted = values(after)?;
        // Maps of text always encode.
        wanted.insert(BESIDE.to_owned(), serde_json::to_vec(&beside).unwrap_or_default().into());
        self.put(&path, &now, wanted).await.map_err(|error| match error {
            ChangeError::Unfit(message) => Refusal::new(Reason::Invalid, message),
            ChangeError::Conflict { .. } => Refusal::new(Reason::Conflict, error.to_string()),
            _ => Refusal::new(Reason::ServiceUnavailable, error.to_string()),
        })?;
        Ok(Some(Identity {
            uid: beside.uid,
            creation_timestamp: beside.creation_timestamp,
            generation: None,
        }))
    }

    async fn put(
        &self,
        path: &ObjectPath,
        now: &change::Base,
        wanted: BTreeMap<String, Bytes>,
    ) -> Result<(), ChangeError> {
        let gone = now.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect::<BTreeSet<_>>();
        for name in wanted.keys() {
            layout::check_key(name).map_err(ChangeError::Unfit)?;
        }
        if path.kind() == Kind::Cfg {
            let wanted = wanted.into_iter().map(|(name, value)| (name, Some(value)));
            let wanted = wanted.chain(gone.into_iter().map(|name| (name, None))).collect();
            return change::save(&self.client, path, now, &wanted, false).await;
        }
        let name = |name: &str| KeyName::parse(name).map_err(|error| ChangeError::Unfit(error.to_string()));
        let mut changes = Vec::new();
        for (key, value) in wanted {
            if now.get(&key) != Some(&value) {
                changes.push(KeyChange::Set { name: name(&key)?, value });
            }
        }
        for key in &gone {
            changes.push(KeyChange::Remove { name: name(key)? });
        }
        change::save_secret(&self.client, path, &changes).await
    }

    async fn delete(&self, path: &ObjectPath) -> Result<(), Error> {
        match self.client.act(path, &Action::Purge).await {
            Ok(_) => {}
            Err(Error::UnknownObject { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let begun = Instant::now();
        while begun.elapsed() < DELETION {
            match self.client.object(path).await {
                Err(Error::UnknownObject { .. }) => return Ok(()),
                Err(error) => return Err(error),
                Ok(_) => sleep(READ_BACK).await,
            }
        }
        // The cluster has taken the order, and goes on with it.
        Ok(())
    }

    async fn items(&self, kind: Kind, wanted: &Wanted<'_>) -> Result<Vec<ObjectItem>, Error> {
        if wanted.name.is_empty() {
            let namespace = if wanted.namespace.is_empty() { "*" } else { wanted.namespace };
            let found = self.client.objects(&format!("{namespace}/{kind}/*")).await?;
            return Ok(found.into_iter().filter(|item| is_users(&item.path)).collect());
        }
        let Some(path) = layout::path(wanted.namespace, kind, wanted.name).filter(is_users) else {
            return Ok(Vec::new());
        };
        match self.client.object(&path).await {
            Ok(item) => Ok(vec![item]),
            Err(Error::UnknownObject { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn one(&self, wanted: &Wanted<'_>, item: &ObjectItem) -> Result<Option<Seen>, Error> {
        let path = &item.path;
        let newest = item.instances.values().filter_map(|instance| instance.settings.as_ref());
        let newest = newest.max_by_key(|settings| settings.updated_at).map(version).unwrap_or_default();
        if let Some((known, seen)) = self.remembered().get(path)
            && *known == newest
        {
            return Ok(Some(seen.clone()));
        }
        let values = match self.client.read_keys(path, |_| true).await {
            Ok(values) => values,
            // It went away, or a key of it did: the next look sees what there is.
            Err(Error::UnknownObject { .. } | Error::UnknownKey { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let place = Place::new(wanted.resource, path.namespace(), path.name());
        let seen = seen(place, path, &values);
        self.remembered().insert(path.clone(), (newest, seen.clone()));
        Ok(Some(seen))
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectPath, (String, Seen)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Stores {
    fn look<'a>(&'a self, _: &'a User, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Vec<Seen>, Refusal>> {
        Box::pin(async move {
            let kind = if &*wanted.resource.plural == "secrets" { Kind::Sec } else { Kind::Cfg };
            let items = self.items(kind, &wanted).await.map_err(|error| unavailable(&error))?;
            if wanted.name.is_empty() {
                let is_there = |path: &ObjectPath| items.iter().any(|item| item.path == *path);
                let is_meant = |path: &ObjectPath| {
                    path.kind() == kind
                        && (wanted.namespace.is_empty() || path.namespace() == wanted.namespace)
                };
                self.remembered().retain(|path, _| !is_meant(path) || is_there(path));
            }
            let mut all = Vec::with_capacity(items.len());
            for item in &items {
                all.extend(self.one(&wanted, item).await.map_err(|error| unavailable(&error))?);
            }
            Ok(all)
        })
    }
}

// === impl Beside ===

impl Beside {
    fn of(value: &[u8]) -> Self {
        // Somebody else's key of this name says nothing.
        serde_json::from_slice(value).unwrap_or_default()
    }
}

/// An object as clients see it.
fn seen(place: Place, path: &ObjectPath, values: &[(KeyName, Bytes)]) -> Seen {
    let is_secret = path.kind() == Kind::Sec;
    let mut beside = Beside::default();
    let (mut data, mut binary) = (Map::new(), Map::new());
    for (name, value) in values {
        match (name.as_str(), is_secret, std::str::from_utf8(value)) {
            (BESIDE, ..) => beside = Beside::of(value),
            (name, false, Ok(text)) => drop(data.insert(name.to_owned(), text.into())),
            (name, false, Err(_)) => drop(binary.insert(name.to_owned(), STANDARD.encode(value).into())),
            (name, true, _) => drop(data.insert(name.to_owned(), STANDARD.encode(value).into())),
        }
    }
    let mut object = json!({ "metadata": { "labels": beside.labels, "annotations": beside.annotations } });
    if let Some(fields) = object.as_object_mut() {
        if is_secret {
            let has = |name: &str| data.contains_key(name);
            let usual = if has("tls.crt") && has("tls.key") { "kubernetes.io/tls" } else { "Opaque" };
            fields.insert("type".to_owned(), beside.kind.unwrap_or_else(|| usual.to_owned()).into());
        }
        for (name, values) in [("data", data), ("binaryData", binary)] {
            if !values.is_empty() {
                fields.insert(name.to_owned(), values.into());
            }
        }
    }
    let identity = Identity {
        uid: Some(beside.uid.unwrap_or_else(|| known_uid(path))),
        creation_timestamp: beside.creation_timestamp,
        generation: None,
    };
    Seen { place, object, status: None, identity }
}

/// The values that an object shall hold.
fn values(object: &Value) -> Result<BTreeMap<String, Bytes>, Refusal> {
    let is_coded = object.get("kind").and_then(Value::as_str) == Some("Secret");
    let mut values = BTreeMap::new();
    for (field, is_coded) in [("data", is_coded), ("binaryData", true)] {
        for (name, value) in object.get(field).and_then(Value::as_object).into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            let bytes = if is_coded { STANDARD.decode(text).ok() } else { Some(text.as_bytes().to_vec()) };
            let bytes = bytes.ok_or_else(|| {
                Refusal::new(Reason::Invalid, format!("{field}[{name}]: Invalid value: illegal base64 data"))
            })?;
            if name == BESIDE {
                let message = format!("{field}[{name}]: Forbidden: igw keeps labels under this name");
                return Err(Refusal::new(Reason::Invalid, message));
            }
            values.insert(name.clone(), bytes.into());
        }
    }
    Ok(values)
}

fn texts(map: Option<&Value>) -> BTreeMap<String, String> {
    let fields = map.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn kind_of(place: &Place) -> Kind {
    if &*place.resource.plural == "secrets" { Kind::Sec } else { Kind::Cfg }
}

/// Objects of igw's own are no Secrets and ConfigMaps of users.
fn is_users(path: &ObjectPath) -> bool {
    !is_input(path) && !layout::is_ours(path) && path.name() != layout::ACME
}

/// An identity for what came about without one: the same for as long as the name is.
fn known_uid(path: &ObjectPath) -> String {
    uid_of(xxh3_128(path.to_string().as_bytes()))
}

fn unavailable(error: &Error) -> Refusal {
    Refusal::new(Reason::ServiceUnavailable, format!("the cluster does not answer as it should: {error}"))
}

/// Key of what Kubernetes knows beside values.
const BESIDE: &str = "_kubernetes.json";
/// Longest wait for an object to be gone.
const DELETION: Duration = Duration::from_secs(10);
