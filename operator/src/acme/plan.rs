//! What to do next for one certificate: a pure function of what is wanted, what is remembered and the time.
//!
//! One step per call. A step is taken only when it may be: never before a Retry-After has ended, never before proxies
//! can answer, never above the budget. Names do not see each other: one that fails delays no other.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use super::record::{AuthorityRecord, Method, Order, Pending, ProofState, Record, Stage};

/// What is known at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The present.
    pub now: Timestamp,
    /// When this run began: what proxies are told begins then.
    pub started: Timestamp,
    /// What is wanted.
    pub wanted: Wanted<'a>,
    /// What is remembered.
    pub record: &'a Record,
    /// When orders were placed for the namespace that nobody asked for, oldest first.
    pub ordered: &'a [Timestamp],
    /// What the Secret holds.
    pub held: Option<&'a Held>,
    /// What is remembered of the authority; nothing where certificates sign themselves.
    pub authority: Option<&'a AuthorityRecord>,
    /// The account.
    pub account: AccountState,
    /// Tokens that every live proxy answers.
    pub answered: &'a BTreeSet<String>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Names.
    pub hostnames: &'a [String],
    /// `namespace/name` of the issuer.
    pub issuer: &'a str,
    /// URL of the directory; nothing where certificates sign themselves.
    pub directory: Option<&'a str>,
    /// Time before the end at which to renew; zero = not said.
    pub renew_before: SignedDuration,
    /// The authority is asked when to renew.
    pub asks_authority: bool,
}

/// How far the account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// There is no key.
    NoKey,
    /// The authority does not know the key.
    Unregistered,
    /// Known.
    Known,
}

/// A certificate that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Names.
    pub names: BTreeSet<String>,
    /// Who issued it, as it was called then.
    pub issuer: String,
    /// It only fills the time until the real one is there.
    pub is_bootstrap: bool,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing before a moment, or before something changes.
    Wait(Option<Timestamp>),
    /// A step.
    Do(Step),
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sign the certificate with its own key.
    SignSelf,
    /// Make the key of the account.
    MakeAccountKey,
    /// Make the account.
    Register,
    /// Place an order.
    Order,
    /// Forget the order: it is for something else.
    Forget,
    /// Give the order up: it takes too long.
    GiveUp,
    /// Read the authorization of a proof.
    Read(usize),
    /// Put the record of a proof into DNS.
    Record(usize),
    /// Tell the authority to look at a proof.
    Offer(usize),
    /// Send the signing request.
    Finalize,
    /// Read the order.
    ReadOrder,
    /// Fetch the certificate.
    Download,
    /// Ask when to renew.
    AskRenewal,
}

/// The next step.
#[must_use]
pub fn next(situation: &Situation<'_>) -> Next {
    let Situation { now, wanted, record, .. } = *situation;
    if let Some(order) = &record.order {
        let is_same =
            order.hostnames == wanted.hostnames && wanted.directory == Some(order.directory.as_str());
        if !is_same {
            return Next::Do(Step::Forget);
        }
        return pausing(situation).unwrap_or_else(|| under_way(situation, order));
    }
    let due = due(wanted, record, situation.held);
    // Who asked does not wait for an earlier failure to be forgiven.
    let retry_at = record.retry_at.filter(|_| !record.is_asked);
    let at = due.max(retry_at.unwrap_or(Timestamp::MIN));
    if wanted.directory.is_none() {
        return if at <= now { Next::Do(Step::SignSelf) } else { Next::Wait(Some(at)) };
    }
    let at = match (due <= now, budget(record, situation.ordered, now)) {
        (true, Some(free_at)) if !record.is_asked => at.max(free_at),
        _ => at,
    };
    let ask_at = situation.held.filter(|held| wanted.asks_authority && !held.is_bootstrap).map(|held| {
        let known = record.renewal.as_ref().filter(|renewal| renewal.serial == held.serial);
        known.map_or(now, |renewal| renewal.ask_at)
    });
    if at > now && ask_at.is_none_or(|ask_at| ask_at > now) {
        return Next::Wait([Some(at), ask_at].into_iter().flatten().min());
    }
    if let Some(pause) = pausing(situation) {
        return pause;
    }
    if at > now {
        return Next::Do(Step::AskRenewal);
    }
    Next::Do(match situation.account {
        AccountState::NoKey => Step::MakeAccountKey,
        AccountState::Unregistered => Step::Register,
        AccountState::Known => Step::Order,
    })
}

/// When a certificate is to be renewed, if nobody asks for it earlier.
#[must_use]
pub fn renewal_time(wanted: Wanted<'_>, record: &Record, held: &Held) -> Timestamp {
    let life = held.not_after.duration_since(held.not_before);
    if !wanted.renew_before.is_zero() {
        return earlier(held.not_after, wanted.renew_before);
    }
    let suggested = record.renewal.as_ref().filter(|renewal| renewal.serial == held.serial);
    if let Some(at) = suggested.and_then(|renewal| renewal.at).filter(|_| wanted.asks_authority) {
        return at;
    }
    // Certificates that were made together are not renewed together.
    let spread = scaled(life / JITTER_PARTS, fraction(&held.serial));
    earlier(held.not_after, life / 3 + spread)
}

/// A moment in a window, another one for each certificate (RFC 9773 4.2).
#[must_use]
pub fn within(start: Timestamp, end: Timestamp, serial: &str) -> Timestamp {
    let width = end.duration_since(start).max(SignedDuration::ZERO);
    start.checked_add(scaled(width, fraction(serial))).unwrap_or(start)
}

/// Pause after so many failures in a row: 1 minute, doubled each time, at most 6 hours, and up to a tenth more.
#[must_use]
pub fn backoff(n_failures: u32, draw: f64) -> SignedDuration {
    let doublings = n_failures.saturating_sub(1).min(16);
    let pause = SignedDuration::from_secs(60 << doublings).min(LONGEST_BACKOFF);
    pause + scaled(pause / 10, draw)
}

/// Pause for an authority that did not answer so many times in a row: 5 seconds, doubled, at most 5 minutes.
#[must_use]
pub fn outage_pause(n_failures: u32, draw: f64) -> SignedDuration {
    let doublings = n_failures.saturating_sub(1).min(16);
    let pause = SignedDuration::from_secs(5 << doublings).min(LONGEST_OUTAGE_PAUSE);
    pause + scaled(pause / 10, draw)
}

/// When a new certificate is due.
fn due(wanted: Wanted<'_>, record: &Record, held: Option<&Held>) -> Timestamp {
    let Some(held) = held.filter(|held| !record.is_asked && !held.is_bootstrap) else {
        return Timestamp::MIN;
    };
    let names: BTreeSet<String> = wanted.hostnames.iter().cloned().collect();
    if held.names != names || held.issuer != wanted.issuer {
        return Timestamp::MIN;
    }
    renewal_time(wanted, record, held)
}

/// When the budget has room again; nothing if it has.
fn budget(record: &Record, ordered: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
    let full = |moments: &[Timestamp], span: SignedDuration, limit: usize| {
        let recent: Vec<Timestamp> = moments.iter().copied().filter(|at| *at > earlier(now, span)).collect();
        let oldest = recent.len().checked_sub(limit).and_then(|index| recent.get(index));
        oldest.map(|oldest| later(*oldest, span))
    };
    full(&record.issued, WEEK, ISSUED_PER_WEEK).max(full(&record.failed, HOUR, FAILED_PER_HOUR)).max(full(
        ordered,
        ORDERS_SPAN,
        ORDERS_PER_NAMESPACE,
    ))
}

fn pausing(situation: &Situation<'_>) -> Option<Next> {
    let until = situation.authority?.not_before?;
    (until > situation.now).then_some(Next::Wait(Some(until)))
}

fn under_way(situation: &Situation<'_>, order: &Order) -> Next {
    let now = situation.now;
    let gives_up = later(order.began, ORDER_LIFE);
    if now >= gives_up {
        return Next::Do(Step::GiveUp);
    }
    if situation.account != AccountState::Known {
        return Next::Do(match situation.account {
            AccountState::NoKey => Step::MakeAccountKey,
            _ => Step::Register,
        });
    }
    let is_early = |at: Option<Timestamp>| at.is_some_and(|at| at > now);
    match &order.stage {
        Stage::Issued(_) => Next::Do(Step::Download),
        _ if is_early(order.poll_at) => Next::Wait(order.poll_at),
        Stage::Proven => Next::Do(Step::Finalize),
        Stage::Processing => Next::Do(Step::ReadOrder),
        Stage::Proving => {
            let mut wait = gives_up;
            let mut n_valid = 0;
            for (index, proof) in order.proofs.iter().enumerate() {
                match &proof.state {
                    ProofState::Valid => n_valid += 1,
                    _ if is_early(proof.poll_at) => wait = wait.min(proof.poll_at.unwrap_or(wait)),
                    ProofState::Unread => return Next::Do(Step::Read(index)),
                    ProofState::Pending(pending) => match proof_step(situation, pending, index) {
                        Next::Wait(at) => wait = wait.min(at.unwrap_or(wait)),
                        step => return step,
                    },
                }
            }
            if n_valid == order.proofs.len() { Next::Do(Step::ReadOrder) } else { Next::Wait(Some(wait)) }
        }
    }
}

fn proof_step(situation: &Situation<'_>, pending: &Pending, index: usize) -> Next {
    if pending.is_offered {
        return Next::Do(Step::Read(index));
    }
    if pending.method == Method::Dns {
        return Next::Do(if pending.is_recorded { Step::Offer(index) } else { Step::Record(index) });
    }
    let patience_ends = later(pending.since.max(situation.started), PROXY_PATIENCE);
    if situation.answered.contains(&pending.token) || patience_ends <= situation.now {
        return Next::Do(Step::Offer(index));
    }
    Next::Wait(Some(patience_ends))
}

/// A number from 0 to 1 that belongs to a certificate.
fn fraction(serial: &str) -> f64 {
    (xxh3_64(serial.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64
}

fn scaled(span: SignedDuration, factor: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(span.as_secs_f64() * factor).unwrap_or(span)
}

/// A span before a moment.
#[must_use]
pub fn earlier(moment: Timestamp, span: SignedDuration) -> Timestamp {
    moment.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// A span after a moment.
#[must_use]
pub fn later(moment: Timestamp, span: SignedDuration) -> Timestamp {
    moment.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// Time that live proxies have to take a challenge in.
pub const PROXY_PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// Certificates for one Secret within a week that igw orders of its own accord; Let's Encrypt certifies the same names
/// five times a week.
pub const ISSUED_PER_WEEK: usize = 4;
/// Orders for one Secret that may fail within an hour before igw pauses; Let's Encrypt lets five of a name fail.
pub const FAILED_PER_HOUR: usize = 4;
/// Orders for one namespace within [`ORDERS_SPAN`] that igw places of its own accord; Let's Encrypt takes 300 of an account.
pub const ORDERS_PER_NAMESPACE: usize = 200;
/// Time that the budget of orders looks back.
pub const ORDERS_SPAN: SignedDuration = SignedDuration::from_hours(3);
/// Time that the budget of certificates looks back.
pub const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Time that the budget of failures looks back.
pub const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// An order that takes longer is given up.
const ORDER_LIFE: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_hours(6);
const LONGEST_OUTAGE_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// Renewals are spread over this part of a certificate's life.
const JITTER_PARTS: i32 = 20;

#[cfg(test)]
mod tests;
