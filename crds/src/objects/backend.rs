//! Backend: endpoints that no Service names.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{PortNumber, PreciseHostname};

/// Spec of a Backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendSpec {
    /// Endpoints, any mixture; `fqdn` entries are server templates.
    #[schemars(length(min = 1, max = 1024))]
    pub endpoints: Vec<BackendEndpoint>,
}

/// One endpoint: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendEndpoint {
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpEndpoint>,
    /// A name that DNS resolves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<FqdnEndpoint>,
    /// A Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix: Option<UnixEndpoint>,
}

/// An address and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IpEndpoint {
    /// IPv4 or IPv6 address.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// Port.
    pub port: PortNumber,
}

/// A name and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FqdnEndpoint {
    /// Name.
    pub hostname: PreciseHostname,
    /// Port.
    pub port: PortNumber,
}

/// A Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnixEndpoint {
    /// Absolute path, at most 107 bytes.
    #[schemars(length(min = 2, max = 107))]
    pub path: String,
}
