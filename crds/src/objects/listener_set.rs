//! ListenerSet: more listeners for a Gateway, of their own owner.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gateway::Listener;
use super::meta::{gateway_group, gateway_kind};
use super::names::{Group, KindName, Namespace};

/// Spec of a ListenerSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerSetSpec {
    /// The Gateway that is to serve them. It says in `allowedListeners` whose it takes.
    pub parent_ref: ParentGatewayReference,
    /// Listeners.
    #[schemars(length(min = 1, max = 64))]
    pub listeners: Vec<Listener>,
}

/// A reference to a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentGatewayReference {
    /// Group.
    #[serde(default = "gateway_group")]
    pub group: Group,
    /// Kind.
    #[serde(default = "gateway_kind")]
    pub kind: KindName,
    /// Namespace; absent means that of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
