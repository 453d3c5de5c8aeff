//! What is wrong, where, and what to do.

use std::fmt;
use std::sync::Arc;

use crate::objects::ObjectKey;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document is not used.
    Error,
    /// The document is used, or meant for somebody else.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// File.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Object, as far as it is known.
    pub object: Option<ObjectKey>,
    /// Field, like `spec.rules[0].matches`; empty for the whole document.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed.
    pub allowed: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

// === impl Severity ===

impl Severity {
    /// A word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    /// The finding with the line it speaks of; `text` is the content of the file.
    #[must_use]
    pub fn render(&self, text: &str) -> String {
        let mut out = self.to_string();
        let line =
            usize::try_from(self.line.saturating_sub(1)).ok().and_then(|index| text.lines().nth(index));
        if let Some(line) = line {
            let shown: String =
                line.chars().take(WIDTH_MAX).map(|c| if c == '\t' { ' ' } else { c }).collect();
            let number = self.line.to_string();
            let indent = " ".repeat(number.len());
            let blank = " ".repeat((self.column.saturating_sub(1) as usize).min(WIDTH_MAX));
            out.push_str(&format!("\n {indent} |\n {number} | {shown}\n {indent} | {blank}^"));
        }
        out
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: ", self.file, self.line, self.column, self.severity.as_str())?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if let Some(allowed) = &self.allowed {
            write!(f, " (allowed: {allowed})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

const WIDTH_MAX: usize = 160;
