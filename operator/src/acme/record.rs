//! What is remembered of orders: written after each step, so that whoever is killed goes on where it was.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that outlives a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    /// By URL of the directory.
    pub authorities: BTreeMap<String, AuthorityRecord>,
    /// URLs of accounts, by directory and thumbprint of the key.
    pub accounts: BTreeMap<String, String>,
    /// By `namespace/name` of the Secret.
    pub certificates: BTreeMap<String, Record>,
    /// When orders were placed that nobody asked for, by namespace, those of the last hours.
    pub ordered: BTreeMap<String, Vec<Timestamp>>,
}

/// What is remembered of an authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorityRecord {
    /// No request before this moment.
    pub not_before: Option<Timestamp>,
    /// Times in a row that it did not answer.
    pub n_failures: u32,
    /// What it said last, if that was bad.
    pub error: Option<String>,
}

/// What is remembered of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The order under way.
    pub order: Option<Order>,
    /// Orders in a row that failed.
    pub n_failures: u32,
    /// No new order before this moment.
    pub retry_at: Option<Timestamp>,
    /// Why the last order failed.
    pub error: Option<String>,
    /// Somebody asked for a new certificate, whatever the old one is worth.
    pub is_asked: bool,
    /// The request in the Secret that was taken in.
    pub asked: Option<String>,
    /// When certificates were issued, those of the last week.
    pub issued: Vec<Timestamp>,
    /// When orders failed, those of the last hour.
    pub failed: Vec<Timestamp>,
    /// What the authority suggests.
    pub renewal: Option<Renewal>,
}

/// A suggestion of the authority (RFC 9773).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Serial number of the certificate it is for.
    pub serial: String,
    /// When to renew; nothing if it does not say.
    pub at: Option<Timestamp>,
    /// When to ask again.
    pub ask_at: Timestamp,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its URL.
    pub url: String,
    /// Directory of the authority.
    pub directory: String,
    /// Names.
    pub hostnames: Vec<String>,
    /// Where the signing request goes.
    pub finalize: String,
    /// One for each name.
    pub proofs: Vec<Proof>,
    /// How far it is.
    pub stage: Stage,
    /// When it was placed.
    pub began: Timestamp,
    /// Not to be asked for before.
    pub poll_at: Option<Timestamp>,
}

/// How far an order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Names are being proven.
    Proving,
    /// All is proven; the signing request can go.
    Proven,
    /// The certificate is being made.
    Processing,
    /// The certificate is at this URL.
    Issued(String),
}

/// The proof of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// URL of the authorization.
    pub authorization: String,
    /// How far it is.
    pub state: ProofState,
    /// Not to be asked for before.
    pub poll_at: Option<Timestamp>,
}

/// How far a proof is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProofState {
    /// Nobody has looked at it.
    Unread,
    /// The authority is convinced.
    Valid,
    /// A challenge is to be met.
    Pending(Pending),
}

/// A challenge to be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Name to be proven, without `*.`.
    pub hostname: String,
    /// How.
    pub method: Method,
    /// Takes the offer to look.
    pub url: String,
    /// Token.
    pub token: String,
    /// What answers it (RFC 8555 8.1).
    pub answer: String,
    /// Since when proxies are told.
    pub since: Timestamp,
    /// The record is in DNS.
    pub is_recorded: bool,
    /// The authority was told to look.
    pub is_offered: bool,
}

/// How a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Over HTTP.
    #[serde(rename = "http-01")]
    Http,
    /// By a handshake.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn,
    /// In DNS.
    #[serde(rename = "dns-01")]
    Dns,
}

// === impl Book ===

impl Book {
    /// The account of a key at an authority.
    #[must_use]
    pub fn account(&self, directory: &str, thumbprint: &str) -> Option<&str> {
        self.accounts.get(&account_name(directory, thumbprint)).map(String::as_str)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys always encode.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

// === impl Record ===

impl Record {
    /// Challenges that are pending.
    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        let proofs = self.order.iter().flat_map(|order| &order.proofs);
        proofs.filter_map(|proof| match &proof.state {
            ProofState::Pending(pending) => Some(pending),
            ProofState::Unread | ProofState::Valid => None,
        })
    }
}

// === impl Method ===

impl Method {
    /// As ACME names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::TlsAlpn => "tls-alpn-01",
            Self::Dns => "dns-01",
        }
    }
}

/// Name of an account in a book.
#[must_use]
pub fn account_name(directory: &str, thumbprint: &str) -> String {
    format!("{directory} {thumbprint}")
}
