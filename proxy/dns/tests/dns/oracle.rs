//! What holds for every message that claims to be an answer. Shared by the replay of the corpus and the fuzz target.

use std::net::IpAddr;
use std::sync::LazyLock;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use igw_dns::message::{MessageError, QueryKind, Question, RECORDS_MAX, Records, Reply};

#[path = "../../../h1/tests/oracle/cuts.rs"]
mod cuts;

pub use cuts::Cuts;

/// A message that is cut says nothing that the whole one does not; records are bounded, fit the question, and are read
/// again from a message that holds nothing else. `decode` reads the whole message, and may watch that.
pub fn answer(
    input: &[u8],
    cuts: Cuts,
    decode: impl FnOnce(&Question, &[u8]) -> Result<Reply, MessageError>,
) {
    let Some((question, bytes)) = parts(input) else { return };
    let whole = decode(question, &bytes);
    for n_bytes in cuts.of(&bytes, bytes.len()) {
        let part = question.decode(&bytes[..n_bytes]);
        assert!(part.is_err() || part == whole, "{part:?} of {n_bytes} bytes, {whole:?}");
    }
    let Ok(Reply::Records(records)) = whole else { return };
    let Records { addresses, services, glue, .. } = &records;
    assert!(addresses.len() + services.len() <= RECORDS_MAX && glue.len() <= RECORDS_MAX);
    assert!(addresses.is_empty() != services.is_empty(), "{records:?}");
    let is_named = |name: &str| services.iter().any(|service| service.target == name);
    assert!(glue.iter().all(|(name, _)| is_named(name)), "{records:?}");
    if let Some(written) = written(&records) {
        assert_eq!(question.decode(&written), Ok(Reply::Records(records)));
    }
}

/// What is asked: the first byte of an input chooses the kind, and the rest is the answer but for its id.
fn parts(input: &[u8]) -> Option<(&'static Question, Vec<u8>)> {
    let (kind, answer) = input.split_first()?;
    let mut answer = answer.to_vec();
    answer.get_mut(..2)?.copy_from_slice(&ID.to_be_bytes());
    Some((&QUESTIONS[usize::from(kind % 3)], answer))
}

/// The records as a server would send them; `None` if there are too many for one message or a target cannot be spelt.
fn written(records: &Records) -> Option<Vec<u8>> {
    let ttl = u32::try_from(records.ttl.as_secs()).expect("a time to live");
    let owner = Name::from_ascii(NAME).expect("a name");
    let asked = match records.addresses.first() {
        Some(IpAddr::V4(_)) => RecordType::A,
        Some(IpAddr::V6(_)) => RecordType::AAAA,
        None => RecordType::SRV,
    };
    let mut message = Message::new(ID, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(owner.clone(), asked));
    for ip in &records.addresses {
        message.answers.push(Record::from_rdata(owner.clone(), ttl, address(*ip)));
    }
    for service in &records.services {
        let target = spelt(&service.target)?;
        let service = SRV::new(service.priority, service.weight, service.port, target);
        message.answers.push(Record::from_rdata(owner.clone(), ttl, RData::SRV(service)));
    }
    for (name, ip) in &records.glue {
        message.additionals.push(Record::from_rdata(spelt(name)?, ttl, address(*ip)));
    }
    message.to_vec().ok()
}

fn spelt(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

static QUESTIONS: LazyLock<[Question; 3]> = LazyLock::new(|| {
    [QueryKind::A, QueryKind::Aaaa, QueryKind::Srv]
        .map(|kind| Question::new(ID, NAME, kind).expect("a good name"))
});
const ID: u16 = 0x1234;
const NAME: &str = "app.test.";
