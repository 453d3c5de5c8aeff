//! Queries and what may be believed of the answers.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use thiserror::Error;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Service records.
    Srv,
}

/// A query on its way.
#[derive(Clone, Debug)]
pub struct Question {
    id: u16,
    name: Name,
    kind: QueryKind,
}

/// A service record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Lower comes first.
    pub priority: u16,
    /// Share among records of one priority.
    pub weight: u16,
    /// Port of the service.
    pub port: u16,
    /// Name of the host, without the final dot, in lower case.
    pub target: String,
}

/// Records of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Addresses, for A and AAAA.
    pub addresses: Vec<IpAddr>,
    /// Services, for SRV.
    pub services: Vec<Service>,
    /// Addresses of the services' targets that came along.
    pub glue: Vec<(String, IpAddr)>,
    /// Smallest time to live on the way to the records.
    pub ttl: Duration,
}

/// What a message says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Records.
    Records(Records),
    /// The name does not exist; so for this long.
    NoName(Duration),
    /// The name has no such records; so for this long.
    NoData(Duration),
    /// The answer did not fit.
    Truncated,
    /// The server will not answer.
    Refused,
    /// The server could not answer.
    Failed,
}

/// Why bytes are not an answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A chain of more than [`CNAMES_MAX`] aliases.
    #[error("more than {CNAMES_MAX} aliases")]
    AliasChain,
    /// Not a DNS message.
    #[error("not a DNS message")]
    Malformed,
    /// The answer to something else, or no answer at all.
    #[error("not an answer to this question")]
    NotOurs,
    /// A name that cannot be asked for.
    #[error("not a name")]
    Name,
}

// === impl Question ===

impl Question {
    /// A question with an id that nobody can guess.
    ///
    /// # Errors
    /// [`MessageError::Name`] if `name` is no name.
    pub fn new(id: u16, name: &str, kind: QueryKind) -> Result<Self, MessageError> {
        let mut name = Name::from_ascii(name).map_err(|_| MessageError::Name)?.to_lowercase();
        name.set_fqdn(true);
        Ok(Self { id, name, kind })
    }

    /// The message to send; `payload` is the largest UDP answer that is taken, in bytes.
    ///
    /// # Errors
    /// [`MessageError::Name`] if the name cannot be encoded.
    pub fn encode(&self, payload: u16) -> Result<Vec<u8>, MessageError> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        let mut query = Query::query(self.name.clone(), self.kind.record_type());
        query.set_query_class(DNSClass::IN);
        message.add_query(query);
        let mut edns = Edns::new();
        edns.set_max_payload(payload.max(512)).set_version(0);
        message.set_edns(edns);
        message.to_vec().map_err(|_| MessageError::Name)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`MessageError`]; [`MessageError::NotOurs`] means that waiting may go on.
    pub fn decode(&self, bytes: &[u8]) -> Result<Reply, MessageError> {
        // The id alone tells most noise apart, before anything is decoded.
        if bytes.get(..2) != Some(&self.id.to_be_bytes()[..]) {
            return Err(MessageError::NotOurs);
        }
        // Head and question come first: a truncated answer may end in the middle of a record.
        let mut decoder = BinDecoder::new(bytes);
        let header = Header::read(&mut decoder).map_err(|_| MessageError::Malformed)?;
        if header.counts.queries != 1 {
            return Err(MessageError::NotOurs);
        }
        let question = Query::read(&mut decoder).map_err(|_| MessageError::Malformed)?;
        let is_ours = header.metadata.message_type == MessageType::Response
            && header.metadata.op_code == OpCode::Query
            && question.query_type() == self.kind.record_type()
            && question.query_class() == DNSClass::IN
            && question.name().to_lowercase() == self.name;
        if !is_ours {
            return Err(MessageError::NotOurs);
        }
        if header.metadata.truncation {
            return Ok(Reply::Truncated);
        }
        let message = Message::from_vec(bytes).map_err(|_| MessageError::Malformed)?;
        match message.metadata.response_code {
            ResponseCode::NoError => self.records(&message),
            ResponseCode::NXDomain => Ok(Reply::NoName(negative_ttl(&message))),
            ResponseCode::Refused => Ok(Reply::Refused),
            _ => Ok(Reply::Failed),
        }
    }

    /// Records of the name asked for, or of the name its aliases lead to.
    fn records(&self, message: &Message) -> Result<Reply, MessageError> {
        let mut owner = self.name.clone();
        let mut ttl = u32::MAX;
        let mut n_aliases = 0;
        loop {
            let alias = message.answers.iter().take(RECORDS_MAX).find_map(|record| match &record.data {
                RData::CNAME(target) if record.name.to_lowercase() == owner => {
                    Some((target.0.to_lowercase(), record.ttl))
                }
                _ => None,
            });
            let Some((target, alias_ttl)) = alias else { break };
            n_aliases += 1;
            if n_aliases > CNAMES_MAX {
                return Err(MessageError::AliasChain);
            }
            ttl = ttl.min(alias_ttl);
            owner = target;
        }
        let mut records = Records::default();
        for record in message.answers.iter().take(RECORDS_MAX) {
            if record.name.to_lowercase() != owner || record.dns_class != DNSClass::IN {
                continue;
            }
            match (&record.data, self.kind) {
                (RData::A(address), QueryKind::A) => records.addresses.push(IpAddr::V4(address.0)),
                (RData::AAAA(address), QueryKind::Aaaa) => records.addresses.push(IpAddr::V6(address.0)),
                (RData::SRV(service), QueryKind::Srv) => records.services.push(Service {
                    priority: service.priority,
                    weight: service.weight,
                    port: service.port,
                    target: plain(&service.target),
                }),
                _ => continue,
            }
            ttl = ttl.min(record.ttl);
        }
        if records.addresses.is_empty() && records.services.is_empty() {
            // A server that only points elsewhere does not know whether there are records.
            let reply =
                if is_referral(message) { Reply::Failed } else { Reply::NoData(negative_ttl(message)) };
            return Ok(reply);
        }
        // Only addresses of hosts that this very answer names are taken along.
        for record in message.additionals.iter().take(RECORDS_MAX) {
            let address = match &record.data {
                RData::A(address) => IpAddr::V4(address.0),
                RData::AAAA(address) => IpAddr::V6(address.0),
                _ => continue,
            };
            let name = plain(&record.name);
            if records.services.iter().any(|service| service.target == name) {
                records.glue.push((name, address));
                ttl = ttl.min(record.ttl);
            }
        }
        records.ttl = Duration::from_secs(u64::from(ttl));
        Ok(Reply::Records(records))
    }
}

// === impl QueryKind ===

impl QueryKind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Srv => RecordType::SRV,
        }
    }
}

/// Name servers of a zone below, and no word of authority (RFC 2308 section 2.2).
fn is_referral(message: &Message) -> bool {
    let mut types = message.authorities.iter().take(RECORDS_MAX).map(|record| record.record_type());
    let names_servers = types.clone().any(|kind| kind == RecordType::NS);
    names_servers && !message.metadata.authoritative && !types.any(|kind| kind == RecordType::SOA)
}

/// How long a negative answer holds (RFC 2308 section 5).
fn negative_ttl(message: &Message) -> Duration {
    let ttl = message.authorities.iter().take(RECORDS_MAX).find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    Duration::from_secs(u64::from(ttl.unwrap_or(NEGATIVE_TTL_S)))
}

fn plain(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// Records of one section that are looked at.
pub const RECORDS_MAX: usize = 1_024;
/// Aliases followed inside an answer.
pub const CNAMES_MAX: usize = 8;
const NEGATIVE_TTL_S: u32 = 5;
