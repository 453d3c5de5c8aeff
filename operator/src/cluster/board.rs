//! The board of the operator: the newest snapshot of each gateway, for the proxies that hold its credential.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use igw_crds::sync::SyncRequest;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};

use crate::doors::http::Caller;
use crate::doors::sync_server::{Board, Newest, Sealed};

/// Snapshots by `namespace/name` of gateways. Clones share it.
#[derive(Clone, Debug)]
pub struct Gateways {
    places: Arc<Mutex<BTreeMap<String, Place>>>,
    reports: mpsc::UnboundedSender<SyncRequest>,
}

#[derive(Debug)]
struct Place {
    newest: watch::Sender<Option<Arc<Sealed>>>,
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
    pub fn publish(&self, gateway: &str, sealed: Arc<Sealed>) {
        self.lock().entry(gateway.to_owned()).or_default().newest.send_replace(Some(sealed));
    }

    /// What is up for a gateway.
    #[must_use]
    pub fn newest_of(&self, gateway: &str) -> Option<Arc<Sealed>> {
        self.lock().get(gateway).and_then(|place| place.newest.borrow().clone())
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

    fn report(&self, asked: SyncRequest) {
        // The operator reads reports as long as it lives.
        let _ = self.reports.send(asked);
    }
}

// === impl Place ===

impl Default for Place {
    fn default() -> Self {
        Self { newest: watch::channel(None).0, credential: None }
    }
}

fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}
