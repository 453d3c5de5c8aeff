//! Writes of objects by somebody who wants to know at once what became of them, unlike an editor.
//!
//! An object that is not taken as it is written leaves the file as it was: nothing broken comes in by this door.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use igw_crds::objects::{Kind, ObjectKey};
use igw_crds::yaml::{read, texts};
use tokio::sync::oneshot;

use super::state::rewrite;
use crate::objects::gathered::Gathered;
use crate::objects::listing::Severity;
use crate::objects::reading::object_name;
use crate::objects::view::Record;

/// A write of one object.
#[derive(Debug)]
pub struct Write {
    /// The object.
    pub key: ObjectKey,
    /// The file that is to hold it where none does.
    pub file: PathBuf,
    /// What it shall hold; nothing deletes it.
    pub text: Option<String>,
    /// Hears what is known of the object then, or why it is not taken.
    pub done: oneshot::Sender<Result<Option<Record>, String>>,
}

/// What a file held before a write.
pub(crate) struct Before(Option<Vec<u8>>);

// === impl Write ===

impl Write {
    /// Makes the file hold what is wanted.
    pub(crate) fn put(&self) -> io::Result<Before> {
        let before = match fs::read(&self.file) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let stream = match &before {
            Some(bytes) => std::str::from_utf8(bytes).map_err(io::Error::other)?,
            None => "",
        };
        let after = rewritten(stream, &self.key, self.text.as_deref());
        set(&self.file, self.mode(), after.as_ref().map(String::as_bytes))?;
        Ok(Before(before))
    }

    /// Goes to the file that holds the object.
    pub(crate) fn move_to(&mut self, file: &str) {
        // What every gateway has lies in no file.
        if Path::new(file).exists() {
            self.file = PathBuf::from(file);
        }
    }

    /// Makes the file hold what it held.
    pub(crate) fn undo(&self, before: &Before) -> io::Result<()> {
        set(&self.file, self.mode(), before.0.as_deref())
    }

    /// Who may read a file that is new: nobody else where it holds a Secret.
    fn mode(&self) -> u32 {
        if self.key.kind == Kind::Secret { 0o600 } else { 0o644 }
    }

    /// Whether an object that it deletes is kept, because nothing else is left.
    pub(crate) fn is_held(&self, gathered: &Gathered) -> bool {
        self.text.is_none()
            && gathered
                .objects
                .get(&self.key)
                .is_some_and(|taken| taken.source.kept || self.is_in(&taken.source.file))
    }

    /// Why what was gathered after it does not hold the object as it was written.
    pub(crate) fn refusal(&self, gathered: &Gathered) -> Option<String> {
        let taken = gathered.objects.get(&self.key);
        match (&self.text, taken) {
            (None, None) => None,
            (None, Some(taken)) => {
                Some(format!("{} is also in {}; delete it there", object_name(&self.key), taken.source.file))
            }
            (Some(_), Some(taken)) if !taken.source.kept && self.is_in(&taken.source.file) => None,
            (Some(_), _) => {
                let mut notices = gathered.notices.iter().filter(|notice| notice.severity == Severity::Error);
                let found = notices.find(|notice| self.is_in(&notice.file));
                Some(found.map_or_else(
                    || format!("{} is not what the file holds", object_name(&self.key)),
                    |notice| format!("{}: {}", notice.field, notice.message),
                ))
            }
        }
    }

    fn is_in(&self, file: &str) -> bool {
        Path::new(file) == self.file
    }
}

/// A stream with the document of an object replaced, added or taken out; nothing if nothing is left. The others stay as
/// they are written.
fn rewritten(stream: &str, key: &ObjectKey, text: Option<&str>) -> Option<String> {
    let mut is_there = false;
    let mut documents: Vec<&str> = Vec::new();
    for (_, document) in texts(stream) {
        if !holds(document, key) {
            documents.push(document);
        } else if !std::mem::replace(&mut is_there, true) {
            documents.extend(text);
        }
    }
    documents.extend(text.filter(|_| !is_there));
    let documents: Vec<String> =
        documents.iter().map(|document| format!("{}\n", document.trim_end())).collect();
    (!documents.is_empty()).then(|| documents.join("---\n"))
}

/// Whether a document is of an object.
fn holds(document: &str, key: &ObjectKey) -> bool {
    // Its name stands in it, but for escapes; the other documents of a long stream are not read.
    let may_hold = document.contains(&*key.name) || document.contains('\\');
    may_hold && read("", document).documents.iter().any(|found| found.object.key == *key)
}

fn set(file: &Path, mode: u32, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes {
        Some(bytes) => {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            rewrite(file, bytes, mode)
        }
        None => match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::standalone::memory::Memory;
    use crate::standalone::store::{Hints, Store};

    const GOOD: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": "x"}, "data": {"k": "1"}}"#;

    fn write(folder: &Path, text: Option<&str>) -> Write {
        let key = ObjectKey::new(Kind::ConfigMap, "a", "x");
        let (done, _) = oneshot::channel();
        Write { key, file: folder.join("configmaps/a/x.yaml"), text: text.map(str::to_owned), done }
    }

    #[test]
    fn the_other_documents_of_a_stream_stay_as_they_are_written() {
        let of = |name: &str, value: &str| {
            format!("# {value}\napiVersion: v1\nkind: ConfigMap\nmetadata: {{namespace: a, name: {name}}}\n")
        };
        let key = ObjectKey::new(Kind::ConfigMap, "a", "x");
        let (others, escaped) = (of("xx", "x"), of(r#""\x78""#, "1"));
        for stream in [of("x", "1") + "---\n" + &others, escaped + "---\n" + &others] {
            let replaced = rewritten(&stream, &key, Some(&of("x", "2"))).unwrap();
            assert_eq!(replaced, of("x", "2") + "---\n" + &others);
            assert_eq!(rewritten(&stream, &key, None).unwrap(), others);
        }
        assert_eq!(rewritten(&others, &key, Some("b: 1")).unwrap(), others.clone() + "---\nb: 1\n");
        assert_eq!(rewritten(&of("x", "1"), &key, None), None);
    }

    #[test]
    fn what_is_not_taken_leaves_what_was_there() {
        let scratch = tempfile::tempdir().unwrap();
        let mut store = Store::new(vec![scratch.path().to_owned()], None, Memory::default());
        let mut gathered = |file: &Path, confirmed| {
            let hints = Hints { named: [file.to_owned()].into(), confirmed };
            store.pass(&hints, SystemTime::now());
            store.gather()
        };
        let good = write(scratch.path(), Some(GOOD));
        good.put().unwrap();
        assert_eq!(good.refusal(&gathered(&good.file, false)), None);

        let bad = write(scratch.path(), Some(&GOOD.replace("\"1\"", "[1]")));
        let before = bad.put().unwrap();
        let told = bad.refusal(&gathered(&bad.file, false)).unwrap();
        assert!(told.starts_with("data.k"), "{told}");
        bad.undo(&before).unwrap();
        assert_eq!(fs::read_to_string(&good.file).unwrap().trim_end(), GOOD);
        assert_eq!(good.refusal(&gathered(&good.file, false)), None);

        let gone = write(scratch.path(), None);
        fs::write(scratch.path().join("other.yaml"), GOOD).unwrap();
        gone.put().unwrap();
        let told = gone.refusal(&gathered(&gone.file, false)).unwrap();
        assert!(told.contains("is also in") && told.contains("other.yaml"), "{told}");
        good.put().unwrap();
        fs::remove_file(scratch.path().join("other.yaml")).unwrap();
        assert_eq!(good.refusal(&gathered(&good.file, false)), None);
        gone.put().unwrap();
        assert!(gone.is_held(&gathered(&gone.file, false)));
        assert_eq!(gone.refusal(&gathered(&gone.file, true)), None);
    }
}
