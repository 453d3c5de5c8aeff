//! One object over all its nodes, its keys and its keywords.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::instance::{Flex, Instance};
use super::words::{Availability, Frozen, GlobalExpect, Orchestrate, Provisioned, Topology};
use super::{null_is_empty, time_or_never};
use crate::path::ObjectPath;

/// An object with its instances.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectItem {
    /// Its name.
    pub path: ObjectPath,
    /// Its state over all nodes.
    pub status: ObjectStatus,
    /// By node; only nodes that publish one.
    pub instances: BTreeMap<String, Instance>,
}

/// The state of an object over all nodes. Objects that hold keys have the first three fields only.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ObjectStatus {
    /// The nodes that shall hold an instance.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub scope: Vec<String>,
    /// Sorts actions of the daemon; smaller first.
    #[serde(default)]
    pub priority: i64,
    /// When this was put together; no version of anything.
    #[serde(default, deserialize_with = "time_or_never")]
    pub updated_at: Option<Timestamp>,
    /// Without optional resources.
    #[serde(default)]
    pub avail: Option<Availability>,
    /// With optional resources.
    #[serde(default)]
    pub overall: Option<Availability>,
    /// Whether orchestration is suspended.
    #[serde(default)]
    pub frozen: Option<Frozen>,
    /// Whether its resources have been made.
    #[serde(default)]
    pub provisioned: Option<Provisioned>,
    /// How much the daemon does by itself.
    #[serde(default)]
    pub orchestrate: Option<Orchestrate>,
    /// How many instances run.
    #[serde(default)]
    pub topology: Option<Topology>,
    /// Whether the running instances are where they should be: `optimal`, `non-optimal`, …
    #[serde(default)]
    pub placement_state: Option<String>,
    /// Running instances.
    #[serde(default)]
    pub up_instances_count: Option<u32>,
    /// Flex services only.
    #[serde(default)]
    pub flex: Option<Flex>,
}

/// A key as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeyItem {
    /// Its name.
    pub name: String,
    /// Length of the stored, encoded text in bytes; not of the value.
    #[serde(default)]
    pub size: usize,
    /// The node that answered.
    #[serde(default)]
    pub node: String,
}

/// A keyword of a stored file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct KeywordItem {
    /// `section.option`, the section left out for `DEFAULT`.
    pub keyword: String,
    /// As written; empty for a keyword that is not set.
    #[serde(default)]
    pub value: Value,
    /// With references resolved, when asked for.
    #[serde(default)]
    pub evaluated: Option<Value>,
    /// The node whose view that is.
    #[serde(default)]
    pub evaluated_as: String,
}

/// The parts of an item are parsed apart: flattening would copy all instances first.
#[derive(Debug, Deserialize)]
pub(crate) struct RawObjectItem<'a> {
    pub(crate) meta: RawMeta,
    #[serde(borrow, rename = "data")]
    pub(crate) parts: &'a RawValue,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawMeta {
    pub(crate) object: String,
}

#[derive(Debug, Deserialize)]
struct RawInstances {
    #[serde(default, deserialize_with = "null_is_empty")]
    instances: BTreeMap<String, Instance>,
}

// === impl RawObjectItem ===

impl RawObjectItem<'_> {
    pub(crate) fn into_item(self, path: ObjectPath) -> serde_json::Result<ObjectItem> {
        let status = serde_json::from_str(self.parts.get())?;
        let RawInstances { instances } = serde_json::from_str(self.parts.get())?;
        Ok(ObjectItem { path, status, instances })
    }
}

// === impl ObjectItem ===

impl ObjectItem {
    /// The orchestrations under way, by the monitors of all nodes: id, if any is open, and what they work towards.
    /// `(Some(id), None)` on a service that does nothing is a stuck one (contract §10.1).
    pub fn orchestration(&self) -> Option<(Option<&str>, &GlobalExpect)> {
        let monitors = self.instances.values().filter_map(|instance| instance.monitor.as_ref());
        let busy = monitors.filter(|m| m.global_expect != GlobalExpect::None || m.orchestration_id.is_some());
        busy.map(|monitor| (monitor.orchestration_id.as_deref(), &monitor.global_expect)).next()
    }

    /// The nodes of the scope that have no instance, or none with a monitor yet. An action before all have one can
    /// get stuck (contract §10.1).
    pub fn missing_nodes(&self) -> Vec<&str> {
        let has_monitor =
            |node: &str| self.instances.get(node).is_some_and(|instance| instance.monitor.is_some());
        self.status.scope.iter().map(String::as_str).filter(|node| !has_monitor(node)).collect()
    }

    /// The checksums of the stored file over all nodes; more than one while a change travels.
    pub fn csums(&self) -> BTreeSet<&str> {
        self.instances
            .values()
            .filter_map(|instance| instance.settings.as_ref())
            .map(|s| s.csum.as_str())
            .collect()
    }

    /// The nodes whose files have the same time and other bytes: no node is newer, so this stays until the next
    /// write (contract §9).
    pub fn divergent_nodes(&self) -> Vec<&str> {
        let mut by_time: BTreeMap<Timestamp, Vec<(&str, &str)>> = BTreeMap::new();
        for (node, instance) in &self.instances {
            if let Some(settings) = &instance.settings {
                by_time.entry(settings.updated_at).or_default().push((node, &settings.csum));
            }
        }
        let differs = |same_time: &&Vec<(&str, &str)>| {
            same_time.iter().map(|(_, csum)| csum).collect::<BTreeSet<_>>().len() > 1
        };
        by_time.values().filter(differs).flatten().map(|(node, _)| *node).collect()
    }
}
