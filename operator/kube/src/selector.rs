//! Selectors: which objects of a list or a watch are meant, by labels and by fields.

use serde_json::Value;

use crate::failure::Failure;
use crate::metadata;
use crate::tree;

/// Which objects are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

// === impl Selector ===

impl Selector {
    /// Reads the two parameters.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, Failure> {
        let mut selector = Self::default();
        for part in top_level(labels) {
            selector.labels.push(requirement(part.trim()).ok_or_else(|| {
                Failure::bad_request(format!("unable to parse requirement: \"{part}\" of the label selector"))
            })?);
        }
        for part in fields.split(',').filter(|part| !part.is_empty()) {
            let (path, is_equal, value) = if let Some((path, value)) = part.split_once("!=") {
                (path, false, value)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, true, value)
            } else {
                return Err(Failure::bad_request(format!("invalid field selector: \"{part}\"")));
            };
            selector.fields.push((path.trim().to_owned(), is_equal, value.trim().to_owned()));
        }
        Ok(selector)
    }

    /// Whether an object is meant.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let by_labels = self.labels.iter().all(|requirement| {
            let value = label(&requirement.key);
            match &requirement.test {
                Test::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
                Test::NotIn(values) => !value.is_some_and(|value| values.iter().any(|one| one == value)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
            }
        });
        by_labels
            && self.fields.iter().all(|(path, is_equal, wanted)| {
                let found = match tree::at(object, path) {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                (found == *wanted) == *is_equal
            })
    }
}

/// Parts between commas that stand in no parentheses.
fn top_level(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_u32);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(start..index).unwrap_or_default());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn requirement(text: &str) -> Option<Requirement> {
    let made = |key: &str, test: Test| {
        let key = key.trim();
        metadata::is_qualified(key).then(|| Requirement { key: key.to_owned(), test })
    };
    if let Some(list) = text.strip_suffix(')') {
        let (head, values) = list.split_once('(')?;
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => made(key, Test::In(values)),
            (Some(key), Some("notin"), None) => made(key, Test::NotIn(values)),
            _ => None,
        };
    }
    if let Some((key, value)) = text.split_once("!=") {
        return made(key, Test::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return made(key, Test::In(vec![value.trim().to_owned()]));
    }
    match text.strip_prefix('!') {
        Some(key) => made(key, Test::Absent),
        None => made(text, Test::Exists),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(labels: &str, fields: &str, expected: bool) {
        let object =
            json!({"metadata": {"name": "a", "labels": {"app": "web", "tier": "1"}}, "status": {"n": 3}});
        let selector = Selector::parse(labels, fields).unwrap();
        assert_eq!(selector.matches(&object), expected, "{labels} {fields}");
    }

    #[test]
    fn labels_and_fields_select() {
        check("", "", true);
        check("app=web", "", true);
        check("app==web,tier!=2", "", true);
        check("app!=web", "", false);
        check("app in (api, web),tier", "", true);
        check("app notin (web)", "", false);
        check("other notin (web)", "", true);
        check("!other", "", true);
        check("!app", "", false);
        check("", "metadata.name=a", true);
        check("", "metadata.name!=a", false);
        check("", "status.n=3", true);
        check("app=web", "metadata.name=b", false);
        assert!(Selector::parse("a b c", "").is_err());
        assert!(Selector::parse("", "metadata.name").is_err());
    }
}
