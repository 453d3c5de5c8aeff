//! `igw operator`: watch a cluster's objects and run its gateways.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::connection::ConnectionArgs;
use super::log::LogArgs;
use super::{Exit, Failure};
use crate::cluster::app::{self, Options};
use crate::cluster::service_text::Places;

/// Arguments of `igw operator`.
#[derive(Debug, clap::Args)]
pub struct OperatorArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Namespaces that are served, `all` or a list with commas
    #[arg(long, value_name = "A,B|all", default_value = "all")]
    namespaces: String,
    /// Address where proxies sync
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:8406")]
    listen: SocketAddr,
    /// Admin address: metrics, health, status page
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8405")]
    admin: SocketAddr,
    /// The proxy's binary on every node [default: igw-proxy beside this igw]
    #[arg(long, value_name = "PATH")]
    proxy: Option<String>,
    /// Folder of the proxies' states on every node; references such as {var} are resolved there
    #[arg(long, value_name = "DIR", default_value = "/var/lib/igw")]
    proxy_state: String,
    /// Speak the REST dialect of Kubernetes here, over TLS, to who shows a token of the cluster
    #[arg(long, value_name = "ADDR:PORT")]
    kube: Option<SocketAddr>,
    /// The daemon that is asked whose those tokens are [default: that of --server, else https://127.0.0.1:1215]
    #[arg(long, value_name = "URL", requires = "kube")]
    kube_daemon: Option<String>,
    /// Certificate of its authority, PEM [default: --ca, else that of the node]
    #[arg(long, value_name = "FILE", requires = "kube")]
    kube_daemon_ca: Option<PathBuf>,
    /// Name that its certificate is for, where it is not the host of the URL
    #[arg(long, value_name = "NAME", requires = "kube")]
    kube_daemon_name: Option<String>,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs until a signal ends it, or another operator takes over.
///
/// # Errors
/// What keeps it from starting.
pub fn run(args: OperatorArgs) -> Result<Exit, Failure> {
    args.log.start();
    let namespaces = match args.namespaces.as_str() {
        "all" => None,
        list => Some(list.split(',').map(|name| name.trim().to_owned()).collect::<BTreeSet<_>>()),
    };
    let proxy = args.proxy.unwrap_or_else(|| {
        let beside = std::env::current_exe().ok().map(|path| path.with_file_name("igw-proxy"));
        beside
            .filter(|path| path.exists())
            .map_or_else(|| "/usr/bin/igw-proxy".to_owned(), |path| path.display().to_string())
    });
    let dialect = args.kube.map(|address| {
        let daemon = args.connection.daemon(args.kube_daemon, args.kube_daemon_ca, args.kube_daemon_name);
        (address, daemon)
    });
    let options = Options {
        dialect,
        namespaces,
        listen: args.listen,
        admin: args.admin,
        places: Places { proxy, state: args.proxy_state },
        services: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = args.connection.client()?;
        app::run(client, options).await.map_err(Failure::from)
    })?;
    Ok(Exit::Done)
}
