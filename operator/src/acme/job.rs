//! One step, done: at most a few requests, and what they brought.

use std::sync::Arc;

use igw_compile::issued::Wish;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::authority::{Account, Request};
use super::documents::State;
use super::issuers::{Acme, server, value};
use super::jose::{AccountKey, encode};
use super::made::{BOOTSTRAP_DAYS, Mark, NEXT_KEY, Values, is_issued_by, new_key, renewal_name, self_signed};
use super::made::{signing_request, values};
use super::plan::Step;
use super::record::{Method, Order, Pending, ProofState, Stage};
use super::settle::Gain;
use super::shelf::{Shelf, Stored};
use super::trouble::Trouble;
use super::update::{Change, Key, change};
use crate::certificates::vault::Place;

/// A step with all that it needs.
pub struct Job<S> {
    /// Where things rest.
    pub shelf: Arc<S>,
    /// The Secret.
    pub place: Place,
    /// What is wanted.
    pub wish: Arc<Wish>,
    /// The authority; nothing where certificates sign themselves.
    pub acme: Option<Arc<Acme>>,
    /// Key of the account.
    pub key: Option<Arc<AccountKey>>,
    /// URL of the account; empty before there is one.
    pub account: String,
    /// The order under way.
    pub order: Option<Order>,
    /// What the Secret holds.
    pub stored: Option<Values>,
    /// The step.
    pub step: Step,
}

/// What a job did.
pub struct Done {
    /// The Secret.
    pub place: Place,
    /// The step.
    pub step: Step,
    /// Directory of the authority; empty where certificates sign themselves.
    pub directory: String,
    /// What came of it.
    pub result: Result<Gain, Trouble>,
    /// What the Secret holds now, if that is something else.
    pub stored: Option<Values>,
    /// URL of a new account.
    pub account: Option<String>,
}

// === impl Job ===

impl<S: Shelf> Job<S> {
    /// Does it.
    pub async fn run(self) -> Done {
        let mut done = Done {
            place: self.place.clone(),
            step: self.step.clone(),
            directory: self.acme.as_ref().map(|acme| acme.spec.directory.clone()).unwrap_or_default(),
            result: Ok(Gain::Nothing),
            stored: None,
            account: None,
        };
        done.result = self.act(&mut done).await;
        done
    }

    async fn act(&self, done: &mut Done) -> Result<Gain, Trouble> {
        match &self.step {
            Step::SignSelf => {
                let mark = self.mark();
                let wish = &self.wish;
                let made =
                    self_signed(wish.algorithm, &wish.hostnames, BOOTSTRAP_DAYS, &mark, Timestamp::now());
                let made = made.map_err(Trouble::Local)?;
                self.store(made, done).await?;
                Ok(Gain::Stored)
            }
            // These are for the one who keeps the book.
            Step::MakeAccountKey => Ok(Gain::Nothing),
            Step::Forget | Step::GiveUp => {
                self.clear_records().await;
                Ok(Gain::Nothing)
            }
            Step::Register => self.register(done).await,
            Step::Order => self.order().await,
            Step::Read(index) => self.read(*index).await,
            Step::Record(index) => {
                self.record(self.pending(*index)?, Change::Add).await.map_err(Trouble::Local)?;
                Ok(Gain::Recorded)
            }
            Step::Offer(index) => self.offer(*index).await,
            Step::Finalize => self.finalize(done).await,
            Step::ReadOrder => {
                let seen = self.acme()?.authority.read_order(self.account()?, &self.under_way()?.url).await?;
                Ok(Gain::Order { url: None, document: seen.document, again: seen.again })
            }
            Step::Download => self.download(done).await,
            Step::AskRenewal => self.ask_renewal().await,
        }
    }

    async fn register(&self, done: &mut Done) -> Result<Gain, Trouble> {
        let acme = self.acme()?;
        let key = self.key()?;
        let directory = acme.authority.directory().await?;
        let binding = match (&acme.spec.external_account_binding, &acme.binding) {
            (Some(binding), Some(secret)) => {
                let of = |fault: String| {
                    Trouble::Local(format!("key hmac of Secret {} {fault}", binding.hmac_ref.name))
                };
                Some(key.bind(&binding.key_id, secret, &directory.new_account).map_err(of)?)
            }
            _ => None,
        };
        done.account = Some(acme.authority.register(key, &acme.spec.email, binding).await?);
        Ok(Gain::Nothing)
    }

    async fn order(&self) -> Result<Gain, Trouble> {
        let acme = self.acme()?;
        let replaces =
            self.stored.as_ref().filter(|stored| stored.held().is_some_and(|held| !held.is_bootstrap));
        let replaces = replaces.filter(|_| acme.spec.prefer_ari).and_then(renewal_name);
        let mut request = Request {
            hostnames: &self.wish.hostnames,
            profile: &acme.spec.profile,
            replaces: replaces.as_deref(),
        };
        let placed = match acme.authority.order(self.account()?, &request).await {
            // The certificate that it would replace is another account's or was replaced before (RFC 9773 5): the order
            // itself is good.
            Err(Trouble::Refused(why)) if replaces.is_some() && is_about_replacement(&why) => {
                request.replaces = None;
                acme.authority.order(self.account()?, &request).await
            }
            placed => placed,
        };
        let (url, document) = placed?;
        Ok(Gain::Order { url: Some(url), document, again: None })
    }

    async fn offer(&self, index: usize) -> Result<Gain, Trouble> {
        let url = &self.pending(index)?.url;
        match self.acme()?.authority.offer(self.account()?, url).await {
            Ok(again) => Ok(Gain::Offered(again)),
            // It was offered before, and nobody lived to write that down: the authorization says what came of it.
            Err(Trouble::Refused(why)) => match self.read(index).await? {
                Gain::Authorization { document, .. } if document.status == State::Pending => {
                    Err(Trouble::Refused(why))
                }
                seen => Ok(seen),
            },
            Err(trouble) => Err(trouble),
        }
    }

    async fn read(&self, index: usize) -> Result<Gain, Trouble> {
        let proof = self.under_way()?.proofs.get(index);
        let proof = proof.ok_or_else(|| Trouble::Local("the order has no such proof".to_owned()))?;
        let seen = self.acme()?.authority.read_authorization(self.account()?, &proof.authorization).await?;
        if !matches!(seen.document.status, State::Pending | State::Processing)
            && let ProofState::Pending(pending) = &proof.state
        {
            self.clear_record(pending).await;
        }
        Ok(Gain::Authorization { document: seen.document, again: seen.again })
    }

    async fn finalize(&self, done: &mut Done) -> Result<Gain, Trouble> {
        let mut stored = self.ours().await?;
        let key = match stored.0.get(NEXT_KEY) {
            Some(key) => key.clone(),
            None => {
                // Kept before it is used: whoever is killed now can still use the certificate.
                let key = new_key(self.wish.algorithm).map_err(Trouble::Local)?;
                stored.0.insert(NEXT_KEY.to_owned(), key.clone());
                self.store(stored, done).await?;
                key
            }
        };
        let request = signing_request(&key, &self.wish.hostnames).map_err(Trouble::Local)?;
        let (authority, order) = (&self.acme()?.authority, self.under_way()?);
        let seen = match authority.finalize(self.account()?, &order.finalize, &request).await {
            // It took the request before, and nobody lived to hear of it: the order says how far it is.
            Err(Trouble::Refused(why)) if why.starts_with("orderNotReady") => {
                let seen = authority.read_order(self.account()?, &order.url).await?;
                if !matches!(seen.document.status, State::Processing | State::Valid) {
                    return Err(Trouble::Refused(why));
                }
                seen
            }
            seen => seen?,
        };
        Ok(Gain::Order { url: None, document: seen.document, again: seen.again })
    }

    async fn download(&self, done: &mut Done) -> Result<Gain, Trouble> {
        let acme = self.acme()?;
        let Stage::Issued(url) = &self.under_way()?.stage else {
            return Err(Trouble::Local("the order has no certificate".to_owned()));
        };
        let stored = self.ours().await?;
        let mark = Mark { order: Some(self.under_way()?.url.clone()), ..self.mark() };
        if stored.mark().is_some_and(|stored| stored.order == mark.order) {
            // It is there already, and nobody lived to write that down.
            done.stored = Some(stored);
            return Ok(Gain::Stored);
        }
        // Without its key the certificate is of no use to anybody.
        let key = stored.0.get(NEXT_KEY).ok_or(Trouble::OrderLost)?;
        let preferred = &acme.spec.preferred_chain;
        let choose = |chain: &str| preferred.is_empty() || is_issued_by(chain, preferred);
        let chain = acme.authority.download(self.account()?, url, choose).await?;
        let made = values(key, &chain, &mark);
        let made = made.map_err(|fault| {
            Trouble::Refused(format!("the authority's certificate cannot be used: {fault}"))
        })?;
        self.store(made, done).await?;
        Ok(Gain::Stored)
    }

    async fn ask_renewal(&self) -> Result<Gain, Trouble> {
        let stored = self.stored.as_ref();
        let held = stored.and_then(Values::held);
        let (Some(stored), Some(held)) = (stored, held) else { return Ok(Gain::Nothing) };
        let nothing = Gain::Renewal { serial: held.serial.clone(), window: None, again: None };
        let Some(name) = renewal_name(stored) else { return Ok(nothing) };
        Ok(match self.acme()?.authority.renewal(&name).await? {
            Some(seen) => Gain::Renewal {
                serial: held.serial,
                window: Some(seen.document.suggested_window),
                again: seen.again,
            },
            None => nothing,
        })
    }

    /// Changes the record of a proof in DNS.
    async fn record(&self, pending: &Pending, what: Change) -> Result<(), String> {
        let Some(updates) = self.acme.as_ref().and_then(|acme| acme.updates(&pending.hostname)) else {
            return Err(format!("no dns01 solver is for {}; add one", pending.hostname));
        };
        let place = (self.place.0.clone(), updates.tsig_secret_ref.name.as_str().to_owned());
        let secret = value(&*self.shelf, &place, "secret", "tsigSecretRef").await?;
        let name = value(&*self.shelf, &place, "name", "tsigSecretRef").await;
        let name = name
            .map_or_else(|_| place.1.clone(), |name| secrecy::ExposeSecret::expose_secret(&name).to_owned());
        let key = Key::new(name.trim(), &secret)
            .map_err(|fault| format!("key secret of Secret {}/{} {fault}", place.0, place.1))?;
        let address = server(&updates.server).ok_or_else(|| format!("`{}` is no address", updates.server))?;
        let record = format!("_acme-challenge.{}", pending.hostname);
        let text = encode(&Sha256::digest(pending.answer.as_bytes()));
        change(address, &key, updates.zone.as_ref().map(|zone| zone.as_str()), &record, &text, what).await
    }

    async fn clear_record(&self, pending: &Pending) {
        if pending.method == Method::Dns
            && pending.is_recorded
            && let Err(error) = self.record(pending, Change::Remove).await
        {
            warn!(hostname = pending.hostname, error, "record of a challenge stays in DNS");
        }
    }

    async fn clear_records(&self) {
        for proof in self.order.iter().flat_map(|order| &order.proofs) {
            if let ProofState::Pending(pending) = &proof.state {
                self.clear_record(pending).await;
            }
        }
    }

    /// What the Secret holds at this moment, if igw may write there.
    async fn ours(&self) -> Result<Values, Trouble> {
        match self.shelf.secret(&self.place).await.map_err(Trouble::Local)? {
            Some(Stored { is_ours: false, .. }) => Err(Trouble::Local(format!(
                "Secret {}/{} is not igw's; remove it, or choose another secretName",
                self.place.0, self.place.1
            ))),
            Some(stored) => Ok(stored.values),
            None => Ok(Values::default()),
        }
    }

    async fn store(&self, values: Values, done: &mut Done) -> Result<(), Trouble> {
        self.ours().await?;
        self.shelf.put(&self.place, &values).await.map_err(Trouble::Local)?;
        done.stored = Some(values);
        Ok(())
    }

    fn mark(&self) -> Mark {
        let issuer = format!("{}/{}", self.place.0, self.wish.issuer);
        Mark { issuer, made: Some(Timestamp::now()), ..Mark::default() }
    }

    fn acme(&self) -> Result<&Acme, Trouble> {
        self.acme.as_deref().ok_or_else(|| Trouble::Local("the issuer is no authority".to_owned()))
    }

    fn key(&self) -> Result<&AccountKey, Trouble> {
        self.key.as_deref().ok_or_else(|| Trouble::Local("the account has no key".to_owned()))
    }

    fn account(&self) -> Result<Account<'_>, Trouble> {
        Ok(Account { key: self.key()?, url: &self.account })
    }

    fn under_way(&self) -> Result<&Order, Trouble> {
        self.order.as_ref().ok_or_else(|| Trouble::Local("there is no order".to_owned()))
    }

    fn pending(&self, index: usize) -> Result<&Pending, Trouble> {
        match self.under_way()?.proofs.get(index).map(|proof| &proof.state) {
            Some(ProofState::Pending(pending)) => Ok(pending),
            _ => Err(Trouble::Local("the proof is not pending".to_owned())),
        }
    }
}

fn is_about_replacement(why: &str) -> bool {
    why.starts_with("alreadyReplaced") || why.contains("replace")
}
