//! Between whoever compiles objects and the reconciler of certificates: what is wanted goes there, challenges and how
//! certificates stand come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use igw_compile::Status;
use igw_compile::issued::Wishes;
use igw_crds::objects::ObjectKey;
use igw_crds::snapshot::{Challenge, Snapshot};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use super::runner::Inputs;
use super::standing::{Outputs, Shown, shown, statuses};

/// The side of whoever compiles.
pub struct Exchange {
    inputs: watch::Sender<Option<Arc<Inputs>>>,
    outputs: watch::Receiver<Arc<Outputs>>,
    /// What `igw cert` is told.
    shown: watch::Sender<Arc<Vec<Shown>>>,
    current: Inputs,
}

// === impl Exchange ===

impl Exchange {
    /// Two ends of channels whose others are the runner's, and one for who shows certificates.
    #[must_use]
    pub fn new(
        inputs: watch::Sender<Option<Arc<Inputs>>>,
        outputs: watch::Receiver<Arc<Outputs>>,
        shown: watch::Sender<Arc<Vec<Shown>>>,
    ) -> Self {
        Self { inputs, outputs, shown, current: Inputs::default() }
    }

    /// Tells what is wanted, if that is new, or if what wishes refer to is.
    pub fn want(&mut self, wishes: Wishes, is_changed: bool) {
        if is_changed || *self.current.wishes != wishes || self.inputs.borrow().is_none() {
            self.current.wishes = Arc::new(wishes);
            self.current.revision += u64::from(is_changed);
            self.tell();
        }
    }

    /// Tells that something changed that wishes refer to.
    pub fn touch(&mut self) {
        self.current.revision += 1;
        if self.inputs.borrow().is_some() {
            self.tell();
        }
    }

    /// Tells which challenges every live proxy answers: those of a snapshot that all of them serve.
    pub fn served(&mut self, snapshot: &Snapshot) {
        let is_same = self.current.answered.len() == snapshot.challenges.len()
            && snapshot.challenges.iter().all(|challenge| self.current.answered.contains(challenge.id()));
        if !is_same && self.inputs.borrow().is_some() {
            let ids = snapshot.challenges.iter().map(|challenge| challenge.id().to_owned());
            self.current.answered = ids.collect::<BTreeSet<String>>();
            self.tell();
        }
    }

    /// Shows how certificates stand: adds the statuses of Certificates and of their issuers, which come with their
    /// generations, and what Gateways are to be told.
    pub fn show<'k>(
        &self,
        issuers: impl Iterator<Item = (&'k ObjectKey, u64)>,
        told: &mut Vec<(ObjectKey, Arc<Status>)>,
    ) {
        let outputs = Arc::clone(&self.outputs.borrow());
        let now = Timestamp::now();
        self.shown.send_replace(Arc::new(shown(&self.current.wishes, &outputs, now)));
        statuses(issuers, &self.current.wishes, &outputs, now, told);
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

    fn tell(&self) {
        self.inputs.send_replace(Some(Arc::new(self.current.clone())));
    }
}
