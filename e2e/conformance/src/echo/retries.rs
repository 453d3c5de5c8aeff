//! Back ends that fail at first: `/retry/…?uuid=U&succeedAfter=N[&responseCode=C][&delayRetry=D]`.
//!
//! The first N requests of one U fail, with a status or by a reset of the connection. All of it happens under one lock,
//! delays included, and goes on when the client leaves: the suite measures gateways against a back end that does.

use std::collections::HashMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use tokio::sync::Mutex;

use super::answer::{Asked, plain};
use super::duration;
use super::http::HttpEcho;

/// What becomes of one request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer.
    Answer(Response<Full<Bytes>>),
    /// The connection is reset.
    Reset,
}

/// Failures so far, by U.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    failed: Mutex<HashMap<String, u64>>,
}

// === impl Retries ===

impl Retries {
    pub(crate) async fn take(&self, asked: &Asked, echo: &HttpEcho) -> Outcome {
        let bad = |text| Outcome::Answer(plain(StatusCode::BAD_REQUEST, text));
        let Some(id) = asked.parameter("uuid") else { return bad("uuid is missing") };
        let Some(n_failures) = asked.parameter("succeedAfter").and_then(|text| text.parse::<u64>().ok())
        else {
            return bad("succeedAfter is missing");
        };
        let status = asked.parameter("responseCode").and_then(|text| text.parse::<u16>().ok());
        let mut failed = self.failed.lock().await;
        let n_failed = failed.entry(id).or_default();
        if *n_failed >= n_failures {
            return Outcome::Answer(echo.echo(asked).await);
        }
        *n_failed += 1;
        if let Some(delay) = asked.parameter("delayRetry").and_then(|text| duration::parse(&text)) {
            tokio::time::sleep(delay).await;
        }
        match status.and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) => Outcome::Answer(plain(status, "")),
            None => Outcome::Reset,
        }
    }
}
