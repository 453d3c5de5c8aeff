//! Pulls snapshots: a long poll that carries the report up and a newer snapshot down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use igw_crds::snapshot::FORMAT;
use igw_crds::sync::{Envelope, Report, SYNC_PATH, SyncRequest};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tracing::{debug, info, warn};

use super::bootstrap::Bootstrap;

/// Where snapshots come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Unix(PathBuf),
    /// Addresses, where they are given apart, and the folder with the credential.
    Tls(Vec<String>, Bootstrap),
}

/// Who asks.
pub(crate) struct Identity {
    pub(crate) gateway: Option<String>,
    pub(crate) node: String,
}

/// What runs and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    pub(crate) report: Report,
    pub(crate) versions: BTreeMap<String, String>,
}

// === impl Source ===

impl Source {
    /// Parses `unix:PATH` or `https://HOST:PORT,…`; without it the bootstrap folder says where to ask.
    ///
    /// # Errors
    /// Fails on anything else, and on TLS without a credential.
    pub(crate) fn parse(text: Option<&str>, bootstrap: Option<Bootstrap>) -> anyhow::Result<Self> {
        if let Some(path) = text.and_then(|text| text.strip_prefix("unix:")).filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let Some(bootstrap) = bootstrap else {
            anyhow::bail!(
                "`{}` needs the credential of a bootstrap folder; name it with --bootstrap",
                text.unwrap_or_default()
            );
        };
        let hosts = text.into_iter().flat_map(|text| text.split(','));
        let hosts = hosts.map(|host| match host.trim().strip_prefix("https://") {
            Some(host) if host.contains(':') => Ok(host.trim_end_matches('/').to_owned()),
            _ => anyhow::bail!("`{host}` is no sync address; write `unix:PATH` or `https://HOST:PORT`"),
        });
        Ok(Self::Tls(hosts.collect::<anyhow::Result<_>>()?, bootstrap))
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .with_context(|| format!("{} not reached", path.display()))?;
                Ok(Connection::start(TokioIo::new(stream)).await?)
            }
            Self::Tls(hosts, bootstrap) => {
                let door = bootstrap.door()?;
                let mut addresses = door.addresses.clone();
                if !hosts.is_empty() {
                    addresses.clear();
                    for host in hosts {
                        addresses.extend(tokio::net::lookup_host(host).await.with_context(|| host.clone())?);
                    }
                }
                let connector = TlsConnector::from(Arc::clone(&door.tls));
                // The node that answers is where the operator runs; all are asked at once.
                let mut attempts = JoinSet::new();
                for address in addresses {
                    let (connector, name) = (connector.clone(), door.server_name.clone());
                    attempts.spawn_local(async move {
                        let stream = TcpStream::connect(address).await?;
                        connector.connect(name, stream).await
                    });
                }
                let mut last = None;
                let limit = tokio::time::Instant::now() + CONNECT_TIME;
                while let Ok(Some(attempt)) = tokio::time::timeout_at(limit, attempts.join_next()).await {
                    match attempt {
                        Ok(Ok(stream)) => return Ok(Connection::start(TokioIo::new(stream)).await?),
                        Ok(Err(error)) => last = Some(error),
                        Err(_) => {}
                    }
                }
                let reason = last.map_or_else(|| "no answer in time".to_owned(), |error| error.to_string());
                anyhow::bail!("no node answers: {reason}")
            }
        }
    }
}

/// Asks for ever. A report that changes is sent at once, in place of the waiting question.
pub(crate) async fn run(
    source: Source,
    identity: Identity,
    mut standing: watch::Receiver<Standing>,
    deliver: impl Fn(Envelope),
) {
    let mut pause = FIRST_PAUSE;
    let mut is_failing = false;
    loop {
        let now = standing.borrow_and_update().clone();
        let asked = tokio::select! {
            asked = ask(&source, &identity, &now) => asked,
            changed = standing.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match asked {
            Ok(answer) => {
                if is_failing {
                    info!("control side answers again");
                }
                (is_failing, pause) = (false, FIRST_PAUSE);
                if let Some(envelope) = answer {
                    if !envelope.has_snapshot() {
                        deliver(envelope);
                        continue;
                    }
                    let is_news = (envelope.epoch, envelope.generation) > (now.epoch, now.generation);
                    deliver(envelope);
                    if is_news {
                        // The next question goes out with the report on this snapshot, or without one if it was refused.
                        let _ = tokio::time::timeout(APPLY_TIME, standing.changed()).await;
                        standing.mark_changed();
                    } else {
                        tokio::time::sleep(LONGEST_PAUSE).await;
                    }
                }
            }
            Err(error) => {
                if is_failing {
                    debug!(error = format!("{error:#}"), "control side still does not answer");
                } else {
                    warn!(
                        error = format!("{error:#}"),
                        "control side does not answer; serving the last known good snapshot"
                    );
                }
                is_failing = true;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// One question; `None` if there is nothing newer.
async fn ask(source: &Source, identity: &Identity, standing: &Standing) -> anyhow::Result<Option<Envelope>> {
    let Connection { mut sender, _driver } = source.connect().await?;
    let question = SyncRequest {
        format: FORMAT,
        gateway: identity.gateway.clone(),
        node: identity.node.clone(),
        epoch: standing.epoch,
        generation: standing.generation,
        wait_s: WAIT_S,
        report: standing.report.clone(),
        versions: standing.versions.clone(),
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(SYNC_PATH)
        .header("host", "igw")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(&question)?)))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(anyhow::Error::from_boxed)?;
        match status {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => Ok(Some(serde_json::from_slice(&body.to_bytes())?)),
            other => {
                let bytes = body.to_bytes();
                anyhow::bail!("control side answers {other}: {}", String::from_utf8_lossy(&bytes).trim())
            }
        }
    };
    let limit = Duration::from_secs(u64::from(WAIT_S)) + ANSWER_TIME;
    tokio::time::timeout(limit, exchange).await.context("control side is silent")?
}

/// A connection that is driven as long as it is held.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: Driver,
}

// === impl Connection ===

impl Connection {
    async fn start<I>(stream: TokioIo<I>) -> hyper::Result<Self>
    where
        I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let (sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let driver = Driver(tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                debug!(%error, "connection to the control side ended");
            }
        }));
        Ok(Self { sender, _driver: driver })
    }
}

/// Drives one connection; ends with the question.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long the control side may hold a question.
const WAIT_S: u32 = 30;
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long all addresses together may take to answer.
const CONNECT_TIME: Duration = Duration::from_secs(3);
const APPLY_TIME: Duration = Duration::from_secs(5);
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
