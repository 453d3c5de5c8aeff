//! What igw makes itself: keys, signing requests, certificates that sign themselves, and the values of a Secret.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use igw_crds::objects::certificate::KeyAlgorithm;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize,
    SerialNumber, date_time_ymd,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::plan::Held;
use crate::certificates::pair::{Pair, Purpose, examine};
use crate::certificates::pem;

/// Values of a Secret by name. What they are shows nowhere.
#[derive(Clone, Default)]
pub struct Values(pub BTreeMap<String, SecretString>);

/// What igw writes beside a certificate: the mark that the Secret is its own, and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// `namespace/name` of the issuer; empty for what only fills the time.
    pub issuer: String,
    /// It only fills the time until the real one is there.
    pub bootstrap: bool,
    /// When it was made.
    pub made: Option<Timestamp>,
    /// URL of the order that it came of.
    pub order: Option<String>,
}

// === impl Values ===

impl Values {
    /// A value as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.expose_secret())
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, text: impl Into<String>) {
        self.0.insert(name.to_owned(), SecretString::from(text.into()));
    }

    /// What is held, if it is a key pair of ours.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        let mark = self.mark()?;
        let pair = self.pair()?;
        Some(Held {
            serial: pair.serial,
            names: pair.certificate.names.into_iter().collect(),
            issuer: mark.issuer,
            is_bootstrap: mark.bootstrap,
            not_before: pair.not_before,
            not_after: pair.not_after,
        })
    }

    /// Where it came from.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        serde_json::from_str(self.text(MARK)?).ok()
    }

    /// The key pair, if there is a good one.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        examine("", Purpose::Server, &|name| self.text(name).map(|text| text.as_bytes().to_vec())).ok()
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A new private key, PEM (PKCS #8).
///
/// # Errors
/// Says that the library refused.
pub fn new_key(algorithm: KeyAlgorithm) -> Result<SecretString, String> {
    let made = match algorithm {
        KeyAlgorithm::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyAlgorithm::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyAlgorithm::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyAlgorithm::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    };
    made.map(|key| SecretString::from(key.serialize_pem())).map_err(of_library)
}

/// A signing request for names (RFC 2986), DER.
///
/// # Errors
/// Says what is wrong with the key or a name.
pub fn signing_request(key: &SecretString, hostnames: &[String]) -> Result<Vec<u8>, String> {
    let key = KeyPair::from_pem(key.expose_secret()).map_err(of_library)?;
    let mut params = CertificateParams::new(hostnames.to_vec()).map_err(of_library)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(of_library)?;
    Ok(request.der().to_vec())
}

/// Values of a Secret whose certificate signs itself: no authority, for servers alone.
///
/// # Errors
/// Says what is wrong with a name.
pub fn self_signed(
    algorithm: KeyAlgorithm,
    hostnames: &[String],
    days: u32,
    mark: &Mark,
    now: Timestamp,
) -> Result<Values, String> {
    let text = new_key(algorithm)?;
    let key = KeyPair::from_pem(text.expose_secret()).map_err(of_library)?;
    let mut params = CertificateParams::new(hostnames.to_vec()).map_err(of_library)?;
    params.distinguished_name = DistinguishedName::new();
    // A common name has at most 64 characters (RFC 5280 A.1).
    if let Some(name) = hostnames.first().filter(|name| name.len() <= 64) {
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let serial = Sha256::digest(key.public_key_raw());
    params.serial_number = Some(SerialNumber::from(serial.iter().take(16).copied().collect::<Vec<u8>>()));
    let begin = now.checked_sub(SignedDuration::from_mins(5)).unwrap_or(now);
    let end = now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(now);
    let since_1970 = |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(begin);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(end);
    let certificate = params.self_signed(&key).map_err(of_library)?.pem();
    values(&text, &certificate, mark)
}

/// Values of a Secret: `private_key certificate certificate_chain fullpem serial_number` and the mark.
///
/// # Errors
/// Says what is wrong with the pair; nothing of it is used then.
pub fn values(key: &SecretString, chain: &str, mark: &Mark) -> Result<Values, String> {
    let certificates = pem::certificates(chain.as_bytes())?;
    let leaf = certificates.get(..1).map(pem::chain_text).unwrap_or_default();
    let chain = pem::chain_text(&certificates);
    let mut made = Values::default();
    made.set("private_key", key.expose_secret());
    made.set("fullpem", format!("{}{chain}", key.expose_secret()));
    made.set("certificate", leaf);
    made.set("certificate_chain", chain);
    made.set(MARK, serde_json::to_string(mark).unwrap_or_default());
    let pair = examine("", Purpose::Server, &|name| made.text(name).map(|text| text.as_bytes().to_vec()))?;
    made.set("serial_number", pair.serial);
    Ok(made)
}

/// The certificate that answers a challenge by handshake (RFC 8737 3), PEM, with its key.
///
/// # Errors
/// Says what is wrong with the name.
pub fn challenge_certificate(hostname: &str, answer: &str) -> Result<(SecretString, String), String> {
    let key = KeyPair::generate().map_err(of_library)?;
    let mut params = CertificateParams::new(vec![hostname.to_owned()]).map_err(of_library)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&Sha256::digest(answer.as_bytes()))];
    let certificate = params.self_signed(&key).map_err(of_library)?.pem();
    Ok((SecretString::from(key.serialize_pem()), certificate))
}

/// Names a certificate where an authority is asked about it (RFC 9773 4.1): its signer's key and its serial number.
#[must_use]
pub fn renewal_name(values: &Values) -> Option<String> {
    let leaf = pem::certificates(values.text("certificate")?.as_bytes()).ok()?.into_iter().next()?;
    let (_, parsed) = X509Certificate::from_der(&leaf).ok()?;
    let signer = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        x509_parser::prelude::ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            identifier.key_identifier.as_ref().map(|key| key.0.to_vec())
        }
        _ => None,
    })?;
    Some(format!("{}.{}", super::jose::encode(&signer), super::jose::encode(parsed.raw_serial())))
}

/// Whether the top of a chain was issued by a common name.
#[must_use]
pub fn is_issued_by(chain: &str, name: &str) -> bool {
    let Ok(chain) = pem::certificates(chain.as_bytes()) else { return false };
    let Some(top) = chain.last() else { return false };
    let Ok((_, parsed)) = X509Certificate::from_der(top) else { return false };
    parsed.issuer().iter_common_name().any(|common| common.as_str().is_ok_and(|common| common == name))
}

fn of_library(error: rcgen::Error) -> String {
    error.to_string()
}

/// Value that marks a Secret as made by igw.
pub const MARK: &str = "igw.json";
/// Value with the key of an order under way.
pub const NEXT_KEY: &str = "igw.next-key";
/// Value with which people ask for a new certificate, in a cluster: any text, another one each time.
pub const RENEW: &str = "igw.renew";
/// Life of certificates that fill the time, in days.
pub const BOOTSTRAP_DAYS: u32 = 90;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn self_signed_certificates_are_no_authorities_and_are_taken() {
        let now = Timestamp::now();
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Rsa2048] {
            let mark = Mark { issuer: "a/b".to_owned(), bootstrap: true, made: Some(now), order: None };
            let names = ["a.test".to_owned(), "*.b.test".to_owned()];
            let values = self_signed(algorithm, &names, 90, &mark, now).unwrap();
            let held = values.held().unwrap();
            assert_eq!((held.issuer.as_str(), held.is_bootstrap), ("a/b", true));
            assert_eq!(held.names, names.iter().cloned().collect::<BTreeSet<String>>());
            let pair = values.pair().unwrap();
            assert_eq!((pair.fault(now), pair.warning(now)), (None, None));
            assert_eq!(values.text("serial_number"), Some(pair.serial.as_str()));
            assert!(!format!("{values:?}").contains("PRIVATE"));
        }
    }

    #[test]
    fn a_foreign_key_is_refused() {
        let mark = Mark::default();
        let good =
            self_signed(KeyAlgorithm::EcdsaP256, &["a.test".to_owned()], 1, &mark, Timestamp::now()).unwrap();
        let other = new_key(KeyAlgorithm::EcdsaP256).unwrap();
        assert!(values(&other, good.text("certificate").unwrap(), &mark).is_err());
    }
}
