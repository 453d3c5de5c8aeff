//! Actions on an object as a whole: accepted, done on its nodes one step after the other, ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::instances::{self, is_up, set_status, start, stop};
use crate::path::Path;
use crate::shapes;
use crate::world::{Monitor, World, identifier};

/// Why an action is refused: status, title and words.
pub type Refusal = (u16, &'static str, String);

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
        "giveback" => "placed",
        "delete" => "deleted",
        "purge" => "purged",
        "abort" => "aborted",
        _ => return Err((404, "", "Not Found".to_owned())),
    };
    let refuse = |words: String| Err((409, "set instance monitor", words));
    let id = identifier();
    let scope = world.scope(node, path);
    let destination = body["destination"][0].as_str();
    let mut is_stuck = false;
    {
        let mut inner = world.lock();
        if !inner.nodes.get(node).is_some_and(|state| state.published.contains_key(path)) {
            return Err((404, "object not found", String::new()));
        }
        let busy = inner
            .nodes
            .values()
            .filter_map(|state| state.monitors.get(path))
            .find(|monitor| monitor.orchestration.is_some())
            .cloned();
        if let Some(busy) = busy {
            is_stuck = busy.is_stuck;
            if verb != "abort" {
                let running = busy.orchestration.clone().unwrap_or_default();
                // A request that is refused early gives the running orchestration another name.
                if !is_stuck && busy.accepted.is_some_and(|at| at.elapsed() < THEFT) {
                    for monitor in inner.nodes.values_mut().filter_map(|state| state.monitors.get_mut(path)) {
                        if monitor.orchestration.as_ref() == Some(&running) {
                            monitor.orchestration = Some(id.clone());
                        }
                    }
                    drop(inner);
                    let payload = json!({"id": id, "global_expect": busy.global_expect});
                    world.emit_everywhere(node, "ObjectOrchestrationAccepted", path, payload);
                }
                return refuse(format!(
                    "orchestration {running} (>{}) already in progress",
                    busy.global_expect
                ));
            }
        }
        let status = shapes::object_status(&inner, node, path);
        match (verb, status["provisioned"].as_str()) {
            ("start", Some(state @ ("false" | "mixed"))) => {
                return refuse(format!("{state} object provisioned state"));
            }
            ("start", _) if status["avail"] == "up" => return refuse("already started".to_owned()),
            ("switch", _) if destination.is_some_and(|to| !scope.iter().any(|node| node == to)) => {
                return refuse(format!(
                    "no destination node could be selected from [{}]",
                    destination.unwrap_or_default()
                ));
            }
            _ => {}
        }
        for member in &scope {
            let Some(state) = inner.nodes.get_mut(member).filter(|state| state.is_serving) else { continue };
            if !state.published.contains_key(path) {
                continue;
            }
            let monitor = state.monitors.entry(path.clone()).or_insert_with(Monitor::idle);
            expect.clone_into(&mut monitor.global_expect);
            monitor.global_expect_at = Some(Timestamp::now());
            monitor.orchestration = Some(id.clone());
            monitor.accepted = Some(Instant::now());
        }
    }
    let payload = json!({"id": id, "global_expect": expect});
    world.emit_everywhere(node, "ObjectOrchestrationAccepted", path, payload);
    tell_monitor(world, node, path);
    if is_stuck {
        return Ok(id);
    }
    let task = Orchestration {
        world: Arc::clone(world),
        node: node.to_owned(),
        path: path.clone(),
        id: id.clone(),
        expect,
        destination: destination.map(ToOwned::to_owned),
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
        let alive = self.instances().await;
        // Another action has taken its place.
        if !self.is_mine() {
            return;
        }
        let mut failed = None;
        match verb.as_str() {
            "provision" | "start" => failed = self.start(&alive, verb == "provision").await,
            "stop" | "unprovision" | "purge" => {
                for node in &alive {
                    stop(world, node, path).await;
                    set_status(world, node, path, |status| {
                        if verb != "stop" {
                            status.made.clear();
                        }
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
            "switch" | "giveback" => self.place(&alive, verb == "giveback").await,
            "freeze" | "unfreeze" => {
                for node in &alive {
                    set_status(world, node, path, |status| {
                        status.frozen_at = (verb == "freeze").then(Timestamp::now);
                    });
                }
            }
            _ => {}
        }
        tokio::time::sleep(pause).await;
        if matches!(verb.as_str(), "purge" | "delete") {
            self.remove(&alive);
        }
        let id = {
            let inner = world.lock();
            let monitors = inner.nodes.values().filter_map(|node| node.monitors.get(path));
            monitors
                .filter_map(|monitor| monitor.orchestration.clone())
                .next()
                .unwrap_or_else(|| self.id.clone())
        };
        for node in &alive {
            let mut inner = world.lock();
            if let Some(monitor) = inner.nodes.get_mut(node).and_then(|state| state.monitors.get_mut(path))
                && !monitor.is_stuck
            {
                let state = failed.as_ref().filter(|(on, _)| on == node).map_or("idle", |(_, state)| state);
                monitor.rest(state);
            }
            drop(inner);
            instances::evaluate(world, node, path);
            tell_monitor(world, node, path);
        }
        let payload = json!({"id": id, "global_expect": self.expect, "aborted": verb == "abort"});
        world.emit_everywhere(&self.node, "ObjectOrchestrationEnd", path, payload);
    }

    /// The nodes with an instance. Those that get theirs a little later take part.
    async fn instances(&self) -> Vec<String> {
        let (world, path) = (&self.world, &self.path);
        let scope = world.scope(&self.node, path);
        for _ in 0..100 {
            let is_complete = {
                let inner = world.lock();
                scope
                    .iter()
                    .filter_map(|node| inner.nodes.get(node))
                    .all(|state| !state.is_serving || state.is_lost || state.published.contains_key(path))
            };
            if is_complete {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut inner = world.lock();
        let mut alive = Vec::new();
        for node in scope {
            let Some(state) = inner.nodes.get_mut(&node).filter(|state| state.is_serving) else { continue };
            if state.published.contains_key(path) {
                let monitor = state.monitors.entry(path.clone()).or_insert_with(Monitor::idle);
                if monitor.orchestration.is_none() {
                    self.expect.clone_into(&mut monitor.global_expect);
                    monitor.orchestration = Some(self.id.clone());
                }
                alive.push(node);
            }
        }
        alive
    }

    /// Whether no later action has taken its place.
    fn is_mine(&self) -> bool {
        let inner = self.world.lock();
        let mut monitors = inner.nodes.values().filter_map(|node| node.monitors.get(&self.path));
        monitors.any(|monitor| monitor.global_expect == self.expect)
    }

    /// The leader first, the others if it is well. The node and the state where it failed.
    async fn start(&self, alive: &[String], is_provision: bool) -> Option<(String, &'static str)> {
        let (world, path) = (&self.world, &self.path);
        let is_flex = {
            let inner = world.lock();
            inner.keyword(&self.node, path, "topology") == Some("flex")
        };
        let leader = alive.iter().find(|node| is_up(world, node, path)).or(alive.first());
        let leaders: Vec<&String> =
            if is_flex { alive.iter().collect() } else { leader.into_iter().collect() };
        for node in &leaders {
            instances::provision(world, node, path);
            if !start(world, node, path).await {
                return Some((
                    (*node).clone(),
                    if is_provision { "provision failed" } else { "start failed" },
                ));
            }
        }
        for node in alive {
            if is_provision {
                instances::provision(world, node, path);
            }
            set_status(world, node, path, |status| status.frozen_at = None);
        }
        None
    }

    /// Moves it: to where it is wanted, to where it belongs, or elsewhere.
    async fn place(&self, alive: &[String], is_home: bool) {
        let (world, path) = (&self.world, &self.path);
        let from: Vec<&String> = alive.iter().filter(|node| is_up(world, node, path)).collect();
        let other = if is_home { alive.first() } else { alive.iter().find(|node| !from.contains(node)) };
        if let Some(to) = self.destination.as_ref().or(other)
            && !from.contains(&to)
        {
            for node in from {
                stop(world, node, path).await;
            }
            start(world, to, path).await;
        }
    }

    /// Removes the object, unless it is to get stuck: then it stays on the first node, and nothing moves it.
    fn remove(&self, alive: &[String]) {
        let (world, path) = (&self.world, &self.path);
        let is_stuck = world.lock().stuck_purges.contains(path);
        for node in alive.iter().skip(usize::from(is_stuck)) {
            world.forget(node, path);
        }
        if let Some(first) = alive.first().filter(|_| is_stuck) {
            let mut inner = world.lock();
            inner.stuck_purges.remove(path);
            inner.deleted.remove(path);
            if let Some(monitor) = inner.nodes.get_mut(first).and_then(|state| state.monitors.get_mut(path)) {
                monitor.is_stuck = true;
                "none".clone_into(&mut monitor.global_expect);
            }
        }
    }
}

fn tell_monitor(world: &Arc<World>, node: &str, path: &Path) {
    let monitor = shapes::monitor_of(&world.lock(), node, path);
    world.emit_everywhere(node, "InstanceMonitorUpdated", path, json!({"instance_monitor": monitor}));
}

/// A refused request sooner than this takes the name of the orchestration that runs.
const THEFT: Duration = Duration::from_millis(200);
