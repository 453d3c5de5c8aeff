//! Every object that counts at one moment, whatever store it came from, and what is wrong with the others.

use std::collections::BTreeMap;
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

/// A good document that was found.
#[derive(Clone, Debug)]
pub struct Candidate<'g> {
    /// The document.
    pub good: &'g Good,
    /// File, or key of an object.
    pub file: Arc<str>,
    /// The last good version of one that is broken now.
    pub kept: bool,
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

    /// Takes good documents in; the first of an object counts, and one that is kept only for want of another.
    pub fn take(&mut self, mut found: Vec<Candidate<'_>>) {
        // The sort is stable, and quick: documents come in runs of order.
        found.sort_by(|a, b| a.good.object.key.cmp(&b.good.object.key).then(a.kept.cmp(&b.kept)));
        let mut first: Option<&Candidate<'_>> = None;
        let mut objects = Vec::with_capacity(found.len());
        for one in &found {
            match first.filter(|first| first.good.object.key == one.good.object.key) {
                Some(_) if one.kept => {}
                Some(first) => self.notices.push(Notice {
                    file: one.file.to_string(),
                    line: one.good.line,
                    severity: Severity::Error,
                    object: Some(object_name(&one.good.object.key)),
                    message: format!("is also in {}:{}, which counts", first.file, first.good.line),
                    hint: Some("remove one of the two".into()),
                    ..Notice::default()
                }),
                None => {
                    let source = Source { file: Arc::clone(&one.file), line: one.good.line, kept: one.kept };
                    let object = one.good.object.clone();
                    objects.push((object.key.clone(), Taken { object, content: one.good.content, source }));
                    first = Some(one);
                }
            }
        }
        self.objects = objects.into_iter().collect();
    }
}
