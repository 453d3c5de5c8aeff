//! BackendTLSPolicy: TLS to back ends.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backend_policy::PolicyTargetReference;
use super::meta::LocalObjectReference;
use super::names::{Hostname, PreciseHostname};

/// Spec of a BackendTLSPolicy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendTlsPolicySpec {
    /// What it is for: Services and Backends of its namespace.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<PolicyTargetReference>,
    /// Whom certificates are believed from, and for which name.
    pub validation: BackendTlsValidation,
    /// Of ours: `igw.opensvc.com/fingerprints`, the SHA-256 of certificates in hexadecimal, separated by commas, for
    /// `wellKnownCACertificates: igw.opensvc.com/fingerprints`. Those of other domains are theirs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 16))]
    pub options: BTreeMap<String, String>,
}

/// How certificates of endpoints are judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendTlsValidation {
    /// ConfigMaps with certificate authorities in the key `ca.crt`. Either this or `wellKnownCACertificates`.
    #[serde(default, rename = "caCertificateRefs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8))]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// `System`: the authorities of the system. `igw.opensvc.com/fingerprints`: the certificates of the option of that
    /// name and no others, whoever signed them and whatever names they carry.
    #[serde(default, rename = "wellKnownCACertificates", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub well_known_ca_certificates: Option<String>,
    /// Name that is asked for (RFC 6066 3), and that the certificate must carry unless `subjectAltNames` says otherwise.
    pub hostname: PreciseHostname,
    /// Names of which the certificate must carry one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubjectAltName {
    /// Type; the field of this type must be there, and no other.
    pub r#type: SubjectAltNameType,
    /// For `Hostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// For `URI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub uri: Option<String>,
}

/// Type of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SubjectAltNameType {
    /// A host name.
    Hostname,
    /// A URI.
    #[serde(rename = "URI")]
    Uri,
}

/// Value of `wellKnownCACertificates` that stands for certificates by themselves, and name of the option with them.
pub const FINGERPRINTS: &str = "igw.opensvc.com/fingerprints";
