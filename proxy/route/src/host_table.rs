//! Host names: exact by hash, wildcards by hash of each suffix of the request's host.

use crate::hash::ByteMap;

/// Something by host name: exact, `*.suffix`, or every host.
pub(crate) struct HostTable<V> {
    exact: ByteMap<V>,
    /// By suffix with its leading dot.
    wildcard: ByteMap<V>,
    any: Option<V>,
}

// === impl HostTable ===

impl<V> Default for HostTable<V> {
    fn default() -> Self {
        Self { exact: ByteMap::default(), wildcard: ByteMap::default(), any: None }
    }
}

impl<V: Default> HostTable<V> {
    /// The value for a pattern, made if it is new.
    pub(crate) fn entry(&mut self, pattern: Option<&str>) -> &mut V {
        match pattern {
            None => self.any.get_or_insert_default(),
            Some(pattern) => match pattern.strip_prefix('*') {
                Some(suffix) => self.wildcard.entry(suffix.as_bytes()),
                None => self.exact.entry(pattern.as_bytes()),
            },
        }
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.exact.values_mut().chain(self.wildcard.values_mut()).chain(self.any.as_mut())
    }

    /// Values whose pattern matches `host`, most specific first. A wildcard stands for one or more labels.
    pub(crate) fn matching<'t>(&'t self, host: &'t [u8]) -> impl Iterator<Item = &'t V> {
        let exact = self.exact.find(host);
        let suffixes = suffixes(host).take(if self.wildcard.is_empty() { 0 } else { LABELS_MAX });
        let wildcards = suffixes.filter_map(|suffix| self.wildcard.find(suffix));
        exact.into_iter().chain(wildcards).chain(self.any.as_ref())
    }

    /// Patterns in the table, sorted, for explanations.
    pub(crate) fn patterns(&self) -> Vec<String> {
        let mut patterns: Vec<String> =
            self.exact.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        patterns
            .extend(self.wildcard.iter().map(|(suffix, _)| format!("*{}", String::from_utf8_lossy(suffix))));
        patterns.sort();
        patterns
    }
}

/// Suffixes of `host` that begin with a dot and leave at least one label before it, longest first.
fn suffixes(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut from = 1;
    std::iter::from_fn(move || {
        let dot = from + host.get(from..)?.iter().position(|byte| *byte == b'.')?;
        from = dot + 1;
        host.get(dot..)
    })
}

/// Labels of a host that are looked at; names have at most 127.
const LABELS_MAX: usize = 128;
