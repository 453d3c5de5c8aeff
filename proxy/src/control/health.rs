//! Active health checks: one task per endpoint, on the control thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use igw_crds::snapshot::{ActiveCheck, Probe, ProxyVersion};
use igw_h1::{Limits, Parsed, RequestKind, ResponseHead};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tracing::info;

use crate::clock;
use crate::metrics::checks::CheckCounts;
use crate::proxy_protocol;
use crate::upstream::backend::Backend;
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
    proxy: Option<ProxyVersion>,
    task: JoinHandle<()>,
}

// === impl Checks ===

impl Checks {
    /// Starts checks of endpoints that are new, ends those of endpoints that are gone.
    pub(crate) fn follow(&mut self, backend: &Arc<Backend>) {
        let set = backend.current();
        let policy = backend.policy();
        let (check, proxy) = (policy.active, policy.connections.proxy_protocol);
        self.running.retain(|(id, endpoint), running| {
            let stays = *id != backend.id
                || (Some(&running.check) == check.as_ref()
                    && running.proxy == proxy
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
                let run = run(Arc::clone(backend), Arc::clone(endpoint), check.clone(), proxy, counts);
                Running { check: check.clone(), proxy, task: tokio::task::spawn_local(run) }
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
    proxy: Option<ProxyVersion>,
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
        let probe = probe(&endpoint.address, &check.probe, proxy);
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

async fn probe(address: &Address, probe: &Probe, proxy: Option<ProxyVersion>) -> bool {
    match address {
        Address::Tcp(to) => match TcpStream::connect(to).await {
            Ok(stream) => converse(stream, address, probe, proxy).await,
            Err(_) => false,
        },
        Address::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => converse(stream, address, probe, proxy).await,
            Err(_) => false,
        },
    }
}

async fn converse<S>(mut stream: S, address: &Address, probe: &Probe, proxy: Option<ProxyVersion>) -> bool
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    if let Some(version) = proxy {
        let mut header = Vec::new();
        proxy_protocol::write_local(&mut header, version);
        if stream.write_all(&header).await.is_err() {
            return false;
        }
    }
    let Probe::Http { method, path, hostname, expected } = probe else { return true };
    let host = match (hostname.as_str(), address) {
        ("", Address::Tcp(address)) => address.to_string(),
        ("", Address::Unix(_)) => "localhost".to_owned(),
        (hostname, _) => hostname.to_owned(),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: igw-health\r\naccept: */*\r\nconnection: close\r\n\r\n"
    );
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let kind = if method == "HEAD" { RequestKind::Head } else { RequestKind::Other };
    let mut head = ResponseHead::new();
    let mut bytes = Vec::with_capacity(1_024);
    loop {
        match head.parse(&bytes, &Limits::default(), kind) {
            Ok(Parsed::Complete { len }) if (100..200).contains(&head.status) && head.status != 101 => {
                bytes.drain(..len);
                continue;
            }
            Ok(Parsed::Complete { .. }) => {
                return expected.iter().any(|(low, high)| (*low..=*high).contains(&head.status));
            }
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
