//! One object on one node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::words::{Availability, GlobalExpect, MonitorState, Orchestrate, Provisioned, Topology};
use super::{id_or_none, null_is_empty, time_or_never};
use crate::path::ObjectPath;

/// What a node publishes about its instance of an object. Parts are absent while they are being made.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Instance {
    /// The stored file, as the node sees it.
    #[serde(rename = "config", default)]
    pub settings: Option<InstanceSettings>,
    /// What the node's monitor does with it. No action is possible before it exists.
    #[serde(default)]
    pub monitor: Option<InstanceMonitor>,
    /// Its state.
    #[serde(default)]
    pub status: Option<InstanceStatus>,
}

/// Numbers of instances of a flex service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Flex {
    /// Below it the service is in state `warn`.
    #[serde(default)]
    pub min: u32,
    /// Above it the service is in state `warn`.
    #[serde(default)]
    pub max: u32,
    /// Wanted.
    #[serde(default)]
    pub target: u32,
}

/// An instance with its place, from a list.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceItem {
    /// The object.
    pub object: ObjectPath,
    /// The node.
    pub node: String,
    /// What the node publishes.
    pub instance: Instance,
}

/// The version of the stored file, and keywords that steer the daemon.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InstanceSettings {
    /// MD5 of the file, hexadecimal: the version of the object, for equality only (contract §9).
    pub csum: String,
    /// Time of the file: on two nodes the same time with another `csum` is a divergence that stays.
    pub updated_at: Timestamp,
    /// The nodes that shall hold an instance.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub scope: Vec<String>,
    /// Sorts actions of the daemon; smaller first.
    #[serde(default)]
    pub priority: i64,
    /// Services and volumes only.
    #[serde(default)]
    pub orchestrate: Option<Orchestrate>,
    /// Services and volumes only.
    #[serde(default)]
    pub topology: Option<Topology>,
    /// Flex services only.
    #[serde(default)]
    pub flex: Option<Flex>,
    /// By resource id.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub resources: BTreeMap<String, ResourceSettings>,
    /// The whole object is disabled.
    #[serde(default)]
    pub is_disabled: bool,
}

/// What the monitor of an instance does and is asked to do.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InstanceMonitor {
    /// What the running orchestration works towards.
    #[serde(default)]
    pub global_expect: GlobalExpect,
    /// When that was asked for.
    #[serde(default, deserialize_with = "time_or_never")]
    pub global_expect_updated_at: Option<Timestamp>,
    /// What the node expects by itself: `none`, `started`, …
    #[serde(default)]
    pub local_expect: String,
    /// The running orchestration.
    #[serde(default, deserialize_with = "id_or_none")]
    pub orchestration_id: Option<String>,
    /// This node has done its part.
    #[serde(default)]
    pub orchestration_is_done: bool,
    /// What it does now.
    pub state: MonitorState,
    /// Since when.
    #[serde(default, deserialize_with = "time_or_never")]
    pub state_updated_at: Option<Timestamp>,
    /// This node leads.
    #[serde(default)]
    pub is_leader: bool,
    /// This node leads among those that may run it.
    #[serde(default)]
    pub is_ha_leader: bool,
    /// Kept from a node that is lost.
    #[serde(default)]
    pub preserved: bool,
}

/// The state of an instance.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InstanceStatus {
    /// Without optional resources.
    pub avail: Availability,
    /// With optional resources.
    pub overall: Availability,
    /// Whether its resources have been made.
    pub provisioned: Provisioned,
    /// Frozen since.
    #[serde(default, deserialize_with = "time_or_never")]
    pub frozen_at: Option<Timestamp>,
    /// Last start.
    #[serde(default, deserialize_with = "time_or_never")]
    pub last_started_at: Option<Timestamp>,
    /// When it was evaluated.
    #[serde(default, deserialize_with = "time_or_never")]
    pub updated_at: Option<Timestamp>,
    /// By resource id.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub resources: BTreeMap<String, ResourceStatus>,
}

/// Keywords of a resource that steer the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ResourceSettings {
    /// Not started, not counted.
    #[serde(default)]
    pub is_disabled: bool,
    /// Its failure moves the service.
    #[serde(default)]
    pub is_monitored: bool,
    /// Runs where the service does not.
    #[serde(default)]
    pub is_standby: bool,
    /// Restarts before giving up.
    #[serde(default)]
    pub restart: u32,
}

/// The state of a resource.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ResourceStatus {
    /// One line about it.
    #[serde(default)]
    pub label: String,
    /// Its state.
    pub status: Availability,
    /// Driver group and driver, as `ip.cni`.
    #[serde(rename = "type", default)]
    pub driver: String,
    /// Whether it has been made.
    #[serde(default)]
    pub provisioned: Option<ResourceProvisioned>,
    /// Facts of the driver: `ipaddr`, `expose`, `dev`, `netmask`, `hostname`, `pid`, …
    #[serde(rename = "info", default, deserialize_with = "null_is_empty")]
    pub facts: BTreeMap<String, Value>,
    /// Messages of the last evaluation.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub log: Vec<ResourceLog>,
}

/// Whether a resource has been made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ResourceProvisioned {
    /// The state.
    pub state: Provisioned,
    /// Since when.
    #[serde(default, deserialize_with = "time_or_never")]
    pub mtime: Option<Timestamp>,
}

/// A message of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ResourceLog {
    /// `info`, `warn`, `error`.
    pub level: String,
    /// The text.
    pub message: String,
}

/// A resource with its place, from a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceItem {
    /// The object.
    pub object: ObjectPath,
    /// The node.
    pub node: String,
    /// The id within the object, as `ip#1`.
    pub rid: String,
    /// Its keywords.
    pub settings: Option<ResourceSettings>,
    /// Its state.
    pub status: Option<ResourceStatus>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawInstanceItem {
    pub(crate) meta: RawPlace,
    #[serde(rename = "data")]
    pub(crate) instance: Instance,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawResourceItem {
    pub(crate) meta: RawPlace,
    #[serde(rename = "data")]
    pub(crate) parts: RawResource,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawResource {
    #[serde(rename = "config", default)]
    pub(crate) settings: Option<ResourceSettings>,
    #[serde(default)]
    pub(crate) status: Option<ResourceStatus>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawPlace {
    pub(crate) object: String,
    #[serde(default)]
    pub(crate) node: String,
    #[serde(default)]
    pub(crate) rid: String,
}

// === impl Instance ===

impl Instance {
    /// The addresses that its `ip` resources hold.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let resources = self.status.iter().flat_map(|status| status.resources.values());
        resources
            .filter(|resource| resource.driver.starts_with("ip."))
            .filter_map(ResourceStatus::address)
            .collect()
    }
}

// === impl ResourceStatus ===

impl ResourceStatus {
    /// The address it holds, `ip` drivers only.
    pub fn address(&self) -> Option<IpAddr> {
        self.facts.get("ipaddr")?.as_str()?.parse().ok()
    }

    /// The ports it exposes, as `443/tcp` or `8443/tcp:443`, `ip` drivers only.
    pub fn exposed(&self) -> Vec<&str> {
        let ports = self.facts.get("expose").and_then(Value::as_array);
        ports.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}
