//! Authorization of requests by another service.

use serde::{Deserialize, Serialize};

use super::BackendId;

/// Asks another back end whether a request may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Who is asked.
    pub backend: BackendId,
    /// What is spoken with it.
    #[serde(default, skip_serializing_if = "AuthorizationProtocol::is_default")]
    pub protocol: AuthorizationProtocol,
    /// Put before the path of the question.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    /// Fields of the request that the question has, over HTTP besides its host and `Authorization`, over gRPC alone and
    /// empty = all. Names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_fields: Vec<String>,
    /// Fields of a yes that the request takes on. Names in lower case; empty = all but those that describe a connection,
    /// a body or an origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer_fields: Vec<String>,
    /// Largest body that the question has, in bytes; 0 = it has none. A request with a larger one is refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub body_bytes: u32,
}

/// What is spoken with a service that authorizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AuthorizationProtocol {
    /// A request like the one that is to be allowed; 200 is a yes.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// Calls of `envoy.service.auth.v3.Authorization`.
    #[serde(rename = "GRPC")]
    Grpc,
}

// === impl AuthorizationProtocol ===

impl AuthorizationProtocol {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
