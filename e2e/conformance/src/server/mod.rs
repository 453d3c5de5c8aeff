//! A server that looks like Kubernetes to the suite, with igw behind it.
//!
//! ```text
//! suite --(REST)--> igw-kube: store --(owner)--> files --> engine of `igw up` --> igw-proxy
//!                     |    ^                                 ^        |
//!                     |    +------------- mirror: statuses --|--------+
//!                     +-- endpoints: Services and slices ----+
//! ```
//!
//! Kinds of igw go through files to the engine, which knows their identity; the other kinds that the suite needs are the
//! store's alone. Nothing here knows what an object means.

mod endpoints;
mod kinds;
mod seeds;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use igw::embedded::{Engine, Mirror, Owner, Settings};
use igw_compile::Services;
use igw_kube::{Door, Everybody, Server, ServerSettings, Settings as StoreSettings, Store, serve};
use tokio::net::TcpListener;

use crate::workloads::Logs;

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
}

/// Runs until a signal ends the engine. `ready` is called when clients are welcome.
///
/// # Errors
/// Says what keeps it from starting, and what ended the engine.
pub async fn run(options: &Options, logs: Logs, ready: impl FnOnce()) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await.with_context(|| options.listen.to_string())?;
    let objects = options.folder.join("objects");
    seeds::write(&objects, &options.class, &options.gateways)?;
    let (engine, running) = Engine::start(Settings {
        folder: objects,
        state: options.folder.join("state"),
        admin: options.admin[0],
        proxy_admin: options.admin[1],
        services: Services::default(),
    })
    .await?;
    let registry = Arc::new(kinds::registry(logs));
    let settings = StoreSettings { require_namespaces: true, ..StoreSettings::default() };
    let owner = Owner::new(engine.clone());
    let writes = owner.writes();
    let store = Arc::new(Store::new(Arc::clone(&registry), settings, Arc::new(owner)));
    let core = Core::of(&registry).context("a kind is missing")?;
    seeds::announce(&store, &core, &options.bundle);

    let mut mirror = Mirror::new(Arc::clone(&store), engine.view(), writes);
    if !tokio::time::timeout(PATIENCE, mirror.begin()).await.is_ok_and(|is_there| is_there) {
        bail!("the engine says nothing of the GatewayClass");
    }
    let endpoints = Endpoints::new(Arc::clone(&store), &core, engine)?;
    let server = Server::new(store, Arc::new(Everybody), ServerSettings::default());
    ready();
    let serving = async {
        tokio::join!(mirror.run(), endpoints.run(), serve(Door::Tcp(listener), Arc::new(server)));
    };
    // Arms: the engine, until a signal ends it; the door, which is open for ever.
    tokio::select! {
        ended = running.ended() => ended,
        () = serving => Ok(()),
    }
}

/// Time that the engine has to begin.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
