//! The cluster and its nodes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::instance::Instance;
use super::object::ObjectStatus;
use super::{null_is_empty, time_or_never};

/// Everything a daemon knows, as much of it as the selector lets through.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClusterStatus {
    /// The cluster.
    pub cluster: ClusterState,
    /// The daemon that answered.
    #[serde(default)]
    pub daemon: DaemonName,
}

/// The daemon that answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct DaemonName {
    /// Its node.
    #[serde(default)]
    pub nodename: String,
}

/// The cluster as one daemon sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClusterState {
    /// Keywords of the cluster.
    #[serde(rename = "config")]
    pub settings: ClusterSettings,
    /// By path, in canonical form.
    #[serde(rename = "object", default, deserialize_with = "null_is_empty")]
    pub objects: BTreeMap<String, ObjectStatus>,
    /// By name; nodes that are lost are missing.
    #[serde(rename = "node", default, deserialize_with = "null_is_empty")]
    pub nodes: BTreeMap<String, NodeView>,
}

/// Keywords of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClusterSettings {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// Its name, the zone of its DNS.
    pub name: String,
    /// Its members, those that are lost included.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub nodes: Vec<String>,
    /// The name servers that containers are given.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub dns: Vec<String>,
    /// Whether a minority stops its services.
    #[serde(default)]
    pub quorum: bool,
}

/// A node as one daemon sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodeView {
    /// Its state.
    #[serde(default)]
    pub status: Option<NodeStatus>,
    /// What its monitor does.
    #[serde(default)]
    pub monitor: Option<NodeMonitor>,
    /// Its instances by path, in canonical form.
    #[serde(rename = "instance", default, deserialize_with = "null_is_empty")]
    pub instances: BTreeMap<String, Instance>,
}

/// The state of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeStatus {
    /// The version of its daemon.
    #[serde(default)]
    pub agent: String,
    /// Frozen since.
    #[serde(default, deserialize_with = "time_or_never")]
    pub frozen_at: Option<Timestamp>,
    /// It leads the cluster.
    #[serde(default)]
    pub is_leader: bool,
    /// Too busy to take more.
    #[serde(default)]
    pub is_overloaded: bool,
    /// Boot of the machine.
    #[serde(default, deserialize_with = "time_or_never")]
    pub booted_at: Option<Timestamp>,
}

/// What the monitor of a node does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeMonitor {
    /// `idle`, `rejoin`, `maintenance`, …
    pub state: String,
    /// Since when.
    #[serde(default, deserialize_with = "time_or_never")]
    pub state_updated_at: Option<Timestamp>,
}

/// A node of a list that `root` alone may read.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeItem {
    /// Its name.
    pub node: String,
    /// Its state.
    pub view: NodeView,
}

/// A node as anybody may see it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeSummary {
    /// Production, test, …
    #[serde(default)]
    pub env: String,
    /// Labels.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where its daemon listens.
    #[serde(default)]
    pub listener: Option<NodeListener>,
}

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeListener {
    /// `running` and the like.
    #[serde(default)]
    pub state: String,
    /// The address, `::` for all.
    #[serde(default)]
    pub addr: String,
    /// The port, as text.
    #[serde(default)]
    pub port: String,
}

/// A record of the cluster's zone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ZoneRecord {
    /// Owner name, with a final dot.
    pub qname: String,
    /// `A`, `AAAA`, `SRV`, `PTR`, `SOA`, `NS`.
    pub qtype: String,
    /// In seconds.
    pub ttl: u32,
    /// In presentation form.
    pub content: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawNodeItem {
    pub(crate) meta: RawNodeMeta,
    #[serde(rename = "data")]
    pub(crate) view: NodeView,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawNodeMeta {
    pub(crate) node: String,
}

// === impl ClusterState ===

impl ClusterState {
    /// The members that this daemon has lost. While there are any, absence of an object proves nothing
    /// (contract §15.7).
    pub fn lost_nodes(&self) -> Vec<&str> {
        let is_lost = |node: &&str| !self.nodes.contains_key(*node);
        self.settings.nodes.iter().map(String::as_str).filter(is_lost).collect()
    }
}
