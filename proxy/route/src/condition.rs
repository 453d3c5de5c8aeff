//! Conditions of a match besides the path.

use std::sync::Arc;

use igw_crds::snapshot::{Match, StringMatch, ValueMatch};
use regex_automata::meta::Regex;

use crate::RequestView;
use crate::patterns::Patterns;
use crate::rank::Rank;

/// One match of one rule, ready to be tried.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) rank: Rank,
    pub(crate) target: u32,
    pub(crate) matched: u16,
    method: Option<Box<[u8]>>,
    headers: Vec<Condition>,
    query: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    name: String,
    value: ValueTest,
}

#[derive(Clone, Debug)]
enum ValueTest {
    Exact(Box<[u8]>),
    /// `None` for a pattern that does not compile: it matches nothing.
    Regex(Option<Arc<Regex>>, String),
}

// === impl Candidate ===

impl Candidate {
    pub(crate) fn new(one: &Match, rank: Rank, target: u32, matched: u16, patterns: &mut Patterns) -> Self {
        let mut conditions =
            |all: &[ValueMatch]| all.iter().map(|one| Condition::new(one, patterns)).collect();
        Self {
            rank,
            target,
            matched,
            method: one.method.as_ref().map(|method| method.as_bytes().into()),
            headers: conditions(&one.headers),
            query: conditions(&one.query),
        }
    }

    /// True if all conditions besides the path hold.
    pub(crate) fn holds(&self, request: &impl RequestView) -> bool {
        self.method.as_ref().is_none_or(|method| **method == *request.method())
            && self.headers.iter().all(|condition| condition.holds_for_header(request))
            && self.query.iter().all(|condition| condition.holds_for_query(request))
    }

    /// The first condition that does not hold, in words.
    pub(crate) fn failure(&self, request: &impl RequestView) -> Option<String> {
        if let Some(method) = self.method.as_ref().filter(|method| ***method != *request.method()) {
            return Some(format!("method: want {}, request has {}", text(method), text(request.method())));
        }
        if let Some(condition) = self.headers.iter().find(|condition| !condition.holds_for_header(request)) {
            let mut values: Vec<String> = Vec::new();
            request.header(&condition.name, &mut |value| values.push(text(value)));
            let found = if values.is_empty() { "none".to_owned() } else { format!("`{}`", values.join(",")) };
            return Some(format!(
                "header {}: want {}, request has {found}",
                condition.name,
                condition.value.describe()
            ));
        }
        if let Some(condition) = self.query.iter().find(|condition| !condition.holds_for_query(request)) {
            let found = match parameter(request.query(), condition.name.as_bytes()) {
                Some(value) => format!("`{}`", text(value)),
                None => "none".to_owned(),
            };
            return Some(format!(
                "query {}: want {}, request has {found}",
                condition.name,
                condition.value.describe()
            ));
        }
        None
    }
}

// === impl Condition ===

impl Condition {
    fn new(one: &ValueMatch, patterns: &mut Patterns) -> Self {
        let value = match &one.value {
            StringMatch::Exact(value) => ValueTest::Exact(value.as_bytes().into()),
            StringMatch::Regex(pattern) => ValueTest::Regex(patterns.compile(pattern), pattern.clone()),
        };
        Self { name: one.name.clone(), value }
    }

    /// Repeated fields count as one value joined with commas (RFC 9110 section 5.3).
    fn holds_for_header(&self, request: &impl RequestView) -> bool {
        let mut n_values = 0_usize;
        let mut single = false;
        let mut rest = match &self.value {
            ValueTest::Exact(wanted) => Some(&**wanted),
            ValueTest::Regex(..) => None,
        };
        request.header(&self.name, &mut |value| {
            n_values += 1;
            match &self.value {
                ValueTest::Exact(_) => {
                    let separated = match (n_values, rest) {
                        (1, rest) => rest,
                        (_, Some(rest)) => rest.strip_prefix(b","),
                        (_, None) => None,
                    };
                    rest = separated.and_then(|rest| rest.strip_prefix(value));
                }
                ValueTest::Regex(regex, _) if n_values == 1 => {
                    single = regex.as_ref().is_some_and(|regex| is_whole(regex, value));
                }
                ValueTest::Regex(..) => {}
            }
        });
        match (&self.value, n_values) {
            (_, 0) => false,
            (ValueTest::Exact(_), _) => rest.is_some_and(<[u8]>::is_empty),
            (ValueTest::Regex(..), 1) => single,
            (ValueTest::Regex(regex, _), _) => {
                regex.as_ref().is_some_and(|regex| joined_matches(regex, &self.name, request))
            }
        }
    }

    /// The first value of a repeated parameter counts, percent-decoded.
    fn holds_for_query(&self, request: &impl RequestView) -> bool {
        let Some(value) = parameter(request.query(), self.name.as_bytes()) else { return false };
        match &self.value {
            ValueTest::Exact(wanted) => decoded_eq(value, wanted),
            ValueTest::Regex(Some(regex), _) => {
                let mut decoded = [0_u8; JOINED_BYTES];
                let mut n_bytes = 0;
                for (place, byte) in decoded.iter_mut().zip(decode(value)) {
                    *place = byte;
                    n_bytes += 1;
                }
                let is_cut = decode(value).nth(n_bytes).is_some();
                !is_cut && decoded.get(..n_bytes).is_some_and(|value| is_whole(regex, value))
            }
            ValueTest::Regex(None, _) => false,
        }
    }
}

// === impl ValueTest ===

impl ValueTest {
    fn describe(&self) -> String {
        match self {
            Self::Exact(value) => format!("`{}`", text(value)),
            Self::Regex(Some(_), pattern) => format!("a match of `{pattern}`"),
            Self::Regex(None, pattern) => format!("a match of `{pattern}`, which is not a valid pattern"),
        }
    }
}

pub(crate) fn is_whole(regex: &Regex, value: &[u8]) -> bool {
    regex.is_match(value)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Joins values in a buffer of the stack; more than it holds matches nothing.
fn joined_matches(regex: &Regex, name: &str, request: &impl RequestView) -> bool {
    let mut joined = [0_u8; JOINED_BYTES];
    let mut n_bytes = 0;
    let mut fits = true;
    request.header(name, &mut |value| {
        let comma: &[u8] = if n_bytes == 0 { b"" } else { b"," };
        for byte in comma.iter().chain(value) {
            match joined.get_mut(n_bytes) {
                Some(place) => {
                    *place = *byte;
                    n_bytes += 1;
                }
                None => fits = false,
            }
        }
    });
    fits && joined.get(..n_bytes).is_some_and(|value| is_whole(regex, value))
}

/// First value of a parameter; names compare percent-decoded and with case.
fn parameter<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    if query.is_empty() {
        return None;
    }
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(equals) => (pair.get(..equals)?, pair.get(equals + 1..)?),
            None => (pair, &[][..]),
        };
        decoded_eq(key, name).then_some(value)
    })
}

/// Whether a part of a query, percent-decoded, is this.
#[must_use]
pub fn decoded_eq(encoded: &[u8], plain: &[u8]) -> bool {
    encoded == plain || decode(encoded).eq(plain.iter().copied())
}

/// Percent-decodes; an escape that is none stands for itself.
fn decode(encoded: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = encoded;
    std::iter::from_fn(move || match rest {
        [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            rest = tail;
            let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
            Some(digit(*high) << 4 | digit(*low))
        }
        [byte, tail @ ..] => {
            rest = tail;
            Some(*byte)
        }
        [] => None,
    })
}

/// Longest joined or decoded value that a pattern is tried on.
const JOINED_BYTES: usize = 4_096;
