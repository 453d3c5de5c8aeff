//! Where a verb finds objects: a directory, the state of an `igw up`, or the one that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use igw_crds::snapshot::Snapshot;
use igw_crds::sync::Envelope;
use igw_opensvc::{
    Client, Error, EventKind, Filter, KeyChange, KeyName, Kind, ObjectItem, ObjectPath, Signal, Subscription,
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::apply::run;
use super::connection::ConnectionArgs;
use super::{Exit, Failure};
use crate::acme::made::{MARK, RENEW};
use crate::acme::standing::Shown;
use crate::cluster::change::{READ_BACK, read, write};
use crate::cluster::layout::{STATUS, is_input};
use crate::cluster::reader::ClusterRead;
use crate::doors::http::{ask, fetch};
use crate::objects::listing::Listing;
use crate::output::rows::text;
use crate::standalone::offline::Offline;
use crate::standalone::state::default_folder;

/// The arguments that choose a target.
#[derive(Debug, clap::Args)]
pub struct TargetArgs {
    /// Read objects from files and folders, offline; may be repeated
    #[arg(long, value_name = "PATH", conflicts_with = "state")]
    dir: Vec<PathBuf>,
    /// State folder of an igw up [default: that of the igw up that runs]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Cluster name that completes service names, with --dir
    #[arg(long, value_name = "NAME", env = "CLUSTERNAME", default_value = "default", value_parser = super::up::parse_cluster)]
    cluster: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

// === impl TargetArgs ===

impl TargetArgs {
    /// The objects with their statuses.
    ///
    /// # Errors
    /// [`Exit::Unreachable`] where there is nothing to ask.
    pub fn listing(&self) -> Result<Listing, Failure> {
        if !self.dir.is_empty() {
            return Ok(Offline::load(&self.dir, None, &self.cluster).view().listing());
        }
        if let Some(read) = self.cluster_read()? {
            return Ok(read.view().listing());
        }
        let state = self.state_folder()?;
        let bytes = fetch(&state.join("admin.sock"), "/api/v1/state")
            .or_else(|_| std::fs::read(state.join("status.json")))
            .map_err(|error| nothing_there(&state, &error))?;
        serde_json::from_slice(&bytes).map_err(|error| unreadable(&state, &error.to_string()))
    }

    /// The objects of a namespace, or of all, with those of `system`.
    ///
    /// # Errors
    /// As [`TargetArgs::listing`]; a namespace of a cluster that may not be read.
    pub fn listing_of(&self, namespace: Option<&str>) -> Result<Listing, Failure> {
        let Some(namespace) = namespace.filter(|_| self.is_cluster()) else { return self.listing() };
        run(async {
            let client = self.connection.client()?;
            let listing = ClusterRead::load(&client, Some(namespace)).await?.view().listing();
            let is_there = |object: &Value| text(object, "/metadata/namespace") == namespace;
            if !listing.objects.iter().any(is_there) {
                let caller = client.whoami().await?;
                if !caller.has_role("guest", namespace) {
                    let message = format!(
                        "{} may not read namespace {namespace}: missing grant, one of: guest:{namespace}, \
                         operator:{namespace}, admin:{namespace}, root",
                        caller.name
                    );
                    return Err(Failure::new(Exit::Failed, message));
                }
            }
            Ok(listing)
        })
    }

    /// Services of a cluster, those that there are; none for another target.
    ///
    /// # Errors
    /// The client's.
    pub fn services(&self, paths: BTreeSet<ObjectPath>) -> Result<BTreeMap<ObjectPath, ObjectItem>, Failure> {
        if !self.is_cluster() || paths.is_empty() {
            return Ok(BTreeMap::new());
        }
        run(async {
            let client = self.connection.client()?;
            let mut services = BTreeMap::new();
            for path in paths {
                match client.object(&path).await {
                    Ok(item) => drop(services.insert(path, item)),
                    Err(Error::UnknownObject { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(services)
        })
    }

    /// Calls back with the objects of a namespace, or of all, whenever they may have changed; for ever.
    ///
    /// # Errors
    /// What `tell` says; a target that does not answer any more.
    pub fn follow(
        &self,
        namespace: Option<&str>,
        mut tell: impl FnMut(Listing) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        if !self.is_cluster() {
            loop {
                std::thread::sleep(LOOK);
                tell(self.listing()?)?;
            }
        }
        run(async {
            let client = self.connection.client()?;
            let kinds = [
                EventKind::InstanceConfigUpdated,
                EventKind::InstanceConfigDeleted,
                EventKind::ObjectDeleted,
            ];
            let mut events = client.events(Subscription::to([Filter::kinds(kinds)]));
            loop {
                // Without a word from the cluster everything is read again now and then.
                match timeout(RESYNC, events.next()).await {
                    Ok(None) => return Ok(Exit::Done),
                    Ok(Some(Signal::Down(_))) => continue,
                    Ok(Some(Signal::Event(event)))
                        if !event
                            .path
                            .as_ref()
                            .is_some_and(|path| is_input(path) || path.name() == STATUS) =>
                    {
                        continue;
                    }
                    Ok(Some(_)) => sleep(QUIET).await,
                    Err(_) => {}
                }
                tell(ClusterRead::load(&client, namespace).await?.view().listing())?;
            }
        })
    }

    /// The snapshot that is served, or would be.
    ///
    /// # Errors
    /// [`Exit::Unreachable`] where there is nothing to ask.
    pub fn snapshot(&self) -> Result<Snapshot, Failure> {
        if !self.dir.is_empty() {
            return Ok(Offline::load(&self.dir, None, &self.cluster).compiled.snapshot);
        }
        if let Some(read) = self.cluster_read()? {
            return Ok(read.compiled().snapshot);
        }
        let state = self.state_folder()?;
        let bytes = fetch(&state.join("admin.sock"), "/api/v1/snapshot")
            .or_else(|_| std::fs::read(state.join("snapshot.json")))
            .map_err(|error| nothing_there(&state, &error))?;
        let envelope: Envelope =
            serde_json::from_slice(&bytes).map_err(|error| unreadable(&state, &error.to_string()))?;
        envelope.open().map_err(|error| unreadable(&state, &error.to_string()))
    }

    /// Certificates that the igw up of a state folder issues; nothing for another target.
    ///
    /// # Errors
    /// [`Exit::Unreachable`] where none runs.
    pub fn issued(&self) -> Result<Option<Vec<Shown>>, Failure> {
        if !self.dir.is_empty() || self.is_cluster() {
            return Ok(None);
        }
        let state = self.state_folder()?;
        let bytes = fetch(&state.join("admin.sock"), "/api/v1/certificates")
            .map_err(|error| nothing_there(&state, &error))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(&state, &error.to_string()))
    }

    /// Asks whoever issues certificates for a new one: the igw up of a state folder, or by a key of its `sec` object the
    /// operator of a cluster.
    ///
    /// # Errors
    /// [`Exit::Unreachable`] where none runs; a `sec` that igw did not make.
    pub fn renew(&self, namespace: &str, secret: &str) -> Result<(), Failure> {
        if self.is_cluster() {
            return run(async { ask_for_new(&self.connection.client()?, namespace, secret).await });
        }
        let state = self.state_folder()?;
        let path = format!("/api/v1/certificates/renew/{namespace}/{secret}");
        ask(&state.join("admin.sock"), "POST", &path).map_err(|error| nothing_there(&state, &error))?;
        Ok(())
    }

    /// Files are meant.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        !self.dir.is_empty()
    }

    /// The admin socket of the proxy that runs, if the target is not a directory.
    #[must_use]
    pub fn proxy_socket(&self) -> Option<PathBuf> {
        if self.dir.is_empty() && !self.is_cluster() {
            Some(self.state_folder().ok()?.join("proxy/admin.sock"))
        } else {
            None
        }
    }

    /// A cluster is meant: it is named, or nothing else is there and the agent of this node is.
    fn is_cluster(&self) -> bool {
        if !self.dir.is_empty() || self.state.is_some() {
            return false;
        }
        let runs_up = || default_folder().is_some_and(|state| state.join("admin.sock").exists());
        self.connection.is_named() || (!runs_up() && ConnectionArgs::has_local_agent())
    }

    fn cluster_read(&self) -> Result<Option<ClusterRead>, Failure> {
        if !self.is_cluster() {
            return Ok(None);
        }
        run(async {
            let client = self.connection.client()?;
            Ok(Some(ClusterRead::load(&client, None).await?))
        })
    }

    fn state_folder(&self) -> Result<PathBuf, Failure> {
        self.state.clone().or_else(default_folder).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "name a directory of objects with --dir, or a state folder with --state",
            )
        })
    }
}

async fn ask_for_new(client: &Client, namespace: &str, secret: &str) -> Result<(), Failure> {
    let invalid = |error: String| Failure::new(Exit::Usage, error);
    let path = ObjectPath::new(namespace, Kind::Sec, secret).map_err(|error| invalid(error.to_string()))?;
    let before = read(client, &path).await?;
    let Some(mark) = before.get(MARK) else {
        let message = format!("{path} was not made by igw, which renews only its own");
        return Err(Failure::new(Exit::Failed, message));
    };
    let value = Bytes::from(Timestamp::now().to_string());
    let change = KeyChange::Set { name: KeyName::parse(RENEW)?, value: value.clone() };
    for _ in 0..WISH_TRIES {
        write(client, &path, std::slice::from_ref(&change)).await?;
        sleep(READ_BACK).await;
        let now = read(client, &path).await?;
        // A new certificate may have taken it away already.
        if now.get(RENEW) == Some(&value) || now.get(MARK) != Some(mark) {
            return Ok(());
        }
    }
    let message = format!("{path} does not keep the wish: other writers are at work; try again");
    Err(Failure::new(Exit::Failed, message))
}

fn nothing_there(state: &Path, error: &std::io::Error) -> Failure {
    let message = format!(
        "no igw up runs on {} and it left nothing there ({error}); name a directory of objects with --dir, or \
         another state folder with --state",
        state.display()
    );
    Failure::new(Exit::Unreachable, message)
}

fn unreadable(state: &Path, error: &str) -> Failure {
    Failure::new(Exit::Unreachable, format!("what {} holds cannot be read: {error}", state.display()))
}

/// Writes of a wish until others must be in the way.
const WISH_TRIES: u32 = 3;
/// Between two looks at what an igw up serves.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time between two readings of a cluster.
const RESYNC: Duration = Duration::from_secs(45);
/// Changes come together.
const QUIET: Duration = Duration::from_millis(200);
