//! What survives a restart: the last known good snapshot, the one before it, and the endpoints found by DNS.
//!
//! Files are replaced whole (write, sync, rename, sync the folder), so a crash leaves the old or the new one.
//! A disk that fails costs memory of the past, never service.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

use anyhow::Context as _;
use igw_crds::sync::Envelope;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

/// Endpoints by template, as they are remembered.
pub(crate) type Remembered = BTreeMap<String, Vec<RememberedEndpoint>>;

/// One remembered endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RememberedEndpoint {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) weight: u32,
    pub(crate) slot: u32,
}

/// The state folder and the thread that writes to it.
pub(crate) struct State {
    folder: PathBuf,
    writes: Sender<Job>,
    thread: Option<std::thread::JoinHandle<()>>,
    saved: std::cell::RefCell<Remembered>,
    /// Fingerprints of the keys of the last two snapshots.
    kept_keys: std::cell::RefCell<[BTreeSet<String>; 2]>,
}

enum Job {
    Replace(Replacement),
    Remove(Cow<'static, str>),
}

struct Replacement {
    name: Cow<'static, str>,
    /// Name under which the present file is kept.
    keep_as: Option<&'static str>,
    bytes: Vec<u8>,
}

// === impl State ===

impl State {
    /// Opens the folder. One that cannot be written is reported once and read as far as it can be.
    pub(crate) fn open(folder: &Path) -> Self {
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder) {
            warn!(state = %folder.display(), %error, "state folder cannot be made");
        }
        // What keeps this folder from being made keeps its files from being written, which is told.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder.join(KEYS));
        let (writes, inbox) = channel::<Job>();
        let of_thread = folder.to_owned();
        let started = std::thread::Builder::new().name("state".to_owned()).spawn(move || {
            let mut is_failing = false;
            while let Ok(job) = inbox.recv() {
                let (name, done) = match &job {
                    Job::Replace(replacement) => (&replacement.name, replace(&of_thread, replacement)),
                    Job::Remove(name) => (name, remove(&of_thread, name)),
                };
                match done {
                    Ok(()) if is_failing => {
                        is_failing = false;
                        info!("state is written again");
                    }
                    Ok(()) => {}
                    Err(error) if !is_failing => {
                        is_failing = true;
                        warn!(file = %name, %error, "state not written; serving goes on from memory");
                    }
                    Err(_) => {}
                }
            }
        });
        let thread = started
            .inspect_err(|error| warn!(%error, "state thread not started; nothing will be remembered"))
            .ok();
        let saved = read_endpoints(&folder.join(ENDPOINTS)).unwrap_or_default();
        Self {
            folder: folder.to_owned(),
            writes,
            thread,
            saved: std::cell::RefCell::new(saved),
            kept_keys: std::cell::RefCell::new([BTreeSet::new(), keys_in(&folder.join(KEYS))]),
        }
    }

    /// The newest whole snapshot at rest.
    pub(crate) fn newest_envelope(&self) -> Option<Envelope> {
        for name in [SNAPSHOT, SNAPSHOT_BEFORE] {
            let path = self.folder.join(name);
            if !path.exists() {
                continue;
            }
            match read_envelope(&path).and_then(|envelope| Ok(envelope.open().map(|_| envelope)?)) {
                Ok(envelope) => return Some(envelope),
                Err(error) => {
                    warn!(file = %path.display(), error = format!("{error:#}"), "snapshot at rest is not usable")
                }
            }
        }
        None
    }

    /// Folder of private keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join(KEYS)
    }

    /// Writes the keys of the snapshot that is saved next, and removes those that neither it nor the one before names.
    pub(crate) fn save_keys(&self, keys: &BTreeMap<String, String>) {
        let name = |fingerprint: &str| format!("{KEYS}/{fingerprint}.pem").into();
        let mut kept = self.kept_keys.borrow_mut();
        for (fingerprint, text) in
            keys.iter().filter(|(fingerprint, _)| !kept.iter().any(|set| set.contains(*fingerprint)))
        {
            self.write(Job::Replace(Replacement {
                name: name(fingerprint),
                keep_as: None,
                bytes: text.clone().into_bytes(),
            }));
        }
        let new: BTreeSet<String> = keys.keys().cloned().collect();
        let [last, before] = std::mem::take(&mut *kept);
        for fingerprint in before.iter().filter(|old| !last.contains(*old) && !new.contains(*old)) {
            self.write(Job::Remove(name(fingerprint)));
        }
        *kept = [new, last];
    }

    pub(crate) fn save_envelope(&self, mut envelope: Envelope) {
        envelope.keys.clear();
        envelope.hints.clear();
        match serde_json::to_vec(&envelope) {
            Ok(bytes) => {
                let (name, keep_as) = (SNAPSHOT.into(), Some(SNAPSHOT_BEFORE));
                self.write(Job::Replace(Replacement { name, keep_as, bytes }));
            }
            Err(error) => warn!(%error, "snapshot not encoded"),
        }
    }

    /// Endpoints as an earlier run left them.
    pub(crate) fn endpoints(&self) -> Remembered {
        self.saved.borrow().clone()
    }

    /// Remembers endpoints if they changed.
    pub(crate) fn save_endpoints(&self, endpoints: Remembered) {
        if *self.saved.borrow() == endpoints {
            return;
        }
        match serde_json::to_vec(&endpoints) {
            Ok(bytes) => {
                self.write(Job::Replace(Replacement { name: ENDPOINTS.into(), keep_as: None, bytes }));
            }
            Err(error) => warn!(%error, "endpoints not encoded"),
        }
        *self.saved.borrow_mut() = endpoints;
    }

    /// Writes what is left; another process may write then.
    pub(crate) fn finish(self) {
        let Self { writes, thread, .. } = self;
        drop(writes);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            warn!("state thread panicked");
        }
    }

    /// Changes when another snapshot is at rest.
    pub(crate) fn stamp(&self) -> Option<(u64, i64, i64)> {
        let facts = std::fs::metadata(self.folder.join(SNAPSHOT)).ok()?;
        Some((facts.ino(), facts.mtime(), facts.mtime_nsec()))
    }

    fn write(&self, job: Job) {
        // The thread ends only with the process.
        let _ = self.writes.send(job);
    }
}

/// Reads an envelope without opening it.
///
/// # Errors
/// Fails if the file is missing or is no envelope.
pub(crate) fn read_envelope(path: &Path) -> anyhow::Result<Envelope> {
    let bytes = std::fs::read(path).with_context(|| format!("{} not read", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no snapshot", path.display()))
}

fn read_endpoints(path: &Path) -> Option<Remembered> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn keys_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".pem").map(str::to_owned);
    entries.filter_map(name).collect()
}

fn remove(folder: &Path, name: &str) -> io::Result<()> {
    match std::fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn replace(folder: &Path, replacement: &Replacement) -> io::Result<()> {
    let target = folder.join(&*replacement.name);
    let folder = target.parent().unwrap_or(folder);
    let file_name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{file_name}.new"));
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&replacement.bytes)?;
    file.sync_all()?;
    if let Some(keep_as) = replacement.keep_as {
        match std::fs::rename(&target, folder.join(keep_as)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(&temporary, &target)?;
    File::open(folder)?.sync_all()
}

const SNAPSHOT: &str = "snapshot.json";
const SNAPSHOT_BEFORE: &str = "snapshot.before.json";
const KEYS: &str = "keys";
const ENDPOINTS: &str = "endpoints.json";

#[cfg(test)]
mod tests {
    use igw_crds::snapshot::Snapshot;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("igw-persist-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        folder
    }

    fn envelope(generation: u64) -> Envelope {
        let snapshot = Snapshot { cluster: "c".repeat(20), ..Snapshot::default() };
        Envelope::seal(1, generation, &snapshot).expect("a snapshot is encodable")
    }

    #[test]
    fn a_flipped_bit_anywhere_loads_the_generation_before() {
        let folder = folder("bits");
        for generation in [1, 2] {
            let bytes = serde_json::to_vec(&envelope(generation)).expect("an envelope is encodable");
            let keep_as = Some(SNAPSHOT_BEFORE);
            replace(&folder, &Replacement { name: SNAPSHOT.into(), keep_as, bytes })
                .expect("the folder is writable");
        }
        let state = State::open(&folder);
        assert_eq!(state.newest_envelope().map(|envelope| envelope.generation), Some(2));
        let whole = std::fs::read(folder.join(SNAPSHOT)).expect("the file is there");
        let start =
            whole.windows(10).position(|window| window == b"\"snapshot\"").expect("the field is there");
        for index in start..whole.len() {
            let mut broken = whole.clone();
            broken[index] ^= 1;
            std::fs::write(folder.join(SNAPSHOT), &broken).expect("the folder is writable");
            let generation = state.newest_envelope().map(|envelope| envelope.generation);
            assert_eq!(generation, Some(1), "byte {index} of {}", String::from_utf8_lossy(&broken));
        }
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
