//! Client of the OpenSVC v3 daemon: calls, event stream, credentials, rate budget.
//!
//! What: a typed door to the daemon's API over its Unix socket or TLS, knowing the API's traps so that callers need
//! not. Why an own crate: it knows nothing of what is built on it.
//!
//! Invariants: a write counts as done after 204 alone; no message holds a secret; every call ends in time and
//! within a bound of memory; all clones share one rate budget; absence is reported as "not known", never as "gone".
//!
//! The HTTP client is reqwest: it speaks HTTP/1.1 and cleartext HTTP/2 over Unix sockets as well as TLS. Over the
//! socket HTTP/1.1 is the default, see [`SocketProtocol`]. References as §6.5 are to the contract of the daemon's API.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use igw_opensvc::{Client, DEFAULT_SOCKET, EventKind, Filter, Signal, Subscription, Target};
//!
//! let client = Client::connect(Target::Unix(DEFAULT_SOCKET.into()))?;
//! let mut events = client.events(Subscription::to([Filter::kinds([EventKind::InstanceConfigUpdated])]));
//! while let Some(signal) = events.next().await {
//!     if let Signal::Relist(_) | Signal::Event(_) = signal {
//!         for object in client.objects("*/cfg/*").await? {
//!             println!("{} {:?}", object.path, object.csums());
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod budget;
mod calls;
mod client;
mod context;
mod error;
mod events;
mod failure;
mod link;
mod login;
mod model;
mod path;
mod request;
mod target;
mod tls;

pub use budget::{Budget, Counters, TCP_BURST, TCP_RATE, UNIX_BURST, UNIX_RATE};
pub use calls::{
    Action, Evaluate, InstanceAction, InstanceOptions, KeyChange, KeyName, KeywordChanges, OrchestrationId,
    RefreshToken, SessionId, StoredFile, TokenRequest,
};
pub use calls::{MAX_BATCH, MAX_QUERY, NO_OBJECTS};
pub use client::Client;
pub use context::{Context, ContextError, DEFAULT_PORT};
pub use error::{Error, Grant, Grants, Place, Retry};
pub use events::{
    Cause, Event, EventKind, EventStream, Filter, Frame, MAX_EVENT, Origin, Parsed, Patience, Received,
    Signal, SseParser, Subscription,
};
pub use login::Tokens;
pub use model::{
    AuthMethods, Availability, ClusterSettings, ClusterState, ClusterStatus, DaemonName, Flex, Frozen,
    GlobalExpect, Identity, Instance, InstanceItem, InstanceMonitor, InstanceSettings, InstanceStatus,
    KeyItem, KeywordItem, MonitorState, NodeItem, NodeListener, NodeMonitor, NodeStatus, NodeSummary,
    NodeView, ObjectItem, ObjectStatus, Orchestrate, Provisioned, ResourceItem, ResourceLog,
    ResourceProvisioned, ResourceSettings, ResourceStatus, Topology, ZoneRecord,
};
pub use path::{Kind, ObjectPath, PathError, ROOT};
pub use request::{Answer, Request};
pub use reqwest::Method;
pub use target::{
    ANSWER_LIMIT, CALL_TIMEOUT, CONNECT_TIMEOUT, Credentials, DEFAULT_SOCKET, Settings, SetupError,
    SocketProtocol, Target,
};
pub use tls::{ClientCertificate, TlsError, Trust};
