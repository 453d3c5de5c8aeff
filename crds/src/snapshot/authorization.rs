//! Authorization of requests by another service.

use serde::{Deserialize, Serialize};

use super::BackendId;

/// Asks another back end whether a request may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Who is asked.
    pub backend: BackendId,
    /// Put before the path of the question.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    /// Fields of the request that the question has besides its host and `Authorization`. Names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_fields: Vec<String>,
    /// Fields of a yes that the request takes on. Names in lower case; empty = all but those that describe a connection,
    /// a body or an origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer_fields: Vec<String>,
}
