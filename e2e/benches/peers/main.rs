//! `igw-bench peers`: igw beside other proxies, with equal jobs, in turn, on loopback.
//!
//! The program starts itself again as the origin and as the load, so that each is a process that can be bound to a
//! core. What is measured and how stands in `docs/benchmarks.md`.

mod bed;
mod contestants;
mod haproxy;
mod igw;
mod load;
mod measure;
mod nginx;
mod origin;
mod processes;
mod rounds;
mod scenarios;
mod sockets;
mod table;

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};

use contestants::Contestant;
use rounds::Plan;
use scenarios::Scenario;

/// Compares igw with other proxies
#[derive(Parser)]
#[command(bin_name = "e2e/bench")]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Runs scenarios on igw and every installed peer; prints tables
    #[command(after_help = scenarios::listed())]
    Peers(Wanted),
    /// Answers requests at an address
    #[command(hide = true)]
    Origin {
        /// Where it listens.
        address: SocketAddr,
    },
    /// Sends the requests of a job
    #[command(hide = true)]
    Load {
        /// The job, JSON.
        job: String,
    },
}

#[derive(clap::Args)]
struct Wanted {
    /// Scenarios to run; all of them where none is named
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    scenario: Vec<String>,
    /// Rounds; in every other round the order is reversed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Peers beside igw: haproxy, nginx, or none; those that are installed where none is named
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    peer: Vec<String>,
    /// Workers of each proxy; a scenario with a number of its own keeps it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Length of a measurement in seconds
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Cores of the proxy and of load and origin, as taskset takes them; `none` leaves them to the kernel
    #[arg(long, default_value = "0/1", value_name = "PROXY/LOAD")]
    cpus: String,
    /// Keep going for this many minutes at most; scenarios that are left over are named
    #[arg(long, default_value_t = 120.0, value_parser = seconds)]
    minutes: f64,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().mode {
        Mode::Peers(wanted) => compare(&wanted),
        Mode::Origin { address } => origin::serve(address),
        Mode::Load { job } => {
            let job = serde_json::from_str(&job).context("the job")?;
            let tally = load::run(&job)?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", serde_json::to_string(&tally)?)?;
            Ok(())
        }
    }
}

fn compare(wanted: &Wanted) -> anyhow::Result<()> {
    let scenarios = match wanted.scenario.as_slice() {
        [] => scenarios::all(),
        names => names.iter().map(|name| Scenario::named(name)).collect::<anyhow::Result<_>>()?,
    };
    let cores = match wanted.cpus.as_str() {
        "none" => None,
        cpus => {
            let (proxy, load) =
                cpus.split_once('/').context("--cpus PROXY/LOAD, for example 0/1, or none")?;
            Some((proxy.to_owned(), load.to_owned()))
        }
    };
    let mut contestants = vec![Contestant::Igw];
    contestants.extend(peers(&wanted.peer)?);
    let plan = Plan {
        scenarios,
        contestants,
        n_rounds: wanted.rounds,
        n_workers: wanted.threads,
        seconds: wanted.seconds,
        cores,
        minutes: wanted.minutes,
    };
    rounds::run(&plan)
}

/// The peers asked for, all of which have to be installed, or those that are.
fn peers(names: &[String]) -> anyhow::Result<Vec<Contestant>> {
    let mut found = Vec::new();
    for peer in Contestant::PEERS {
        if names.is_empty() && peer.program().is_none() {
            eprintln!("{} is not installed and left out: apt-get install {}", peer.name(), peer.package());
        } else if names.is_empty() || names.iter().any(|name| name == peer.name()) {
            if peer.program().is_none() {
                bail!("{} is not installed: apt-get install {}", peer.name(), peer.package());
            }
            found.push(peer);
        }
    }
    let known =
        |name: &&String| *name != "none" && Contestant::PEERS.iter().all(|peer| peer.name() != **name);
    if let Some(name) = names.iter().find(known) {
        bail!("no peer is named {name}; there are haproxy and nginx, and none for igw alone");
    }
    Ok(found)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.05..=600.0).contains(&value) => Ok(value),
        _ => Err("a number from 0.05 to 600".to_owned()),
    }
}
