//! Judges what a client writes, before it is stored.

use serde_json::Value;

use crate::failure::Cause;

/// Judges the content of objects of a kind.
pub trait Admission: Send + Sync {
    /// Removes what the kind does not have and adds defaults. `before` is the object as it is stored, if it is;
    /// metadata and status are not the admission's.
    fn admit(&self, object: &mut Value, before: Option<&Value>) -> Admitted;
}

/// What was found in an object. It may be stored if there are no causes against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Fields that were removed, since the kind does not have them.
    pub unknown: Vec<String>,
    /// What is wrong, all of it.
    pub causes: Vec<Cause>,
}

/// Takes any content as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

// === impl Open ===

impl Admission for Open {
    fn admit(&self, _: &mut Value, _: Option<&Value>) -> Admitted {
        Admitted::default()
    }
}
