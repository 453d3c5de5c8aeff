//! The supervisor: a small process that owns the listening sockets and keeps a server process running.
//!
//! It never reads traffic. When the server dies, connections wait in the sockets' backlog and the next server
//! takes them. Its pid and command line stay the same for life, also when it becomes another binary.

pub(crate) mod adoption;
mod bind;
pub(crate) mod channel;
mod environment;
mod fleet;
mod lock;
mod server;
mod signals;
mod succession;

use anyhow::Context as _;

use crate::arguments::Arguments;
use fleet::Fleet;
use lock::StateLock;
use signals::Signals;
use succession::Estate;

/// Runs until asked to stop, then until the servers have drained.
///
/// # Errors
/// Fails if another proxy runs on the same state, or if no server can be started at all.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let estate = Estate::take().context("what the binary before left cannot be taken over")?;
    // All on this one thread: whoever holds back signals here holds them back for the process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::new().context("signals cannot be received")?;
        let fleet = match estate {
            Some(estate) => {
                tracing::info!(version = env!("CARGO_PKG_VERSION"), "supervisor runs the new binary");
                Fleet::new(arguments, estate)?
            }
            None => {
                let lock = StateLock::take(&arguments.state)?;
                let mut fleet = Fleet::new(arguments, Estate::default())?;
                fleet.begin(lock)?;
                fleet
            }
        };
        fleet.run(signals).await
    })
}
