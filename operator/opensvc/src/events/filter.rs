//! Which events a stream shall carry (§8.1, §8.3).

use std::fmt;
use std::time::Duration;

use reqwest::Method;

use super::event::{EventKind, Origin, Received};
use crate::path::ObjectPath;
use crate::request::Request;

/// Kinds and labels that must all fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    kinds: Vec<EventKind>,
    path: Option<String>,
    namespace: Option<String>,
    node: Option<String>,
    matchers: Vec<String>,
}

/// What is asked of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    /// One of them must fit; none: everything comes.
    pub filters: Vec<Filter>,
    /// First tells how things are. Works for filters with kinds only.
    pub replay: bool,
    /// Paths or patterns of objects; events about no object pass all the same.
    pub selector: Option<String>,
    /// The daemon closes the stream after this time; without it the stream stays.
    pub duration: Option<Duration>,
}

// === impl Filter ===

impl Filter {
    /// Events of these kinds; of any kind if there are none.
    pub fn kinds(kinds: impl IntoIterator<Item = EventKind>) -> Self {
        Self { kinds: kinds.into_iter().collect(), ..Self::default() }
    }

    /// About this object alone.
    #[must_use]
    pub fn with_path(mut self, path: &ObjectPath) -> Self {
        self.path = Some(path.to_string());
        self
    }

    /// About objects of this namespace alone. The daemon forgets this in a replay, the client does not.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// About this node alone.
    #[must_use]
    pub fn with_node(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// With this in the body: a path that starts with a dot, an operator of `= != > < >= <=`, and a value in JSON, as
    /// `.instance_status.avail="up"`. A kind may be in one filter with such a condition, and in no other then.
    #[must_use]
    pub fn with_matcher(mut self, matcher: &str) -> Self {
        self.matchers.push(matcher.to_owned());
        self
    }

    fn covers(&self, kind: &EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(kind)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        let labels = [("path", &self.path), ("namespace", &self.namespace), ("node", &self.node)];
        parts.extend(labels.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?))));
        parts.extend(self.matchers.iter().cloned());
        f.write_str(&parts.join(","))
    }
}

// === impl Subscription ===

impl Subscription {
    /// A stream of what these filters let through, from now on.
    pub fn to(filters: impl IntoIterator<Item = Filter>) -> Self {
        Self { filters: filters.into_iter().collect(), ..Self::default() }
    }

    /// `GET /api/node/name/localhost/daemon/event`, always of the node we are connected to: a forwarded stream ends
    /// after 30 s (§4.4).
    pub(crate) fn request(&self) -> Request {
        let mut request = Request::node(Method::GET, "localhost", &["daemon", "event"])
            .with_header("accept", "text/event-stream");
        for filter in &self.filters {
            request = request.with_query("filter", filter.to_string());
        }
        if self.replay {
            request = request.with_query("replay", "true");
        }
        if let Some(selector) = &self.selector {
            request = request.with_query("selector", selector);
        }
        if let Some(duration) = self.duration {
            request = request.with_query("duration", format!("{}s", duration.as_secs().max(1)));
        }
        request
    }

    /// Whether an event was asked for, also where the daemon does not look (§8.1).
    pub(crate) fn admits(&self, received: &Received) -> bool {
        if received.origin == Origin::Live || self.filters.is_empty() {
            return true;
        }
        let kind = EventKind::of(&received.event);
        let namespace = received.path.as_ref().map(ObjectPath::namespace);
        let fits = |filter: &Filter| match (&filter.namespace, namespace) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        self.filters.iter().any(|filter| filter.covers(&kind) && fits(filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::event::Event;

    #[test]
    fn filters_are_written_as_the_daemon_reads_them() {
        let path: ObjectPath = "edge/svc/web".parse().expect("a path");
        let filter =
            Filter::kinds([EventKind::InstanceStatusUpdated, EventKind::ObjectDeleted]).with_path(&path);
        assert_eq!(filter.to_string(), "InstanceStatusUpdated,ObjectDeleted,path=edge/svc/web");
        let filter =
            Filter::kinds([EventKind::InstanceStatusUpdated]).with_matcher(".instance_status.avail=\"up\"");
        assert_eq!(filter.to_string(), "InstanceStatusUpdated,.instance_status.avail=\"up\"");
    }

    #[test]
    fn a_replay_is_filtered_by_namespace_here() {
        let subscription = Subscription::to([
            Filter::kinds([EventKind::ObjectDeleted]).with_namespace("edge"),
            Filter::kinds([EventKind::ObjectDeleted]).with_namespace("shop"),
            Filter::kinds([EventKind::NodeStale]),
        ]);
        let replayed = |path: &str, kind| Received {
            event: Event::Plain(kind),
            path: path.parse().ok(),
            node: None,
            origin: Origin::Replay,
            is_from_peer: false,
        };
        assert!(subscription.admits(&replayed("edge/cfg/a", EventKind::ObjectDeleted)));
        assert!(subscription.admits(&replayed("shop/cfg/a", EventKind::ObjectDeleted)));
        assert!(!subscription.admits(&replayed("other/cfg/a", EventKind::ObjectDeleted)));
        assert!(subscription.admits(&replayed("", EventKind::NodeStale)));
    }
}
