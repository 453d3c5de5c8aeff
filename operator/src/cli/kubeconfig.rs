//! `igw kubeconfig`: the file with which kubectl reaches an `igw up`, or the operator of a cluster.

use std::path::PathBuf;

use igw_crds::yaml::value_to_yaml;
use igw_opensvc::{Client, Error, KeyName, Kind};

use serde_json::Value;

use super::apply::run as run_verb;
use super::connection::ConnectionArgs;
use super::{Exit, Failure};
use crate::cluster::layout::{self, STATUS, SYSTEM};
use crate::output::text::emit;
use crate::standalone::state::{KUBECONFIG, default_folder};

/// Arguments of `igw kubeconfig`.
#[derive(Debug, clap::Args)]
pub struct KubeconfigArgs {
    /// State folder of an igw up [default: $XDG_STATE_HOME/igw, else ~/.local/state/igw]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["socket", "server"])]
    state: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Prints it.
///
/// # Errors
/// [`Exit::Unreachable`] if nobody speaks the dialect on a port.
pub fn run(args: &KubeconfigArgs) -> Result<Exit, Failure> {
    let of_up = || args.state.clone().or_else(default_folder).map(|state| state.join(KUBECONFIG));
    let runs_up = || of_up().is_some_and(|file| file.exists());
    let is_cluster = args.connection.is_named() || (!runs_up() && ConnectionArgs::has_local_agent());
    if args.state.is_none() && is_cluster {
        return run_verb(async {
            let mut config = of_cluster(&args.connection.client()?).await?;
            // The plugin logs in as whoever asked for the file.
            if let Some(plugin) = config.pointer_mut("/users/0/user/exec/args").and_then(Value::as_array_mut)
            {
                plugin.extend(args.connection.to_arguments().into_iter().map(Value::from));
            }
            emit(&value_to_yaml(&config))?;
            Ok(Exit::Done)
        });
    }
    let Some(file) = of_up() else {
        return Err(Failure::new(
            Exit::Usage,
            "neither HOME nor XDG_STATE_HOME is set; name a folder with --state",
        ));
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            emit(&text)?;
            Ok(Exit::Done)
        }
        Err(_) => Err(Failure::new(
            Exit::Unreachable,
            format!(
                "no igw up of state folder {} speaks to kubectl; start it with --kube 127.0.0.1:6443, or name another one with --state",
                file.parent().unwrap_or(&file).display()
            ),
        )),
    }
}

/// What the operator that speaks the dialect says of itself.
async fn of_cluster(client: &Client) -> Result<Value, Failure> {
    let nobody = || {
        let message = "no operator of the cluster speaks to kubectl; start it with --kube [::]:6443";
        Failure::new(Exit::Unreachable, message)
    };
    let path = layout::path(SYSTEM, Kind::Cfg, STATUS).ok_or_else(nobody)?;
    match client.key(&path, &KeyName::parse(layout::KUBECONFIG)?).await {
        Ok(text) => serde_json::from_slice(&text).map_err(|_| nobody()),
        Err(Error::UnknownObject { .. } | Error::UnknownKey { .. }) => Err(nobody()),
        Err(error) => Err(error.into()),
    }
}
