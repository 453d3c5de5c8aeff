//! Credentials to headers: tokens are fetched, renewed at half their life, and fetched again when refused.
//!
//! Guarantees: renewal happens in the request that needs it, once for all who wait; while a token lives, a failed
//! renewal fails nobody and a slow one delays one request a little; tokens and passwords leave this module in sensitive headers only.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::error::{Error, Place};
use crate::failure::check;
use crate::link::Link;
use crate::request::{Area, Request};
use crate::target::Credentials;

/// Keeps one set of credentials good.
#[derive(Debug)]
pub(crate) struct Login {
    credentials: Credentials,
    held: Mutex<Option<Held>>,
    /// One renewal at a time.
    turn: Semaphore,
}

/// What a request carried.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) header: Option<HeaderValue>,
    /// Counts tokens; zero for credentials that never change.
    generation: u64,
}

/// Tokens as the daemon hands them out, and as `om` and `ox` keep them in files.
#[derive(Debug, Deserialize)]
pub struct Tokens {
    /// The token that calls carry.
    pub access_token: SecretString,
    /// When the access token ends.
    #[serde(default)]
    pub access_expired_at: Option<Timestamp>,
    /// The token that renews access tokens; absent unless asked for.
    #[serde(default)]
    pub refresh_token: Option<SecretString>,
    /// When the refresh token ends.
    #[serde(default)]
    pub refresh_expired_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Held {
    access: SecretString,
    refresh: Option<SecretString>,
    renew_at: Instant,
    ends_at: Instant,
    generation: u64,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
}

// === impl Login ===

impl Login {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, held: Mutex::new(None), turn: Semaphore::new(1) }
    }

    /// The header for the next request, renewed if it is time.
    pub(crate) async fn pass(&self, link: &Link) -> Result<Pass, Error> {
        match &self.credentials {
            Credentials::Anonymous | Credentials::X509(_) => return Ok(Pass { header: None, generation: 0 }),
            Credentials::Basic { user, password } => {
                return Ok(Pass { header: basic(user, password), generation: 0 });
            }
            Credentials::Token { .. } | Credentials::TokenFile(_) | Credentials::Login { .. } => {}
        }
        if let Some(held) = self.fresh() {
            return Ok(held.pass());
        }
        let _turn = match self.turn.try_acquire() {
            Ok(turn) => turn,
            // Somebody renews it; the present token serves until then if it still lives.
            Err(_) => match self.alive() {
                Some(held) => return Ok(held.pass()),
                None => self.turn.acquire().await.map_err(|error| unavailable(error.to_string()))?,
            },
        };
        if let Some(held) = self.fresh() {
            return Ok(held.pass());
        }
        let old = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let renewal = self.renew(link, old.as_ref());
        let result = match self.alive() {
            None => renewal.await,
            Some(_) => match timeout(RENEWAL_TIMEOUT, renewal).await {
                Ok(result) => result,
                Err(_) => Err(unavailable(format!("no answer within {RENEWAL_TIMEOUT:?}"))),
            },
        };
        let now = Instant::now();
        let next = match (result, old) {
            (Ok(tokens), old) => Held::new(tokens, old.map_or(1, |old| old.generation + 1), now),
            (Err(error), Some(old)) if old.ends_at > now => {
                debug!(%error, "token not renewed, the present one is used on");
                Held { renew_at: now + RENEWAL_PAUSE, ..old }
            }
            (Err(error), _) => return Err(error),
        };
        let pass = next.pass();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        Ok(pass)
    }

    /// Takes note that the daemon refused a pass. Says whether another try with a new one makes sense.
    pub(crate) fn reject(&self, pass: &Pass) -> bool {
        if pass.generation == 0 {
            return false;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut().filter(|held| held.generation == pass.generation) {
            let now = Instant::now();
            (held.renew_at, held.ends_at) = (now, now);
        }
        true
    }

    fn alive(&self) -> Option<Held> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| held.ends_at > Instant::now()).cloned()
    }

    fn fresh(&self) -> Option<Held> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| held.renew_at > Instant::now()).cloned()
    }

    async fn renew(&self, link: &Link, old: Option<&Held>) -> Result<Tokens, Error> {
        match &self.credentials {
            Credentials::Token { access, refresh } => match old {
                Some(old) if old.refresh.is_some() => refreshed(link, old).await,
                // Whether it is still good is the daemon's to say.
                _ => Ok(Tokens::given(access.clone(), refresh.clone())),
            },
            Credentials::TokenFile(path) => {
                let kept = read_tokens(path).await?;
                let left = |held: &Held| held.ends_at.saturating_duration_since(Instant::now());
                let is_newer = kept.life_left() > Some(old.map_or(Duration::ZERO, left));
                let is_other =
                    old.is_none_or(|old| old.access.expose_secret() != kept.access_token.expose_secret());
                if kept.refresh_token.is_none() || (is_newer && is_other) {
                    return Ok(kept);
                }
                match old {
                    Some(old) if old.refresh.is_some() => refreshed(link, old).await,
                    _ => refreshed(link, &Held::new(kept, 0, Instant::now())).await,
                }
            }
            Credentials::Login { user, password } => {
                if let Some(old) = old.filter(|old| old.refresh.is_some()) {
                    match refreshed(link, old).await {
                        Ok(tokens) => return Ok(tokens),
                        Err(error) => debug!(%error, "token not renewed, logging in again"),
                    }
                }
                let request = Request::new(Method::POST, Area::Login, ["api", "auth", "token"])
                    .with_query("refresh", "true");
                fetch(link, &request, basic(user, password)).await
            }
            Credentials::Anonymous | Credentials::X509(_) | Credentials::Basic { .. } => {
                Err(unavailable("these credentials have no tokens".to_owned()))
            }
        }
    }
}

// === impl Tokens ===

impl Tokens {
    fn given(access: SecretString, refresh: Option<SecretString>) -> Self {
        Self {
            access_token: access,
            access_expired_at: None,
            refresh_token: refresh,
            refresh_expired_at: None,
        }
    }

    fn life_left(&self) -> Option<Duration> {
        let end = self.access_expired_at.or_else(|| expiry(self.access_token.expose_secret()))?;
        Some(Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO))
    }
}

// === impl Held ===

impl Held {
    fn new(tokens: Tokens, generation: u64, now: Instant) -> Self {
        // Where clocks differ a good token seems to have ended. The daemon's refusal is what counts.
        let left = tokens.life_left().unwrap_or(UNKNOWN_LIFE).max(RENEWAL_PAUSE);
        Self {
            access: tokens.access_token,
            refresh: tokens.refresh_token,
            renew_at: now + (left / 2).max(RENEWAL_PAUSE),
            ends_at: now + left,
            generation,
        }
    }

    fn pass(&self) -> Pass {
        Pass { header: bearer(&self.access), generation: self.generation }
    }
}

fn unavailable(detail: String) -> Error {
    Error::Unauthorized { place: Place { call: "login".to_owned(), object: None }, detail }
}

/// Renews with the refresh token, which stays good until its own end.
async fn refreshed(link: &Link, old: &Held) -> Result<Tokens, Error> {
    let request = Request::new(Method::POST, Area::Login, ["api", "auth", "refresh"]);
    let Some(refresh) = &old.refresh else {
        let detail = "the token has ended, and there is no refresh token".to_owned();
        return Err(Error::Unauthorized { place: request.place(), detail });
    };
    let mut tokens = fetch(link, &request, bearer(refresh)).await?;
    tokens.refresh_token = tokens.refresh_token.or_else(|| Some(refresh.clone()));
    Ok(tokens)
}

async fn fetch(link: &Link, request: &Request, header: Option<HeaderValue>) -> Result<Tokens, Error> {
    let answer = check(request, link.send(request, header).await?)?;
    // The text of a parser may quote what it read, and that is a token here.
    serde_json::from_slice(&answer.body)
        .map_err(|_| Error::Malformed { place: request.place(), cause: "not a token answer".to_owned() })
}

async fn read_tokens(path: &Path) -> Result<Tokens, Error> {
    let place = Place { call: format!("read {}", path.display()), object: None };
    let unusable = |detail: String| Error::Unauthorized { place: place.clone(), detail };
    let text = tokio::fs::read_to_string(path).await.map_err(|error| unusable(error.to_string()))?;
    let text = text.trim();
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|_| unusable("not a token file".to_owned()));
    }
    let is_token = !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(|b| b.is_ascii_graphic());
    if !is_token {
        return Err(unusable("not a token file".to_owned()));
    }
    Ok(Tokens::given(SecretString::from(text), None))
}

/// The end of a token as its claims say. Who signed it is the daemon's to check.
fn expiry(token: &str) -> Option<Timestamp> {
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", token.expose_secret()))
}

pub(crate) fn basic(user: &str, password: &SecretString) -> Option<HeaderValue> {
    sensitive(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose_secret()))))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Between two renewals, and between two tries to renew a token that still lives.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);
/// For a renewal while the present token still lives: nobody shall wait long for it.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(3);
/// For tokens that do not say when they end; the daemon's default is 10 minutes.
const UNKNOWN_LIFE: Duration = Duration::from_secs(600);
const MAX_TOKEN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(exp: i64) -> String {
        format!("h.{}.s", URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{exp},\"sub\":\"a\"}}")))
    }

    #[test]
    fn the_end_of_a_token_is_read_from_its_claims() {
        assert_eq!(expiry(&token(1_795_440_846)), Timestamp::from_second(1_795_440_846).ok());
        assert_eq!(expiry("not a token"), None);
        assert_eq!(expiry("a.%%%.c"), None);
    }

    #[tokio::test]
    async fn token_files_are_bare_or_json() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let bare = folder.path().join("bare");
        tokio::fs::write(&bare, "abc.def.ghi\n").await?;
        assert_eq!(read_tokens(&bare).await?.access_token.expose_secret(), "abc.def.ghi");
        let kept = folder.path().join("kept.json");
        let text = r#"{"access_token":"a","access_expired_at":"2020-01-01T00:00:00Z","access_token_duration":1,
            "refresh_token":"r","refresh_expired_at":"2020-01-01T00:00:00Z"}"#;
        tokio::fs::write(&kept, text).await?;
        let tokens = read_tokens(&kept).await?;
        assert_eq!(tokens.life_left(), Some(Duration::ZERO));
        assert_eq!(tokens.refresh_token.as_ref().map(|token| token.expose_secret()), Some("r"));
        tokio::fs::write(&bare, "two words").await?;
        assert!(read_tokens(&bare).await.is_err());
        Ok(())
    }

    #[test]
    fn secrets_do_not_show() {
        let tokens = Tokens::given(SecretString::from("tokentext"), Some(SecretString::from("othertext")));
        let shown = format!("{tokens:?} {:?}", bearer(&tokens.access_token));
        assert!(!shown.contains("tokentext") && !shown.contains("othertext"), "{shown}");
    }
}
