//! One instance: its configuration, monitor, status and resources.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{NEVER, NO_ID};
use crate::path::Path;
use crate::stored::Stored;
use crate::world::{Inner, Monitor, Status, time};

/// Configuration that a node has published.
#[must_use]
pub fn config_of(inner: &Inner, node: &str, path: &Path) -> Value {
    let Some(state) = inner.nodes.get(node) else { return Value::Null };
    let Some(published) = state.published.get(path) else { return Value::Null };
    let mut config = json!({
        "csum": published.csum, "priority": 0, "scope": published.scope, "updated_at": time(published.updated_at),
    });
    if !path.is_actor() {
        return config;
    }
    let Some(stored) = state.files.get(path).map(|file| &file.stored) else { return config };
    let keyword = |name: &str| stored.keyword("DEFAULT", name);
    let resources: Map<String, Value> =
        stored.resources().map(|rid| (rid.to_owned(), resource_config(stored, rid))).collect();
    let of = |action: &str, key: &str, schedule: &str, collector: bool, provisioned: bool| {
        json!({
            "action": action, "key": key, "schedule": schedule, "max_parallel": 1, "require_collector": collector,
            "require_provisioned": provisioned,
        })
    };
    let more = json!({
        "app": keyword("app").unwrap_or("default"), "is_disabled": false, "priority": 50, "stonith": false,
        "orchestrate": keyword("orchestrate").unwrap_or("no"), "topology": keyword("topology").unwrap_or("failover"),
        "placement_policy": "nodes order", "subsets": {}, "resources": resources,
        "schedules": [
            of("status", "status_schedule", "@10m", false, false),
            of("compliance_auto", "comp_schedule", "~00:00-06:00", true, true),
            of("push_resinfo", "resinfo_schedule", "@60m", true, false),
        ],
    });
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
        if let Some(actions) = keyword("monitor_action") {
            config.insert("monitor_action".to_owned(), actions.split_whitespace().collect());
        }
    }
    config
}

fn restarts(stored: &Stored, rid: &str) -> u64 {
    stored.keyword(rid, "restart").and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn resource_config(stored: &Stored, rid: &str) -> Value {
    let is_set = |name: &str| stored.keyword(rid, name) == Some("true");
    let mut config = json!({
        "is_disabled": is_set("disable"), "is_monitored": is_set("monitor"), "is_standby": is_set("standby"),
        "restart_delay": 500_000_000,
    });
    if restarts(stored, rid) > 0 {
        config["restart"] = restarts(stored, rid).into();
    }
    config
}

fn resource_monitor(stored: &Stored, rid: &str) -> Option<Value> {
    let restarts = restarts(stored, rid);
    (restarts > 0).then(|| json!({"restart": {"remaining": restarts, "last_at": NEVER}}))
}

/// Monitor of an instance.
#[must_use]
pub fn monitor_of(inner: &Inner, node: &str, path: &Path) -> Value {
    let idle = Monitor::idle();
    let state = inner.nodes.get(node);
    let monitor = state.and_then(|state| state.monitors.get(path)).unwrap_or(&idle);
    let at = |at: Option<Timestamp>| at.map_or_else(|| NEVER.to_owned(), |at| at.to_string());
    let published = state.and_then(|state| state.published.get(path));
    let is_leader = path.is_actor()
        && published.is_some_and(|published| {
            let is_there = |name: &&String| inner.nodes.get(*name).is_some_and(|state| !state.is_lost);
            published.scope.iter().find(is_there).is_some_and(|leader| leader == node)
        });
    let status = state.and_then(|state| state.statuses.get(path));
    let is_ready = status.is_some_and(|status| {
        status.frozen_at.is_none() && !matches!(status.provisioned(), "false" | "mixed")
    });
    let mut shown = json!({
        "global_expect": monitor.global_expect, "global_expect_options": null,
        "global_expect_updated_at": at(monitor.global_expect_at),
        "is_ha_leader": is_leader && is_ready, "is_leader": is_leader, "local_expect": monitor.local_expect,
        "local_expect_updated_at": NEVER, "monitor_action_executed_at": NEVER,
        "orchestration_id": monitor.orchestration.as_deref().unwrap_or(NO_ID),
        "orchestration_is_done": false, "preserved": false, "session_id": NO_ID, "state": monitor.state,
        "state_updated_at": NEVER, "updated_at": NEVER,
    });
    let stored = state.and_then(|state| state.files.get(path)).map(|file| &file.stored);
    let resources: Map<String, Value> = stored
        .into_iter()
        .flat_map(|stored| {
            stored.resources().filter_map(|rid| Some((rid.to_owned(), resource_monitor(stored, rid)?)))
        })
        .collect();
    if !resources.is_empty() {
        shown["resources"] = resources.into();
    }
    shown
}

/// Status of an instance.
#[must_use]
pub fn status_of(inner: &Inner, node: &str, path: &Path) -> Value {
    let status = inner.nodes.get(node).and_then(|state| state.statuses.get(path));
    let Some(status) = status.filter(|_| path.is_actor()) else {
        return json!({
            "avail": "n/a", "frozen_at": NEVER, "last_started_at": NEVER, "optional": "n/a", "overall": "n/a",
            "provisioned": "n/a", "updated_at": NEVER,
        });
    };
    let at = |at: Option<Timestamp>| at.map_or_else(|| NEVER.to_owned(), |at| at.to_string());
    let resources: Map<String, Value> =
        status.resources.keys().map(|rid| (rid.clone(), resource_status(status, rid))).collect();
    // What makes a volume is out of sight here: it is there as soon as it is known.
    let (avail, provisioned) =
        if path.kind == "vol" { ("up", "true") } else { (status.avail(), status.provisioned()) };
    json!({
        "avail": avail, "overall": avail, "frozen_at": at(status.frozen_at),
        "last_started_at": at(status.last_started_at), "provisioned": provisioned, "resources": resources,
        "updated_at": NEVER,
    })
}

fn resource_status(status: &Status, rid: &str) -> Value {
    let Some(resource) = status.resources.get(rid) else { return Value::Null };
    let mut shown = json!({
        "label": resource.label, "status": resource.state, "type": resource.driver,
        "provisioned": {"state": resource.provisioned, "mtime": NEVER},
    });
    if resource.facts.as_object().is_some_and(|facts| !facts.is_empty()) {
        shown["info"] = resource.facts.clone();
    }
    shown
}

/// Resources of an instance as items of a list; those of these names or groups, none = all.
#[must_use]
pub fn resources_of(inner: &Inner, node: &str, path: &Path, wanted: &[&str]) -> Vec<Value> {
    let Some(state) = inner.nodes.get(node) else { return Vec::new() };
    let (Some(status), Some(file)) = (state.statuses.get(path), state.files.get(path)) else {
        return Vec::new();
    };
    let is_wanted = |rid: &&String| {
        wanted.is_empty() || wanted.iter().any(|name| rid == name || rid.split('#').next() == Some(*name))
    };
    status
        .resources
        .keys()
        .filter(is_wanted)
        .map(|rid| {
            let mut data =
                json!({"config": resource_config(&file.stored, rid), "status": resource_status(status, rid)});
            if let Some(monitor) = resource_monitor(&file.stored, rid) {
                data["monitor"] = monitor;
            }
            let meta = json!({"encap_node": "", "node": node, "object": path.to_string(), "rid": rid});
            json!({"kind": "ResourceItem", "meta": meta, "data": data})
        })
        .collect()
}
