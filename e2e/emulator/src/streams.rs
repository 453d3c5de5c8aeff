//! Event streams as their readers asked for them: filters, selectors, ends; and what goes wrong with them.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::callers::Caller;
use crate::path::Path;

/// An open event stream.
#[derive(Debug)]
pub struct Stream {
    /// What it wants; empty = everything.
    pub filters: Vec<Filter>,
    /// Objects that it is about.
    pub selector: Option<String>,
    /// Who reads it.
    pub caller: Caller,
    /// Where it goes.
    pub sink: mpsc::UnboundedSender<String>,
    /// Number of the next event.
    pub next: u64,
    /// After how many it ends.
    pub limit: Option<u64>,
    /// An event that comes after the next one.
    pub held: Option<(String, Value)>,
    /// After how many bytes of the next event it breaks.
    pub cut_after: Option<usize>,
}

/// What goes wrong with events.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventFaults {
    /// Share that is lost, in percent.
    pub lose: u32,
    /// Share that comes twice, in percent.
    pub duplicate: u32,
    /// Share that comes after the next one, in percent.
    pub reorder: u32,
    /// Nothing comes any more, and the stream stays open.
    pub is_silent: bool,
}

/// One filter: `Kind,label=value,.data.path=value`.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Kinds; none = all.
    pub kinds: Vec<String>,
    labels: Vec<(String, String)>,
    matchers: Vec<(String, String, String)>,
}

// === impl Stream ===

impl Stream {
    /// Whether it is about an event.
    pub fn wants(&self, kind: &str, body: &Value) -> bool {
        let labels = &body["labels"];
        let is_seen = labels["namespace"].as_str().is_none_or(|namespace| self.caller.sees(namespace));
        let is_selected = match (&self.selector, labels["path"].as_str().and_then(Path::parse)) {
            (Some(selector), Some(path)) => path.is_selected(selector),
            _ => true,
        };
        is_seen
            && is_selected
            && (self.filters.is_empty() || self.filters.iter().any(|filter| filter.takes(kind, body)))
    }

    /// False once it is over.
    pub fn send(&mut self, kind: &str, body: &Value) -> bool {
        let mut text = format!("event: {kind}\nid: {}\ndata: {body}\n\n", self.next);
        self.next += 1;
        if let Some(n_bytes) = self.cut_after {
            text.truncate(text.floor_char_boundary(n_bytes));
            let _ = self.sink.send(text);
            return false;
        }
        self.sink.send(text).is_ok() && self.limit.is_none_or(|limit| self.next < limit)
    }
}

// === impl Filter ===

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Names what it cannot be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            if part.starts_with('.') {
                let operator =
                    ["!=", "<=", ">=", "=", "<", ">"].into_iter().find(|operator| part.contains(operator));
                let Some(operator) = operator else { return Err(format!("invalid data matcher: {part}")) };
                let (path, value) = part.split_once(operator).unwrap_or((part, ""));
                filter.matchers.push((path.to_owned(), operator.to_owned(), value.to_owned()));
            } else if let Some((name, value)) = part.split_once('=') {
                filter.labels.push((name.to_owned(), value.to_owned()));
            } else if KINDS.contains(&part) {
                filter.kinds.push(part.to_owned());
            } else {
                return Err(format!("can't find type for kind: {part}"));
            }
        }
        Ok(filter)
    }

    /// Reads all filters of a stream.
    ///
    /// # Errors
    /// Names the one that cannot be, or the kind that has two with data matchers.
    pub fn parse_all(texts: &[&str]) -> Result<Vec<Self>, String> {
        let filters: Vec<Self> = texts.iter().map(|text| Self::parse(text)).collect::<Result<_, _>>()?;
        let mut matched = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for filter in &filters {
            for kind in &filter.kinds {
                if (matched.contains(kind) || !filter.matchers.is_empty()) && seen.contains(kind) {
                    return Err(format!(
                        "can't filter same kind multiple times when it has a value matcher: {kind}"
                    ));
                }
                seen.insert(kind);
                if !filter.matchers.is_empty() {
                    matched.insert(kind);
                }
            }
        }
        Ok(filters)
    }

    /// Whether an event passes.
    #[must_use]
    pub fn takes(&self, kind: &str, body: &Value) -> bool {
        let is_kind = self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind);
        is_kind
            && self.labels.iter().all(|(name, value)| match body["labels"].get(name) {
                Some(found) => found == value.as_str(),
                // Replayed events have no label `namespace`, and pass.
                None => name == "namespace" && body["labels"]["source"] == "cache",
            })
            && self.matchers.iter().all(|(path, operator, value)| {
                let Some(found) = body.pointer(&path.replace('.', "/")) else { return false };
                let wanted: Value = serde_json::from_str(value).unwrap_or_else(|_| value.as_str().into());
                match (found.as_f64().zip(wanted.as_f64()), operator.as_str()) {
                    (_, "=") => *found == wanted,
                    (_, "!=") => *found != wanted,
                    (Some((found, wanted)), "<") => found < wanted,
                    (Some((found, wanted)), ">") => found > wanted,
                    (Some((found, wanted)), "<=") => found <= wanted,
                    (Some((found, wanted)), ">=") => found >= wanted,
                    _ => false,
                }
            })
    }
}

/// Kinds that a filter may name.
const KINDS: &[&str] = &[
    "ClientSubscribed",
    "ClientUnsubscribed",
    "ClusterConfigUpdated",
    "ClusterStatusUpdated",
    "ConfigFileRemoved",
    "ConfigFileUpdated",
    "DaemonCtl",
    "DaemonHeartbeatUpdated",
    "DaemonListenerUpdated",
    "DaemonStatusUpdated",
    "Exec",
    "ExecFailed",
    "ExecSuccess",
    "HeartbeatAlive",
    "HeartbeatStale",
    "HookEvent",
    "InstanceConfigDeleted",
    "InstanceConfigDeleting",
    "InstanceConfigFor",
    "InstanceConfigUpdated",
    "InstanceFrozenFileRemoved",
    "InstanceFrozenFileUpdated",
    "InstanceMonitorDeleted",
    "InstanceMonitorUpdated",
    "InstanceStatusDeleted",
    "InstanceStatusUpdated",
    "NodeAlive",
    "NodeConfigUpdated",
    "NodeDataUpdated",
    "NodeFrozen",
    "NodeMonitorDeleted",
    "NodeMonitorUpdated",
    "NodeOsPathsUpdated",
    "NodeStale",
    "NodeStatsUpdated",
    "NodeStatusGenUpdates",
    "NodeStatusLabelsUpdated",
    "NodeStatusUpdated",
    "ObjectCreated",
    "ObjectDeleted",
    "ObjectOrchestrationAccepted",
    "ObjectOrchestrationEnd",
    "ObjectOrchestrationRefused",
    "ObjectStatusDeleted",
    "ObjectStatusDone",
    "ObjectStatusUpdated",
    "SetInstanceMonitor",
    "SetInstanceMonitorRefused",
    "SetNodeMonitor",
    "SubscriptionError",
    "SubscriptionQueueThreshold",
    "WatchDog",
    "ZoneRecordDeleted",
    "ZoneRecordUpdated",
];
