//! What proxies report becomes `Programmed`: true only when traffic works now.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use igw_crds::objects::ObjectKey;
use igw_crds::sync::{BindFailureKind, ListenerReport, Report};

use crate::Compiled;
use crate::listener_sets::listener_id;
use crate::status::{Condition, ListenerStatus, Status, StatusAddress};

/// What is known of proxies, by `namespace/name` of gateways.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proxies {
    /// What they say of listeners, together.
    pub report: Report,
    /// Gateways that do not take traffic as they should yet, and why.
    pub waits: BTreeMap<String, String>,
    /// Addresses at which gateways without addresses of their own are reached, where they are not those that are bound.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// The statuses of a compilation with what is known of the proxies.
#[must_use]
pub fn program(compiled: &Compiled, proxies: &Proxies) -> Vec<(ObjectKey, Arc<Status>)> {
    let report = &proxies.report;
    let mut reports: HashMap<(&str, &str), &ListenerReport> = HashMap::new();
    for listener in &report.listeners {
        reports.insert((&listener.gateway, &listener.listener), listener);
    }
    compiled
        .statuses
        .iter()
        .map(|(key, status)| match &**status {
            Status::Gateway(gateway) if report.serving => {
                let name = format!("{}/{}", key.namespace, key.name);
                let mut gateway = gateway.clone();
                match proxies.waits.get(&name) {
                    Some(reason) => waiting(&mut gateway.conditions, &mut gateway.listeners, reason),
                    None => {
                        let of = |listener: &str| reports.get(&(name.as_str(), listener)).copied();
                        if let Some(bound) = programmed(&mut gateway.conditions, &mut gateway.listeners, of) {
                            let reached =
                                proxies.addresses.get(&name).filter(|_| gateway.addresses.is_empty());
                            gateway.addresses = addresses(reached, bound);
                        }
                    }
                }
                (key.clone(), Arc::new(Status::Gateway(gateway)))
            }
            Status::ListenerSet(set) if report.serving => {
                let mut set = set.clone();
                match proxies.waits.get(&set.gateway) {
                    Some(reason) => waiting(&mut set.conditions, &mut set.listeners, reason),
                    None => {
                        let of = |listener: &str| {
                            let id = listener_id(key, listener);
                            reports.get(&(set.gateway.as_str(), id.as_str())).copied()
                        };
                        programmed(&mut set.conditions, &mut set.listeners, of);
                    }
                }
                (key.clone(), Arc::new(Status::ListenerSet(set)))
            }
            _ => (key.clone(), Arc::clone(status)),
        })
        .collect()
}

/// Where the proxies are not where they should be.
fn waiting(conditions: &mut [Condition], listeners: &mut [ListenerStatus], reason: &str) {
    let listeners = listeners.iter_mut().flat_map(|listener| &mut listener.conditions);
    for condition in conditions.iter_mut().chain(listeners) {
        if condition.r#type == "Programmed" && condition.status == "Unknown" {
            *condition =
                Condition::no("Programmed", "Pending", reason.to_owned(), condition.observed_generation);
        }
    }
}

/// Takes reports into conditions; the addresses that are bound, if that was open.
fn programmed<'r>(
    conditions: &mut [Condition],
    listeners: &mut [ListenerStatus],
    report_of: impl Fn(&str) -> Option<&'r ListenerReport>,
) -> Option<Vec<IpAddr>> {
    let mut first_failure = None;
    let mut n_bound = 0;
    let mut bound = Vec::new();
    for listener in listeners {
        let Some(report) = report_of(&listener.name) else { continue };
        bound.extend(report.bound.iter().map(|address| address.ip()));
        if judge(listener, report) {
            n_bound += 1;
        } else if let Some(failure) = &report.error {
            first_failure
                .get_or_insert((failure.kind, format!("listener {}: {}", listener.name, failure.message)));
        }
    }
    let is_open =
        |condition: &&mut Condition| condition.r#type == "Programmed" && condition.status == "Unknown";
    let condition = conditions.iter_mut().find(is_open)?;
    let generation = condition.observed_generation;
    *condition = match first_failure {
        _ if n_bound > 0 => Condition::yes(
            "Programmed",
            "Programmed",
            format!("{n_bound} listeners take traffic"),
            generation,
        ),
        Some((BindFailureKind::AddressNotUsable, message)) => {
            Condition::no("Programmed", "AddressNotUsable", message, generation)
        }
        Some((_, message)) => Condition::no("Programmed", "Invalid", message, generation),
        None => return None,
    };
    Some(bound)
}

/// Addresses at which a gateway is reached: those of its proxies, if it has none of its own, else those that are bound.
fn addresses(reached: Option<&Vec<IpAddr>>, bound: Vec<IpAddr>) -> Vec<StatusAddress> {
    let mut addresses = reached.filter(|reached| !reached.is_empty()).cloned().unwrap_or(bound);
    addresses.sort_unstable();
    addresses.dedup();
    addresses
        .into_iter()
        .map(|address| StatusAddress { r#type: "IPAddress", value: address.to_string() })
        .collect()
}

/// Takes a report into a listener's conditions; true if the listener takes traffic.
fn judge(listener: &mut ListenerStatus, report: &ListenerReport) -> bool {
    let is_open =
        |condition: &&mut Condition| condition.r#type == "Programmed" && condition.status == "Unknown";
    let Some(condition) = listener.conditions.iter_mut().find(is_open) else { return false };
    let generation = condition.observed_generation;
    match &report.error {
        Some(failure) => {
            let reason = match failure.kind {
                BindFailureKind::PortInUse | BindFailureKind::HeldByOtherGateway => "PortUnavailable",
                BindFailureKind::AddressNotUsable => "AddressNotUsable",
                _ => "Invalid",
            };
            *condition = Condition::no("Programmed", reason, failure.message.clone(), generation);
            if reason == "PortUnavailable"
                && let Some(accepted) =
                    listener.conditions.iter_mut().find(|condition| condition.r#type == "Accepted")
            {
                *accepted = Condition::no("Accepted", reason, failure.message.clone(), generation);
            }
            false
        }
        None if report.bound.is_empty() => false,
        None => {
            let shown: Vec<String> = report.bound.iter().map(ToString::to_string).collect();
            let message = format!("takes traffic on {}", shown.join(", "));
            *condition = Condition::yes("Programmed", "Programmed", message, generation);
            true
        }
    }
}
