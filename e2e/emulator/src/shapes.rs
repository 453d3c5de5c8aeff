//! State as the API shows it: instances, monitors, objects, lists, the cluster.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::path::Path;
use crate::world::{Inner, Monitor, World, time};

/// Status of an instance.
#[must_use]
pub fn instance_status(world: &World, node: &str, path: &Path) -> Value {
    status_of(&world.lock(), node, path)
}

/// Monitor of an instance.
#[must_use]
pub fn instance_monitor(world: &World, node: &str, path: &Path) -> Value {
    monitor_of(&world.lock(), node, path)
}

/// The nodes that a node sees, itself included.
#[must_use]
pub fn seen_nodes(inner: &Inner, node: &str) -> Vec<String> {
    let is_cut =
        |other: &str| inner.cuts.iter().any(|(a, b)| (a == node && b == other) || (a == other && b == node));
    inner
        .nodes
        .iter()
        .filter(|(name, state)| *name == node || (!state.is_lost && !is_cut(name)))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Objects that a node knows; empty, then partial, right after its start.
#[must_use]
pub fn known(inner: &Inner, node: &str) -> BTreeSet<Path> {
    let mut paths: BTreeSet<Path> = seen_nodes(inner, node)
        .iter()
        .filter_map(|name| inner.nodes.get(name))
        .flat_map(|state| state.published.keys().cloned())
        .collect();
    paths.insert(Path::new("root", "ccfg", "cluster"));
    paths.insert(Path::new("system", "sec", "ca"));
    let age = inner.nodes.get(node).and_then(|state| state.started_at).map(|at| at.elapsed());
    let whole = inner.delays.debounce * 3;
    match age {
        Some(age) if age < inner.delays.debounce => BTreeSet::new(),
        Some(age) if age < whole => {
            paths.into_iter().enumerate().filter(|(n, _)| n % 2 == 0).map(|(_, path)| path).collect()
        }
        _ => paths,
    }
}

/// One object with its instances, as a list item.
#[must_use]
pub fn object(inner: &Inner, node: &str, path: &Path) -> Value {
    let mut instances = Map::new();
    let mut newest: Option<(i128, Vec<String>)> = None;
    for name in seen_nodes(inner, node) {
        let Some(published) = inner.nodes.get(&name).and_then(|state| state.published.get(path)) else {
            continue;
        };
        if name != node && published.at.elapsed() < inner.delays.relay.0 {
            continue;
        }
        if newest.as_ref().is_none_or(|(at, _)| published.updated_at > *at) {
            newest = Some((published.updated_at, published.scope.clone()));
        }
        let mut settings = json!({
            "csum": published.csum, "priority": 0, "scope": published.scope, "updated_at": time(published.updated_at),
        });
        if path.is_actor() {
            settings["orchestrate"] = keyword(inner, node, path, "orchestrate").unwrap_or("no").into();
            settings["topology"] = keyword(inner, node, path, "topology").unwrap_or("failover").into();
        }
        let parts = json!({"config": settings, "monitor": monitor_of(inner, &name, path), "status": status_of(inner, &name, path)});
        instances.insert(name, parts);
    }
    let (updated_at, scope) = newest.unwrap_or_default();
    let mut data =
        json!({"scope": scope, "priority": 0, "updated_at": time(updated_at), "instances": instances});
    if path.is_actor() {
        let of = |pointer: &str| -> Vec<String> {
            data["instances"]
                .as_object()
                .into_iter()
                .flat_map(|map| map.values())
                .filter_map(|instance| instance.pointer(pointer)?.as_str().map(ToOwned::to_owned))
                .collect()
        };
        let (avail, provisioned, frozen) =
            (of("/status/avail"), of("/status/provisioned"), of("/status/frozen_at"));
        let n_up = avail.iter().filter(|state| *state == "up").count();
        let is_flex = keyword(inner, node, path, "topology") == Some("flex");
        let total = if avail.iter().any(|state| state == "warn") || (!is_flex && n_up > 1) {
            "warn"
        } else if n_up == 0 {
            "down"
        } else {
            "up"
        };
        let mixed = |all: &[String], yes: &str, no: &str, is_yes: &dyn Fn(&String) -> bool| match (
            all.iter().any(is_yes),
            all.iter().all(is_yes),
        ) {
            (_, true) if !all.is_empty() => yes.to_owned(),
            (true, _) => "mixed".to_owned(),
            _ => no.to_owned(),
        };
        data["avail"] = total.into();
        data["overall"] = total.into();
        data["up_instances_count"] = n_up.into();
        data["provisioned"] = mixed(&provisioned, "true", "false", &|state| state == "true").into();
        data["frozen"] = mixed(&frozen, "frozen", "unfrozen", &|at| at != NEVER).into();
        data["orchestrate"] = keyword(inner, node, path, "orchestrate").unwrap_or("no").into();
        data["topology"] = keyword(inner, node, path, "topology").unwrap_or("failover").into();
        data["placement_state"] = "optimal".into();
    }
    json!({"kind": "ObjectItem", "meta": {"object": path.to_string()}, "data": data})
}

/// State of the cluster; objects and instances that a selector names.
#[must_use]
pub fn cluster(world: &World, node: &str, selector: &str) -> Value {
    let inner = world.lock();
    let members: Vec<&String> = inner.nodes.keys().collect();
    let mut nodes = Map::new();
    let mut objects = Map::new();
    for path in known(&inner, node).iter().filter(|path| path.is_selected(selector)) {
        objects.insert(path.to_string(), object(&inner, node, path)["data"].clone());
    }
    for name in seen_nodes(&inner, node) {
        let status = json!({"agent": "v3.0.0-rc21", "api": 8, "arbitrators": {}, "compat": 12, "frozen_at": NEVER, "gen": {}, "is_leader": false, "is_overloaded": false});
        nodes.insert(name, json!({"instance": {}, "monitor": {"global_expect": "none", "local_expect": "none", "state": "idle"}, "status": status}));
    }
    json!({
        "cluster": {
            "config": {
                "issues": null, "id": "3a2b9e9f-aa79-4373-9af4-eeef16582334", "name": world.name, "nodes": members,
                "dns": [world.names.address.ip().to_string()], "ca_sec_paths": [], "quorum": false,
            },
            "status": {"is_compat": true, "is_frozen": false},
            "object": objects,
            "node": nodes,
        },
        "daemon": {"nodename": node},
    })
}

/// Nodes as anybody may know them.
#[must_use]
pub fn node_info(world: &World, node: &str) -> Value {
    let inner = world.lock();
    let seen = seen_nodes(&inner, node);
    drop(inner);
    let of = |name: &String| {
        let listener =
            json!({"id": "", "state": "running", "addr": world.address(name).to_string(), "port": "1215"});
        (name.clone(), json!({"env": "TST", "labels": {}, "paths": [], "listener": listener}))
    };
    Value::Object(seen.iter().map(of).collect())
}

fn status_of(inner: &Inner, node: &str, path: &Path) -> Value {
    let status = inner.nodes.get(node).and_then(|state| state.statuses.get(path));
    let Some(status) = status.filter(|_| path.is_actor()) else {
        return json!({"avail": "n/a", "frozen_at": NEVER, "last_started_at": NEVER, "optional": "n/a", "overall": "n/a", "provisioned": "n/a", "updated_at": NEVER});
    };
    let of_app = |state: &str| {
        status.resources.values().any(|(driver, found, _)| driver.starts_with("app") && found == state)
    };
    let avail = match (status.is_expected_up, of_app("down")) {
        (true, false) => "up",
        (true, true) if status.resources.values().any(|(_, state, _)| state == "up") => "warn",
        _ => "down",
    };
    let resources: Map<String, Value> = status
        .resources
        .iter()
        .map(|(rid, (driver, state, facts))| {
            let made = if status.is_provisioned { "true" } else { "false" };
            (rid.clone(), json!({"label": rid, "status": state, "type": driver, "info": facts, "provisioned": {"state": made, "mtime": NEVER}}))
        })
        .collect();
    let frozen_at = status.frozen_at.map_or_else(|| NEVER.to_owned(), |at| at.to_string());
    json!({
        "avail": avail, "overall": avail, "optional": "n/a", "frozen_at": frozen_at, "last_started_at": NEVER,
        "provisioned": if status.is_provisioned { "true" } else { "false" }, "resources": resources, "updated_at": NEVER,
    })
}

fn monitor_of(inner: &Inner, node: &str, path: &Path) -> Value {
    let idle = Monitor::idle();
    let monitor = inner.nodes.get(node).and_then(|state| state.monitors.get(path)).unwrap_or(&idle);
    json!({
        "global_expect": monitor.global_expect, "global_expect_options": null, "global_expect_updated_at": NEVER,
        "is_ha_leader": false, "is_leader": false, "local_expect": "none", "local_expect_updated_at": NEVER,
        "monitor_action_executed_at": NEVER,
        "orchestration_id": monitor.orchestration.clone().unwrap_or_else(|| NO_ID.to_owned()),
        "orchestration_is_done": false, "preserved": false, "session_id": NO_ID, "state": monitor.state,
        "state_updated_at": NEVER, "updated_at": NEVER,
    })
}

fn keyword<'i>(inner: &'i Inner, node: &str, path: &Path, name: &str) -> Option<&'i str> {
    inner.nodes.get(node)?.files.get(path)?.stored.keyword("DEFAULT", name)
}

const NEVER: &str = "0001-01-01T00:00:00Z";
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";
