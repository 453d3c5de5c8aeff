//! How files change and spread: published after a pause, fetched by peers if newer, never merged.
//!
//! A write is a read, a moment, and a write back, without a lock: of two at once one is lost, as in the real daemon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::path::Path;
use crate::stored::Stored;
use crate::world::{File, Monitor, Published, World, identifier, time};
use crate::{instances, volumes, zone};

impl World {
    /// Changes a file on a node, as the daemon does: read, a moment, write. Nothing is written where nothing changes.
    ///
    /// # Errors
    /// What `change` says; what it changed before that is written all the same if it says so.
    pub async fn write<E>(
        self: &Arc<Self>,
        node: &str,
        path: &Path,
        change: impl FnOnce(&mut Stored) -> (bool, Result<(), E>),
    ) -> Result<(), E> {
        let (before, pause) = {
            let inner = self.lock();
            let file = inner.nodes.get(node).and_then(|node| node.files.get(path));
            (file.map(|file| file.stored.clone()).unwrap_or_default(), inner.delays.write)
        };
        let mut stored = before;
        let (is_changed, outcome) = change(&mut stored);
        if is_changed {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let mtime = self.lock().now(node);
            self.install(node, path, stored, mtime);
            volumes::refresh(self, node, path);
        }
        outcome
    }

    /// Puts a file on a node and has it published.
    pub fn install(self: &Arc<Self>, node: &str, path: &Path, mut stored: Stored, mtime: i128) {
        if stored.damage().is_none() && stored.keyword("DEFAULT", "id").is_none() {
            stored.set("DEFAULT", "id", &identifier());
        }
        let (version, debounce) = {
            let mut inner = self.lock();
            let debounce = inner.delays.debounce;
            inner.deleted.retain(|deleted, at| deleted != path || *at >= mtime);
            let Some(node) = inner.nodes.get_mut(node) else { return };
            let version = node.files.get(path).map_or(0, |file| file.version) + 1;
            node.files.insert(path.clone(), File { stored, mtime, version });
            (version, debounce)
        };
        let (world, node, path) = (Arc::clone(self), node.to_owned(), path.clone());
        self.spawn(async move {
            tokio::time::sleep(debounce).await;
            world.publish(&node, &path, version);
        });
    }

    /// Publishes a file unless it was written again, and has peers fetch it.
    fn publish(self: &Arc<Self>, node: &str, path: &Path, version: u64) {
        let scope = self.scope(node, path);
        let (is_new, csum, mtime) = {
            let mut inner = self.lock();
            let Some(state) = inner.nodes.get_mut(node).filter(|state| state.is_serving) else { return };
            let Some(file) = state.files.get(path).filter(|file| file.version == version) else { return };
            let (csum, mtime) = (file.stored.csum(), file.mtime);
            let before = state.published.get(path);
            if before.is_some_and(|before| before.csum == csum && before.updated_at == mtime) {
                return;
            }
            let is_new = before.is_none();
            let published =
                Published { csum: csum.clone(), updated_at: mtime, scope: scope.clone(), at: Instant::now() };
            state.published.insert(path.clone(), published);
            let monitor = state.monitors.entry(path.clone()).or_insert_with(Monitor::idle);
            // A file that is written again frees what was stuck.
            if monitor.is_stuck {
                *monitor = Monitor::idle();
            }
            (is_new, csum, mtime)
        };
        if is_new {
            if path.is_actor() {
                instances::first_status(self, node, path);
            }
            self.emit_everywhere(node, "ObjectCreated", path, json!({}));
        } else if path.is_actor() {
            instances::evaluate(self, node, path);
        }
        let settings = json!({"csum": csum, "priority": 0, "scope": scope, "updated_at": time(mtime)});
        self.emit(node, "InstanceConfigUpdated", path, node, false, json!({"instance_config": settings}));
        for peer in self.peers(node) {
            let delay = self.relay_delay();
            let (world, node, path, settings) =
                (Arc::clone(self), node.to_owned(), path.clone(), settings.clone());
            let is_in_scope = scope.contains(&peer);
            self.spawn(async move {
                tokio::time::sleep(delay).await;
                if !world.reaches(&node, &peer) {
                    return;
                }
                let payload = json!({"instance_config": settings});
                world.emit(&peer, "InstanceConfigUpdated", &path, &node, true, payload);
                if is_in_scope {
                    world.fetch(&peer, &node, &path);
                }
            });
        }
    }

    /// A node takes a peer's file if it is newer.
    fn fetch(self: &Arc<Self>, node: &str, from: &str, path: &Path) {
        if !self.scope(from, path).iter().any(|member| member == node) {
            return;
        }
        let newer = {
            let inner = self.lock();
            let theirs = inner.nodes.get(from).and_then(|peer| peer.files.get(path));
            let ours = inner.nodes.get(node).and_then(|own| own.files.get(path));
            let is_deleted = |file: &File| inner.deleted.get(path).is_some_and(|at| *at >= file.mtime);
            match (theirs, ours) {
                (Some(theirs), ours)
                    if ours.is_none_or(|ours| theirs.mtime > ours.mtime) && !is_deleted(theirs) =>
                {
                    Some(theirs.clone())
                }
                _ => None,
            }
        };
        if let Some(file) = newer {
            self.install(node, path, file.stored, file.mtime);
        }
    }

    /// A node that is back compares its files with those of its peers, in both directions. What was deleted meanwhile
    /// shows for a while, then goes.
    pub fn rejoin(self: &Arc<Self>, node: &str) {
        let gone: Vec<Path> = {
            let inner = self.lock();
            let files = inner.nodes.get(node).into_iter().flat_map(|state| &state.files);
            files
                .filter(|(path, file)| inner.deleted.get(*path).is_some_and(|at| *at >= file.mtime))
                .map(|(path, _)| path.clone())
                .collect()
        };
        let unpublished: Vec<(Path, u64)> = {
            let inner = self.lock();
            let Some(state) = inner.nodes.get(node) else { return };
            let is_open = |path: &Path, file: &File| {
                state.published.get(path).is_none_or(|known| known.updated_at != file.mtime)
            };
            let open = state.files.iter().filter(|(path, file)| is_open(path, file));
            open.map(|(path, file)| (path.clone(), file.version)).collect()
        };
        for (path, version) in unpublished {
            self.publish(node, &path, version);
        }
        let pause = self.lock().delays.debounce * 5;
        for path in gone {
            let (world, node) = (Arc::clone(self), node.to_owned());
            self.spawn(async move {
                tokio::time::sleep(pause).await;
                world.forget(&node, &path);
            });
        }
        for peer in self.peers(node) {
            if !self.reaches(node, &peer) {
                continue;
            }
            let (ours, theirs): (Vec<Path>, Vec<Path>) = {
                let inner = self.lock();
                let of = |name: &str| {
                    inner
                        .nodes
                        .get(name)
                        .map(|node| node.published.keys().cloned().collect())
                        .unwrap_or_default()
                };
                (of(node), of(&peer))
            };
            theirs.iter().for_each(|path| self.fetch(node, &peer, path));
            ours.iter().for_each(|path| self.fetch(&peer, node, path));
        }
    }

    /// Removes an object from a node.
    pub fn forget(self: &Arc<Self>, node: &str, path: &Path) {
        {
            let mut inner = self.lock();
            let Some(state) = inner.nodes.get_mut(node) else { return };
            let file = state.files.remove(path);
            state.published.remove(path);
            state.statuses.remove(path);
            state.monitors.remove(path);
            if let Some(file) = file {
                let at = inner.deleted.entry(path.clone()).or_insert(file.mtime);
                *at = file.mtime.max(*at);
            }
        }
        self.emit_everywhere(node, "InstanceConfigDeleted", path, json!({}));
        self.emit(node, "ObjectDeleted", path, node, false, json!({}));
        zone::publish(self);
    }

    /// Nodes that an object is for.
    #[must_use]
    pub fn scope(&self, node: &str, path: &Path) -> Vec<String> {
        let inner = self.lock();
        let all: Vec<String> = inner.nodes.keys().cloned().collect();
        match inner.keyword(node, path, "nodes") {
            Some("*") => all,
            Some(list) => list
                .split_whitespace()
                .filter(|name| all.iter().any(|node| node == name))
                .map(ToOwned::to_owned)
                .collect(),
            None if path.is_actor() => vec![node.to_owned()],
            None => all,
        }
    }

    /// Whether everything written is published and has spread, and nothing is being done.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let inner = self.lock();
        let alive: Vec<(&String, &crate::world::Node)> =
            inner.nodes.iter().filter(|(_, node)| node.is_serving && !node.is_lost).collect();
        alive.iter().all(|(name, node)| {
            let is_busy =
                node.monitors.values().any(|monitor| monitor.orchestration.is_some() && !monitor.is_stuck);
            let is_starting = node.started_at.is_some_and(|at| at.elapsed() < inner.delays.debounce * 7);
            !is_busy
                && !is_starting
                && node.files.iter().all(|(path, file)| {
                    let Some(published) = node.published.get(path) else { return false };
                    let is_known = published.updated_at == file.mtime;
                    let peers = published.scope.iter().filter(|peer| *peer != *name);
                    is_known
                        && peers.filter(|peer| !inner.is_cut(peer, name)).all(|peer| {
                            let Some(state) = inner.nodes.get(peer).filter(|state| state.is_serving) else {
                                return true;
                            };
                            state.files.get(path).is_some_and(|theirs| theirs.mtime >= file.mtime)
                                || node.monitors.get(path).is_some_and(|monitor| monitor.is_stuck)
                        })
                })
        })
    }

    /// Waits until the cluster is at rest, at most so long.
    pub async fn rest(&self, at_most: Duration) -> bool {
        let end = Instant::now() + at_most;
        while !self.is_at_rest() {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What was said last is still on its way.
        let relay = self.lock().delays.relay.1;
        tokio::time::sleep(relay).await;
        true
    }
}
