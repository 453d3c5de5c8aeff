//! Who we are, and tokens for others (§2.3, §2.4).

use std::time::Duration;

use reqwest::Method;

use crate::client::{Client, malformed};
use crate::error::Error;
use crate::login::Tokens;
use crate::model::{AuthMethods, Identity};
use crate::request::{Area, Request};

/// What a token shall be good for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenRequest {
    /// The user, instead of ourselves; for `root` alone.
    pub subject: Option<String>,
    /// Life of the access token, cut to 1 s … 24 h; 10 minutes by default.
    pub access_duration: Option<Duration>,
    /// Whether a refresh token comes with it.
    pub refresh: RefreshToken,
    /// Narrows the grants to these roles; all by default.
    pub roles: Vec<String>,
    /// Narrows the grants to this namespace; all by default. Without roles the strongest one there.
    pub scope: Option<String>,
}

/// Whether a refresh token comes with an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefreshToken {
    /// None.
    #[default]
    No,
    /// One that lives 24 h.
    Yes,
    /// One that lives so long, cut to 1 s … 720 h.
    Lasting(Duration),
}

// === impl Client ===

impl Client {
    /// Asks who the daemon takes us for: `GET /api/auth/whoami`.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] for credentials that it does not take; see [`Error`].
    pub async fn whoami(&self) -> Result<Identity, Error> {
        self.read(&Request::new(Method::GET, Area::Login, ["api", "auth", "whoami"])).await
    }

    /// Asks how one may log in: `GET /api/auth/info`. Needs no credentials.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn auth_methods(&self) -> Result<AuthMethods, Error> {
        self.read(&Request::new(Method::GET, Area::Login, ["api", "auth", "info"])).await
    }

    /// Makes a token: `POST /api/auth/token`. Callers that came with a token or certificate are refused.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] for grants or a subject beyond ours; see [`Error`].
    pub async fn create_token(&self, wanted: &TokenRequest) -> Result<Tokens, Error> {
        let mut request = Request::new(Method::POST, Area::Login, ["api", "auth", "token"]);
        if let Some(life) = wanted.access_duration {
            request = request.with_query("access_duration", duration_text(life));
        }
        request = match wanted.refresh {
            RefreshToken::No => request,
            RefreshToken::Yes => request.with_query("refresh", "true"),
            RefreshToken::Lasting(life) => {
                request.with_query("refresh", "true").with_query("refresh_duration", duration_text(life))
            }
        };
        for role in &wanted.roles {
            request = request.with_query("role", role);
        }
        if let Some(scope) = &wanted.scope {
            request = request.with_query("scope", scope);
        }
        if let Some(subject) = &wanted.subject {
            request = request.with_query("subject", subject);
        }
        let answer = self.call(&request).await?;
        serde_json::from_slice(&answer.body).map_err(|_| malformed(&request, "not a token answer"))
    }
}

/// A duration as the daemon reads it.
fn duration_text(life: Duration) -> String {
    let seconds = life.as_secs().max(1);
    if seconds.is_multiple_of(3600) { format!("{}h", seconds / 3600) } else { format!("{seconds}s") }
}
