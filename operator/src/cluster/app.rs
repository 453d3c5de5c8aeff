//! The shell of `igw operator`: client, event stream, sync door, admin address, signals.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use igw_compile::Services;
use igw_opensvc::{Client, EventKind, Filter, Subscription};
use jiff::Timestamp;
use rand::RngExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::arrivals::Arrival;
use super::board::Gateways;
use super::credentials::Authority;
use super::engine::{Answer, Call, Engine, Outlets, Settings};
use super::issuance::Issuance;
use super::runner;
use super::service_text::Places;
use super::shelf::{Seen, Store};
use crate::acme::exchange::Exchange;
use crate::acme::runner::{Lines, Runner};
use crate::dialect::cluster::{Daemon, Dialect};
use crate::doors::admin::Admin;
use crate::doors::http::Door;
use crate::doors::metrics::Metrics;
use crate::doors::sync_server::SyncServer;
use crate::objects::view::View;

/// What `igw operator` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespaces that are served; `None` = all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Address of the sync door.
    pub listen: SocketAddr,
    /// Admin address.
    pub admin: SocketAddr,
    /// Where things are on every node.
    pub places: Places,
    /// Where the dialect of Kubernetes is spoken, and who says whose tokens are shown there; nowhere without.
    pub dialect: Option<(SocketAddr, Daemon)>,
    /// Services that somebody tells, in place of DNS.
    pub services: Option<Services>,
}

/// What leads into a running operator.
#[derive(Clone, Debug)]
pub struct Link {
    /// Changes of inputs that are on every node.
    pub arrivals: mpsc::UnboundedSender<Arrival>,
    /// Services with their endpoints.
    pub services: mpsc::UnboundedSender<Services>,
    /// What there is, with statuses.
    pub view: watch::Receiver<Arc<View>>,
}

/// Runs until a signal ends it, or another operator takes over.
///
/// # Errors
/// Says what keeps it from starting, or who took over.
pub async fn run(client: Client, options: Options) -> anyhow::Result<()> {
    run_linked(client, options, |_| {}).await
}

/// The same; `linked` gets what leads into it.
///
/// # Errors
/// As [`run`].
pub async fn run_linked(client: Client, options: Options, linked: impl FnOnce(Link)) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("{} cannot be used for sync; choose another address with --listen", options.listen)
    })?;
    let metrics = Metrics::new()?.with_cluster()?;
    let (gateways, mut reports) = Gateways::new();
    let (view_sender, view) = watch::channel(Arc::new(View::default()));
    let (authority_sender, authority) = watch::channel(None);
    let (shown, certificates) = watch::channel(Arc::default());
    let mut servers = JoinSet::new();
    // It lives as long as the loop.
    let (arrivals, mut coming) = mpsc::unbounded_channel();
    let (telling, mut told) = mpsc::unbounded_channel();
    let link = Link { arrivals, services: telling, view: view.clone() };
    let mut address = None;
    if let Some((place, daemon)) = &options.dialect {
        let listener = TcpListener::bind(place).await.with_context(|| {
            format!("{place} cannot be used for kubectl; choose another address with --kube")
        })?;
        address = Some(listener.local_addr()?);
        let dialect =
            Dialect { listener, daemon: daemon.clone(), client: client.clone(), link: link.clone() };
        servers.spawn(dialect.run(authority.clone()));
    }
    servers.spawn(sync_door(listener, authority, gateways.clone()));
    match TcpListener::bind(options.admin).await {
        Ok(listener) => {
            let (_none, newest) = watch::channel(None);
            let admin = Admin { view, newest, metrics: metrics.clone(), certificates, renewals: None };
            servers.spawn(admin.run(Door::Tcp(listener)));
        }
        Err(error) => warn!(
            address = %options.admin, %error,
            "admin address cannot be used; going on without it (choose another one with --admin)"
        ),
    }
    let settings = Settings {
        namespaces: options.namespaces,
        sync_port: options.listen.port(),
        places: options.places,
        holder: holder(),
        dialect: address,
        services: options.services,
    };
    let seen = Arc::new(Seen::default());
    let (wants, inputs) = watch::channel(None);
    let (outputs_sender, mut outputs) = watch::channel(Arc::default());
    // Whoever wants a new certificate writes so into its sec object.
    let (_renewals, commands) = mpsc::unbounded_channel();
    let lines = Lines { inputs, commands, outputs: outputs_sender, metrics: metrics.clone() };
    servers.spawn(Runner::new(Arc::new(Store::new(client.clone(), Arc::clone(&seen))), lines).run());
    let outlets = Outlets {
        gateways,
        view: view_sender,
        authority: authority_sender,
        issuance: Issuance::new(Exchange::new(wants, outputs.clone(), shown), seen),
        metrics: metrics.clone(),
    };
    let jitter = Duration::from_millis(rand::rng().random_range(0..5_000));
    let mut engine = Engine::new(settings, outlets, jitter, Instant::now());
    info!(cluster = client.target(), "operator started");
    linked(link.clone());
    let mut events = client.events(subscription());
    let (answered, mut answers) = mpsc::unbounded_channel::<(Call, Result<Answer, igw_opensvc::Error>)>();
    let mut calls = JoinSet::new();
    loop {
        let now = Instant::now();
        for call in engine.poll(now, Timestamp::now()) {
            let (client, answered, selector) = (client.clone(), answered.clone(), engine.selector());
            calls.spawn(async move {
                let answer = runner::make(&client, &call, &selector).await;
                // The receiver lives as long as the loop.
                let _ = answered.send((call, answer));
            });
        }
        while calls.try_join_next().is_some() {}
        for (code, total) in client.requests_by_code() {
            metrics.requested(code, total);
        }
        if let Some(reason) = engine.superseded() {
            return Err(anyhow!("{reason}"));
        }
        let wake = engine.wake(now);
        // Arms: an answer of the cluster; an event; a proxy's report; a change through kubectl; Services that are told;
        // news of certificates; the engine's own time; a signal to end.
        tokio::select! {
            Some((call, answer)) = answers.recv() => engine.answer(&call, answer, Instant::now()),
            signal = events.next() => match signal {
                Some(signal) => engine.event(signal, Instant::now()),
                None => return Err(anyhow!("the event stream ended for good")),
            },
            Some(report) = reports.recv() => engine.report(report, Instant::now(), Timestamp::now()),
            Some(arrival) = coming.recv() => engine.arrive(arrival, Instant::now()),
            Some(services) = told.recv() => engine.tell_services(services, Instant::now()),
            Ok(()) = outputs.changed() => engine.issued(Instant::now()),
            () = tokio::time::sleep_until(wake.into()) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        // What has come in the meantime is taken in before the next decision.
        while let Ok((call, answer)) = answers.try_recv() {
            engine.answer(&call, answer, Instant::now());
        }
    }
    info!("ended");
    Ok(())
}

/// Opens the sync door once there is an authority.
async fn sync_door(
    listener: TcpListener,
    mut authority: watch::Receiver<Option<Arc<Authority>>>,
    gateways: Gateways,
) {
    let Ok(found) = authority.wait_for(Option::is_some).await.map(|found| found.clone()) else { return };
    let Some(found) = found else { return };
    match found.server() {
        Ok(config) => SyncServer::new(Arc::new(gateways)).run(Door::Tls(listener, Arc::new(config))).await,
        Err(error) => warn!(%error, "the sync door cannot be opened"),
    }
}

fn subscription() -> Subscription {
    Subscription::to([Filter::kinds([
        EventKind::InstanceConfigUpdated,
        EventKind::InstanceConfigDeleted,
        EventKind::ObjectCreated,
        EventKind::ObjectDeleted,
        EventKind::InstanceStatusUpdated,
        EventKind::InstanceMonitorUpdated,
        EventKind::OrchestrationEnd,
        EventKind::ClusterConfigUpdated,
        EventKind::NodeAlive,
        EventKind::NodeStale,
    ])])
}

/// A name for this process that no other has.
fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut random = rand::rng();
    let tag: u64 = random.random();
    format!("{host} pid {} ({tag:016x})", std::process::id())
}
