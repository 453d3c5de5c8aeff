//! Header fields under edit: one arena of bytes, spans into it, no allocation once warm.

use igw_crds::snapshot::HeaderEdit;

/// Fields in order. Names compare without case.
#[derive(Default)]
pub(crate) struct HeaderList {
    bytes: Vec<u8>,
    fields: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    name: (usize, usize),
    value: (usize, usize),
    live: bool,
}

// === impl HeaderList ===

impl HeaderList {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
    }

    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let name = self.store(name);
        let value = self.store(value);
        self.fields.push(Entry { name, value, live: true });
    }

    /// Applies one edit: set, then add (`old,new` on an existing field), then remove.
    pub(crate) fn apply(&mut self, edit: &HeaderEdit) {
        for (name, value) in &edit.set {
            self.remove(name.as_bytes());
            self.push(name.as_bytes(), value.as_bytes());
        }
        for (name, value) in &edit.add {
            match self.position(name.as_bytes()) {
                Some(index) => self.append(index, value.as_bytes()),
                None => self.push(name.as_bytes(), value.as_bytes()),
            }
        }
        for name in &edit.remove {
            self.remove(name.as_bytes());
        }
    }

    /// Live fields in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().filter(|entry| entry.live).map(|entry| (self.at(entry.name), self.at(entry.value)))
    }

    fn remove(&mut self, name: &[u8]) {
        for index in 0..self.fields.len() {
            if self.at(self.fields[index].name).eq_ignore_ascii_case(name) {
                self.fields[index].live = false;
            }
        }
    }

    /// Last live field of the name.
    fn position(&self, name: &[u8]) -> Option<usize> {
        self.fields.iter().rposition(|entry| entry.live && self.at(entry.name).eq_ignore_ascii_case(name))
    }

    fn append(&mut self, index: usize, value: &[u8]) {
        let (start, end) = self.fields[index].value;
        let new_start = self.bytes.len();
        self.bytes.extend_from_within(start..end);
        if end > start {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(value);
        self.fields[index].value = (new_start, self.bytes.len());
    }

    fn store(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        (start, self.bytes.len())
    }

    fn at(&self, (start, end): (usize, usize)) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&str, &str)], edit: HeaderEdit, expected: &[(&str, &str)]) {
        let mut list = HeaderList::default();
        for (name, value) in fields {
            list.push(name.as_bytes(), value.as_bytes());
        }
        list.apply(&edit);
        let got: Vec<(String, String)> = list
            .iter()
            .map(|(name, value)| {
                (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned())
            })
            .collect();
        let got: Vec<(&str, &str)> =
            got.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(got, expected);
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn edits_follow_the_gateway_api() {
        let set = HeaderEdit { set: pairs(&[("x-a", "2")]), ..HeaderEdit::default() };
        check(&[("X-A", "1"), ("x-a", "0"), ("b", "b")], set.clone(), &[("b", "b"), ("x-a", "2")]);
        check(&[], set, &[("x-a", "2")]);
        let add = HeaderEdit { add: pairs(&[("x-a", "new")]), ..HeaderEdit::default() };
        check(&[("X-A", "old")], add.clone(), &[("X-A", "old,new")]);
        check(&[("X-A", "")], add.clone(), &[("X-A", "new")]);
        check(&[], add, &[("x-a", "new")]);
        let remove = HeaderEdit { remove: vec!["x-a".to_owned()], ..HeaderEdit::default() };
        check(&[("X-A", "1"), ("b", "b"), ("x-a", "2")], remove, &[("b", "b")]);
    }
}
