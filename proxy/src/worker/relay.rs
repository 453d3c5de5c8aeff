//! Connections that are passed on as they are: those of TCPRoutes, and of TLSRoutes with their TLS or without it.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use igw_crds::snapshot::{LogFormat, Settings, Transport};
use igw_route::Selection;

use super::client::Client;
use super::forward::{note_failure, wait_for_room};
use super::open::{ConnectFailure, Opening, Way};
use super::tries::DEFAULT_RETRIES;
use super::tunnel::{TunnelEnd, tunnel};
use super::{LocalTables, Worker};
use crate::log::{LogDraft, LogLine};
use crate::metrics::streams::{StreamResult, StreamSeries};
use crate::tables::{ActionTables, PortTables, TargetTables};
use crate::upstream::endpoint::Address;
use crate::upstream::local::{Lease, Leased, LocalBackend, PickError, Picked};

/// Where a connection goes.
pub(crate) struct Passage {
    tables: Rc<LocalTables>,
    port: usize,
    listener: usize,
    /// `None` where no route takes the connection.
    target: Option<usize>,
    /// The name that the client asked for; empty if none.
    name: Vec<u8>,
    /// What is spoken with the client, for logs.
    protocol: &'static str,
}

/// How a connection or a flow ended.
pub(crate) struct Course {
    pub(crate) result: StreamResult,
    /// Cause token of the access log; empty where all went well.
    pub(crate) cause: &'static str,
    pub(crate) picked: Option<Picked>,
    n_retries: u32,
    connected_ms: Option<u64>,
    pub(crate) n_in: u64,
    pub(crate) n_out: u64,
}

// === impl Passage ===

impl Passage {
    /// The way of a connection on a port by the name that its client asks for; `None` if no listener serves it.
    pub(crate) fn find(
        worker: &Worker,
        port: usize,
        name: Vec<u8>,
        protocol: &'static str,
    ) -> Option<Passage> {
        let tables = worker.tables();
        let port_tables = tables.shared.ports.get(port).and_then(Option::as_deref)?;
        let (listener, target) = match port_tables.routes.stream(&name) {
            Selection::Rule { target, .. } => {
                let target = target as usize;
                (port_tables.targets.get(target)?.listener, Some(target))
            }
            Selection::NoRoute { listener } => (listener, None),
            Selection::NoListener => return None,
        };
        Some(Self { tables, port, listener, target, name, protocol })
    }

    /// A route takes the connection.
    pub(crate) fn has_route(&self) -> bool {
        self.target.is_some()
    }

    pub(crate) fn port_tables(&self) -> Option<&PortTables> {
        self.tables.shared.ports.get(self.port).and_then(Option::as_deref)
    }

    fn target_tables(&self) -> Option<&TargetTables> {
        self.port_tables()?.targets.get(self.target?)
    }

    /// One of its back ends has this number.
    pub(crate) fn leads_to(&self, backend: usize) -> bool {
        let Some(ActionTables::Forward(candidates)) = self.target_tables().map(|target| &target.rule.action)
        else {
            return false;
        };
        let mut before = 0;
        candidates.iter().any(|candidate| {
            let has_share = candidate.upto > std::mem::replace(&mut before, candidate.upto);
            has_share && candidate.backend.as_ref().is_some_and(|known| known.id == backend)
        })
    }

    /// Index of the backendRef whose turn it is.
    pub(crate) fn choose(&self, worker: &Worker) -> Option<usize> {
        let ActionTables::Forward(candidates) = &self.target_tables()?.rule.action else { return None };
        let total = candidates.last().map_or(0, |last| last.upto);
        let draw = if candidates.len() == 1 { 0 } else { worker.spread(total) };
        candidates.iter().position(|candidate| draw < candidate.upto)
    }

    pub(crate) fn backend(&self, worker: &Worker, candidate: usize) -> Option<Rc<LocalBackend>> {
        let ActionTables::Forward(candidates) = &self.target_tables()?.rule.action else { return None };
        candidates.get(candidate)?.backend.as_ref().map(|backend| worker.local(backend))
    }

    pub(crate) fn series(&self, candidate: Option<usize>) -> Option<Arc<StreamSeries>> {
        let series = match self.target_tables() {
            Some(target) => match candidate {
                Some(candidate) => target.streams.get(candidate),
                None => target.streams.last(),
            },
            None => self.port_tables()?.unrouted_streams.get(self.listener),
        };
        series.cloned()
    }

    /// Counts and logs a connection that ends before anything was passed on.
    pub(crate) fn refuse(&self, worker: &Worker, client: &Client, cause: &'static str) {
        if let Some(series) = self.series(None) {
            series.begin(worker.index);
            series.finish(worker.index, StreamResult::Refused);
        }
        let course = Course::new(StreamResult::Refused, cause);
        self.log(worker, &client.peer.text, crate::clock::now(), "", &course);
    }

    pub(crate) fn log(
        &self,
        worker: &Worker,
        client: &str,
        started: Instant,
        backend: &str,
        course: &Course,
    ) {
        let Some(port) = self.port_tables() else { return };
        let Some(log) = &port.settings.access_log else { return };
        if log.sample < 1.0 && (worker.random.next() as f64 / u64::MAX as f64) >= log.sample {
            return;
        }
        let duration = crate::clock::now().saturating_duration_since(started);
        let draft = LogDraft::of_stream(client, self.protocol, &self.name, duration);
        let target = self.target_tables();
        let line = LogLine {
            draft: &draft,
            trace: None,
            gateway: &port.gateway,
            listener: port.listeners.get(self.listener).map_or("", |name| name),
            route: target.map_or("", |target| &target.rule.route),
            rule: target.map_or("", |target| &target.rule.name),
            backend,
            endpoint: course.picked.as_ref().map_or("", |picked| picked.endpoint().name.as_str()),
            status: 0,
            cause: course.cause,
            bytes_in: course.n_in,
            bytes_out: course.n_out,
            n_retries: course.n_retries,
            connected_ms: course.connected_ms,
            answered_ms: None,
            total_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        };
        let mut out = worker.scratch.take();
        match log.format {
            LogFormat::Text => line.write_text(&mut out),
            LogFormat::Json => line.write_json(&mut out),
        }
        worker.log.push(&log.output, &out);
        worker.scratch.give(out);
    }
}

/// Passes a connection on until it ends.
pub(crate) async fn relay(worker: &Rc<Worker>, mut client: Client, passage: Passage) {
    let started = crate::clock::now();
    let settings = match passage.port_tables() {
        Some(port) => Arc::clone(&port.settings),
        None => worker.default_settings(),
    };
    let candidate = passage.choose(worker);
    let series = passage.series(candidate);
    if let Some(series) = &series {
        series.begin(worker.index);
    }
    let local = candidate.and_then(|candidate| passage.backend(worker, candidate));
    let course = match &local {
        Some(local) => {
            pass(worker, &mut client, &passage, local, &settings, series.as_deref(), started).await
        }
        None if passage.has_route() => Course::new(StreamResult::Refused, "backend_invalid"),
        None => Course::new(StreamResult::Refused, "no_route"),
    };
    if course.result != StreamResult::Done {
        // What broke off must not look like an end.
        client.stream.reset();
    }
    client.unread.discard(&worker.scratch);
    if let Some(series) = &series {
        series.finish(worker.index, course.result);
    }
    let key = local.as_ref().map_or("", |local| &local.shared.key);
    passage.log(worker, &client.peer.text, started, key, &course);
}

/// Finds an endpoint and passes bytes both ways.
async fn pass(
    worker: &Rc<Worker>,
    client: &mut Client,
    passage: &Passage,
    local: &Rc<LocalBackend>,
    settings: &Settings,
    series: Option<&StreamSeries>,
    started: Instant,
) -> Course {
    let mut course = Course::new(StreamResult::Failed, "no_endpoint");
    let Some(mut lease) = reach(worker, client, passage, local, settings, &mut course).await else {
        return course;
    };
    let elapsed = crate::clock::now().saturating_duration_since(started);
    course.connected_ms = u64::try_from(elapsed.as_millis()).ok();
    let idle = Duration::from_millis(settings.tunnel_idle_ms);
    let (mut n_in, mut n_out) = (0, 0);
    let end = tunnel(worker, client, &mut lease, idle, |more_in, more_out| {
        n_in += more_in;
        n_out += more_out;
        if let Some(series) = series {
            series.moved(worker.index, more_in, more_out);
        }
    });
    let end = end.await;
    (course.n_in, course.n_out) = (n_in, n_out);
    (course.result, course.cause) = match end {
        TunnelEnd::Done => (StreamResult::Done, ""),
        TunnelEnd::ClientGone => (StreamResult::Broken, "client_gone"),
        TunnelEnd::EndpointGone => (StreamResult::Broken, "upstream_reset"),
        TunnelEnd::Idle => (StreamResult::Idle, "idle_timeout"),
        TunnelEnd::Drained => (StreamResult::Drained, "drained"),
    };
    if let Some(picked) = &course.picked {
        match end {
            // Whoever takes connections and says nothing but this is not well.
            TunnelEnd::EndpointGone if n_out == 0 => note_failure(worker, local, picked),
            TunnelEnd::Done | TunnelEnd::ClientGone if n_out > 0 => picked.endpoint().succeeded(),
            _ => {}
        }
    }
    if end != TunnelEnd::Done {
        lease.stream.reset();
    }
    course
}

/// Connects to an endpoint, to another one where that fails.
async fn reach(
    worker: &Rc<Worker>,
    client: &mut Client,
    passage: &Passage,
    local: &Rc<LocalBackend>,
    settings: &Settings,
    course: &mut Course,
) -> Option<Lease> {
    let mut tried = [0_u64; DEFAULT_RETRIES as usize];
    local.note_request(worker.wheel.now());
    loop {
        let tried_now = &tried[..course.n_retries as usize];
        let picked = match local.pick(&worker.random, tried_now) {
            Ok(picked) => picked,
            Err(PickError::NoEndpoint) => {
                course.cause = "no_endpoint";
                return None;
            }
            Err(PickError::Saturated) => {
                course.cause = "no_connection";
                wait_for_room(worker, &client.timer, None, local, tried_now).await?
            }
        };
        course.picked = Some(picked.clone());
        let came_to = || client.stream.socket().local_addr().ok().map(|local| local.ip());
        if leads_here(worker, Transport::Tcp, &picked.endpoint().address, came_to) {
            course.cause = "loop";
            return None;
        }
        let failure = match open(worker, client, passage, local, &picked, settings).await {
            Ok(lease) => return Some(lease),
            Err(failure) => failure,
        };
        course.cause = match failure {
            ConnectFailure::Refused => "connect_refused",
            ConnectFailure::Timeout | ConnectFailure::RequestTimeout => "connect_timeout",
            ConnectFailure::Exhausted => "no_connection",
            ConnectFailure::Insecure => "upstream_tls",
        };
        if failure.blames_endpoint() {
            note_failure(worker, local, &picked);
        }
        if course.n_retries >= DEFAULT_RETRIES || !local.retries.spend() {
            return None;
        }
        tried[course.n_retries as usize] = picked.endpoint().id;
        course.n_retries += 1;
    }
}

async fn open(
    worker: &Rc<Worker>,
    client: &Client,
    passage: &Passage,
    local: &Rc<LocalBackend>,
    picked: &Picked,
    settings: &Settings,
) -> Result<Lease, ConnectFailure> {
    let port = passage.port_tables();
    let is_passed_through = port.is_some_and(|port| port.passes_through(passage.listener));
    let way = Way::of_stream(port, picked, is_passed_through)?;
    let opening = Opening { worker, local, picked, way: &way, peer: &client.peer };
    let limit = Duration::from_millis(settings.connect_timeout_ms);
    match opening.run(&client.timer, limit, None).await? {
        Leased::Own(lease) => Ok(lease),
        // Nothing was offered, so nothing can have been agreed on.
        Leased::Shared(_) => Err(ConnectFailure::Insecure),
    }
}

/// Whether an endpoint is a socket of this very proxy: a connection there would go round for ever.
///
/// `came_to` tells the address that the client reached.
pub(crate) fn leads_here(
    worker: &Worker,
    transport: Transport,
    address: &Address,
    came_to: impl Fn() -> Option<IpAddr>,
) -> bool {
    let Address::Tcp(address) = address else { return false };
    let ip = address.ip().to_canonical();
    let tables = worker.tables();
    let places = tables.shared.binds.iter().map(|bind| bind.place);
    let port = (transport, address.port());
    places.filter(|place| (place.transport, place.address.port()) == port).any(|place| {
        let bound = place.address.ip().to_canonical();
        let is_own = || ip.is_loopback() || came_to().is_some_and(|local| local.to_canonical() == ip);
        bound == ip || (bound.is_unspecified() && is_own())
    })
}

// === impl Course ===

impl Course {
    pub(crate) fn new(result: StreamResult, cause: &'static str) -> Self {
        Self { result, cause, picked: None, n_retries: 0, connected_ms: None, n_in: 0, n_out: 0 }
    }
}
