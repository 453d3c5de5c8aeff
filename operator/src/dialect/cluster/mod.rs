//! The dialect in a cluster: over TLS, for who shows a token of OpenSVC, whose grants decide.
//!
//! ```text
//! client --(REST, token)--> grants --(who may?)--> the daemon
//!                             |
//!                igw-kube: store --(owner)--> pens: keys of cfg igw, read back on every node --> engine
//!                     ^  ^                                                                        |
//!                     |  +---- mirror: objects, statuses, Services, namespaces -------------------+
//!                     +-- stores: Secrets and ConfigMaps, looked up in sec and cfg objects
//! ```

mod access;
mod owner;
mod pen;
mod stores;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use igw_kube::{Door, Registry, Server, ServerSettings, Settings, Source, Store, serve};
use igw_opensvc::{Budget, Client, Trust};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{info, warn};

use super::Mirror;
use crate::cluster::app::Link;
use crate::cluster::credentials::{Authority, SERVER_NAME};
use access::Grants;

pub use owner::Owner;
pub use stores::Stores;

/// The daemon that says whose a token is.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Its network listener.
    pub url: String,
    /// Whom to believe.
    pub trust: Trust,
    /// The name to expect in its certificate; the URL's host when absent.
    pub server_name: Option<String>,
    /// What may be asked of it.
    pub budget: Budget,
}

/// A dialect that is about to be spoken.
pub struct Dialect {
    /// Where clients come in.
    pub listener: TcpListener,
    /// Who says who they are.
    pub daemon: Daemon,
    /// The operator's own client: changes are made in its name, once grants allow them.
    pub client: Client,
    /// The operator.
    pub link: Link,
}

// === impl Dialect ===

impl Dialect {
    /// Speaks it as long as the operator runs.
    pub async fn run(self, mut authority: watch::Receiver<Option<Arc<Authority>>>) {
        let Self { listener, daemon, client, link } = self;
        let Ok(found) = authority.wait_for(Option::is_some).await.map(|found| found.clone()) else { return };
        let Some(found) = found else { return };
        let config = match found.dialect() {
            Ok(config) => Arc::new(config),
            Err(error) => return warn!(%error, "the door of kubectl cannot be opened"),
        };
        let stores = Arc::new(Stores::new(client.clone()));
        let mut registry = Registry::builtin();
        keep(&mut registry, &stores);
        let owner = Owner::new(client, link.arrivals, stores);
        let writes = owner.writes();
        let store = Arc::new(Store::new(Arc::new(registry), Settings::default(), Arc::new(owner)));
        let mut mirror = Mirror::new(Arc::clone(&store), link.view, writes);
        // Nobody is told of less than there is.
        if !mirror.begin().await {
            return;
        }
        if let Ok(address) = listener.local_addr() {
            info!(%address, "speaking to kubectl");
        }
        let server = Server::new(store, Arc::new(Grants::new(daemon)), ServerSettings::default());
        tokio::join!(mirror.run(), serve(Door::Tls(listener, config), Arc::new(server)));
    }
}

/// Has Secrets and ConfigMaps looked up in the cluster.
pub fn keep(registry: &mut Registry, stores: &Arc<Stores>) {
    let source = Arc::clone(stores) as Arc<dyn Source>;
    for plural in ["secrets", "configmaps"] {
        registry.keep("", plural, &source);
    }
}

/// The file that tells kubectl where the server is: with the authority, and without a token, which `igw token` fetches.
#[must_use]
pub fn kubeconfig(address: SocketAddr, authority: &str) -> Value {
    let cluster = json!({
        "server": format!("https://{address}"),
        "tls-server-name": SERVER_NAME,
        "certificate-authority-data": STANDARD.encode(authority),
    });
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "igw",
        "args": ["token"],
        "interactiveMode": "Never",
        "installHint": "igw is not in PATH",
    });
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "igw", "cluster": cluster}],
        "users": [{"name": "igw", "user": {"exec": exec}}],
        "contexts": [{"name": "igw", "context": {"cluster": "igw", "user": "igw"}}],
        "current-context": "igw",
    })
}
