//! Certificates in a cluster: what objects want goes to the reconciler of certificates, once the operator leads; it hears
//! of changes of what it reads, and of what all proxies answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use igw_compile::issued::{quota, wishes};
use igw_compile::{ObjectSet, Status};
use igw_crds::objects::ObjectKey;
use igw_crds::snapshot::{Challenge, Snapshot};
use igw_opensvc::{ObjectItem, ObjectPath};

use super::layout::version;
use super::shelf::Seen;
use crate::acme::exchange::Exchange;

/// The engine's side.
pub struct Issuance {
    exchange: Exchange,
    seen: Arc<Seen>,
}

// === impl Issuance ===

impl Issuance {
    /// The engine's side.
    #[must_use]
    pub fn new(exchange: Exchange, seen: Arc<Seen>) -> Self {
        Self { exchange, seen }
    }

    /// Tells what is wanted.
    pub fn want(&mut self, objects: &ObjectSet) {
        self.exchange.want(wishes(objects, quota(objects)), false);
    }

    /// Takes the version of an object that an event tells.
    pub fn announce(&mut self, path: &ObjectPath, version: &str) {
        if self.seen.announce(path, version) {
            self.exchange.touch();
        }
    }

    /// Takes the versions that a list tells.
    pub fn list(&mut self, items: &[ObjectItem], node: &str) {
        for item in items {
            let own = item.instances.get(node).and_then(|instance| instance.settings.as_ref());
            if let Some(settings) = own {
                self.announce(&item.path, &version(settings));
            }
        }
    }

    /// Names of the objects that are read, for lists.
    #[must_use]
    pub fn paths(&self) -> Vec<ObjectPath> {
        self.seen.paths()
    }

    /// Nodes are lost, or all are there.
    pub fn lose(&self, has_lost: bool) {
        self.seen.lose(has_lost);
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

    /// Every live proxy serves a snapshot.
    pub fn served(&mut self, snapshot: &Snapshot) {
        self.exchange.served(snapshot);
    }

    /// Shows how certificates stand, in the statuses too, which are in order again.
    pub fn show<'k>(
        &self,
        issuers: impl Iterator<Item = (&'k ObjectKey, u64)>,
        told: &mut Vec<(ObjectKey, Arc<Status>)>,
    ) {
        let n_before = told.len();
        self.exchange.show(issuers, told);
        if told.len() != n_before {
            told.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
    }
}
