//! What a step came to, taken into the record: pure, like the plan.

use jiff::{SignedDuration, Timestamp};

use super::documents::{AuthorizationDocument, OrderDocument, State, Window};
use super::plan::{HOUR, Step, WEEK, backoff, earlier, later, outage_pause, within};
use super::record::{AuthorityRecord, Method, Order, Pending, Proof, ProofState, Record, Stage};
use super::trouble::Trouble;

/// What a step brought, where all went well.
#[derive(Clone, Debug)]
pub enum Gain {
    /// The certificate is in its Secret.
    Stored,
    /// Nothing that the record says.
    Nothing,
    /// An order, and where it is.
    Order {
        /// URL of a new order.
        url: Option<String>,
        /// The order.
        document: OrderDocument,
        /// When to ask again.
        again: Option<Timestamp>,
    },
    /// An authorization.
    Authorization {
        /// The authorization.
        document: AuthorizationDocument,
        /// When to ask again.
        again: Option<Timestamp>,
    },
    /// The authority will look.
    Offered(Option<Timestamp>),
    /// The record is in DNS.
    Recorded,
    /// When to renew.
    Renewal {
        /// Serial number of the certificate.
        serial: String,
        /// The window; nothing if the authority suggests none.
        window: Option<Window>,
        /// When to ask again.
        again: Option<Timestamp>,
    },
}

/// What a settlement needs to know besides the record.
pub struct Terms<'a> {
    /// The present.
    pub now: Timestamp,
    /// Names that are wanted.
    pub hostnames: &'a [String],
    /// Directory of the authority; empty where there is none.
    pub directory: &'a str,
    /// How a name is to be proven.
    pub method: &'a (dyn Fn(&str) -> Option<Method> + Sync),
    /// What answers a token.
    pub answer: &'a (dyn Fn(&str) -> String + Sync),
    /// A number from 0 to 1, drawn anew each time.
    pub draw: f64,
}

/// How an order ended, for those who count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a certificate.
    Issued,
    /// Without.
    Failed,
    /// It has begun.
    Placed,
}

/// Takes the result of a step into the records.
pub fn settle(
    record: &mut Record,
    authority: &mut AuthorityRecord,
    step: &Step,
    result: Result<Gain, Trouble>,
    terms: &Terms<'_>,
) -> Option<Ending> {
    match result {
        Ok(gain) => {
            if !matches!(
                step,
                Step::SignSelf | Step::MakeAccountKey | Step::Forget | Step::GiveUp | Step::Record(_)
            ) {
                authority.n_failures = 0;
                authority.error = None;
            }
            take(record, step, gain, terms)
        }
        Err(trouble) => suffer(record, authority, step, trouble, terms),
    }
}

fn take(record: &mut Record, step: &Step, gain: Gain, terms: &Terms<'_>) -> Option<Ending> {
    let now = terms.now;
    match (step, gain) {
        (_, Gain::Stored) => {
            // The renewal is that of the certificate before.
            let mut issued = std::mem::take(&mut record.issued);
            issued.retain(|at| *at > earlier(now, WEEK));
            issued.push(now);
            *record = Record { issued, ..Record::default() };
            Some(Ending::Issued)
        }
        (Step::Forget, _) => {
            record.order = None;
            None
        }
        (Step::GiveUp, _) => {
            fail(record, "the order took more than an hour".to_owned(), terms);
            Some(Ending::Failed)
        }
        (Step::Order, Gain::Order { url: Some(url), document, again }) => {
            record.order = Some(Order {
                url,
                directory: terms.directory.to_owned(),
                hostnames: terms.hostnames.to_vec(),
                finalize: document.finalize.clone(),
                proofs: document.authorizations.iter().map(|url| Proof::new(url)).collect(),
                stage: Stage::Proving,
                began: now,
                poll_at: None,
            });
            judge_order(record, &document, again, terms);
            Some(Ending::Placed)
        }
        (_, Gain::Order { document, again, .. }) => {
            judge_order(record, &document, again, terms).then_some(Ending::Failed)
        }
        (Step::Read(index) | Step::Offer(index), Gain::Authorization { document, again }) => {
            judge_authorization(record, *index, &document, again, terms).then_some(Ending::Failed)
        }
        (Step::Offer(index), Gain::Offered(again)) => {
            if let Some(proof) = proof(record, *index) {
                proof.poll_at = Some(again.unwrap_or(later(now, FIRST_POLL)));
                if let ProofState::Pending(pending) = &mut proof.state {
                    pending.is_offered = true;
                }
            }
            None
        }
        (Step::Record(index), Gain::Recorded) => {
            if let Some(ProofState::Pending(pending)) = proof(record, *index).map(|proof| &mut proof.state) {
                pending.is_recorded = true;
            }
            None
        }
        (_, Gain::Renewal { serial, window, again }) => {
            let ask_at = again.unwrap_or(later(now, ASK_AGAIN));
            record.renewal = Some(super::record::Renewal {
                at: window.map(|window| within(window.start, window.end, &serial)),
                serial,
                ask_at: ask_at.clamp(later(now, ASK_SOONEST), later(now, ASK_LATEST)),
            });
            None
        }
        _ => None,
    }
}

fn suffer(
    record: &mut Record,
    authority: &mut AuthorityRecord,
    step: &Step,
    trouble: Trouble,
    terms: &Terms<'_>,
) -> Option<Ending> {
    let now = terms.now;
    match trouble {
        Trouble::NotBefore { until, why } => {
            authority.not_before = authority.not_before.max(Some(until));
            authority.error = Some(why);
            None
        }
        Trouble::Unavailable(why) => {
            authority.n_failures = authority.n_failures.saturating_add(1);
            let until = later(now, outage_pause(authority.n_failures, terms.draw));
            authority.not_before = authority.not_before.max(Some(until));
            authority.error = Some(why);
            None
        }
        Trouble::AccountLost => None,
        Trouble::OrderLost if *step == Step::AskRenewal => {
            // It does not know the certificate: there is no suggestion.
            let serial = record.renewal.take().map(|renewal| renewal.serial).unwrap_or_default();
            record.renewal = Some(super::record::Renewal { serial, at: None, ask_at: later(now, ASK_AGAIN) });
            None
        }
        Trouble::OrderLost if record.order.is_some() => {
            record.order = None;
            None
        }
        Trouble::OrderLost => {
            fail(record, trouble.to_string(), terms);
            Some(Ending::Failed)
        }
        Trouble::Refused(why) | Trouble::Local(why) => {
            fail(record, why, terms);
            Some(Ending::Failed)
        }
    }
}

/// Takes the state of an order in; true if it failed.
fn judge_order(
    record: &mut Record,
    document: &OrderDocument,
    again: Option<Timestamp>,
    terms: &Terms<'_>,
) -> bool {
    let now = terms.now;
    let Some(order) = &mut record.order else { return false };
    order.finalize.clone_from(&document.finalize);
    order.poll_at = None;
    match (document.status, &document.certificate) {
        (State::Valid, Some(url)) => order.stage = Stage::Issued(url.clone()),
        (State::Ready, _) => order.stage = Stage::Proven,
        (State::Processing | State::Valid, _) => {
            order.stage = Stage::Processing;
            order.poll_at = Some(again.unwrap_or(later(now, poll_pause(order.began, now))));
        }
        (State::Pending, _) => {
            let is_proven = order.proofs.iter().all(|proof| proof.state == ProofState::Valid);
            if is_proven && !order.proofs.is_empty() {
                // The authority has not put its facts together yet.
                order.poll_at = Some(again.unwrap_or(later(now, poll_pause(order.began, now))));
            }
        }
        (State::Invalid | State::Other, _) => {
            let why = document.error.as_ref().map(super::documents::Problem::words);
            let why = why.unwrap_or_else(|| "the authority has given the order up".to_owned());
            fail(record, why, terms);
            return true;
        }
    }
    false
}

/// Takes the state of an authorization in; true if the order failed by it.
fn judge_authorization(
    record: &mut Record,
    index: usize,
    document: &AuthorizationDocument,
    again: Option<Timestamp>,
    terms: &Terms<'_>,
) -> bool {
    let now = terms.now;
    let began = record.order.as_ref().map_or(now, |order| order.began);
    let Some(proof) = proof(record, index) else { return false };
    proof.poll_at = None;
    match document.status {
        State::Valid => {
            proof.state = ProofState::Valid;
            return false;
        }
        State::Pending | State::Processing | State::Ready => {}
        State::Invalid | State::Other => {
            let error = document.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            let why = error.map_or_else(|| "the authority gave no reason".to_owned(), |error| error.words());
            let why = format!("{} is not proven: {why}", document.identifier.value.to_lowercase());
            fail(record, why, terms);
            return true;
        }
    }
    if let ProofState::Pending(pending) = &proof.state {
        if pending.is_offered {
            proof.poll_at = Some(again.unwrap_or(later(now, poll_pause(began, now))));
        }
        return false;
    }
    let hostname = document.identifier.value.to_lowercase();
    let name = if document.wildcard { format!("*.{hostname}") } else { hostname.clone() };
    let Some(method) = (terms.method)(&name) else {
        let why = match document.wildcard {
            true => {
                format!("no solver can prove {name}; a wildcard needs a dns01 solver whose selector has it")
            }
            false => format!("no solver is for {name}; add one without selector"),
        };
        fail(record, why, terms);
        return true;
    };
    let challenge = document.challenges.iter().find(|one| one.r#type == method.as_str());
    let is_word = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let Some(challenge) = challenge.filter(|challenge| is_word(&challenge.token)) else {
        let why = format!("the authority does not take {} for {name}; use another solver", method.as_str());
        fail(record, why, terms);
        return true;
    };
    proof.state = ProofState::Pending(Pending {
        hostname,
        method,
        url: challenge.url.clone(),
        token: challenge.token.clone(),
        answer: (terms.answer)(&challenge.token),
        since: now,
        is_recorded: false,
        is_offered: false,
    });
    false
}

/// Ends an order without a certificate.
fn fail(record: &mut Record, why: String, terms: &Terms<'_>) {
    record.order = None;
    record.is_asked = false;
    record.n_failures = record.n_failures.saturating_add(1);
    record.retry_at = Some(later(terms.now, backoff(record.n_failures, terms.draw)));
    record.error = Some(why);
    record.failed.retain(|at| *at > earlier(terms.now, HOUR));
    record.failed.push(terms.now);
}

fn proof(record: &mut Record, index: usize) -> Option<&mut Proof> {
    record.order.as_mut()?.proofs.get_mut(index)
}

/// Longer the longer it takes: an authority that says nothing of it is asked at most about thirty times.
fn poll_pause(began: Timestamp, now: Timestamp) -> SignedDuration {
    (now.duration_since(began) / 4).clamp(FIRST_POLL, LONGEST_POLL)
}

// === impl Proof ===

impl Proof {
    /// A proof that nobody has looked at.
    #[must_use]
    pub fn new(authorization: &str) -> Self {
        Self { authorization: authorization.to_owned(), state: ProofState::Unread, poll_at: None }
    }
}

/// Time to the first look at what an authority does.
const FIRST_POLL: SignedDuration = SignedDuration::from_millis(500);
const LONGEST_POLL: SignedDuration = SignedDuration::from_secs(60);
/// Time between two questions when to renew (RFC 9773 4.3), where the authority does not say; and its bounds.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(6);
const ASK_SOONEST: SignedDuration = SignedDuration::from_mins(1);
const ASK_LATEST: SignedDuration = SignedDuration::from_hours(24);

#[cfg(test)]
mod tests;
