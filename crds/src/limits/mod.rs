//! Limits, defaults and rules of the Gateway API, as a server with its CRDs has them.
//!
//! What: a table of fields (`fields.txt`: types, bounds, patterns, defaults, and which rules stand where) and the rules
//! themselves, over trees. Why over trees and not over types: a server tells of every mistake at once, also where
//! others keep an object from being any type; and where a rule stands is what a cause must name. Files and clients are
//! judged here alike.

mod check;
mod complete;
mod lists;
mod path;
mod pattern;
mod rules;
mod table;

use serde_json::Value;

use crate::objects::Kind;
use crate::validate::Problem;
use crate::yaml::Fault;
use path::Path;

/// What was found in the content of an object.
#[derive(Clone, Debug, Default)]
pub struct Examined {
    /// The content with defaults, without what the kind does not have.
    pub content: Value,
    /// Paths of fields that the kind does not have.
    pub unknown: Vec<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Some mistakes keep the rules from being looked at.
    pub is_unfinished: bool,
}

/// Examines the content of an object (everything but its metadata and status); nothing for kinds that are not of the
/// Gateway API. `before` is the content as it is stored, if it is.
#[must_use]
pub fn examine(kind: Kind, content: &Value, before: Option<&Value>) -> Option<Examined> {
    let field = table::of(kind)?;
    let mut examined = Examined { content: content.clone(), ..Examined::default() };
    complete::prune(&mut examined.content, Some(field), &mut Path::default(), &mut examined.unknown);
    examined.unknown.sort_unstable();
    complete::fill(&mut examined.content, field);
    let problems = &mut examined.problems;
    check::check(&examined.content, field, &mut Path::default(), problems);
    lists::check(&examined.content, field, &mut Path::default(), problems);
    let is_blocked = problems.iter().any(|problem| is_blocking(problem.fault));
    examined.is_unfinished = is_blocked && field.has_rules();
    if !is_blocked {
        rules::check(&examined.content, before, field, &mut Path::default(), problems);
    }
    Some(examined)
}

/// A mistake after which no rule can be judged.
fn is_blocking(fault: Fault) -> bool {
    matches!(fault, Fault::Missing | Fault::Unsupported | Fault::TooLong | Fault::TooMany | Fault::Type)
}

/// Every rule with the fields at which it stands, like `HTTPRoute spec.rules[].matches[].path`.
#[must_use]
pub fn rules() -> Vec<(String, String)> {
    table::rules()
}

/// The table of fields as it is written: a line with a kind, then its fields, each below the one that holds it.
pub const FIELDS: &str = include_str!("fields.txt");
