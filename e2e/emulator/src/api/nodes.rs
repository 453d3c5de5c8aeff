//! What is asked of a node by its name: instances, events, records.

use hyper::Method;
use serde_json::json;

use super::reply::{Answer, empty, json_of, message, problem};
use super::{Call, Outcome};
use crate::instances;
use crate::path::Path;
use crate::shapes;
use crate::world::identifier;
use crate::zone;

// === impl Call ===

impl Call<'_> {
    pub(super) async fn on_node(&self, name: &str, rest: &[&str]) -> Outcome {
        let node = if matches!(name, "_" | "localhost") { &self.node } else { name };
        let is_member = self.world.lock().nodes.contains_key(node);
        if let ["daemon", "event"] = rest {
            if !is_member {
                let words = format!("field 'nodename' with value '{name}' is not a cluster node");
                return Ok(problem(400, "Invalid nodename", &words));
            }
            return Ok(self.stream(node));
        }
        let is_seen = {
            let inner = self.world.lock();
            shapes::seen_nodes(&inner, &self.node).iter().any(|seen| seen == node)
        };
        // The starts of instances do not know what is meant by it.
        let is_unnamed = name == "localhost" && rest.ends_with(&["action", "start"]);
        if !is_seen || is_unnamed {
            return Ok(problem(404, "node status data not found", name));
        }
        Ok(match (self.method.as_str(), rest) {
            ("GET", ["ping"]) => empty(204),
            ("GET", ["daemon", "dns", "dump"]) => match self.root_only() {
                Some(refusal) => refusal,
                None => json_of(200, &zone::dump(self.world)),
            },
            ("GET", ["log"]) => match self.root_only() {
                Some(refusal) => refusal,
                None => message(404, "Not Found"),
            },
            (_, ["instance", "path", namespace, kind, name, rest @ ..]) => {
                self.instance(node, &Path::new(namespace, kind, name), rest).await
            }
            _ => message(404, "Not Found"),
        })
    }

    async fn instance(&self, node: &str, path: &Path, rest: &[&str]) -> Answer {
        if self.method == Method::POST && !self.caller.is_root() {
            let ns = &path.namespace;
            let needed = [
                format!("operator:{ns}"),
                format!("admin:{ns}"),
                "operator".into(),
                "admin".into(),
                "root".into(),
            ];
            if let Some(refusal) = self.need(&needed) {
                return refusal;
            }
        }
        match (self.method.as_str(), rest) {
            ("GET", ["config", "file"]) => {
                let file = {
                    let inner = self.world.lock();
                    inner.nodes.get(node).and_then(|state| state.files.get(path)).cloned()
                };
                match file {
                    Some(file) => self.file_answer(&file),
                    None => problem(404, "Not found", &format!("Config file not found for {path}@{node}")),
                }
            }
            ("GET", []) => {
                let inner = self.world.lock();
                if !inner.nodes.get(node).is_some_and(|state| state.published.contains_key(path)) {
                    return empty(404);
                }
                json_of(
                    200,
                    &json!({
                        "kind": "InstanceItem", "meta": {"node": node, "object": path.to_string()},
                        "data": shapes::instance(&inner, node, path),
                    }),
                )
            }
            ("POST", ["clear"]) => {
                let mut inner = self.world.lock();
                if let Some(monitor) =
                    inner.nodes.get_mut(node).and_then(|state| state.monitors.get_mut(path))
                {
                    "idle".clone_into(&mut monitor.state);
                }
                empty(200)
            }
            ("POST", ["action", verb]) => {
                let wanted: Vec<&str> =
                    self.param("rid").into_iter().flat_map(|text| text.split(',')).collect();
                match *verb {
                    "start" => {
                        instances::start(self.world, node, path).await;
                    }
                    "stop" => instances::stop(self.world, node, path).await,
                    "restart" => instances::restart(self.world, node, path, &wanted).await,
                    "freeze" | "unfreeze" => instances::freeze(self.world, node, path, *verb == "freeze"),
                    "status" => instances::evaluate(self.world, node, path),
                    _ => {}
                }
                json_of(200, &json!({"session_id": identifier()}))
            }
            _ => message(404, "Not Found"),
        }
    }
}
