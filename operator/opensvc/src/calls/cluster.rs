//! The cluster and its nodes (§5.4).

use std::collections::BTreeMap;

use reqwest::Method;

use crate::client::{Client, malformed};
use crate::error::Error;
use crate::model::{ClusterStatus, List, NodeItem, NodeSummary, RawNodeItem, ZoneRecord};
use crate::request::{Area, Request};

// === impl Client ===

impl Client {
    /// Reads the state of the cluster, with the objects that a selector names: `GET /api/cluster/status?selector=`.
    /// [`NO_OBJECTS`] makes it cheap.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn cluster_status(&self, selector: &str) -> Result<ClusterStatus, Error> {
        let request = Request::new(Method::GET, Area::Cluster, ["api", "cluster", "status"])
            .with_query("selector", selector);
        self.read(&request).await
    }

    /// Reads a keyword of the cluster: `GET /api/cluster/config?kw=`, as `cluster.name`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn cluster_keyword(&self, name: &str) -> Result<String, Error> {
        let request =
            Request::new(Method::GET, Area::Cluster, ["api", "cluster", "config"]).with_query("kw", name);
        let list: List<crate::model::KeywordItem> = self.read(&request).await?;
        let value = list.items.into_iter().find(|item| item.keyword == name).map(|item| item.value);
        match value {
            Some(serde_json::Value::String(text)) => Ok(text),
            Some(other) => Ok(other.to_string()),
            None => Err(malformed(&request, "the keyword asked for is not in it")),
        }
    }

    /// Reads what anybody may know of the nodes that are not lost: `GET /api/node/info`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn node_summaries(&self) -> Result<BTreeMap<String, NodeSummary>, Error> {
        self.read(&Request::new(Method::GET, Area::Cluster, ["api", "node", "info"])).await
    }

    /// Lists the nodes with their states: `GET /api/node`. For `root` alone.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn nodes(&self) -> Result<Vec<NodeItem>, Error> {
        let list: List<RawNodeItem> =
            self.read(&Request::new(Method::GET, Area::Cluster, ["api", "node"])).await?;
        Ok(list
            .items
            .into_iter()
            .map(|RawNodeItem { meta, view }| NodeItem { node: meta.node, view })
            .collect())
    }

    /// Asks whether a node can be reached through this one: `GET {N}/ping`. For `root` alone.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownNode`] for a node that is lost; see [`Error`].
    pub async fn ping(&self, node: &str) -> Result<(), Error> {
        self.write(&Request::node(Method::GET, node, &["ping"])).await
    }

    /// Reads the whole zone of the cluster: `GET {N}/daemon/dns/dump`. For `root` alone. Addresses of instances that
    /// are down are in it (§13).
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn dns_dump(&self, node: &str) -> Result<Vec<ZoneRecord>, Error> {
        self.read(&Request::node(Method::GET, node, &["daemon", "dns", "dump"])).await
    }
}

/// A selector without a match.
pub const NO_OBJECTS: &str = "none-matching";
