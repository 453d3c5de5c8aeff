//! Names of objects, and selectors.

use std::fmt;

/// `<namespace>/<kind>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Namespace.
    pub namespace: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

// === impl Path ===

impl Path {
    /// A path of three parts.
    #[must_use]
    pub fn new(namespace: &str, kind: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
    }

    /// Reads `namespace/kind/name`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        Some(Self::new(parts.next()?, parts.next()?, parts.next()?))
    }

    /// The three parts.
    #[must_use]
    pub fn full(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.kind, self.name)
    }

    /// Whether a selector names it: unions with commas, globs whose `*` passes slashes.
    #[must_use]
    pub fn is_selected(&self, selector: &str) -> bool {
        selector.is_empty()
            || selector
                .split(',')
                .any(|part| part == "**" || part == "*" && self.kind == "svc" || glob(part, &self.full()))
    }

    /// Whether objects of the kind hold keys.
    #[must_use]
    pub fn holds_keys(&self) -> bool {
        matches!(self.kind.as_str(), "cfg" | "sec" | "usr")
    }

    /// Whether instances of the kind run.
    #[must_use]
    pub fn is_actor(&self) -> bool {
        matches!(self.kind.as_str(), "svc" | "vol")
    }
}

/// The canonical form of events and lists.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.namespace.as_str(), self.kind.as_str()) {
            ("root", "ccfg") => f.write_str(&self.name),
            ("root", "svc") => f.write_str(&self.name),
            ("root", kind) => write!(f, "{kind}/{}", self.name),
            (namespace, "nscfg") => write!(f, "{namespace}/"),
            _ => f.write_str(&self.full()),
        }
    }
}

/// Whether a text fits a pattern with `*` and `?`.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| glob(rest, &text[at..]))
        }
        Some('?') => text.chars().next().is_some_and(|first| glob(&pattern[1..], &text[first.len_utf8()..])),
        Some(first) => text.strip_prefix(first).is_some_and(|rest| glob(&pattern[first.len_utf8()..], rest)),
    }
}
