//! Certificates and accounts of an `igw up`: `<state>/acme/secrets/<namespace>/<name>.json`, mode 0600, one file for all
//! values of a Secret, and the book in `<state>/acme/orders.json`. Secrets and ConfigMaps of people come first and are
//! never written.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use igw_compile::ObjectSet;
use igw_crds::objects::core::SecretContent;
use igw_crds::objects::{Kind, Spec};
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use tracing::warn;

use super::state::{private_folder, write_atomic};
use crate::acme::made::{MARK, Values};
use crate::acme::record::Book;
use crate::acme::shelf::{Shelf, Stored};
use crate::certificates::vault::Place;

/// The shelf. A clone is the same shelf.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What igw made. What cannot be written is here alone.
    ours: BTreeMap<Place, Values>,
    /// What people wrote.
    theirs: BTreeMap<Place, Values>,
    configs: BTreeMap<(Place, String), Vec<u8>>,
}

// === impl Folder ===

impl Folder {
    /// The shelf of a state folder with what an earlier run left there.
    #[must_use]
    pub fn open(state: &Path) -> Self {
        let root = state.join("acme");
        let mut ours = BTreeMap::new();
        for namespace in names_in(&root.join(SECRETS)) {
            for file in names_in(&root.join(SECRETS).join(&namespace)) {
                let Some(name) = file.strip_suffix(".json") else { continue };
                match read(&root.join(SECRETS).join(&namespace).join(&file)) {
                    Ok(values) => drop(ours.insert((namespace.clone(), name.to_owned()), values)),
                    Err(error) => {
                        warn!(secret = %format!("{namespace}/{name}"), %error, "kept Secret cannot be read")
                    }
                }
            }
        }
        Self { root, shared: Arc::new(Mutex::new(Shared { ours, ..Shared::default() })) }
    }

    /// Takes the Secrets and ConfigMaps of people in; true if something is different.
    pub fn observe(&self, objects: &ObjectSet) -> bool {
        let mut theirs = BTreeMap::new();
        let mut configs = BTreeMap::new();
        for (key, stored) in objects.of_kind(Kind::Secret) {
            let Spec::Secret(content) = &stored.object.spec else { continue };
            theirs.insert((key.namespace.to_string(), key.name.to_string()), values_of(content));
        }
        for (key, stored) in objects.of_kind(Kind::ConfigMap) {
            let Spec::ConfigMap(content) = &stored.object.spec else { continue };
            let place = (key.namespace.to_string(), key.name.to_string());
            for name in content.data.keys().chain(content.binary_data.keys()) {
                if let Some(value) = content.value(name) {
                    configs.insert((place.clone(), name.clone()), value);
                }
            }
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = shared.configs == configs && is_same(&shared.theirs, &theirs);
        shared.theirs = theirs;
        shared.configs = configs;
        !is_same
    }

    /// What igw made and keeps for a Secret that nobody wrote.
    #[must_use]
    pub fn made(&self, place: &Place) -> Option<Values> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.ours.get(place).filter(|_| !shared.theirs.contains_key(place)).cloned()
    }

    /// Whether somebody has a Secret there, or igw.
    #[must_use]
    pub fn has(&self, place: &Place) -> bool {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.ours.contains_key(place) || shared.theirs.contains_key(place)
    }

    /// Keeps values, in memory in any case.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&self, place: &Place, values: &Values) -> io::Result<()> {
        let texts: BTreeMap<&str, &str> =
            values.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        let bytes = serde_json::to_vec(&texts)?;
        let folder = self.root.join(SECRETS).join(&place.0);
        let written = private_folder(&folder)
            .and_then(|()| write_atomic(&folder.join(format!("{}.json", place.1)), &bytes));
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.ours.insert(place.clone(), values.clone());
        written
    }
}

impl Shelf for Folder {
    async fn secret(&self, place: &Place) -> Result<Option<Stored>, String> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = shared.theirs.get(place).map(|values| Stored { values: values.clone(), is_ours: false });
        let ours = || shared.ours.get(place).map(|values| Stored { values: values.clone(), is_ours: true });
        Ok(theirs.or_else(ours))
    }

    async fn config(&self, place: &Place, name: &str) -> Result<Option<Vec<u8>>, String> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(shared.configs.get(&(place.clone(), name.to_owned())).cloned())
    }

    async fn put(&self, place: &Place, values: &Values) -> Result<(), String> {
        debug_assert!(values.0.contains_key(MARK));
        let (shelf, place, values) = (self.clone(), place.clone(), values.clone());
        blocking(move || match shelf.keep(&place, &values) {
            Ok(()) => Ok(()),
            // A state that cannot be written costs persistence, not service.
            Err(error) => {
                warn!(secret = %format!("{}/{}", place.0, place.1), %error, "certificate is in memory alone");
                Ok(())
            }
        })
        .await
    }

    async fn book(&self) -> Result<Book, String> {
        let bytes = match fs::read(self.root.join(BOOK)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
            Err(error) => {
                warn!(%error, "state of orders cannot be read; beginning anew");
                return Ok(Book::default());
            }
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            warn!(%error, "state of orders cannot be read; beginning anew");
            Book::default()
        }))
    }

    async fn keep_book(&self, book: &Book) -> Result<(), String> {
        let root = self.root.clone();
        let bytes = book.to_bytes();
        blocking(move || {
            let written = private_folder(&root).and_then(|()| write_atomic(&root.join(BOOK), &bytes));
            if let Err(error) = written {
                warn!(%error, "state of orders is in memory alone");
            }
            Ok(())
        })
        .await
    }
}

async fn blocking(act: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    tokio::task::spawn_blocking(act).await.map_err(|error| error.to_string())?
}

fn is_same(one: &BTreeMap<Place, Values>, other: &BTreeMap<Place, Values>) -> bool {
    let texts = |values: &Values| -> Vec<(String, String)> {
        values.0.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect()
    };
    one.len() == other.len()
        && one.iter().zip(other).all(|((a, one), (b, other))| a == b && texts(one) == texts(other))
}

fn values_of(content: &SecretContent) -> Values {
    let names = content.data.keys().chain(content.string_data.keys());
    let text = |name: &String| {
        let value = String::from_utf8(content.value(name)?).ok()?;
        Some((name.clone(), SecretString::from(value)))
    };
    Values(names.filter_map(text).collect())
}

fn read(file: &Path) -> io::Result<Values> {
    let texts: BTreeMap<String, String> = serde_json::from_slice(&fs::read(file)?)?;
    Ok(Values(texts.into_iter().map(|(name, text)| (name, SecretString::from(text))).collect()))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

const SECRETS: &str = "secrets";
const BOOK: &str = "orders.json";
