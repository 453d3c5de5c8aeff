//! Key pairs of all Secrets that listeners use, with the last good one of each: what is broken or expired takes the
//! place of nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use igw_compile::PairState;
use igw_crds::snapshot::Snapshot;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tracing::{info, warn};
use xxhash_rust::xxh3::Xxh3;

use super::pair::{Pair, Purpose, examine};

/// Namespace and name of a Secret.
pub type Place = (String, String);

/// Key pairs by Secret.
#[derive(Debug, Default)]
pub struct Vault {
    held: BTreeMap<Place, Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Hash of the values that were looked at last.
    digest: Option<u128>,
    /// What the Secret holds now.
    newest: Option<Result<Pair, String>>,
    /// The newest that could be used.
    good: Option<Pair>,
}

// === impl Vault ===

impl Vault {
    /// The vault that an earlier run left in a folder of keys.
    #[must_use]
    pub fn load(folder: &Path) -> Self {
        let mut vault = Self::default();
        let Ok(bytes) = std::fs::read(folder.join(INDEX)) else { return vault };
        let index: BTreeMap<String, String> = serde_json::from_slice(&bytes).unwrap_or_default();
        for (secret, fingerprint) in index {
            let Some((namespace, name)) = secret.split_once('/') else { continue };
            let Ok(text) = std::fs::read(folder.join(file_name(&fingerprint))) else { continue };
            match examine(&secret, Purpose::Any, &|value| (value == "fullpem").then(|| text.clone())) {
                Ok(pair) => {
                    let held = Held { good: Some(pair), ..Held::default() };
                    vault.held.insert((namespace.to_owned(), name.to_owned()), held);
                }
                Err(fault) => warn!(secret, fault, "key pair of an earlier run cannot be used"),
            }
        }
        vault
    }

    /// Looks at the values of a Secret.
    pub fn observe(
        &mut self,
        place: Place,
        purpose: Purpose,
        names: &[&str],
        values: super::pair::Values<'_>,
    ) {
        let digest = digest(names, values) ^ purpose as u128;
        let held = self.held.entry(place.clone()).or_default();
        if held.digest == Some(digest) {
            return;
        }
        held.digest = Some(digest);
        let secret = format!("{}/{}", place.0, place.1);
        held.newest = Some(examine(&secret, purpose, values));
    }

    /// Says why a Secret cannot be looked at; what it held before stays in use.
    pub fn doubt(&mut self, place: Place, fault: &str) {
        let held = self.held.entry(place).or_default();
        held.digest = None;
        held.newest = Some(Err(fault.to_owned()));
    }

    /// Forgets a Secret that is deleted.
    pub fn forget(&mut self, place: &Place) {
        self.held.remove(place);
    }

    /// Forgets Secrets that nobody refers to any more.
    pub fn retain(&mut self, is_used: impl Fn(&Place) -> bool) {
        self.held.retain(|place, _| is_used(place));
    }

    /// What the pairs are worth at a moment. Takes good new ones into use.
    pub fn states(&mut self, now: Timestamp) -> BTreeMap<Place, PairState> {
        self.held
            .iter_mut()
            .filter_map(|(place, held)| Some((place.clone(), held.state(place, now)?)))
            .collect()
    }

    /// The keys of the certificates in a snapshot, by fingerprint.
    #[must_use]
    pub fn keys(&self, snapshot: &Snapshot) -> BTreeMap<String, String> {
        let wanted: BTreeSet<&str> =
            snapshot.certificates_with_keys().map(|certificate| certificate.fingerprint.as_str()).collect();
        let pairs = self.held.values().filter_map(|held| held.good.as_ref());
        pairs
            .filter(|pair| wanted.contains(pair.certificate.fingerprint.as_str()))
            .map(|pair| (pair.certificate.fingerprint.clone(), pair.key.expose_secret().to_owned()))
            .collect()
    }

    /// What [`Vault::load`] reads: names of files and their contents.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut index = BTreeMap::new();
        for ((namespace, name), held) in &self.held {
            let Some(pair) = &held.good else { continue };
            let fingerprint = &pair.certificate.fingerprint;
            index.insert(format!("{namespace}/{name}"), fingerprint.clone());
            let text = format!("{}{}", pair.key.expose_secret(), pair.certificate.chain);
            files.insert(file_name(fingerprint), text.into_bytes());
        }
        // Text always encodes.
        files.insert(INDEX.to_owned(), serde_json::to_vec(&index).unwrap_or_default());
        files
    }

    /// The next moment at which a pair begins or ceases to be good.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let newest = self.held.values().filter_map(|held| held.newest.as_ref()?.as_ref().ok());
        let good = self.held.values().filter_map(|held| held.good.as_ref());
        newest.chain(good).filter_map(|pair| pair.next_change(now)).min()
    }
}

// === impl Held ===

impl Held {
    fn state(&mut self, place: &Place, now: Timestamp) -> Option<PairState> {
        let fault = match self.newest.as_ref()? {
            Err(fault) => Some(fault.clone()),
            Ok(pair) => {
                let fault = pair.fault(now);
                let is_served = self.good.as_ref().is_some_and(|good| good.certificate == pair.certificate);
                if fault.is_none() && !is_served {
                    let secret = format!("{}/{}", place.0, place.1);
                    info!(secret, serial = pair.serial, not_after = %pair.not_after, "certificate taken into use");
                    self.good = Some(pair.clone());
                }
                fault
            }
        };
        let usable = self.good.as_ref();
        Some(PairState {
            warning: usable.filter(|_| fault.is_none()).and_then(|pair| pair.warning(now)),
            usable: usable.map(|pair| pair.certificate.clone()),
            fault,
        })
    }
}

fn digest(names: &[&str], values: super::pair::Values<'_>) -> u128 {
    let mut hash = Xxh3::new();
    for name in names {
        hash.update(name.as_bytes());
        hash.update(&[0]);
        if let Some(value) = values(name) {
            hash.update(&value.len().to_le_bytes());
            hash.update(&value);
        }
    }
    hash.digest128()
}

/// Name of the file of a key.
#[must_use]
pub fn file_name(fingerprint: &str) -> String {
    format!("{fingerprint}.pem")
}

/// File that says which Secret has which pair.
pub const INDEX: &str = "secrets.json";
