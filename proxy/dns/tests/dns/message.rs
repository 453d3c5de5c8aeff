//! What is believed of an answer, and that no bytes whatever do harm.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use igw_dns::message::{CNAMES_MAX, MessageError, QueryKind, Question, RECORDS_MAX, Records, Reply, Service};
use proptest::prelude::*;

use crate::server::{
    address, alias, answer, bytes, delegation, ip, name, negative, reply, service, truncated,
};

const ID: u16 = 0x1234;

fn question(kind: QueryKind) -> (Question, Message) {
    let question = Question::new(ID, "App.Test", kind).expect("a good name");
    let message = Message::from_vec(&question.encode(8_192).expect("encodes")).expect("decodes");
    (question, message)
}

fn check(kind: QueryKind, make: impl Fn(&Message) -> Vec<u8>, expected: &Result<Reply, MessageError>) {
    let (question, message) = question(kind);
    assert_eq!(question.decode(&make(&message)), *expected);
}

fn addresses(addresses: impl IntoIterator<Item = IpAddr>, ttl_s: u64) -> Result<Reply, MessageError> {
    Ok(Reply::Records(Records {
        addresses: addresses.into_iter().collect(),
        ttl: Duration::from_secs(ttl_s),
        ..Records::default()
    }))
}

/// A chain of `n` aliases from the name asked for, then an address.
fn chain(n: usize) -> Vec<Record> {
    let owner = |step: usize| if step == 0 { "app.test".to_owned() } else { format!("alias{step}.test") };
    let mut records: Vec<Record> = (0..n).map(|step| alias(&owner(step), &owner(step + 1), 60)).collect();
    records.push(address(&owner(n), ip(1), 60));
    records.reverse();
    records
}

#[test]
fn a_question_asks_for_recursion_and_room() {
    let (_, message) = question(QueryKind::Srv);
    assert_eq!((message.metadata.id, message.metadata.message_type), (ID, MessageType::Query));
    assert!(message.metadata.recursion_desired);
    assert_eq!(message.edns.as_ref().map(|edns| edns.max_payload()), Some(8_192));
    assert_eq!(message.queries[0].query_type(), RecordType::SRV);
    for bad in ["a..b", &"x".repeat(64), &"x.".repeat(200)] {
        assert!(
            matches!(Question::new(ID, bad, QueryKind::A), Err(MessageError::Name)),
            "{bad} was taken for a name"
        );
    }
}

#[test]
fn only_records_of_the_name_asked_for_count() {
    let all = |message: &Message| {
        answer(
            message,
            vec![
                address("APP.test", ip(1), 60),
                address("other.test", ip(2), 5),
                address("app.test", "2001:db8::1".parse().expect("an address"), 5),
                alias("other.test", "app.test", 5),
                address("app.test", ip(3), 30),
            ],
        )
    };
    check(QueryKind::A, all, &addresses([ip(1), ip(3)], 30));
    check(QueryKind::Aaaa, all, &addresses(["2001:db8::1".parse().expect("an address")], 5));
    check(QueryKind::Srv, all, &Ok(Reply::NoData(Duration::from_secs(5))));
}

#[test]
fn services_bring_the_addresses_of_their_own_targets() {
    check(
        QueryKind::Srv,
        |message| {
            let mut message = reply(
                message,
                ResponseCode::NoError,
                vec![service("app.test", (1, 70, 8_443), "N1.Test", 60)],
            );
            message.additionals = vec![address("n1.test", ip(1), 40), address("evil.test", ip(2), 1)];
            bytes(&message)
        },
        &Ok(Reply::Records(Records {
            services: vec![Service { priority: 1, weight: 70, port: 8_443, target: "n1.test".to_owned() }],
            glue: vec![("n1.test".to_owned(), ip(1))],
            ttl: Duration::from_secs(40),
            ..Records::default()
        })),
    );
}

#[test]
fn aliases_are_followed_so_far() {
    check(QueryKind::A, |message| answer(message, chain(CNAMES_MAX)), &addresses([ip(1)], 60));
    check(QueryKind::A, |message| answer(message, chain(CNAMES_MAX + 1)), &Err(MessageError::AliasChain));
    let ring = |message: &Message| {
        answer(message, vec![alias("app.test", "b.test", 60), alias("b.test", "app.test", 60)])
    };
    check(QueryKind::A, ring, &Err(MessageError::AliasChain));
    check(
        QueryKind::A,
        |message| answer(message, vec![alias("app.test", "b.test", 7), address("b.test", ip(1), 60)]),
        &addresses([ip(1)], 7),
    );
}

#[test]
fn answers_are_bounded() {
    let many = |message: &Message| {
        answer(message, (0..1_500).map(|n| address("app.test", ip(n), 60)).collect::<Vec<_>>())
    };
    let taken = (0..1_500).map(ip).take(RECORDS_MAX);
    check(QueryKind::A, many, &addresses(taken, 60));
}

#[test]
fn answers_without_records_say_for_how_long() {
    let cases = [
        (ResponseCode::NXDomain, 60, 30, Reply::NoName(Duration::from_secs(30))),
        (ResponseCode::NXDomain, 3, 30, Reply::NoName(Duration::from_secs(3))),
        (ResponseCode::NoError, 60, 9, Reply::NoData(Duration::from_secs(9))),
        (ResponseCode::ServFail, 60, 60, Reply::Failed),
        (ResponseCode::NotImp, 60, 60, Reply::Failed),
        (ResponseCode::Refused, 60, 60, Reply::Refused),
    ];
    for (code, soa_ttl, minimum, expected) in cases {
        check(QueryKind::A, |message| negative(message, code, soa_ttl, minimum), &Ok(expected));
    }
    // BADVERS has its upper bits in the OPT record alone; without them it would read as "no data".
    check(
        QueryKind::A,
        |message| bytes(&reply(message, ResponseCode::BADVERS, Vec::new())),
        &Ok(Reply::Failed),
    );
}

#[test]
fn a_server_that_points_elsewhere_knows_nothing() {
    let referral = |message: &Message| {
        let mut message = reply(message, ResponseCode::NoError, Vec::new());
        message.authorities = vec![delegation("test", "ns.test")];
        bytes(&message)
    };
    check(QueryKind::A, referral, &Ok(Reply::Failed));
}

#[test]
fn a_truncated_answer_may_end_anywhere_after_its_question() {
    check(QueryKind::A, truncated, &Ok(Reply::Truncated));
    let cut = |message: &Message| {
        let mut bytes = answer(message, (0..20).map(|n| address("app.test", ip(n), 60)).collect());
        bytes[2] |= 0x02;
        bytes.truncate(100);
        bytes
    };
    check(QueryKind::A, cut, &Ok(Reply::Truncated));
}

#[test]
fn what_answers_something_else_is_not_believed() {
    type Change = fn(&mut Message);
    let changes: [(&str, Change); 8] = [
        ("another id", |message| message.metadata.id ^= 1),
        ("a query", |message| message.metadata.message_type = MessageType::Query),
        ("another operation", |message| message.metadata.op_code = OpCode::Notify),
        ("no question", |message| message.queries.clear()),
        ("two questions", |message| message.queries.push(message.queries[0].clone())),
        ("another name", |message| {
            message.queries[0] = Query::query(name("other.test"), RecordType::A);
        }),
        ("another type", |message| {
            message.queries[0] = Query::query(name("app.test"), RecordType::AAAA);
        }),
        ("another class", |message| {
            message.queries[0].set_query_class(hickory_proto::rr::DNSClass::CH);
        }),
    ];
    for (what, change) in changes {
        let (question, message) = question(QueryKind::A);
        let mut reply = reply(&message, ResponseCode::NoError, vec![address("app.test", ip(1), 60)]);
        change(&mut reply);
        assert_eq!(question.decode(&bytes(&reply)), Err(MessageError::NotOurs), "{what}");
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(mut noise in proptest::collection::vec(any::<u8>(), 0..600), is_ours: bool) {
        if is_ours && noise.len() > 2 {
            noise[..2].copy_from_slice(&ID.to_be_bytes());
        }
        let (question, _) = question(QueryKind::A);
        if let Ok(Reply::Records(records)) = question.decode(&noise) {
            prop_assert!(records.addresses.len() <= RECORDS_MAX);
        }
    }

    #[test]
    fn damaged_answers_give_bounded_records(
        n_records in 0_u16..40,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let (question, message) = question(QueryKind::Srv);
        let owner = "app.test";
        let mut whole = reply(
            &message,
            ResponseCode::NoError,
            (0..n_records).map(|n| service(owner, (0, n, n), &format!("n{n}.test"), 60)).collect(),
        );
        whole.additionals = (0..n_records).map(|n| address(&format!("n{n}.test"), ip(n), 60)).collect();
        let mut bytes = bytes(&whole);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(Reply::Records(records)) = question.decode(&bytes) {
            prop_assert!(records.services.len() <= usize::from(n_records));
            prop_assert!(records.glue.len() <= usize::from(n_records));
            prop_assert!(records.addresses.is_empty());
        }
    }
}
