//! State as the API shows it.

mod cluster;
mod instance;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::path::Path;
use crate::world::{Inner, time};

pub use cluster::{cluster, node_info, node_list, score};
pub use instance::{config_of, monitor_of, resources_of, status_of};

/// The nodes that a node sees, itself included.
#[must_use]
pub fn seen_nodes(inner: &Inner, node: &str) -> Vec<String> {
    inner
        .nodes
        .iter()
        .filter(|(name, state)| *name == node || (!state.is_lost && !inner.is_cut(node, name)))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Objects that a node knows; empty, then partial, right after its start.
#[must_use]
pub fn known(inner: &Inner, node: &str) -> BTreeSet<Path> {
    let seen = seen_nodes(inner, node);
    let of =
        |name: &String| inner.nodes.get(name).into_iter().flat_map(|state| state.published.keys().cloned());
    let mut paths: BTreeSet<Path> = seen.iter().flat_map(of).collect();
    paths.insert(Path::new("root", "ccfg", "cluster"));
    for name in ["ca", "cert", "hb"] {
        paths.insert(Path::new("system", "sec", name));
    }
    let age = inner.nodes.get(node).and_then(|state| state.started_at).map(|at| at.elapsed());
    let Some(age) = age else { return paths };
    if age < inner.delays.debounce * 2 {
        return BTreeSet::new();
    }
    if age < inner.delays.debounce * 4 {
        // Services that are on this node alone come last.
        let of_peers: BTreeSet<Path> = seen.iter().filter(|name| *name != node).flat_map(of).collect();
        paths.retain(|path| !path.is_actor() || of_peers.contains(path));
    }
    paths
}

/// The last node that changed an object, with its time and scope.
fn newest(inner: &Inner, node: &str, path: &Path) -> (i128, Vec<String>) {
    let seen = seen_nodes(inner, node);
    let published = seen.iter().filter_map(|name| inner.nodes.get(name)?.published.get(path));
    let newest = published.max_by_key(|published| published.updated_at);
    newest.map(|published| (published.updated_at, published.scope.clone())).unwrap_or_default()
}

/// What is told of an object as a whole.
#[must_use]
pub fn object_status(inner: &Inner, node: &str, path: &Path) -> Value {
    let (updated_at, scope) = newest(inner, node, path);
    let mut data = json!({"scope": scope, "priority": 0, "updated_at": time(updated_at)});
    if !path.is_actor() {
        return data;
    }
    let seen = seen_nodes(inner, node);
    let holder =
        seen.iter().find(|name| inner.nodes.get(*name).is_some_and(|state| state.files.contains_key(path)));
    let keyword = |name: &str| holder.and_then(|holder| inner.keyword(holder, path, name));
    let statuses: Vec<(&String, &crate::world::Status)> =
        seen.iter().filter_map(|name| Some((name, inner.nodes.get(name)?.statuses.get(path)?))).collect();
    let n_up = statuses.iter().filter(|(_, status)| status.avail() == "up").count();
    let is_flex = keyword("topology") == Some("flex");
    let number = |name: &str, other: usize| match keyword(name) {
        Some("{#nodes}") => scope.len(),
        Some(text) => text.parse().unwrap_or(other),
        None => other,
    };
    let (min, max) = (number("flex_min", 1), number("flex_max", scope.len()));
    let avail = if statuses.iter().any(|(_, status)| status.avail() == "warn") || (!is_flex && n_up > 1) {
        "warn"
    } else if !statuses.is_empty() && statuses.iter().all(|(_, status)| status.avail() == "n/a") {
        "n/a"
    } else if n_up == 0 {
        "down"
    } else if is_flex && (n_up < min || n_up > max) {
        "warn"
    } else {
        "up"
    };
    let provisioned: BTreeSet<&str> =
        statuses.iter().map(|(_, status)| status.provisioned()).filter(|state| *state != "n/a").collect();
    let provisioned = match (provisioned.first(), provisioned.len()) {
        (None, _) => "n/a",
        (Some(all), 1) => all,
        _ => "mixed",
    };
    let n_frozen = statuses.iter().filter(|(_, status)| status.frozen_at.is_some()).count();
    let frozen = match n_frozen {
        0 => "unfrozen",
        n if n == statuses.len() => "frozen",
        _ => "mixed",
    };
    let is_leader_up =
        statuses.iter().any(|(name, status)| Some(*name) == scope.first() && status.avail() == "up");
    let placement = match (avail, frozen) {
        ("up", "unfrozen") if is_flex || is_leader_up => "optimal",
        ("up", _) => "non-optimal",
        _ => "n/a",
    };
    let more = json!({
        "avail": avail, "overall": avail, "up_instances_count": n_up, "provisioned": provisioned, "frozen": frozen,
        "orchestrate": keyword("orchestrate").unwrap_or("no"), "topology": keyword("topology").unwrap_or("failover"),
        "placement_policy": "nodes order", "placement_state": placement, "priority": 50,
    });
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
        if is_flex {
            data.insert(
                "flex".to_owned(),
                json!({"min": min, "max": max, "target": number("flex_target", min)}),
            );
        }
    }
    data
}

/// One object with its instances, as a list item.
#[must_use]
pub fn object(inner: &Inner, node: &str, path: &Path) -> Value {
    let mut instances = Map::new();
    for name in seen_nodes(inner, node) {
        let Some(published) = inner.nodes.get(&name).and_then(|state| state.published.get(path)) else {
            continue;
        };
        if name != node && published.at.elapsed() < inner.delays.relay.0 {
            continue;
        }
        let instance = instance(inner, &name, path);
        instances.insert(name, instance);
    }
    let mut data = object_status(inner, node, path);
    data["instances"] = instances.into();
    json!({"kind": "ObjectItem", "meta": {"object": path.to_string()}, "data": data})
}

/// One instance.
#[must_use]
pub fn instance(inner: &Inner, node: &str, path: &Path) -> Value {
    json!({
        "config": config_of(inner, node, path),
        "monitor": monitor_of(inner, node, path),
        "status": status_of(inner, node, path),
    })
}

/// A time that has not come.
pub const NEVER: &str = "0001-01-01T00:00:00Z";
/// No identifier.
pub const NO_ID: &str = "00000000-0000-0000-0000-000000000000";
