//! Certificates of an `igw up`: Secrets that are not there yet are filled before anything is compiled, so that listeners
//! answer at once; what igw keeps counts where nobody wrote a Secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use igw_compile::issued::wishes;
use igw_compile::{ObjectSet, Status};
use igw_crds::objects::{Kind, ObjectKey};
use igw_crds::snapshot::{Challenge, Snapshot};
use tracing::warn;

use super::shelf::Folder;
use crate::acme::exchange::Exchange;
use crate::acme::made::Values;
use crate::acme::runner::bootstrap;
use crate::certificates::vault::Place;

/// The side of the reconciler of objects.
pub struct Issuance {
    shelf: Folder,
    exchange: Exchange,
}

// === impl Issuance ===

impl Issuance {
    /// The side of the reconciler of objects.
    #[must_use]
    pub fn new(shelf: Folder, exchange: Exchange) -> Self {
        Self { shelf, exchange }
    }

    /// Tells what is wanted, and fills Secrets that are not there yet. What igw keeps for Secrets that nobody wrote.
    pub fn want(&mut self, objects: &ObjectSet) -> BTreeMap<Place, Values> {
        let is_changed = self.shelf.observe(objects);
        let wishes = wishes(objects, None);
        let mut issued = BTreeMap::new();
        for (place, wish) in &wishes.by_secret {
            if wish.refused.is_none() && !self.shelf.has(place) {
                let kept = bootstrap(wish).and_then(|values| {
                    self.shelf
                        .keep(place, &values)
                        .map_err(|error| format!("it is in memory alone ({error})"))
                });
                if let Err(error) = kept {
                    warn!(secret = %format!("{}/{}", place.0, place.1), error, "certificate for the meantime");
                }
            }
            if let Some(values) = self.shelf.made(place) {
                issued.insert(place.clone(), values);
            }
        }
        self.exchange.want(wishes, is_changed);
        issued
    }

    /// What every proxy is to answer.
    #[must_use]
    pub fn challenges(&self) -> Vec<Challenge> {
        self.exchange.challenges()
    }

    /// Adds the keys of challenges.
    pub fn add_keys(&self, keys: &mut BTreeMap<String, String>) {
        self.exchange.add_keys(keys);
    }

    /// The proxy serves a snapshot.
    pub fn served(&mut self, snapshot: &Snapshot) {
        self.exchange.served(snapshot);
    }

    /// Shows how certificates stand, in the statuses too.
    pub fn show(&self, objects: &ObjectSet, told: &mut Vec<(ObjectKey, Arc<Status>)>) {
        let issuers = objects.of_kind(Kind::CertificateIssuer);
        self.exchange.show(issuers.map(|(key, stored)| (key, stored.generation)), told);
    }
}
