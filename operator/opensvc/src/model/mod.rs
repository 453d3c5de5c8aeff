//! What the daemon tells, as types.
//!
//! Field names and shapes are those of running daemons (contract §5, appendix A), which differ from their schema.
//! Only what a controller needs is kept. Unknown fields are skipped and unknown words kept as they are, so that a
//! newer daemon is understood; the zero time means "never" and becomes `None`.

mod cluster;
mod instance;
mod object;
mod user;
mod words;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

pub(crate) use cluster::RawNodeItem;
pub use cluster::{
    ClusterSettings, ClusterState, ClusterStatus, DaemonName, NodeItem, NodeListener, NodeMonitor,
    NodeStatus, NodeSummary, NodeView, ZoneRecord,
};
pub use instance::{
    Flex, Instance, InstanceItem, InstanceMonitor, InstanceSettings, InstanceStatus, ResourceItem,
    ResourceLog, ResourceProvisioned, ResourceSettings, ResourceStatus,
};
pub(crate) use instance::{RawInstanceItem, RawResourceItem};
pub(crate) use object::RawObjectItem;
pub use object::{KeyItem, KeywordItem, ObjectItem, ObjectStatus};
pub use user::{AuthMethods, Identity};
pub(crate) use words::words;
pub use words::{Availability, Frozen, GlobalExpect, MonitorState, Orchestrate, Provisioned, Topology};

/// `{"kind": …, "items": […]}`: no order, no pages (contract §4.2).
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct List<T> {
    #[serde(default = "Vec::new", deserialize_with = "null_is_empty")]
    pub(crate) items: Vec<T>,
}

/// The daemon writes empty lists and maps as `null` at times.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a time, the zero time as `None`.
pub(crate) fn time_or_never<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let time = Option::<Timestamp>::deserialize(deserializer)?;
    Ok(time.filter(|time| time.as_second() > ZERO_TIME_SECONDS))
}

/// Reads an id, the zero id as `None`.
pub(crate) fn id_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let id = Option::<String>::deserialize(deserializer)?;
    Ok(id.filter(|id| id.bytes().any(|b| b.is_ascii_alphanumeric() && b != b'0')))
}

/// A day after 0001-01-01T00:00:00Z, so that an offset does not hide the zero time.
const ZERO_TIME_SECONDS: i64 = -62_135_596_800 + 86_400;
