//! A key pair: what a Secret or `sec` holds, checked before it is used.

use std::sync::Arc;

use igw_crds::snapshot::Certificate;
use jiff::{SignedDuration, Timestamp};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension};

use super::pem;

/// A certificate with its chain and its key. The key belongs to the certificate.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What proxies are told.
    pub certificate: Certificate,
    /// The key, PEM.
    pub key: SecretString,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// It is an authority, which strict clients do not take for a server.
    is_authority: bool,
}

/// Whom a key pair is shown to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Not known: the pair was examined before.
    Any,
    /// Back ends that ask the gateway for a certificate.
    Client,
    /// Clients of a listener.
    Server,
}

/// The values of a Secret by name.
pub type Values<'v> = &'v dyn Fn(&str) -> Option<Vec<u8>>;

/// The key pair that values hold: `tls.crt` and `tls.key`, `certificate_chain` and `private_key`, or `fullpem`.
///
/// # Errors
/// Says what is wrong and what to do, without a byte of the key.
pub fn examine(secret: &str, purpose: Purpose, values: Values<'_>) -> Result<Pair, String> {
    let (certificate_name, chain, key_name, key) = if let Some(key) = values("tls.key") {
        let chain =
            values("tls.crt").ok_or("tls.crt is missing; put the certificate with its chain there")?;
        ("tls.crt", chain, "tls.key", key)
    } else if let Some(key) = values("private_key") {
        let chain = values("certificate_chain").or_else(|| values("certificate"));
        let chain = chain.ok_or("certificate_chain is missing; put the certificate with its chain there")?;
        ("certificate_chain", chain, "private_key", key)
    } else if let Some(both) = values("fullpem") {
        ("fullpem", both.clone(), "fullpem", both)
    } else if values("tls.crt").is_some() {
        return Err("tls.key is missing; put the private key there".to_owned());
    } else {
        return Err("it holds no key pair; add tls.crt and tls.key".to_owned());
    };
    let mut chain = pem::certificates(&chain).map_err(|fault| format!("{certificate_name} {fault}"))?;
    if let Some(single) = values("certificate").filter(|_| certificate_name == "certificate_chain") {
        // Some chains begin above the certificate.
        let leaf = pem::certificates(&single).map_err(|fault| format!("certificate {fault}"))?;
        if let Some(leaf) = leaf.into_iter().next().filter(|leaf| !chain.contains(leaf)) {
            chain.insert(0, leaf);
        }
    }
    let key = pem::private_key(&key).map_err(|fault| format!("{key_name} {fault}"))?;
    let text = pem::key_text(&key);
    let signer = any_supported_type(&key).map_err(|_| {
        format!("{key_name} is of a kind that is not served; use ECDSA P-256, RSA or Ed25519")
    })?;
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|one| X509Certificate::from_der(one).map(|(_, parsed)| parsed))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{certificate_name} holds something that is no certificate: {error}"))?;
    let matches = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&signer)).keys_match().is_ok()
    };
    if !chain.first().is_some_and(matches) {
        return Err(match chain.iter().position(matches) {
            Some(_) => format!(
                "{certificate_name} has its certificates in the wrong order; put that of the server first, then each one's signer"
            ),
            None => format!(
                "{key_name} is not the key of the certificate in {certificate_name}; store both together"
            ),
        });
    }
    let leaf = parsed.first().ok_or("no certificate")?;
    for pair in parsed.windows(2) {
        if pair[0].issuer() != pair[1].subject() {
            return Err(format!(
                "{certificate_name} has its certificates in the wrong order: {} did not sign {}; put each one's signer behind it",
                pair[1].subject(),
                pair[0].subject()
            ));
        }
    }
    let is_self_signed = leaf.issuer() == leaf.subject();
    if leaf.is_ca() && !is_self_signed {
        return Err(format!(
            "{certificate_name} begins with the certificate of an authority; put that of the server first"
        ));
    }
    if let Ok(Some(usage)) = leaf.extended_key_usage()
        && !usage.value.any
    {
        let (is_fit, whom, wanted) = match purpose {
            Purpose::Any => (true, "", ""),
            Purpose::Client => (usage.value.client_auth, "clients", "clientAuth"),
            Purpose::Server => (usage.value.server_auth, "servers", "serverAuth"),
        };
        if !is_fit {
            return Err(format!(
                "the certificate in {certificate_name} is not for {whom}; ask for one with {wanted}"
            ));
        }
    }
    let moment = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::UNIX_EPOCH)
    };
    let not_after = moment(leaf.validity().not_after);
    Ok(Pair {
        serial: leaf.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
        not_before: moment(leaf.validity().not_before),
        not_after,
        is_authority: leaf.is_ca(),
        certificate: Certificate {
            fingerprint: chain.first().map(fingerprint).unwrap_or_default(),
            chain: pem::chain_text(&chain),
            names: names(leaf),
            not_after: not_after.as_second(),
            secret: secret.to_owned(),
        },
        key: SecretString::from(text),
    })
}

// === impl Pair ===

impl Pair {
    /// What is wrong with it at a moment.
    #[must_use]
    pub fn fault(&self, now: Timestamp) -> Option<String> {
        if now > later(self.not_after, TOLERANCE) {
            return Some(format!("the certificate expired at {}; renew it", self.not_after));
        }
        if now < earlier(self.not_before, TOLERANCE) {
            return Some(format!(
                "the certificate is not valid before {}; use it then, or correct the clock",
                self.not_before
            ));
        }
        None
    }

    /// What deserves attention at a moment.
    #[must_use]
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        if now > earlier(self.not_after, SOON) {
            return Some(format!("the certificate expires at {}; renew it", self.not_after));
        }
        self.is_authority.then(|| {
            "the certificate is one of an authority, which strict clients refuse; make one with CA:FALSE"
                .to_owned()
        })
    }

    /// The next moment at which something of this changes.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let moments = [
            earlier(self.not_before, TOLERANCE),
            earlier(self.not_after, SOON),
            later(self.not_after, TOLERANCE),
        ];
        moments.into_iter().filter(|moment| *moment > now).min()
    }
}

/// SHA-256 of a certificate in lower-case hexadecimal.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in leaf.extensions() {
        let ParsedExtension::SubjectAlternativeName(alternatives) = extension.parsed_extension() else {
            continue;
        };
        for name in &alternatives.general_names {
            match name {
                GeneralName::DNSName(name) => names.push(name.to_lowercase()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                _ => {}
            }
        }
    }
    if names.is_empty() {
        names.extend(
            leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_lowercase),
        );
    }
    names
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(|four| std::net::IpAddr::from(four).to_string());
    four.or_else(|| {
        <[u8; 16]>::try_from(bytes).ok().map(|sixteen| std::net::IpAddr::from(sixteen).to_string())
    })
}

fn earlier(moment: Timestamp, span: SignedDuration) -> Timestamp {
    moment.checked_sub(span).unwrap_or(Timestamp::MIN)
}

fn later(moment: Timestamp, span: SignedDuration) -> Timestamp {
    moment.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// Names of values that may be part of a key pair.
pub const PAIR_VALUES: [&str; 6] =
    ["tls.crt", "tls.key", "certificate", "certificate_chain", "private_key", "fullpem"];
/// Clocks may differ by this much.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(10);
/// A certificate that ends sooner deserves attention.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
