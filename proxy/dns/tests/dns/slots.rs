//! Slots follow answers, and nothing but time and answers.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use igw_dns::slots::{HoldSpec, NEGATIVE_MAX, Outcome, SlotEndpoint, SlotHealth, Slots, SlotsSpec, Trouble};
use proptest::prelude::*;

use crate::server::ip;

const TTL: Duration = Duration::from_secs(10);

fn spec() -> SlotsSpec {
    SlotsSpec {
        slots: 4,
        min_ttl: Duration::from_secs(1),
        max_ttl: Duration::from_secs(60),
        hold: HoldSpec {
            nxdomain: Some(Duration::from_secs(30)),
            obsolete: Some(Duration::ZERO),
            timeout: None,
            refused: None,
            other: None,
        },
    }
}

fn at(n: u16) -> SocketAddr {
    SocketAddr::new(ip(n), 80)
}

fn found(numbers: &[u16]) -> Outcome {
    Outcome::Found { endpoints: numbers.iter().map(|n| (at(*n), 1)).collect(), ttl: TTL }
}

fn partial(numbers: &[u16], trouble: Trouble) -> Outcome {
    Outcome::Partial { endpoints: numbers.iter().map(|n| (at(*n), 1)).collect(), ttl: TTL, trouble }
}

fn nothing(ttl_s: u64) -> Outcome {
    Outcome::Nothing { ttl: Duration::from_secs(ttl_s) }
}

/// Addresses below 100 pass, those below 200 fail, nobody checks the rest.
fn health(address: SocketAddr) -> SlotHealth {
    match (0..300).find(|n| at(*n) == address) {
        Some(0..100) => SlotHealth::Passing,
        Some(100..200) => SlotHealth::Failing,
        _ => SlotHealth::Unchecked,
    }
}

fn shown(slots: &Slots) -> BTreeMap<u32, SocketAddr> {
    slots.endpoints().map(|endpoint| (endpoint.slot, endpoint.address)).collect()
}

/// Seconds since the start, what came of asking, slots and addresses after it.
type Step<'a> = (u64, Outcome, &'a [(u32, u16)]);

fn check(what: &str, spec: SlotsSpec, steps: &[Step<'_>]) {
    let start = Instant::now();
    let mut slots = Slots::new(spec);
    for (index, (second, outcome, expected)) in steps.iter().enumerate() {
        slots.apply(start + Duration::from_secs(*second), outcome, &health);
        let expected: BTreeMap<u32, SocketAddr> = expected.iter().map(|(slot, n)| (*slot, at(*n))).collect();
        assert_eq!(shown(&slots), expected, "{what}, step {index}");
    }
}

#[test]
fn identity_is_stable() {
    check(
        "shuffling changes nothing",
        spec(),
        &[
            (0, found(&[1, 2, 3]), &[(0, 1), (1, 2), (2, 3)]),
            (1, found(&[3, 1, 2]), &[(0, 1), (1, 2), (2, 3)]),
        ],
    );
    check(
        "a new address takes the lowest free slot",
        spec(),
        &[
            (0, found(&[1, 2, 3]), &[(0, 1), (1, 2), (2, 3)]),
            (1, found(&[3, 1]), &[(0, 1), (2, 3)]),
            (2, found(&[9, 3, 1]), &[(0, 1), (1, 9), (2, 3)]),
        ],
    );
    check(
        "one that goes makes room in the same answer",
        spec(),
        &[
            (0, found(&[1, 2, 3, 4]), &[(0, 1), (1, 2), (2, 3), (3, 4)]),
            (1, found(&[5, 4, 3, 2]), &[(0, 5), (1, 2), (2, 3), (3, 4)]),
        ],
    );
    check("no more than allowed", spec(), &[(0, found(&[1, 2, 3, 4, 5]), &[(0, 1), (1, 2), (2, 3), (3, 4)])]);
    check("duplicates are one", spec(), &[(0, found(&[1, 1, 2, 1]), &[(0, 1), (1, 2)])]);
}

#[test]
fn obsolete_endpoints_are_held() {
    let mut held = spec();
    held.hold.obsolete = Some(Duration::from_secs(5));
    check(
        "held, freed, and named again in between",
        held,
        &[
            (0, found(&[1, 2]), &[(0, 1), (1, 2)]),
            (10, found(&[1]), &[(0, 1), (1, 2)]),
            (13, found(&[1, 2]), &[(0, 1), (1, 2)]),
            (14, found(&[1]), &[(0, 1), (1, 2)]),
            (18, found(&[1]), &[(0, 1), (1, 2)]),
            (19, found(&[1]), &[(0, 1)]),
        ],
    );
}

#[test]
fn a_missing_name_removes_what_does_not_pass_and_later_everything() {
    let all: &[(u32, u16)] = &[(0, 1), (1, 101), (2, 201)];
    let last = NEGATIVE_MAX.as_secs();
    check(
        "nxdomain",
        spec(),
        &[
            (0, found(&[1, 101, 201]), all),
            (100, nothing(5), all),
            (129, nothing(5), all),
            (130, nothing(5), &[(0, 1)]),
            (99 + last, nothing(5), &[(0, 1)]),
            (100 + last, nothing(5), &[]),
            (101 + last, found(&[7]), &[(0, 7)]),
        ],
    );
    check(
        "a name that flaps",
        spec(),
        &[
            (0, found(&[1, 101, 201]), all),
            (10, nothing(5), all),
            (18, found(&[1, 101, 201]), all),
            (30, nothing(5), all),
            (59, nothing(5), all),
            (60, found(&[201, 101, 1]), all),
        ],
    );
    let mut for_ever = spec();
    for_ever.hold.nxdomain = None;
    check("for ever", for_ever, &[(0, found(&[101]), &[(0, 101)]), (9_999, nothing(5), &[(0, 101)])]);
}

#[test]
fn resolver_trouble_removes_nothing_unless_asked_for() {
    for trouble in [Trouble::Timeout, Trouble::Refused, Trouble::Failed] {
        check(
            "kept for ever",
            spec(),
            &[
                (0, found(&[101, 201]), &[(0, 101), (1, 201)]),
                (10, Outcome::Trouble(trouble), &[(0, 101), (1, 201)]),
                (1_000_000, Outcome::Trouble(trouble), &[(0, 101), (1, 201)]),
            ],
        );
    }
    let mut spec = spec();
    spec.hold.timeout = Some(Duration::from_secs(20));
    check(
        "kept for 20 s of timeouts",
        spec,
        &[
            (0, found(&[1]), &[(0, 1)]),
            (10, Outcome::Trouble(Trouble::Timeout), &[(0, 1)]),
            (29, Outcome::Trouble(Trouble::Timeout), &[(0, 1)]),
            (30, Outcome::Trouble(Trouble::Refused), &[(0, 1)]),
            (31, Outcome::Trouble(Trouble::Timeout), &[]),
        ],
    );
}

#[test]
fn half_an_answer_adds_and_takes_nothing_away() {
    check(
        "kept for ever",
        spec(),
        &[
            (0, partial(&[1], Trouble::Timeout), &[(0, 1)]),
            (9, found(&[1, 2]), &[(0, 1), (1, 2)]),
            (10, partial(&[3, 1], Trouble::Timeout), &[(0, 1), (1, 2), (2, 3)]),
            (9_999, partial(&[3], Trouble::Timeout), &[(0, 1), (1, 2), (2, 3)]),
            (10_000, found(&[3]), &[(2, 3)]),
        ],
    );
    let mut unheld = spec();
    unheld.hold.timeout = Some(Duration::ZERO);
    check(
        "without a hold, what it names stays",
        unheld,
        &[
            (0, found(&[1, 2]), &[(0, 1), (1, 2)]),
            (10, partial(&[2], Trouble::Timeout), &[(1, 2)]),
            (11, Outcome::Trouble(Trouble::Timeout), &[]),
        ],
    );
    let mut spec = spec();
    spec.hold.timeout = Some(Duration::from_secs(20));
    check(
        "what it does not name is held as in trouble",
        spec,
        &[
            (0, found(&[1, 2]), &[(0, 1), (1, 2)]),
            (10, partial(&[1], Trouble::Timeout), &[(0, 1), (1, 2)]),
            (30, partial(&[1], Trouble::Timeout), &[(0, 1)]),
            (40, Outcome::Trouble(Trouble::Timeout), &[(0, 1)]),
            (50, Outcome::Trouble(Trouble::Timeout), &[]),
        ],
    );
}

#[test]
fn weights_change_in_place_and_are_never_zero() {
    let weighted = |weights: &[(u16, u32)]| Outcome::Found {
        endpoints: weights.iter().map(|(n, weight)| (at(*n), *weight)).collect(),
        ttl: TTL,
    };
    let start = Instant::now();
    let mut slots = Slots::new(spec());
    slots.apply(start, &weighted(&[(1, 70), (2, 0)]), &health);
    slots.apply(start + TTL, &weighted(&[(2, 5), (1, 71), (1, 99)]), &health);
    let expected = [
        SlotEndpoint { slot: 0, address: at(1), weight: 71 },
        SlotEndpoint { slot: 1, address: at(2), weight: 5 },
    ];
    assert_eq!(slots.endpoints().collect::<Vec<_>>(), expected);
}

#[test]
fn remembered_endpoints_keep_their_slots() {
    let remembered: Vec<SlotEndpoint> = [(2, 7), (0, 1), (2, 8), (9, 9), (3, 1)]
        .map(|(slot, n)| SlotEndpoint { slot, address: at(n), weight: 0 })
        .to_vec();
    let mut slots = Slots::new(spec());
    slots.restore(&remembered);
    let expected = BTreeMap::from([(0, at(1)), (2, at(7))]);
    assert_eq!(shown(&slots), expected, "no slot twice, no address twice, none beyond the limit");
    assert!(slots.endpoints().all(|endpoint| endpoint.weight == 1));
    slots.apply(Instant::now(), &found(&[5, 7]), &health);
    assert_eq!(shown(&slots), BTreeMap::from([(0, at(5)), (2, at(7))]));
}

#[test]
fn waits_follow_records_within_bounds() {
    let ttl = |seconds| Outcome::Found { endpoints: vec![(at(1), 1)], ttl: Duration::from_secs(seconds) };
    let cases = [
        (ttl(0), 1_000),
        (ttl(10), 10_000),
        (ttl(86_400), 60_000),
        (nothing(0), 1_000),
        (nothing(86_400), 5_000),
        (Outcome::Trouble(Trouble::Failed), 500),
        (partial(&[1], Trouble::Timeout), 500),
    ];
    for (outcome, expected_ms) in cases {
        let wait = Slots::new(spec()).apply(Instant::now(), &outcome, &health);
        assert_eq!(wait, Duration::from_millis(expected_ms), "{outcome:?}");
    }
    let start = Instant::now();
    let mut slots = Slots::new(spec());
    let mut waits = Vec::new();
    for step in 0..5 {
        let now = start + Duration::from_secs(step * 3);
        waits.push(slots.apply(now, &Outcome::Trouble(Trouble::Timeout), &health).as_millis());
    }
    assert_eq!(waits, [500, 1_000, 2_000, 2_000, 2_000], "later and later, but soon enough");
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let numbers = || proptest::collection::vec(0_u16..300, 0..12);
    let troubles = || prop_oneof![Just(Trouble::Timeout), Just(Trouble::Refused), Just(Trouble::Failed)];
    prop_oneof![
        4 => numbers().prop_map(|numbers| found(&numbers)),
        2 => (numbers(), troubles()).prop_map(|(numbers, trouble)| partial(&numbers, trouble)),
        1 => (0_u64..100).prop_map(nothing),
        2 => troubles().prop_map(Outcome::Trouble),
    ]
}

proptest! {
    #[test]
    fn invariants_hold(
        cap in 1_u32..10,
        obsolete in proptest::option::of(0_u64..30),
        steps in proptest::collection::vec((1_u64..40, outcomes()), 1..30),
    ) {
        let mut spec = SlotsSpec { slots: cap, ..spec() };
        spec.hold.obsolete = obsolete.map(Duration::from_secs);
        let mut slots = Slots::new(spec);
        let mut now = Instant::now();
        for (seconds, outcome) in steps {
            now += Duration::from_secs(seconds);
            let before = shown(&slots);
            let wait = slots.apply(now, &outcome, &health);
            let after = shown(&slots);
            prop_assert!(wait <= Duration::from_secs(60));
            prop_assert!(after.len() <= cap as usize && after.keys().all(|slot| *slot < cap));
            let addresses: HashSet<SocketAddr> = after.values().copied().collect();
            prop_assert_eq!(addresses.len(), after.len(), "an address stands twice");
            for (slot, address) in &before {
                let moved = after.iter().find(|(other, there)| *there == address && *other != slot);
                prop_assert!(moved.is_none(), "{} moved from {} to {:?}", address, slot, moved);
            }
            match &outcome {
                Outcome::Found { endpoints, .. } => {
                    let named: HashSet<SocketAddr> = endpoints.iter().map(|(address, _)| *address).collect();
                    if obsolete == Some(0) {
                        prop_assert!(addresses.is_subset(&named));
                        prop_assert_eq!(addresses.len(), named.len().min(cap as usize));
                    }
                }
                Outcome::Partial { .. } | Outcome::Trouble(_) if obsolete.is_none() => {
                    let lost = before.iter().find(|(slot, address)| after.get(slot) != Some(address));
                    prop_assert!(lost.is_none(), "trouble took {:?} away", lost);
                }
                _ => {}
            }
        }
    }
}
