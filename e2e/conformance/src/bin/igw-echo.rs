//! `igw-echo`: one back end of the conformance suite, for trying things out. Settings come from the environment, as for
//! the suite's image: `TCP_ECHO_SERVER=1 igw-echo --address 127.40.0.9`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context as _;
use clap::Parser;
use igw_conformance::echo::{Container, Log, Mode, Pod};
use tokio::signal::unix::{SignalKind, signal};

/// Serves one back end until it is stopped.
#[derive(Debug, Parser)]
#[command(name = "igw-echo", version)]
struct Arguments {
    /// Address to bind
    #[arg(long, value_name = "IP", env = "LISTEN_IP", default_value = "127.0.0.1")]
    address: IpAddr,
    /// Answer questions of DNS
    #[arg(long)]
    dns: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let mut files = BTreeMap::new();
    for name in FILES {
        if let Some(path) = env.get(name).filter(|path| !path.is_empty()) {
            files.insert(path.clone(), std::fs::read(path).with_context(|| path.clone())?);
        }
    }
    let mut container = Container::echo(env, files);
    if arguments.dns {
        container.mode = Mode::Dns;
    }
    let pod = Pod::start(arguments.address, &container, &Log::default()).await?;
    eprintln!("serving {:?} on {}", container.mode, arguments.address);
    // Arms: either of the two signals that end a program.
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(pod);
    Ok(())
}

/// Settings that name files.
const FILES: [&str; 4] =
    ["TLS_SERVER_CERT", "TLS_SERVER_PRIVKEY", "TLS_SERVER_PRIV_KEY", "TLS_CLIENT_CACERTS"];
