//! Writes objects as YAML.

use crate::objects::Object;

/// The document in the version that is written; kubectl accepts it for kinds of the Gateway API.
#[must_use]
pub fn to_yaml(object: &Object) -> String {
    // A tree of text, numbers and lists has no part that the writer refuses.
    serde_yaml::to_string(&object.to_value()).unwrap_or_default()
}

/// Any tree as YAML.
#[must_use]
pub fn value_to_yaml(tree: &serde_json::Value) -> String {
    serde_yaml::to_string(tree).unwrap_or_default()
}
