//! What runs on a node: instances with their resources and processes, and what the daemon does of its own accord.
//!
//! `app` resources of type `simple` are really run as processes, and found by their command line. Addresses of the
//! loopback net need no configuration, so `ip` resources are there at once; the real daemon refuses loopback addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::path::Path;
use crate::stored::Stored;
use crate::world::{Process, Resource, Status, World, identifier};
use crate::{shapes, volumes, zone};

/// Gives a fresh instance its status.
pub fn first_status(world: &Arc<World>, node: &str, path: &Path) {
    let mut inner = world.lock();
    let is_first = inner.nodes.values().filter(|other| other.published.contains_key(path)).count() <= 1;
    let is_ha = inner.keyword(node, path, "orchestrate") == Some("ha");
    let Some(state) = inner.nodes.get_mut(node) else { return };
    // Instances that peers fetched are created frozen.
    let frozen_at = (is_ha && !is_first).then(Timestamp::now);
    state.statuses.entry(path.clone()).or_insert(Status { frozen_at, ..Status::default() });
    drop(inner);
    evaluate(world, node, path);
}

/// Makes what an instance needs.
pub fn provision(world: &Arc<World>, node: &str, path: &Path) {
    let Some(stored) = stored(world, node, path) else { return };
    set_status(world, node, path, |status| status.made = stored.resources().map(ToOwned::to_owned).collect());
}

/// Starts what is down of an instance; false if a process does not stay.
pub async fn start(world: &Arc<World>, node: &str, path: &Path) -> bool {
    let Some(stored) = stored(world, node, path) else { return false };
    for rid in stored.resources().filter(|rid| rid.starts_with("volume#")) {
        make_volume(world, node, path, &stored, rid);
        volumes::project(world, node, path, rid);
    }
    set_status(world, node, path, |status| {
        status.started = stored.resources().map(ToOwned::to_owned).collect();
        status.made.extend(status.started.iter().cloned());
        status.is_expected_up = true;
        status.frozen_at = None;
        status.last_started_at = Some(Timestamp::now());
    });
    let is_broken = world.lock().is_start_broken;
    let mut is_good = true;
    for rid in stored.resources().filter(|rid| rid.starts_with("app#")) {
        is_good &= !is_broken
            && (is_running(world, node, path, &stored, rid) || run(world, node, path, &stored, rid).await);
    }
    evaluate(world, node, path);
    is_good
}

/// Stops an instance: SIGTERM, then a wait. Processes that are no longer known for what they are go on.
pub async fn stop(world: &Arc<World>, node: &str, path: &Path) {
    set_status(world, node, path, |status| {
        status.is_expected_up = false;
        status.started.clear();
    });
    let Some(stored) = stored(world, node, path) else { return };
    let rids: Vec<&str> =
        stored.resources().filter(|rid| is_running(world, node, path, &stored, rid)).collect();
    let mine: Vec<Process> = {
        let mut processes = world.processes.lock().unwrap_or_else(PoisonError::into_inner);
        rids.iter()
            .filter_map(|rid| processes.remove(&(node.to_owned(), path.clone(), (*rid).to_owned())))
            .collect()
    };
    for mut process in mine {
        if let Some(pid) = pid_of(&process) {
            let _ = kill_process_group(pid, Signal::TERM);
            if tokio::time::timeout(STOP_TIME, process.child.wait()).await.is_err() {
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = process.child.wait().await;
            }
        }
    }
    evaluate(world, node, path);
}

/// Stops and starts what these names or groups mean; none = all.
pub async fn restart(world: &Arc<World>, node: &str, path: &Path, wanted: &[&str]) {
    if wanted.is_empty() {
        stop(world, node, path).await;
        start(world, node, path).await;
        return;
    }
    let Some(stored) = stored(world, node, path) else { return };
    for rid in stored
        .resources()
        .filter(|rid| wanted.iter().any(|name| rid == name || rid.split('#').next() == Some(name)))
    {
        if let Some(process) = process_of(world, node, path, rid)
            && let Some(pid) = pid_of(&process)
        {
            let _ = kill_process_group(pid, Signal::TERM);
        }
        if rid.starts_with("app#") {
            run(world, node, path, &stored, rid).await;
        }
    }
    evaluate(world, node, path);
}

/// Suspends or resumes orchestration of one instance.
pub fn freeze(world: &Arc<World>, node: &str, path: &Path, is_frozen: bool) {
    set_status(world, node, path, |status| status.frozen_at = is_frozen.then(Timestamp::now));
    evaluate(world, node, path);
}

/// What the daemon of every node does of its own accord.
pub async fn watch(world: Arc<World>) {
    let mut since_monitor = Instant::now();
    let mut waiting: BTreeMap<(String, Path), Instant> = BTreeMap::new();
    loop {
        let (tick, monitor, ready) = {
            let delays = world.lock().delays;
            (delays.ready.min(Duration::from_millis(200)), delays.monitor, delays.ready)
        };
        tokio::time::sleep(tick).await;
        if since_monitor.elapsed() >= monitor {
            since_monitor = Instant::now();
            look_at_processes(&world).await;
        }
        // Whoever is still down after the ready period is started.
        let orphans = unserved(&world);
        waiting.retain(|orphan, _| orphans.contains(orphan));
        for orphan in orphans {
            let since = *waiting.entry(orphan.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= ready {
                waiting.remove(&orphan);
                start(&world, &orphan.0, &orphan.1).await;
            }
        }
    }
}

/// Services that should run somewhere and do not, with the node where.
fn unserved(world: &Arc<World>) -> Vec<(String, Path)> {
    let inner = world.lock();
    let mut found = Vec::new();
    let alive: Vec<(&String, &crate::world::Node)> =
        inner.nodes.iter().filter(|(_, node)| node.is_serving).collect();
    let paths: BTreeSet<&Path> =
        alive.iter().flat_map(|(_, node)| node.published.keys()).filter(|path| path.kind == "svc").collect();
    for path in paths {
        let of = |state: &crate::world::Node| state.statuses.get(path).cloned();
        let is_busy = inner
            .nodes
            .values()
            .filter_map(|node| node.monitors.get(path))
            .any(|monitor| monitor.orchestration.is_some());
        let keyword = |name: &str| {
            alive
                .iter()
                .find_map(|(_, node)| node.files.get(path))
                .and_then(|file| file.stored.keyword("DEFAULT", name))
                .map(ToOwned::to_owned)
        };
        if is_busy || keyword("orchestrate").as_deref() != Some("ha") {
            continue;
        }
        let is_flex = keyword("topology").as_deref() == Some("flex");
        // A node that is silent counts as up until its heartbeat is over.
        let is_held = inner.nodes.values().any(|node| {
            !node.is_serving && !node.is_lost && of(node).is_some_and(|status| status.is_expected_up)
        });
        let runs = alive.iter().any(|(_, node)| of(node).is_some_and(|status| status.is_expected_up));
        if !is_flex && (runs || is_held) {
            continue;
        }
        let scope: Vec<String> = alive
            .iter()
            .find_map(|(_, node)| node.published.get(path))
            .map(|published| published.scope.clone())
            .unwrap_or_default();
        for (name, node) in alive.iter().filter(|(name, _)| scope.contains(name)) {
            let can = of(node).is_some_and(|status| {
                !matches!(status.provisioned(), "false" | "mixed")
                    && !status.made.is_empty()
                    && status.frozen_at.is_none()
                    && !status.is_expected_up
            });
            if can {
                found.push(((*name).clone(), path.clone()));
                if !is_flex {
                    break;
                }
            }
        }
    }
    found
}

/// Processes that ended are noticed; monitored ones with restarts left are started again.
async fn look_at_processes(world: &Arc<World>) {
    let ended: Vec<(String, Path, String)> = {
        let mut processes = world.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = Vec::new();
        let serving: BTreeSet<String> = {
            let inner = world.lock();
            inner.nodes.iter().filter(|(_, node)| node.is_serving).map(|(name, _)| name.clone()).collect()
        };
        for (key, process) in processes.iter_mut().filter(|(key, _)| serving.contains(&key.0)) {
            if matches!(process.child.try_wait(), Ok(Some(_))) {
                ended.push(key.clone());
            }
        }
        for key in &ended {
            processes.remove(key);
        }
        ended
    };
    for (node, path, rid) in ended {
        let Some(stored) = stored(world, &node, &path) else { continue };
        evaluate(world, &node, &path);
        let restarts = stored.keyword(&rid, "restart").and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
        if is_up(world, &node, &path) && restarts > 0 && stored.keyword(&rid, "monitor") == Some("true") {
            run(world, &node, &path, &stored, &rid).await;
            evaluate(world, &node, &path);
        }
    }
}

/// Ends the processes of a node without asking.
pub fn kill_processes(world: &World, node: &str) {
    let mut processes = world.processes.lock().unwrap_or_else(PoisonError::into_inner);
    processes.retain(|(on, _, _), process| {
        if on != node {
            return true;
        }
        if let Some(pid) = pid_of(process) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        false
    });
}

async fn run(world: &Arc<World>, node: &str, path: &Path, stored: &Stored, rid: &str) -> bool {
    let Some(command) = stored.scoped(rid, "start", node) else { return false };
    let command = resolve(world, node, path, command);
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else { return false };
    let log = world.folder.join(node).join("log");
    let _ = std::fs::create_dir_all(&log);
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log.join(format!(
        "{}.{}.{}.log",
        path.namespace,
        path.name,
        rid.replace('#', ".")
    )));
    let Ok(file) = file else { return false };
    let mut process = tokio::process::Command::new(program);
    process.args(words).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    process.env("OPENSVC_ID", stored.keyword("DEFAULT", "id").unwrap_or_default());
    process.env("OPENSVC_RID", rid).env("OPENSVC_NODENAME", node);
    process.env("EMULATOR_NODE_ADDRESS", world.address(node).to_string());
    for pair in
        resolve(world, node, path, stored.keyword(rid, "environment").unwrap_or_default()).split_whitespace()
    {
        if let Some((name, value)) = pair.split_once('=') {
            process.env(name, value);
        }
    }
    if let Ok(copy) = file.try_clone() {
        process.stdout(copy);
    }
    process.stderr(file);
    let Ok(mut child) = process.spawn() else { return false };
    tokio::time::sleep(START_TIME).await;
    if matches!(child.try_wait(), Ok(Some(_))) {
        return false;
    }
    let mut processes = world.processes.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (node.to_owned(), path.clone(), rid.to_owned());
    // A process that is found no more goes on beside the new one.
    if let Some(before) = processes.remove(&key) {
        processes.insert((node.to_owned(), path.clone(), format!("{rid} {}", identifier())), before);
    }
    processes.insert(key, Process { child, command });
    true
}

/// References in a keyword.
#[must_use]
pub fn resolve(world: &Arc<World>, node: &str, path: &Path, text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find("{volume#") {
        let Some(end) = text[start..].find(".mnt}") else { break };
        let rid = text[start + 1..start + end].to_owned();
        let folder = volumes::folder(world, node, path, &rid).display().to_string();
        text.replace_range(start..start + end + 5, &folder);
    }
    // Keywords of other sections, with their scope.
    let mut from = 0;
    while let Some(start) = text[from..].find('{').map(|at| from + at) {
        let Some(end) = text[start..].find('}').map(|at| start + at) else { break };
        let inside = text[start + 1..end].to_owned();
        let value = inside.rsplit_once('.').and_then(|(section, keyword)| {
            stored(world, node, path)?.scoped(section, keyword, node).map(ToOwned::to_owned)
        });
        match value {
            Some(value) => text.replace_range(start..=end, &value),
            None => from = end,
        }
    }
    let var = world.folder.join(node).join("var").display().to_string();
    let fqdn = format!("{}.{}.{}.{}", path.name, path.namespace, path.kind, world.name);
    for (reference, value) in [
        ("{namespace}", path.namespace.as_str()),
        ("{name}", &path.name),
        ("{nodename}", node),
        ("{clustername}", &world.name),
        ("{path}", &path.to_string()),
        ("{fqdn}", &fqdn),
        ("{var}", &var),
    ] {
        text = text.replace(reference, value);
    }
    text
}

/// A volume object comes with the first start.
fn make_volume(world: &Arc<World>, node: &str, path: &Path, stored: &Stored, rid: &str) {
    let name = stored.keyword(rid, "name").unwrap_or("{name}-vol").replace("{name}", &path.name);
    let volume = Path::new(&path.namespace, "vol", &name);
    let is_there = world.lock().nodes.get(node).is_some_and(|state| state.files.contains_key(&volume));
    if !is_there && let Ok(mut made) = Stored::parse("[DEFAULT]\n") {
        made.set("DEFAULT", "nodes", &world.scope(node, path).join(" "));
        world.install(node, &volume, made, Timestamp::now().as_nanosecond());
    }
}

/// Publishes the status of an instance.
pub fn evaluate(world: &Arc<World>, node: &str, path: &Path) {
    let Some(stored) = stored(world, node, path) else { return };
    let rids: Vec<String> = stored.resources().map(ToOwned::to_owned).collect();
    let described: Vec<(String, Resource)> = rids
        .into_iter()
        .map(|rid| {
            let resource = describe(world, node, path, &stored, &rid);
            (rid, resource)
        })
        .collect();
    {
        let mut inner = world.lock();
        let is_ha = inner.keyword(node, path, "orchestrate") == Some("ha");
        let Some(state) = inner.nodes.get_mut(node) else { return };
        let Some(status) = state.statuses.get_mut(path) else { return };
        status.resources = described.into_iter().collect();
        for (rid, resource) in &mut status.resources {
            let is_app = rid.starts_with("app#");
            if !is_app {
                resource.state = if status.started.contains(rid) { "up" } else { "down" };
            }
            if resource.provisioned != "n/a" {
                resource.provisioned = if status.made.contains(rid) { "true" } else { "false" };
            }
            // An address that allocation makes is there while the instance runs; another is always told.
            if resource.driver == "ip.cni" && resource.state == "down" {
                resource.facts = json!({});
            }
        }
        let avail = status.avail();
        if let Some(monitor) = state.monitors.get_mut(path) {
            match avail {
                "up" if is_ha => monitor.local_expect = "started",
                "down" => monitor.local_expect = "none",
                _ => {}
            }
        }
    }
    let status = shapes::status_of(&world.lock(), node, path);
    world.emit_everywhere(node, "InstanceStatusUpdated", path, json!({"instance_status": status}));
    zone::publish(world);
}

fn describe(world: &Arc<World>, node: &str, path: &Path, stored: &Stored, rid: &str) -> Resource {
    let keyword = |name: &str| stored.scoped(rid, name, node).map(|text| resolve(world, node, path, text));
    let (driver, label, provisioned, facts) = match rid.split('#').next().unwrap_or_default() {
        "ip" => {
            let address = keyword("name").unwrap_or_default();
            let device = keyword("dev").unwrap_or_default();
            let mask = keyword("netmask").unwrap_or_default();
            let expose = keyword("expose").unwrap_or_default();
            let mut facts =
                json!({"ipaddr": address, "expose": expose.split_whitespace().collect::<Vec<_>>()});
            if !device.is_empty() {
                facts["dev"] = device.clone().into();
            }
            if let Ok(mask) = mask.parse::<u32>() {
                facts["netmask"] = mask.into();
            }
            let driver = keyword("type").unwrap_or_else(|| "host".to_owned());
            (format!("ip.{driver}"), format!("{driver} {address}/{mask} {device}"), "n/a", facts)
        }
        "fs" => {
            let file = format!("/dev/shm/opensvc/{}/{}/{}/{rid}.flag", path.namespace, path.kind, path.name);
            ("fs.flag".to_owned(), format!("flag {file}"), "false", json!({}))
        }
        "volume" => ("volume".to_owned(), keyword("name").unwrap_or_default(), "false", json!({})),
        "app" => ("app.simple".to_owned(), "simple ".to_owned(), "n/a", json!({})),
        other => (other.to_owned(), other.to_owned(), "n/a", json!({})),
    };
    let state =
        if rid.starts_with("app#") && is_running(world, node, path, stored, rid) { "up" } else { "down" };
    Resource { driver, label, state, provisioned, facts: Value::clone(&facts) }
}

/// Whether the process of a resource runs, as its command line tells.
fn is_running(world: &Arc<World>, node: &str, path: &Path, stored: &Stored, rid: &str) -> bool {
    let Some(command) = stored.scoped(rid, "start", node).map(|text| resolve(world, node, path, text)) else {
        return false;
    };
    let mut processes = world.processes.lock().unwrap_or_else(PoisonError::into_inner);
    let process = processes.get_mut(&(node.to_owned(), path.clone(), rid.to_owned()));
    process.is_some_and(|process| process.command == command && matches!(process.child.try_wait(), Ok(None)))
}

fn process_of(world: &World, node: &str, path: &Path, rid: &str) -> Option<Process> {
    let mut processes = world.processes.lock().unwrap_or_else(PoisonError::into_inner);
    processes.remove(&(node.to_owned(), path.clone(), rid.to_owned()))
}

fn pid_of(process: &Process) -> Option<Pid> {
    process.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

fn stored(world: &World, node: &str, path: &Path) -> Option<Stored> {
    world.lock().nodes.get(node)?.files.get(path).map(|file| file.stored.clone())
}

/// Whether the daemon keeps an instance up.
#[must_use]
pub fn is_up(world: &World, node: &str, path: &Path) -> bool {
    let inner = world.lock();
    let status = inner.nodes.get(node).and_then(|state| state.statuses.get(path));
    status.is_some_and(|status| status.is_expected_up)
}

/// Changes the status of an instance.
pub fn set_status(world: &World, node: &str, path: &Path, change: impl FnOnce(&mut Status)) {
    if let Some(status) = world.lock().nodes.get_mut(node).and_then(|state| state.statuses.get_mut(path)) {
        change(status);
    }
}

/// A process that ends sooner has failed to start.
const START_TIME: Duration = Duration::from_millis(20);
const STOP_TIME: Duration = Duration::from_secs(5);
