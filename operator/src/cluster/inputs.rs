//! What users wrote: the `cfg` objects of all namespaces, their keys, and the objects in them.
//!
//! A state machine without clock and network: it is told what lists and reads say and answers what to read next.
//!
//! Invariants:
//! - Nothing is taken for deleted because it was not seen once. A key is gone after it stayed gone for
//!   [`KEY_GRACE`] in a present object; an object after two complete lists without it that are [`LIST_GRACE`]
//!   apart and name the same objects. A list is complete if every node of the cluster is there.
//! - The first list after a start or a new connection never deletes.
//! - What is broken keeps its last good version; one object's fault stays with that object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use igw_crds::objects::{Kind, ObjectKey};
use igw_crds::yaml::Cache;
use igw_opensvc::{KeyName, ObjectItem, ObjectPath};
use xxhash_rust::xxh3::xxh3_128;

use super::layout::{SYSTEM, is_input, version};
use crate::objects::gathered::{Candidate, Gathered};
use crate::objects::listing::{Notice, Severity};
use crate::objects::reading::{Good, Reading, object_name, read_of};

/// Everything that users wrote.
#[derive(Debug, Default)]
pub struct Inputs {
    objects: BTreeMap<ObjectPath, Input>,
    /// The inputs that the last complete list named, and when it was taken.
    last_complete: Option<(BTreeSet<ObjectPath>, Instant)>,
}

/// One `cfg`.
#[derive(Debug, Default)]
struct Input {
    /// Version of what was read last.
    version: String,
    /// Version that was announced; differs from the one before while a read is due.
    announced: String,
    /// Read again although the version is the same: keys wait for their proof, or somebody wants to know.
    confirm_at: Option<Instant>,
    /// Keys that are known to be deleted.
    meant: BTreeSet<String>,
    /// Was read at least once.
    is_read: bool,
    texts: BTreeMap<String, Text>,
    /// First complete list without it.
    absent_since: Option<Instant>,
    /// Nodes with other bytes of the same time.
    divergent: Vec<String>,
    /// Why it could not be read, since the last good read.
    failure: Option<String>,
    n_failures: u32,
    not_before: Option<Instant>,
}

/// One key.
#[derive(Debug)]
struct Text {
    /// Where it stands, as messages say it.
    file: Arc<str>,
    digest: u128,
    reading: Reading,
    cache: Cache,
    /// Last good versions of what is broken.
    kept: Vec<Good>,
    /// The key is not there any more.
    gone_since: Option<Instant>,
}

// === impl Inputs ===

impl Inputs {
    /// Takes a list of all inputs. `node` is the one that answers.
    ///
    /// True if something is different: an object is proven deleted.
    pub fn list(&mut self, items: &[ObjectItem], node: &str, is_complete: bool, now: Instant) -> bool {
        let mut seen = BTreeSet::new();
        for item in items.iter().filter(|item| is_input(&item.path)) {
            seen.insert(item.path.clone());
            let input = self.objects.entry(item.path.clone()).or_default();
            input.absent_since = None;
            input.divergent = item.divergent_nodes().into_iter().map(ToOwned::to_owned).collect();
            if let Some(version) = version_of(item, node) {
                input.announced = version;
            }
        }
        if !is_complete {
            // A node is lost: what lives there alone looks deleted.
            self.last_complete = None;
            self.objects.values_mut().for_each(|input| input.absent_since = None);
            return false;
        }
        let is_equal = self.last_complete.as_ref().is_some_and(|(before, _)| *before == seen);
        let mut gone = Vec::new();
        for (path, input) in &mut self.objects {
            if seen.contains(path) {
                continue;
            }
            let since = *input.absent_since.get_or_insert(now);
            if !is_equal {
                input.absent_since = Some(now);
            } else if now.saturating_duration_since(since) >= LIST_GRACE {
                gone.push(path.clone());
            }
        }
        for path in &gone {
            self.objects.remove(path);
        }
        self.last_complete = Some((seen, now));
        !gone.is_empty()
    }

    /// The stream is open anew: what lists said before proves nothing.
    pub fn distrust(&mut self) {
        self.last_complete = None;
        self.objects.values_mut().for_each(|input| input.absent_since = None);
    }

    /// Takes the version that an event tells.
    pub fn announce(&mut self, path: &ObjectPath, version: &str) {
        if is_input(path) {
            version.clone_into(&mut self.objects.entry(path.clone()).or_default().announced);
        }
    }

    /// Has an object be read now, whatever is announced.
    pub fn ask(&mut self, path: &ObjectPath, now: Instant) {
        let input = self.objects.entry(path.clone()).or_default();
        input.confirm_at = Some(now);
        input.not_before = None;
    }

    /// These keys are deleted: the next read that lacks them proves it.
    pub fn mean(&mut self, path: &ObjectPath, gone: BTreeSet<String>) {
        if let Some(input) = self.objects.get_mut(path) {
            input.meant = gone;
        }
    }

    /// Objects that have to be read now, in fair order: those of each namespace in turn.
    #[must_use]
    pub fn due(&self, now: Instant) -> Vec<(ObjectPath, String)> {
        let is_due = |input: &Input| {
            if input.not_before.is_some_and(|at| at > now) {
                return false;
            }
            (input.announced != input.version && !input.announced.is_empty())
                || input.confirm_at.is_some_and(|at| at <= now)
        };
        let mut by_namespace: BTreeMap<&str, Vec<(&ObjectPath, &Input)>> = BTreeMap::new();
        for (path, input) in self.objects.iter().filter(|(_, input)| is_due(input)) {
            by_namespace.entry(path.namespace()).or_default().push((path, input));
        }
        let longest = by_namespace.values().map(Vec::len).max().unwrap_or(0);
        (0..longest)
            .flat_map(|turn| by_namespace.values().filter_map(move |list| list.get(turn)))
            .map(|(path, input)| ((*path).clone(), input.announced.clone()))
            .collect()
    }

    /// The moment when something is due without any event.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.objects
            .values()
            .filter_map(|input| [input.confirm_at, input.not_before].into_iter().flatten().max())
            .min()
    }

    /// Takes the keys of an object as they were after `version` was announced. True if something is different.
    pub fn take(
        &mut self,
        path: &ObjectPath,
        version: &str,
        values: &[(KeyName, Bytes)],
        now: Instant,
    ) -> bool {
        let Some(input) = self.objects.get_mut(path) else { return false };
        let mut changed = !input.is_read || input.failure.take().is_some();
        version.clone_into(&mut input.version);
        input.is_read = true;
        input.n_failures = 0;
        input.not_before = None;
        input.confirm_at = None;
        let mut seen = BTreeSet::new();
        for (name, value) in values {
            seen.insert(name.as_str());
            let text = input
                .texts
                .entry(name.as_str().to_owned())
                .or_insert_with(|| Text::new(place(path, name.as_str()).into()));
            changed |= text.gone_since.take().is_some();
            changed |= text.take(path, value);
        }
        let mut gone = Vec::new();
        for (name, text) in &mut input.texts {
            if seen.contains(name.as_str()) {
                continue;
            }
            let since = *text.gone_since.get_or_insert(now);
            if input.meant.contains(name) || now.saturating_duration_since(since) >= KEY_GRACE {
                gone.push(name.clone());
            } else {
                let at = since + KEY_GRACE;
                input.confirm_at = Some(input.confirm_at.map_or(at, |earlier| earlier.min(at)));
            }
        }
        for name in &gone {
            input.texts.remove(name);
        }
        input.meant.clear();
        changed | !gone.is_empty()
    }

    /// An object could not be read; what it held stays.
    pub fn fail(&mut self, path: &ObjectPath, failure: &str, now: Instant) {
        if let Some(input) = self.objects.get_mut(path) {
            input.failure = Some(failure.to_owned());
            input.n_failures = input.n_failures.saturating_add(1);
            let pause = FIRST_PAUSE.saturating_mul(1 << input.n_failures.min(7)).min(LONGEST_PAUSE);
            input.not_before = Some(now + pause);
        }
    }

    /// Whether this version of an object was announced or read.
    #[must_use]
    pub fn knows(&self, path: &ObjectPath, version: &str) -> bool {
        self.objects.get(path).is_some_and(|input| input.version == version || input.announced == version)
    }

    /// Gives last good versions back to documents that were broken already when this operator started.
    pub fn recall(&mut self, namespace: &str, texts: &[String]) {
        let goods: Vec<Good> = texts
            .iter()
            .flat_map(|text| read_of(namespace, "", text, &Reading::default(), &mut Cache::lenient()).good)
            .collect();
        for (_, input) in self.objects.iter_mut().filter(|(path, _)| path.namespace() == namespace) {
            for text in input.texts.values_mut() {
                let wanted = goods.iter().filter(|good| {
                    text.reading.broken.contains(&good.object.key)
                        && !text.kept.iter().any(|kept| kept.object.key == good.object.key)
                });
                let wanted: Vec<Good> = wanted.cloned().collect();
                text.kept.extend(wanted);
            }
        }
    }

    /// Whether every object that is known was read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.objects.values().all(|input| input.is_read)
    }

    /// Namespaces with inputs.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.objects.keys().map(|path| path.namespace().to_owned()).collect()
    }

    /// Objects whose absence is being judged: a list is worth taking then.
    #[must_use]
    pub fn has_absent(&self) -> bool {
        self.objects.values().any(|input| input.absent_since.is_some())
    }

    /// The objects that count, and what is wrong.
    #[must_use]
    pub fn gather(&self) -> Gathered {
        let mut gathered = Gathered::default();
        let mut found = Vec::new();
        for (path, input) in &self.objects {
            gathered.n_files += input.texts.len();
            gathered.uncertain |= !input.is_read;
            gathered.notices.extend(input.notices(path));
            for text in input.texts.values() {
                let file = &text.file;
                gathered.notices.extend(text.reading.notices.iter().cloned());
                gathered.uncertain |= text.reading.n_broken_unknown > 0;
                gathered.n_documents += text.reading.n_documents;
                for key in &text.reading.broken {
                    *gathered.broken.entry(key.kind.as_str()).or_default() += 1;
                }
                if text.reading.n_broken_unknown > 0 {
                    *gathered.broken.entry("unknown").or_default() += text.reading.n_broken_unknown;
                }
                let good = text.reading.good.iter();
                found.extend(good.map(|good| Candidate { good, file: Arc::clone(file), kept: false }));
                let kept = text.kept.iter();
                found.extend(kept.map(|good| Candidate { good, file: Arc::clone(file), kept: true }));
            }
        }
        gathered.take(found);
        gathered
    }
}

// === impl Input ===

impl Input {
    fn notices(&self, path: &ObjectPath) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut add = |severity, message: String, hint: &str| {
            notices.push(Notice {
                file: path.to_string(),
                severity,
                message,
                hint: Some(hint.to_owned()),
                ..Notice::default()
            });
        };
        if let Some(failure) = &self.failure {
            add(Severity::Error, failure.clone(), "what it held before stays live");
        }
        if !self.divergent.is_empty() {
            let nodes = self.divergent.join(", ");
            add(
                Severity::Error,
                format!(
                    "nodes {nodes} hold different bytes of the same time and will not agree by themselves"
                ),
                "apply the objects again: any write heals it",
            );
        }
        notices
    }
}

// === impl Text ===

impl Text {
    fn new(file: Arc<str>) -> Self {
        Self {
            file,
            digest: 0,
            reading: Reading::default(),
            cache: Cache::lenient(),
            kept: Vec::new(),
            gone_since: None,
        }
    }

    /// Reads the value if it is new; true if so.
    fn take(&mut self, path: &ObjectPath, value: &[u8]) -> bool {
        let digest = xxh3_128(value);
        if self.digest == digest {
            return false;
        }
        self.digest = digest;
        let file = Arc::clone(&self.file);
        let Ok(text) = std::str::from_utf8(value) else {
            self.reading.notices = vec![Notice {
                file: file.to_string(),
                severity: Severity::Error,
                message: "is not UTF-8 text".to_owned(),
                hint: Some("what it held before stays live".to_owned()),
                ..Notice::default()
            }];
            self.reading.n_broken_unknown = 1;
            self.kept.append(&mut self.reading.good);
            return true;
        };
        let mut reading = read_of(path.namespace(), &file, text, &self.reading, &mut self.cache);
        refuse_strangers(path, &file, &mut reading);
        let held = std::mem::take(&mut self.reading.good).into_iter().chain(std::mem::take(&mut self.kept));
        let is_there = |key: &ObjectKey| reading.good.iter().any(|good| good.object.key == *key);
        let any = reading.n_broken_unknown > 0;
        self.kept = held
            .filter(|good| (any || reading.broken.contains(&good.object.key)) && !is_there(&good.object.key))
            .collect();
        self.reading = reading;
        true
    }
}

/// Objects that may not stand where they are written.
fn refuse_strangers(path: &ObjectPath, file: &str, reading: &mut Reading) {
    let home = path.namespace();
    let notices = &mut reading.notices;
    reading.good.retain(|good| {
        let key = &good.object.key;
        let refusal = match key.kind {
            Kind::Secret => {
                Some(("a cluster keeps secrets in sec objects", "make a sec of this name in the namespace"))
            }
            Kind::ConfigMap => Some((
                "a cluster keeps such content in cfg objects",
                "make a cfg of this name in the namespace",
            )),
            kind if !kind.is_namespaced() && home != SYSTEM => Some((
                "this kind belongs to the whole cluster",
                "apply it to namespace system: igw apply -n system",
            )),
            kind if kind.is_namespaced() && *key.namespace != *home => Some((
                "the object says another namespace than the cfg that holds it",
                "apply it to its own namespace",
            )),
            _ => None,
        };
        let Some((message, hint)) = refusal else { return true };
        notices.push(Notice {
            file: file.to_owned(),
            line: good.line,
            severity: Severity::Error,
            object: Some(object_name(key)),
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
            ..Notice::default()
        });
        false
    });
}

/// A key as notices name it.
fn place(path: &ObjectPath, key: &str) -> String {
    format!("{path}:{key}")
}

/// The version that the answering node has; without an instance there the newest one.
fn version_of(item: &ObjectItem, node: &str) -> Option<String> {
    let own = item.instances.get(node).and_then(|instance| instance.settings.as_ref());
    let newest = || {
        let all = item.instances.values().filter_map(|instance| instance.settings.as_ref());
        all.max_by_key(|settings| settings.updated_at)
    };
    own.or_else(newest).map(version)
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a key stays gone before it is deleted: a concurrent writer may have lost it.
pub const KEY_GRACE: Duration = Duration::from_secs(3);
/// Least time between the two lists that prove the deletion of an object.
pub const LIST_GRACE: Duration = Duration::from_secs(5);
