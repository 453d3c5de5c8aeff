//! XTelemetryPolicies: which one counts for a gateway, and whom it tells. Found once back ends can be named.

use std::collections::{BTreeMap, BTreeSet};

use igw_crds::objects::http_route::Fraction;
use igw_crds::objects::telemetry_policy::{
    Attribute, AttributeSource, ParentBasedSampling, Switch, TelemetryPolicySpec, Tracing,
};
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::{self, AttributeValue, BackendId, Share};

use crate::backends::{Backends, BadReference};
use crate::input::ObjectSet;
use crate::listeners::{GATEWAY_GROUP, GatewayNode};
use crate::named::BackendReference as _;
use crate::status::{AncestorReference, AncestorStatus, Condition, PolicyStatus, Status};

/// Gives gateways their traces; the statuses of all policies.
pub(crate) fn find<'o>(
    objects: &'o ObjectSet,
    gateways: &mut [GatewayNode],
    backends: &mut Backends<'o>,
) -> Vec<(ObjectKey, Status)> {
    let mut taken: BTreeMap<ObjectKey, &'o ObjectKey> = BTreeMap::new();
    let mut statuses = Vec::new();
    for (key, stored) in objects.by_age(Kind::XTelemetryPolicy) {
        let Spec::XTelemetryPolicy(spec) = stored.spec() else { continue };
        let generation = stored.generation;
        let mut status = PolicyStatus::default();
        let mut seen = BTreeSet::new();
        let provider = spec.tracing.as_ref().and_then(|tracing| tracing.provider.as_ref());
        let resolved = provider.map(|provider| backends.resolve(key, provider.backend_ref.named(key)));
        for target in &spec.target_refs {
            let place = (target.group.as_str(), target.kind.as_str(), target.name.as_str());
            if !seen.insert(place) {
                continue;
            }
            let is_gateway = (target.group.as_str(), target.kind.as_str()) == (GATEWAY_GROUP, "Gateway");
            let gateway = ObjectKey::new(Kind::Gateway, &key.namespace, &target.name);
            let node = gateways.iter_mut().find(|node| node.key == gateway);
            let accepted = match node {
                _ if !is_gateway => {
                    let message = format!("kind {} is no target; use Gateway ({GATEWAY_GROUP})", target.kind);
                    Condition::no("Accepted", "Invalid", message, generation)
                }
                None if objects.find(Kind::Gateway, &key.namespace, &target.name).is_some() => {
                    // Somebody else serves it, and says so.
                    continue;
                }
                None => {
                    let message = format!(
                        "Gateway {}/{} does not exist; write it, or change targetRefs",
                        key.namespace, target.name
                    );
                    Condition::no("Accepted", "TargetNotFound", message, generation)
                }
                Some(node) => match taken.get(&gateway) {
                    Some(older) => {
                        let message =
                            format!("{older} is older and counts for this target; remove one of the two");
                        Condition::no("Accepted", "Conflicted", message, generation)
                    }
                    None => {
                        taken.insert(gateway.clone(), key);
                        let backend = resolved.as_ref().and_then(|resolved| resolved.as_ref().ok());
                        node.tracing = tracing(spec, &gateway, backend.copied());
                        Condition::yes(
                            "Accepted",
                            "Accepted",
                            "the policy counts for this target",
                            generation,
                        )
                    }
                },
            };
            let ancestor = AncestorReference::new(
                target.group.as_str(),
                target.kind.as_str(),
                &key.namespace,
                &target.name,
            );
            let conditions = vec![accepted, references(resolved.as_ref(), generation)];
            status.ancestors.push(AncestorStatus::new(ancestor, conditions));
        }
        statuses.push((key.clone(), Status::Policy(status)));
    }
    statuses
}

fn references(resolved: Option<&Result<BackendId, BadReference>>, generation: u64) -> Condition {
    match resolved {
        Some(Err(bad)) => Condition::no("ResolvedRefs", bad.reason, bad.message.clone(), generation),
        _ => Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved", generation),
    }
}

/// What a policy says of a gateway's traces; nothing where there are none.
fn tracing(
    spec: &TelemetryPolicySpec,
    gateway: &ObjectKey,
    backend: Option<BackendId>,
) -> Option<Box<snapshot::Tracing>> {
    let tracing = spec.tracing.as_ref().filter(|tracing| tracing.mode == Switch::Enabled)?;
    let fields = tracing.provider.iter().flat_map(|provider| &provider.headers);
    Some(Box::new(snapshot::Tracing {
        backend,
        fields: fields
            .map(|field| (field.name.as_str().to_lowercase(), field.value.as_str().to_owned()))
            .collect(),
        service: match &tracing.service_name {
            Some(name) => name.clone(),
            None => format!("{}.{}", gateway.name, gateway.namespace),
        },
        span: tracing.span_name.clone(),
        share: share(tracing.sampling_rate),
        parent_share: parent_share(tracing),
        attributes: tracing.attributes.iter().filter_map(attribute).collect(),
    }))
}

fn parent_share(tracing: &Tracing) -> Option<Share> {
    let ParentBasedSampling { mode, sampling_rate } = tracing.parent_based_sampling.unwrap_or_default();
    (mode != Switch::Disabled).then(|| share(sampling_rate))
}

/// All where nothing is said.
fn share(fraction: Option<Fraction>) -> Share {
    let Some(fraction) = fraction else { return Share { numerator: 1, denominator: 1 } };
    let natural = |number: i32| u32::try_from(number).unwrap_or_default();
    Share { numerator: natural(fraction.numerator), denominator: natural(fraction.denominator).max(1) }
}

fn attribute(attribute: &Attribute) -> Option<(String, AttributeValue)> {
    let value = match attribute.source_type {
        AttributeSource::Header => {
            AttributeValue::Field(attribute.header_name.as_ref()?.as_str().to_lowercase())
        }
        AttributeSource::Literal => AttributeValue::Literal(attribute.literal_value.clone()?),
        AttributeSource::Attribute => AttributeValue::Attribute(attribute.attribute_key.clone()?),
    };
    Some((attribute.name.clone(), value))
}
