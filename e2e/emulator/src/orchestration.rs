//! Services: what runs where, actions, and what the daemon does of its own accord.
//!
//! `app` resources of type `simple` are really run as processes. Addresses of the loopback net need no configuration,
//! so `ip` resources are there at once; the real daemon refuses loopback addresses.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::path::Path;
use crate::stored::Stored;
use crate::volumes;
use crate::world::{Monitor, Status, World};

/// Why an action is refused: status and words.
pub type Refusal = (u16, String);

/// Gives a fresh instance its status.
pub fn first_status(world: &Arc<World>, node: &str, path: &Path) {
    let mut inner = world.lock();
    let is_first = inner.nodes.values().filter(|other| other.published.contains_key(path)).count() <= 1;
    let Some(state) = inner.nodes.get_mut(node) else { return };
    let stored = state.files.get(path).map(|file| file.stored.clone()).unwrap_or_default();
    let is_ha = stored.keyword("DEFAULT", "orchestrate") == Some("ha");
    // Instances that peers fetched are created frozen.
    let frozen_at = (is_ha && !is_first).then(Timestamp::now);
    state.statuses.entry(path.clone()).or_insert(Status {
        resources: BTreeMap::new(),
        is_provisioned: path.kind == "vol",
        frozen_at,
        is_expected_up: false,
    });
    drop(inner);
    evaluate(world, node, path);
}

/// Starts an orchestration.
///
/// # Errors
/// Status and words of the refusal.
pub fn act(world: &Arc<World>, node: &str, path: &Path, verb: &str, body: &Value) -> Result<String, Refusal> {
    let expect = match verb {
        "provision" => "provisioned",
        "unprovision" => "unprovisioned",
        "start" => "started",
        "stop" => "stopped",
        "restart" => "restarted",
        "freeze" => "frozen",
        "unfreeze" => "unfrozen",
        "switch" => "placed@",
        "delete" => "deleted",
        "purge" => "purged",
        "abort" => "aborted",
        _ => return Err((404, "Not Found".to_owned())),
    };
    let random: u128 = rand::random();
    let hex = format!("{random:032x}");
    let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    let scope = world.scope(node, path);
    {
        let mut inner = world.lock();
        if !inner.nodes.get(node).is_some_and(|state| state.published.contains_key(path)) {
            return Err((404, "object not found".to_owned()));
        }
        let busy = inner
            .nodes
            .values()
            .filter_map(|state| state.monitors.get(path))
            .find(|monitor| monitor.global_expect != "none");
        if let (Some(busy), false) = (busy, verb == "abort") {
            let running = busy.orchestration.clone().unwrap_or_default();
            return Err((
                409,
                format!("orchestration {running} (>{}) already in progress", busy.global_expect),
            ));
        }
        let is_up = inner
            .nodes
            .values()
            .filter_map(|state| state.statuses.get(path))
            .any(|status| status.is_expected_up);
        if verb == "start" && is_up {
            return Err((409, "already started".to_owned()));
        }
        for member in &scope {
            if let Some(state) = inner.nodes.get_mut(member).filter(|state| state.is_alive) {
                let monitor = state.monitors.entry(path.clone()).or_insert_with(Monitor::idle);
                expect.clone_into(&mut monitor.global_expect);
                monitor.orchestration = Some(id.clone());
            }
        }
    }
    let payload = json!({"id": id, "global_expect": expect});
    world.emit_everywhere(node, "ObjectOrchestrationAccepted", path, payload);
    tell_monitor(world, node, path);
    let task = Orchestration {
        world: Arc::clone(world),
        node: node.to_owned(),
        path: path.clone(),
        id: id.clone(),
        expect,
        destination: body["destination"][0].as_str().map(ToOwned::to_owned),
    };
    world.spawn(task.run(verb.to_owned()));
    Ok(id)
}

struct Orchestration {
    world: Arc<World>,
    node: String,
    path: Path,
    id: String,
    expect: &'static str,
    destination: Option<String>,
}

// === impl Orchestration ===

impl Orchestration {
    async fn run(self, verb: String) {
        let (world, path) = (&self.world, &self.path);
        let pause = world.lock().delays.transition;
        tokio::time::sleep(pause).await;
        let alive: Vec<String> = {
            let scope = world.scope(&self.node, path);
            let inner = world.lock();
            scope
                .into_iter()
                .filter(|node| inner.nodes.get(node).is_some_and(|state| state.is_alive))
                .collect()
        };
        let is_flex = keyword(world, &self.node, path, "topology").as_deref() == Some("flex");
        let mut state = "idle";
        match verb.as_str() {
            "provision" | "start" => {
                for node in &alive {
                    set_status(world, node, path, |status| {
                        status.is_provisioned = true;
                        status.frozen_at = None;
                    });
                }
                let leaders =
                    if is_flex { alive.clone() } else { alive.first().cloned().into_iter().collect() };
                let has_one = !is_flex && alive.iter().any(|node| is_up(world, node, path));
                for node in leaders.iter().filter(|_| !has_one) {
                    if !is_up(world, node, path) && !start(world, node, path).await {
                        state = if verb == "start" { "start failed" } else { "provision failed" };
                    }
                }
            }
            "stop" | "unprovision" | "purge" => {
                for node in &alive {
                    stop(world, node, path).await;
                    set_status(world, node, path, |status| {
                        status.is_provisioned &= verb == "stop";
                        status.frozen_at = (verb == "stop").then(Timestamp::now);
                    });
                }
            }
            "restart" => {
                for node in alive.iter().filter(|node| is_up(world, node, path)) {
                    stop(world, node, path).await;
                    start(world, node, path).await;
                }
            }
            "switch" => {
                let from: Vec<&String> = alive.iter().filter(|node| is_up(world, node, path)).collect();
                let other = alive.iter().find(|node| !from.contains(node)).cloned();
                if let Some(to) = self.destination.clone().or(other)
                    && !from.contains(&&to)
                {
                    for node in from {
                        stop(world, node, path).await;
                    }
                    start(world, &to, path).await;
                }
            }
            "freeze" | "unfreeze" => {
                for node in &alive {
                    set_status(world, node, path, |status| {
                        status.frozen_at = (verb == "freeze").then(Timestamp::now)
                    });
                }
            }
            _ => {}
        }
        tokio::time::sleep(pause).await;
        if matches!(verb.as_str(), "purge" | "delete") {
            for node in &alive {
                forget(world, node, path);
            }
        } else {
            let mut inner = world.lock();
            for monitor in inner.nodes.values_mut().filter_map(|node| node.monitors.get_mut(path)) {
                *monitor = Monitor { state: state.to_owned(), ..Monitor::idle() };
            }
            drop(inner);
            for node in &alive {
                evaluate(world, node, path);
                tell_monitor(world, node, path);
            }
        }
        let payload = json!({"id": self.id, "global_expect": self.expect, "aborted": false});
        world.emit_everywhere(&self.node, "ObjectOrchestrationEnd", path, payload);
    }
}

/// Starts an instance; false if a process does not stay.
pub async fn start(world: &Arc<World>, node: &str, path: &Path) -> bool {
    let Some(stored) = stored(world, node, path) else { return false };
    let mut is_good = true;
    for (section, _) in &stored.sections {
        if section.starts_with("volume#") {
            set_resource(world, node, path, section, "volume", "up", json!({}));
            make_volume(world, node, path, &stored, section);
            volumes::project(world, node, path, section);
        }
    }
    for (section, _) in &stored.sections {
        if section.starts_with("app#") {
            let is_running = run(world, node, path, &stored, section).await;
            set_resource(
                world,
                node,
                path,
                section,
                "app.simple",
                if is_running { "up" } else { "down" },
                json!({}),
            );
            is_good &= is_running;
        }
    }
    set_status(world, node, path, |status| {
        status.is_expected_up = true;
        status.is_provisioned = true;
        status.frozen_at = None;
    });
    evaluate(world, node, path);
    is_good
}

/// Stops an instance: SIGTERM, then a wait.
pub async fn stop(world: &Arc<World>, node: &str, path: &Path) {
    set_status(world, node, path, |status| status.is_expected_up = false);
    let mine: Vec<((String, Path, String), tokio::process::Child)> = {
        let mut processes = world.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<_> = processes.keys().filter(|(on, of, _)| on == node && of == path).cloned().collect();
        keys.into_iter().filter_map(|key| processes.remove(&key).map(|child| (key, child))).collect()
    };
    for (_, mut child) in mine {
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::TERM);
            if tokio::time::timeout(STOP_TIME, child.wait()).await.is_err() {
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = child.wait().await;
            }
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
    let mut since_monitor = std::time::Instant::now();
    loop {
        let (tick, monitor, ready) = {
            let delays = world.lock().delays;
            (delays.ready.min(Duration::from_millis(200)), delays.monitor, delays.ready)
        };
        tokio::time::sleep(tick).await;
        if since_monitor.elapsed() >= monitor {
            since_monitor = std::time::Instant::now();
            look_at_processes(&world).await;
        }
        let orphans = unserved(&world);
        for (node, path) in orphans {
            let world = Arc::clone(&world);
            // Whoever is still down after the ready period is started.
            world.clone().spawn(async move {
                tokio::time::sleep(ready).await;
                if unserved(&world).contains(&(node.clone(), path.clone())) {
                    start(&world, &node, &path).await;
                }
            });
        }
    }
}

/// Services that should run somewhere and do not, with the node where.
fn unserved(world: &Arc<World>) -> Vec<(String, Path)> {
    let inner = world.lock();
    let mut found = Vec::new();
    let alive: Vec<(&String, &crate::world::Node)> =
        inner.nodes.iter().filter(|(_, node)| node.is_alive).collect();
    let paths: std::collections::BTreeSet<&Path> =
        alive.iter().flat_map(|(_, node)| node.published.keys()).filter(|path| path.kind == "svc").collect();
    for path in paths {
        let of = |state: &crate::world::Node| state.statuses.get(path).cloned();
        let is_busy = inner
            .nodes
            .values()
            .filter_map(|node| node.monitors.get(path))
            .any(|monitor| monitor.global_expect != "none");
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
            !node.is_alive && !node.is_lost && of(node).is_some_and(|status| status.is_expected_up)
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
                status.is_provisioned && status.frozen_at.is_none() && !status.is_expected_up
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
        for (key, child) in processes.iter_mut() {
            if matches!(child.try_wait(), Ok(Some(_))) {
                ended.push(key.clone());
            }
        }
        for key in &ended {
            processes.remove(key);
        }
        ended
    };
    for (node, path, section) in ended {
        let Some(stored) = stored(world, &node, &path) else { continue };
        let is_wanted = is_up(world, &node, &path);
        set_resource(world, &node, &path, &section, "app.simple", "down", json!({}));
        evaluate(world, &node, &path);
        let restarts =
            stored.keyword(&section, "restart").and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
        if is_wanted && restarts > 0 && stored.keyword(&section, "monitor") == Some("true") {
            let is_running = run(world, &node, &path, &stored, &section).await;
            set_resource(
                world,
                &node,
                &path,
                &section,
                "app.simple",
                if is_running { "up" } else { "down" },
                json!({}),
            );
            evaluate(world, &node, &path);
        }
    }
}

/// Ends the processes of a node without asking.
pub fn kill_processes(world: &World, node: &str) {
    let mut processes = world.processes.lock().unwrap_or_else(PoisonError::into_inner);
    processes.retain(|(on, _, _), child| {
        if on != node {
            return true;
        }
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        false
    });
}

async fn run(world: &Arc<World>, node: &str, path: &Path, stored: &Stored, section: &str) -> bool {
    let Some(command) = stored.keyword(section, "start") else { return false };
    let command = resolve(world, node, path, command);
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else { return false };
    let log = world.folder.join(node).join("log");
    let _ = std::fs::create_dir_all(&log);
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log.join(format!(
        "{}.{}.{}.log",
        path.namespace,
        path.name,
        section.replace('#', ".")
    )));
    let Ok(file) = file else { return false };
    let mut process = tokio::process::Command::new(program);
    process.args(words).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    process.env("OPENSVC_ID", stored.keyword("DEFAULT", "id").unwrap_or_default());
    process.env("OPENSVC_RID", section).env("OPENSVC_NODENAME", node);
    process.env("EMULATOR_NODE_ADDRESS", world.address(node).to_string());
    for pair in resolve(world, node, path, stored.keyword(section, "environment").unwrap_or_default())
        .split_whitespace()
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
    let key = (node.to_owned(), path.clone(), section.to_owned());
    world.processes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, child);
    true
}

/// References in a keyword.
#[must_use]
pub fn resolve(world: &Arc<World>, node: &str, path: &Path, text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find("{volume#") {
        let Some(end) = text[start..].find(".mnt}") else { break };
        let section = text[start + 1..start + end].to_owned();
        let folder = volumes::folder(world, node, path, &section).display().to_string();
        text.replace_range(start..start + end + 5, &folder);
    }
    // Keywords of other sections, with their scope.
    let mut from = 0;
    while let Some(start) = text[from..].find('{').map(|at| from + at) {
        let Some(end) = text[start..].find('}').map(|at| start + at) else { break };
        let inside = text[start + 1..end].to_owned();
        let value = inside.rsplit_once('.').and_then(|(section, keyword)| {
            let stored = stored(world, node, path)?;
            let scoped = stored.keyword(section, &format!("{keyword}@{node}"));
            scoped.or_else(|| stored.keyword(section, keyword)).map(ToOwned::to_owned)
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
fn make_volume(world: &Arc<World>, node: &str, path: &Path, stored: &Stored, section: &str) {
    let name = stored.keyword(section, "name").unwrap_or("{name}-vol").replace("{name}", &path.name);
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
    let address = |section: &str| {
        let scoped =
            stored.keyword(section, &format!("name@{node}")).or_else(|| stored.keyword(section, "name"));
        scoped.map(|text| resolve(world, node, path, text))
    };
    {
        let mut inner = world.lock();
        let Some(status) = inner.nodes.get_mut(node).and_then(|state| state.statuses.get_mut(path)) else {
            return;
        };
        for (section, _) in &stored.sections {
            let up = if status.is_expected_up { "up" } else { "down" };
            if section.starts_with("ip#") {
                let driver = format!("ip.{}", stored.keyword(section, "type").unwrap_or("host"));
                // An address that allocation makes is there while the instance runs; another is always told.
                let is_told = status.is_expected_up || driver != "ip.cni";
                let expose: Vec<&str> =
                    stored.keyword(section, "expose").unwrap_or_default().split_whitespace().collect();
                let facts =
                    if is_told { json!({"ipaddr": address(section), "expose": expose}) } else { json!({}) };
                status.resources.insert(section.clone(), (driver, up.to_owned(), facts));
            } else if section.starts_with("volume#") || section.starts_with("fs#") {
                let driver = if section.starts_with("fs#") { "fs.flag" } else { "volume" };
                status.resources.insert(section.clone(), (driver.to_owned(), up.to_owned(), json!({})));
            } else if section.starts_with("app#") && !status.is_expected_up {
                status
                    .resources
                    .insert(section.clone(), ("app.simple".to_owned(), "down".to_owned(), json!({})));
            }
        }
        let sections: Vec<&String> = stored.sections.iter().map(|(name, _)| name).collect();
        status.resources.retain(|section, _| sections.contains(&section));
    }
    let status = crate::shapes::instance_status(world, node, path);
    world.emit_everywhere(node, "InstanceStatusUpdated", path, json!({"instance_status": status}));
    publish_names(world);
}

/// The zone of the cluster: addresses of all instances, whatever their health.
fn publish_names(world: &Arc<World>) {
    let mut zone: BTreeMap<String, Vec<std::net::IpAddr>> = BTreeMap::new();
    {
        let inner = world.lock();
        for node in inner.nodes.values().filter(|node| !node.is_lost) {
            for (path, status) in node.statuses.iter().filter(|(path, _)| path.kind == "svc") {
                let addresses =
                    status.resources.values().filter_map(|(_, _, facts)| facts["ipaddr"].as_str());
                let entry =
                    zone.entry(format!("{}.{}.svc.{}", path.name, path.namespace, world.name)).or_default();
                entry.extend(addresses.filter_map(|text| text.parse::<std::net::IpAddr>().ok()));
                entry.sort_unstable();
                entry.dedup();
            }
        }
    }
    world.replace_zone(zone);
}

/// Publishes the zone anew, as after a node was lost.
pub fn renew_names(world: &Arc<World>) {
    publish_names(world);
}

fn forget(world: &Arc<World>, node: &str, path: &Path) {
    {
        let mut inner = world.lock();
        let Some(state) = inner.nodes.get_mut(node) else { return };
        state.files.remove(path);
        state.published.remove(path);
        state.statuses.remove(path);
        state.monitors.remove(path);
    }
    world.emit_everywhere(node, "InstanceConfigDeleted", path, json!({}));
    world.emit(node, "ObjectDeleted", path, node, false, json!({}));
    publish_names(world);
}

fn tell_monitor(world: &Arc<World>, node: &str, path: &Path) {
    let monitor = crate::shapes::instance_monitor(world, node, path);
    world.emit_everywhere(node, "InstanceMonitorUpdated", path, json!({"instance_monitor": monitor}));
}

fn stored(world: &World, node: &str, path: &Path) -> Option<Stored> {
    world.lock().nodes.get(node)?.files.get(path).map(|file| file.stored.clone())
}

fn keyword(world: &World, node: &str, path: &Path, name: &str) -> Option<String> {
    stored(world, node, path)?.keyword("DEFAULT", name).map(ToOwned::to_owned)
}

fn is_up(world: &World, node: &str, path: &Path) -> bool {
    world
        .lock()
        .nodes
        .get(node)
        .and_then(|state| state.statuses.get(path))
        .is_some_and(|status| status.is_expected_up)
}

fn set_status(world: &World, node: &str, path: &Path, change: impl FnOnce(&mut Status)) {
    if let Some(status) = world.lock().nodes.get_mut(node).and_then(|state| state.statuses.get_mut(path)) {
        change(status);
    }
}

fn set_resource(
    world: &World,
    node: &str,
    path: &Path,
    section: &str,
    driver: &str,
    state: &str,
    facts: Value,
) {
    set_status(world, node, path, |status| {
        status.resources.insert(section.to_owned(), (driver.to_owned(), state.to_owned(), facts));
    });
}

/// A process that ends sooner has failed to start.
const START_TIME: Duration = Duration::from_millis(20);
const STOP_TIME: Duration = Duration::from_secs(5);
