//! `igw-proxy`: serves what a snapshot says.
//!
//! Two processes of one binary: a supervisor that owns the listening sockets, and the server that it starts
//! with them; while a release is taken over, servers of two binaries.

mod admin;
mod allocations;
mod arguments;
mod binary;
mod clock;
mod control;
#[cfg(test)]
mod corpus;
mod log;
mod metrics;
mod proxy_protocol;
mod shared;
mod supervisor;
mod tables;
mod tls;
mod upstream;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

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
    let filter = EnvFilter::try_new(&arguments.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match arguments.log_format {
        Format::Text => {
            use std::io::IsTerminal as _;
            builder.with_ansi(std::io::stderr().is_terminal()).init();
        }
        Format::Json => builder.json().init(),
    }
}
