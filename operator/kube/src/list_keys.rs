//! Lists whose items are known by fields of theirs, rather than by place: what patches and owners of fields go by.

/// The lists of a kind whose items have keys.
#[derive(Clone, Debug, Default)]
pub struct ListKeys {
    lists: Vec<(&'static str, &'static [&'static str])>,
}

// === impl ListKeys ===

impl ListKeys {
    /// Lists by path (`spec.listeners`), each with the fields that make the key of an item.
    #[must_use]
    pub fn new(lists: &[(&'static str, &'static [&'static str])]) -> Self {
        Self { lists: lists.to_vec() }
    }

    /// Fields of the key of items at a path, if they have one.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<&'static [&'static str]> {
        self.lists.iter().find(|(known, _)| *known == path).map(|(_, keys)| *keys)
    }
}
