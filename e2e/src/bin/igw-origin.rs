//! `igw-origin NAME ADDRESS`: an HTTP back end that says its name and what it was asked. It runs until it is stopped, and
//! then lets what is under way end.

use std::time::Duration;

use anyhow::Context as _;
use igw_e2e::origin::Origin;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().context("usage: igw-origin NAME ADDRESS")?;
    let address = arguments.next().context("usage: igw-origin NAME ADDRESS")?.parse()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let origin = Origin::start(&name, address)?;
    terminate.recv().await;
    origin.drain(DRAIN_TIME);
    Ok(())
}

/// For connections that bring no further request; the daemon waits longer before it kills.
const DRAIN_TIME: Duration = Duration::from_secs(1);
