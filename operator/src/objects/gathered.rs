//! Every object that counts at one moment, whatever store it came from, and what is wrong with the others.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use igw_crds::objects::{Object, ObjectKey};

use super::listing::{Notice, Severity, Source};
use super::reading::{Good, object_name};

/// The objects that count.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// Objects by identity.
    pub objects: BTreeMap<ObjectKey, Taken>,
    /// Everything that is wrong with files and documents.
    pub notices: Vec<Notice>,
    /// Documents that are broken now, by kind where it is known.
    pub broken: BTreeMap<&'static str, usize>,
    /// Documents read.
    pub n_documents: usize,
    /// Files read.
    pub n_files: usize,
    /// Some file or document cannot be told at all: what is missing may not be deleted.
    pub uncertain: bool,
}

/// One object and where it was taken from.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The object with its defaults.
    pub object: Arc<Object>,
    /// Hash of what `generation` counts.
    pub content: u128,
    /// Where it was read.
    pub source: Source,
}

// === impl Gathered ===

impl Gathered {
    /// Numbers of objects by kind and state: good, kept, broken.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(&str, &'static str), usize> {
        let mut counts: BTreeMap<(&str, &'static str), usize> = BTreeMap::new();
        for (key, taken) in &self.objects {
            let state = if taken.source.kept { "kept" } else { "good" };
            *counts.entry((key.kind.as_str(), state)).or_default() += 1;
        }
        for (kind, n) in &self.broken {
            *counts.entry((kind, "broken")).or_default() += n;
        }
        counts
    }

    /// Takes a good document in; the first of an object counts, and one that is kept only for want of another.
    pub fn take(&mut self, good: &Good, file: &Arc<str>, kept: bool) {
        match self.objects.entry(good.object.key.clone()) {
            Entry::Vacant(place) => {
                let source = Source { file: Arc::clone(file), line: good.line, kept };
                place.insert(Taken { object: good.object.clone(), content: good.content, source });
            }
            Entry::Occupied(_) if kept => {}
            Entry::Occupied(first) => {
                let first = &first.get().source;
                self.notices.push(Notice {
                    file: file.to_string(),
                    line: good.line,
                    severity: Severity::Error,
                    object: Some(object_name(&good.object.key)),
                    message: format!("is also in {}:{}, which counts", first.file, first.line),
                    hint: Some("remove one of the two".into()),
                    ..Notice::default()
                });
            }
        }
    }
}
