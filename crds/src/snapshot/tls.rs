//! TLS in the snapshot: what a listener ends, and what is begun with back ends. Certificates are here, their private keys never are: they travel beside
//! the snapshot, by fingerprint.

use serde::{Deserialize, Serialize};

/// TLS that a listener ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerTls {
    /// Certificates, in order of preference. Never empty.
    pub certificates: Vec<Certificate>,
    /// Lowest version.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Names of [`CIPHER_SUITES`] in order of preference; empty = all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<String>,
    /// Protocols of [`ALPN`] in order of preference. Empty on TLS listeners that agree on none.
    pub alpn: Vec<String>,
    /// How client certificates are judged; `None` = none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientVerification>,
}

/// A certificate with its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of the certificate in lower-case hexadecimal; names its private key.
    pub fingerprint: String,
    /// The certificate and those that sign it, PEM, leaf first.
    pub chain: String,
    /// Names it is for, in lower case: exact ones and `*.suffix`.
    #[serde(default)]
    pub names: Vec<String>,
    /// End of validity, in seconds since the epoch.
    pub not_after: i64,
    /// `namespace/name` of the Secret.
    pub secret: String,
}

/// How client certificates are judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientVerification {
    /// Certificate authorities, PEM.
    pub authorities: String,
    /// Clients without a valid certificate are refused; else they are served as unverified.
    pub is_required: bool,
}

/// TLS to the endpoints of a back end (BackendTLSPolicy).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendTls {
    /// Name asked for (RFC 6066 3), and the one that the certificate must carry where `names` is empty.
    pub server_name: String,
    /// Names of which the certificate must carry one; empty = `server_name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<SubjectAltName>,
    /// Whom certificates are believed from.
    pub trust: Trust,
}

/// Whom certificates of endpoints are believed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum Trust {
    /// Certificate authorities, PEM.
    Authorities(String),
    /// The authorities of the system.
    System,
    /// Nobody but the holders of these certificates, by SHA-256 in lower-case hexadecimal, whatever they say.
    Fingerprints(Vec<String>),
    /// Nobody: no connection comes about.
    Nobody,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum SubjectAltName {
    /// A host name, or `*.suffix`.
    Hostname(String),
    /// A URI, byte for byte.
    Uri(String),
}

/// Version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

/// Cipher suites that can be chosen, by their IANA names, best first. All encrypt with AEAD; those of TLS 1.2 agree on
/// keys that no later theft of the certificate's key reveals.
pub const CIPHER_SUITES: [&str; 9] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Protocols that can be negotiated, best first.
pub const ALPN: [&str; 2] = ["h2", "http/1.1"];
