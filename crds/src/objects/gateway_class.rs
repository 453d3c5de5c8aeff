//! GatewayClass: which controller serves a gateway.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::meta::ObjectReference;
use super::names::ControllerName;

/// Spec of a GatewayClass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayClassSpec {
    /// Controller; ours is `igw.opensvc.com/gateway`.
    pub controller_name: ControllerName,
    /// Text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub description: Option<String>,
    /// A GatewayConfig for all gateways of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<ObjectReference>,
}
