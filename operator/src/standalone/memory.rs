//! What the run before knew of each file, for files that are broken or gone when this one starts.
//!
//! Nothing of it is decoded before it is needed, so that it costs a start nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use tracing::warn;

use super::files::{below, plain};
use crate::objects::reading::Good;

/// Objects of an earlier run, by absolute path of their file.
#[derive(Debug, Default)]
pub struct Memory {
    files: BTreeMap<PathBuf, Vec<Box<RawValue>>>,
}

/// Objects of this run on their way to the next one.
pub struct Remembered(Vec<(PathBuf, Vec<Good>)>);

// === impl Memory ===

impl Memory {
    /// Reads what an earlier run wrote; nothing where there is nothing to read.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let Ok(bytes) = std::fs::read(path) else { return Self::default() };
        match serde_json::from_slice(&bytes) {
            Ok(files) => Self { files },
            Err(error) => {
                warn!(file = %path.display(), %error, "last good objects cannot be read; going without them");
                Self::default()
            }
        }
    }

    /// Files under a path of the command line that held objects.
    pub fn paths_under<'a>(&'a self, root: &Path) -> impl Iterator<Item = PathBuf> + use<'a> {
        let (root, absolute_root) = (plain(root), absolute(root));
        let held = self.files.iter().filter(|(_, objects)| !objects.is_empty());
        held.filter_map(move |(path, _)| {
            path.strip_prefix(&absolute_root).ok().map(|rest| below(&root, rest))
        })
    }

    /// The objects of a file as a YAML stream.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<String> {
        let objects = self.files.get(&absolute(path))?;
        Some(objects.iter().map(|object| format!("---\n{object}\n")).collect())
    }
}

// === impl Remembered ===

impl Remembered {
    /// The objects of files.
    pub fn new(files: impl Iterator<Item = (PathBuf, Vec<Good>)>) -> Self {
        Self(files.filter(|(_, objects)| !objects.is_empty()).collect())
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let files: BTreeMap<_, Vec<_>> = self
            .0
            .iter()
            .map(|(path, held)| (absolute(path), held.iter().map(Good::json).collect()))
            .collect();
        // A path that is not UTF-8 cannot be a key; the next run goes without memory then.
        serde_json::to_vec(&files).unwrap_or_else(|_| b"{}".to_vec())
    }
}

/// The path from the root, without a `.` inside.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(plain(path)).map_or_else(|_| path.to_owned(), |path| path.components().collect())
}
