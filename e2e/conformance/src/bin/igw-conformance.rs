//! `igw-conformance`: what the conformance suite of the Gateway API needs around a gateway.

use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use igw_conformance::server::{self, Options};
use igw_conformance::workloads::{Addresses, Controller, Logs, Server};
use serde_json::json;
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
    /// Print the features that igw serves, one on each line
    Features,
    /// Serve the suite: the dialect of Kubernetes, igw behind it, and back ends
    Serve(Serve),
    /// Turn Deployments of any server that speaks the dialect of Kubernetes into pods of this process
    Workloads(Workloads),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Where the suite comes in
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:6580")]
    listen: SocketAddr,
    /// Folder for objects and state; it should be empty
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Network that gateways have their addresses from
    #[arg(long, value_name = "CIDR", default_value = "127.30.0.0/16")]
    gateways: String,
    /// First address of the network of 16 bits that pods have theirs from
    #[arg(long, value_name = "IP", default_value = "127.40.0.0")]
    pods: Ipv4Addr,
    /// Name of the GatewayClass
    #[arg(long, value_name = "NAME", default_value = "gateway-conformance")]
    class: String,
    /// Version of the Gateway API that the server says it has: the suite's
    #[arg(long, value_name = "VERSION", default_value = "v1.6.3")]
    bundle: String,
    /// Serve with `igw operator` on an emulated cluster of three nodes, in place of `igw up`
    #[arg(long)]
    cluster: bool,
    /// Port of igw's admin address; that of its proxy is the next one, and proxies of a cluster sync with the one after
    #[arg(long, value_name = "PORT", default_value_t = 6581)]
    admin: u16,
    /// File for the configuration of clients, which appears when they are welcome
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
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
    match Arguments::parse().verb {
        Verb::Features => {
            for feature in igw_compile::features::SUPPORTED {
                println!("{feature}");
            }
            Ok(())
        }
        Verb::Serve(arguments) => serve(arguments).await,
        Verb::Workloads(arguments) => workloads(&arguments).await,
    }
}

async fn serve(arguments: Serve) -> anyhow::Result<()> {
    let logs = Logs::default();
    let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let options = Options {
        listen: arguments.listen,
        folder: arguments.folder,
        gateways: arguments.gateways,
        class: arguments.class,
        bundle: arguments.bundle,
        admin: [local(arguments.admin), local(arguments.admin.saturating_add(1))],
        sync: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), arguments.admin.saturating_add(2)),
        is_cluster: arguments.cluster,
    };
    let addresses = Addresses::new(arguments.pods, 16);
    // The server reads logs where they are.
    let controller = Controller::new(Server::new(arguments.listen), addresses, logs.clone(), String::new());
    // Arms: the server, until it is told to end; the controller, which runs for ever.
    tokio::select! {
        ended = server::run(&options, logs, || welcome(&arguments.kubeconfig, arguments.listen)) => ended,
        () = controller.run() => Ok(()),
    }
}

async fn workloads(arguments: &Workloads) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
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

/// Tells clients where the server is.
fn welcome(file: &Path, listen: SocketAddr) {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "igw", "cluster": {"server": format!("http://{listen}")}}],
        "users": [{"name": "anybody", "user": {}}],
        "contexts": [{"name": "igw", "context": {"cluster": "igw", "user": "anybody"}}],
        "current-context": "igw",
    });
    if let Err(error) = std::fs::write(file, config.to_string()) {
        tracing::error!(file = %file.display(), %error, "clients cannot be told where the server is");
    }
}
