//! A server template at work: it asks, fills its slots, tells, waits, and asks again.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::message::{QueryKind, Service};
use crate::resolver::{Lookup, Resolver};
use crate::slots::{Outcome, SlotEndpoint, SlotHealth, Slots, SlotsSpec};

/// What a template asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSpec {
    /// Name to ask for.
    pub name: String,
    /// Port of the endpoints; service records bring their own.
    pub port: u16,
    /// Records asked for.
    pub records: RecordChoice,
    /// Weights of service records count for nothing.
    pub ignore_weight: bool,
    /// Slots and times.
    pub slots: SlotsSpec,
}

/// Which records make endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordChoice {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Addresses of both families.
    Both,
    /// IPv4 addresses, IPv6 ones where there are none.
    Prefer4,
    /// IPv6 addresses, IPv4 ones where there are none.
    Prefer6,
    /// Service records and the addresses of their targets.
    Srv,
}

/// How a template stands, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateState {
    /// Nothing was answered yet.
    Pending,
    /// The last question was answered.
    Resolved,
    /// The name does not exist or has no records.
    NoName,
    /// No answer in time; endpoints are kept.
    Timeout,
    /// Refused; endpoints are kept.
    Refused,
    /// Another failure; endpoints are kept.
    Failed,
}

/// Runs until dropped. `publish` is called when endpoints or state change; `hint` makes it ask at once;
/// `initial` are endpoints to begin with.
pub async fn run(
    spec: TemplateSpec,
    resolver: &Resolver,
    hint: &Notify,
    initial: &[SlotEndpoint],
    health: impl Fn(SocketAddr) -> SlotHealth,
    mut publish: impl FnMut(&[SlotEndpoint], TemplateState),
) {
    let mut slots = Slots::new(spec.slots.clone());
    slots.restore(initial);
    let mut shown: Vec<SlotEndpoint> = slots.endpoints().collect();
    let mut state = TemplateState::Pending;
    publish(&shown, state);
    loop {
        let outcome = ask(&spec, resolver).await;
        let wait = slots.apply(Instant::now().into_std(), &outcome, &health);
        let now: Vec<SlotEndpoint> = slots.endpoints().collect();
        let new_state = TemplateState::of(&outcome);
        if now != shown || new_state != state {
            publish(&now, new_state);
            shown = now;
            state = new_state;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = hint.notified() => {}
        }
    }
}

/// All questions of one round, as one outcome.
async fn ask(spec: &TemplateSpec, resolver: &Resolver) -> Outcome {
    let name = &spec.name;
    match spec.records {
        RecordChoice::A => addresses(resolver.lookup(name, QueryKind::A).await, spec.port),
        RecordChoice::Aaaa => addresses(resolver.lookup(name, QueryKind::Aaaa).await, spec.port),
        RecordChoice::Both => {
            let first = addresses(resolver.lookup(name, QueryKind::A).await, spec.port);
            both(first, addresses(resolver.lookup(name, QueryKind::Aaaa).await, spec.port))
        }
        RecordChoice::Prefer4 => preferred(spec, resolver, QueryKind::A, QueryKind::Aaaa).await,
        RecordChoice::Prefer6 => preferred(spec, resolver, QueryKind::Aaaa, QueryKind::A).await,
        RecordChoice::Srv => services(spec, resolver).await,
    }
}

/// The second family is asked for only where the first has nothing: its trouble must not hide the first.
async fn preferred(spec: &TemplateSpec, resolver: &Resolver, first: QueryKind, second: QueryKind) -> Outcome {
    match addresses(resolver.lookup(&spec.name, first).await, spec.port) {
        Outcome::Nothing { ttl } => match addresses(resolver.lookup(&spec.name, second).await, spec.port) {
            Outcome::Nothing { ttl: other } => Outcome::Nothing { ttl: ttl.min(other) },
            other => other,
        },
        outcome => outcome,
    }
}

async fn services(spec: &TemplateSpec, resolver: &Resolver) -> Outcome {
    let records = match resolver.lookup(&spec.name, QueryKind::Srv).await {
        Lookup::Found(records) => records,
        other => return addresses(other, 0),
    };
    let mut ttl = records.ttl;
    let best = records.services.iter().map(|service| service.priority).min();
    let chosen: Vec<&Service> =
        records.services.iter().filter(|service| Some(service.priority) == best).collect();
    let mut endpoints = Vec::new();
    let mut failure = None;
    for service in chosen.into_iter().take(TARGETS_MAX) {
        let weight = if spec.ignore_weight { 1 } else { u32::from(service.weight).max(1) };
        let glued: Vec<IpAddr> = records
            .glue
            .iter()
            .filter(|(name, _)| *name == service.target)
            .map(|(_, address)| *address)
            .collect();
        let found = if glued.is_empty() {
            let of_target = TemplateSpec { name: service.target.clone(), ..spec.clone() };
            match preferred(&of_target, resolver, QueryKind::A, QueryKind::Aaaa).await {
                Outcome::Found { endpoints, ttl: target_ttl } => {
                    ttl = ttl.min(target_ttl);
                    endpoints.iter().map(|(address, _)| address.ip()).collect()
                }
                Outcome::Nothing { .. } => Vec::new(),
                other => {
                    failure = Some(other);
                    Vec::new()
                }
            }
        } else {
            glued
        };
        endpoints.extend(found.into_iter().map(|address| (SocketAddr::new(address, service.port), weight)));
    }
    match failure {
        // Half an answer would take endpoints away for the resolver's trouble.
        Some(failure) => failure,
        None => found(endpoints, ttl),
    }
}

fn addresses(lookup: Lookup, port: u16) -> Outcome {
    match lookup {
        Lookup::Found(records) => {
            let endpoints =
                records.addresses.iter().map(|address| (SocketAddr::new(*address, port), 1)).collect();
            found(endpoints, records.ttl)
        }
        Lookup::Nothing(ttl) => Outcome::Nothing { ttl },
        Lookup::Timeout => Outcome::Timeout,
        Lookup::Refused => Outcome::Refused,
        Lookup::Failed => Outcome::Failed,
    }
}

fn both(first: Outcome, second: Outcome) -> Outcome {
    match (first, second) {
        (Outcome::Found { mut endpoints, ttl }, Outcome::Found { endpoints: more, ttl: other }) => {
            endpoints.extend(more);
            Outcome::Found { endpoints, ttl: ttl.min(other) }
        }
        (Outcome::Found { endpoints, ttl }, Outcome::Nothing { .. })
        | (Outcome::Nothing { .. }, Outcome::Found { endpoints, ttl }) => Outcome::Found { endpoints, ttl },
        (Outcome::Nothing { ttl }, Outcome::Nothing { ttl: other }) => {
            Outcome::Nothing { ttl: ttl.min(other) }
        }
        // Half an answer would take endpoints away for the resolver's trouble.
        (Outcome::Found { .. } | Outcome::Nothing { .. }, trouble) | (trouble, _) => trouble,
    }
}

/// Addresses nobody can be reached at are no endpoints; duplicates are one.
fn found(endpoints: Vec<(SocketAddr, u32)>, ttl: Duration) -> Outcome {
    let mut seen = HashSet::new();
    let endpoints: Vec<(SocketAddr, u32)> = endpoints
        .into_iter()
        .filter(|(address, _)| is_reachable(address.ip()) && seen.insert(*address))
        .collect();
    if endpoints.is_empty() { Outcome::Nothing { ttl } } else { Outcome::Found { endpoints, ttl } }
}

fn is_reachable(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !is_broadcast
}

// === impl TemplateState ===

impl TemplateState {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Found { .. } => Self::Resolved,
            Outcome::Nothing { .. } => Self::NoName,
            Outcome::Timeout => Self::Timeout,
            Outcome::Refused => Self::Refused,
            Outcome::Failed => Self::Failed,
        }
    }

    /// A word for displays.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Resolved => "resolved",
            Self::NoName => "no such name or no records",
            Self::Timeout => "no answer in time; endpoints are kept",
            Self::Refused => "refused; endpoints are kept",
            Self::Failed => "resolver failed; endpoints are kept",
        }
    }
}

/// Targets of service records that are looked up.
const TARGETS_MAX: usize = 256;
