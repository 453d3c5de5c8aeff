//! XTelemetryPolicy: which requests of gateways are traced, and who is told of them (GEP-5253).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http_route::{Fraction, HttpHeader};
use super::meta::{BackendObjectReference, LocalObjectReference};
use super::names::HeaderName;

/// Spec of an XTelemetryPolicy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TelemetryPolicySpec {
    /// What it is for: Gateways of its namespace.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<LocalObjectReference>,
    /// Traces. Must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// Which requests are traced, and who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracing {
    /// Whether there are traces. Default `ImplementationDefault`: no.
    #[serde(default)]
    pub mode: Switch,
    /// Who is told of requests. With mode `Enabled`, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<TracingProvider>,
    /// Share of the new traces that are told. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_rate: Option<Fraction>,
    /// Whether a trace that somebody else began is told if he tells it. Default: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_based_sampling: Option<ParentBasedSampling>,
    /// `service.name`. Default: `<name>.<namespace>` of the Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_name: Option<String>,
    /// Name of spans. Default: the method of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub span_name: Option<String>,
    /// What every span says besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Switch {
    /// Yes.
    Enabled,
    /// No.
    Disabled,
    /// As if nothing were said.
    #[default]
    ImplementationDefault,
}

/// Who is told of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TracingProvider {
    /// A service that takes OTLP over HTTP.
    pub backend_ref: BackendObjectReference,
    /// Fields that its requests have besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<HttpHeader>,
}

/// Whether the decision of who began a trace counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentBasedSampling {
    /// Default `ImplementationDefault`: it counts. `Disabled`: `samplingRate` of all traces decides.
    #[serde(default)]
    pub mode: Switch,
    /// Of the traces that others tell, the share that is told here. With mode `Enabled` alone. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_rate: Option<Fraction>,
}

/// What every span says besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attribute {
    /// Name of the attribute.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Where its value comes from; the field for that must be there, and no other.
    pub source_type: AttributeSource,
    /// For `Header`: a field of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_name: Option<HeaderName>,
    /// For `Literal`: the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub literal_value: Option<String>,
    /// For `Attribute`: another attribute of the span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub attribute_key: Option<String>,
}

/// Where the value of an attribute comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttributeSource {
    /// A field of the request.
    Header,
    /// The policy.
    Literal,
    /// Another attribute.
    Attribute,
}
