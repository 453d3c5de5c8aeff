//! Rules between fields. The table names them; each is one sentence of the Gateway API.

mod common;
mod gateway;
mod paths;
mod routes;
mod spans;

use serde_json::Value;

use super::path::Path;
use super::table::Field;
use crate::validate::Problem;
use crate::yaml::Fault;

/// A rule.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// `FIELD if KEY WORD`: the field is there where the key says the word.
    If { union: Union, is_text: bool },
    /// `FIELD only if KEY WORD`: and nowhere else.
    OnlyIf { union: Union, is_text: bool },
    /// `one WORD`: one item of the type at most.
    One(String),
    /// `distinct KEY`: no two items say the same.
    Distinct(String),
    /// `distinct values of WORD`: no two addresses of the type.
    DistinctValues(String),
    /// `prefix for FIELD`: the filter replaces a prefix only where the rule matches one.
    Prefix { filter: String, is_of_back_ends: bool },
    /// `path …`: of exact paths and prefixes.
    Path(paths::PathRule),
    /// `time …`: bounds of a time span, in nanoseconds; the lower one is one that is not allowed where it is 0.
    Time { min: i128, max: i128 },
    /// A rule of one place.
    Named(Judge),
}

/// A field that belongs to what another one says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Union {
    field: String,
    key: String,
    word: String,
}

/// A rule that is broken.
pub(super) struct Broken {
    /// What is wrong, below the place at which the rule stands.
    at: String,
    message: String,
    allowed: Option<&'static str>,
    hint: Option<String>,
}

/// Judges what stands at a place, which replaces `before`.
type Judge = fn(now: &Value, before: Option<&Value>) -> Option<Broken>;

/// Every rule that is broken at a place and below.
pub(super) fn check(
    value: &Value,
    before: Option<&Value>,
    field: &Field,
    path: &mut Path,
    problems: &mut Vec<Problem>,
) {
    for rule in &field.rules {
        if let Some(broken) = rule.judge(value, before) {
            problems.push(broken.into_problem(path));
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let before = before.and_then(|before| before.get(name));
                if let Some(below) = field.property(name) {
                    path.within(name, |path| check(value, before, below, path, problems));
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &field.items {
                for (index, item) in items.iter().enumerate() {
                    path.at(index, |path| check(item, None, below, path, problems));
                }
            }
        }
        _ => {}
    }
}

// === impl Rule ===

impl Rule {
    /// The rule of a name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some((_, judge)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Some(Self::Named(*judge));
        }
        let words: Vec<&str> = text.split(' ').collect();
        let (is_text, words) = match words.as_slice() {
            ["text", rest @ ..] => (true, rest),
            all => (false, all),
        };
        let union = |field: &str, key: &str, word: &str| Union {
            field: field.to_owned(),
            key: key.to_owned(),
            word: word.to_owned(),
        };
        Some(match words {
            [field, "if", key, word] => Self::If { union: union(field, key, word), is_text },
            [field, "only", "if", key, word] => Self::OnlyIf { union: union(field, key, word), is_text },
            ["one", word] => Self::One((*word).to_owned()),
            ["distinct", "values", "of", word] => Self::DistinctValues((*word).to_owned()),
            ["distinct", key] => Self::Distinct((*key).to_owned()),
            ["prefix", "for", filter] => {
                Self::Prefix { filter: (*filter).to_owned(), is_of_back_ends: false }
            }
            ["prefix", "for", filter, "of", "backendRefs"] => {
                Self::Prefix { filter: (*filter).to_owned(), is_of_back_ends: true }
            }
            ["path", rest @ ..] => Self::Path(paths::PathRule::parse(rest)?),
            ["time", "from", "1s", "to", "1h"] => Self::Time { min: spans::SECOND, max: spans::HOUR },
            ["time", "above", "0s", "to", "1h"] => Self::Time { min: 1, max: spans::HOUR },
            _ => return None,
        })
    }

    fn judge(&self, now: &Value, before: Option<&Value>) -> Option<Broken> {
        match self {
            Self::If { union, is_text } => common::needed(now, union, *is_text),
            Self::OnlyIf { union, is_text } => common::misplaced(now, union, *is_text),
            Self::One(word) => common::one(now, word),
            Self::Distinct(key) => common::distinct(now, key),
            Self::DistinctValues(word) => gateway::distinct_values(now, word),
            Self::Prefix { filter, is_of_back_ends } => routes::prefix(now, filter, *is_of_back_ends),
            Self::Path(rule) => rule.judge(now),
            Self::Time { min, max } => spans::within(now, *min, *max),
            Self::Named(judge) => judge(now, before),
        }
    }
}

// === impl Broken ===

impl Broken {
    fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into(), allowed: None, hint: None }
    }

    fn allows(self, allowed: &'static str) -> Self {
        Self { allowed: Some(allowed), ..self }
    }

    fn hints(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn into_problem(self, path: &Path) -> Problem {
        let mut problem = Problem::new(path.as_str(), Fault::Invalid, self.message);
        problem.is_at(&format!("{}{}", path.as_str(), self.at));
        problem.allowed = self.allowed.map(str::to_owned);
        problem.hint = self.hint;
        problem
    }
}

/// Rules that stand in one place each, or say what no other does.
const NAMED: [(&str, Judge); 35] = [
    ("128 matches", routes::matches),
    ("HTTPS ends here", gateway::https_ends),
    ("TLS has a mode", gateway::tls_mode),
    ("RequestRedirect or URLRewrite", routes::redirect_or_rewrite),
    ("* alone", routes::star_alone),
    ("backendRequest within request", spans::timeouts),
    ("caCertificateRefs or wellKnownCACertificates", common::one_source),
    ("certificates", gateway::certificates),
    ("distinct places", gateway::distinct_places),
    ("end of a permanent cookie", routes::permanent_cookie),
    ("filters of HTTP", gateway::filters_of_http),
    ("fraction of one at most", routes::fraction),
    ("host name", gateway::host_name),
    ("label keys", gateway::label_keys),
    ("method of Exact", routes::grpc_method),
    ("no addresses", routes::no_addresses),
    ("no backendRefs with requestRedirect", routes::redirects_end),
    ("no hostname without names", gateway::no_hostname),
    ("no namespace of bundles", gateway::bundles),
    ("no port of an XBackend", common::no_port),
    ("no tls without TLS", gateway::no_tls),
    ("not percent with fraction", routes::percent_or_fraction),
    ("parents once", routes::parents_once),
    ("parents told apart in one way", routes::parents_apart),
    ("plain names", routes::plain_names),
    ("port of a Service", common::port),
    ("routability", gateway::routability),
    ("service of Exact", routes::grpc_service),
    ("service or method", routes::service_or_method),
    ("short domains of keys", gateway::short_domains),
    ("something to tell", common::tells),
    ("stays", common::stays),
    ("targets once", common::targets_once),
    ("targets told apart in one way", common::targets_apart),
    ("wildcard names", routes::wildcard_names),
];
