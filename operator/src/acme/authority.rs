//! Conversations with one authority (RFC 8555): signed requests, nonces, and the pause it asks for.
//!
//! Guarantees: a request ends within its time limit; no request is sent before a Retry-After of an error has ended; a
//! nonce that is refused costs another try, a bounded number of times; nothing of a key is in any error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, LINK, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;

use super::documents::{AuthorizationDocument, Directory, OrderDocument, Problem, RenewalDocument};
use super::jose::{AccountKey, By, encode};
use super::trouble::Trouble;
use super::trust;

/// One authority.
#[derive(Debug)]
pub struct Authority {
    http: reqwest::Client,
    url: String,
    directory: AsyncMutex<Option<(Instant, Arc<Directory>)>>,
    nonces: Mutex<Vec<String>>,
    /// No request before this moment.
    gate: Mutex<Option<Timestamp>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Its key.
    pub key: &'a AccountKey,
    /// Its URL.
    pub url: &'a str,
}

/// A document with when to look at it again.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// The document.
    pub document: T,
    /// When it may be asked for again.
    pub again: Option<Timestamp>,
}

/// What a new order says.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// Names.
    pub hostnames: &'a [String],
    /// Profile, if one is asked for.
    pub profile: &'a str,
    /// Identity of the certificate that is replaced (RFC 9773 5).
    pub replaces: Option<&'a str>,
}

/// What an authority answered.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    again: Option<Timestamp>,
}

// === impl Authority ===

impl Authority {
    /// An authority by its directory; `bundle` are the authorities that certify its server, PEM.
    ///
    /// # Errors
    /// Says what is wrong with the bundle.
    pub fn new(url: &str, bundle: Option<&[u8]>) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("igw/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(trust::client(bundle)?)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            http,
            url: url.to_owned(),
            directory: AsyncMutex::default(),
            nonces: Mutex::default(),
            gate: Mutex::default(),
        })
    }

    /// Sends nothing before a moment.
    pub fn pause(&self, until: Timestamp) {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        *gate = (*gate).max(Some(until));
    }

    /// The directory, read again after [`DIRECTORY_LIFE`].
    ///
    /// # Errors
    /// [`Trouble`] by what has to be done.
    pub async fn directory(&self) -> Result<Arc<Directory>, Trouble> {
        let mut known = self.directory.lock().await;
        if let Some((read_at, directory)) = &*known
            && read_at.elapsed() < DIRECTORY_LIFE
        {
            return Ok(Arc::clone(directory));
        }
        let answer = self.send(Method::GET, &self.url, None).await?.good(Timestamp::now())?;
        let directory: Arc<Directory> = Arc::new(parse(&answer.body, "directory")?);
        *known = Some((Instant::now(), Arc::clone(&directory)));
        Ok(directory)
    }

    /// Makes an account, or finds the one that the key has already. Its URL.
    ///
    /// # Errors
    /// As [`Authority::directory`].
    pub async fn register(
        &self,
        key: &AccountKey,
        email: &str,
        binding: Option<Value>,
    ) -> Result<String, Trouble> {
        let directory = self.directory().await?;
        if directory.meta.external_account_required && binding.is_none() {
            let words =
                "the authority wants externalAccountBinding; write keyID and hmacRef that it gave you";
            return Err(Trouble::Refused(words.to_owned()));
        }
        let mut payload = json!({"termsOfServiceAgreed": true});
        if !email.is_empty() {
            payload["contact"] = json!([format!("mailto:{email}")]);
        }
        if let Some(binding) = binding {
            payload["externalAccountBinding"] = binding;
        }
        let answer = self.post(&directory.new_account, key, By::Key, Some(&payload)).await?;
        answer.location().ok_or_else(|| Trouble::Unavailable("the new account has no URL".to_owned()))
    }

    /// Places an order: its URL and its first state.
    ///
    /// # Errors
    /// As [`Authority::directory`].
    pub async fn order(
        &self,
        account: Account<'_>,
        request: &Request<'_>,
    ) -> Result<(String, OrderDocument), Trouble> {
        let directory = self.directory().await?;
        let identifiers: Vec<Value> =
            request.hostnames.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let mut payload = json!({"identifiers": identifiers});
        if !request.profile.is_empty() {
            if !directory.meta.profiles.contains_key(request.profile) {
                let known: Vec<&str> = directory.meta.profiles.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
                return Err(Trouble::Refused(format!(
                    "the authority has no profile `{}` ({known}); correct spec.acme.profile",
                    request.profile
                )));
            }
            payload["profile"] = request.profile.into();
        }
        if let (Some(replaces), Some(_)) = (request.replaces, &directory.renewal_info) {
            payload["replaces"] = replaces.into();
        }
        let answer =
            self.post(&directory.new_order, account.key, By::Account(account.url), Some(&payload)).await?;
        let url = answer.location();
        let url = url.ok_or_else(|| Trouble::Unavailable("the new order has no URL".to_owned()))?;
        Ok((url, parse(&answer.body, "order")?))
    }

    /// Reads an order.
    ///
    /// # Errors
    /// As [`Authority::directory`]; [`Trouble::OrderLost`].
    pub async fn read_order(&self, account: Account<'_>, url: &str) -> Result<Seen<OrderDocument>, Trouble> {
        self.read(account, url, "order").await
    }

    /// Reads an authorization.
    ///
    /// # Errors
    /// As [`Authority::read_order`].
    pub async fn read_authorization(
        &self,
        account: Account<'_>,
        url: &str,
    ) -> Result<Seen<AuthorizationDocument>, Trouble> {
        self.read(account, url, "authorization").await
    }

    /// Says that a challenge can be looked at. When its authorization may be asked for.
    ///
    /// # Errors
    /// As [`Authority::read_order`].
    pub async fn offer(&self, account: Account<'_>, url: &str) -> Result<Option<Timestamp>, Trouble> {
        Ok(self.post(url, account.key, By::Account(account.url), Some(&json!({}))).await?.again)
    }

    /// Sends the signing request, DER.
    ///
    /// # Errors
    /// As [`Authority::read_order`].
    pub async fn finalize(
        &self,
        account: Account<'_>,
        url: &str,
        request: &[u8],
    ) -> Result<Seen<OrderDocument>, Trouble> {
        let payload = json!({"csr": encode(request)});
        let answer = self.post(url, account.key, By::Account(account.url), Some(&payload)).await?;
        Ok(Seen { document: parse(&answer.body, "order")?, again: answer.again })
    }

    /// Fetches the certificate with its chain, PEM; `choose` says of a chain whether it is the one to have, where the
    /// authority offers several. The first one counts if it says so of none.
    ///
    /// # Errors
    /// As [`Authority::read_order`].
    pub async fn download(
        &self,
        account: Account<'_>,
        url: &str,
        choose: impl Fn(&str) -> bool,
    ) -> Result<String, Trouble> {
        let by = By::Account(account.url);
        let answer = self.post(url, account.key, by, None).await?;
        let first = answer.text()?;
        if choose(&first) {
            return Ok(first);
        }
        for other in answer.alternates().into_iter().take(MAX_CHAINS) {
            let chain = self.post(&other, account.key, by, None).await?.text()?;
            if choose(&chain) {
                return Ok(chain);
            }
        }
        Ok(first)
    }

    /// When to renew a certificate; nothing if the authority does not say so of any.
    ///
    /// # Errors
    /// As [`Authority::directory`].
    pub async fn renewal(&self, certificate: &str) -> Result<Option<Seen<RenewalDocument>>, Trouble> {
        let directory = self.directory().await?;
        let Some(base) = &directory.renewal_info else { return Ok(None) };
        let url = format!("{}/{certificate}", base.trim_end_matches('/'));
        let answer = self.send(Method::GET, &url, None).await?.good(Timestamp::now())?;
        Ok(Some(Seen { document: parse(&answer.body, "renewal information")?, again: answer.again }))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        account: Account<'_>,
        url: &str,
        what: &str,
    ) -> Result<Seen<T>, Trouble> {
        let answer = self.post(url, account.key, By::Account(account.url), None).await?;
        Ok(Seen { document: parse(&answer.body, what)?, again: answer.again })
    }

    /// Sends a signed request, again with another nonce where one is refused.
    async fn post(
        &self,
        url: &str,
        key: &AccountKey,
        by: By<'_>,
        payload: Option<&Value>,
    ) -> Result<Answer, Trouble> {
        let mut refused = String::new();
        for _ in 0..NONCE_TRIES {
            let nonce = self.nonce().await?;
            let body = key.sign(url, &nonce, by, payload).map_err(Trouble::Local)?;
            let answer = self.send(Method::POST, url, Some(body)).await?;
            match answer.problem() {
                Some(problem) if problem.kind() == "badNonce" => refused = problem.words(),
                _ => return answer.good(Timestamp::now()),
            }
        }
        Err(Trouble::Unavailable(format!("the authority refuses every nonce it gives ({refused})")))
    }

    async fn nonce(&self) -> Result<String, Trouble> {
        let kept = self.nonces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(nonce) = kept {
            return Ok(nonce);
        }
        let directory = self.directory().await?;
        self.send(Method::HEAD, &directory.new_nonce, None).await?.good(Timestamp::now())?;
        let got = self.nonces.lock().unwrap_or_else(PoisonError::into_inner).pop();
        got.ok_or_else(|| Trouble::Unavailable("the authority gives no nonce".to_owned()))
    }

    /// One request, unless the authority wants none yet.
    async fn send(&self, method: Method, url: &str, body: Option<Vec<u8>>) -> Result<Answer, Trouble> {
        let gate = *self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = gate.filter(|until| *until > Timestamp::now()) {
            return Err(Trouble::NotBefore { until, why: "it said so before".to_owned() });
        }
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/jose+json").body(body);
        }
        let response = request.send().await.map_err(|error| Trouble::Unavailable(words(&error)))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let now = Timestamp::now();
        let again = headers.get(RETRY_AFTER).and_then(|value| moment(value.to_str().ok()?, now));
        if let (Some(until), 400..) = (again, status) {
            self.pause(until);
        }
        if let Some(nonce) = headers.get("replay-nonce").and_then(|value| value.to_str().ok()) {
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            if nonces.len() < MAX_NONCES {
                nonces.push(nonce.to_owned());
            }
        }
        let body = read_body(response).await?;
        Ok(Answer { status, headers, body, again })
    }
}

// === impl Answer ===

impl Answer {
    fn problem(&self) -> Option<Problem> {
        (self.status >= 400).then(|| serde_json::from_slice(&self.body).unwrap_or_default())
    }

    /// The answer, if it is a good one.
    fn good(self, now: Timestamp) -> Result<Self, Trouble> {
        let Some(problem) = self.problem() else {
            return match self.status {
                200..=299 => Ok(self),
                status => Err(Trouble::Unavailable(format!("the authority answers with status {status}"))),
            };
        };
        let words = match problem.r#type.is_empty() {
            true => format!("the authority answers with status {}", self.status),
            false => problem.words(),
        };
        if let Some(until) = self.again.filter(|until| *until > now) {
            return Err(Trouble::NotBefore { until, why: words });
        }
        Err(match (problem.kind(), self.status) {
            ("accountDoesNotExist", _) => Trouble::AccountLost,
            (_, 404) => Trouble::OrderLost,
            (_, 500..) => Trouble::Unavailable(words),
            _ => Trouble::Refused(words),
        })
    }

    fn location(&self) -> Option<String> {
        self.headers.get(LOCATION)?.to_str().ok().map(str::to_owned)
    }

    /// Other chains for the same certificate (RFC 8555 7.4.2).
    fn alternates(&self) -> Vec<String> {
        let links = self.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let links = links.flat_map(|value| value.split(','));
        let alternate = |link: &str| {
            let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_alternate =
                parameters.split(';').any(|one| one.trim().replace('"', "") == "rel=alternate");
            is_alternate.then(|| url.to_owned())
        };
        links.filter_map(alternate).collect()
    }

    fn text(&self) -> Result<String, Trouble> {
        String::from_utf8(self.body.clone())
            .map_err(|_| Trouble::Unavailable("the certificate is no text".to_owned()))
    }
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Trouble::Unavailable("the authority's answer is too long".to_owned())),
            Ok(None) => return Ok(body),
            Err(error) => return Err(Trouble::Unavailable(words(&error))),
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Trouble> {
    serde_json::from_slice(body)
        .map_err(|error| Trouble::Unavailable(format!("the authority's {what} cannot be read: {error}")))
}

/// A moment of `Retry-After`: seconds, or a date (RFC 9110 10.2.3).
fn moment(value: &str, now: Timestamp) -> Option<Timestamp> {
    match value.trim().parse::<i64>() {
        Ok(seconds) => now.checked_add(SignedDuration::from_secs(seconds.max(0))).ok(),
        Err(_) => jiff::fmt::rfc2822::parse(value.trim()).ok().map(|zoned| zoned.timestamp()),
    }
}

/// An error of the client with what is below it, and without addresses that could hold a secret: ours hold none.
fn words(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        text.push_str(&format!(": {cause}"));
        below = cause.source();
    }
    text
}

/// What an authority offers is asked again after this time.
const DIRECTORY_LIFE: Duration = Duration::from_secs(3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const MAX_BODY: usize = 1 << 20;
/// Nonces that are kept.
const MAX_NONCES: usize = 64;
/// Tries of one request whose nonces are refused; of an authority that refuses half of them, one request in 65,536
/// fails.
const NONCE_TRIES: usize = 16;
/// Other chains that are looked at.
const MAX_CHAINS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_second(1_000).unwrap();
        let cases = [
            ("7", Some(1_007)),
            ("-3", Some(1_000)),
            ("Thu, 01 Jan 1970 00:20:00 GMT", Some(1_200)),
            ("soon", None),
        ];
        for (value, want) in cases {
            assert_eq!(moment(value, now).map(|moment| moment.as_second()), want, "{value}");
        }
    }

    #[test]
    fn problems_are_sorted_by_what_to_do() {
        let answer = |status, kind: &str, again| Answer {
            status,
            headers: HeaderMap::new(),
            body: json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "d"})
                .to_string()
                .into(),
            again,
        };
        let now = Timestamp::from_second(10).unwrap();
        let later = Timestamp::from_second(20).unwrap();
        let trouble = |answer: Answer| answer.good(now).map(|_| ()).unwrap_err();
        assert_eq!(trouble(answer(400, "accountDoesNotExist", None)), Trouble::AccountLost);
        assert_eq!(trouble(answer(404, "malformed", None)), Trouble::OrderLost);
        assert_eq!(
            trouble(answer(503, "serverInternal", None)),
            Trouble::Unavailable("serverInternal: d".into())
        );
        assert_eq!(
            trouble(answer(403, "rejectedIdentifier", None)),
            Trouble::Refused("rejectedIdentifier: d".into())
        );
        let limited = trouble(answer(429, "rateLimited", Some(later)));
        assert_eq!(limited, Trouble::NotBefore { until: later, why: "rateLimited: d".into() });
    }
}
