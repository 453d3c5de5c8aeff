//! Active health checks: one task per endpoint, on the control thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use igw_crds::snapshot::{ActiveCheck, BackendProtocol, Probe, ProxyVersion};
use igw_h1::{Limits, Parsed, RequestKind, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tracing::info;

use crate::clock;
use crate::metrics::checks::CheckCounts;
use crate::proxy_protocol;
use crate::upstream::backend::{Backend, EndpointSet, Security};
use crate::upstream::endpoint::{Address, Endpoint, Health};
use crate::worker::random::Random;

/// The checks that run.
#[derive(Default)]
pub(crate) struct Checks {
    running: HashMap<(usize, u64), Running>,
    pub(crate) counts: Arc<CheckCounts>,
}

struct Running {
    check: ActiveCheck,
    way: CheckWay,
    task: JoinHandle<()>,
}

/// How checks reach the endpoints of a back end.
#[derive(Clone, PartialEq)]
struct CheckWay {
    protocol: BackendProtocol,
    tls: Security,
    proxy: Option<ProxyVersion>,
}

// === impl CheckWay ===

impl CheckWay {
    fn of(set: &EndpointSet) -> Self {
        Self { protocol: set.protocol, tls: set.tls.clone(), proxy: set.connections.proxy_protocol }
    }
}

// === impl Checks ===

impl Checks {
    /// Starts checks of endpoints that are new, ends those of endpoints that are gone.
    pub(crate) fn follow(&mut self, backend: &Arc<Backend>) {
        let set = backend.current();
        let check = backend.policy().active;
        let way = CheckWay::of(&set);
        self.running.retain(|(id, endpoint), running| {
            let stays = *id != backend.id
                || (Some(&running.check) == check.as_ref()
                    && running.way == way
                    && set.all.iter().any(|known| known.id == *endpoint));
            if !stays {
                running.task.abort();
            }
            stays
        });
        let Some(check) = check else { return };
        for endpoint in &set.all {
            self.running.entry((backend.id, endpoint.id)).or_insert_with(|| {
                let counts = Arc::clone(&self.counts);
                let run = run(Arc::clone(backend), Arc::clone(endpoint), check.clone(), way.clone(), counts);
                Running { check: check.clone(), way: way.clone(), task: tokio::task::spawn_local(run) }
            });
        }
    }

    /// Ends the checks of back ends that are configured no more.
    pub(crate) fn forget_others(&mut self, backends: &[Arc<Backend>]) {
        self.running.retain(|(id, _), running| {
            let stays = backends.iter().any(|backend| backend.id == *id);
            if !stays {
                running.task.abort();
            }
            stays
        });
    }
}

/// Checks one endpoint until aborted.
async fn run(
    backend: Arc<Backend>,
    endpoint: Arc<Endpoint>,
    check: ActiveCheck,
    way: CheckWay,
    counts: Arc<CheckCounts>,
) {
    let interval = Duration::from_millis(check.interval_ms.max(INTERVAL_MIN_MS));
    let limit = Duration::from_millis(check.timeout_ms.max(1));
    let random = Random::new(endpoint.id ^ u64::from(std::process::id()).rotate_left(32));
    let (mut n_good, mut n_bad) = (0_u32, 0_u32);
    let jitter = |random: &Random| {
        let tenth = u64::try_from(interval.as_millis() / 10).unwrap_or(0);
        Duration::from_millis(random.below(tenth.max(1)))
    };
    loop {
        let started = clock::now();
        let probe = probe(&endpoint.address, &check.probe, &way);
        let is_good = tokio::time::timeout(limit, probe).await.unwrap_or(false);
        counts.count(&backend.key, is_good);
        if is_good {
            (n_good, n_bad) = (n_good.saturating_add(1), 0);
        } else {
            (n_good, n_bad) = (0, n_bad.saturating_add(1));
        }
        // What was never checked is believed after one good check.
        let rise = if endpoint.health() == Health::Unchecked { 1 } else { check.rise };
        let news = if is_good && n_good >= rise && endpoint.health() != Health::Passing {
            Some(Health::Passing)
        } else if !is_good && n_bad >= check.fall && endpoint.health() != Health::Failing {
            Some(Health::Failing)
        } else {
            None
        };
        if let Some(health) = news {
            endpoint.set_health(health);
            info!(backend = &*backend.key, endpoint = %endpoint.address, ?health, "endpoint health changed");
            backend.refresh();
        }
        let elapsed = started.elapsed();
        // Up to a tenth earlier each time, so that the checks of many endpoints spread and never stretch.
        tokio::time::sleep(interval.saturating_sub(jitter(&random)).saturating_sub(elapsed)).await;
    }
}

/// A check speaks as requests do. One that only connects does not shake hands.
async fn probe(address: &Address, probe: &Probe, way: &CheckWay) -> bool {
    let is_head = matches!(probe, Probe::Http { method, .. } if method == "HEAD");
    let asked = Asked { probe, address, kind: if is_head { RequestKind::Head } else { RequestKind::Other } };
    match address {
        Address::Tcp(to) => match TcpStream::connect(to).await {
            Ok(stream) => announce(stream, &asked, way).await,
            Err(_) => false,
        },
        Address::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => announce(stream, &asked, way).await,
            Err(_) => false,
        },
    }
}

/// Says who asks, where the endpoint wants to know.
async fn announce<S>(mut stream: S, asked: &Asked<'_>, way: &CheckWay) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    if let Some(version) = way.proxy {
        let mut header = Vec::new();
        proxy_protocol::write_local(&mut header, version);
        if stream.write_all(&header).await.is_err() {
            return false;
        }
    }
    match asked.probe {
        Probe::Http { .. } => secure(stream, asked, way).await,
        _ => true,
    }
}

async fn secure<S>(stream: S, asked: &Asked<'_>, way: &CheckWay) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    match &way.tls {
        Security::Impossible => false,
        Security::Cleartext => speak(stream, asked, way).await,
        Security::Tls(tls) => {
            let (name, config) = tls.for_checks(way.protocol == BackendProtocol::Http2);
            match TlsConnector::from(config).connect(name, stream).await {
                Ok(stream) => speak(stream, asked, way).await,
                Err(_) => false,
            }
        }
    }
}

async fn speak<S>(stream: S, asked: &Asked<'_>, way: &CheckWay) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    match way.protocol {
        BackendProtocol::Http1 => converse(stream, asked).await,
        BackendProtocol::Http2 => converse_http2(stream, asked, way).await,
    }
}

/// What a check asks.
struct Asked<'a> {
    probe: &'a Probe,
    address: &'a Address,
    kind: RequestKind,
}

// === impl Asked ===

impl Asked<'_> {
    fn host(&self) -> String {
        match (self.probe, self.address) {
            (Probe::Http { hostname, .. }, _) if !hostname.is_empty() => hostname.clone(),
            (_, Address::Tcp(address)) => address.to_string(),
            (_, Address::Unix(_)) => "localhost".to_owned(),
        }
    }

    fn expects(&self, status: u16) -> bool {
        match self.probe {
            Probe::Http { expected, .. } => {
                expected.iter().any(|(low, high)| (*low..=*high).contains(&status))
            }
            _ => true,
        }
    }
}

async fn converse_http2<S>(stream: S, asked: &Asked<'_>, way: &CheckWay) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Probe::Http { method, path, .. } = asked.probe else { return true };
    let Ok((sender, connection)) = h2::client::handshake(stream).await else { return false };
    let scheme = if matches!(way.tls, Security::Cleartext) { "http" } else { "https" };
    let request = http::Request::builder()
        .method(method.as_str())
        .uri(format!("{scheme}://{}{path}", asked.host()))
        .header("user-agent", "igw-health")
        .body(());
    let Ok(request) = request else { return false };
    let asking = async {
        let mut sender = sender.ready().await.ok()?;
        let (answer, _) = sender.send_request(request, true).ok()?;
        answer.await.ok()
    };
    tokio::select! {
        answer = asking => answer.is_some_and(|answer| asked.expects(answer.status().as_u16())),
        // The connection ended before the answer.
        _ = connection => false,
    }
}

async fn converse<S>(mut stream: S, asked: &Asked<'_>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Probe::Http { method, path, .. } = asked.probe else { return true };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: igw-health\r\naccept: */*\r\nconnection: close\r\n\r\n",
        asked.host()
    );
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut head = ResponseHead::new();
    let mut bytes = Vec::with_capacity(1_024);
    loop {
        match head.parse(&bytes, &Limits::default(), asked.kind) {
            Ok(Parsed::Complete { len }) if (100..200).contains(&head.status) && head.status != 101 => {
                bytes.drain(..len);
                continue;
            }
            Ok(Parsed::Complete { .. }) => return asked.expects(head.status),
            Ok(Parsed::Partial) => {}
            Err(_) => return false,
        }
        match stream.read_buf(&mut bytes).await {
            Ok(n_read) if n_read > 0 => {}
            _ => return false,
        }
    }
}

/// Shortest time between two checks of one endpoint, in milliseconds.
const INTERVAL_MIN_MS: u64 = 10;
