//! The cluster as a whole, and its nodes.

use serde_json::{Map, Value, json};

use super::{NEVER, NO_ID, instance, known, object_status, seen_nodes};
use crate::callers::Caller;
use crate::world::World;

/// State of the cluster; objects and instances that a selector names and the caller may see.
#[must_use]
pub fn cluster(world: &World, node: &str, selector: &str, caller: &Caller) -> Value {
    let inner = world.lock();
    let members: Vec<&String> = inner.nodes.keys().collect();
    let paths: Vec<_> = known(&inner, node)
        .into_iter()
        .filter(|path| path.is_selected(selector) && caller.sees(&path.namespace))
        .collect();
    let objects: Map<String, Value> =
        paths.iter().map(|path| (path.to_string(), object_status(&inner, node, path))).collect();
    let nameservers = if world.names.address.port() == 53 {
        vec![world.names.address.ip().to_string()]
    } else {
        Vec::new()
    };
    let mut nodes = Map::new();
    let seen = seen_nodes(&inner, node);
    for name in seen.clone() {
        let published = inner.nodes.get(&name).map(|state| &state.published);
        let instances: Map<String, Value> = paths
            .iter()
            .filter(|path| published.is_some_and(|published| published.contains_key(path)))
            .map(|path| (path.to_string(), instance(&inner, &name, path)))
            .collect();
        let mut shown = json!({
            "instance": instances,
            "pool": {"default": pool("/var/lib/opensvc/pool/directory", "directory", false), "shm": pool("/dev/shm", "shm", true)},
            "monitor": node_monitor(),
            "stats": {"load_15m": 0.1, "mem_avail": 97, "mem_total": 24105, "score": score(&name), "swap_avail": 0, "swap_total": 0},
            "status": node_status(seen.first() == Some(&name), &members),
            "os": {"paths": []},
            "config": node_config(),
            "daemon": daemon(world, &name, &members, &seen),
        });
        shown["monitor"]["preserved"] = false.into();
        nodes.insert(name, shown);
    }
    json!({
        "cluster": {
            "config": {
                "issues": null, "id": "3a2b9e9f-aa79-4373-9af4-eeef16582334", "name": world.name, "nodes": members,
                "dns": nameservers, "ca_sec_paths": [], "quorum": false,
                "listener": {
                    "crl": "/var/lib/opensvc/certs/ca_crl", "addr": "", "port": 1215, "openid_issuer": "",
                    "openid_client_id": "om3", "dns_sock_gid": "953", "dns_sock_uid": "953", "rate_limiter": rates(),
                },
            },
            "status": {"is_compat": true, "is_frozen": false},
            "object": objects,
            "node": nodes,
        },
        "daemon": {"nodename": node, "routines": 194},
    })
}

/// Nodes as anybody may know them.
#[must_use]
pub fn node_info(world: &World, node: &str) -> Value {
    let inner = world.lock();
    let of = |name: String| {
        (name.clone(), json!({"env": "TST", "labels": {}, "paths": [], "listener": listener(world, &name)}))
    };
    Value::Object(seen_nodes(&inner, node).into_iter().map(of).collect())
}

/// Nodes as root sees them.
#[must_use]
pub fn node_list(world: &World, node: &str) -> Value {
    let inner = world.lock();
    let members: Vec<&String> = inner.nodes.keys().collect();
    let items = seen_nodes(&inner, node).into_iter().map(|name| {
        let mut config = node_config();
        if let Value::Object(config) = &mut config {
            config.retain(|member, _| member != "schedules" && member != "max_key_size");
            config.insert("hooks".to_owned(), json!([]));
            if let Some(collector) = config.get_mut("collector").and_then(Value::as_object_mut) {
                collector.retain(|member, _| member != "ping_interval" && member != "status_delay");
            }
        }
        let mut status = node_status(members.iter().min() == Some(&&name), &members);
        status["api"] = "0".into();
        if let Value::Object(status) = &mut status {
            status.retain(|member, _| !matches!(member.as_str(), "booted_at" | "left_at" | "rejoined_at"));
        }
        let data = json!({"config": config, "monitor": node_monitor(), "status": status});
        json!({"kind": "NodeItem", "meta": {"node": name}, "data": data})
    });
    json!({"kind": "NodeList", "items": items.collect::<Vec<_>>()})
}

/// How fit a node is to do more.
#[must_use]
pub fn score(node: &str) -> u32 {
    if node == "n1" { 71 } else { 70 }
}

fn rates() -> Value {
    json!({"rate": 20, "burst": 100, "expires": 60_000_000_000_u64})
}

/// A listener of an address of its own, as `listener.addr` makes it.
fn listener(world: &World, node: &str) -> Value {
    json!({
        "id": "", "state": "running", "addr": world.address(node).to_string(), "port": "1215", "rate_limiter": rates(), "configured_at": NEVER,
        "created_at": NEVER, "updated_at": NEVER,
    })
}

fn pool(head: &str, kind: &str, is_volatile: bool) -> Value {
    let mut capabilities = vec!["blk", "file", "roo", "rox", "rwo", "rwx"];
    if is_volatile {
        capabilities.push("volatile");
    }
    json!({
        "shared": false, "free": 0, "used": 0, "size": 0, "capabilities": capabilities, "errors": [], "head": head,
        "type": kind, "updated_at": NEVER, "volume_count": 0,
    })
}

fn node_monitor() -> Value {
    json!({
        "global_expect": "none", "local_expect": "none", "state": "idle", "global_expect_updated_at": NEVER,
        "local_expect_updated_at": NEVER, "state_updated_at": NEVER, "updated_at": NEVER, "orchestration_id": NO_ID,
        "orchestration_is_done": false, "session_id": NO_ID,
    })
}

fn node_status(is_leader: bool, members: &[&String]) -> Value {
    let generations: Map<String, Value> =
        members.iter().map(|member| ((*member).clone(), json!(1))).collect();
    json!({
        "agent": "v3.0.0-rc21", "api": 0, "arbitrators": {}, "compat": 0, "frozen_at": NEVER, "gen": generations,
        "is_leader": is_leader, "is_overloaded": true, "booted_at": NEVER, "left_at": NEVER, "rejoined_at": NEVER,
    })
}

fn node_config() -> Value {
    let of = |action: &str, key: &str, schedule: &str| {
        json!({
            "action": action, "schedule": schedule, "key": key, "max_parallel": 1, "require_collector": true,
            "require_provisioned": false,
        })
    };
    json!({
        "collector": {
            "feeder_url": "", "server_url": "", "timeout": 5_000_000_000_u64, "insecure": false,
            "ping_interval": 60_000_000_000_u64, "status_delay": 10_000_000_000_u64,
        },
        "env": "TST", "hooks": null, "labels": {}, "maintenance_grace_period": 60_000_000_000_u64, "max_parallel": 10,
        "max_key_size": 1_000_000, "min_avail_mem_pct": 2, "min_avail_swap_pct": 10,
        "ready_period": 5_000_000_000_u64, "rejoin_grace_period": 90_000_000_000_u64, "split_action": "crash",
        "sshkey": "opensvc", "prkey": "0x0",
        "schedules": [
            of("pushasset", "asset.schedule", "~00:00-06:00"), of("checks", "checks.schedule", "~00:00-06:00"),
            of("compliance_auto", "compliance.schedule", "02:00-06:00"), of("pushdisks", "disks.schedule", "~00:00-06:00"),
            of("pushpkg", "packages.schedule", "~00:00-06:00"), of("sysreport", "sysreport.schedule", "~00:00-06:00"),
        ],
    })
}

fn daemon(world: &World, node: &str, members: &[&String], seen: &[String]) -> Value {
    let part = |id: &str, state: &str| json!({"id": id, "state": state, "configured_at": NEVER, "created_at": NEVER, "updated_at": NEVER});
    let with = |mut part: Value, more: Value| {
        if let (Value::Object(part), Value::Object(more)) = (&mut part, more) {
            part.extend(more);
        }
        part
    };
    let peers = |text: &dyn Fn(&str) -> String| -> Value {
        let beat = |member: &&&String| {
            let desc = text(member);
            (
                (**member).clone(),
                json!({"desc": desc, "is_beating": true, "changed_at": NEVER, "last_beating_at": NEVER}),
            )
        };
        Value::Object(
            members.iter().filter(|member| member.as_str() != node).map(|member| beat(&member)).collect(),
        )
    };
    let stream = |id: &str, peers: Value| {
        with(part(id, "running"), json!({"type": "unicast", "peers": peers, "alerts": []}))
    };
    let message = |from: &str| json!({"from": from, "patch_length": 0, "type": "patch"});
    json!({
        "collector": with(part("collector", "disabled"), json!({"url": ""})),
        "daemondata": with(part("daemondata", "running"), json!({"queue_size": 0})),
        "dns": with(part("dns", "running"), json!({"nameservers": []})),
        "heartbeat": {
            "last_messages": seen.iter().map(|member| message(member)).collect::<Vec<_>>(),
            "last_message": message(node),
            "streams": [
                stream("hb#1.rx", peers(&|member| format!(":10000 ← {member}"))),
                stream("hb#1.tx", peers(&|member| format!("→ {member}:10000"))),
            ],
            "secret_version": {"main": 0, "alt": 0}, "updated_at": NEVER,
        },
        "listener": listener(world, node), "nodename": node, "pid": 1, "started_at": NEVER,
        "runner_imon": with(part("runner_imon", "running"), json!({"max_running": 10})),
        "scheduler": with(part("scheduler", "running"), json!({"count": 0, "max_running": 10})),
    })
}
