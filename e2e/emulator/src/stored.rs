//! The file that stores an object: sections, keywords in order, keys in `[data]`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use xxhash_rust::xxh3::xxh3_128;

/// A stored file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Sections with keywords, in order.
    pub sections: Vec<(String, Vec<(String, String)>)>,
    /// Why nothing of it can be read any more.
    pub damage: Option<String>,
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
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                let Some(name) = name.strip_suffix(']') else {
                    return Err(format!("unclosed section: {line}"));
                };
                name.clone_into(&mut section);
                stored.section_mut(&section);
            } else if let Some((keyword, value)) = line.split_once('=') {
                stored.set(&section.clone(), keyword.trim(), unquoted(value.trim()));
            } else {
                return Err(format!("key-value delimiter not found: {line}"));
            }
        }
        Ok(stored)
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let is_first = |section: &&(String, Vec<(String, String)>)| section.0 == "DEFAULT";
        let first = self.sections.iter().filter(is_first);
        let others = self.sections.iter().filter(|section| !is_first(section));
        for (n, (name, keywords)) in first.chain(others).enumerate() {
            if n > 0 {
                text.push('\n');
            }
            text.push_str(&format!("[{name}]\n"));
            for (keyword, value) in keywords {
                text.push_str(&format!("{keyword} = {}\n", quoted(value)));
            }
        }
        text
    }

    /// Checksum of the text: 32 hexadecimal digits. The real one is MD5; nobody computes it but the daemon.
    #[must_use]
    pub fn csum(&self) -> String {
        format!("{:032x}", xxh3_128(self.text().as_bytes()))
    }

    /// A keyword, as it is written.
    #[must_use]
    pub fn keyword(&self, section: &str, keyword: &str) -> Option<&str> {
        let (_, keywords) = self.sections.iter().find(|(name, _)| name == section)?;
        keywords.iter().find(|(name, _)| name == keyword).map(|(_, value)| value.as_str())
    }

    /// Sets a keyword.
    pub fn set(&mut self, section: &str, keyword: &str, value: &str) {
        let keywords = self.section_mut(section);
        match keywords.iter_mut().find(|(name, _)| name == keyword) {
            Some((_, place)) => value.clone_into(place),
            None => keywords.push((keyword.to_owned(), value.to_owned())),
        }
    }

    /// Names of keys with the size of what is stored.
    #[must_use]
    pub fn keys(&self) -> Vec<(String, usize)> {
        self.data().iter().map(|(name, value)| (name.clone(), value.len())).collect()
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        let (_, stored) = self.data().iter().find(|(key, _)| key == name)?;
        if let Some(coded) = stored.strip_prefix("base64:") {
            return URL_SAFE.decode(coded).ok();
        }
        Some(stored.strip_prefix("literal:").unwrap_or(stored).as_bytes().to_vec())
    }

    /// Sets a key; true if the file is another one now. Secrets are encrypted anew each time.
    pub fn set_value(&mut self, name: &str, value: &[u8], is_secret: bool) -> bool {
        let is_plain = value.iter().all(|byte| (0x20..0x7f).contains(byte));
        let mut stored = if is_plain && !is_secret {
            format!("literal:{}", String::from_utf8_lossy(value))
        } else {
            format!("base64:{}", URL_SAFE.encode(value))
        };
        // Names that the file's syntax takes for something else: the daemon writes them all the same.
        if name.starts_with('[') {
            self.damage = Some(format!("unclosed section: {name} = {stored}\n"));
            return true;
        }
        if let Some((first, _)) = name.split_once('\n') {
            self.damage = Some(format!("key-value delimiter not found: {first}\n"));
            return true;
        }
        if name.starts_with(['#', ';']) {
            return true;
        }
        if name.starts_with(' ') {
            // A continuation of the line before.
            if let Some((_, before)) = self.section_mut("data").last_mut() {
                before.push_str(&format!("\n{name} = {stored}"));
            }
            return true;
        }
        let name = if name == "-" { "#1" } else { name.trim_end() };
        // A continuation that nothing follows.
        if stored.ends_with('\\') {
            stored.pop();
        }
        let is_new = is_secret || self.keyword("data", name) != Some(&stored);
        self.set("data", name, &stored);
        if is_secret {
            let n: u64 = rand::random();
            self.set("env", "emulated_vector", &n.to_string());
        }
        is_new
    }

    /// Removes a key; true if it was there.
    pub fn remove_value(&mut self, name: &str) -> bool {
        let keywords = self.section_mut("data");
        let n_before = keywords.len();
        keywords.retain(|(key, _)| key != name);
        keywords.len() != n_before
    }

    fn data(&self) -> &[(String, String)] {
        self.sections.iter().find(|(name, _)| name == "data").map_or(&[], |(_, keywords)| keywords)
    }

    fn section_mut(&mut self, name: &str) -> &mut Vec<(String, String)> {
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

/// A value as the file holds it.
fn quoted(value: &str) -> String {
    if value.contains('`') {
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
