//! What steps come to, as tables.

use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const NOW: i64 = 1_000_000;

fn settled(
    record: &mut Record,
    step: &Step,
    result: Result<Gain, Trouble>,
) -> (AuthorityRecord, Option<Ending>) {
    let mut authority = AuthorityRecord { n_failures: 2, ..AuthorityRecord::default() };
    let hostnames = ["a.test".to_owned()];
    let terms = Terms {
        now: at(NOW),
        hostnames: &hostnames,
        directory: "d",
        method: &|name| (!name.starts_with('*')).then_some(Method::Http),
        answer: &|token| format!("{token}.thumb"),
        draw: 0.0,
    };
    let ending = settle(record, &mut authority, step, result, &terms);
    (authority, ending)
}

fn order(status: &str) -> OrderDocument {
    serde_json::from_value(json!({
        "status": status, "authorizations": ["z"], "finalize": "f",
        "certificate": (status == "valid").then_some("u"),
    }))
    .unwrap()
}

fn authorization(status: &str, wildcard: bool, token: &str) -> Gain {
    let document = json!({
        "status": status, "identifier": {"type": "dns", "value": "A.test"}, "wildcard": wildcard,
        "challenges": [
            {"type": "dns-01", "url": "c1", "token": token},
            {"type": "http-01", "url": "c2", "token": token, "error": {"type": "x:connection", "detail": "refused"}},
        ],
    });
    Gain::Authorization { document: serde_json::from_value(document).unwrap(), again: None }
}

fn placed() -> Record {
    let mut record = Record::default();
    let gain = Gain::Order { url: Some("o".to_owned()), document: order("pending"), again: None };
    assert_eq!(settled(&mut record, &Step::Order, Ok(gain)).1, Some(Ending::Placed));
    record
}

fn state(record: &Record) -> &ProofState {
    &record.order.as_ref().unwrap().proofs[0].state
}

#[test]
fn an_order_from_its_placing_to_its_end() {
    let mut record = placed();
    assert_eq!(record.order.as_ref().unwrap().url, "o");
    settled(&mut record, &Step::Read(0), Ok(authorization("pending", false, "t-1_x")));
    let ProofState::Pending(pending) = state(&record) else { panic!("{record:?}") };
    assert_eq!((pending.url.as_str(), pending.answer.as_str()), ("c2", "t-1_x.thumb"));
    assert_eq!(pending.hostname, "a.test");
    settled(&mut record, &Step::Offer(0), Ok(Gain::Offered(Some(at(NOW + 3)))));
    assert_eq!(record.order.as_ref().unwrap().proofs[0].poll_at, Some(at(NOW + 3)));
    settled(&mut record, &Step::Read(0), Ok(authorization("valid", false, "t")));
    assert_eq!(*state(&record), ProofState::Valid);
    for (status, stage) in [
        ("ready", Stage::Proven),
        ("processing", Stage::Processing),
        ("valid", Stage::Issued("u".to_owned())),
    ] {
        let gain = Gain::Order { url: None, document: order(status), again: None };
        settled(&mut record, &Step::ReadOrder, Ok(gain));
        assert_eq!(record.order.as_ref().unwrap().stage, stage);
    }
    record.n_failures = 3;
    let (authority, ending) = settled(&mut record, &Step::Download, Ok(Gain::Stored));
    assert_eq!((authority.n_failures, ending), (0, Some(Ending::Issued)));
    assert_eq!(record, Record { issued: vec![at(NOW)], ..Record::default() });
}

#[test]
fn what_fails_ends_the_order_and_waits() {
    let failing: [(&str, Step, Result<Gain, Trouble>); 6] = [
        (
            "a.test is not proven: connection: refused",
            Step::Read(0),
            Ok(authorization("invalid", false, "t")),
        ),
        ("wildcard needs a dns01 solver", Step::Read(0), Ok(authorization("pending", true, "t"))),
        ("does not take http-01", Step::Read(0), Ok(authorization("pending", false, "../x"))),
        (
            "has given the order up",
            Step::ReadOrder,
            Ok(Gain::Order { url: None, document: order("invalid"), again: None }),
        ),
        ("no", Step::Finalize, Err(Trouble::Refused("no".to_owned()))),
        ("more than an hour", Step::GiveUp, Ok(Gain::Nothing)),
    ];
    for (why, step, result) in failing {
        let mut record = placed();
        let (_, ending) = settled(&mut record, &step, result);
        assert_eq!(ending, Some(Ending::Failed), "{why}");
        assert!(record.error.as_ref().is_some_and(|error| error.contains(why)), "{record:?}");
        assert_eq!((record.order, record.n_failures), (None, 1), "{why}");
        assert_eq!((record.retry_at, record.failed), (Some(at(NOW + 60)), vec![at(NOW)]), "{why}");
    }
}

#[test]
fn trouble_of_the_authority_is_not_that_of_the_name() {
    let mut record = placed();
    let before = record.clone();
    let trouble = Trouble::NotBefore { until: at(NOW + 90), why: "rateLimited".to_owned() };
    let (authority, ending) = settled(&mut record, &Step::Finalize, Err(trouble));
    assert_eq!((authority.not_before, ending, &record), (Some(at(NOW + 90)), None, &before));
    let (authority, _) = settled(&mut record, &Step::Finalize, Err(Trouble::Unavailable("down".to_owned())));
    assert_eq!((authority.n_failures, authority.not_before), (3, Some(at(NOW + 20))));
    assert_eq!(record, before);
    settled(&mut record, &Step::Finalize, Err(Trouble::AccountLost));
    assert_eq!(record, before);
    // An order that is lost is placed anew at once.
    settled(&mut record, &Step::Finalize, Err(Trouble::OrderLost));
    assert_eq!(record, Record::default());
}

#[test]
fn suggestions_are_kept_within_bounds() {
    let mut record = Record::default();
    let window = Window { start: at(NOW + 100), end: at(NOW + 200) };
    for (again, want) in [(None, 6 * 3600), (Some(1), 60), (Some(400_000), 24 * 3600), (Some(7_000), 7_000)] {
        let gain = Gain::Renewal {
            serial: "01".to_owned(),
            window: Some(window.clone()),
            again: again.map(|second| at(NOW + second)),
        };
        settled(&mut record, &Step::AskRenewal, Ok(gain));
        let renewal = record.renewal.clone().unwrap();
        assert_eq!(renewal.ask_at, at(NOW + want), "{again:?}");
        assert!(renewal.at.is_some_and(|at| at >= window.start && at <= window.end));
    }
    settled(&mut record, &Step::AskRenewal, Err(Trouble::OrderLost));
    assert_eq!(record.renewal.map(|renewal| renewal.at), Some(None));
}
