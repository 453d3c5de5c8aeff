//! Patterns of text, made when they are first asked for.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use regex_automata::meta::Regex;

/// A pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    regex: OnceLock<Option<Regex>>,
}

/// Patterns by their text: many fields share few.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    known: HashMap<String, Arc<Pattern>>,
}

// === impl Pattern ===

impl Pattern {
    /// Whether the pattern is found in a text. A pattern that is none is found in everything.
    pub(super) fn is_found(&self, text: &str) -> bool {
        let regex = self.regex.get_or_init(|| Regex::new(&self.text).ok());
        regex.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

// === impl Patterns ===

impl Patterns {
    pub(super) fn share(&mut self, text: String) -> Arc<Pattern> {
        let pattern = self.known.entry(text.clone());
        Arc::clone(pattern.or_insert_with(|| Arc::new(Pattern { text, regex: OnceLock::new() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_table_is_one() {
        let mut patterns: Vec<&str> = Vec::new();
        for line in super::super::FIELDS.lines() {
            let Some((_, limits)) = line.split_once(' ') else { continue };
            let limits: serde_json::Value = serde_json::from_str(limits).expect("limits");
            if let Some(pattern) = limits.get("pattern").and_then(serde_json::Value::as_str) {
                Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
                patterns.push(line);
            }
        }
        assert!(patterns.len() > 100, "{} patterns", patterns.len());
    }
}
