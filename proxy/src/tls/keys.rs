//! Private keys by the fingerprint of their certificate, and those that seal sessions by name. They come beside snapshots and rest in files of mode 0600.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use igw_crds::snapshot::{Certificate, Snapshot};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::sessions::SessionKey;

/// The keys of this process.
#[derive(Default)]
pub(crate) struct Keys {
    texts: BTreeMap<String, String>,
    /// Certificates with their keys, ready for handshakes.
    ready: BTreeMap<String, Arc<CertifiedKey>>,
}

// === impl Keys ===

impl Keys {
    /// Takes keys in.
    pub(crate) fn add(&mut self, keys: &BTreeMap<String, String>) {
        self.texts.extend(keys.iter().map(|(fingerprint, text)| (fingerprint.clone(), text.clone())));
    }

    /// Takes the keys of a folder in.
    pub(crate) fn add_folder(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let fingerprint = name.to_str().and_then(|name| name.strip_suffix(".pem"));
            if let (Some(fingerprint), Ok(text)) = (fingerprint, std::fs::read_to_string(entry.path())) {
                self.texts.insert(fingerprint.to_owned(), text);
            }
        }
    }

    /// Forgets keys that no snapshot needs.
    pub(crate) fn retain(&mut self, snapshot: &Snapshot) {
        let of_sessions = snapshot.session_keys();
        let certificates = snapshot.certificates_with_keys();
        let wanted: BTreeSet<&str> = certificates
            .map(|certificate| certificate.fingerprint.as_str())
            .chain(of_sessions.keys().map(String::as_str))
            .collect();
        self.texts.retain(|fingerprint, _| wanted.contains(fingerprint.as_str()));
        self.ready.retain(|fingerprint, _| wanted.contains(fingerprint.as_str()));
    }

    /// The key that seals the sessions of a gateway, if it arrived.
    pub(crate) fn session(&self, name: &str) -> Option<SessionKey> {
        SessionKey::parse(self.texts.get(name)?)
    }

    /// All of them, as they rest in files.
    pub(crate) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// A certificate with its key.
    ///
    /// # Errors
    /// Says what is missing or does not fit, without a byte of the key.
    pub(crate) fn certified(&mut self, certificate: &Certificate) -> Result<Arc<CertifiedKey>, String> {
        if let Some(ready) = self.ready.get(&certificate.fingerprint) {
            return Ok(Arc::clone(ready));
        }
        let certified = self.unverified(certificate)?;
        certified
            .keys_match()
            .map_err(|_| format!("certificate of Secret {}: the key is another one's", certificate.secret))?;
        let certified = Arc::new(certified);
        self.ready.insert(certificate.fingerprint.clone(), Arc::clone(&certified));
        Ok(certified)
    }

    /// A certificate with its key, which nobody has compared: the library does not read certificates of challenges, whose
    /// critical extension it does not know.
    ///
    /// # Errors
    /// As [`Keys::certified`].
    pub(crate) fn unverified(&self, certificate: &Certificate) -> Result<CertifiedKey, String> {
        let of = |what: &str| format!("certificate of Secret {}: {what}", certificate.secret);
        let text = self.texts.get(&certificate.fingerprint).ok_or_else(|| of("its key did not arrive"))?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| of("its key is no PEM text"))?;
        let signer = any_supported_type(&key).map_err(|_| of("its key is of a kind that is not served"))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect();
        let chain = chain.map_err(|_| of("it is no PEM text"))?;
        Ok(CertifiedKey::new(chain, signer))
    }
}
