//! Candidates of one hostname by path.

use igw_crds::snapshot::PathMatch;
use regex_automata::meta::Regex;

use crate::RequestView;
use crate::condition::{Candidate, compile, is_whole, text};
use crate::hash::ByteMap;

/// Path index: exact paths by hash, patterns in order of rank, prefixes by hash of each prefix of the request.
#[derive(Default)]
pub(crate) struct PathIndex {
    exact: ByteMap<Vec<Candidate>>,
    regex: Vec<Pattern>,
    prefix: ByteMap<Vec<Candidate>>,
    longest_prefix: usize,
}

struct Pattern {
    source: String,
    regex: Option<Regex>,
    candidate: Candidate,
}

// === impl PathIndex ===

impl PathIndex {
    pub(crate) fn insert(&mut self, path: &PathMatch, candidate: Candidate) {
        match path {
            PathMatch::Exact(path) => self.exact.entry(path.as_bytes()).push(candidate),
            PathMatch::Regex(pattern) => {
                self.regex.push(Pattern { source: pattern.clone(), regex: compile(pattern), candidate });
            }
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/').as_bytes();
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefix.entry(prefix).push(candidate);
            }
        }
    }

    /// Puts every list in order of rank.
    pub(crate) fn sort(&mut self) {
        for list in self.exact.values_mut().chain(self.prefix.values_mut()) {
            list.sort_by_key(|candidate| candidate.rank);
        }
        self.regex.sort_by_key(|pattern| pattern.candidate.rank);
    }

    /// The candidate of the smallest rank that holds.
    pub(crate) fn select(&self, request: &impl RequestView) -> Option<&Candidate> {
        let path = request.path();
        if let Some(found) = self.exact.find(path).and_then(|list| first(list, request)) {
            return Some(found);
        }
        for pattern in &self.regex {
            if pattern.holds(path) && pattern.candidate.holds(request) {
                return Some(&pattern.candidate);
            }
        }
        if self.prefix.is_empty() {
            return None;
        }
        prefixes(path, self.longest_prefix)
            .find_map(|prefix| self.prefix.find(prefix).and_then(|list| first(list, request)))
    }

    /// Calls `each` with every candidate and what its path says about the request's, `None` if it holds.
    pub(crate) fn each(&self, path: &[u8], each: &mut dyn FnMut(&Candidate, Option<String>)) {
        for (exact, list) in self.exact.iter() {
            let failure = (exact != path).then(|| format!("path {} is not {}", text(path), text(exact)));
            list.iter().for_each(|candidate| each(candidate, failure.clone()));
        }
        for pattern in &self.regex {
            let failure = (!pattern.holds(path))
                .then(|| format!("path {} does not match `{}`", text(path), pattern.source));
            each(&pattern.candidate, failure);
        }
        for (prefix, list) in self.prefix.iter() {
            let holds = prefixes(path, prefix.len()).any(|found| found == prefix);
            let shown = if prefix.is_empty() { "/".to_owned() } else { text(prefix) };
            let failure =
                (!holds).then(|| format!("{shown} is not a prefix of path {} by whole segments", text(path)));
            list.iter().for_each(|candidate| each(candidate, failure.clone()));
        }
    }
}

// === impl Pattern ===

impl Pattern {
    fn holds(&self, path: &[u8]) -> bool {
        self.regex.as_ref().is_some_and(|regex| is_whole(regex, path))
    }
}

fn first<'c>(list: &'c [Candidate], request: &impl RequestView) -> Option<&'c Candidate> {
    list.iter().find(|candidate| candidate.holds(request))
}

/// Prefixes of `path` by whole segments, longest first, no longer than `longest`; the last one is empty.
fn prefixes(path: &[u8], longest: usize) -> impl Iterator<Item = &[u8]> {
    let mut next = Some(path.len());
    std::iter::from_fn(move || {
        loop {
            let end = next?;
            let head = path.get(..end)?;
            next = head.iter().rposition(|byte| *byte == b'/');
            if end <= longest && (end == path.len() || path.get(end) == Some(&b'/')) {
                return Some(head);
            }
        }
    })
}
