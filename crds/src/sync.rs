//! The conversation between proxy and control side: `POST /v1/sync`, JSON, a long poll dialled by the proxy.
//!
//! The proxy says what it runs and how it fares; the answer is a newer snapshot or 204. A proxy refuses a
//! generation that is not above its own unless the epoch is newer, and any snapshot whose checksum fails.
//! Private keys travel beside the snapshot, never in it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

use crate::snapshot::{FORMAT, Snapshot};

/// What `sync/config.json` of a bootstrap folder says: where the control side is, and what does not come with
/// snapshots because a proxy needs it before its first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncConfig {
    /// `namespace/name` of the gateway.
    pub gateway: String,
    /// Addresses at which the control side may answer; one of them does.
    pub addresses: Vec<SocketAddr>,
    /// Name that it proves.
    pub server_name: String,
    /// Admin address of the proxy; an address of `0.0.0.0` means that of the node where the gateway binds those.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// Addresses of nodes by name.
    #[serde(default)]
    pub node_addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// Path of the endpoint.
pub const SYNC_PATH: &str = "/v1/sync";

/// In `versions`: the binary that runs, as release and digest.
pub const VERSION_RUNNING: &str = "running";
/// In `versions`: the binary on the disk of the proxy's node.
pub const VERSION_ON_DISK: &str = "disk";
/// In `versions`: the last binary that was to take over and did not come to serve.
pub const VERSION_REFUSED: &str = "refused";
/// In `versions`: why it did not.
pub const VERSION_REFUSED_WHY: &str = "refusedWhy";

/// What the proxy sends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncRequest {
    /// Newest format the proxy reads.
    pub format: u32,
    /// `namespace/name` of the gateway served; `None` = all.
    pub gateway: Option<String>,
    /// Name of the node.
    pub node: String,
    /// Epoch of the snapshot that runs; 0 = none.
    pub epoch: u64,
    /// Generation of the snapshot that runs; 0 = none.
    pub generation: u64,
    /// How long the answer may wait for something newer, in seconds.
    pub wait_s: u32,
    /// How the proxy fares.
    pub report: Report,
    /// Versions of the running binary and of the one on disk.
    pub versions: BTreeMap<String, String>,
}

/// How a proxy fares with the generation it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Every listener of the snapshot, bound or not.
    pub listeners: Vec<ListenerReport>,
    /// Workers serve the tables of this generation.
    pub serving: bool,
    /// Why the newest snapshot was refused, if it was.
    pub refused: Option<String>,
}

/// State of one listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerReport {
    /// `namespace/name` of the gateway.
    pub gateway: String,
    /// Name of the listener.
    pub listener: String,
    /// Addresses that accept connections.
    pub bound: Vec<SocketAddr>,
    /// Why some or all addresses are not bound.
    pub error: Option<BindFailure>,
}

/// Why a listener is not bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindFailure {
    /// Address that failed.
    pub address: SocketAddr,
    /// Kind of failure.
    pub kind: BindFailureKind,
    /// One sentence for people, with what to do next.
    pub message: String,
}

/// Kind of a bind failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BindFailureKind {
    /// The address is not of this machine.
    AddressNotUsable,
    /// Another gateway of ours has address and port.
    HeldByOtherGateway,
    /// Another program has address and port.
    PortInUse,
    /// No right to bind the port.
    PermissionDenied,
    /// Anything else.
    Other,
}

/// A snapshot on its way or at rest: the answer of the endpoint, and the file of `igw render` and of the
/// proxy's last known good one (both without `keys` and `hints`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// Format of `snapshot`.
    pub format: u32,
    /// The control side's term.
    pub epoch: u64,
    /// Counts snapshots of one epoch, from 1.
    pub generation: u64,
    /// Of the exact bytes of `snapshot`.
    pub checksum: String,
    /// The snapshot.
    pub snapshot: Box<RawValue>,
    /// Private keys by fingerprint, PEM.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, String>,
    /// Hints; they expire after 10 s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
}

/// Something that is worth doing soon. What it says of DNS speeds DNS up, never replaces it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[non_exhaustive]
pub enum Hint {
    /// Ask again now.
    Resolve {
        /// Name of a template.
        fqdn: String,
    },
    /// Let the binary on the disk take over.
    TakeOver {
        /// Node of the proxy that is meant.
        node: String,
        /// It, as the proxy's `versions` named it.
        binary: String,
    },
    /// One that this release does not know.
    #[serde(other)]
    Unknown,
}

/// Why an envelope is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The bytes are not those that were written.
    #[error("checksum of the snapshot is {got}, expected {want}")]
    Checksum {
        /// Checksum stated.
        want: String,
        /// Checksum found.
        got: String,
    },
    /// The snapshot has a format this build does not read.
    #[error("snapshot format {got}; this build reads {oldest} to {newest}", oldest = FORMAT.saturating_sub(1).max(1), newest = FORMAT)]
    Format {
        /// Format found.
        got: u32,
    },
    /// The snapshot is not one.
    #[error("snapshot is not valid")]
    Json(#[from] serde_json::Error),
}

// === impl Envelope ===

impl Envelope {
    /// Seals a snapshot.
    ///
    /// # Errors
    /// Returns the encoder's error; none is known for a snapshot that `compile` made.
    pub fn seal(epoch: u64, generation: u64, snapshot: &Snapshot) -> Result<Self, serde_json::Error> {
        let snapshot = serde_json::value::to_raw_value(snapshot)?;
        Ok(Self {
            format: FORMAT,
            epoch,
            generation,
            checksum: checksum(snapshot.get().as_bytes()),
            snapshot,
            keys: BTreeMap::new(),
            hints: Vec::new(),
        })
    }

    /// An envelope without a snapshot: hints alone.
    ///
    /// # Errors
    /// Returns the encoder's error; none is known.
    pub fn of_hints(hints: Vec<Hint>) -> Result<Self, serde_json::Error> {
        let snapshot = serde_json::value::to_raw_value(&serde_json::Value::Null)?;
        Ok(Self {
            format: FORMAT,
            epoch: 0,
            generation: 0,
            checksum: String::new(),
            snapshot,
            keys: BTreeMap::new(),
            hints,
        })
    }

    /// Whether there is a snapshot in it.
    #[must_use]
    pub fn has_snapshot(&self) -> bool {
        self.generation > 0
    }

    /// Verifies and decodes the snapshot.
    ///
    /// # Errors
    /// [`EnvelopeError`] by cause; nothing is read from a snapshot whose checksum fails.
    pub fn open(&self) -> Result<Snapshot, EnvelopeError> {
        if self.format > FORMAT || self.format + 1 < FORMAT {
            return Err(EnvelopeError::Format { got: self.format });
        }
        let got = checksum(self.snapshot.get().as_bytes());
        if got != self.checksum {
            return Err(EnvelopeError::Checksum { want: self.checksum.clone(), got });
        }
        Ok(serde_json::from_str(self.snapshot.get())?)
    }
}

/// Checksum of a snapshot's bytes: XXH3, 128 bits, lower-case hexadecimal.
#[must_use]
pub fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}
