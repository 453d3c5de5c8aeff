//! Where something stands in a tree.

/// A path that grows and shrinks while a tree is walked.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    text: String,
}

// === impl Path ===

impl Path {
    /// Does something one field below.
    pub(super) fn within<R>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.text.len();
        if length > 0 {
            self.text.push('.');
        }
        self.text.push_str(name);
        let result = work(self);
        self.text.truncate(length);
        result
    }

    /// Does something at an item.
    pub(super) fn at<R>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.text.len();
        self.text.push_str(&format!("[{index}]"));
        let result = work(self);
        self.text.truncate(length);
        result
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// A field below.
    pub(super) fn child(&self, name: &str) -> String {
        match self.text.as_str() {
            "" => name.to_owned(),
            text => format!("{text}.{name}"),
        }
    }
}
