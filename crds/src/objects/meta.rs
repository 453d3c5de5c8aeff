//! Metadata of objects and references between them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{Group, KindName, Namespace, ObjectName, PortNumber};

/// Metadata. What a Kubernetes server adds is read and not kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name, unique for its kind in its namespace.
    pub name: Option<ObjectName>,
    /// Namespace; absent means `default`. Kinds of the whole cluster have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Identity given by a server; ignored.
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    uid: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    resource_version: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    generation: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    creation_timestamp: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    managed_fields: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    finalizers: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    owner_references: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    self_link: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    generate_name: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    deletion_timestamp: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    deletion_grace_period_seconds: Option<serde::de::IgnoredAny>,
}

/// Selects by labels; all requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must be there with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelRequirement {
    /// Label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// Refers to an object of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalObjectReference {
    /// Group.
    pub group: Group,
    /// Kind.
    pub kind: KindName,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Refers to an object, possibly elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectReference {
    /// Group.
    pub group: Group,
    /// Kind.
    pub kind: KindName,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace; absent means that of the referring object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
}

/// Refers to a Secret, possibly elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretObjectReference {
    /// Group. Default: the core group.
    #[serde(default = "core_group")]
    pub group: Group,
    /// Kind. Default `Secret`.
    #[serde(default = "secret_kind")]
    pub kind: KindName,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace; absent means that of the referring object. Elsewhere needs a ReferenceGrant there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
}

/// Refers to something that takes requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendObjectReference {
    /// Group. Default: the core group.
    #[serde(default = "core_group")]
    pub group: Group,
    /// Kind. Default `Service`.
    #[serde(default = "service_kind")]
    pub kind: KindName,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace; absent means that of the referring object. Elsewhere needs a ReferenceGrant there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Port; needed for a Service, ignored for a Backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortNumber>,
}

pub(crate) fn core_group() -> Group {
    word(Group::parse(""))
}

pub(crate) fn gateway_group() -> Group {
    word(Group::parse("gateway.networking.k8s.io"))
}

pub(crate) fn service_kind() -> KindName {
    word(KindName::parse("Service"))
}

pub(crate) fn secret_kind() -> KindName {
    word(KindName::parse("Secret"))
}

pub(crate) fn gateway_kind() -> KindName {
    word(KindName::parse("Gateway"))
}

/// Unwraps a word of this source code.
fn word<T>(parsed: Result<T, String>) -> T {
    #[allow(clippy::expect_used)]
    parsed.expect("words of the source are valid")
}
