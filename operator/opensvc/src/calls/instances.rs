//! Instances and resources (§5.3), and actions on one node (§10.3).

use std::fmt;

use reqwest::Method;
use serde::Deserialize;

use super::objects::known;
use crate::client::Client;
use crate::error::Error;
use crate::model::{Instance, InstanceItem, List, RawInstanceItem, RawResourceItem, ResourceItem};
use crate::path::ObjectPath;
use crate::request::{Area, Request};

/// What one node can be asked to do with its instance, at once and without orchestration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceAction {
    /// Evaluates the status.
    Status,
    /// Starts.
    Start,
    /// Stops; the resources are then left alone by the daemon.
    Stop,
    /// Stops and starts.
    Restart,
    /// Makes the resources.
    Provision,
    /// Destroys the resources.
    Unprovision,
    /// Suspends orchestration there.
    Freeze,
    /// Resumes orchestration there.
    Unfreeze,
    /// Runs tasks.
    Run,
}

/// What an action is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceOptions {
    /// Resource ids or driver groups, comma-separated.
    pub rid: Option<String>,
    /// Subsets, comma-separated.
    pub subset: Option<String>,
    /// Tags, comma-separated.
    pub tag: Option<String>,
}

/// The id of the process on the node, as `ExecSuccess` and `ExecFailed` of that node's stream show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionId(pub String);

#[derive(Deserialize)]
struct Started {
    session_id: String,
}

// === impl InstanceAction ===

impl InstanceAction {
    /// The verb in the path.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Provision => "provision",
            Self::Unprovision => "unprovision",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Run => "run",
        }
    }
}

// === impl SessionId ===

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Client ===

impl Client {
    /// Lists instances: `GET /api/instance?path=&node=`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn instances(&self, selector: &str, node: Option<&str>) -> Result<Vec<InstanceItem>, Error> {
        let mut request =
            Request::new(Method::GET, Area::Object, ["api", "instance"]).with_query("path", selector);
        if let Some(node) = node {
            request = request.with_query("node", node);
        }
        let list: List<RawInstanceItem> = self.read(&request).await?;
        let items = list.items.into_iter();
        Ok(items
            .filter_map(|RawInstanceItem { meta, instance }| {
                Some(InstanceItem { object: known(&meta.object)?, node: meta.node, instance })
            })
            .collect())
    }

    /// Reads one instance: `GET {I}`. Any user may, whatever the namespace.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownInstance`], [`Error::UnknownNode`]; see [`Error`].
    pub async fn instance(&self, node: &str, path: &ObjectPath) -> Result<Instance, Error> {
        let request = Request::instance(Method::GET, node, path, &[]);
        let raw: RawAnswer = self.read(&request).await?;
        Ok(raw.instance)
    }

    /// Lists resources: `GET /api/resource?path=&node=&resource=`. The selector must name services and volumes only,
    /// each with a status: the daemon drops the connection on others (§5.3). [`Client::object`] tells the same.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] for such a selector; see [`Error`].
    pub async fn resources(
        &self,
        selector: &str,
        node: Option<&str>,
        resource: Option<&str>,
    ) -> Result<Vec<ResourceItem>, Error> {
        let mut request =
            Request::new(Method::GET, Area::Object, ["api", "resource"]).with_query("path", selector);
        for (name, value) in [("node", node), ("resource", resource)] {
            if let Some(value) = value {
                request = request.with_query(name, value);
            }
        }
        let list: List<RawResourceItem> = self.read(&request).await?;
        let items = list.items.into_iter();
        Ok(items
            .filter_map(|RawResourceItem { meta, parts }| {
                let object = known(&meta.object)?;
                let (settings, status) = (parts.settings, parts.status);
                Some(ResourceItem { object, node: meta.node, rid: meta.rid, settings, status })
            })
            .collect())
    }

    /// Asks one node to act on its instance: `POST {I}/action/{verb}`. Use the node's real name; `_` and `localhost`
    /// do not work for every verb.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownNode`], [`Error::UnknownInstance`]; see [`Error`].
    pub async fn act_on_instance(
        &self,
        node: &str,
        path: &ObjectPath,
        action: InstanceAction,
        options: &InstanceOptions,
    ) -> Result<SessionId, Error> {
        let mut request = Request::instance(Method::POST, node, path, &["action", action.verb()]);
        for (name, value) in [("rid", &options.rid), ("subset", &options.subset), ("tag", &options.tag)] {
            if let Some(value) = value {
                request = request.with_query(name, value);
            }
        }
        Ok(SessionId(self.read::<Started>(&request).await?.session_id))
    }

    /// Resets the monitor of an instance after a failed action: `POST {I}/clear`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn clear(&self, node: &str, path: &ObjectPath) -> Result<(), Error> {
        self.call(&Request::instance(Method::POST, node, path, &["clear"])).await.map(|_| ())
    }
}

#[derive(Deserialize)]
struct RawAnswer {
    #[serde(rename = "data")]
    instance: Instance,
}
