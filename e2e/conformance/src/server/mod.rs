//! A server that looks like Kubernetes to the suite, with igw behind it.
//!
//! ```text
//! suite --(REST)--> igw-kube: store --(owner)--> files --> engine of `igw up` --> igw-proxy
//!                     |    ^                or: keys of a cluster --> operator --> services that run igw-proxy
//!                     |    ^                                 ^        |
//!                     |    +------------- mirror: statuses --|--------+
//!                     +-- endpoints: Services and slices ----+
//! ```
//!
//! Kinds of igw go to what is behind, which knows their identity; the other kinds that the suite needs are the store's
//! alone. Nothing here knows what an object means.

mod behind;
mod endpoints;
mod kinds;
mod seeds;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use igw_kube::{Door, Everybody, Server, ServerSettings, Settings as StoreSettings, Store, serve};
use tokio::net::TcpListener;

use crate::workloads::Logs;

use behind::Behind;
use endpoints::Endpoints;
use kinds::Core;

/// What a test server is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where clients come in.
    pub listen: SocketAddr,
    /// Folder for objects and state; it should be empty.
    pub folder: PathBuf,
    /// Network that gateways have their addresses from.
    pub gateways: String,
    /// Name of the GatewayClass.
    pub class: String,
    /// Version of the Gateway API that the server says it has.
    pub bundle: String,
    /// Admin addresses of the engine and of its proxy.
    pub admin: [SocketAddr; 2],
    /// Where proxies of a cluster sync.
    pub sync: SocketAddr,
    /// Whether the operator of a cluster is behind it.
    pub is_cluster: bool,
}

/// Runs until a signal ends what is behind. `ready` is called when clients are welcome.
///
/// # Errors
/// Says what keeps it from starting, and what ended it.
pub async fn run(options: &Options, logs: Logs, ready: impl FnOnce()) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await.with_context(|| options.listen.to_string())?;
    let mut registry = kinds::registry(logs);
    let behind = if options.is_cluster {
        Behind::cluster(options, &mut registry).await?
    } else {
        Behind::machine(options).await?
    };
    let registry = Arc::new(registry);
    let settings = StoreSettings { require_namespaces: true, ..StoreSettings::default() };
    let store = Arc::new(Store::new(Arc::clone(&registry), settings, Arc::clone(&behind.owner)));
    let core = Core::of(&registry).context("a kind is missing")?;
    seeds::announce(&store, &core, &options.bundle);

    let mut mirror = behind.mirror(&store);
    if !tokio::time::timeout(PATIENCE, mirror.begin()).await.is_ok_and(|is_there| is_there) {
        bail!("nothing is shown of what there is");
    }
    let Behind { running, tell, nodes: _nodes, .. } = behind;
    let endpoints = Endpoints::new(Arc::clone(&store), &core, tell)?;
    let server = Server::new(store, Arc::new(Everybody), ServerSettings::default());
    let welcome = async {
        if options.is_cluster {
            seeds::create(options.listen, &options.class, &options.gateways).await?;
        }
        ready();
        anyhow::Ok(())
    };
    let doors = async {
        tokio::join!(mirror.run(), endpoints.run(), serve(Door::Tcp(listener), Arc::new(server)));
        anyhow::Ok(())
    };
    // Arms: what is behind, until a signal ends it; the door, which is open for ever.
    tokio::select! {
        ended = running.ended() => ended,
        done = async { tokio::try_join!(welcome, doors) } => done.map(drop),
    }
}

/// Time that what is behind has to begin.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
