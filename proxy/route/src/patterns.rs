//! Regular expressions of one port, each compiled once.

use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::meta::Regex;

/// What is compiled so far. A route is in the tables once for each of its hosts, which share its patterns.
#[derive(Default)]
pub(crate) struct Patterns {
    compiled: HashMap<String, Option<Arc<Regex>>>,
}

// === impl Patterns ===

impl Patterns {
    /// Compiles a pattern that must match a whole value; bounded in size, linear in time.
    pub(crate) fn compile(&mut self, pattern: &str) -> Option<Arc<Regex>> {
        if let Some(known) = self.compiled.get(pattern) {
            return known.clone();
        }
        let regex = Regex::builder()
            .configure(Regex::config().nfa_size_limit(Some(REGEX_BYTES)).onepass(false))
            .build(&format!("^(?:{pattern})$"))
            .ok()
            .map(Arc::new);
        self.compiled.insert(pattern.to_owned(), regex.clone());
        regex
    }
}

/// Bound of a compiled pattern.
const REGEX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_compiled_once() {
        let mut patterns = Patterns::default();
        let [first, second] = [(); 2].map(|()| patterns.compile("/a|/b").expect("a pattern"));
        assert!(Arc::ptr_eq(&first, &second) && first.is_match("/b") && !first.is_match("/bc"));
        assert!(patterns.compile("(").is_none() && patterns.compile("(").is_none());
    }
}
