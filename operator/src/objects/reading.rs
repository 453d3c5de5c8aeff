//! One file's text becomes documents: good ones with their objects, and what is known of the broken ones.
//!
//! A document is decoded once as long as its text stays the same, wherever in the file it moves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use igw_crds::objects::{DEFAULT_NAMESPACE, Object, ObjectKey, Spec};
use igw_crds::yaml::{self, Cache, Diagnostic, read_in};
use serde_json::value::{RawValue, to_raw_value};
use xxhash_rust::xxh3::xxh3_128;

use super::listing::{Notice, Severity};

/// A good document.
#[derive(Clone, Debug)]
pub struct Good {
    /// The object with its defaults.
    pub object: Arc<Object>,
    /// Line of the document, from 1.
    pub line: u32,
    /// Hash of the defaulted content: what `generation` counts.
    pub content: u128,
    /// The object as JSON, once somebody has asked for it.
    json: Arc<OnceLock<Box<RawValue>>>,
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Good documents in the order of the file.
    pub good: Vec<Good>,
    /// Objects of broken documents, as far as they can be told.
    pub broken: BTreeSet<ObjectKey>,
    /// Documents that are broken so badly that nobody can tell which object they were.
    pub n_broken_unknown: usize,
    /// Errors and warnings.
    pub notices: Vec<Notice>,
    /// Documents of foreign kinds, as `apiVersion kind`.
    pub foreign: Vec<String>,
    /// Documents of the file.
    pub n_documents: usize,
}

/// Reads a text; `file` is its name in notices.
#[must_use]
pub fn read(file: &str, text: &str, before: &Reading, cache: &mut Cache) -> Reading {
    read_of(DEFAULT_NAMESPACE, file, text, before, cache)
}

/// Reads a text whose objects are in `namespace` where they name none.
#[must_use]
pub fn read_of(namespace: &str, file: &str, text: &str, before: &Reading, cache: &mut Cache) -> Reading {
    let found = read_in(namespace, file, text, cache);
    cache.retain(&found.documents.iter().map(|document| document.digest).collect::<HashSet<_>>());
    // The cache hands out the same object for the same text, so that what is known of it is found by its address.
    let known: HashMap<*const Object, &Good> =
        before.good.iter().map(|good| (Arc::as_ptr(&good.object), good)).collect();
    let n_documents = found.documents.len() + found.broken.len() + found.foreign.len();
    Reading {
        n_documents,
        good: found
            .documents
            .into_iter()
            .map(|document| match known.get(&Arc::as_ptr(&document.object)) {
                Some(good) => Good { line: document.line, ..(*good).clone() },
                None => Good::new(document.object, document.line),
            })
            .collect(),
        n_broken_unknown: found.broken.iter().filter(|key| key.is_none()).count(),
        broken: found.broken.into_iter().flatten().collect(),
        notices: found.diagnostics.into_iter().map(notice).collect(),
        foreign: found
            .foreign
            .into_iter()
            .map(|foreign| format!("{} {}", foreign.api_version, foreign.kind))
            .collect(),
    }
}

// === impl Good ===

impl Good {
    fn new(object: Arc<Object>, line: u32) -> Self {
        Self { content: content_hash(&object.spec), object, line, json: Arc::default() }
    }

    /// The object as JSON.
    #[must_use]
    pub fn json(&self) -> &RawValue {
        // Trees of JSON always encode.
        self.json.get_or_init(|| to_raw_value(&self.object.to_value()).unwrap_or_default())
    }
}

// === impl Reading ===

impl Reading {
    /// Whether some document is not taken as written.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.n_broken_unknown > 0 || !self.broken.is_empty()
    }
}

/// `<Kind>/<namespace>/<name>`, as listings and the ledger name objects.
#[must_use]
pub fn object_name(key: &ObjectKey) -> String {
    format!("{}/{}/{}", key.kind.as_str(), key.namespace, key.name)
}

fn notice(diagnostic: Diagnostic) -> Notice {
    Notice {
        file: diagnostic.file.to_string(),
        line: diagnostic.line,
        column: diagnostic.column,
        severity: match diagnostic.severity {
            yaml::Severity::Error => Severity::Error,
            yaml::Severity::Warning => Severity::Warning,
        },
        object: diagnostic.object.as_ref().map(object_name),
        field: diagnostic.field,
        message: diagnostic.message,
        allowed: diagnostic.allowed,
        hint: diagnostic.hint,
    }
}

/// Hash of the defaulted content. Routes, of which there are many, are hashed without a tree between.
fn content_hash(spec: &Spec) -> u128 {
    let bytes = match spec {
        Spec::HttpRoute(route) => serde_json::to_vec(route).ok(),
        _ => None,
    };
    xxh3_128(&bytes.unwrap_or_else(|| spec.to_value().to_string().into_bytes()))
}
