//! `igw-proxy`: serves what a snapshot says.
//!
//! Two processes of one binary: a supervisor that owns the listening sockets, and the server that it starts
//! with them; while a release is taken over, servers of two binaries.

mod admin;
mod arguments;
mod binary;
mod clock;
mod control;
#[cfg(test)]
mod corpus;
mod log;
mod memory;
mod metrics;
mod place;
mod proxy_protocol;
mod sessions;
mod shared;
mod supervisor;
mod tables;
mod tls;
mod upstream;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use arguments::{Arguments, Format};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(&arguments);
    let ended = if arguments.server { control::run(&arguments) } else { supervisor::run(&arguments) };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(arguments: &Arguments) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let log = tracing_subscriber::registry().with(arguments.log_level.clone());
    match arguments.log_format {
        Format::Text => {
            use std::io::IsTerminal as _;
            log.with(lines.with_ansi(std::io::stderr().is_terminal())).init();
        }
        Format::Json => log.with(lines.json()).init(),
    }
}
