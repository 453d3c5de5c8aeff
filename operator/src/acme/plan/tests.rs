//! The plan as tables: what is known, and what follows.

use super::super::record::{Proof, Renewal};
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const NOW: i64 = 10_000_000;
const DAY: i64 = 24 * 3600;

struct Case {
    record: Record,
    ordered: Vec<Timestamp>,
    held: Option<Held>,
    authority: AuthorityRecord,
    account: AccountState,
    answered: Vec<&'static str>,
    is_self_signed: bool,
    renew_before: i64,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            record: Record::default(),
            ordered: Vec::new(),
            held: None,
            authority: AuthorityRecord::default(),
            account: AccountState::Known,
            answered: Vec::new(),
            is_self_signed: false,
            renew_before: 0,
        }
    }
}

fn hostnames() -> Vec<String> {
    vec!["a.test".to_owned()]
}

fn check(what: &str, case: Case, want: Next) {
    let hostnames = hostnames();
    let answered = case.answered.iter().map(|token| (*token).to_owned()).collect();
    let got = next(&Situation {
        now: at(NOW),
        started: at(NOW - 1),
        wanted: Wanted {
            hostnames: &hostnames,
            issuer: "n/i",
            directory: (!case.is_self_signed).then_some("d"),
            renew_before: SignedDuration::from_secs(case.renew_before),
            asks_authority: !case.is_self_signed && case.renew_before == 0,
        },
        record: &case.record,
        ordered: &case.ordered,
        held: case.held.as_ref(),
        authority: (!case.is_self_signed).then_some(&case.authority),
        account: case.account,
        answered: &answered,
    });
    assert_eq!(got, want, "{what}");
}

fn held(begin: i64, end: i64) -> Option<Held> {
    Some(Held {
        serial: "01".to_owned(),
        names: hostnames().into_iter().collect(),
        issuer: "n/i".to_owned(),
        is_bootstrap: false,
        not_before: at(begin),
        not_after: at(end),
    })
}

fn bootstrap() -> Option<Held> {
    held(NOW - DAY, NOW + 89 * DAY).map(|held| Held { is_bootstrap: true, issuer: String::new(), ..held })
}

fn asked(ask_at: i64, renew_at: Option<i64>) -> Record {
    let renewal = Renewal { serial: "01".to_owned(), at: renew_at.map(at), ask_at: at(ask_at) };
    Record { renewal: Some(renewal), ..Record::default() }
}

fn pending(method: Method, offered: bool) -> ProofState {
    ProofState::Pending(Pending {
        hostname: "a.test".to_owned(),
        method,
        url: "c".to_owned(),
        token: "t".to_owned(),
        answer: "t.x".to_owned(),
        since: at(NOW - 10),
        is_recorded: false,
        is_offered: offered,
    })
}

fn order(stage: Stage, proofs: Vec<ProofState>) -> Record {
    let proofs = proofs.into_iter().map(|state| Proof { state, ..Proof::new("z") }).collect();
    Record {
        order: Some(Order {
            url: "o".to_owned(),
            directory: "d".to_owned(),
            hostnames: hostnames(),
            finalize: "f".to_owned(),
            proofs,
            stage,
            began: at(NOW - 20),
            poll_at: None,
        }),
        ..Record::default()
    }
}

#[test]
fn a_certificate_is_ordered_when_it_is_due() {
    let case = |held, record| Case { held, record, ..Case::default() };
    let later_retry = |record: Record| Record { retry_at: Some(at(NOW + 60)), ..record };
    check("nothing is held", case(None, Record::default()), Next::Do(Step::Order));
    check("the meantime is filled", case(bootstrap(), Record::default()), Next::Do(Step::Order));
    check("it failed before", case(None, later_retry(Record::default())), Next::Wait(Some(at(NOW + 60))));
    let is_asked = Record { is_asked: true, ..later_retry(asked(NOW + 9, None)) };
    check("somebody asks", case(held(NOW - DAY, NOW + 89 * DAY), is_asked), Next::Do(Step::Order));
    let fresh = || held(NOW - DAY, NOW + 89 * DAY);
    check("the authority may know when", case(fresh(), Record::default()), Next::Do(Step::AskRenewal));
    check("it said later", case(fresh(), asked(NOW + 9, Some(NOW + DAY))), Next::Wait(Some(at(NOW + 9))));
    check("it said now", case(fresh(), asked(NOW + 9, Some(NOW))), Next::Do(Step::Order));
    check(
        "two thirds are over",
        case(held(NOW - 70 * DAY, NOW + 20 * DAY), asked(NOW + 9, None)),
        Next::Do(Step::Order),
    );
    check(
        "half is over",
        case(held(NOW - 45 * DAY, NOW + 45 * DAY), asked(NOW + 9, None)),
        Next::Wait(Some(at(NOW + 9))),
    );
    let other = fresh().map(|held| Held { names: BTreeSet::new(), ..held });
    check("other names", case(other, asked(NOW + 9, None)), Next::Do(Step::Order));
    let other = fresh().map(|held| Held { issuer: "n/other".to_owned(), ..held });
    check("another issuer", case(other, asked(NOW + 9, None)), Next::Do(Step::Order));
    let early = |renew_before| Case { renew_before, ..case(fresh(), Record::default()) };
    check("said in the object", early(90 * DAY), Next::Do(Step::Order));
    check("said in the object, later", early(DAY), Next::Wait(Some(at(NOW + 88 * DAY))));
}

#[test]
fn accounts_come_before_orders() {
    let case = |account| Case { account, ..Case::default() };
    check("no key", case(AccountState::NoKey), Next::Do(Step::MakeAccountKey));
    check("no account", case(AccountState::Unregistered), Next::Do(Step::Register));
    let mut lost = order(Stage::Proven, Vec::new());
    lost.order.as_mut().unwrap().poll_at = None;
    let lost = Case { record: lost, account: AccountState::Unregistered, ..Case::default() };
    check("the account was lost within an order", lost, Next::Do(Step::Register));
    check("no authority", Case { is_self_signed: true, ..Case::default() }, Next::Do(Step::SignSelf));
    let fresh =
        Case { is_self_signed: true, renew_before: DAY, held: held(NOW, NOW + 2 * DAY), ..Case::default() };
    check("no authority, and good", fresh, Next::Wait(Some(at(NOW + DAY))));
}

#[test]
fn nothing_is_asked_before_a_pause_ends() {
    let authority = AuthorityRecord { not_before: Some(at(NOW + 7)), ..AuthorityRecord::default() };
    for record in [
        Record::default(),
        Record { is_asked: true, ..Record::default() },
        order(Stage::Proven, Vec::new()),
        order(Stage::Issued("u".to_owned()), Vec::new()),
        order(Stage::Proving, vec![pending(Method::Http, true)]),
    ] {
        let case = Case { record, authority: authority.clone(), ..Case::default() };
        check("paused", case, Next::Wait(Some(at(NOW + 7))));
    }
    let over = AuthorityRecord { not_before: Some(at(NOW)), ..AuthorityRecord::default() };
    check("over", Case { authority: over, ..Case::default() }, Next::Do(Step::Order));
}

#[test]
fn a_challenge_is_offered_once_proxies_answer_it() {
    let case = |state, answered: &[&'static str]| Case {
        record: order(Stage::Proving, vec![state]),
        answered: answered.to_vec(),
        ..Case::default()
    };
    let patience = Next::Wait(Some(at(NOW - 1 + 30)));
    check("unread", case(ProofState::Unread, &[]), Next::Do(Step::Read(0)));
    check("proxies do not know it", case(pending(Method::Http, false), &["other"]), patience.clone());
    check("they know it", case(pending(Method::Http, false), &["t"]), Next::Do(Step::Offer(0)));
    check("by handshake", case(pending(Method::TlsAlpn, false), &[]), patience);
    check("offered", case(pending(Method::Http, true), &["t"]), Next::Do(Step::Read(0)));
    check("in DNS", case(pending(Method::Dns, false), &[]), Next::Do(Step::Record(0)));
    check("all valid", case(ProofState::Valid, &[]), Next::Do(Step::ReadOrder));
    let two = Case {
        record: order(Stage::Proving, vec![pending(Method::Http, false), ProofState::Unread]),
        ..Case::default()
    };
    check("one waits, another goes on", two, Next::Do(Step::Read(1)));
}

#[test]
fn an_order_goes_on_where_it_was() {
    let case = |record| Case { record, ..Case::default() };
    check("proven", case(order(Stage::Proven, Vec::new())), Next::Do(Step::Finalize));
    check("processing", case(order(Stage::Processing, Vec::new())), Next::Do(Step::ReadOrder));
    check("issued", case(order(Stage::Issued("u".to_owned()), Vec::new())), Next::Do(Step::Download));
    let with = |change: fn(&mut Order)| {
        let mut record = order(Stage::Processing, Vec::new());
        record.order.as_mut().map(change);
        case(record)
    };
    check("too early", with(|order| order.poll_at = Some(at(NOW + 3))), Next::Wait(Some(at(NOW + 3))));
    check("other names", with(|order| order.hostnames.push("b".to_owned())), Next::Do(Step::Forget));
    check("another authority", with(|order| order.directory = "e".to_owned()), Next::Do(Step::Forget));
    check("too long", with(|order| order.began = at(NOW - 3600)), Next::Do(Step::GiveUp));
}

#[test]
fn budgets_hold_back_what_nobody_asked_for() {
    let issued: Vec<Timestamp> = (1..=4).map(|day| at(NOW - day * DAY)).rev().collect();
    let full = Record { issued, ..Record::default() };
    check(
        "four this week",
        Case { record: full.clone(), ..Case::default() },
        Next::Wait(Some(at(NOW + 3 * DAY))),
    );
    let is_asked = Record { is_asked: true, ..full };
    check("somebody asks", Case { record: is_asked, ..Case::default() }, Next::Do(Step::Order));
    let old = Record { issued: (1..=4).map(|day| at(NOW - 8 * DAY - day)).collect(), ..Record::default() };
    check("long ago", Case { record: old, ..Case::default() }, Next::Do(Step::Order));
    let failed =
        Record { failed: [40, 30, 20, 10].map(|minute| at(NOW - minute * 60)).to_vec(), ..Record::default() };
    check("four this hour", Case { record: failed, ..Case::default() }, Next::Wait(Some(at(NOW + 20 * 60))));
}

#[test]
fn pauses_grow_to_their_bounds() {
    let minutes = |n| backoff(n, 0.0).as_secs() / 60;
    assert_eq!([1, 2, 3, 4, 9, 10, 99].map(minutes), [1, 2, 4, 8, 256, 360, 360]);
    assert_eq!(backoff(1, 1.0).as_secs(), 66);
    let seconds = |n| outage_pause(n, 0.0).as_secs();
    assert_eq!([1, 2, 6, 7, 99].map(seconds), [5, 10, 160, 300, 300]);
    let window = within(at(0), at(100), "01");
    assert!(window >= at(0) && window <= at(100));
    assert_eq!(within(at(50), at(10), "01"), at(50));
}

#[test]
fn a_namespace_has_a_budget_of_orders() {
    let ordered = |n: i64| (0..n).map(|index| at(NOW - 3_000 + index)).collect::<Vec<Timestamp>>();
    let full = i64::try_from(ORDERS_PER_NAMESPACE).unwrap();
    check("below it", Case { ordered: ordered(full - 1), ..Case::default() }, Next::Do(Step::Order));
    let free_at = at(NOW - 3_000 + 3 * 3_600);
    check("at it", Case { ordered: ordered(full), ..Case::default() }, Next::Wait(Some(free_at)));
    let asked = Record { is_asked: true, ..Record::default() };
    let case = Case { ordered: ordered(full), record: asked, ..Case::default() };
    check("who asks is not held up", case, Next::Do(Step::Order));
    let old = ordered(full).iter().map(|moment| earlier(*moment, ORDERS_SPAN)).collect();
    check("old ones do not count", Case { ordered: old, ..Case::default() }, Next::Do(Step::Order));
}
