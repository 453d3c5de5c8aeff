//! Telling the streams of all nodes what happened, and replaying what there is.

use std::sync::Arc;

use rand::RngExt as _;
use serde_json::{Value, json};

use crate::path::Path;
use crate::shapes;
use crate::streams::Stream;
use crate::world::World;

// === impl World ===

impl World {
    /// Tells the streams of all nodes, the peers later.
    pub fn emit_everywhere(self: &Arc<Self>, node: &str, kind: &'static str, path: &Path, payload: Value) {
        self.emit(node, kind, path, node, false, payload.clone());
        for peer in self.peers(node) {
            let delay = self.relay_delay();
            let (world, node, path, payload) =
                (Arc::clone(self), node.to_owned(), path.clone(), payload.clone());
            self.spawn(async move {
                tokio::time::sleep(delay).await;
                if world.reaches(&node, &peer) {
                    world.emit(&peer, kind, &path, &node, true, payload);
                }
            });
        }
    }

    /// Tells the streams of one node something about an object of a node.
    pub fn emit(&self, on: &str, kind: &str, path: &Path, about: &str, is_from_peer: bool, payload: Value) {
        let mut labels = json!({"namespace": path.namespace, "node": about, "path": path.to_string()});
        if is_from_peer {
            labels["from"] = "peer".into();
        }
        self.send(on, kind, &event(labels, path, about, payload));
    }

    /// Tells the streams of one node something.
    pub fn send(&self, on: &str, kind: &str, body: &Value) {
        let mut inner = self.lock();
        let faults = inner.event_faults;
        let Some(node) = inner.nodes.get_mut(on) else { return };
        let mut random = rand::rng();
        node.streams.retain_mut(|stream| {
            if faults.is_silent || !stream.wants(kind, body) {
                return !stream.sink.is_closed();
            }
            if random.random_range(0..100) < faults.lose {
                return true;
            }
            if stream.held.is_none() && random.random_range(0..100) < faults.reorder {
                stream.held = Some((kind.to_owned(), body.clone()));
                return true;
            }
            let n_times = if random.random_range(0..100) < faults.duplicate { 2 } else { 1 };
            let held = stream.held.take();
            (0..n_times).all(|_| stream.send(kind, body))
                && held.is_none_or(|(kind, body)| stream.send(&kind, &body))
        });
    }

    /// Sends a stream what there is, as events: without the label `namespace`, and so past the grants of its reader.
    /// Streams whose filters name no kind get none. False once the stream is over.
    #[must_use]
    pub fn replay(&self, node: &str, stream: &mut Stream) -> bool {
        let inner = self.lock();
        for name in shapes::seen_nodes(&inner, node) {
            let Some(state) = inner.nodes.get(&name) else { continue };
            for path in state.published.keys() {
                for (kind, member, value) in [
                    ("InstanceConfigUpdated", "instance_config", shapes::config_of(&inner, &name, path)),
                    ("InstanceStatusUpdated", "instance_status", shapes::status_of(&inner, &name, path)),
                    ("InstanceMonitorUpdated", "instance_monitor", shapes::monitor_of(&inner, &name, path)),
                ] {
                    let labels = json!({"node": name, "path": path.to_string(), "source": "cache"});
                    let body = event(labels, path, &name, json!({member: value}));
                    let is_named = stream.filters.is_empty()
                        || stream
                            .filters
                            .iter()
                            .any(|filter| !filter.kinds.is_empty() && filter.takes(kind, &body));
                    if is_named && stream.wants(kind, &body) && !stream.send(kind, &body) {
                        return false;
                    }
                }
            }
        }
        true
    }
}

fn event(labels: Value, path: &Path, about: &str, payload: Value) -> Value {
    let mut body = json!({"labels": labels, "path": path.to_string(), "node": about});
    if let (Value::Object(body), Value::Object(payload)) = (&mut body, payload) {
        body.extend(payload);
    }
    body
}
