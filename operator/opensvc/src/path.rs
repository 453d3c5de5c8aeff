//! Names of objects: `<namespace>/<kind>/<name>`, and the short forms of contract §1.1.
//!
//! Invariant: an [`ObjectPath`] holds names that the daemon accepts, so a path can stand in a URL as it is.
//! The daemon writes paths in a canonical form (`gw`, `cfg/gw`, `cluster`, `edge/`, `edge/svc/gw`); URLs
//! always take the three explicit parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Kinds of objects (contract §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A service.
    Svc,
    /// A volume.
    Vol,
    /// A store of plain keys.
    Cfg,
    /// A store of encrypted keys.
    Sec,
    /// A user of the API.
    Usr,
    /// Settings of a namespace.
    Nscfg,
    /// Settings of the cluster.
    Ccfg,
}

/// The name of an object, checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectPath {
    namespace: String,
    kind: Kind,
    name: String,
}

/// A text that names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The kind is not one of the seven.
    #[error("{0:?} is not a kind of object: use svc, vol, cfg, sec, usr, nscfg or ccfg")]
    Kind(String),
    /// A namespace or name that the daemon refuses.
    #[error(
        "{0:?} cannot name a namespace or object: use 1 to 63 of a-z, 0-9, '.', '-', a letter or digit first"
    )]
    Name(String),
    /// Too many parts.
    #[error("{0:?} is not a path: use namespace/kind/name")]
    Parts(String),
}

// === impl Kind ===

impl Kind {
    /// The word that stands in paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Svc => "svc",
            Self::Vol => "vol",
            Self::Cfg => "cfg",
            Self::Sec => "sec",
            Self::Usr => "usr",
            Self::Nscfg => "nscfg",
            Self::Ccfg => "ccfg",
        }
    }

    /// Whether objects of this kind hold keys.
    pub const fn holds_keys(self) -> bool {
        matches!(self, Self::Cfg | Self::Sec | Self::Usr)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        match text {
            "svc" => Ok(Self::Svc),
            "vol" => Ok(Self::Vol),
            "cfg" => Ok(Self::Cfg),
            "sec" => Ok(Self::Sec),
            "usr" => Ok(Self::Usr),
            "nscfg" => Ok(Self::Nscfg),
            "ccfg" => Ok(Self::Ccfg),
            other => Err(PathError::Kind(other.to_owned())),
        }
    }
}

// === impl ObjectPath ===

impl ObjectPath {
    /// Joins three parts.
    ///
    /// # Errors
    ///
    /// [`PathError::Name`] for a namespace or name that the daemon refuses.
    pub fn new(namespace: &str, kind: Kind, name: &str) -> Result<Self, PathError> {
        check_name(namespace)?;
        check_name(name)?;
        Ok(Self { namespace: namespace.to_owned(), kind, name: name.to_owned() })
    }

    /// The namespace; `root` for objects without one.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The name within namespace and kind.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.namespace.as_str(), self.kind) {
            (ROOT, Kind::Ccfg) => f.write_str(&self.name),
            (namespace, Kind::Nscfg) => write!(f, "{namespace}/"),
            (ROOT, Kind::Svc) => f.write_str(&self.name),
            (ROOT, kind) => write!(f, "{kind}/{}", self.name),
            (namespace, kind) => write!(f, "{namespace}/{kind}/{}", self.name),
        }
    }
}

impl FromStr for ObjectPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [CLUSTER] => Self::new(ROOT, Kind::Ccfg, CLUSTER),
            [name] => Self::new(ROOT, Kind::Svc, name),
            [namespace, ""] => Self::new(namespace, Kind::Nscfg, NAMESPACE),
            [kind, name] => Self::new(ROOT, kind.parse()?, name),
            [namespace, kind, name] => Self::new(namespace, kind.parse()?, name),
            _ => Err(PathError::Parts(text.chars().take(200).collect())),
        }
    }
}

impl Serialize for ObjectPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn check_name(name: &str) -> Result<(), PathError> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_plain =
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'));
    if starts_well && is_plain && name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(PathError::Name(name.chars().take(200).collect()))
}

/// The namespace of objects that have none.
pub const ROOT: &str = "root";
const CLUSTER: &str = "cluster";
const NAMESPACE: &str = "namespace";
const MAX_NAME: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms_are_read_and_written() {
        for (text, namespace, kind, name) in [
            ("edge/svc/gw", "edge", Kind::Svc, "gw"),
            ("gw", "root", Kind::Svc, "gw"),
            ("cfg/gw", "root", Kind::Cfg, "gw"),
            ("cluster", "root", Kind::Ccfg, "cluster"),
            ("edge/", "edge", Kind::Nscfg, "namespace"),
            ("system/sec/ca", "system", Kind::Sec, "ca"),
            ("edge/svc/0.gw", "edge", Kind::Svc, "0.gw"),
        ] {
            let path: ObjectPath = text.parse().expect(text);
            assert_eq!((path.namespace(), path.kind(), path.name()), (namespace, kind, name), "{text}");
            assert_eq!(path.to_string(), text);
        }
        assert_eq!("root/svc/gw".parse::<ObjectPath>().expect("explicit").to_string(), "gw");
    }

    #[test]
    fn names_the_daemon_refuses_are_refused() {
        let long = "a".repeat(64);
        for text in
            ["", "edge/svc/BAD", "edge/svc/a_b", "edge/bogus/a", "a/svc/b/c", "edge/svc/", "-a", &long]
        {
            assert!(text.parse::<ObjectPath>().is_err(), "{text:?}");
        }
    }
}
