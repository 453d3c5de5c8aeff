//! Rules that many places share: unions by type, references, names that stand twice.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Broken, Union};

/// The text of a field; empty where there is none.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn has(value: &Value, name: &str) -> bool {
    value.get(name).is_some()
}

/// Items of a list, or of none.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).map(items).unwrap_or_default()
}

fn is_there(value: &Value, name: &str, is_text: bool) -> bool {
    has(value, name) && !(is_text && text(value, name).is_empty())
}

/// A field that the type asks for is missing.
pub(super) fn needed(now: &Value, union: &Union, is_text: bool) -> Option<Broken> {
    let name = &union.field;
    let is_broken = text(now, &union.key) == union.word && !is_there(now, name, is_text);
    is_broken.then(|| Broken::new("", format!("`{name}` is missing")).hints(format!("add `{name}`")))
}

/// A field stands beside a type that is not its own.
pub(super) fn misplaced(now: &Value, union: &Union, is_text: bool) -> Option<Broken> {
    let Union { field, key, word } = union;
    let is_broken = is_there(now, field, is_text) && text(now, key) != word;
    is_broken.then(|| {
        Broken::new(format!(".{field}"), format!("does not belong to this {key}"))
            .hints(format!("remove it, or change `{key}`"))
    })
}

/// Filters of one type stand twice.
pub(super) fn one(now: &Value, word: &str) -> Option<Broken> {
    let (index, _) = items(now).iter().enumerate().filter(|(_, item)| text(item, "type") == word).nth(1)?;
    Some(
        Broken::new(format!("[{index}].type"), format!("{word} stands twice")).hints("merge the two filters"),
    )
}

/// Items say the same.
pub(super) fn distinct(now: &Value, key: &str) -> Option<Broken> {
    let mut seen = HashSet::new();
    for (index, item) in items(now).iter().enumerate() {
        let Some(value) = item.get(key) else { continue };
        if !seen.insert(value.to_string()) {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Some(
                Broken::new(format!("[{index}].{key}"), format!("`{shown}` stands twice"))
                    .hints("every one needs one of its own"),
            );
        }
    }
    None
}

/// A Service is reached at a port.
pub(super) fn port(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_service = text(now, "group").is_empty() && text(now, "kind") == "Service";
    let is_broken = is_service && !has(now, "port");
    is_broken.then(|| Broken::new("", "a Service reference needs a port").hints("add `port`"))
}

/// An XBackend says its port itself.
pub(super) fn no_port(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_own = text(now, "group") == "gateway.networking.x-k8s.io" && text(now, "kind") == "XBackend";
    let is_broken = is_own && has(now, "port");
    is_broken.then(|| Broken::new(".port", "an XBackend says its port itself").hints("remove `port`"))
}

/// A policy of telemetry says something.
pub(super) fn tells(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let is_broken = !has(now, "tracing");
    is_broken.then(|| Broken::new("", "the policy says nothing").hints("add `tracing`"))
}

/// The value is that of before.
pub(super) fn stays(now: &Value, before: Option<&Value>) -> Option<Broken> {
    let is_broken = before.is_some_and(|before| before != now);
    is_broken.then(|| Broken::new("", "cannot be changed").hints("make another object"))
}

/// Authorities come from objects, or from a set that is well known.
pub(super) fn one_source(now: &Value, _: Option<&Value>) -> Option<Broken> {
    match (has(now, "caCertificateRefs"), has(now, "wellKnownCACertificates")) {
        (false, false) => Some(
            Broken::new("", "neither `caCertificateRefs` nor `wellKnownCACertificates`")
                .allows("exactly one of them"),
        ),
        (true, true) => Some(
            Broken::new("", "`caCertificateRefs` and `wellKnownCACertificates` exclude each other")
                .hints("remove one of the two"),
        ),
        _ => None,
    }
}

/// References to the same thing, told apart by more: those that stand twice, and those that are told apart in two
/// ways. Each is what it refers to, what tells it apart, and which fields do.
pub(super) struct References<'v> {
    pub(super) all: Vec<(Vec<&'v str>, Vec<String>, Vec<bool>)>,
}

// === impl References ===

impl References<'_> {
    /// The first that stands twice.
    pub(super) fn twice(&self) -> Option<usize> {
        let mut seen = HashSet::new();
        self.all.iter().position(|(same, apart, _)| !seen.insert((same, apart)))
    }

    /// The first that is told apart in another way than one before.
    pub(super) fn in_two_ways(&self) -> Option<usize> {
        let mut ways: HashMap<&[&str], &[bool]> = HashMap::new();
        self.all.iter().position(|(same, _, way)| *ways.entry(same).or_insert(way) != way.as_slice())
    }
}

/// A target of a policy stands twice.
pub(super) fn targets_once(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let index = targets(now).twice()?;
    Some(
        Broken::new(format!("[{index}]"), "the same target stands twice")
            .hints("tell them apart by `sectionName`, or remove one"),
    )
}

/// A target stands with a section and without.
pub(super) fn targets_apart(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let index = targets(now).in_two_ways()?;
    Some(
        Broken::new(format!("[{index}]"), "the same target stands with a `sectionName` and without")
            .hints("give every reference to it a `sectionName`, or remove one"),
    )
}

fn targets(now: &Value) -> References<'_> {
    let all = items(now).iter().map(|target| {
        let section = text(target, "sectionName");
        let same = ["group", "kind", "name"].map(|name| text(target, name)).to_vec();
        (same, vec![section.to_owned()], vec![section.is_empty()])
    });
    References { all: all.collect() }
}
