//! The supervisor: a small process that owns the listening sockets and keeps a server process running.
//!
//! It never reads traffic. When the server dies, connections wait in the sockets' backlog and the next server
//! takes them. Its pid and command line stay the same for life.

mod bind;
pub(crate) mod channel;
mod child;
mod lock;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::arguments::Arguments;
use bind::Sockets;
use channel::SupervisorEnd;
use child::Server;
use lock::StateLock;

/// Runs until asked to stop, then until the server has drained.
///
/// # Errors
/// Fails if another proxy runs on the same state, or if no server can be started at all.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let _lock = StateLock::take(&arguments.state)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(arguments))
}

/// Arms of the loop: a signal, the end of the server.
async fn supervise(arguments: &Arguments) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals cannot be received")?;
    let sockets = Arc::new(Mutex::new(Sockets::default()));
    let mut backoff = FIRST_PAUSE;
    let n_workers = arguments.n_workers();
    loop {
        let Server { mut process, channel } =
            Server::start().context("the server process cannot be started")?;
        let has_served = Arc::new(AtomicBool::new(false));
        serve_sockets(channel, Arc::clone(&sockets), n_workers, Arc::clone(&has_served))
            .context("no thread for the server's sockets")?;
        let started = crate::clock::now();
        let mut is_stopping = false;
        let status = loop {
            tokio::select! {
                status = process.wait() => break status,
                signal = signals.next() => match signal {
                    Asked::Stop if is_stopping => process.kill(),
                    Asked::Stop => {
                        is_stopping = true;
                        // Nobody waits in the backlog of a gateway that stops.
                        lock(&sockets).close_all();
                        process.signal(rustix::process::Signal::TERM);
                    }
                    Asked::Reload => process.signal(rustix::process::Signal::HUP),
                    Asked::Reopen => process.signal(rustix::process::Signal::USR1),
                },
            }
        };
        if is_stopping {
            info!("stopped");
            return Ok(());
        }
        match status {
            Ok(status) => error!(%status, "server ended; starting another one"),
            Err(error) => error!(%error, "server lost; starting another one"),
        }
        // One that came as far as its sockets can do so again; traffic waits for it.
        if has_served.load(Ordering::Relaxed) || started.elapsed() >= STABLE_AFTER {
            backoff = FIRST_PAUSE;
            tokio::time::sleep(FIRST_PAUSE).await;
        } else {
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Gives one server the sockets it asks for, on a thread that ends with the server.
fn serve_sockets(
    channel: SupervisorEnd,
    sockets: Arc<Mutex<Sockets>>,
    n_workers: usize,
    has_served: Arc<AtomicBool>,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("sockets".to_owned()).spawn(move || {
        loop {
            let wanted = match channel.receive() {
                Ok(Some(wanted)) => wanted,
                Ok(None) => return,
                Err(error) => {
                    warn!(%error, "message of the server not understood");
                    return;
                }
            };
            let mut sockets = lock(&sockets);
            let results = sockets.follow(&wanted.addresses, n_workers);
            has_served.store(true, Ordering::Relaxed);
            if let Err(error) = channel.answer(&results) {
                warn!(%error, "sockets not passed to the server");
                return;
            }
        }
    })?;
    Ok(())
}

fn lock(sockets: &Mutex<Sockets>) -> MutexGuard<'_, Sockets> {
    // Every change leaves the map whole.
    sockets.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
}

enum Asked {
    Stop,
    Reload,
    Reopen,
}

// === impl Signals ===

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.reopen.recv() => Asked::Reopen,
        }
    }
}

/// Pause before starting a server again that lived for less than [`STABLE_AFTER`]; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const STABLE_AFTER: Duration = Duration::from_secs(1);
