//! `igw-emulator`: a cluster for trying things out. It runs until it is stopped.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use igw_emulator::{Cluster, Delays, Spec};
use tokio::signal::unix::{SignalKind, signal};

/// Emulates an OpenSVC cluster on this machine.
#[derive(Debug, Parser)]
#[command(name = "igw-emulator", version)]
struct Arguments {
    /// Nodes
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// Folder for sockets, logs and volumes
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "blue")]
    name: String,
    /// Node N has the address 127.0.<BASE + N>.1
    #[arg(long, value_name = "BASE", default_value_t = 0)]
    base: u8,
    /// Times
    #[arg(long, value_enum, default_value_t = Times::Verified)]
    delays: Times,
    /// A user of the network listeners; may be repeated
    #[arg(long = "user", value_name = "NAME:PASSWORD:GRANTS")]
    users: Vec<String>,
    /// File for the certificate of the cluster's authority
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File that appears when every node answers: socket and address of each, address of the name server
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Times {
    /// Those of a real cluster.
    Verified,
    /// As short as they may be.
    None,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let spec = Spec {
        name: arguments.name,
        n_nodes: arguments.nodes,
        folder: arguments.folder,
        base: arguments.base,
        delays: match arguments.delays {
            Times::Verified => Delays::verified(),
            Times::None => Delays::none(),
        },
    };
    let cluster = Cluster::start(&spec)?;
    for user in &arguments.users {
        let parts: Vec<&str> = user.splitn(3, ':').collect();
        let [name, password, grants] = parts[..] else { anyhow::bail!("--user NAME:PASSWORD:GRANTS") };
        cluster.add_user(name, grants, password);
    }
    if let Some(file) = &arguments.ca_file {
        std::fs::write(file, cluster.authority()).with_context(|| file.display().to_string())?;
    }
    let mut text = String::new();
    for node in cluster.nodes() {
        text.push_str(&format!("{node} {} {}\n", cluster.socket(&node).display(), cluster.address(&node)));
    }
    text.push_str(&format!("dns {}\n", cluster.dns()));
    print!("{text}");
    if let Some(file) = &arguments.ready_file {
        std::fs::write(file, &text).with_context(|| file.display().to_string())?;
    }
    // Arms: either of the two signals that end a program.
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(cluster);
    Ok(())
}
