//! `igw-conformance`: what the conformance suite of the Gateway API needs around a gateway.

use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use igw_conformance::workloads::{Addresses, Controller, Logs, Server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

/// What the conformance suite of the Gateway API needs around a gateway.
#[derive(Debug, Parser)]
#[command(name = "igw-conformance", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Turns Deployments of any server that speaks the dialect of Kubernetes into pods of this process
    Workloads(Workloads),
}

#[derive(Debug, clap::Args)]
struct Workloads {
    /// The server, in cleartext
    #[arg(long, value_name = "IP:PORT")]
    server: SocketAddr,
    /// First address of the network of 16 bits that pods have theirs from
    #[arg(long, value_name = "IP", default_value = "127.40.0.0")]
    pods: Ipv4Addr,
    /// Where the server finds logs of pods
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:6490")]
    logs: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let Verb::Workloads(arguments) = Arguments::parse().verb;
    let logs = Logs::default();
    let listener = TcpListener::bind(arguments.logs).await.with_context(|| arguments.logs.to_string())?;
    let base = format!("http://{}", arguments.logs);
    let addresses = Addresses::new(arguments.pods, 16);
    let controller = Controller::new(Server::new(arguments.server), addresses, logs.clone(), base);
    // Arms: the controller and the door of logs, which run for ever; either of the two signals that end a program.
    tokio::select! {
        () = controller.run() => {}
        () = logs.serve(listener) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
