//! The one who keeps the book: takes what is wanted, lets the plan decide, has steps done, writes down what they came
//! to before anything follows from it.
//!
//! One step of a certificate is under way at a time, those of several side by side: an authority that is slow, or a
//! name that fails, delays no other. Cancelling the future loses at most the steps under way; the book says where to go
//! on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use igw_compile::issued::{Wish, Wishes};
use igw_crds::snapshot::{Certificate, Challenge};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::{info, warn};

use super::issuers::{ACCOUNT_KEY, Acme, Authorities, Issuer};
use super::job::{Done, Job};
use super::jose::AccountKey;
use super::made::{BOOTSTRAP_DAYS, MARK, Mark, RENEW, Values, challenge_certificate, new_key, self_signed};
use super::plan::{AccountState, Next, ORDERS_SPAN, Situation, Step, Wanted, earlier, next, renewal_time};
use super::record::{AuthorityRecord, Book, Method, account_name};
use super::settle::{Ending, Terms, settle};
use super::shelf::{Shelf, Stored};
use super::standing::{Outputs, Standing};
use super::trouble::Trouble;
use crate::certificates::pair::fingerprint;
use crate::certificates::vault::Place;
use crate::doors::metrics::Metrics;

/// What is wanted, and what proxies do.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// What objects want certified.
    pub wishes: Arc<Wishes>,
    /// Challenges that every live proxy answers, by their identity.
    pub answered: BTreeSet<String>,
    /// Counts changes of Secrets and ConfigMaps that others make.
    pub revision: u64,
}

/// What people ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new certificate for a Secret, now.
    Renew(Place),
}

/// Where the runner is connected.
pub struct Lines {
    /// What is wanted; nothing before it is known.
    pub inputs: watch::Receiver<Option<Arc<Inputs>>>,
    /// What people ask for.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// What is shown.
    pub outputs: watch::Sender<Arc<Outputs>>,
    /// Counters.
    pub metrics: Metrics,
}

/// The runner.
pub struct Runner<S> {
    shelf: Arc<S>,
    lines: Lines,
    started: Timestamp,
    book: Book,
    authorities: Authorities,
    /// By namespace and name.
    issuers: BTreeMap<(String, String), Result<Issuer, String>>,
    /// Keys of accounts that were made in this run.
    keys: BTreeMap<Place, Arc<AccountKey>>,
    /// What Secrets hold that are wanted.
    stored: BTreeMap<Place, Stored>,
    /// Certificates of challenges by token, with their keys.
    handshakes: BTreeMap<String, (Challenge, SecretString)>,
    /// Looks in a row after which something that wishes refer to was not read.
    n_unread: u32,
    busy: BTreeSet<Place>,
    /// Directories where an order is being placed: another one waits until it is written down, so that a kill forgets one
    /// at most.
    ordering: BTreeSet<String>,
    jobs: JoinSet<Done>,
    n_stored: u64,
}

// === impl Runner ===

impl<S: Shelf> Runner<S> {
    /// A runner that has not looked at anything yet.
    #[must_use]
    pub fn new(shelf: Arc<S>, lines: Lines) -> Self {
        Self {
            shelf,
            lines,
            started: Timestamp::now(),
            book: Book::default(),
            authorities: Authorities::default(),
            issuers: BTreeMap::new(),
            keys: BTreeMap::new(),
            stored: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            n_unread: 0,
            busy: BTreeSet::new(),
            ordering: BTreeSet::new(),
            jobs: JoinSet::new(),
            n_stored: 0,
        }
    }

    /// Runs until the other ends are gone.
    pub async fn run(mut self) {
        if self.lines.inputs.wait_for(Option::is_some).await.is_err() {
            return;
        }
        self.book = self.load().await;
        let mut is_news = true;
        loop {
            let Some(inputs) = self.lines.inputs.borrow_and_update().clone() else { return };
            if is_news {
                self.look(&inputs).await;
            }
            let wake = self.advance(&inputs).await;
            self.show(&inputs);
            let now = Timestamp::now();
            let longest = match self.n_unread {
                0 => LONGEST_SLEEP,
                n => SHELF_PAUSE.saturating_mul(1 << n.min(5)).min(LONGEST_SLEEP),
            };
            let wait = wake.map_or(longest, |wake| duration(wake.duration_since(now)).min(longest));
            is_news = false;
            // Arms: what is wanted changed; somebody asks; a step is done; the time for another one has come.
            tokio::select! {
                changed = self.lines.inputs.changed() => match changed {
                    Ok(()) => is_news = self.is_news(&inputs),
                    Err(_) => return,
                },
                command = self.lines.commands.recv() => match command {
                    Some(command) => self.obey(&command, &inputs).await,
                    None => return,
                },
                Some(done) = self.jobs.join_next() => {
                    // What has ended in the meantime is written down with it.
                    let mut ended = Some(done);
                    let mut ordered = Vec::new();
                    while let Some(done) = ended {
                        if let Ok(done) = done {
                            if done.step == Step::Order {
                                ordered.push(done.directory.clone());
                            }
                            self.take(done, &inputs);
                        }
                        ended = self.jobs.try_join_next();
                    }
                    self.keep().await;
                    self.ordering.retain(|directory| !ordered.contains(directory));
                },
                () = tokio::time::sleep(wait) => is_news = self.n_unread > 0,
            }
        }
    }

    /// Whether more than the answers of proxies is new.
    fn is_news(&self, before: &Inputs) -> bool {
        let now = self.lines.inputs.borrow();
        now.as_ref().is_some_and(|now| now.wishes != before.wishes || now.revision != before.revision)
    }

    async fn load(&self) -> Book {
        loop {
            match self.shelf.book().await {
                Ok(book) => return book,
                Err(error) => warn!(error, "state of orders cannot be read now; trying again"),
            }
            tokio::time::sleep(SHELF_PAUSE).await;
        }
    }

    /// Reads what wishes refer to, and fills Secrets that are not there yet.
    async fn look(&mut self, inputs: &Inputs) {
        let wishes = &inputs.wishes;
        let mut issuers = BTreeMap::new();
        for ((namespace, _), wish) in &wishes.by_secret {
            let name = (namespace.clone(), wish.issuer.clone());
            let Some(spec) = wish.spec.as_ref().filter(|_| !issuers.contains_key(&name)) else { continue };
            let issuer = Issuer::resolve(spec, namespace, &*self.shelf, &mut self.authorities).await;
            if let Ok(Issuer::Acme(acme)) = &issuer
                && let Some(until) =
                    self.book.authorities.get(&acme.spec.directory).and_then(|one| one.not_before)
            {
                acme.authority.pause(until);
            }
            issuers.insert(name, issuer);
        }
        let mut is_unread = issuers.values().any(Result::is_err);
        self.issuers = issuers;
        let mut stored = BTreeMap::new();
        let mut fills = JoinSet::new();
        for (place, wish) in wishes.by_secret.iter().filter(|(_, wish)| wish.refused.is_none()) {
            match self.shelf.secret(place).await {
                Ok(Some(found)) => drop(stored.insert(place.clone(), found)),
                Ok(None) => {
                    if fills.len() >= MAX_JOBS {
                        is_unread |= !self.filled(fills.join_next().await, &mut stored);
                    }
                    fills.spawn(fill(Arc::clone(&self.shelf), place.clone(), wish.clone()));
                }
                Err(error) => {
                    warn!(secret = name(place), error, "Secret cannot be read");
                    is_unread = true;
                    if let Some(before) = self.stored.remove(place) {
                        stored.insert(place.clone(), before);
                    }
                }
            }
        }
        while !fills.is_empty() {
            is_unread |= !self.filled(fills.join_next().await, &mut stored);
        }
        self.stored = stored;
        self.take_requests();
        self.n_unread = if is_unread { self.n_unread.saturating_add(1) } else { 0 };
        // An order for something that nobody wants any more is not paid for.
        self.book.certificates.retain(|secret, record| {
            let is_wanted = wishes.by_secret.keys().any(|place| name(place) == *secret);
            if !is_wanted {
                record.order = None;
            }
            is_wanted || !record.issued.is_empty()
        });
    }

    /// People ask for new certificates in Secrets too: a text there that was not there before is such a request.
    fn take_requests(&mut self) {
        for (place, stored) in self.stored.iter().filter(|(_, stored)| stored.is_ours) {
            let asked = stored.values.text(RENEW);
            let known = self.book.certificates.get(&name(place));
            if asked.is_none() || known.is_some_and(|record| record.asked.as_deref() == asked) {
                continue;
            }
            info!(secret = name(place), "a new certificate is asked for");
            let record = self.book.certificates.entry(name(place)).or_default();
            record.asked = asked.map(str::to_owned);
            record.is_asked = true;
            record.retry_at = None;
        }
    }

    /// Takes in what fills the time; false if it is not kept.
    fn filled(&mut self, filled: Option<Filled>, stored: &mut BTreeMap<Place, Stored>) -> bool {
        match filled {
            Some(Ok((place, Ok(values)))) => {
                stored.insert(place, Stored { values, is_ours: true });
                self.n_stored += 1;
                true
            }
            Some(Ok((place, Err(error)))) => {
                warn!(secret = name(&place), error, "certificate for the meantime cannot be kept");
                false
            }
            Some(Err(_)) | None => false,
        }
    }

    /// Starts the steps that may be taken; when to look again.
    async fn advance(&mut self, inputs: &Inputs) -> Option<Timestamp> {
        let now = Timestamp::now();
        let mut wake: Option<Timestamp> = None;
        for (place, wish) in &inputs.wishes.by_secret {
            if self.busy.contains(place) || self.jobs.len() >= MAX_JOBS {
                continue;
            }
            // Some steps are done at once; then there is another one.
            for _ in 0..MAX_QUICK_STEPS {
                match self.plan(place, wish, inputs, now) {
                    Some(Next::Do(Step::MakeAccountKey)) => {
                        if let Err(error) = self.make_account_key(place, wish).await {
                            warn!(secret = name(place), error, "key of the account cannot be kept");
                            wake = wake.into_iter().chain([later_by(now, SHELF_PAUSE)]).min();
                            break;
                        }
                    }
                    Some(Next::Do(step)) => {
                        if step == Step::Order && !self.ordering.insert(self.directory(place, wish)) {
                            break;
                        }
                        self.start(place, wish, step);
                        break;
                    }
                    Some(Next::Wait(at)) => {
                        wake = wake.into_iter().chain(at).min();
                        break;
                    }
                    None => break,
                }
            }
        }
        wake
    }

    /// The next step of a certificate; nothing if nothing can be done for it.
    fn plan(&mut self, place: &Place, wish: &Wish, inputs: &Inputs, now: Timestamp) -> Option<Next> {
        let stored = self.stored.get(place).filter(|stored| stored.is_ours)?;
        let held = stored.values.held();
        let issuer = self.issuer(place, wish)?;
        let acme = match &issuer {
            Issuer::Acme(acme) => Some(Arc::clone(acme)),
            Issuer::SelfSigned => None,
        };
        let key = acme.as_ref().and_then(|acme| self.key(acme));
        let account = match (&acme, &key) {
            (Some(acme), Some(key)) => match self.book.account(&acme.spec.directory, key.thumbprint()) {
                Some(_) => AccountState::Known,
                None => AccountState::Unregistered,
            },
            _ => AccountState::NoKey,
        };
        let issuer_name = format!("{}/{}", place.0, wish.issuer);
        let record = self.book.certificates.entry(name(place)).or_default();
        let answered = record.pending().filter_map(|pending| {
            let id = match pending.method {
                Method::TlsAlpn => self.handshakes.get(&pending.token)?.0.id(),
                Method::Http | Method::Dns => &pending.token,
            };
            inputs.answered.contains(id).then(|| pending.token.clone())
        });
        let answered: BTreeSet<String> = answered.collect();
        let ordered = self.book.ordered.get(&place.0).map_or(&[][..], Vec::as_slice);
        let authority = acme
            .as_ref()
            .map(|acme| self.book.authorities.get(&acme.spec.directory).cloned().unwrap_or_default());
        Some(next(&Situation {
            now,
            started: self.started,
            wanted: wanted(wish, &issuer_name, acme.as_deref()),
            record,
            ordered,
            held: held.as_ref(),
            authority: authority.as_ref(),
            account,
            answered: &answered,
        }))
    }

    fn start(&mut self, place: &Place, wish: &Wish, step: Step) {
        let acme = match self.issuer(place, wish) {
            Some(Issuer::Acme(acme)) => Some(acme),
            _ => None,
        };
        let key = acme.as_ref().and_then(|acme| self.key(acme));
        let account = match (&acme, &key) {
            (Some(acme), Some(key)) => self.book.account(&acme.spec.directory, key.thumbprint()),
            _ => None,
        };
        let record = self.book.certificates.get(&name(place));
        let job = Job {
            shelf: Arc::clone(&self.shelf),
            place: place.clone(),
            wish: Arc::new(wish.clone()),
            account: account.unwrap_or_default().to_owned(),
            acme,
            key,
            order: record.and_then(|record| record.order.clone()),
            stored: self.stored.get(place).map(|stored| stored.values.clone()),
            step,
        };
        self.busy.insert(place.clone());
        self.jobs.spawn(job.run());
    }

    async fn make_account_key(&mut self, place: &Place, wish: &Wish) -> Result<(), String> {
        let Some(Issuer::Acme(acme)) = self.issuer(place, wish) else { return Ok(()) };
        let text = new_key(igw_crds::objects::certificate::KeyAlgorithm::EcdsaP256)?;
        let key = AccountKey::parse(&text)?;
        let mut values = Values::default();
        values.0.insert(ACCOUNT_KEY.to_owned(), text);
        let issuer = format!("{}/{}", place.0, wish.issuer);
        let mark = Mark { issuer, made: Some(Timestamp::now()), ..Mark::default() };
        values.set(MARK, serde_json::to_string(&mark).unwrap_or_default());
        self.shelf.put(&acme.account, &values).await?;
        info!(secret = name(&acme.account), "key of an ACME account made");
        self.keys.insert(acme.account.clone(), Arc::new(key));
        Ok(())
    }

    /// Takes in what a step came to.
    fn take(&mut self, done: Done, inputs: &Inputs) {
        self.busy.remove(&done.place);
        let secret = name(&done.place);
        if let Some(values) = done.stored {
            self.stored.insert(done.place.clone(), Stored { values, is_ours: true });
            self.n_stored += 1;
        }
        let Some(wish) = inputs.wishes.by_secret.get(&done.place) else { return };
        let acme = match self.issuer(&done.place, wish) {
            Some(Issuer::Acme(acme)) => Some(acme),
            _ => None,
        };
        let key = acme.as_ref().and_then(|acme| self.key(acme));
        let directory = acme.as_ref().map(|acme| acme.spec.directory.clone()).unwrap_or_default();
        if let Some(key) = &key {
            let account = account_name(&directory, key.thumbprint());
            if let Some(url) = done.account {
                info!(directory, "ACME account is known");
                self.book.accounts.insert(account.clone(), url);
            }
            if done.result.as_ref().is_err_and(|trouble| *trouble == Trouble::AccountLost) {
                warn!(directory, "the authority does not know the account any more");
                self.book.accounts.remove(&account);
            }
        }
        match &done.result {
            Err(trouble @ (Trouble::Refused(_) | Trouble::Local(_) | Trouble::OrderLost)) => {
                warn!(secret, %trouble, "certificate not issued");
            }
            Err(trouble) => info!(secret, %trouble, "certificate waits for its authority"),
            Ok(_) => {}
        }
        let terms = Terms {
            now: Timestamp::now(),
            hostnames: &wish.hostnames,
            directory: &directory,
            method: &|name| acme.as_ref().and_then(|acme| acme.method(name)),
            answer: &|token| key.as_ref().map(|key| key.authorization(token)).unwrap_or_default(),
            draw: rand::random(),
        };
        let mut nobody = AuthorityRecord::default();
        let authority = match directory.is_empty() {
            true => &mut nobody,
            false => self.book.authorities.entry(directory.clone()).or_default(),
        };
        let record = self.book.certificates.entry(secret.clone()).or_default();
        let is_asked = record.is_asked;
        match settle(record, authority, &done.step, done.result, &terms) {
            Some(Ending::Issued) => {
                self.lines.metrics.ordered("issued");
                info!(secret, "certificate issued");
            }
            Some(Ending::Failed) => {
                self.lines.metrics.ordered("failed");
                let why = record.error.clone().unwrap_or_default();
                warn!(secret, why, retry_at = ?record.retry_at, "order failed");
            }
            Some(Ending::Placed) => {
                self.lines.metrics.ordered("placed");
                if !is_asked {
                    let ordered = self.book.ordered.entry(done.place.0.clone()).or_default();
                    ordered.retain(|at| *at > earlier(terms.now, ORDERS_SPAN));
                    ordered.push(terms.now);
                }
                info!(secret, names = wish.hostnames.join(","), "certificate ordered");
            }
            None => {}
        }
    }

    async fn obey(&mut self, command: &Command, inputs: &Inputs) {
        let Command::Renew(place) = command;
        if inputs.wishes.by_secret.contains_key(place) {
            info!(secret = name(place), "a new certificate is asked for");
            let record = self.book.certificates.entry(name(place)).or_default();
            record.is_asked = true;
            record.retry_at = None;
            self.keep().await;
        }
    }

    /// Keeps the book before anything follows from it.
    async fn keep(&self) {
        while let Err(error) = self.shelf.keep_book(&self.book).await {
            warn!(error, "state of orders cannot be written; nothing is asked of authorities before it is");
            tokio::time::sleep(SHELF_PAUSE).await;
        }
    }

    /// Shows how things are, if they are different.
    fn show(&mut self, inputs: &Inputs) {
        let now = Timestamp::now();
        let mut outputs = Outputs { n_stored: self.n_stored, ..Outputs::default() };
        let mut handshakes = BTreeMap::new();
        for pending in self.book.certificates.values().flat_map(super::record::Record::pending) {
            match pending.method {
                Method::Http => outputs
                    .challenges
                    .push(Challenge::Http01 { token: pending.token.clone(), answer: pending.answer.clone() }),
                Method::TlsAlpn => {
                    let known = self.handshakes.remove(&pending.token);
                    let made = known.map_or_else(|| handshake(&pending.hostname, &pending.answer), Ok);
                    match made {
                        Ok((challenge, key)) => {
                            outputs.keys.insert(challenge.id().to_owned(), key.clone());
                            outputs.challenges.push(challenge.clone());
                            handshakes.insert(pending.token.clone(), (challenge, key));
                        }
                        Err(error) => {
                            warn!(hostname = pending.hostname, error, "challenge cannot be answered")
                        }
                    }
                }
                Method::Dns => {}
            }
        }
        self.handshakes = handshakes;
        for (place, wish) in &inputs.wishes.by_secret {
            outputs.certificates.insert(place.clone(), self.standing(place, wish, now));
        }
        for (issuer, resolved) in &self.issuers {
            let fault = match resolved {
                Err(fault) => Some(fault.clone()),
                Ok(Issuer::SelfSigned) => None,
                Ok(Issuer::Acme(acme)) => {
                    let record = self.book.authorities.get(&acme.spec.directory);
                    record.and_then(|record| {
                        let pause = record.not_before.filter(|at| *at > now);
                        let pause = pause.map(|at| format!("; no request before {at}")).unwrap_or_default();
                        record.error.as_ref().map(|error| format!("{error}{pause}"))
                    })
                }
            };
            outputs.issuers.insert(issuer.clone(), fault);
        }
        self.lines.outputs.send_if_modified(|shown| {
            let is_same = shown.challenges == outputs.challenges
                && shown.certificates == outputs.certificates
                && shown.issuers == outputs.issuers
                && shown.n_stored == outputs.n_stored;
            if !is_same {
                *shown = Arc::new(outputs);
            }
            !is_same
        });
    }

    fn standing(&self, place: &Place, wish: &Wish, now: Timestamp) -> Standing {
        let stored = self.stored.get(place);
        let held = stored.and_then(|stored| stored.values.held());
        let record = self.book.certificates.get(&name(place)).cloned().unwrap_or_default();
        let acme = match self.issuer(place, wish) {
            Some(Issuer::Acme(acme)) => Some(acme),
            _ => None,
        };
        let fault = self.issuers.get(&(place.0.clone(), wish.issuer.clone()));
        let fault = fault.and_then(|issuer| issuer.as_ref().err().cloned());
        let authority = acme.as_ref().and_then(|acme| self.book.authorities.get(&acme.spec.directory));
        let pause = authority.and_then(|authority| authority.not_before).filter(|until| *until > now);
        let issuer_name = format!("{}/{}", place.0, wish.issuer);
        let wanted = wanted(wish, &issuer_name, acme.as_deref());
        let waits =
            authority.filter(|_| record.order.is_none()).and_then(|authority| authority.error.clone());
        Standing {
            is_foreign: stored.is_some_and(|stored| !stored.is_ours),
            renews_at: held
                .as_ref()
                .filter(|held| !held.is_bootstrap)
                .map(|held| renewal_time(wanted, &record, held)),
            under_way: Standing::words(&record, pause),
            error: fault.or_else(|| record.error.clone()).or(waits),
            retry_at: record.retry_at.max(pause),
            held,
        }
    }

    fn issuer(&self, place: &Place, wish: &Wish) -> Option<Issuer> {
        self.issuers.get(&(place.0.clone(), wish.issuer.clone()))?.as_ref().ok().cloned()
    }

    /// Directory of the authority; empty where certificates sign themselves.
    fn directory(&self, place: &Place, wish: &Wish) -> String {
        match self.issuer(place, wish) {
            Some(Issuer::Acme(acme)) => acme.spec.directory.clone(),
            _ => String::new(),
        }
    }

    fn key(&self, acme: &Acme) -> Option<Arc<AccountKey>> {
        acme.key.clone().or_else(|| self.keys.get(&acme.account).cloned())
    }
}

/// What became of a Secret that is filled for the meantime.
type Filled = Result<(Place, Result<Values, String>), JoinError>;

async fn fill<S: Shelf>(shelf: Arc<S>, place: Place, wish: Wish) -> (Place, Result<Values, String>) {
    let filled = async {
        let made = bootstrap(&wish)?;
        shelf.put(&place, &made).await?;
        Ok(made)
    };
    let filled = filled.await;
    (place, filled)
}

/// Values that fill the time until the real certificate is there.
///
/// # Errors
/// Says what is wrong with a name.
pub fn bootstrap(wish: &Wish) -> Result<Values, String> {
    let now = Timestamp::now();
    let mark = Mark { bootstrap: true, made: Some(now), ..Mark::default() };
    self_signed(wish.algorithm, &wish.hostnames, BOOTSTRAP_DAYS, &mark, now)
}

fn wanted<'a>(wish: &'a Wish, issuer: &'a str, acme: Option<&'a Acme>) -> Wanted<'a> {
    Wanted {
        hostnames: &wish.hostnames,
        issuer,
        directory: acme.map(|acme| acme.spec.directory.as_str()),
        renew_before: SignedDuration::from_millis(i64::try_from(wish.renew_before_ms).unwrap_or(i64::MAX)),
        asks_authority: acme.is_some_and(|acme| acme.spec.prefer_ari) && wish.renew_before_ms == 0,
    }
}

fn handshake(hostname: &str, answer: &str) -> Result<(Challenge, SecretString), String> {
    let (key, chain) = challenge_certificate(hostname, answer)?;
    let der = crate::certificates::pem::certificates(chain.as_bytes())?;
    let certificate = Box::new(Certificate {
        fingerprint: der.first().map(fingerprint).unwrap_or_default(),
        chain,
        names: vec![hostname.to_owned()],
        not_after: 0,
        secret: format!("challenge for {hostname}"),
    });
    Ok((Challenge::TlsAlpn01 { hostname: hostname.to_owned(), certificate }, key))
}

/// `namespace/name`.
#[must_use]
pub fn name(place: &Place) -> String {
    format!("{}/{}", place.0, place.1)
}

fn later_by(now: Timestamp, pause: Duration) -> Timestamp {
    now.checked_add(SignedDuration::try_from(pause).unwrap_or_default()).unwrap_or(now)
}

fn duration(span: SignedDuration) -> Duration {
    Duration::try_from(span).unwrap_or_default()
}

/// Steps under way at a time.
const MAX_JOBS: usize = 16;
/// Steps of one certificate that are done one behind the other.
const MAX_QUICK_STEPS: usize = 2;
/// A clock that was set is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Pause after something could not be kept; doubled each time for what could not be read.
const SHELF_PAUSE: Duration = Duration::from_secs(1);
