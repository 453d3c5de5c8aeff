//! Tells the reconciler that files may have changed.
//!
//! Events are hints: the reconciler walks the folders whatever an event says, and every two seconds without
//! any. A system without inotify, or out of watches, costs speed, not changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tracing::warn;

use super::Event;
use super::files::Identity;

/// The folders that are watched.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
    warned: bool,
}

// === impl Watch ===

impl Watch {
    /// Starts a watcher that sends [`Event::Files`].
    pub fn start(events: Sender<Event>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let event = match event {
                // Reading the files makes events too, which must not lead to reading them again.
                Ok(event) if !is_change(&event.kind) => return,
                Ok(event) => Event::Files(event.paths),
                Err(_) => Event::Files(Vec::new()),
            };
            // The channel closes when the reconciler ends, and with it this watcher.
            let _ = events.send(event);
        });
        let mut watch = Self { watcher: None, watched: BTreeMap::new(), warned: false };
        match watcher {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.warn(&error),
        }
        watch
    }

    /// Watches exactly `folders`; true if one of them was not watched before.
    pub fn follow(&mut self, folders: &BTreeMap<PathBuf, Identity>) -> bool {
        if self.watcher.is_none() || *folders == self.watched {
            return false;
        }
        let gone: Vec<_> = self
            .watched
            .iter()
            .filter(|(path, identity)| folders.get(*path) != Some(identity))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.watched.remove(&path);
            // A folder that was removed has lost its watch already.
            let _ = self.watcher.as_mut().map(|watcher| watcher.unwatch(&path));
        }
        let mut is_new = false;
        for (path, identity) in folders {
            if self.watched.contains_key(path) {
                continue;
            }
            match self.watcher.as_mut().map(|watcher| watcher.watch(path, RecursiveMode::NonRecursive)) {
                Some(Err(error)) => self.warn(&error),
                _ => {
                    self.watched.insert(path.clone(), *identity);
                    is_new = true;
                }
            }
        }
        is_new
    }

    fn warn(&mut self, error: &notify::Error) {
        if !self.warned {
            self.warned = true;
            warn!(%error, "folders cannot be watched; changes are looked for every 2 s (see fs.inotify.max_user_watches)");
        }
    }
}

fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::super::files::Walk;
    use super::*;

    #[test]
    fn writes_are_told_and_reads_are_not() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("a.yaml");
        std::fs::write(&file, "a: 1\n").unwrap();
        let (events, received) = channel();
        let mut watch = Watch::start(events);
        watch.follow(&Walk::new(&[scratch.path().to_owned()], None).folders);
        std::fs::read(&file).unwrap();
        std::fs::write(&file, "a: 2\n").unwrap();
        let Ok(Event::Files(paths)) = received.recv_timeout(Duration::from_secs(10)) else {
            panic!("no event")
        };
        assert_eq!(paths, [file]);
    }

    #[test]
    fn a_folder_made_anew_is_watched_anew() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("sub");
        let (events, received) = channel();
        let mut watch = Watch::start(events);
        for round in 0..2 {
            std::fs::create_dir(&folder).unwrap();
            watch.follow(&Walk::new(&[scratch.path().to_owned()], None).folders);
            let file = folder.join(format!("{round}.yaml"));
            std::fs::write(&file, "a: 1\n").unwrap();
            let told = std::iter::from_fn(|| received.recv_timeout(Duration::from_secs(10)).ok())
                .any(|event| matches!(event, Event::Files(paths) if paths.contains(&file)));
            assert!(told, "round {round}");
            std::fs::remove_dir_all(&folder).unwrap();
            watch.follow(&Walk::new(&[scratch.path().to_owned()], None).folders);
        }
    }
}
