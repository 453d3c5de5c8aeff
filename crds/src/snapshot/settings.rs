//! Settings of a gateway: limits, times, logs.

use serde::{Deserialize, Serialize};

/// Limits, timeouts and logs of a gateway (GatewayConfig). 0 = unlimited where not said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Client connections of the proxy; `None` = from descriptors and memory.
    pub max_connections: Option<u32>,
    /// Bytes of a request or response head.
    pub head_bytes: u32,
    /// Fields of a head.
    pub head_fields: u32,
    /// Time to receive a head, in milliseconds.
    pub head_timeout_ms: u64,
    /// Time a client connection may stay idle between requests, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Lowest rate of a request body, in bytes per second.
    pub body_min_rate: u32,
    /// Time before `body_min_rate` counts, in milliseconds. Also the longest stall of a client that takes an answer.
    pub body_grace_ms: u64,
    /// Requests on one client connection.
    pub requests_per_connection: u32,
    /// Connections of one client address.
    pub connections_per_source: u32,
    /// UDP flows of one client address.
    pub udp_flows_per_source: u32,
    /// Bytes to a UDP client for each of its own until it goes on after an answer.
    pub udp_reply_factor: u32,
    /// Time for a TLS handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Time to connect to an endpoint, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Time to the head of the back end's answer, in milliseconds.
    pub backend_timeout_ms: u64,
    /// Time a back end may stall inside an answer, in milliseconds.
    pub backend_idle_ms: u64,
    /// Time an upgraded connection may stay silent, in milliseconds.
    pub tunnel_idle_ms: u64,
    /// Time a UDP flow may stay silent, in milliseconds; never 0.
    pub udp_idle_ms: u64,
    /// Time to finish requests when draining, in milliseconds.
    pub drain_ms: u64,
    /// Time to finish upgraded connections when draining, in milliseconds.
    pub drain_tunnels_ms: u64,
    /// Access log; `None` = off.
    pub access_log: Option<AccessLog>,
}

/// Access log of a gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessLog {
    /// Form of a line.
    pub format: LogFormat,
    /// Where lines go.
    pub output: LogOutput,
    /// Share of requests that are logged, 0 to 1.
    pub sample: f64,
    /// Write query strings as they are.
    pub unredacted_query: bool,
}

/// Form of an access log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Like HAProxy's `option httplog`.
    Text,
    /// One JSON object.
    Json,
}

/// Where access log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// A file, reopened on SIGUSR1.
    File(String),
}
// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: None,
            head_bytes: 64 * 1024,
            head_fields: 128,
            head_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            body_min_rate: 240,
            body_grace_ms: 30_000,
            requests_per_connection: 0,
            connections_per_source: 0,
            udp_flows_per_source: 1_024,
            udp_reply_factor: 3,
            handshake_timeout_ms: 10_000,
            connect_timeout_ms: 2_000,
            backend_timeout_ms: 60_000,
            backend_idle_ms: 60_000,
            tunnel_idle_ms: 3_600_000,
            udp_idle_ms: 30_000,
            drain_ms: 30_000,
            drain_tunnels_ms: 300_000,
            access_log: None,
        }
    }
}
