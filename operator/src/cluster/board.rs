//! The board of the operator: the newest snapshot of each gateway, for the proxies that hold its credential.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use igw_crds::sync::{Hint, SyncRequest};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};

use crate::doors::http::Caller;
use crate::doors::sync_server::{Board, Hints, Newest, Sealed};

/// Snapshots by `namespace/name` of gateways. Clones share it.
#[derive(Clone, Debug)]
pub struct Gateways {
    places: Arc<Mutex<BTreeMap<String, Place>>>,
    reports: mpsc::UnboundedSender<SyncRequest>,
}

#[derive(Debug)]
struct Place {
    newest: watch::Sender<Option<Arc<Sealed>>>,
    hints: watch::Sender<Vec<Hint>>,
    /// Names that its back ends are found by.
    names: BTreeSet<String>,
    /// Digest of the certificate that may read it.
    credential: Option<[u8; 32]>,
}

// === impl Gateways ===

impl Gateways {
    /// A board without gateways, and the reports that proxies will hand in.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<SyncRequest>) {
        let (reports, received) = mpsc::unbounded_channel();
        (Self { places: Arc::default(), reports }, received)
    }

    /// Says which certificate, in DER, may read the snapshots of a gateway.
    pub fn admit(&self, gateway: &str, certificate: &[u8]) {
        self.lock().entry(gateway.to_owned()).or_default().credential = Some(fingerprint(certificate));
    }

    /// Puts a snapshot up.
    pub fn publish(&self, gateway: &str, sealed: Arc<Sealed>, names: BTreeSet<String>) {
        let mut places = self.lock();
        let place = places.entry(gateway.to_owned()).or_default();
        place.names = names;
        place.newest.send_replace(Some(sealed));
    }

    /// Tells the proxies that use a name to look it up again now.
    pub fn hint(&self, fqdn: &str) {
        for place in self.lock().values().filter(|place| place.names.contains(fqdn)) {
            place.hints.send_replace(vec![Hint::Resolve { fqdn: fqdn.to_owned() }]);
        }
    }

    /// Gives the proxies of a gateway a hint.
    pub fn tell(&self, gateway: &str, hint: Hint) {
        if let Some(place) = self.lock().get(gateway) {
            place.hints.send_replace(vec![hint]);
        }
    }

    /// Takes everything down but these gateways.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.lock().retain(|gateway, _| exists(gateway));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        // Every change leaves the map whole.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board for Gateways {
    fn newest(&self, asked: &SyncRequest, caller: &Caller) -> Result<Newest, String> {
        let gateway = asked.gateway.as_deref().unwrap_or_default();
        let places = self.lock();
        let place = places.get(gateway).ok_or_else(|| format!("there is no gateway {gateway}"))?;
        let is_holder = match (caller, &place.credential) {
            (Caller::Certified(certificate), Some(credential)) => fingerprint(certificate) == *credential,
            _ => false,
        };
        if !is_holder {
            return Err(format!("this certificate is not the one of gateway {gateway}"));
        }
        Ok(place.newest.subscribe())
    }

    fn hints(&self, asked: &SyncRequest) -> Option<Hints> {
        self.lock().get(asked.gateway.as_deref()?).map(|place| place.hints.subscribe())
    }

    fn report(&self, asked: SyncRequest) {
        // The operator reads reports as long as it lives.
        let _ = self.reports.send(asked);
    }
}

// === impl Place ===

impl Default for Place {
    fn default() -> Self {
        Self {
            newest: watch::channel(None).0,
            hints: watch::channel(Vec::new()).0,
            names: BTreeSet::new(),
            credential: None,
        }
    }
}

fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}
