//! One exchange of messages with an endpoint, whatever it speaks.

use std::future::poll_fn;

use igw_h1::Limits;

use super::http1_server::Http1Server;
use super::http2_server::Http2Server;
use super::pump::Pump;
use super::{ClientSide, ServerSide as _};
use crate::upstream::local::Leased;
use crate::worker::Worker;
use crate::worker::exchange::{AttemptLimits, Failure, Progress};
use crate::worker::request::Request;
use crate::worker::timer::Timer;

/// How it ended.
pub(crate) struct Ended {
    pub(crate) outcome: Result<(), Failure>,
    pub(crate) progress: Progress,
    /// What came behind an answer that switched protocols.
    pub(crate) behind: Vec<u8>,
}

/// Exchanges messages once.
pub(crate) async fn run<C: ClientSide>(
    worker: &Worker,
    client: &mut C,
    request: &Request,
    timer: &Timer,
    leased: &mut Leased,
    limits: AttemptLimits<'_>,
    head_limits: &Limits,
) -> Ended {
    let lease = match leased {
        Leased::Own(lease) => lease,
        Leased::Shared(lease) => {
            let server = Http2Server::new(worker, lease, request);
            let mut pump = Pump::new(worker, client, server, request, timer, limits);
            let outcome = poll_fn(|cx| pump.poll(cx)).await;
            return Ended { outcome, progress: pump.close().0, behind: Vec::new() };
        }
    };
    let server = Http1Server::new(worker, &mut lease.stream, request, head_limits);
    let mut pump = Pump::new(worker, client, server, request, timer, limits);
    let outcome = poll_fn(|cx| pump.poll(cx)).await;
    let (mut progress, mut server) = pump.close();
    let behind = if progress.is_tunnel { server.take_rest() } else { Vec::new() };
    progress.upstream_reusable &= server.close() && !progress.is_tunnel;
    Ended { outcome, progress, behind }
}
