//! Statuses as the Gateway API writes them. `lastTransitionTime` is added by the caller, who knows the past.

use std::borrow::Cow;

use igw_crds::objects::http_route::ParentReference;
use serde::Serialize;

/// Status of an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Status {
    /// Of a Certificate.
    Certificate(CertificateStatus),
    /// Of a GatewayClass.
    Class(ClassStatus),
    /// Of a Gateway.
    Gateway(GatewayStatus),
    /// Of a CertificateIssuer.
    Issuer(IssuerStatus),
    /// Of a ListenerSet.
    ListenerSet(ListenerSetStatus),
    /// Of a policy.
    Policy(PolicyStatus),
    /// Of a route.
    Route(RouteStatus),
}

/// Status of a Certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Serial number of what the Secret holds, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Begin of its validity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// End of its validity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// When it is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<String>,
}

/// Status of a CertificateIssuer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IssuerStatus {
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// Status of a GatewayClass.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassStatus {
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Features, sorted by name.
    pub supported_features: Vec<Feature>,
}

/// A feature by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// Name.
    pub name: &'static str,
}

/// Status of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Addresses that take traffic.
    pub addresses: Vec<StatusAddress>,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Listeners in the order of the object.
    pub listeners: Vec<ListenerStatus>,
    /// ListenerSets attached.
    pub attached_listener_sets: i32,
}

/// Status of a ListenerSet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerSetStatus {
    /// `namespace/name` of its gateway.
    #[serde(skip)]
    pub gateway: String,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Listeners in the order of the object.
    pub listeners: Vec<ListenerStatus>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusAddress {
    /// `IPAddress`.
    pub r#type: &'static str,
    /// The address.
    pub value: String,
}

/// Status of a listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Name.
    pub name: String,
    /// Kinds of routes that may attach.
    pub supported_kinds: Vec<SupportedKind>,
    /// Routes that are attached.
    pub attached_routes: i32,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SupportedKind {
    /// Group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// Status of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RouteStatus {
    /// One entry for each parentRef that is ours.
    pub parents: Vec<ParentStatus>,
}

/// Status of a route on one parent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The reference, with defaults.
    pub parent_ref: ParentReference,
    /// Who says this.
    pub controller_name: &'static str,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// Status of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PolicyStatus {
    /// One entry for each target.
    pub ancestors: Vec<AncestorStatus>,
}

/// Status of a policy on one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AncestorStatus {
    /// The target.
    pub ancestor_ref: AncestorReference,
    /// Who says this.
    pub controller_name: &'static str,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AncestorReference {
    /// Group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// A part of it: a listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type, like `Accepted`.
    pub r#type: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// Reason, one word.
    pub reason: &'static str,
    /// For people: what is so, and what to do.
    pub message: Cow<'static, str>,
    /// Generation of the object that was judged.
    pub observed_generation: u64,
}

// === impl AncestorStatus ===

impl AncestorStatus {
    /// What igw says of a target.
    #[must_use]
    pub fn new(ancestor_ref: AncestorReference, conditions: Vec<Condition>) -> Self {
        Self { ancestor_ref, controller_name: CONTROLLER, conditions }
    }
}

// === impl AncestorReference ===

impl AncestorReference {
    /// All of an object.
    #[must_use]
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            section_name: None,
        }
    }
}

// === impl Condition ===

impl Condition {
    /// A condition that holds.
    #[must_use]
    pub fn yes(
        r#type: &'static str,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
        generation: u64,
    ) -> Self {
        Self { r#type, status: "True", reason, message: message.into(), observed_generation: generation }
    }

    /// A condition that does not hold.
    #[must_use]
    pub fn no(
        r#type: &'static str,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
        generation: u64,
    ) -> Self {
        Self { r#type, status: "False", reason, message: message.into(), observed_generation: generation }
    }

    /// A condition that nobody can judge yet.
    #[must_use]
    pub fn unknown(
        r#type: &'static str,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
        generation: u64,
    ) -> Self {
        Self { r#type, status: "Unknown", reason, message: message.into(), observed_generation: generation }
    }
}

/// Our name in statuses and GatewayClasses.
pub const CONTROLLER: &str = "igw.opensvc.com/gateway";
