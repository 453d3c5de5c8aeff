//! Finds the files under the paths of a command line.
//!
//! Folders are walked to the end, `*.yaml` and `*.yml` count, names that begin with a dot do not, symbolic
//! links are followed and each folder is visited once. `<PATH>/<namespace>/<name>/` with `tls.crt` and
//! `tls.key` is one found thing, a Secret. What cannot be looked at is a problem, never a missing file: the
//! caller must not take objects for deleted because a folder could not be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walk {
    /// Files by path.
    pub files: BTreeMap<PathBuf, Found>,
    /// Folders to watch, with their identity, so that a folder made anew is watched anew.
    pub folders: BTreeMap<PathBuf, Identity>,
    /// What could not be looked at, and why.
    pub problems: BTreeMap<PathBuf, String>,
}

/// One file, or one folder with a key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index of the command line path it was found under.
    pub root: usize,
    /// What it is.
    pub form: Form,
    /// What changes when its content does.
    pub stamp: Vec<Stamp>,
}

/// What a found path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A YAML stream.
    Yaml,
    /// `tls.crt` and `tls.key`.
    KeyPair {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
    },
}

/// Device and inode of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// State of a file as the file system tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    identity: Identity,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

struct Walker<'a> {
    walk: Walk,
    visited: BTreeSet<Identity>,
    skip: Option<&'a Path>,
}

// === impl Walk ===

impl Walk {
    /// Walks `roots`; `skip` is a folder that never counts, the state folder of the caller.
    #[must_use]
    pub fn new(roots: &[PathBuf], skip: Option<&Path>) -> Self {
        let mut walker = Walker { walk: Self::default(), visited: BTreeSet::new(), skip };
        for (index, root) in roots.iter().enumerate() {
            walker.root(index, root);
        }
        walker.walk
    }
}

// === impl Walker ===

impl Walker<'_> {
    fn root(&mut self, index: usize, root: &Path) {
        let root = plain(root);
        let metadata = match fs::metadata(&root) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.watch_parent(&root);
                self.problem(&root, &error);
                return;
            }
        };
        if metadata.is_dir() {
            self.folder(index, &root, &metadata, 0);
        } else {
            self.watch_parent(&root);
            self.found(index, root, Form::Yaml, &[metadata]);
        }
    }

    fn folder(&mut self, root: usize, path: &Path, metadata: &Metadata, depth: usize) {
        let identity = Identity::of(metadata);
        let is_state = self.skip.is_some_and(|skip| fs::canonicalize(path).is_ok_and(|path| path == skip));
        if is_state || !self.visited.insert(identity) {
            return;
        }
        self.walk.folders.insert(path.to_owned(), identity);
        if depth > MAX_DEPTH {
            let error = io::Error::other(format!("folders nest deeper than {MAX_DEPTH}"));
            return self.problem(path, &error);
        }
        let mut names = Vec::new();
        match fs::read_dir(path) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => names.push(entry.file_name()),
                        Err(error) => self.problem(path, &error),
                    }
                }
            }
            Err(error) => return self.problem(path, &error),
        }
        names.sort();
        if depth == KEY_PAIR_DEPTH {
            self.key_pair(root, path);
        }
        for name in names {
            if name.as_encoded_bytes().first() == Some(&b'.') {
                continue;
            }
            let child = below(path, Path::new(&name));
            let is_yaml =
                child.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            let metadata = match fs::metadata(&child) {
                Ok(metadata) => metadata,
                // A link to nowhere matters where it should be a file of ours; a file may also be gone since.
                Err(error) if is_yaml && fs::symlink_metadata(&child).is_ok() => {
                    self.problem(&child, &error);
                    continue;
                }
                Err(_) => continue,
            };
            if metadata.is_dir() {
                self.folder(root, &child, &metadata, depth + 1);
            } else if is_yaml && metadata.is_file() {
                let is_link = fs::symlink_metadata(&child).is_ok_and(|metadata| metadata.is_symlink());
                if is_link && let Ok(target) = fs::canonicalize(&child) {
                    self.watch_parent(&target);
                }
                self.found(root, child, Form::Yaml, &[metadata]);
            }
        }
    }

    fn key_pair(&mut self, root: usize, path: &Path) {
        let mut parts = path.components().rev().filter_map(|part| part.as_os_str().to_str());
        let (Some(name), Some(namespace)) = (parts.next(), parts.next()) else { return };
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        if let (Ok(certificate), Ok(key)) =
            (fs::metadata(path.join(CERTIFICATE)), fs::metadata(path.join(KEY)))
        {
            self.found(root, path.to_owned(), Form::KeyPair { namespace, name }, &[certificate, key]);
        }
    }

    fn found(&mut self, root: usize, path: PathBuf, form: Form, metadata: &[Metadata]) {
        let stamp = metadata.iter().map(Stamp::of).collect();
        self.walk.files.entry(path).or_insert(Found { root, form, stamp });
    }

    fn watch_parent(&mut self, path: &Path) {
        let mut folder = path.parent();
        while let Some(parent) = folder {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            if let Ok(metadata) = fs::metadata(parent) {
                self.walk.folders.insert(parent.to_owned(), Identity::of(&metadata));
                return;
            }
            folder = parent.parent();
        }
    }

    fn problem(&mut self, path: &Path, error: &io::Error) {
        self.walk.problems.insert(path.to_owned(), error.to_string());
    }
}

// === impl Found ===

impl Found {
    /// Whether the file was written so shortly before `now` that its stamp may not change with the next write.
    #[must_use]
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        let now_ns =
            now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos().cast_signed());
        let window_ns = TIMESTAMP_STEP.as_nanos().cast_signed();
        self.stamp.iter().any(|stamp| now_ns - stamp.modified_ns.max(stamp.changed_ns) < window_ns)
    }

    /// Reads the content as a YAML stream.
    ///
    /// # Errors
    /// The system's, and one for a file that is too large or not UTF-8.
    pub fn read(&self, path: &Path) -> io::Result<String> {
        match &self.form {
            Form::Yaml => text(path),
            Form::KeyPair { namespace, name } => {
                let certificate = STANDARD.encode(bytes(&path.join(CERTIFICATE))?);
                let key = STANDARD.encode(bytes(&path.join(KEY))?);
                Ok(format!(
                    "apiVersion: v1\nkind: Secret\nmetadata: {{name: \"{name}\", namespace: \"{namespace}\"}}\n\
                     type: kubernetes.io/tls\ndata:\n  tls.crt: \"{certificate}\"\n  tls.key: \"{key}\"\n"
                ))
            }
        }
    }
}

// === impl Identity ===

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            identity: Identity::of(metadata),
            size: metadata.size(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file as text.
///
/// # Errors
/// The system's, and one for a file that is too large or not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    let bytes = bytes(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {line} is not UTF-8; save the file as UTF-8"),
        )
    })
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("larger than {} MiB; split it", MAX_FILE_BYTES >> 20)));
    }
    Ok(bytes)
}

/// The path without a leading `./`, as people write it.
#[must_use]
pub fn plain(path: &Path) -> PathBuf {
    match path.strip_prefix(".") {
        Ok(rest) if !rest.as_os_str().is_empty() => rest.to_owned(),
        _ => path.to_owned(),
    }
}

/// A path below `folder`, in the form in which a walk finds it.
#[must_use]
pub fn below(folder: &Path, rest: &Path) -> PathBuf {
    match folder {
        folder if rest.as_os_str().is_empty() => folder.to_owned(),
        folder if folder == Path::new(".") => rest.to_owned(),
        folder => folder.join(rest),
    }
}

/// Name of the certificate of a key pair.
const CERTIFICATE: &str = "tls.crt";
/// Name of the key of a key pair.
const KEY: &str = "tls.key";
/// Largest file that is read; the YAML door takes no larger one.
const MAX_FILE_BYTES: usize = 16 << 20;
/// Depth of a folder that may hold a key pair.
const KEY_PAIR_DEPTH: usize = 2;
/// Deepest folder.
const MAX_DEPTH: usize = 32;
/// Coarsest step of time stamps that is expected of a file system.
const TIMESTAMP_STEP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Files found under the folder that `make` fills, relative to it.
    fn check(make: impl FnOnce(&Path), want: &[&str]) -> Walk {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir(&root).unwrap();
        make(&root);
        let walk = Walk::new(std::slice::from_ref(&root), None);
        let found: Vec<_> =
            walk.files.keys().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, want);
        walk
    }

    fn write(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a: 1\n").unwrap();
    }

    #[test]
    fn yaml_files_count_and_dot_names_do_not() {
        check(
            |root| {
                for name in ["b.yml", "a.yaml", "c.txt", ".hidden.yaml", ".git/x.yaml", "sub/deep/d.yaml"] {
                    write(root.join(name));
                }
            },
            &["a.yaml", "b.yml", "sub/deep/d.yaml"],
        );
    }

    #[test]
    fn links_are_followed_once_and_their_folders_watched() {
        let walk = check(
            |root| {
                write(root.parent().unwrap().join("outside/linked.yaml"));
                write(root.join("sub/a.yaml"));
                symlink(root.parent().unwrap().join("outside/linked.yaml"), root.join("link.yaml")).unwrap();
                symlink(root, root.join("sub/loop")).unwrap();
            },
            &["link.yaml", "sub/a.yaml"],
        );
        assert!(walk.folders.keys().any(|folder| folder.ends_with("outside")));
        assert!(walk.problems.is_empty());
    }

    #[test]
    fn a_key_pair_is_a_secret() {
        let scratch = tempfile::tempdir().unwrap();
        write(scratch.path().join("shop/web/tls.crt"));
        write(scratch.path().join("shop/web/tls.key"));
        write(scratch.path().join("shop/half/tls.crt"));
        let walk = Walk::new(&[scratch.path().to_owned()], None);
        assert_eq!(walk.files.len(), 1);
        let (path, found) = walk.files.first_key_value().unwrap();
        assert_eq!(found.form, Form::KeyPair { namespace: "shop".into(), name: "web".into() });
        let text = found.read(path).unwrap();
        assert!(text.contains("tls.crt: \"YTogMQo=\""), "{text}");
    }

    #[test]
    fn what_cannot_be_looked_at_is_a_problem() {
        let walk = check(|root| symlink(root.join("nowhere"), root.join("a.yaml")).unwrap(), &[]);
        assert_eq!(walk.problems.len(), 1);
        let walk = Walk::new(&[PathBuf::from("/nonexistent/igw")], None);
        assert_eq!(walk.problems.len(), 1);
        assert!(walk.folders.contains_key(Path::new("/")));
    }

    #[test]
    fn a_file_that_is_not_text_names_its_line() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("a.yaml");
        fs::write(&file, b"a: 1\nb: \xff\n").unwrap();
        assert!(text(&file).unwrap_err().to_string().contains("line 2"));
    }
}
