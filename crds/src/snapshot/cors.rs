//! Cross-origin requests.

use serde::{Deserialize, Serialize};

/// What browsers are told of requests from other origins (HTTPCORSFilter).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// `*`, or `scheme://host[:port]`, where the host may begin with `*`. Empty: none.
    pub origins: Vec<String>,
    /// Requests may carry credentials.
    #[serde(default)]
    pub allows_credentials: bool,
    /// Methods beyond the safelisted ones, or `*`.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Fields of requests beyond the safelisted ones, or `*`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Fields of answers that scripts may read, or `*`.
    #[serde(default)]
    pub exposed: Vec<String>,
    /// How long a preflight answer holds, in seconds.
    pub max_age_s: u32,
}
