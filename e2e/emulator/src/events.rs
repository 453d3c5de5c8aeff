//! Filters of event streams: `Kind,label=value`; data matchers are taken and always fit.

use serde_json::Value;

/// One filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    kinds: Vec<String>,
    labels: Vec<(String, String)>,
}

// === impl Filter ===

impl Filter {
    /// Reads a filter.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut filter = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                _ if part.starts_with('.') => {}
                Some((name, value)) => filter.labels.push((name.to_owned(), value.to_owned())),
                None => filter.kinds.push(part.to_owned()),
            }
        }
        filter
    }

    /// Whether an event passes.
    #[must_use]
    pub fn takes(&self, kind: &str, body: &Value) -> bool {
        let is_kind = self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind);
        is_kind
            && self.labels.iter().all(|(name, value)| {
                // Replayed events have no label `namespace`, and pass.
                match body["labels"].get(name) {
                    Some(found) => found == value.as_str(),
                    None => name == "namespace" && body["labels"]["source"] == "cache",
                }
            })
    }
}
