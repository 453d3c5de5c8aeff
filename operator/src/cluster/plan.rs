//! What applying or deleting objects would change: keys of `cfg` objects, before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use igw_crds::objects::ObjectKey;
use igw_crds::yaml::{Document, read_in, texts};
use igw_opensvc::{Client, Error, Kind as StoreKind, ObjectPath};

use super::change::{Base, Wanted, read};
use super::layout::{SYSTEM, is_input, object_key, path};

/// An object as its author wrote it.
#[derive(Clone, Debug)]
pub struct Written {
    /// Identity.
    pub key: ObjectKey,
    /// The document.
    pub text: String,
    /// `file:line`.
    pub place: String,
}

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The object.
    pub key: ObjectKey,
    /// `created`, `configured`, `unchanged`, `pruned` or `deleted`.
    pub verb: &'static str,
}

/// Changes of the `cfg` objects of one namespace.
#[derive(Debug, Default)]
pub struct Plan {
    /// By object of the cluster: what was read, and what is wanted of it.
    pub changes: BTreeMap<ObjectPath, (Base, Wanted)>,
    /// By object.
    pub outcomes: Vec<Outcome>,
    /// Texts before and after, by object, for `diff`.
    pub texts: BTreeMap<ObjectKey, (String, String)>,
}

/// Where an object is stored.
struct Found {
    place: ObjectPath,
    key: String,
    text: String,
}

/// The stored objects of a namespace.
pub struct Stock {
    namespace: String,
    bases: BTreeMap<ObjectPath, Base>,
    found: BTreeMap<ObjectKey, Found>,
}

/// The namespace whose `cfg` holds an object.
#[must_use]
pub fn home(key: &ObjectKey) -> &str {
    if key.kind.is_namespaced() { &key.namespace } else { SYSTEM }
}

// === impl Stock ===

impl Stock {
    /// Reads what a namespace holds.
    ///
    /// # Errors
    /// The client's.
    pub async fn load(client: &Client, namespace: &str) -> Result<Self, Error> {
        let names = client.paths(&format!("{namespace}/cfg/*")).await?;
        let mut stock =
            Self { namespace: namespace.to_owned(), bases: BTreeMap::new(), found: BTreeMap::new() };
        for place in names.into_iter().filter(is_input) {
            let base = read(client, &place).await?;
            for (key, value) in &base {
                let Ok(stream) = std::str::from_utf8(value) else { continue };
                let whole: BTreeMap<u128, &str> = texts(stream).into_iter().collect();
                for document in
                    read_in(namespace, key, stream, &mut igw_crds::yaml::Cache::lenient()).documents
                {
                    let text = whole.get(&document.digest).copied().unwrap_or_default().to_owned();
                    let found = Found { place: place.clone(), key: key.clone(), text };
                    stock.found.entry(document.object.key.clone()).or_insert(found);
                }
            }
            stock.bases.insert(place, base);
        }
        Ok(stock)
    }

    /// What storing these objects in `<namespace>/cfg/<cfg>` changes. `is_pruned` says which others of that object go.
    #[must_use]
    pub fn apply(&self, cfg: &str, objects: &[Written], is_pruned: impl Fn(&ObjectKey) -> bool) -> Plan {
        let mut plan = Plan::default();
        let Some(target) = path(&self.namespace, StoreKind::Cfg, cfg) else { return plan };
        let mut named = BTreeSet::new();
        for object in objects {
            named.insert(&object.key);
            let text = with_end(&object.text);
            let before = self.found.get(&object.key);
            let old = before.map(|found| with_end(&found.text)).unwrap_or_default();
            let verb = match before {
                None => "created",
                Some(_) if old == text => "unchanged",
                Some(_) => "configured",
            };
            if verb != "unchanged" {
                let (place, key) = match before {
                    // One that stands alone in its key is changed there.
                    Some(found) if self.n_in(&found.place, &found.key) == 1 => {
                        (found.place.clone(), found.key.clone())
                    }
                    Some(found) => {
                        self.cut(&mut plan, found);
                        (found.place.clone(), object_key(&object.key))
                    }
                    None => (target.clone(), object_key(&object.key)),
                };
                self.want(&mut plan, &place, &key, Some(Bytes::from(text.clone())));
                plan.texts.insert(object.key.clone(), (old, text));
            }
            plan.outcomes.push(Outcome { key: object.key.clone(), verb });
        }
        for (key, found) in
            self.found.iter().filter(|(key, found)| found.place == target && !named.contains(key))
        {
            if is_pruned(key) {
                self.cut(&mut plan, found);
                plan.texts.insert(key.clone(), (with_end(&found.text), String::new()));
                plan.outcomes.push(Outcome { key: key.clone(), verb: "pruned" });
            }
        }
        plan
    }

    /// An object as it is stored, and the `cfg` that holds it.
    #[must_use]
    pub fn find(&self, key: &ObjectKey) -> Option<(&ObjectPath, &str)> {
        self.found.get(key).map(|found| (&found.place, found.text.as_str()))
    }

    /// What deleting these objects changes, and those that are not there.
    #[must_use]
    pub fn delete(&self, keys: &[ObjectKey]) -> (Plan, Vec<ObjectKey>) {
        let mut plan = Plan::default();
        let mut missing = Vec::new();
        for key in keys {
            match self.found.get(key) {
                Some(found) => {
                    self.cut(&mut plan, found);
                    plan.outcomes.push(Outcome { key: key.clone(), verb: "deleted" });
                }
                None => missing.push(key.clone()),
            }
        }
        (plan, missing)
    }

    fn n_in(&self, place: &ObjectPath, key: &str) -> usize {
        self.found.values().filter(|found| found.place == *place && found.key == key).count()
    }

    /// Takes a document out of its key; the key goes with its last one.
    fn cut(&self, plan: &mut Plan, found: &Found) {
        let (base, wanted) = plan.changes.entry(found.place.clone()).or_default();
        if let Some(before) = self.bases.get(&found.place) {
            base.clone_from(before);
        }
        let now = wanted.get(&found.key).cloned().unwrap_or_else(|| base.get(&found.key).cloned());
        let stream = now.map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default();
        let rest: Vec<&str> =
            texts(&stream).into_iter().map(|(_, text)| text).filter(|text| *text != found.text).collect();
        let value = if rest.is_empty() { None } else { Some(Bytes::from(rest.join("---\n"))) };
        wanted.insert(found.key.clone(), value);
    }

    fn want(&self, plan: &mut Plan, place: &ObjectPath, key: &str, value: Option<Bytes>) {
        let (base, wanted) = plan.changes.entry(place.clone()).or_default();
        if let Some(before) = self.bases.get(place) {
            base.clone_from(before);
        }
        wanted.insert(key.to_owned(), value);
    }
}

/// Documents of a reading with their texts.
#[must_use]
pub fn written(stream: &str, documents: &[Document]) -> Vec<Written> {
    let whole: BTreeMap<u128, &str> = texts(stream).into_iter().collect();
    documents
        .iter()
        .map(|document| Written {
            key: document.object.key.clone(),
            text: whole.get(&document.digest).copied().unwrap_or_default().to_owned(),
            place: format!("{}:{}", document.file, document.line),
        })
        .collect()
}

/// Text that ends with its last line: the cluster stores other text differently.
fn with_end(text: &str) -> String {
    format!("{}\n", text.trim_end())
}
