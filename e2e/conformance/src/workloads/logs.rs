//! What pods print, for whoever asks: the server passes requests for the log of a pod on to this door.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::echo::Log;
use crate::query::parameter;

/// Logs by `namespace/pod`. Copies are one.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    logs: Arc<Mutex<BTreeMap<String, Log>>>,
}

// === impl Logs ===

impl Logs {
    /// Answers `GET /{namespace}/{pod}[?sinceTime=T]` until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = listener.accept().await else { continue };
            let logs = self.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = logs.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            connections.spawn(async move {
                // A connection that breaks ends alone.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    /// What a pod has printed since a moment; nothing if there is no such pod.
    #[must_use]
    pub fn text(&self, namespace: &str, pod: &str, since: Option<Timestamp>) -> Option<String> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let log = logs.get(&format!("{namespace}/{pod}"))?;
        Some(log.since(since.unwrap_or(Timestamp::UNIX_EPOCH)))
    }

    pub(crate) fn insert(&self, namespace: &str, pod: &str, log: Log) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.insert(format!("{namespace}/{pod}"), log);
    }

    pub(crate) fn remove(&self, namespace: &str, pod: &str) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.remove(&format!("{namespace}/{pod}"));
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let since = parameter(request.uri().query(), "sinceTime").and_then(|time| time.parse().ok());
        let named = request.uri().path().trim_matches('/').split_once('/');
        let text = named.and_then(|(namespace, pod)| self.text(namespace, pod, since));
        let status = if text.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let mut response = Response::new(Full::from(text.unwrap_or_default()));
        *response.status_mut() = status;
        response
    }
}
