//! `igw completion`: a script for the user's shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Exit, Failure};
use crate::output::text::emit;

/// Arguments of `igw completion`.
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Standard output's.
pub fn run(args: &CompletionArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "igw", &mut script);
    emit(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
