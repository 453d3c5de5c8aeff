//! Volumes: folders with projected keys. Refreshed where an instance starts, and on the node that took a write, there
//! alone.

use std::fs;
use std::path::PathBuf;

use crate::path::{Path, glob};
use crate::world::World;

/// One line of `install`.
struct Item {
    target: String,
    store: Path,
    pattern: String,
}

/// Folder of a volume on a node.
#[must_use]
pub fn folder(world: &World, node: &str, svc: &Path, section: &str) -> PathBuf {
    let name = {
        let inner = world.lock();
        let file = inner.nodes.get(node).and_then(|node| node.files.get(svc));
        file.and_then(|file| file.stored.keyword(section, "name"))
            .unwrap_or("{name}-vol")
            .replace("{name}", &svc.name)
    };
    world.folder.join(node).join("srv").join(format!("{name}.{}.vol.{}", svc.namespace, world.name))
}

/// Writes the files of a volume.
pub fn project(world: &World, node: &str, svc: &Path, section: &str) {
    let root = folder(world, node, svc, section);
    let items = items(world, node, svc, section);
    let _ = fs::create_dir_all(&root);
    for item in items {
        let values: Vec<(String, Vec<u8>)> = {
            let inner = world.lock();
            let Some(file) = inner.nodes.get(node).and_then(|node| node.files.get(&item.store)) else {
                continue;
            };
            let keys = file.stored.keys().into_iter().filter(|(key, _)| glob(&item.pattern, key));
            keys.filter_map(|(key, _)| Some((key.clone(), file.stored.value(&key)?))).collect()
        };
        let prefix = item.pattern.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (key, value) in values {
            let inside = key.strip_prefix(prefix).unwrap_or(&key).trim_start_matches('/');
            let relative = if item.target.ends_with('/') {
                format!("{}{inside}", item.target)
            } else {
                item.target.clone()
            };
            let path = root.join(relative.trim_start_matches('/'));
            if let Some(folder) = path.parent() {
                let _ = fs::create_dir_all(folder);
            }
            // As the daemon: truncate and write, not atomic.
            let _ = fs::write(&path, value);
        }
    }
}

/// After a write to a store: volumes that project it are refreshed on this node where they are up.
pub fn refresh(world: &World, node: &str, store: &Path) {
    let volumes: Vec<(Path, String)> = {
        let inner = world.lock();
        let Some(state) = inner.nodes.get(node) else { return };
        let is_up = |path: &Path, section: &str| {
            state
                .statuses
                .get(path)
                .and_then(|status| status.resources.get(section))
                .is_some_and(|resource| resource.state == "up")
        };
        state
            .files
            .iter()
            .filter(|(path, _)| path.kind == "svc" && path.namespace == store.namespace)
            .flat_map(|(path, file)| {
                let sections = file.stored.resources().map(ToOwned::to_owned);
                sections.filter(|name| name.starts_with("volume#")).map(move |name| (path.clone(), name))
            })
            .filter(|(path, section)| is_up(path, section))
            .collect()
    };
    for (svc, section) in volumes {
        if items(world, node, &svc, &section).iter().any(|item| item.store == *store) {
            project(world, node, &svc, &section);
        }
    }
}

fn items(world: &World, node: &str, svc: &Path, section: &str) -> Vec<Item> {
    let inner = world.lock();
    let file = inner.nodes.get(node).and_then(|node| node.files.get(svc));
    let Some(text) = file.and_then(|file| file.stored.keyword(section, "install")) else { return Vec::new() };
    let text = text.replace("{name}", &svc.name).replace("{namespace}", &svc.namespace);
    let mut items: Vec<Item> = Vec::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        if word.starts_with('/') {
            items.push(Item {
                target: word.to_owned(),
                store: svc.clone(),
                pattern: word.trim_matches('/').to_owned(),
            });
            continue;
        }
        let Some(item) = items.last_mut() else { continue };
        match (word, word == "from" || word == "key") {
            ("from", _) => {
                let store = words.next().unwrap_or_default();
                let full = store.strip_prefix("./").map(|rest| format!("{}/{rest}", svc.namespace));
                if let Some(path) = Path::parse(full.as_deref().unwrap_or(store)) {
                    item.store = path;
                }
            }
            ("key", _) => words.next().unwrap_or_default().clone_into(&mut item.pattern),
            _ => {}
        }
    }
    items
}
