//! Rules of exact paths and prefixes: what never matches, since paths have one form, is not written.

use serde_json::Value;

use super::Broken;
use super::common::text;

/// One of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limits) enum PathRule {
    /// The path begins with a slash.
    Begin,
    /// The type is one that is known.
    Type,
    /// Every character may stand in a path.
    Characters,
    /// Something does not stand in it.
    Without(&'static str),
    /// It does not end with something.
    NotTo(&'static str),
}

// === impl PathRule ===

impl PathRule {
    pub(super) fn parse(words: &[&str]) -> Option<Self> {
        let known = |word: &str| WRONG.into_iter().find(|wrong| *wrong == word);
        Some(match words {
            ["begins", "with", "/"] => Self::Begin,
            ["type"] => Self::Type,
            ["characters"] => Self::Characters,
            ["without", word] => Self::Without(known(word)?),
            ["not", "to", word] => Self::NotTo(known(word)?),
            _ => return None,
        })
    }

    pub(super) fn judge(self, now: &Value) -> Option<Broken> {
        let (r#type, path) = (text(now, "type"), text(now, "value"));
        if self == Self::Type {
            let is_known = matches!(r#type, "Exact" | "PathPrefix" | "RegularExpression");
            return (!is_known).then(|| Broken::new(".type", format!("unknown value `{type}`")));
        }
        if !matches!(r#type, "Exact" | "PathPrefix") {
            return None;
        }
        let plain = "such a path never matches; write the plain path";
        match self {
            Self::Begin if !path.starts_with('/') => Some(
                Broken::new(".value", format!("`{path}` does not begin with `/`"))
                    .hints(format!("write `/{path}`")),
            ),
            Self::Without(word) if path.contains(word) => {
                Some(Broken::new(".value", format!("`{path}` contains `{word}`")).hints(plain))
            }
            Self::NotTo(word) if path.ends_with(word) => {
                Some(Broken::new(".value", format!("`{path}` ends with a dot segment")).hints(plain))
            }
            Self::Characters => strange(path).map(|wrong| {
                Broken::new(".value", format!("`{path}` contains `{wrong}`"))
                    .allows("letters, digits, -._~!$&'()*+,;=:@/ and percent escapes")
            }),
            _ => None,
        }
    }
}

/// The first character that may not stand in a path; an empty path has none that may.
fn strange(path: &str) -> Option<char> {
    let mut rest = path.chars();
    if path.is_empty() {
        return Some(' ');
    }
    while let Some(character) = rest.next() {
        let is_fine = match character {
            '%' => {
                let mut is_digit = || rest.next().is_some_and(|digit| digit.is_ascii_hexdigit());
                is_digit() && is_digit()
            }
            other => other.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(other),
        };
        if !is_fine {
            return Some(character);
        }
    }
    None
}

/// What does not stand in a path, or at its end.
const WRONG: [&str; 8] = ["//", "/./", "/../", "%2f", "%2F", "#", "/..", "/."];
