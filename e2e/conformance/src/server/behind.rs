//! What is behind the dialect: the gateway of one machine, or the operator of a cluster.

use std::sync::Arc;

use anyhow::Context as _;
use igw::embedded::{Engine, Mirror, Operator, OperatorSettings, Owner, Running, Settings, View, Writes};
use igw_compile::Services;
use igw_emulator::{Cluster, Delays, Spec};
use igw_kube::{Persist, Registry, Store};
use tokio::sync::watch;

use super::Options;
use super::seeds;

/// Who hears of Services with their endpoints.
pub(crate) type Tell = Box<dyn Fn(Services) + Send + Sync>;

/// Something that makes gateways of objects.
pub(crate) struct Behind {
    /// Makes changes of the store last.
    pub(crate) owner: Arc<dyn Persist>,
    /// Until a signal ends it.
    pub(crate) running: Running,
    pub(crate) tell: Tell,
    writes: Arc<Writes>,
    view: watch::Receiver<Arc<View>>,
    /// The nodes, which end when this is dropped.
    pub(crate) nodes: Option<Cluster>,
}

// === impl Behind ===

impl Behind {
    /// `igw up` with a folder.
    pub(crate) async fn machine(options: &Options) -> anyhow::Result<Self> {
        let folder = options.folder.join("objects");
        seeds::write(&folder, &options.class, &options.gateways)?;
        let (engine, running) = Engine::start(Settings {
            folder,
            state: options.folder.join("state"),
            admin: options.admin[0],
            proxy_admin: options.admin[1],
            services: Services::default(),
        })
        .await?;
        let owner = Owner::new(engine.clone());
        Ok(Self {
            writes: owner.writes(),
            owner: Arc::new(owner),
            running,
            view: engine.view(),
            tell: Box::new(move |services| engine.tell_services(services)),
            nodes: None,
        })
    }

    /// `igw operator` on an emulated cluster of three nodes, on which gateways become services.
    pub(crate) async fn cluster(options: &Options, registry: &mut Registry) -> anyhow::Result<Self> {
        let cluster = Cluster::start(&Spec {
            name: "blue".to_owned(),
            n_nodes: 3,
            folder: options.folder.join("cluster"),
            base: NODES,
            delays: Delays::none(),
        })?;
        let first = cluster.nodes().into_iter().next().context("a cluster without nodes")?;
        let (operator, running) = Operator::start(OperatorSettings {
            socket: cluster.socket(&first),
            listen: options.sync,
            admin: options.admin[0],
            proxy: proxy()?,
            proxy_state: "{var}/igw".to_owned(),
            services: Services::default(),
        })
        .await?;
        let owner = operator.owner(registry);
        Ok(Self {
            writes: owner.writes(),
            owner: Arc::new(owner),
            running,
            view: operator.view(),
            tell: Box::new(move |services| operator.tell_services(services)),
            nodes: Some(cluster),
        })
    }

    /// Shows a store what it sees.
    pub(crate) fn mirror(&self, store: &Arc<Store>) -> Mirror {
        Mirror::new(Arc::clone(store), self.view.clone(), Arc::clone(&self.writes))
    }
}

/// The proxy beside this program, as nodes start it.
fn proxy() -> anyhow::Result<String> {
    let beside = std::env::current_exe()?.with_file_name("igw-proxy");
    beside
        .exists()
        .then(|| beside.display().to_string())
        .context("igw-proxy is not beside this program; build it")
}

/// Node N has the address `127.0.<NODES + N>.1`.
const NODES: u8 = 60;
