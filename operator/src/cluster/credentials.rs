//! Who may sync: an authority of the operator's own, its server certificate, one client certificate per gateway.
//!
//! The authority rests in `system/sec/igw`, a gateway's credential in `<ns>/sec/igw-<gateway>`. What counts is the
//! certificate that rests there now: replacing it shuts the old one out at once, so that validity is long.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::certificates::sessions::SessionSecret;

/// The authority.
pub struct Authority {
    certificate: String,
    key: String,
}

/// A gateway's credential.
pub struct Credential {
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
}

// === impl Authority ===

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// The system's, where it has no randomness.
    pub fn make() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = params(NAME, true)?.self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The one that keys hold; `None` where they hold none.
    #[must_use]
    pub fn read<'k>(find: impl Fn(&str) -> Option<&'k Bytes>) -> Option<Self> {
        let text = |name: &str| Some(std::str::from_utf8(find(name)?).ok()?.to_owned());
        let found = Self { certificate: text(CERTIFICATE)?, key: text(KEY)? };
        CertificateDer::from_pem_slice(found.certificate.as_bytes()).ok()?;
        KeyPair::from_pem(&found.key).ok()?;
        Some(found)
    }

    /// The keys that hold it.
    #[must_use]
    pub fn keys(&self) -> BTreeMap<String, Bytes> {
        let entry = |name: &str, text: &str| (name.to_owned(), Bytes::from(text.to_owned()));
        [entry(CERTIFICATE, &self.certificate), entry(KEY, &self.key)].into()
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What keys of sessions are derived from: it lasts as long as the authority, whatever operator runs.
    #[must_use]
    pub fn sessions(&self) -> SessionSecret {
        SessionSecret::of(&self.key)
    }

    /// A credential for a gateway.
    ///
    /// # Errors
    /// The system's, where it has no randomness.
    pub fn certify(&self, gateway: &str) -> anyhow::Result<Credential> {
        let key = KeyPair::generate()?;
        let mut params = params(gateway, false)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = self.sign(&params, &key)?;
        Ok(Credential { certificate, key: key.serialize_pem() })
    }

    /// TLS for clients of the dialect: a fresh certificate for [`SERVER_NAME`] and this machine; they show tokens.
    ///
    /// # Errors
    /// What is wrong with the authority.
    pub fn dialect(&self) -> anyhow::Result<ServerConfig> {
        let names = [SERVER_NAME, "localhost", "127.0.0.1", "::1"];
        let (chain, key) = self.serving(&names)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// TLS for the sync door: a fresh certificate for [`SERVER_NAME`], and callers that this authority certified.
    ///
    /// # Errors
    /// What is wrong with the authority.
    pub fn server(&self) -> anyhow::Result<ServerConfig> {
        let (chain, key) = self.serving(&[SERVER_NAME])?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes())?)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        Ok(config)
    }

    /// A fresh certificate of a server with these names.
    fn serving(
        &self,
        names: &[&str],
    ) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate()?;
        let mut params = params(SERVER_NAME, false)?;
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => rcgen::SanType::IpAddress(address),
                Err(_) => rcgen::SanType::DnsName((*name).try_into()?),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = self.sign(&params, &key)?;
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes())?];
        Ok((chain, PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?))
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> anyhow::Result<String> {
        let authority = self::params(NAME, true)?;
        let issuer =
            Issuer::from_params(&authority, KeyPair::from_pem(&self.key).context("key of the authority")?);
        Ok(params.signed_by(key, &issuer)?.pem())
    }
}

// === impl Credential ===

impl Credential {
    /// The certificate in DER; `None` if it is none.
    #[must_use]
    pub fn der(certificate: &[u8]) -> Option<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(certificate).ok()
    }
}

fn params(name: &str, is_authority: bool) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2126, 1, 1);
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    Ok(params)
}

/// Name that the operator proves to proxies, whatever its address.
pub const SERVER_NAME: &str = "igw-operator";
const NAME: &str = "igw sync";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_survives_its_keys_and_shows_no_other_door() {
        let made = Authority::make().unwrap();
        let keys = made.keys();
        let read = Authority::read(|name| keys.get(name)).unwrap();
        assert_eq!(read.certificate(), made.certificate());
        assert!(read.server().is_ok());
        let credential = read.certify("shop/public").unwrap();
        assert!(Credential::der(credential.certificate.as_bytes()).is_some());
        assert!(Authority::read(|_| None).is_none());
    }
}
