//! A document as a tree with positions.

use std::collections::HashSet;

use granit_parser::{Event, Marker, Parser, ScalarStyle};

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Position,
}

/// Line and column, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Content of a node.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Text; plain text may mean a number, a boolean or nothing.
    Scalar {
        text: String,
        is_plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// Nothing any more: what stood here is told to be wrong already. It counts in a sequence and is not read.
    Hidden,
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) node: Node,
}

/// Why text is no tree.
#[derive(Clone, Debug)]
pub(crate) struct TreeError {
    pub(crate) at: Position,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

struct Builder<'t> {
    text: &'t str,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    line_offset: u32,
    n_nodes: usize,
}

/// Parses one document; `line_offset` lines stand before it.
pub(crate) fn parse(text: &str, line_offset: u32) -> Result<Node, TreeError> {
    if let Some(at) = lone_return(text, line_offset) {
        let hint = Some("end lines with a line feed".to_owned());
        return Err(TreeError { at, message: "carriage return without a line feed".to_owned(), hint });
    }
    let mut builder = Builder { text, parser: Parser::new_from_str(text), line_offset, n_nodes: 0 };
    loop {
        let (event, at) = builder.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd | Event::DocumentEnd => {
                return Err(TreeError { at, message: "the document is empty".to_owned(), hint: None });
            }
            event => {
                let root = builder.node(event, at, 0)?;
                builder.finish()?;
                return Ok(root);
            }
        }
    }
}

// === impl Builder ===

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Position), TreeError> {
        loop {
            match self.parser.next_event() {
                Some(Ok((event, span))) if is_structure(&event) => {
                    return Ok((event, self.position(&span.start)));
                }
                // Comments and the like.
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let at = self.position(error.marker());
                    let message = format!("not valid YAML: {}", error.info());
                    return Err(TreeError { at, message, hint: hint_of(&error.info()) });
                }
                None => return Ok((Event::StreamEnd, Position::default())),
            }
        }
    }

    /// Only the end may follow.
    fn finish(&mut self) -> Result<(), TreeError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd, _) => {}
                (_, at) => {
                    return Err(TreeError {
                        at,
                        message: "more content behind the end of the document".to_owned(),
                        hint: Some("separate documents with a line `---`".to_owned()),
                    });
                }
            }
        }
    }

    /// The parser tells where a value is; this is where its anchor or tag is, on its line or the one above.
    fn mark_before(&self, at: Position, mark: char) -> Position {
        let line = at.line.saturating_sub(self.line_offset);
        for above in 0..=1 {
            let Some(number) = line.checked_sub(above + 1) else { break };
            let text = self.text.lines().nth(number as usize).unwrap_or_default();
            let end = if above == 0 { at.column.saturating_sub(1) as usize } else { usize::MAX };
            let columns = text.chars().take(end).enumerate();
            if let Some((index, _)) = columns.filter(|(_, found)| *found == mark).last() {
                let column = u32::try_from(index + 1).unwrap_or(at.column);
                return Position { line: at.line - above, column };
            }
        }
        at
    }

    fn node(&mut self, event: Event<'t>, at: Position, depth: usize) -> Result<Node, TreeError> {
        self.n_nodes += 1;
        let refuse = |message: &str, hint: &str| {
            Err(TreeError { at, message: message.to_owned(), hint: Some(hint.to_owned()) })
        };
        if self.n_nodes > NODES_MAX {
            return refuse("more than 100,000 nodes", "split the document");
        }
        if depth > DEPTH_MAX {
            return refuse("nested deeper than 32 levels", "no object nests that deep");
        }
        let (has_anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor != 0, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => {
                (*anchor != 0, tag.is_some())
            }
            Event::Alias(_) => return refuse("aliases are not allowed", "write the value out"),
            _ => (false, false),
        };
        if has_anchor {
            let hint = Some("write the value out where it is used".to_owned());
            let at = self.mark_before(at, '&');
            return Err(TreeError { at, message: "anchors are not allowed".to_owned(), hint });
        }
        if tag {
            let hint = Some("remove the `!…`; types come from the field".to_owned());
            let at = self.mark_before(at, '!');
            return Err(TreeError { at, message: "tags are not allowed".to_owned(), hint });
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                Value::Scalar { text: text.into_owned(), is_plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Value::Sequence(items),
                        (event, at) => items.push(self.node(event, at, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => Value::Mapping(self.entries(depth)?),
            _ => return refuse("content is missing", "write a value"),
        };
        Ok(Node { value, at })
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, TreeError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(entries);
            }
            let key = match self.node(event, at, depth + 1)?.value {
                Value::Scalar { text, .. } => text,
                _ => {
                    return Err(TreeError { at, message: "a key must be text".to_owned(), hint: None });
                }
            };
            if key == "<<" {
                let hint = Some("write the fields out".to_owned());
                return Err(TreeError { at, message: "merge keys are not allowed".to_owned(), hint });
            }
            if !seen.insert(key.clone()) {
                let hint = Some("remove one of the two".to_owned());
                return Err(TreeError { at, message: format!("key `{key}` stands twice"), hint });
            }
            let (event, value_at) = self.next()?;
            let node = self.node(event, value_at, depth + 1)?;
            entries.push(Entry { key, at, node });
        }
    }

    fn position(&self, marker: &Marker) -> Position {
        Position {
            line: u32::try_from(marker.line()).unwrap_or(u32::MAX).saturating_add(self.line_offset),
            column: u32::try_from(marker.col()).unwrap_or(u32::MAX).saturating_add(1),
        }
    }
}

// === impl Node ===

impl Node {
    /// Entry of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => {
                entries.iter().find(|entry| entry.key == key && !matches!(entry.node.value, Value::Hidden))
            }
            _ => None,
        }
    }

    /// Removes the entry at a place, here or below; true if it was there.
    pub(crate) fn remove(&mut self, at: Position) -> bool {
        match &mut self.value {
            Value::Mapping(entries) => {
                let n_before = entries.len();
                entries.retain(|entry| entry.at != at);
                n_before != entries.len() || entries.iter_mut().any(|entry| entry.node.remove(at))
            }
            Value::Sequence(items) => items.iter_mut().any(|item| item.remove(at)),
            Value::Scalar { .. } | Value::Hidden => false,
        }
    }

    /// Text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Position of a field like `spec.rules[0].matches`, or of the nearest thing above it that is there.
    pub(crate) fn locate(&self, field: &str) -> Position {
        let mut node = self;
        let mut at = self.at;
        for part in field.split('.') {
            let (name, indices) = part.split_once('[').unwrap_or((part, ""));
            if !name.is_empty() {
                let Some(entry) = node.get(name) else { return at };
                at = entry.node.at;
                node = &entry.node;
            }
            for index in indices.split(['[', ']']).filter_map(|index| index.parse::<usize>().ok()) {
                let Value::Sequence(items) = &node.value else { return at };
                let Some(item) = items.get(index) else { return at };
                at = item.at;
                node = item;
            }
        }
        at
    }
}

/// Where a carriage return stands alone. YAML takes it for a line end, and whoever shows the text does not: what follows
/// it looks like the rest of its line, perhaps of a comment.
fn lone_return(text: &str, line_offset: u32) -> Option<Position> {
    let is_alone = |(index, _): &(usize, &str)| !text[index + 1..].starts_with('\n');
    let (index, _) = text.match_indices('\r').find(is_alone)?;
    let before = &text[..index];
    let n_lines = before.matches('\n').count();
    let n_columns = before.chars().rev().take_while(|character| *character != '\n').count();
    Some(Position {
        line: u32::try_from(n_lines + 1).unwrap_or(u32::MAX).saturating_add(line_offset),
        column: u32::try_from(n_columns + 1).unwrap_or(u32::MAX),
    })
}

fn is_structure(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd
    )
}

fn hint_of(message: &str) -> Option<String> {
    message.contains("tab").then(|| "indent with spaces".to_owned())
}

const NODES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 32;
