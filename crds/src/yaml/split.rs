//! Splits a stream into documents by their markers.

/// One document of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'t> {
    /// Text between the markers.
    pub(crate) text: &'t str,
    /// Lines before it.
    pub(crate) line: u32,
}

/// Documents of a stream; those of blanks and comments alone are left out.
pub(crate) fn split(text: &str) -> Vec<Piece<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut start_line = 0;
    let mut offset = 0;
    let mut push = |from: usize, to: usize, line: u32| {
        let piece = text.get(from..to).unwrap_or_default();
        let is_empty =
            piece.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#'));
        if !is_empty {
            pieces.push(Piece { text: piece, line });
        }
    };
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        let is_start = bare == "---" || line.starts_with("--- ") || line.starts_with("---\t");
        if is_start || bare == "..." {
            push(start, offset, start_line);
            // What stands behind the marker belongs to the document; the marker itself is only a separator.
            let has_content = is_start && bare.len() > 3 && !bare[3..].trim_start().starts_with('#');
            start = if has_content { offset } else { offset + line.len() };
            start_line = u32::try_from(index).unwrap_or(u32::MAX) + u32::from(!has_content);
        }
        offset += line.len();
    }
    push(start, text.len(), start_line);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, u32)]) {
        let pieces: Vec<(&str, u32)> = split(text).iter().map(|piece| (piece.text, piece.line)).collect();
        assert_eq!(pieces, expected);
    }

    #[test]
    fn documents_end_at_markers() {
        check("", &[]);
        check("a: 1", &[("a: 1", 0)]);
        check("---\na: 1\n---\nb: 2\n", &[("a: 1\n", 1), ("b: 2\n", 3)]);
        check("# only\n---\n\n---\na: 1\n...\n# end\n", &[("a: 1\n", 4)]);
        check("\u{feff}a: |\n  ---\nb: 1\r\n---\r\nc: 1", &[("a: |\n  ---\nb: 1\r\n", 0), ("c: 1", 4)]);
    }
}
