//! Objects as a whole: lists, one object, actions.

use serde_json::{Value, json};

use super::reply::{Answer, json_of, message, problem};
use super::{Broken, Call, Outcome};
use crate::orchestration::act;
use crate::path::Path;
use crate::shapes;

// === impl Call ===

impl Call<'_> {
    pub(super) fn names(&self) -> Answer {
        let selector = self.param("path").unwrap_or("**");
        let names: Vec<String> = self.selected(selector).iter().map(ToString::to_string).collect();
        if names.is_empty() && !selector.is_empty() && !selector.contains(['*', '?', ',']) {
            return problem(500, "Server error", "expand selection");
        }
        json_of(200, &json!(names))
    }

    pub(super) fn list(&self) -> Answer {
        let paths = self.selected(self.param("path").unwrap_or("**"));
        let inner = self.world.lock();
        let items: Vec<Value> = paths.iter().map(|path| shapes::object(&inner, &self.node, path)).collect();
        json_of(200, &json!({"kind": "ObjectList", "items": items}))
    }

    pub(super) fn instances(&self) -> Answer {
        let paths = self.selected(self.param("path").unwrap_or("**"));
        let inner = self.world.lock();
        let mut items = Vec::new();
        for path in paths {
            for node in shapes::seen_nodes(&inner, &self.node) {
                if inner.nodes.get(&node).is_some_and(|state| state.published.contains_key(&path)) {
                    items.push(json!({
                        "kind": "InstanceItem", "meta": {"node": node, "object": path.to_string()},
                        "data": shapes::instance(&inner, &node, &path),
                    }));
                }
            }
        }
        json_of(200, &json!({"kind": "InstanceList", "items": items}))
    }

    pub(super) fn resources(&self) -> Outcome {
        let paths = self.selected(self.param("path").unwrap_or("**"));
        // It takes for granted that each has instances that run.
        if paths.iter().any(|path| !path.is_actor()) {
            return Err(Broken);
        }
        let wanted: Vec<&str> = self.param("resource").into_iter().flat_map(|text| text.split(',')).collect();
        let nodes: Vec<&str> = self.param("node").into_iter().flat_map(|text| text.split(',')).collect();
        let inner = self.world.lock();
        let mut items = Vec::new();
        for path in paths {
            for node in shapes::seen_nodes(&inner, &self.node) {
                if nodes.is_empty() || nodes.contains(&node.as_str()) {
                    items.extend(shapes::resources_of(&inner, &node, &path, &wanted));
                }
            }
        }
        Ok(json_of(200, &json!({"kind": "ResourceList", "items": items})))
    }

    /// One object, or an action on it.
    pub(super) fn whole(&self, path: &Path, rest: &[&str]) -> Answer {
        let is_known = {
            let inner = self.world.lock();
            shapes::known(&inner, &self.node).contains(path)
        };
        match (self.method.as_str(), rest) {
            ("GET", []) if is_known => {
                let inner = self.world.lock();
                json_of(200, &shapes::object(&inner, &self.node, path))
            }
            ("GET", []) => problem(404, "", ""),
            ("POST", ["action", _]) if !is_known => problem(404, "object not found", ""),
            ("POST", ["action", verb]) => {
                let body = serde_json::from_slice(&self.body).unwrap_or_default();
                match act(self.world, &self.node, path, verb, &body) {
                    Ok(id) => json_of(200, &json!({"orchestration_id": id})),
                    Err((404, "", detail)) => message(404, &detail),
                    Err((status, title, detail)) => problem(status, title, &detail),
                }
            }
            ("GET", _) => message(404, "Not Found"),
            _ => message(405, "Method Not Allowed"),
        }
    }

    fn selected(&self, selector: &str) -> Vec<Path> {
        let inner = self.world.lock();
        let known = shapes::known(&inner, &self.node);
        let is_wanted = |path: &Path| {
            !selector.is_empty() && path.is_selected(selector) && self.caller.sees(&path.namespace)
        };
        known.into_iter().filter(is_wanted).collect()
    }
}
