//! Events as types (§8.4). Kinds that no controller needs keep their name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::sse::Frame;
use crate::model::{
    ClusterSettings, GlobalExpect, InstanceMonitor, InstanceSettings, InstanceStatus, NodeMonitor,
    NodeStatus, ObjectStatus, null_is_empty, words,
};
use crate::path::ObjectPath;

words! {
    /// The kinds of events that this client knows. The daemon refuses a filter with a kind it does not know.
    EventKind {
        /// A file that stores an object was written on this node.
        ConfigFileUpdated = "ConfigFileUpdated",
        /// Such a file was removed on this node.
        ConfigFileRemoved = "ConfigFileRemoved",
        /// A node has a first instance of an object, or its daemon started.
        ObjectCreated = "ObjectCreated",
        /// The daemon no longer knows an object.
        ObjectDeleted = "ObjectDeleted",
        /// Checksum, time or scope of an instance changed.
        InstanceConfigUpdated = "InstanceConfigUpdated",
        /// An instance is gone, or its node is lost.
        InstanceConfigDeleted = "InstanceConfigDeleted",
        /// The state of an instance was evaluated.
        InstanceStatusUpdated = "InstanceStatusUpdated",
        /// An instance is gone, or its node is lost.
        InstanceStatusDeleted = "InstanceStatusDeleted",
        /// A monitor acts.
        InstanceMonitorUpdated = "InstanceMonitorUpdated",
        /// A monitor is gone.
        InstanceMonitorDeleted = "InstanceMonitorDeleted",
        /// The state over all nodes was put together.
        ObjectStatusUpdated = "ObjectStatusUpdated",
        /// There is no state over all nodes any more.
        ObjectStatusDeleted = "ObjectStatusDeleted",
        /// An orchestration starts.
        OrchestrationAccepted = "ObjectOrchestrationAccepted",
        /// An orchestration ended.
        OrchestrationEnd = "ObjectOrchestrationEnd",
        /// A request for one was refused.
        OrchestrationRefused = "ObjectOrchestrationRefused",
        /// A monitor refused a request.
        MonitorRefused = "SetInstanceMonitorRefused",
        /// A process on this node ended well.
        ExecSuccess = "ExecSuccess",
        /// A process on this node failed.
        ExecFailed = "ExecFailed",
        /// A DNS record was made.
        ZoneRecordUpdated = "ZoneRecordUpdated",
        /// A DNS record was deleted, or did not change.
        ZoneRecordDeleted = "ZoneRecordDeleted",
        /// Keywords or members of the cluster changed.
        ClusterConfigUpdated = "ClusterConfigUpdated",
        /// The state of a node changed.
        NodeStatusUpdated = "NodeStatusUpdated",
        /// A node's monitor acts.
        NodeMonitorUpdated = "NodeMonitorUpdated",
        /// A node is back.
        NodeAlive = "NodeAlive",
        /// A node is lost.
        NodeStale = "NodeStale",
        /// A node was frozen or unfrozen.
        NodeFrozen = "NodeFrozen",
    }
}

/// Whether something happened, or was so before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It happened now.
    Live,
    /// It was so when the stream began. Comes without a namespace, from all namespaces (§8.1).
    Replay,
}

/// An event with its circumstances.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// What happened.
    pub event: Event,
    /// The object it is about.
    pub path: Option<ObjectPath>,
    /// The node it is about; for [`Event::ObjectStatusUpdated`] the one that tells.
    pub node: Option<String>,
    /// Now or before.
    pub origin: Origin,
    /// Told by another node: this node may not have the new file yet.
    pub is_from_peer: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The file of an instance changed. Neither value nor name of a key is told.
    InstanceConfigUpdated(InstanceSettings),
    /// The state of an instance was evaluated.
    InstanceStatusUpdated(InstanceStatus),
    /// A monitor acts.
    InstanceMonitorUpdated(InstanceMonitor),
    /// The state over all nodes was put together.
    ObjectStatusUpdated(ObjectStatus),
    /// An orchestration starts. A second one of these without an end in between: the id was replaced (§10.2).
    OrchestrationAccepted {
        /// Its id.
        id: String,
        /// What it works towards.
        expect: GlobalExpect,
    },
    /// An orchestration ended, which does not mean that it succeeded.
    OrchestrationEnd {
        /// Its id.
        id: String,
        /// What it worked towards.
        expect: GlobalExpect,
        /// It was cut short.
        aborted: bool,
    },
    /// A request for an orchestration was refused; it will not end.
    OrchestrationRefused {
        /// Its id.
        id: String,
        /// What it would have worked towards.
        expect: GlobalExpect,
        /// The daemon's words.
        reason: String,
    },
    /// A process on this node ended.
    ExecEnded {
        /// The id that the request for it got.
        session_id: String,
        /// What went wrong, if anything.
        error: Option<String>,
    },
    /// A DNS record was made or deleted; at most a reason to ask again (§8.4).
    ZoneChanged {
        /// The owner, with a final dot.
        name: String,
    },
    /// Keywords or members of the cluster changed.
    ClusterConfigUpdated(ClusterSettings),
    /// The state of a node changed.
    NodeStatusUpdated(NodeStatus),
    /// A node's monitor acts.
    NodeMonitorUpdated(NodeMonitor),
    /// Anything else: its kind says it all.
    Plain(EventKind),
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default, deserialize_with = "null_is_empty")]
    labels: BTreeMap<String, String>,
    path: Option<String>,
    node: Option<String>,
    instance_config: Option<InstanceSettings>,
    instance_status: Option<InstanceStatus>,
    instance_monitor: Option<InstanceMonitor>,
    object_status: Option<ObjectStatus>,
    cluster_config: Option<ClusterSettings>,
    node_status: Option<NodeStatus>,
    node_monitor: Option<NodeMonitor>,
    id: Option<String>,
    global_expect: Option<GlobalExpect>,
    #[serde(default)]
    aborted: bool,
    reason: Option<String>,
    session_id: Option<String>,
    error: Option<String>,
    name: Option<String>,
}

/// The labels of an event of which nothing else is needed; its body may have any shape.
#[derive(Deserialize)]
struct Labels {
    #[serde(default, deserialize_with = "null_is_empty")]
    labels: BTreeMap<String, String>,
}

// === impl EventKind ===

impl EventKind {
    /// The kind of an event.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::InstanceConfigUpdated(_) => Self::InstanceConfigUpdated,
            Event::InstanceStatusUpdated(_) => Self::InstanceStatusUpdated,
            Event::InstanceMonitorUpdated(_) => Self::InstanceMonitorUpdated,
            Event::ObjectStatusUpdated(_) => Self::ObjectStatusUpdated,
            Event::OrchestrationAccepted { .. } => Self::OrchestrationAccepted,
            Event::OrchestrationEnd { .. } => Self::OrchestrationEnd,
            Event::OrchestrationRefused { .. } => Self::OrchestrationRefused,
            Event::ExecEnded { error: None, .. } => Self::ExecSuccess,
            Event::ExecEnded { .. } => Self::ExecFailed,
            Event::ZoneChanged { .. } => Self::ZoneRecordUpdated,
            Event::ClusterConfigUpdated(_) => Self::ClusterConfigUpdated,
            Event::NodeStatusUpdated(_) => Self::NodeStatusUpdated,
            Event::NodeMonitorUpdated(_) => Self::NodeMonitorUpdated,
            Event::Plain(kind) => kind.clone(),
        }
    }
}

// === impl Received ===

impl Received {
    /// Reads an event. A body that is not what its kind says leaves the kind and the labels: that something happened
    /// to the object is still known. `None`: it is no JSON, and nothing is known.
    pub fn parse(frame: &Frame) -> Option<Self> {
        let kind = EventKind::from(frame.name.as_str());
        Self::parse_whole(frame, &kind).or_else(|| {
            let Labels { labels } = serde_json::from_slice(&frame.body).ok()?;
            let (path, node) = (labels.get("path").cloned(), labels.get("node").cloned());
            Some(Self::new(Event::Plain(kind), path, node, &labels))
        })
    }

    fn parse_whole(frame: &Frame, kind: &EventKind) -> Option<Self> {
        if matches!(kind, EventKind::Other(_)) {
            return None;
        }
        let mut payload: Payload = serde_json::from_slice(&frame.body).ok()?;
        let event = payload.take_event(kind)?;
        let labels = payload.labels;
        let path = payload.path.or_else(|| labels.get("path").cloned());
        let node = payload.node.or_else(|| labels.get("node").cloned());
        Some(Self::new(event, path, node, &labels))
    }

    fn new(
        event: Event,
        path: Option<String>,
        node: Option<String>,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let is = |label: &str, value: &str| labels.get(label).is_some_and(|found| found == value);
        Self {
            event,
            path: path.and_then(|path| path.parse().ok()),
            node,
            origin: if is("source", "cache") { Origin::Replay } else { Origin::Live },
            is_from_peer: is("from", "peer"),
        }
    }
}

// === impl Payload ===

impl Payload {
    fn take_event(&mut self, kind: &EventKind) -> Option<Event> {
        let expect = self.global_expect.take().unwrap_or_default();
        Some(match kind {
            EventKind::InstanceConfigUpdated => Event::InstanceConfigUpdated(self.instance_config.take()?),
            EventKind::InstanceStatusUpdated => Event::InstanceStatusUpdated(self.instance_status.take()?),
            EventKind::InstanceMonitorUpdated => Event::InstanceMonitorUpdated(self.instance_monitor.take()?),
            EventKind::ObjectStatusUpdated => Event::ObjectStatusUpdated(self.object_status.take()?),
            EventKind::OrchestrationAccepted => Event::OrchestrationAccepted { id: self.id.take()?, expect },
            EventKind::OrchestrationEnd => {
                Event::OrchestrationEnd { id: self.id.take()?, expect, aborted: self.aborted }
            }
            EventKind::OrchestrationRefused => {
                let reason = self.reason.take().unwrap_or_default();
                Event::OrchestrationRefused { id: self.id.take()?, expect, reason }
            }
            EventKind::ExecSuccess => Event::ExecEnded { session_id: self.session_id.take()?, error: None },
            EventKind::ExecFailed => {
                let error = Some(self.error.take().unwrap_or_default());
                Event::ExecEnded { session_id: self.session_id.take()?, error }
            }
            EventKind::ZoneRecordUpdated | EventKind::ZoneRecordDeleted => {
                Event::ZoneChanged { name: self.name.take()? }
            }
            EventKind::ClusterConfigUpdated => Event::ClusterConfigUpdated(self.cluster_config.take()?),
            EventKind::NodeStatusUpdated => Event::NodeStatusUpdated(self.node_status.take()?),
            EventKind::NodeMonitorUpdated => Event::NodeMonitorUpdated(self.node_monitor.take()?),
            plain => Event::Plain(plain.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(name: &str, body: &str) -> Option<Received> {
        Received::parse(&Frame { name: name.to_owned(), body: body.as_bytes().to_vec() })
    }

    #[test]
    fn replayed_and_relayed_events_are_told_apart() {
        let body = r#"{"labels":{"node":"n2","path":"edge/cfg/gw","source":"cache"},"path":"edge/cfg/gw","node":"n2",
            "instance_config":{"csum":"c","priority":0,"scope":null,"updated_at":"2026-11-23T13:10:10.1Z"}}"#;
        let replayed = received("InstanceConfigUpdated", body).expect("an event");
        assert_eq!((replayed.origin, replayed.is_from_peer), (Origin::Replay, false));
        assert!(matches!(&replayed.event, Event::InstanceConfigUpdated(settings) if settings.csum == "c"));
        let relayed =
            received("ObjectCreated", r#"{"labels":{"from":"peer","path":"edge/cfg/gw"},"node":"n1"}"#);
        let relayed = relayed.expect("an event");
        assert_eq!((relayed.origin, relayed.is_from_peer), (Origin::Live, true));
        assert_eq!(relayed.path.map(|path| path.to_string()).as_deref(), Some("edge/cfg/gw"));
    }

    #[test]
    fn unknown_kinds_keep_their_name_and_broken_bodies_are_noticed() {
        let watch =
            received("WatchDog", r#"{"labels":{"node":"n1"},"bus":"daemon","id":7}"#).expect("an event");
        assert_eq!(watch.event, Event::Plain(EventKind::Other("WatchDog".to_owned())));
        assert_eq!(watch.node.as_deref(), Some("n1"));
        let odd = r#"{"labels":{"path":"edge/cfg/gw"},"path":"edge/cfg/gw","instance_config":{"csum":7}}"#;
        let odd = received("InstanceConfigUpdated", odd).expect("an event");
        assert_eq!(odd.event, Event::Plain(EventKind::InstanceConfigUpdated));
        assert_eq!(odd.path.map(|path| path.to_string()).as_deref(), Some("edge/cfg/gw"));
        assert_eq!(received("ObjectCreated", "not json"), None);
    }
}
