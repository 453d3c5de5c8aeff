//! ReferenceGrant: which references from other namespaces an owner allows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{Group, KindName, Namespace};

/// Spec of a ReferenceGrant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    #[schemars(length(min = 1, max = 16))]
    pub from: Vec<GrantFrom>,
    /// To what.
    #[schemars(length(min = 1, max = 16))]
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantFrom {
    /// Group of the referring object.
    pub group: Group,
    /// Its kind.
    pub kind: KindName,
    /// Its namespace.
    pub namespace: Namespace,
}

/// To what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantTo {
    /// Group of the object referred to.
    pub group: Group,
    /// Its kind.
    pub kind: KindName,
    /// Its name; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
}
