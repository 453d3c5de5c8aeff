//! The end of a server: no new connections, requests under way finish, then what is left ends.
//!
//! Answers say that the connection closes, HTTP/2 says goodbye in two steps. A connection that waits for its next
//! request gets time to send it, because closing it would lose a request that is on its way.

use std::time::Duration;

use tokio::signal::unix::Signal;
use tracing::info;

use super::Control;
use crate::shared::Phase;
use crate::worker::Command;

/// Why a server leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// The gateway stops.
    Stop,
    /// Another server has the sockets.
    Retire,
}

/// How long each part may take, from the beginning.
struct Bounds {
    /// Connections that wait for a request.
    idle: Duration,
    /// Requests under way.
    requests: Duration,
    tunnels: Duration,
}

// === impl Control ===

impl Control {
    /// Gives up what only one server does, then drains. A signal hurries: the first ends idle connections, the next all.
    pub(super) async fn leave(mut self, leaving: Leaving, terminate: &mut Signal) {
        for task in self.background.drain(..) {
            task.abort();
            // Aborted, as it should be.
            let _ = task.await;
        }
        self.door = None;
        if self.lead.is_some() {
            self.state.save_endpoints(self.discovery.persisted());
        }
        self.held.clear();
        let bounds = self.bounds(leaving);
        let is_retiring = leaving == Leaving::Retire;
        info!(connections = self.shared.n_connections(), limit = ?bounds.requests, is_retiring, "draining");
        self.shared.set_phase(Phase::Draining);
        self.tell(|| Command::Phase);
        let Self { workers, shared, state, log, lead, .. } = self;
        state.finish();
        // The next server may lead.
        drop(lead);
        let enter = |phase| {
            shared.set_phase(phase);
            for worker in &workers {
                let _ = worker.commands.send(Command::Phase);
            }
        };
        let started = tokio::time::Instant::now();
        let until = async |limit: Duration, is_over: &dyn Fn() -> bool| {
            let waiting = async {
                while !is_over() {
                    tokio::time::sleep(DRAIN_LOOK).await;
                }
            };
            // Either way the next part begins.
            let _ = tokio::time::timeout_at(started + limit, waiting).await;
        };
        let is_empty = || shared.n_connections() == 0;
        let mut n_hurries = if is_retiring { 0 } else { 1 };
        tokio::select! {
            () = until(bounds.idle, &is_empty) => {}
            _ = terminate.recv() => n_hurries += 1,
        }
        enter(Phase::Stopping);
        let in_order = async {
            until(bounds.requests, &is_empty).await;
            until(bounds.tunnels, &|| shared.n_tunnels() == 0).await;
        };
        tokio::pin!(in_order);
        while n_hurries < 2 {
            tokio::select! {
                () = &mut in_order => break,
                _ = terminate.recv() => n_hurries += 1,
            }
        }
        // Tunnels end with a word in the log.
        enter(Phase::Ending);
        let last = started.elapsed() + DRAIN_LOOK * 10;
        until(last, &|| shared.n_tunnels() == 0).await;
        enter(Phase::Ended);
        for worker in workers {
            worker.join();
        }
        log.finish();
    }

    fn bounds(&self, leaving: Leaving) -> Bounds {
        let of_gateways = |ms: fn(&igw_crds::snapshot::Settings) -> u64| {
            Duration::from_millis(
                self.snapshot.gateways.iter().map(|gateway| ms(&gateway.settings)).max().unwrap_or(0),
            )
        };
        let requests =
            self.arguments.drain_timeout.unwrap_or_else(|| of_gateways(|settings| settings.drain_ms));
        let tunnels =
            self.arguments.drain_timeout.unwrap_or_else(|| of_gateways(|settings| settings.drain_tunnels_ms));
        match leaving {
            Leaving::Stop => Bounds { idle: requests.min(IDLE_TIME), requests, tunnels },
            // Nobody waits for the end: a long download is worth as much as a tunnel.
            Leaving::Retire => Bounds { idle: requests, requests: requests.max(tunnels), tunnels },
        }
    }
}

const DRAIN_LOOK: Duration = Duration::from_millis(10);
/// Time for a request on its way when the gateway stops.
const IDLE_TIME: Duration = Duration::from_secs(1);
