//! Objects of a directory, compiled once, without a proxy: what `validate`, `render`, `get --dir`,
//! `describe --dir` and `explain --dir` work on. `igw up` shares the conversions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use igw_compile::issued::wishes;
use igw_compile::{Compiled, Facts, compile};
use igw_crds::objects::Kind;
use igw_crds::sync::Report;
use jiff::Timestamp;
use serde_json::Value;

use super::memory::Memory;
use super::store::{Hints, Store};
use crate::acme::runner::bootstrap;
use crate::certificates::vault::{Place, Vault};
use crate::objects::gathered::Gathered;
use crate::objects::listing::{Notice, Severity};
use crate::objects::meaning::{facts, material, notices_of, objects, statuses};
use crate::objects::reading::object_name;
use crate::objects::view::{Shown, View};
use crate::output::rows::{items, text};

/// A compiled directory.
pub struct Offline {
    /// What was read.
    pub gathered: Gathered,
    /// What it means.
    pub compiled: Compiled,
    /// Private keys.
    pub vault: Vault,
}

// === impl Offline ===

impl Offline {
    /// Reads and compiles files and folders, and a text that is not in a file.
    #[must_use]
    pub fn load(paths: &[PathBuf], stdin: Option<&str>, cluster: &str) -> Self {
        let mut store = Store::new(paths.to_vec(), None, Memory::default());
        store.pass(&Hints::default(), SystemTime::now());
        if let Some(text) = stdin {
            store.add_text(STDIN, text);
        }
        let gathered = store.gather();
        let set = objects(&gathered, &BTreeMap::new());
        let mut vault = Vault::default();
        // Where certificates are to be issued, others fill the time.
        let is_there = |(namespace, name): &Place| set.find(Kind::Secret, namespace, name).is_some();
        let missing = wishes(&set, None).by_secret.into_iter();
        let missing = missing.filter(|(place, wish)| wish.refused.is_none() && !is_there(place));
        let issued = missing.filter_map(|(place, wish)| Some((place, bootstrap(&wish).ok()?))).collect();
        let material = material(&set, &issued, &mut vault, Timestamp::now());
        let facts = Facts { material, ..facts(cluster, &[]) };
        let compiled = compile(&set, &facts);
        Self { gathered, compiled, vault }
    }

    /// The objects with the statuses they would have before any proxy runs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut statuses: BTreeMap<_, _> = statuses(&self.compiled, &Report::default()).into_iter().collect();
        let mut notices = self.gathered.notices.clone();
        notices.extend(notices_of(&self.compiled, &self.gathered, false));
        let shown = self.gathered.objects.iter().map(|(key, taken)| {
            let status =
                statuses.remove(key).and_then(|status| serde_json::to_value(&*status).ok()).map(Arc::new);
            let name = object_name(key).into();
            Arc::new(Shown::new(taken.object.clone(), name, None, status, taken.source.clone()))
        });
        View { shown: shown.collect(), notices, ..View::default() }
    }

    /// Everything that is wrong: with files, with documents, and with what they mean together.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        let view = self.view();
        let mut notices = view.notices;
        for shown in &view.shown {
            let Some(status) = &shown.status else { continue };
            let mut lists = vec![(String::new(), items(status, "/conditions"))];
            for listener in items(status, "/listeners") {
                lists.push((format!("listener {}", text(listener, "/name")), items(listener, "/conditions")));
            }
            for parent in items(status, "/parents") {
                lists.push((
                    format!("parent {}", text(parent, "/parentRef/name")),
                    items(parent, "/conditions"),
                ));
            }
            for ancestor in items(status, "/ancestors") {
                lists.push((
                    format!("target {}", text(ancestor, "/ancestorRef/name")),
                    items(ancestor, "/conditions"),
                ));
            }
            for (field, conditions) in lists {
                for condition in conditions.iter().filter(|condition| is_complaint(condition)) {
                    let reason = text(condition, "/reason");
                    notices.push(Notice {
                        file: shown.source.file.to_string(),
                        line: shown.source.line,
                        severity: severity(reason),
                        object: Some(shown.name.to_string()),
                        field: field.clone(),
                        message: format!("{reason}: {}", text(condition, "/message")),
                        ..Notice::default()
                    });
                }
            }
        }
        notices.sort();
        notices.dedup();
        notices
    }
}

/// Whether a condition says that something is wrong. Offline nothing is programmed, which is no fault.
fn is_complaint(condition: &Value) -> bool {
    match text(condition, "/type") {
        "Programmed" | "Ready" => false,
        "Conflicted" | "PartiallyInvalid" | "OverlappingTLSConfig" => text(condition, "/status") == "True",
        _ => text(condition, "/status") == "False",
    }
}

/// How bad a reason is. What names something that is not in the files may exist elsewhere: a warning.
fn severity(reason: &str) -> Severity {
    if ERRORS.contains(&reason) { Severity::Error } else { Severity::Warning }
}

/// Name under which standard input appears.
pub const STDIN: &str = "<stdin>";
/// Reasons that no other object can mend.
const ERRORS: [&str; 7] = [
    "HostnameConflict",
    "ProtocolConflict",
    "UnsupportedValue",
    "UnsupportedProtocol",
    "UnsupportedAddress",
    "IncompatibleFilters",
    "InvalidKind",
];
