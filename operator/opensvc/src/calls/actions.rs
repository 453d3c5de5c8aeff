//! Orchestrated actions on objects (§10.1): asked of one node, done by all.
//!
//! One action at a time per object: a second one is refused and may take the id of the first away, whose end then
//! never comes (§10.2). So wait for the end event *or* for the state, [`crate::ObjectItem::orchestration`].

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::path::ObjectPath;
use crate::request::{Area, JSON, Request};

/// What a cluster can be asked to do with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Makes the resources, starts, unfreezes.
    Provision,
    /// Stops and destroys the resources; the object stays.
    Unprovision,
    /// Starts where it should run, and unfreezes.
    Start,
    /// Freezes, then stops everywhere.
    Stop,
    /// Stops and starts what runs.
    Restart {
        /// Also what the daemon would rather leave.
        force: bool,
    },
    /// Suspends orchestration.
    Freeze,
    /// Resumes orchestration.
    Unfreeze,
    /// Moves to other nodes.
    Switch {
        /// Where to; empty: the daemon chooses.
        destination: Vec<String>,
    },
    /// Moves back to where it belongs.
    Giveback,
    /// Deletes the object everywhere; a service is neither stopped nor unprovisioned.
    Delete,
    /// Unprovisions, then deletes.
    Purge,
    /// Ends the running orchestration.
    Abort,
}

/// The id of an orchestration, as events and monitors show it, unless it was taken away (§10.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrchestrationId(pub String);

#[derive(Deserialize)]
struct Accepted {
    orchestration_id: String,
}

// === impl Action ===

impl Action {
    /// The verb in the path.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Unprovision => "unprovision",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart { .. } => "restart",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Switch { .. } => "switch",
            Self::Giveback => "giveback",
            Self::Delete => "delete",
            Self::Purge => "purge",
            Self::Abort => "abort",
        }
    }

    fn body(&self) -> Option<String> {
        match self {
            Self::Restart { force } => Some(json!({ "force": force }).to_string()),
            Self::Switch { destination } => Some(json!({ "destination": destination }).to_string()),
            _ => None,
        }
    }
}

// === impl OrchestrationId ===

impl fmt::Display for OrchestrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Client ===

impl Client {
    /// Asks for an action: `POST {O}/action/{verb}`. Its end does not mean success: look at the state then.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] while another one runs, [`Error::Refused`] when the state does not allow it,
    /// [`Error::Undecided`] when it may start all the same, [`Error::UnknownObject`]; see [`Error`].
    pub async fn act(&self, path: &ObjectPath, action: &Action) -> Result<OrchestrationId, Error> {
        let mut request = Request::object(Method::POST, Area::Action, path, &["action", action.verb()]);
        if let Some(body) = action.body() {
            request = request.with_body(JSON, body);
        }
        Ok(OrchestrationId(self.read::<Accepted>(&request).await?.orchestration_id))
    }
}
