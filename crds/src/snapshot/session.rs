//! Sessions that stay with an endpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Gateway, Snapshot};

/// How requests of one client stay with one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What carries the session.
    pub carrier: SessionCarrier,
    /// Longest life, in milliseconds; 0 = none.
    #[serde(default)]
    pub timeout_ms: u64,
}

/// What carries a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum SessionCarrier {
    /// A cookie.
    Cookie {
        /// Name; `None`: one that is unique to the rule.
        #[serde(default)]
        name: Option<String>,
        /// Path for which it is sent.
        path: String,
        /// It outlives the browser, until the session's longest life has passed.
        permanent: bool,
    },
    /// A header field of answers, which clients send back.
    Header {
        /// Name in lower case.
        name: String,
    },
}

// === impl Snapshot ===

impl Snapshot {
    /// Names of the keys that seal sessions, each with the `namespace/name` of the gateway that needs it. The keys travel
    /// beside the snapshot, as those of certificates do.
    #[must_use]
    pub fn session_keys(&self) -> BTreeMap<String, String> {
        let has_session = |gateway: &&Gateway| {
            let attached = gateway.listeners.iter().flat_map(|listener| &listener.attachments);
            let routes = attached.filter_map(|attachment| self.routes.get(attachment.route.0 as usize));
            routes.flat_map(|route| &route.rules).any(|rule| rule.session.is_some())
        };
        let gateways = self.gateways.iter().filter(has_session);
        gateways
            .map(|gateway| (gateway.session_key(), format!("{}/{}", gateway.namespace, gateway.name)))
            .collect()
    }
}

// === impl Gateway ===

impl Gateway {
    /// Name of the key that seals its sessions.
    #[must_use]
    pub fn session_key(&self) -> String {
        format!("session-{:016x}", xxh3_64(format!("{}/{}", self.namespace, self.name).as_bytes()))
    }
}
