//! Makes the calls that the engine wants made. Each is one short conversation with the daemon.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use igw_opensvc::{Action, Client, Error, Evaluate, InstanceAction, InstanceOptions, NO_OBJECTS, ObjectPath};

use super::engine::{Answer, Around, Call, Owners};
use super::materials::is_of_use;
use super::owned::{Done as OwnedDone, Step as OwnedStep};
use super::service_text::text;
use super::services::{Done as ServiceDone, Step as ServiceStep};

/// Makes a call. `selector` is for lists.
///
/// # Errors
/// The client's.
pub async fn make(client: &Client, call: &Call, selector: &str) -> Result<Answer, Error> {
    match call {
        Call::LookAround => Ok(Answer::Around(Box::new(look_around(client).await?))),
        Call::List => Ok(Answer::List(client.objects(selector).await?)),
        Call::Names => Ok(Answer::Names(client.paths("**").await?)),
        Call::Addresses => Ok(Answer::Addresses(owners(client).await?)),
        Call::Read(path, _) => Ok(Answer::Keys(client.read_keys(path, |_| true).await?)),
        Call::Material(path, _) => Ok(Answer::Keys(client.read_keys(path, is_of_use).await?)),
        Call::Owned(path, step) => Ok(Answer::Owned(own(client, path, step).await?)),
        Call::Service(path, step) => Ok(Answer::Service(serve(client, path, step).await?)),
    }
}

async fn own(client: &Client, path: &ObjectPath, step: &OwnedStep) -> Result<OwnedDone, Error> {
    match step {
        OwnedStep::Create => client.create(path, Bytes::new()).await.map(|()| OwnedDone::Ok),
        OwnedStep::Read => Ok(OwnedDone::Values(client.read_keys(path, |_| true).await?)),
        OwnedStep::Write(changes) => client.change_keys(path, changes).await.map(|()| OwnedDone::Ok),
        OwnedStep::Confirm(names) => Ok(OwnedDone::Values(client.key_values(path, names).await?)),
        OwnedStep::Delete => match client.act(path, &Action::Purge).await {
            Err(error) if error.is_stuck() => {
                unstick(client, path).await?;
                Err(error)
            }
            purged => purged.map(|_| OwnedDone::Ok),
        },
    }
}

async fn serve(client: &Client, path: &ObjectPath, step: &ServiceStep) -> Result<ServiceDone, Error> {
    match step {
        ServiceStep::Inspect => match client.object(path).await {
            Ok(item) => Ok(ServiceDone::Item(Some(Box::new(item)))),
            Err(error) => Err(error),
        },
        ServiceStep::ReadKeywords => {
            Ok(ServiceDone::Keywords(client.keywords(path, &[], Evaluate::No).await?))
        }
        ServiceStep::Create(sections) => {
            client.create(path, text(sections).into()).await.map(|()| ServiceDone::Ok)
        }
        ServiceStep::Replace(sections, removed) => {
            stop_removed(client, path, removed).await?;
            client.replace(path, text(sections).into()).await.map(|()| ServiceDone::Ok)
        }
        ServiceStep::Provision => client.act(path, &Action::Provision).await.map(|_| ServiceDone::Ok),
        ServiceStep::Recover(nodes) => {
            for node in nodes {
                client.clear(node, path).await?;
            }
            client.act(path, &Action::Provision).await.map(|_| ServiceDone::Ok)
        }
        ServiceStep::Unstick => unstick(client, path).await.map(|()| ServiceDone::Ok),
        ServiceStep::Purge => client.act(path, &Action::Purge).await.map(|_| ServiceDone::Ok),
    }
}

/// Writes a file as it is. Nodes that lack it fetch it, and what hangs ends.
async fn unstick(client: &Client, path: &ObjectPath) -> Result<(), Error> {
    let stored = client.stored(path).await?;
    client.replace(path, stored.text).await
}

/// Resources that leave the text while they run would be orphans.
async fn stop_removed(client: &Client, path: &ObjectPath, removed: &[String]) -> Result<(), Error> {
    if removed.is_empty() {
        return Ok(());
    }
    let item = client.object(path).await?;
    for node in item.instances.keys() {
        let options = InstanceOptions { rid: Some(removed.join(",")), ..InstanceOptions::default() };
        client.act_on_instance(node, path, InstanceAction::Stop, &options).await?;
    }
    Ok(())
}

/// Whose addresses are whose.
///
/// # Errors
/// The client's.
pub async fn owners(client: &Client) -> Result<Owners, Error> {
    let mut owners = Owners::new();
    for item in client.objects("*/svc/*").await? {
        let name = format!("{}/{}", item.path.namespace(), item.path.name());
        for address in item.instances.values().flat_map(igw_opensvc::Instance::addresses) {
            owners.entry(address).or_default().insert(name.clone());
        }
    }
    Ok(owners)
}

/// Looks at cluster and nodes.
///
/// # Errors
/// The client's.
pub async fn look_around(client: &Client) -> Result<Around, Error> {
    let status = client.cluster_status(NO_OBJECTS).await?;
    let summaries = client.node_summaries().await?;
    let lost: Vec<String> = status.cluster.lost_nodes().into_iter().map(ToOwned::to_owned).collect();
    let mut addresses = BTreeMap::new();
    for node in &status.cluster.settings.nodes {
        let listener = summaries.get(node).and_then(|summary| summary.listener.as_ref());
        let stated = listener.and_then(|listener| listener.addr.parse::<IpAddr>().ok());
        let found = match stated.filter(|address| !address.is_unspecified()) {
            Some(address) => vec![address],
            None => resolve(node).await,
        };
        if !found.is_empty() {
            addresses.insert(node.clone(), found);
        }
    }
    Ok(Around {
        cluster: status.cluster.settings.name,
        node: status.daemon.nodename,
        nodes: status.cluster.settings.nodes,
        lost,
        nameservers: status.cluster.settings.dns.iter().filter_map(|text| text.parse().ok()).collect(),
        addresses,
    })
}

/// Nodes know each other by name.
async fn resolve(node: &str) -> Vec<IpAddr> {
    let Ok(found) = tokio::net::lookup_host((node, 0)).await else { return Vec::new() };
    let mut addresses: Vec<IpAddr> =
        found.map(|address: SocketAddr| address.ip()).filter(|address| !address.is_loopback()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
