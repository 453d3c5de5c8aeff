//! The file that stores an object: sections, keywords in order, keys in `[data]`.
//!
//! It is INI text with the manners of the real daemon's library: names and values that the syntax takes for something
//! else are written all the same, and read back as what they became.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use xxhash_rust::xxh3::xxh3_128;

use crate::sealed;

/// A stored file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Sections with keywords, in order.
    pub sections: Vec<(String, Vec<Entry>)>,
    /// Why nothing of it can be read any more.
    damage: Option<Damage>,
}

/// A keyword with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name, with its scope.
    pub name: String,
    /// Value.
    pub value: String,
    /// The lines, where they are not what name and value make.
    lines: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Damage {
    reason: String,
    text: String,
}

/// How values of keys are written.
#[derive(Clone, Copy, Debug)]
pub enum Coding<'c> {
    /// To be read by everybody.
    Plain,
    /// Sealed, by a node of a cluster.
    Sealed(&'c str, &'c str),
}

// === impl Stored ===

impl Stored {
    /// Parses INI text.
    ///
    /// # Errors
    /// Names the line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut stored = Self::default();
        let mut section = String::from("DEFAULT");
        let mut lines = text.split_inclusive('\n').peekable();
        while let Some(line) = lines.next() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t'])
                && let Some(before) = stored.section_mut(&section).last_mut()
            {
                before.go_on(line.trim_end());
                continue;
            }
            if let Some(name) = trimmed.strip_prefix('[') {
                let Some(name) = name.strip_suffix(']') else {
                    return Err(format!("unclosed section: {line}"));
                };
                name.clone_into(&mut section);
                stored.section_mut(&section);
                continue;
            }
            let Some((name, value)) = trimmed.split_once('=') else {
                return Err(format!("key-value delimiter not found: {line}"));
            };
            let mut entry = Entry::new(name.trim(), "");
            let mut value = value.trim().to_owned();
            if let Some(open) = value.strip_prefix("\"\"\"")
                && !open.ends_with("\"\"\"")
            {
                let mut inside = open.to_owned();
                for line in lines.by_ref() {
                    inside.push('\n');
                    inside.push_str(line.trim_end_matches('\n'));
                    if inside.ends_with("\"\"\"") {
                        break;
                    }
                }
                inside.trim_end_matches("\"\"\"").clone_into(&mut entry.value);
                stored.section_mut(&section).push(entry);
                continue;
            }
            // A line that goes on in the next one, whatever that holds.
            while value.ends_with('\\') {
                value.pop();
                let mut whole = entry.lines.take().unwrap_or_else(|| line.trim_end().to_owned());
                if let Some(next) = lines.next() {
                    value.push_str(next.trim());
                    whole.push('\n');
                    whole.push_str(next.trim_end());
                }
                entry.lines = Some(whole);
            }
            unquoted(&value).clone_into(&mut entry.value);
            if line.split_once('=').is_some_and(|(before, _)| before != format!("{} ", entry.name)) {
                entry.lines.get_or_insert_with(|| line.trim_end().to_owned());
            }
            let entries = stored.section_mut(&section);
            match entries.iter_mut().find(|found| found.name == entry.name) {
                Some(place) => *place = entry,
                None => entries.push(entry),
            }
        }
        Ok(stored)
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        if let Some(damage) = &self.damage {
            return damage.text.clone();
        }
        let mut text = String::new();
        let is_first = |section: &&(String, Vec<Entry>)| section.0 == "DEFAULT";
        let first = self.sections.iter().filter(is_first);
        let others = self.sections.iter().filter(|section| !is_first(section));
        for (n, (name, entries)) in first.chain(others).enumerate() {
            if n > 0 {
                text.push('\n');
            }
            text.push_str(&format!("[{name}]\n"));
            for entry in entries {
                match &entry.lines {
                    Some(lines) => text.push_str(lines),
                    None => text.push_str(&format!("{} = {}", entry.name, quoted(&entry.value))),
                }
                text.push('\n');
            }
        }
        text
    }

    /// Why nothing of it can be read any more.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_ref().map(|damage| damage.reason.as_str())
    }

    /// Checksum of the text: 32 hexadecimal digits. The real one is MD5; nobody computes it but the daemon.
    #[must_use]
    pub fn csum(&self) -> String {
        format!("{:032x}", xxh3_128(self.text().as_bytes()))
    }

    /// A keyword, as it is written.
    #[must_use]
    pub fn keyword(&self, section: &str, keyword: &str) -> Option<&str> {
        let (_, entries) = self.sections.iter().find(|(name, _)| name == section)?;
        entries.iter().find(|entry| entry.name == keyword).map(|entry| entry.value.as_str())
    }

    /// A keyword for a node: with the node's scope, or without.
    #[must_use]
    pub fn scoped(&self, section: &str, keyword: &str, node: &str) -> Option<&str> {
        self.keyword(section, &format!("{keyword}@{node}")).or_else(|| self.keyword(section, keyword))
    }

    /// Names of sections that describe resources.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(name, _)| name.as_str()).filter(|name| name.contains('#'))
    }

    /// Sets a keyword.
    pub fn set(&mut self, section: &str, keyword: &str, value: &str) {
        self.normalize();
        let entries = self.section_mut(section);
        match entries.iter_mut().find(|entry| entry.name == keyword) {
            Some(place) => *place = Entry::new(keyword, value),
            None => entries.push(Entry::new(keyword, value)),
        }
    }

    /// Removes a keyword.
    pub fn unset(&mut self, section: &str, keyword: &str) {
        for (_, entries) in self.sections.iter_mut().filter(|(name, _)| name == section) {
            entries.retain(|entry| entry.name != keyword);
        }
    }

    /// Names of keys with the size of what is stored.
    #[must_use]
    pub fn keys(&self) -> Vec<(String, usize)> {
        self.data().iter().map(|entry| (entry.name.clone(), entry.value.len())).collect()
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        let stored = &self.data().iter().find(|entry| entry.name == name)?.value;
        if let Some(coded) = stored.strip_prefix("base64:") {
            return URL_SAFE.decode(coded).ok();
        }
        if let Some(coded) = stored.strip_prefix("crypt:") {
            return sealed::open(coded);
        }
        Some(stored.strip_prefix("literal:").unwrap_or(stored).as_bytes().to_vec())
    }

    /// Sets a key; true if the file is another one now. Secrets are sealed anew each time.
    pub fn set_value(&mut self, name: &str, value: &[u8], coding: Coding<'_>) -> bool {
        let stored = match coding {
            Coding::Sealed(cluster, node) => format!("crypt:{}", sealed::seal(cluster, node, value)),
            Coding::Plain if value.iter().all(|byte| (0x20..0x7f).contains(byte)) => {
                format!("literal:{}", String::from_utf8_lossy(value))
            }
            Coding::Plain => format!("base64:{}", URL_SAFE.encode(value)),
        };
        let name = if name == "-" { "#1" } else { name };
        let is_odd = name != name.trim() || name.starts_with(['[', '#', ';']) && name != "#1";
        if is_odd || name.contains('\n') || stored.ends_with('\\') {
            self.write_line(name, &stored);
            return true;
        }
        let is_new = self.keyword("data", name) != Some(&stored);
        self.set("data", name, &stored);
        is_new
    }

    /// Removes a key; true if it was there.
    pub fn remove_value(&mut self, name: &str) -> bool {
        let entries = self.section_mut("data");
        let n_before = entries.len();
        entries.retain(|entry| entry.name != name);
        let is_removed = entries.len() != n_before;
        if is_removed {
            self.normalize();
        }
        is_removed
    }

    /// A file that is written again has the library's form throughout.
    fn normalize(&mut self) {
        self.sections.iter_mut().flat_map(|(_, entries)| entries).for_each(|entry| entry.lines = None);
    }

    /// Writes a line as it is, and reads the file again.
    fn write_line(&mut self, name: &str, stored: &str) {
        let line = format!("{name} = {stored}");
        self.normalize();
        let raw = Entry { name: name.to_owned(), value: String::new(), lines: Some(line) };
        let entries = self.section_mut("data");
        match entries.iter_mut().find(|entry| entry.name == name) {
            Some(place) => *place = raw,
            None => entries.push(raw),
        }
        let text = self.text();
        match Self::parse(&text) {
            Ok(read) => *self = read,
            Err(reason) => self.damage = Some(Damage { reason, text }),
        }
    }

    fn data(&self) -> &[Entry] {
        self.sections.iter().find(|(name, _)| name == "data").map_or(&[], |(_, entries)| entries)
    }

    fn section_mut(&mut self, name: &str) -> &mut Vec<Entry> {
        let index = match self.sections.iter().position(|(found, _)| found == name) {
            Some(index) => index,
            None => {
                self.sections.push((name.to_owned(), Vec::new()));
                self.sections.len() - 1
            }
        };
        &mut self.sections[index].1
    }
}

// === impl Entry ===

impl Entry {
    fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), lines: None }
    }

    /// Takes another line into the value.
    fn go_on(&mut self, line: &str) {
        let lines = self.lines.get_or_insert_with(|| format!("{} = {}", self.name, quoted(&self.value)));
        lines.push('\n');
        lines.push_str(line);
        self.value.push('\n');
        self.value.push_str(line);
    }
}

/// A value as the file holds it.
fn quoted(value: &str) -> String {
    if value.contains(['`', '\n']) {
        format!("\"\"\"{value}\"\"\"")
    } else if value.contains(['#', ';']) {
        format!("`{value}`")
    } else if value.starts_with(' ') || value.ends_with(' ') {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

/// The value behind what a file holds.
fn unquoted(text: &str) -> &str {
    let inside = |quote: &str| text.strip_prefix(quote)?.strip_suffix(quote);
    inside("\"\"\"").or_else(|| inside("`")).or_else(|| inside("\"")).unwrap_or(text)
}
