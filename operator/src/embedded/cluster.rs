//! What `igw operator` does with a cluster, with Services that are told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use igw_compile::Services;
use igw_kube::Registry;
use igw_opensvc::{Client, Target};
use tokio::sync::{oneshot, watch};

use super::Running;
use crate::cluster::app::{self, Link, Options};
use crate::cluster::service_text::Places;
use crate::dialect::cluster::{Owner, Stores, keep};
use crate::objects::view::View;

/// Where an operator lives.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    /// Socket of the daemon of its node.
    pub socket: PathBuf,
    /// Where proxies sync.
    pub listen: SocketAddr,
    /// Own admin address.
    pub admin: SocketAddr,
    /// The proxy's binary on every node.
    pub proxy: String,
    /// Folder of the proxies' states on every node.
    pub proxy_state: String,
    /// Services there are when it starts. None of them is asked of DNS.
    pub services: Services,
}

/// What may be asked of an operator.
#[derive(Clone, Debug)]
pub struct Operator {
    client: Client,
    link: Link,
}

// === impl Operator ===

impl Operator {
    /// Starts an operator.
    ///
    /// # Errors
    /// As `igw operator`: an address in use.
    pub async fn start(settings: OperatorSettings) -> anyhow::Result<(Self, Running)> {
        let client = Client::connect(Target::Unix(settings.socket))?;
        let options = Options {
            namespaces: None,
            listen: settings.listen,
            admin: settings.admin,
            places: Places { proxy: settings.proxy, state: settings.proxy_state },
            dialect: None,
            services: Some(settings.services),
        };
        let (sender, linked) = oneshot::channel();
        let run = app::run_linked(client.clone(), options, |link| {
            // Whoever started it may have gone; then signals end it.
            let _ = sender.send(link);
        });
        let task = tokio::spawn(run);
        match linked.await {
            Ok(link) => Ok((Self { client, link }, Running::Task(task))),
            Err(_) => match task.await {
                Ok(done) => Err(done.err().unwrap_or_else(|| anyhow!("the operator ended at once"))),
                Err(_) => Err(anyhow!("the operator failed")),
            },
        }
    }

    /// What there is, with statuses; it changes whenever something does.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.link.view.clone()
    }

    /// Says which Services there are, with their endpoints.
    pub fn tell_services(&self, services: Services) {
        // An operator that has ended wants none.
        let _ = self.link.services.send(services);
    }

    /// Makes changes of a store last in the cluster. Secrets and ConfigMaps of the registry are looked up there.
    #[must_use]
    pub fn owner(&self, registry: &mut Registry) -> Owner {
        let stores = Arc::new(Stores::new(self.client.clone()));
        keep(registry, &stores);
        Owner::new(self.client.clone(), self.link.arrivals.clone(), stores)
    }
}
