//! What authorities send (RFC 8555 7, RFC 9773 4). Fields that igw does not use are not read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// The directory: where everything is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Gives nonces.
    pub new_nonce: String,
    /// Takes accounts.
    pub new_account: String,
    /// Takes orders.
    pub new_order: String,
    /// Suggests when to renew, if it is there.
    #[serde(default)]
    pub renewal_info: Option<String>,
    /// More.
    #[serde(default)]
    pub meta: Meta,
}

/// What a directory says of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    /// Accounts must be bound to one of the authority's own.
    pub external_account_required: bool,
    /// Profiles by name.
    pub profiles: BTreeMap<String, serde_json::Value>,
}

/// State of an order or an authorization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for proofs.
    Pending,
    /// All is proven.
    Ready,
    /// The certificate is being made, or a proof looked at.
    Processing,
    /// Done.
    Valid,
    /// Failed.
    Invalid,
    /// Anything else: withdrawn, expired.
    #[default]
    #[serde(other)]
    Other,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderDocument {
    /// State.
    pub status: State,
    /// One authorization for each name.
    #[serde(default)]
    pub authorizations: Vec<String>,
    /// Takes the signing request.
    pub finalize: String,
    /// The certificate, once it is there.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<Problem>,
}

/// An authorization.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AuthorizationDocument {
    /// State.
    pub status: State,
    /// The name, without `*.`.
    pub identifier: Identifier,
    /// It is for all names below.
    #[serde(default)]
    pub wildcard: bool,
    /// Ways to prove it.
    #[serde(default)]
    pub challenges: Vec<ChallengeDocument>,
}

/// A name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Identifier {
    /// The name.
    pub value: String,
}

/// A way to prove a name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ChallengeDocument {
    /// `http-01`, `tls-alpn-01`, `dns-01` and others.
    pub r#type: String,
    /// Takes the offer to look.
    pub url: String,
    /// Token; empty for kinds that have none.
    #[serde(default)]
    pub token: String,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<Problem>,
}

/// When to renew.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewalDocument {
    /// The window.
    pub suggested_window: Window,
}

/// A window of time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Window {
    /// Begin.
    pub start: Timestamp,
    /// End.
    pub end: Timestamp,
}

/// What is wrong (RFC 7807).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Kind, a URN.
    pub r#type: String,
    /// Words for people.
    pub detail: String,
    /// What is wrong with single names.
    pub subproblems: Vec<Subproblem>,
}

/// What is wrong with one name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Subproblem {
    /// Words for people.
    pub detail: String,
}

// === impl Problem ===

impl Problem {
    /// The last word of the kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.r#type.rsplit(':').next().unwrap_or_default()
    }

    /// In words, bounded: an authority may say much.
    #[must_use]
    pub fn words(&self) -> String {
        let details = [&self.detail].into_iter().chain(self.subproblems.iter().map(|one| &one.detail));
        let details: Vec<&str> = details.map(String::as_str).filter(|detail| !detail.is_empty()).collect();
        let text = format!("{}: {}", self.kind(), details.join("; "));
        text.chars().filter(|char| !char.is_control()).take(MAX_WORDS).collect()
    }
}

/// Characters of a problem that are kept.
const MAX_WORDS: usize = 500;
