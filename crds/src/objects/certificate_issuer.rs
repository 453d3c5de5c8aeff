//! CertificateIssuer: who certifies names, and how names are proven.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{Hostname, ObjectName};

/// Spec of a CertificateIssuer: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateIssuerSpec {
    /// A certificate authority that speaks ACME (RFC 8555).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeIssuer>,
    /// Certificates sign themselves, valid for 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<SelfSignedIssuer>,
}

/// Certificates that sign themselves. There is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelfSignedIssuer {}

/// An authority that speaks ACME.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcmeIssuer {
    /// URL of the directory, `https`.
    #[schemars(length(min = 9, max = 2048))]
    pub directory: String,
    /// Where the authority may write to. Default: nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 254))]
    pub email: String,
    /// Secret of the same namespace that holds the key of the account, `private_key`; made if it is absent.
    pub account_key_ref: SameNamespaceReference,
    /// Account of the authority's own that the ACME account is bound to. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<ExternalAccountBinding>,
    /// ConfigMap of the same namespace with the authorities, `ca.crt`, that certify the directory's server. Default:
    /// those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<SameNamespaceReference>,
    /// Profile that orders ask for, if the directory has it. Default: the authority's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub profile: String,
    /// Common name of the issuer at the top of the chain to choose, where the authority offers several. Default: the
    /// first chain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub preferred_chain: String,
    /// Renew when the authority suggests it (RFC 9773), if it does. Default true.
    #[serde(default = "yes", rename = "preferARI", skip_serializing_if = "is_yes")]
    pub prefer_ari: bool,
    /// Ways to prove names; the first whose selector has the name and that can prove it counts. Default: `http01`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub solvers: Vec<Solver>,
}

/// Refers to an object of the same namespace by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SameNamespaceReference {
    /// Name.
    pub name: ObjectName,
}

/// Binds the ACME account to one that the authority knows already (RFC 8555 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalAccountBinding {
    /// Name of the key.
    #[serde(rename = "keyID")]
    #[schemars(length(min = 1, max = 512))]
    pub key_id: String,
    /// Secret of the same namespace that holds the key, `hmac`, in base64url.
    pub hmac_ref: SameNamespaceReference,
}

/// One way to prove names: exactly one of `http01`, `tlsAlpn01` and `dns01`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Solver {
    /// By an answer over HTTP on port 80 (RFC 8555 8.3). Not for wildcards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http01: Option<NoSettings>,
    /// By a handshake on port 443 (RFC 8737). Not for wildcards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_alpn01: Option<NoSettings>,
    /// By a record in DNS (RFC 8555 8.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns01: Option<DnsSolver>,
    /// Names it is for. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<SolverSelector>,
}

/// There is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NoSettings {}

/// How records come into DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsSolver {
    /// By updates to a name server.
    pub rfc2136: DnsUpdates,
}

/// Updates to a name server (RFC 2136), signed (RFC 8945).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsUpdates {
    /// Address of the primary name server, with a port if it is not 53.
    #[schemars(length(min = 2, max = 64))]
    pub server: String,
    /// Secret of the same namespace with the key: `secret` in base64, `name` (default: the Secret's name). The algorithm
    /// is hmac-sha256.
    pub tsig_secret_ref: SameNamespaceReference,
    /// Zone to update. Default: the longest one above the name that the server takes updates for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Hostname>,
}

/// Names that a solver is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SolverSelector {
    /// Host names; `*.` stands for itself and for every name below.
    #[schemars(length(min = 1, max = 64))]
    pub hostnames: Vec<Hostname>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_yes(answer: &bool) -> bool {
    *answer
}
