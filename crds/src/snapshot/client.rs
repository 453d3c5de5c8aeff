//! Clients in the snapshot: what a listener believes of them and asks of them.

use serde::{Deserialize, Serialize};

/// What a listener believes of its clients and asks of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientRules {
    /// Networks of proxies whose `X-Forwarded-*` are believed, in CIDR form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// Networks whose connections begin with a PROXY header, in CIDR form. What listeners of one port say counts
    /// together: the header comes before the name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxy_protocol: Vec<String>,
    /// Value of `Strict-Transport-Security` on answers over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts: Option<String>,
    /// Field, in lower case, for the subject of the verified client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_field: Option<String>,
    /// Streams of one HTTP/2 connection at a time; `None` = the proxy's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2_streams: Option<u32>,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProxyVersion {
    /// A line of text.
    #[serde(rename = "v1")]
    V1,
    /// Binary.
    #[serde(rename = "v2")]
    V2,
}
