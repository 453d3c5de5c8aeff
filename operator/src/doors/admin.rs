//! The admin address of `igw up`: read only, on loopback unless told otherwise, and on `<state>/admin.sock`.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use igw_crds::sync::Envelope;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::http::{Door, answer, serve};
use super::metrics::Metrics;
use super::sync_server::Sealed;
use crate::acme::runner::Command;
use crate::acme::standing::Shown;
use crate::objects::view::View;
use crate::output::page;

/// What the admin address shows.
#[derive(Clone)]
pub struct Admin {
    /// Objects and statuses.
    pub view: watch::Receiver<Arc<View>>,
    /// The newest snapshot.
    pub newest: watch::Receiver<Option<Arc<Sealed>>>,
    /// Metrics.
    pub metrics: Metrics,
    /// Certificates that are issued, and how they stand.
    pub certificates: watch::Receiver<Arc<Vec<Shown>>>,
    /// Takes wishes for new certificates, where the door is for those who may have them.
    pub renewals: Option<mpsc::UnboundedSender<Command>>,
}

// === impl Admin ===

impl Admin {
    /// Serves until the future is dropped.
    pub async fn run(self, door: Door) {
        serve(door, move |request| self.clone().answer(request)).await;
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let renewed = request.uri().path().strip_prefix(RENEW).map(str::to_owned);
        if let (&Method::POST, Some(secret), Some(renewals)) = (request.method(), renewed, &self.renewals) {
            return self.renew(&secret, renewals);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "this address only reads\n");
        }
        let path = request.uri().path().to_owned();
        // A listing of many thousand objects takes a while to write; sync must not wait for it.
        let made = tokio::task::spawn_blocking(move || self.page(&path)).await;
        made.unwrap_or_else(|_| answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the page cannot be made\n"))
    }

    /// Passes the wish for a new certificate on.
    fn renew(&self, secret: &str, renewals: &mpsc::UnboundedSender<Command>) -> Response<Full<Bytes>> {
        let known = self.certificates.borrow();
        let is_it = |shown: &&Shown| format!("{}/{}", shown.namespace, shown.secret) == secret;
        let Some(shown) = known.iter().find(is_it) else {
            return answer(StatusCode::NOT_FOUND, TEXT, "no such certificate\n");
        };
        let place = (shown.namespace.clone(), shown.secret.clone());
        match renewals.send(Command::Renew(place)) {
            Ok(()) => answer(StatusCode::OK, TEXT, "asked for\n"),
            Err(_) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "nobody takes wishes any more\n"),
        }
    }

    fn page(&self, path: &str) -> Response<Full<Bytes>> {
        let view = self.view.borrow().clone();
        match path {
            "/" => answer(StatusCode::OK, "text/html; charset=utf-8", page::status(&view.listing())),
            "/metrics" => answer(StatusCode::OK, "text/plain; version=0.0.4", self.metrics.render()),
            "/healthz" => answer(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" if view.ready => answer(StatusCode::OK, TEXT, "ready\n"),
            "/readyz" => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "not ready: some listener or object has no state yet\n",
            ),
            "/api/v1/state" => answer(StatusCode::OK, "application/json", view.to_bytes()),
            "/api/v1/objects" => {
                let listing = view.listing();
                json(&json!({"generation": listing.generation, "items": listing.objects}))
            }
            "/api/v1/statuses" => {
                let listing = view.listing();
                json(
                    &json!({"generation": listing.generation, "notices": listing.notices, "items": statuses(&listing.objects)}),
                )
            }
            "/api/v1/certificates" => json(&**self.certificates.borrow()),
            "/api/v1/snapshot" => self.snapshot(),
            _ => answer(StatusCode::NOT_FOUND, TEXT, "no such page\n"),
        }
    }

    /// The newest snapshot without keys.
    fn snapshot(&self) -> Response<Full<Bytes>> {
        let newest = self.newest.borrow().clone();
        let envelope = newest.and_then(|sealed| serde_json::from_slice::<Envelope>(&sealed.stored).ok());
        match envelope {
            Some(mut envelope) => {
                envelope.keys.clear();
                json(&envelope)
            }
            None => answer(StatusCode::NOT_FOUND, TEXT, "no snapshot yet\n"),
        }
    }
}

fn statuses(objects: &[Value]) -> Vec<Value> {
    let with_status = objects.iter().filter(|object| object.get("status").is_some());
    with_status
        .map(|object| {
            json!({
                "apiVersion": object.get("apiVersion"),
                "kind": object.get("kind"),
                "namespace": object.pointer("/metadata/namespace"),
                "name": object.pointer("/metadata/name"),
                "generation": object.pointer("/metadata/generation"),
                "status": object.get("status"),
            })
        })
        .collect()
}

fn json(value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(bytes) => answer(StatusCode::OK, "application/json", bytes),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

/// Begin of the path that takes wishes for new certificates.
const RENEW: &str = "/api/v1/certificates/renew/";
/// Content type of plain answers.
const TEXT: &str = "text/plain; charset=utf-8";
