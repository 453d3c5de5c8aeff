//! Resolver: how names are asked for.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{PortNumber, TimeSpan};

/// Spec of a Resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResolverSpec {
    /// Servers, asked before those of resolv.conf.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub nameservers: Vec<Nameserver>,
    /// Follow the host's resolv.conf. Default: false where `nameservers` names any, else true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_resolv_conf: Option<bool>,
    /// Apply the search list. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<bool>,
    /// EDNS payload in bytes, 512 to 8192. Default 8192.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 512, max = 8192))]
    pub edns_payload: Option<u16>,
    /// Time limit of one try. Default `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
    /// Tries after the first one. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: Option<u32>,
}

/// A name server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nameserver {
    /// IPv4 or IPv6 address.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// Port. Default 53.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortNumber>,
}
