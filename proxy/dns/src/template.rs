//! A server template at work: it asks, fills its slots, tells, waits, and asks again.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::guard::Guard;
use crate::message::{QueryKind, Records, Service};
use crate::resolver::{Lookup, Resolver};
use crate::slots::{Outcome, SlotEndpoint, SlotHealth, Slots, SlotsSpec, Trouble};

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
    /// Which addresses may be used; none = all.
    pub guard: Option<Guard>,
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
    /// All addresses that were answered are ones that may not be used.
    Forbidden,
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
    slots.restore(&still_meant(&spec, initial));
    let mut shown: Vec<SlotEndpoint> = slots.endpoints().collect();
    let mut state = TemplateState::Pending;
    publish(&shown, state);
    loop {
        let (outcome, is_forbidden) = guarded(&spec, ask(&spec, resolver).await);
        let wait = slots.apply(Instant::now().into_std(), &outcome, &health);
        let now: Vec<SlotEndpoint> = slots.endpoints().collect();
        let new_state = if is_forbidden { TemplateState::Forbidden } else { TemplateState::of(&outcome) };
        if now != shown || new_state != state {
            publish(&now, new_state);
            shown = now;
            state = new_state;
        }
        tokio::select! {
            () = tokio::time::sleep(spread(wait, spec.slots.min_ttl, rand::rng().random())) => {}
            () = hint.notified() => {}
        }
    }
}

/// Takes away what may not be used; true if nothing is left of something.
fn guarded(spec: &TemplateSpec, outcome: Outcome) -> (Outcome, bool) {
    let Some(guard) = &spec.guard else { return (outcome, false) };
    let admitted = |mut endpoints: Vec<(SocketAddr, u32)>| {
        endpoints.retain(|(address, _)| guard.admits(address.ip()));
        endpoints
    };
    match outcome {
        Outcome::Found { endpoints, ttl } => {
            let endpoints = admitted(endpoints);
            let is_forbidden = endpoints.is_empty();
            (
                if is_forbidden { Outcome::Nothing { ttl } } else { Outcome::Found { endpoints, ttl } },
                is_forbidden,
            )
        }
        Outcome::Partial { endpoints, ttl, trouble } => {
            (Outcome::Partial { endpoints: admitted(endpoints), ttl, trouble }, false)
        }
        other => (other, false),
    }
}

/// Remembered endpoints of another port belong to an older definition; those that may not be used any more go.
fn still_meant(spec: &TemplateSpec, remembered: &[SlotEndpoint]) -> Vec<SlotEndpoint> {
    let is_meant = |one: &&SlotEndpoint| {
        (spec.records == RecordChoice::Srv || one.address.port() == spec.port)
            && spec.guard.as_ref().is_none_or(|guard| guard.admits(one.address.ip()))
    };
    remembered.iter().filter(is_meant).copied().collect()
}

/// Takes up to an eighth off a long wait, so that templates that started together do not ask together for
/// ever. Never asks in a tight loop, whatever bounds and records say.
fn spread(wait: Duration, min_ttl: Duration, random: u32) -> Duration {
    if wait < SPREAD_FROM {
        return wait.max(WAIT_MIN);
    }
    let part = wait / 8 * (random >> 24) / 256;
    (wait - part).max(min_ttl.min(wait))
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
    // Records of other priorities are for the day when these are gone from the answer.
    let best = records.services.iter().map(|service| service.priority).min();
    let chosen: Vec<&Service> = records
        .services
        .iter()
        .filter(|service| Some(service.priority) == best && service.port != 0 && !service.target.is_empty())
        .collect();
    let mut ttl = records.ttl;
    let mut trouble = None;
    let mut targets: HashMap<&str, Vec<IpAddr>> = HashMap::new();
    for service in &chosen {
        if targets.contains_key(service.target.as_str()) {
            continue;
        }
        let outcome = target(spec, resolver, &records, &service.target).await;
        if let Outcome::Found { ttl: of_target, .. } | Outcome::Nothing { ttl: of_target } = &outcome {
            ttl = ttl.min(*of_target);
        }
        let found = match outcome {
            Outcome::Found { endpoints, .. } => endpoints,
            Outcome::Nothing { .. } | Outcome::Partial { .. } => Vec::new(),
            Outcome::Trouble(met) => {
                // The next target would meet the same trouble, and each one costs a timeout.
                trouble = Some(met);
                break;
            }
        };
        targets.insert(&service.target, found.into_iter().map(|(address, _)| address.ip()).collect());
    }
    let endpoints = chosen
        .into_iter()
        .flat_map(|service| {
            let weight = if spec.ignore_weight { 1 } else { u32::from(service.weight).max(1) };
            let of_target = targets.get(service.target.as_str()).into_iter().flatten();
            of_target.map(move |address| (SocketAddr::new(*address, service.port), weight))
        })
        .collect();
    with_trouble(found(endpoints, ttl), trouble)
}

/// Addresses of one target: those that came along, else those it is asked for.
async fn target(spec: &TemplateSpec, resolver: &Resolver, records: &Records, name: &str) -> Outcome {
    let glue: Vec<(SocketAddr, u32)> = records
        .glue
        .iter()
        .filter(|(owner, _)| owner == name)
        .map(|(_, address)| (SocketAddr::new(*address, 0), 1))
        .collect();
    if !glue.is_empty() {
        return Outcome::Found { endpoints: glue, ttl: records.ttl };
    }
    let of_target = TemplateSpec { name: format!("{name}."), ..spec.clone() };
    preferred(&of_target, resolver, QueryKind::A, QueryKind::Aaaa).await
}

fn addresses(lookup: Lookup, port: u16) -> Outcome {
    match lookup {
        Lookup::Found(records) => {
            let endpoints =
                records.addresses.iter().map(|address| (SocketAddr::new(*address, port), 1)).collect();
            found(endpoints, records.ttl)
        }
        Lookup::Nothing(ttl) => Outcome::Nothing { ttl },
        Lookup::Timeout => Outcome::Trouble(Trouble::Timeout),
        Lookup::Refused => Outcome::Trouble(Trouble::Refused),
        Lookup::Failed => Outcome::Trouble(Trouble::Failed),
    }
}

fn both(first: Outcome, second: Outcome) -> Outcome {
    match (first, second) {
        (Outcome::Found { mut endpoints, ttl }, Outcome::Found { endpoints: more, ttl: other }) => {
            endpoints.extend(more);
            Outcome::Found { endpoints, ttl: ttl.min(other) }
        }
        (Outcome::Nothing { ttl }, Outcome::Nothing { ttl: other }) => {
            Outcome::Nothing { ttl: ttl.min(other) }
        }
        (outcome, Outcome::Nothing { .. }) | (Outcome::Nothing { .. }, outcome) => outcome,
        (outcome, Outcome::Trouble(trouble)) | (Outcome::Trouble(trouble), outcome) => {
            with_trouble(outcome, Some(trouble))
        }
        // One family is never a part of a whole.
        (partial @ Outcome::Partial { .. }, _) | (_, partial @ Outcome::Partial { .. }) => partial,
    }
}

/// Half an answer adds endpoints, and takes none away for the resolver's trouble.
fn with_trouble(outcome: Outcome, trouble: Option<Trouble>) -> Outcome {
    match (outcome, trouble) {
        (outcome, None) => outcome,
        (Outcome::Found { endpoints, ttl }, Some(trouble)) => Outcome::Partial { endpoints, ttl, trouble },
        (_, Some(trouble)) => Outcome::Trouble(trouble),
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
            Outcome::Partial { trouble, .. } | Outcome::Trouble(trouble) => match trouble {
                Trouble::Timeout => Self::Timeout,
                Trouble::Refused => Self::Refused,
                Trouble::Failed => Self::Failed,
            },
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
            Self::Forbidden => {
                "answered with addresses that may not be used; `backends` of GatewayConfig system/default must allow them"
            }
        }
    }
}

/// Shorter waits are taken as they are.
const SPREAD_FROM: Duration = Duration::from_secs(1);
/// Shortest time between two questions of one template.
const WAIT_MIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{WAIT_MIN, spread};

    #[test]
    fn waits_are_spread_within_bounds() {
        let ms = Duration::from_millis;
        let cases = [
            (ms(60_000), ms(1_000), 0, ms(60_000)..=ms(60_000)),
            (ms(60_000), ms(1_000), u32::MAX, ms(52_500)..=ms(52_600)),
            (ms(60_000), ms(59_000), u32::MAX, ms(59_000)..=ms(59_000)),
            (ms(1_000), ms(1_000), u32::MAX, ms(1_000)..=ms(1_000)),
            // The end of a hold may come before the next question is due.
            (ms(1_600), ms(5_000), u32::MAX, ms(1_600)..=ms(1_600)),
            (ms(500), ms(0), u32::MAX, ms(500)..=ms(500)),
            (ms(0), ms(0), u32::MAX, WAIT_MIN..=WAIT_MIN),
        ];
        for (wait, min_ttl, random, expected) in cases {
            let spread = spread(wait, min_ttl, random);
            assert!(expected.contains(&spread), "{wait:?} at least {min_ttl:?} became {spread:?}");
        }
    }
}
