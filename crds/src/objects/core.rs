//! Kinds of the core group, read in standalone mode alone; in a cluster they are `sec`, `cfg` and namespaces.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Content of a Secret. Values never show in debug output.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretContent {
    /// `kubernetes.io/tls` or `Opaque`. Default `Opaque`.
    #[serde(default = "opaque")]
    pub r#type: String,
    /// Values in base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Values as text; they win over `data`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub string_data: BTreeMap<String, String>,
    /// The object may not be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
}

/// Content of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapContent {
    /// Values as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Values in base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub binary_data: BTreeMap<String, String>,
    /// The object may not be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
}

/// Content of a Namespace: nothing but its labels counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceContent {
    /// What a Kubernetes server writes; not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<NamespaceSpec>,
}

/// Spec of a Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceSpec {
    /// Not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}

// === impl SecretContent ===

impl SecretContent {
    /// The bytes of a value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        match self.string_data.get(name) {
            Some(text) => Some(text.clone().into_bytes()),
            None => decoded(self.data.get(name)?),
        }
    }
}

// === impl ConfigMapContent ===

impl ConfigMapContent {
    /// The bytes of a value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        match self.data.get(name) {
            Some(text) => Some(text.clone().into_bytes()),
            None => decoded(self.binary_data.get(name)?),
        }
    }
}

/// Base64 with any white space in it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(compact).ok()
}

impl fmt::Debug for SecretContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretContent")
            .field("type", &self.r#type)
            .field("keys", &self.data.keys().chain(self.string_data.keys()).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn opaque() -> String {
    "Opaque".to_owned()
}
