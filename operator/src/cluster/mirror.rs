//! A namespace of a cluster as files: what it would serve, to be tried on one machine.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use igw_opensvc::{Client, Error, EventKind, Filter, NO_OBJECTS, Signal, Subscription};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::layout::{SYSTEM, is_input};
use super::reader::ClusterRead;
use crate::output::yaml;

/// Files that follow a namespace, with the objects of `system` that hold for it.
pub struct Mirror {
    client: Client,
    namespace: String,
    folder: PathBuf,
}

/// What a machine must know of the cluster to serve its objects.
pub struct Surroundings {
    /// Its name.
    pub cluster: String,
    /// Its nameservers.
    pub nameservers: Vec<IpAddr>,
}

// === impl Mirror ===

impl Mirror {
    /// Files below a folder, which is made; what else it holds goes.
    #[must_use]
    pub fn new(client: Client, namespace: &str, folder: PathBuf) -> Self {
        Self { client, namespace: namespace.to_owned(), folder }
    }

    /// Asks for what is around.
    ///
    /// # Errors
    /// The client's.
    pub async fn surroundings(&self) -> Result<Surroundings, Error> {
        let settings = self.client.cluster_status(NO_OBJECTS).await?.cluster.settings;
        let nameservers = settings.dns.iter().filter_map(|text| text.parse().ok()).collect();
        Ok(Surroundings { cluster: settings.name, nameservers })
    }

    /// Makes the files what the cluster holds now; how many objects that is.
    ///
    /// # Errors
    /// The client's; the disk's.
    pub async fn refresh(&self) -> anyhow::Result<usize> {
        let read = ClusterRead::load(&self.client, Some(&self.namespace)).await?;
        fs::create_dir_all(&self.folder)?;
        let mut wanted = BTreeSet::new();
        for (key, taken) in &read.gathered.objects {
            let namespace = if key.kind.is_namespaced() { &*key.namespace } else { SYSTEM };
            let kind = key.kind.as_str().to_lowercase();
            let file = self.folder.join(format!("{namespace}.{kind}.{}.yaml", key.name));
            write(&file, &yaml::document(&taken.object.to_value()))?;
            wanted.insert(file);
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if !wanted.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(wanted.len())
    }

    /// Follows the cluster for ever. Trouble is told and tried again.
    pub async fn follow(self) {
        let kinds =
            [EventKind::InstanceConfigUpdated, EventKind::InstanceConfigDeleted, EventKind::ObjectDeleted];
        let mut events = self.client.events(Subscription::to([Filter::kinds(kinds)]));
        loop {
            // Without a word from the cluster everything is read again now and then.
            let is_due = match timeout(RESYNC, events.next()).await {
                Ok(None) => return,
                Ok(Some(Signal::Event(event))) => event.path.is_some_and(|path| {
                    is_input(&path) && [SYSTEM, self.namespace.as_str()].contains(&path.namespace())
                }),
                Ok(Some(Signal::Down(_))) => false,
                Ok(Some(Signal::Relist(_))) | Err(_) => true,
            };
            if !is_due {
                continue;
            }
            sleep(QUIET).await;
            match self.refresh().await {
                Ok(n_objects) => info!(n_objects, "objects of the cluster read"),
                Err(error) => {
                    warn!(%error, "objects of the cluster cannot be read; what was read last stays")
                }
            }
        }
    }
}

/// Replaces a file as a whole, if it is another one.
fn write(file: &Path, text: &str) -> io::Result<()> {
    if fs::read(file).is_ok_and(|before| before == text.as_bytes()) {
        return Ok(());
    }
    let scratch = file.with_extension("new");
    fs::write(&scratch, text)?;
    fs::rename(&scratch, file)
}

/// Longest time between two readings.
const RESYNC: Duration = Duration::from_secs(45);
/// Changes come together.
const QUIET: Duration = Duration::from_millis(200);
