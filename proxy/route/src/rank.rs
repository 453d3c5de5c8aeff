//! Precedence among matches of one hostname. The order of the fields is the order of the rules.

use igw_crds::snapshot::{Match, PathMatch};

/// Place of a match; the smallest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Exact before regular expression before prefix before method of any service before every path.
    path_kind: PathKind,
    /// The longer path first.
    path: Longest,
    /// A match with a method before one without.
    method: Longest,
    /// The match with more header conditions first.
    headers: Longest,
    /// The match with more query conditions first.
    query: Longest,
    /// The older route first, then by `namespace/name`.
    route: u32,
    /// The earlier rule first.
    rule: usize,
    /// The earlier match first.
    matched: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathKind {
    Exact,
    Regex,
    Prefix,
    Method,
    Every,
}

/// A number of which the larger comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Longest(std::cmp::Reverse<usize>);

// === impl Rank ===

impl Rank {
    /// Rank of match `matched` of rule `rule` of a route.
    #[must_use]
    pub fn new(one: &Match, route: u32, rule: usize, matched: usize) -> Self {
        let (path_kind, path) = match &one.path {
            PathMatch::Exact(path) => (PathKind::Exact, path),
            PathMatch::Regex(pattern) => (PathKind::Regex, pattern),
            PathMatch::Prefix(prefix) if prefix == "/" => (PathKind::Every, prefix),
            PathMatch::Prefix(prefix) => (PathKind::Prefix, prefix),
            PathMatch::Method(method) => (PathKind::Method, method),
        };
        Self {
            path_kind,
            path: Longest::of(path.len()),
            method: Longest::of(usize::from(one.method.is_some())),
            headers: Longest::of(one.headers.len()),
            query: Longest::of(one.query.len()),
            route,
            rule,
            matched,
        }
    }

    /// Why `self` loses against `winner`, in words.
    #[must_use]
    pub fn loses_by(&self, winner: &Rank) -> &'static str {
        if self.path_kind != winner.path_kind {
            "exact paths come before regular expressions, those before prefixes, the longer first, those before `/`"
        } else if self.path != winner.path {
            "a longer path comes first"
        } else if self.method != winner.method {
            "a match with a method comes first"
        } else if self.headers != winner.headers {
            "a match with more header conditions comes first"
        } else if self.query != winner.query {
            "a match with more query conditions comes first"
        } else if self.route != winner.route {
            "the older route comes first, then the one first by namespace and name"
        } else {
            "the earlier rule of a route comes first"
        }
    }
}

// === impl Longest ===

impl Longest {
    fn of(value: usize) -> Self {
        Self(std::cmp::Reverse(value))
    }
}
