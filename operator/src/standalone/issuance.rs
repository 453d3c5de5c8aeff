//! Between the reconciler of objects and that of certificates: what is wanted goes there, challenges and Secrets come
//! back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use igw_compile::issued::wishes;
use igw_compile::{ObjectSet, Status};
use igw_crds::objects::ObjectKey;
use igw_crds::snapshot::{Challenge, Snapshot};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tracing::warn;

use super::shelf::Folder;
use crate::acme::made::Values;
use crate::acme::runner::{Inputs, bootstrap};
use crate::acme::standing::{Outputs, Shown, shown, statuses};
use crate::certificates::vault::Place;

/// This side of the connection.
pub struct Issuance {
    shelf: Folder,
    inputs: watch::Sender<Option<Arc<Inputs>>>,
    outputs: watch::Receiver<Arc<Outputs>>,
    /// What `igw cert` is told.
    shown: watch::Sender<Arc<Vec<Shown>>>,
    current: Inputs,
}

// === impl Issuance ===

impl Issuance {
    /// The side of the reconciler of objects.
    #[must_use]
    pub fn new(
        shelf: Folder,
        inputs: watch::Sender<Option<Arc<Inputs>>>,
        outputs: watch::Receiver<Arc<Outputs>>,
        shown: watch::Sender<Arc<Vec<Shown>>>,
    ) -> Self {
        Self { shelf, inputs, outputs, shown, current: Inputs::default() }
    }

    /// Tells what is wanted, and fills Secrets that are not there yet, so that listeners answer at once. What igw keeps
    /// for Secrets that nobody wrote.
    pub fn want(&mut self, objects: &ObjectSet) -> BTreeMap<Place, Values> {
        let is_changed = self.shelf.observe(objects);
        let wishes = wishes(objects);
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
        if is_changed || *self.current.wishes != wishes || self.inputs.borrow().is_none() {
            self.current.wishes = Arc::new(wishes);
            self.current.revision += u64::from(is_changed);
            self.inputs.send_replace(Some(Arc::new(self.current.clone())));
        }
        issued
    }

    /// What every proxy is to answer.
    #[must_use]
    pub fn challenges(&self) -> Vec<Challenge> {
        self.outputs.borrow().challenges.clone()
    }

    /// Adds the keys of challenges.
    pub fn add_keys(&self, keys: &mut BTreeMap<String, String>) {
        let outputs = self.outputs.borrow();
        keys.extend(outputs.keys.iter().map(|(name, key)| (name.clone(), key.expose_secret().to_owned())));
    }

    /// The proxy serves a snapshot.
    pub fn served(&mut self, snapshot: &Snapshot) {
        let answered: BTreeSet<String> =
            snapshot.challenges.iter().map(|challenge| challenge.id().to_owned()).collect();
        if answered != self.current.answered && self.inputs.borrow().is_some() {
            self.current.answered = answered;
            self.inputs.send_replace(Some(Arc::new(self.current.clone())));
        }
    }

    /// Statuses of Certificates and their issuers.
    #[must_use]
    pub fn statuses(&self, objects: &ObjectSet) -> Vec<(ObjectKey, Arc<Status>)> {
        let outputs = self.outputs.borrow().clone();
        let now = Timestamp::now();
        self.shown.send_replace(Arc::new(shown(&self.current.wishes, &outputs, now)));
        statuses(objects, &self.current.wishes, &outputs, now)
    }
}
