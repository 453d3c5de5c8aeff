//! Everything that is wrong with one object at once, for a client of an API.
//!
//! The types find one mistake at a time. So what a mistake tells of is hidden and the rest is read again, until
//! nothing more is found; rules between fields are looked at when the fields themselves are right.

use std::collections::HashSet;

use super::document::{Finding, decode_spec};
use super::fault::Fault;
use super::tree::{Node, Position, Value};
use crate::limits;
use crate::objects::{Kind, Metadata, Object, ObjectKey};
use crate::validate;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The object with defaults, where nothing is wrong.
    pub object: Option<Object>,
    /// For kinds of the Gateway API: the content with defaults, as a server with its CRDs completes it.
    pub content: Option<serde_json::Value>,
    /// Rules that were not looked at because of other mistakes.
    pub is_unfinished: bool,
    /// Paths of fields that the kind does not have. They are as good as absent.
    pub unknown: Vec<String>,
    /// What is wrong.
    pub mistakes: Vec<Mistake>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Field, like `spec.rules[0].matches`.
    pub field: String,
    /// Sort of the mistake.
    pub fault: Fault,
    /// Field that is wrong: the same, or one below. None where it is `field`.
    pub place: Option<String>,
    /// It breaks a rule between fields that are right by themselves.
    pub is_rule: bool,
    /// What is wrong.
    pub message: String,
    /// What is allowed.
    pub allowed: Option<String>,
}

/// Judges the content of an object; its metadata is the caller's.
#[must_use]
pub fn judge(
    kind: Kind,
    key: &ObjectKey,
    metadata: Metadata,
    tree: &serde_json::Value,
    before: Option<&serde_json::Value>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let examined = limits::examine(kind, tree, before);
    let mut root = Node::of_json(examined.as_ref().map_or(tree, |examined| &examined.content));
    if let Some(examined) = examined {
        verdict.unknown = examined.unknown;
        verdict.is_unfinished = examined.is_unfinished;
        verdict.mistakes = examined.problems.into_iter().map(Mistake::of_limit).collect();
        verdict.content = Some(examined.content);
        if verdict.unknown.len() > FINDINGS_MAX {
            verdict.mistakes.push(Mistake::too_many());
        }
        if !verdict.mistakes.is_empty() {
            return verdict;
        }
    }
    let mut hidden: HashSet<(Position, String)> = HashSet::new();
    for _ in 0..FINDINGS_MAX {
        let finding = match decode_spec(kind, &root) {
            Ok(spec) if verdict.mistakes.is_empty() => {
                let object = Object { key: key.clone(), metadata, spec };
                verdict.mistakes = validate::validate(&object).into_iter().map(Mistake::from).collect();
                if verdict.mistakes.is_empty() {
                    verdict.object = Some(object);
                }
                return verdict;
            }
            Ok(_) => return verdict,
            Err(finding) => finding,
        };
        let at = finding.at;
        let name = finding.missing.unwrap_or(&finding.field).to_owned();
        let is_told = hidden.contains(&(at, name));
        let place = root.hide(at);
        if place.is_some() || at == root.at {
            match finding.fault {
                Fault::UnknownField => verdict.unknown.push(finding.field),
                _ if is_told => {}
                _ => verdict.mistakes.push(Mistake::from(*finding)),
            }
        }
        match place {
            Some(place) => hidden.insert(place),
            None => break,
        };
    }
    if verdict.mistakes.is_empty() {
        verdict.mistakes.push(Mistake::too_many());
    }
    verdict
}

// === impl Mistake ===

impl Mistake {
    fn too_many() -> Self {
        Self {
            field: String::new(),
            fault: Fault::Invalid,
            place: None,
            is_rule: false,
            message: format!("more than {FINDINGS_MAX} fields that nobody knows"),
            allowed: None,
        }
    }

    /// A limit or a rule of the Gateway API, which names its field as a server does.
    fn of_limit(problem: validate::Problem) -> Self {
        let place = (problem.place != problem.field).then_some(problem.place);
        Self {
            field: problem.field,
            fault: problem.fault,
            place,
            is_rule: false,
            message: problem.message,
            allowed: problem.allowed,
        }
    }
}

impl From<Finding> for Mistake {
    fn from(finding: Finding) -> Self {
        let field = match finding.missing {
            Some(name) if finding.field.is_empty() => name.to_owned(),
            Some(name) => format!("{}.{name}", finding.field),
            None => finding.field,
        };
        Self {
            field,
            fault: finding.fault,
            place: None,
            is_rule: false,
            message: finding.message,
            allowed: finding.allowed,
        }
    }
}

impl From<validate::Problem> for Mistake {
    fn from(problem: validate::Problem) -> Self {
        Self {
            field: problem.field,
            fault: problem.fault,
            place: None,
            is_rule: true,
            message: problem.message,
            allowed: problem.allowed,
        }
    }
}

// === impl Node ===

impl Node {
    /// Hides what is at a place below this node; tells the mapping or sequence that held it, and its key there.
    fn hide(&mut self, at: Position) -> Option<(Position, String)> {
        let own = self.at;
        match &mut self.value {
            Value::Mapping(entries) => {
                for entry in entries {
                    if entry.at == at || entry.node.at == at {
                        if matches!(entry.node.value, Value::Hidden) {
                            return None;
                        }
                        entry.node.value = Value::Hidden;
                        return Some((own, entry.key.clone()));
                    }
                    if let Some(place) = entry.node.hide(at) {
                        return Some(place);
                    }
                }
                None
            }
            Value::Sequence(items) => {
                for item in items {
                    if item.at == at {
                        item.value = Value::Hidden;
                        return Some((own, String::new()));
                    }
                    if let Some(place) = item.hide(at) {
                        return Some(place);
                    }
                }
                None
            }
            Value::Scalar { .. } | Value::Hidden => None,
        }
    }
}

/// Findings of one object; the rest is told when these are corrected.
const FINDINGS_MAX: usize = 256;
