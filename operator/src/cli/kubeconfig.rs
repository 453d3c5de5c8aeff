//! `igw kubeconfig`: the file with which kubectl reaches an `igw up`.

use std::path::PathBuf;

use super::{Exit, Failure};
use crate::output::text::emit;
use crate::standalone::state::{KUBECONFIG, default_folder};

/// Arguments of `igw kubeconfig`.
#[derive(Debug, clap::Args)]
pub struct KubeconfigArgs {
    /// State folder of the igw up [default: $XDG_STATE_HOME/igw, else ~/.local/state/igw]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Prints it.
///
/// # Errors
/// [`Exit::Unreachable`] if no `igw up` speaks the dialect on a port.
pub fn run(args: &KubeconfigArgs) -> Result<Exit, Failure> {
    let Some(state) = args.state.clone().or_else(default_folder) else {
        return Err(Failure::new(
            Exit::Usage,
            "neither HOME nor XDG_STATE_HOME is set; name a folder with --state",
        ));
    };
    match std::fs::read_to_string(state.join(KUBECONFIG)) {
        Ok(text) => {
            emit(&text)?;
            Ok(Exit::Done)
        }
        Err(_) => Err(Failure::new(
            Exit::Unreachable,
            format!(
                "no igw up of state folder {} speaks to kubectl; start it with --kube 127.0.0.1:6443, or name another one with --state",
                state.display()
            ),
        )),
    }
}
