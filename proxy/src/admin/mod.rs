//! The admin server of the proxy: metrics, health and a read-only API on TCP; actions on a Unix socket that
//! only its owner may open.

mod answers;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use igw_crds::sync::{Envelope, Report};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::upstream::template_states::TemplateStates;

/// What the admin server shows.
pub(crate) struct AdminState {
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Metrics,
    pub(crate) templates: TemplateStates,
    envelope: RefCell<Option<Envelope>>,
    report: RefCell<Report>,
    is_settled: Cell<bool>,
    n_open: Cell<u32>,
}

/// From where a request came: actions are taken from the owner of the socket alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Tcp,
    Socket,
}

// === impl AdminState ===

impl AdminState {
    pub(crate) fn new(shared: Arc<Shared>, metrics: Metrics, templates: TemplateStates) -> Self {
        Self {
            shared,
            metrics,
            templates,
            envelope: RefCell::new(None),
            report: RefCell::new(Report::default()),
            is_settled: Cell::new(false),
            n_open: Cell::new(0),
        }
    }

    /// Shows another snapshot.
    pub(crate) fn set_envelope(&self, mut envelope: Envelope) {
        envelope.keys.clear();
        *self.envelope.borrow_mut() = Some(envelope);
    }

    /// Shows another report; settled means that every socket is bound or known not to be.
    pub(crate) fn set_report(&self, report: Report, is_settled: bool) {
        *self.report.borrow_mut() = report;
        self.is_settled.set(is_settled);
    }

    /// Serves what was configured, as far as it can be.
    pub(crate) fn is_ready(&self) -> bool {
        self.report.borrow().serving
            && self.is_settled.get()
            && self.shared.phase() == crate::shared::Phase::Serving
    }

    pub(crate) fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    pub(crate) fn envelope(&self) -> Option<Envelope> {
        self.envelope.borrow().clone()
    }
}

/// Starts both servers. One that cannot bind is tried again; the proxy serves without it.
pub(crate) fn start(state: Rc<AdminState>, address: SocketAddr, folder: &Path) -> Vec<JoinHandle<()>> {
    let socket = folder.join("admin.sock");
    let of_socket = Rc::clone(&state);
    vec![
        tokio::task::spawn_local(serve_tcp(state, address)),
        tokio::task::spawn_local(async move { serve_socket(of_socket, &socket).await }),
    ]
}

async fn serve_tcp(state: Rc<AdminState>, address: SocketAddr) {
    let mut is_reported = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !is_reported => {
                is_reported = true;
                warn!(%address, %error, "admin address not bound; trying again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(BIND_PAUSE).await;
    };
    if let Ok(address) = listener.local_addr() {
        info!(%address, "admin listens");
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) => converse(&state, TokioIo::new(stream), Origin::Tcp),
            Err(_) => tokio::time::sleep(BIND_PAUSE).await,
        }
    }
}

async fn serve_socket(state: Rc<AdminState>, path: &Path) {
    // A socket left behind by a process that was killed.
    let _ = std::fs::remove_file(path);
    let listener = match UnixListener::bind(path) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(socket = %path.display(), %error, "admin socket not made; actions are not available");
            return;
        }
    };
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
        warn!(socket = %path.display(), %error, "admin socket not protected; actions are not available");
        return;
    }
    loop {
        match listener.accept().await {
            Ok((stream, _)) => converse(&state, TokioIo::new(stream), Origin::Socket),
            Err(_) => tokio::time::sleep(BIND_PAUSE).await,
        }
    }
}

/// Serves one connection in a task of its own, bounded in time.
fn converse<I>(state: &Rc<AdminState>, io: I, origin: Origin)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    if state.n_open.get() >= CONNECTIONS_MAX {
        return;
    }
    state.n_open.set(state.n_open.get() + 1);
    let state = Rc::clone(state);
    tokio::task::spawn_local(async move {
        let of_service = Rc::clone(&state);
        let service = hyper::service::service_fn(move |request| {
            let state = Rc::clone(&of_service);
            async move { Ok::<_, Infallible>(answer(&state, request, origin).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .serve_connection(io, service);
        // A client that misbehaves ends its own connection.
        let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
        state.n_open.set(state.n_open.get().saturating_sub(1));
    });
}

async fn answer(state: &Rc<AdminState>, request: Request<Incoming>, origin: Origin) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", state.metrics.text())
        }
        (&Method::GET | &Method::HEAD, "/healthz") => text(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => match state.is_ready() {
            true => text(StatusCode::OK, PLAIN, "ready\n".to_owned()),
            false => text(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                "not ready: no snapshot is served yet, or the proxy stops\n".to_owned(),
            ),
        },
        (&Method::GET | &Method::HEAD, "/") => {
            text(StatusCode::OK, "text/html; charset=utf-8", answers::page(state))
        }
        (&Method::GET | &Method::HEAD, "/api/v1/backends") => json(&answers::backends(state)),
        (&Method::GET | &Method::HEAD, "/api/v1/listeners") => json(&state.report().listeners),
        (&Method::GET | &Method::HEAD, "/api/v1/snapshot") => match state.envelope() {
            Some(envelope) => json(&envelope),
            None => text(StatusCode::NOT_FOUND, PLAIN, "no snapshot yet\n".to_owned()),
        },
        (&Method::POST, "/api/v1/endpoints") if origin == Origin::Socket => {
            match Limited::new(request.into_body(), ACTION_BYTES).collect().await {
                Ok(body) => {
                    let (status, message) = answers::administer(state, &body.to_bytes());
                    text(status, PLAIN, message)
                }
                Err(_) => text(StatusCode::PAYLOAD_TOO_LARGE, PLAIN, "the action is too large\n".to_owned()),
            }
        }
        (&Method::POST, "/api/v1/endpoints") => {
            text(StatusCode::FORBIDDEN, PLAIN, "actions are taken on the admin socket only\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, _) => text(
            StatusCode::NOT_FOUND,
            PLAIN,
            "there are: /metrics /healthz /readyz / /api/v1/backends /api/v1/listeners /api/v1/snapshot\n"
                .to_owned(),
        ),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "this address is read only\n".to_owned()),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Response<Full<Bytes>> {
    match serde_json::to_string_pretty(value) {
        Ok(body) => text(StatusCode::OK, "application/json", body + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";
const BIND_PAUSE: Duration = Duration::from_secs(1);
const HEAD_TIME: Duration = Duration::from_secs(10);
const CONNECTION_TIME: Duration = Duration::from_secs(300);
const CONNECTIONS_MAX: u32 = 64;
const ACTION_BYTES: usize = 64 * 1024;
