//! The client: a link, a login, and the shapes of answers. Calls stand in `calls`, one file per part of the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::budget::Budget;
use crate::error::Error;
use crate::failure::check;
use crate::link::Link;
use crate::login::{Login, Pass};
use crate::request::{Answer, Request};
use crate::target::{Credentials, Settings, SetupError, Target};

/// A client of one daemon. Clones are cheap and share connections, tokens, budget and counters.
#[derive(Debug, Clone)]
pub struct Client {
    link: Arc<Link>,
    login: Arc<Login>,
}

// === impl Client ===

impl Client {
    /// Makes a client with default [`Settings`]. Nothing is sent yet; must be called within a runtime.
    ///
    /// # Errors
    ///
    /// [`SetupError`] for a URL, authority or certificate that cannot be used.
    pub fn connect(target: Target) -> Result<Self, SetupError> {
        Self::connect_with(target, &Settings::default())
    }

    /// Makes a client with limits of one's own.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub fn connect_with(target: Target, settings: &Settings) -> Result<Self, SetupError> {
        let link = Arc::new(Link::build(&target, settings)?);
        let credentials = match target {
            Target::Unix(_) => Credentials::Anonymous,
            Target::Tcp { credentials, .. } => credentials,
        };
        Ok(Self { link, login: Arc::new(Login::new(credentials)) })
    }

    /// Sends a request of one's own and gives back an answer of a success status. A request that the daemon's limiter
    /// refuses was not looked at: it is sent again, a bounded number of times, after the pause that the budget makes.
    ///
    /// # Errors
    ///
    /// Every failure as an [`Error`], as all calls give it.
    pub async fn call(&self, request: &Request) -> Result<Answer, Error> {
        let mut n_tries = 1;
        loop {
            match check(request, self.exchange(request).await?) {
                Err(Error::RateLimited { .. }) if n_tries < self.link.limited_tries => n_tries += 1,
                outcome => return outcome,
            }
        }
    }

    /// The access token that calls carry, fetched or renewed if it is time; nothing for credentials without one.
    ///
    /// # Errors
    ///
    /// As a call that has to log in.
    pub async fn access_token(&self) -> Result<Option<SecretString>, Error> {
        let pass = self.login.pass(&self.link).await?;
        let text = pass.header.as_ref().and_then(|header| header.to_str().ok());
        Ok(text
            .and_then(|text| text.strip_prefix("Bearer "))
            .map(|token| SecretString::from(token.to_owned())))
    }

    /// The budget of this client, to be shared with clients of other nodes: the daemon counts by address.
    pub fn budget(&self) -> Budget {
        self.link.budget.clone()
    }

    /// Requests so far by the code of their answer; code 0 counts those without an answer.
    pub fn requests_by_code(&self) -> BTreeMap<u16, u64> {
        self.link.counters.by_code()
    }

    /// The address as messages show it.
    pub fn target(&self) -> &str {
        self.link.shown()
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Opens a stream; a token that the daemon refuses is renewed once.
    pub(crate) async fn open(&self, request: &Request) -> Result<reqwest::Response, Error> {
        let pass = self.login.pass(&self.link).await?;
        let mut response = self.link.open(request, pass.header.clone()).await?;
        if let Some(pass) = self.second_pass(response.status().as_u16(), &pass).await {
            response = self.link.open(request, pass.header).await?;
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = self.link.read_in_time(request, response).await?;
        match check(request, answer) {
            Ok(answer) => Err(malformed(request, format!("status {}", answer.status))),
            Err(error) => Err(error),
        }
    }

    /// Gives back an answer to a read. A silent answer means that the object is not known.
    pub(crate) async fn fetch(&self, request: &Request) -> Result<Answer, Error> {
        let answer = self.call(request).await?;
        if answer.is_silent() && request.object.is_some() {
            return Err(Error::UnknownObject { place: request.place() });
        }
        Ok(answer)
    }

    /// Reads JSON of a given shape.
    pub(crate) async fn read<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Error> {
        let answer = self.fetch(request).await?;
        // Whatever type a forwarder gave it, nothing is no JSON.
        if answer.status == 200 && answer.body.is_empty() && request.object.is_some() {
            return Err(Error::UnknownObject { place: request.place() });
        }
        parse(request, &answer)
    }

    /// Writes; 204 alone means that it was done (contract §6.5).
    pub(crate) async fn write(&self, request: &Request) -> Result<(), Error> {
        let answer = self.call(request).await?;
        match answer.status {
            204 => Ok(()),
            200 if answer.body.is_empty() => Err(Error::NotConfirmed { place: request.place() }),
            status => Err(malformed(request, format!("status {status} for a write"))),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, Error> {
        let pass = self.login.pass(&self.link).await?;
        let answer = self.link.send(request, pass.header.clone()).await?;
        match self.second_pass(answer.status, &pass).await {
            Some(pass) => self.link.send(request, pass.header).await,
            None => Ok(answer),
        }
    }

    /// After a refusal, another token to try with, if there is one.
    async fn second_pass(&self, status: u16, first: &Pass) -> Option<Pass> {
        if status != 401 || !self.login.reject(first) {
            return None;
        }
        let second = self.login.pass(&self.link).await.ok()?;
        (second.header != first.header).then_some(second)
    }
}

/// Parses the body of an answer as JSON.
pub(crate) fn parse<T: DeserializeOwned>(request: &Request, answer: &Answer) -> Result<T, Error> {
    serde_json::from_slice(&answer.body).map_err(|error| unparsed(request, answer, &error))
}

/// Describes a body that could not be parsed, without quoting it.
pub(crate) fn unparsed(request: &Request, answer: &Answer, error: &serde_json::Error) -> Error {
    let content_type = answer.content_type.as_deref().unwrap_or("no type");
    // Of the parser's words only the place is told: they may quote values.
    let (line, column) = (error.line(), error.column());
    let cause = match error.classify() {
        serde_json::error::Category::Data => "JSON of another shape",
        serde_json::error::Category::Eof => "JSON that ends too early",
        _ => "no JSON",
    };
    malformed(request, format!("{cause} ({content_type}, line {line}, column {column})"))
}

pub(crate) fn malformed(request: &Request, cause: impl Into<String>) -> Error {
    Error::Malformed { place: request.place(), cause: cause.into() }
}
