//! The gateway of one machine: `igw up`.
//!
//! ```text
//! files --(watch, walk)--> store --(ledger)--> compile --> snapshot --(sync_server)--> igw-proxy
//!                                                 |                                       |
//!                                              statuses <---------- reports --------------+
//! ```
//!
//! Two threads. The reconciler reads files, compiles and decides; it takes [`Event`]s from everywhere and
//! publishes two values, the newest snapshot and the newest view. The shell serves both, supervises the proxy
//! and takes signals; it never waits for the reconciler. The proxy is a process of its own that outlives both.

pub mod app;
pub mod files;
pub mod issuance;
pub mod keeper;
pub mod memory;
pub mod offline;
pub mod outside;
pub mod proxy;
pub mod reconciler;
pub mod shelf;
pub mod state;
pub mod store;
pub mod watch;

use std::path::PathBuf;

use igw_compile::Services;
use igw_crds::sync::SyncRequest;

use outside::Write;

/// What the reconciler is told.
#[derive(Debug)]
pub enum Event {
    /// Files may have changed; the paths, where they are known.
    Files(Vec<PathBuf>),
    /// Read everything again, and take what vanished for deleted.
    Confirm,
    /// The proxy says what it runs and how it fares.
    Report(Box<SyncRequest>),
    /// Challenges, Secrets or states of certificates are new.
    Certificates,
    /// Somebody writes an object, and waits to hear of it.
    Write(Box<Write>),
    /// These are the Services there are.
    Services(Services),
    /// The proxy ended.
    ProxyGone,
    /// End.
    Stop,
}
