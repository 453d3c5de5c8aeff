//! ClientPolicy: what a gateway believes of its clients and asks of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backend_policy::PolicyTargetReference;
use super::names::{Cidr, HeaderName, TimeSpan};

/// Spec of a ClientPolicy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientPolicySpec {
    /// What it is for: Gateways of its namespace, or single listeners of them (`sectionName`).
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<PolicyTargetReference>,
    /// Networks whose clients are proxies that tell the truth: their `X-Forwarded-*`, `Forwarded`, `X-Real-IP` and
    /// `X-Request-Id` are passed on. Default: none, and all of these are written anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub trusted_proxies: Vec<Cidr>,
    /// The PROXY protocol. Default: not spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ClientProxyProtocol>,
    /// `Strict-Transport-Security` of answers over TLS. Default: none is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    /// TLS with clients. Options of a listener (`tls.options`) come before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// HTTP/2 with clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http2: Option<ClientHttp2>,
}

/// The PROXY protocol with clients, versions 1 and 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientProxyProtocol {
    /// Networks whose connections begin with a PROXY header and must. From others it is payload.
    #[schemars(length(min = 1, max = 64))]
    pub trusted: Vec<Cidr>,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hsts {
    /// How long browsers remember to use TLS alone; `0s` makes them forget. Default `8760h`, a year.
    #[serde(default = "a_year")]
    pub max_age: TimeSpan,
    /// Also for all names below. Default false.
    #[serde(default)]
    pub include_sub_domains: bool,
    /// Agrees to lists that browsers ship; hard to undo. Default false.
    #[serde(default)]
    pub preload: bool,
}

/// TLS with clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientTls {
    /// Lowest version. Default `1.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<MinTlsVersion>,
    /// Cipher suites by their IANA names, best first; empty = all that are safe. Default: empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    pub cipher_suites: Vec<String>,
    /// Protocols offered, best first: `h2`, `http/1.1`; empty = both, and on TLS listeners none. Default: empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub alpn: Vec<String>,
    /// Field that tells back ends the subject of the verified client certificate (RFC 4514); such a field of a client is
    /// removed. Default: empty, none is sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub client_subject_header: String,
}

/// Lowest version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MinTlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

/// HTTP/2 with clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientHttp2 {
    /// Requests of one connection at a time, 1 to 1000. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_streams: Option<u32>,
}

// === impl ClientTls ===

impl ClientTls {
    /// The field for the subject, if one is wanted and it may be set.
    #[must_use]
    pub fn subject_field(&self) -> Option<String> {
        let name = HeaderName::parse(self.client_subject_header.clone()).ok()?;
        Some(name.as_str().to_ascii_lowercase())
    }
}

fn a_year() -> TimeSpan {
    #[allow(clippy::expect_used)]
    TimeSpan::parse("8760h").expect("words of the source are valid")
}
