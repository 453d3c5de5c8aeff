//! The objects of a directory, with the last good version of what is broken now.
//!
//! Invariants:
//! - A pass sees the whole directory; hints only say which files to read although they look the same.
//! - A document that is broken keeps the object it held before: by name where its metadata can be read, else
//!   every earlier object of its file that no good document of the file holds.
//! - A path of the command line that loses all its objects at once, without an error, keeps them until it has
//!   objects again or somebody confirms. A file or folder that cannot be read keeps them too.
//! - An object found in two places is taken from the first path; a good document goes before a kept one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use igw_crds::objects::{Kind, ObjectKey};
use igw_crds::yaml::Cache;
use xxhash_rust::xxh3::xxh3_128;

use super::files::{Found, Identity, Walk};
use super::memory::{Memory, Remembered};
use crate::objects::gathered::{Candidate, Gathered};
use crate::objects::listing::{Notice, Severity};
use crate::objects::reading::{Good, Reading, read};

/// The files, what they hold, and what they held.
pub struct Store {
    roots: Vec<PathBuf>,
    skip: Option<PathBuf>,
    files: BTreeMap<PathBuf, FileState>,
    held: BTreeSet<usize>,
    problems: BTreeMap<PathBuf, String>,
    memory: Memory,
}

/// What a pass is told.
#[derive(Debug, Default)]
pub struct Hints {
    /// Paths that changed, whatever their time stamps say.
    pub named: BTreeSet<PathBuf>,
    /// Read every file, and take what vanished for deleted.
    pub confirmed: bool,
}

/// What a pass did.
#[derive(Debug)]
pub struct Pass {
    /// Something is different: objects, their places, or what is wrong.
    pub changed: bool,
    /// Folders to watch.
    pub folders: BTreeMap<PathBuf, Identity>,
}

#[derive(Default)]
struct FileState {
    root: usize,
    /// `None` for a file that is not there now.
    found: Option<Found>,
    /// The stamp may not tell the next change: read again.
    doubtful: bool,
    digest: u128,
    reading: Reading,
    cache: Cache,
    /// Last good versions of what is broken.
    kept: Vec<Good>,
    /// The file holds nothing, and `kept` what it held: of use only while its root is held.
    emptied: bool,
}

/// A file to read.
struct Job {
    path: PathBuf,
    found: Found,
    before: Option<FileState>,
    cache: Cache,
    outcome: Outcome,
}

enum Outcome {
    Same,
    Unreadable(String),
    Read { digest: u128, reading: Reading },
}

// === impl Store ===

impl Store {
    /// A store for the paths of a command line; `skip` is a folder that never counts, `memory` what an
    /// earlier run knew.
    #[must_use]
    pub fn new(roots: Vec<PathBuf>, skip: Option<PathBuf>, memory: Memory) -> Self {
        Self { roots, skip, files: BTreeMap::new(), held: BTreeSet::new(), problems: BTreeMap::new(), memory }
    }

    /// Looks at every file and reads those that may have changed.
    pub fn pass(&mut self, hints: &Hints, now: SystemTime) -> Pass {
        let walk = Walk::new(&self.roots, self.skip.as_deref());
        let mut problems = walk.problems;
        let mut before = std::mem::take(&mut self.files);
        let had_objects = self.roots_with_objects(&before);
        let mut files = BTreeMap::new();
        let mut jobs = Vec::new();
        for (path, found) in walk.files {
            match before.remove(&path) {
                Some(state)
                    if state.found.as_ref() == Some(&found)
                        && !state.doubtful
                        && !hints.confirmed
                        && !hints.named.contains(&path) =>
                {
                    files.insert(path, state);
                }
                mut before => {
                    let cache =
                        before.as_mut().map(|state| std::mem::take(&mut state.cache)).unwrap_or_default();
                    jobs.push(Job { path, found, before, cache, outcome: Outcome::Same });
                }
            }
        }
        work(&mut jobs);
        let mut changed = false;
        for job in jobs {
            changed |= !matches!(job.outcome, Outcome::Same);
            self.settle(job, now, &mut files, &mut problems);
        }
        changed |= self.judge_missing(before, &mut files, &problems, hints.confirmed, &had_objects);
        changed |= problems != self.problems;
        self.files = files;
        self.problems = problems;
        self.memory = Memory::default();
        Pass { changed, folders: walk.folders }
    }

    /// Adds a text that is in no file.
    pub fn add_text(&mut self, name: &str, text: &str) {
        let reading = read(name, text, &Reading::default(), &mut Cache::default());
        self.files.insert(PathBuf::from(name), FileState { reading, ..FileState::default() });
    }

    /// The objects that count, and what is wrong.
    #[must_use]
    pub fn gather(&self) -> Gathered {
        let mut gathered = Gathered { n_files: self.files.len(), ..Gathered::default() };
        let mut foreign = BTreeMap::new();
        let mut found = Vec::new();
        for (path, state) in &self.files {
            let file: Arc<str> = path.display().to_string().into();
            gathered.notices.extend(state.reading.notices.iter().cloned());
            gathered.uncertain |= state.reading.n_broken_unknown > 0 || state.found.is_none();
            gathered.n_documents += state.reading.n_documents;
            for key in &state.reading.broken {
                *gathered.broken.entry(key.kind.as_str()).or_default() += 1;
            }
            if state.reading.n_broken_unknown > 0 {
                *gathered.broken.entry("unknown").or_default() += state.reading.n_broken_unknown;
            }
            for kind in &state.reading.foreign {
                *foreign.entry(kind.as_str()).or_insert(0_usize) += 1;
            }
            let good = state.reading.good.iter();
            found.extend(good.map(|good| Candidate { good, file: Arc::clone(&file), kept: false }));
            let kept = state.kept.iter();
            found.extend(kept.map(|good| Candidate { good, file: Arc::clone(&file), kept: true }));
        }
        gathered.take(found);
        gathered.uncertain |= !self.problems.is_empty();
        self.report_problems(&mut gathered);
        if !foreign.is_empty() {
            let kinds: Vec<_> = foreign.iter().map(|(kind, n)| format!("{kind} ({n})")).collect();
            gathered.notices.push(Notice {
                message: format!("documents of foreign kinds are ignored: {}", kinds.join(", ")),
                ..Notice::default()
            });
        }
        gathered
    }

    /// What the next run needs to keep objects of files that are broken or gone then.
    #[must_use]
    pub fn remember(&self) -> Remembered {
        Remembered::new(self.files.iter().map(|(path, state)| {
            // Secrets rest in the folder of keys alone.
            let is_public = |good: &&Good| good.object.key.kind != Kind::Secret;
            let goods = state.reading.good.iter().chain(&state.kept).filter(is_public);
            (path.clone(), goods.cloned().collect())
        }))
    }

    /// Takes the result of reading one file.
    fn settle(
        &self,
        job: Job,
        now: SystemTime,
        files: &mut BTreeMap<PathBuf, FileState>,
        problems: &mut BTreeMap<PathBuf, String>,
    ) {
        let Job { path, found, before, cache, outcome } = job;
        let doubtful = found.is_fresh(now);
        let before = match before {
            Some(before) => before,
            None => self.recall(&path, found.root),
        };
        let state = match outcome {
            Outcome::Same => FileState { found: Some(found), doubtful, cache, ..before },
            Outcome::Unreadable(problem) => {
                problems.insert(path.clone(), problem);
                FileState { found: Some(found), doubtful: true, cache, ..before }
            }
            Outcome::Read { digest, reading } => {
                let held = before.reading.good.into_iter().chain(before.kept);
                let holds = |key: &ObjectKey| reading.good.iter().any(|good| good.object.key == *key);
                let emptied = reading.n_documents == 0;
                let any = reading.n_broken_unknown > 0 || emptied;
                let kept = if any || !reading.broken.is_empty() {
                    held.filter(|good| {
                        (any || reading.broken.contains(&good.object.key)) && !holds(&good.object.key)
                    })
                    .collect()
                } else {
                    Vec::new()
                };
                FileState {
                    root: found.root,
                    found: Some(found),
                    doubtful,
                    digest,
                    reading,
                    cache,
                    kept,
                    emptied,
                }
            }
        };
        files.insert(path, state);
    }

    /// Decides about files that are not there and files that are empty; true if something is different.
    fn judge_missing(
        &mut self,
        missing: BTreeMap<PathBuf, FileState>,
        files: &mut BTreeMap<PathBuf, FileState>,
        problems: &BTreeMap<PathBuf, String>,
        confirmed: bool,
        had_objects: &BTreeSet<usize>,
    ) -> bool {
        let mut gone = BTreeMap::new();
        for (path, mut state) in missing {
            let unseen = problems.keys().any(|problem| path.starts_with(problem));
            if unseen && !confirmed {
                state.doubtful = true;
                files.insert(path, state);
            } else {
                gone.insert(path, state);
            }
        }
        let alive: BTreeSet<usize> = files
            .values()
            .filter(|state| !state.emptied && state.n_objects() > 0)
            .map(|state| state.root)
            .collect();
        let failing: BTreeSet<usize> =
            files.values().filter(|state| state.reading.is_broken()).map(|state| state.root).collect();
        let held: BTreeSet<usize> = had_objects
            .iter()
            .copied()
            .filter(|root| !confirmed && !alive.contains(root) && !failing.contains(root))
            .collect();
        let mut changed = held != self.held;
        for (path, mut state) in gone {
            if held.contains(&state.root) {
                changed |= state.found.is_some();
                (state.found, state.doubtful) = (None, true);
                files.insert(path, state);
            } else {
                changed = true;
            }
        }
        for root in &held {
            // The first pass of a run knows what vanished from the memory of the run before alone.
            let Some(root_path) = self.roots.get(*root) else { continue };
            for path in self.memory.paths_under(root_path) {
                if let Entry::Vacant(place) = files.entry(path) {
                    let state = self.recall(place.key(), *root);
                    place.insert(state);
                }
            }
        }
        for state in files.values_mut().filter(|state| state.emptied && !held.contains(&state.root)) {
            changed |= !state.kept.is_empty();
            state.kept.clear();
        }
        self.held = held;
        changed
    }

    /// What an earlier run knew of a file, as something to keep.
    fn recall(&self, path: &Path, root: usize) -> FileState {
        let Some(text) = self.memory.text(path) else { return FileState { root, ..FileState::default() } };
        let reading = read(&path.display().to_string(), &text, &Reading::default(), &mut Cache::default());
        FileState { root, doubtful: true, kept: reading.good, ..FileState::default() }
    }

    fn roots_with_objects(&self, files: &BTreeMap<PathBuf, FileState>) -> BTreeSet<usize> {
        let mut roots: BTreeSet<usize> =
            files.values().filter(|state| state.n_objects() > 0).map(|state| state.root).collect();
        for (index, root) in self.roots.iter().enumerate() {
            if self.memory.paths_under(root).next().is_some() {
                roots.insert(index);
            }
        }
        roots
    }

    fn report_problems(&self, gathered: &mut Gathered) {
        for (path, problem) in &self.problems {
            let keeps =
                self.files.iter().any(|(file, state)| state.n_objects() > 0 && file.starts_with(path));
            gathered.notices.push(Notice {
                file: path.display().to_string(),
                severity: Severity::Error,
                message: problem.clone(),
                hint: keeps.then(|| "what it held before stays live".into()),
                ..Notice::default()
            });
        }
        for root in self.held.iter().filter_map(|root| self.roots.get(*root)) {
            gathered.notices.push(Notice {
                file: root.display().to_string(),
                severity: Severity::Warning,
                message: "all its objects vanished at once; they stay live".into(),
                hint: Some("put them back, or send SIGHUP to igw up if this is meant".into()),
                ..Notice::default()
            });
        }
    }
}

// === impl FileState ===

impl FileState {
    fn n_objects(&self) -> usize {
        self.reading.good.len() + self.kept.len()
    }
}

/// Reads and decodes files, on all cores where there are several.
fn work(jobs: &mut [Job]) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    if threads <= 1 {
        return jobs.iter_mut().for_each(Job::run);
    }
    let queue = Mutex::new(jobs.iter_mut());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    match job {
                        Some(job) => job.run(),
                        None => break,
                    }
                }
            });
        }
    });
}

// === impl Job ===

impl Job {
    fn run(&mut self) {
        let text = match self.found.read(&self.path) {
            Ok(text) => text,
            Err(error) => {
                self.outcome = Outcome::Unreadable(error.to_string());
                return;
            }
        };
        let digest = xxh3_128(text.as_bytes());
        let is_same =
            self.before.as_ref().is_some_and(|before| before.found.is_some() && before.digest == digest);
        self.outcome = if is_same {
            Outcome::Same
        } else {
            let file = self.path.display().to_string();
            let nothing = Reading::default();
            let before = self.before.as_ref().map_or(&nothing, |before| &before.reading);
            Outcome::Read { digest, reading: read(&file, &text, before, &mut self.cache) }
        };
    }
}

#[cfg(test)]
mod tests;
