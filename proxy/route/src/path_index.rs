//! Candidates of one hostname by path, in the order of [`crate::Rank`].

use std::sync::Arc;

use igw_crds::snapshot::PathMatch;
use regex_automata::meta::Regex;

use crate::RequestView;
use crate::condition::{Candidate, is_whole, text};
use crate::hash::ByteMap;
use crate::patterns::Patterns;

/// Path index: exact paths by hash, patterns in order of rank, prefixes by hash of each prefix of the request, gRPC
/// methods by hash, what takes every path last.
#[derive(Default)]
pub(crate) struct PathIndex {
    exact: ByteMap<Vec<Candidate>>,
    regex: Vec<Pattern>,
    /// Without the empty one.
    prefix: ByteMap<Vec<Candidate>>,
    longest_prefix: usize,
    method: ByteMap<Vec<Candidate>>,
    every: Vec<Candidate>,
}

struct Pattern {
    source: String,
    regex: Option<Arc<Regex>>,
    candidate: Candidate,
}

// === impl PathIndex ===

impl PathIndex {
    pub(crate) fn insert(&mut self, path: &PathMatch, candidate: Candidate, patterns: &mut Patterns) {
        match path {
            PathMatch::Exact(path) => self.exact.entry(path.as_bytes()).push(candidate),
            PathMatch::Regex(pattern) => {
                let regex = patterns.compile(pattern);
                self.regex.push(Pattern { source: pattern.clone(), regex, candidate });
            }
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/').as_bytes();
                if prefix.is_empty() {
                    self.every.push(candidate);
                    return;
                }
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefix.entry(prefix).push(candidate);
            }
            PathMatch::Method(method) => self.method.entry(method.as_bytes()).push(candidate),
        }
    }

    /// Puts every list in order of rank.
    pub(crate) fn sort(&mut self) {
        let lists = self.exact.values_mut().chain(self.prefix.values_mut()).chain(self.method.values_mut());
        for list in lists.chain([&mut self.every]) {
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
        if !self.prefix.is_empty() {
            let found = prefixes(path, self.longest_prefix)
                .find_map(|prefix| self.prefix.find(prefix).and_then(|list| first(list, request)));
            if found.is_some() {
                return found;
            }
        }
        if !self.method.is_empty() {
            let found = method(path)
                .and_then(|method| self.method.find(method))
                .and_then(|list| first(list, request));
            if found.is_some() {
                return found;
            }
        }
        // `OPTIONS *` is about no path.
        if path.starts_with(b"/") { first(&self.every, request) } else { None }
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
            let failure = (!holds).then(|| {
                format!("{} is not a prefix of path {} by whole segments", text(prefix), text(path))
            });
            list.iter().for_each(|candidate| each(candidate, failure.clone()));
        }
        for (wanted, list) in self.method.iter() {
            let failure = (method(path) != Some(wanted))
                .then(|| format!("path {} is not /<service>/{}", text(path), text(wanted)));
            list.iter().for_each(|candidate| each(candidate, failure.clone()));
        }
        let failure = (!path.starts_with(b"/")).then(|| format!("{} is no path", text(path)));
        self.every.iter().for_each(|candidate| each(candidate, failure.clone()));
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

/// The method of a gRPC path, `/<service>/<method>`.
fn method(path: &[u8]) -> Option<&[u8]> {
    let mut parts = path.strip_prefix(b"/")?.split(|byte| *byte == b'/');
    let (service, method) = (parts.next()?, parts.next()?);
    (!service.is_empty() && parts.next().is_none()).then_some(method)
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
