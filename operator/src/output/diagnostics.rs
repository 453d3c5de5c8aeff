//! Notices with the lines they are about, for people.

use std::collections::BTreeMap;
use std::path::Path;

use unicode_width::UnicodeWidthStr;

use crate::objects::listing::{Notice, Severity};
use crate::standalone::files::text;

/// Texts of files, read when the first notice about them is printed.
#[derive(Debug, Default)]
pub struct Texts {
    texts: BTreeMap<String, String>,
}

// === impl Texts ===

impl Texts {
    /// Adds a text that is not in a file.
    pub fn add(&mut self, name: &str, text: String) {
        self.texts.insert(name.to_owned(), text);
    }

    /// The notice with the line it is about, several lines of text.
    pub fn render(&mut self, notice: &Notice) -> String {
        let severity = match notice.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut page = format!("{severity}: ");
        for part in [notice.object.as_deref().unwrap_or_default(), &notice.field] {
            if !part.is_empty() {
                page.push_str(part);
                page.push_str(": ");
            }
        }
        page.push_str(&notice.message);
        page.push('\n');
        let number = notice.line.to_string();
        let margin = " ".repeat(number.len());
        if !notice.file.is_empty() {
            let place: String = [notice.line, notice.column]
                .iter()
                .take_while(|n| **n > 0)
                .map(|n| format!(":{n}"))
                .collect();
            page.push_str(&format!("{margin}--> {}{place}\n", notice.file));
        }
        if let Some(line) = self.line(&notice.file, notice.line) {
            let (line, before) = excerpt(line, notice.column);
            page.push_str(&format!("{margin} |\n{number} | {line}\n{margin} | {}^\n", " ".repeat(before)));
        }
        for (name, words) in [("allowed", &notice.allowed), ("hint", &notice.hint)] {
            if let Some(words) = words {
                page.push_str(&format!("{margin} = {name}: {words}\n"));
            }
        }
        page
    }

    fn line(&mut self, file: &str, number: u32) -> Option<&str> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        if !self.texts.contains_key(file) {
            self.texts.insert(file.to_owned(), text(Path::new(file)).unwrap_or_default());
        }
        self.texts.get(file)?.lines().nth(index)
    }
}

/// The part of a line around a column, without anything that drives a terminal, and the width before the column.
fn excerpt(line: &str, column: u32) -> (String, usize) {
    let column = usize::try_from(column).unwrap_or(0).saturating_sub(1);
    let first = if column > MAX_WIDTH { column - MAX_WIDTH / 2 } else { 0 };
    let shown: String =
        line.chars().skip(first).take(MAX_WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let before: String = shown.chars().take(column - first).collect();
    (shown.trim_end().to_owned(), before.width())
}

/// Characters of a line that are shown.
const MAX_WIDTH: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_points_at_its_column() {
        let mut texts = Texts::default();
        texts.add("a.yaml", "kind: X\n  port: 0\n".into());
        let notice = Notice {
            file: "a.yaml".into(),
            line: 2,
            column: 9,
            severity: Severity::Error,
            object: Some("Gateway/default/a".into()),
            field: "spec.port".into(),
            message: "0 is not a port".into(),
            allowed: Some("1 to 65535".into()),
            hint: None,
        };
        let want = "error: Gateway/default/a: spec.port: 0 is not a port\n --> a.yaml:2:9\n  |\n2 |   port: 0\n  |         ^\n  = allowed: 1 to 65535\n";
        assert_eq!(texts.render(&notice), want);
        let far =
            Notice { line: 9, column: 900, file: "a.yaml".into(), message: "m".into(), ..Notice::default() };
        assert_eq!(texts.render(&far), "warning: m\n --> a.yaml:9:900\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_column() {
        let (line, before) = excerpt(&"x".repeat(1000), 501);
        assert_eq!((line.len(), before), (160, 80));
        assert_eq!(excerpt("日本", 2), ("日本".to_owned(), 2));
    }
}
