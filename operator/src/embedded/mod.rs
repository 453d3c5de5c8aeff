//! igw inside another program: the gateway of one machine ([`Engine`]), or the operator of a cluster ([`Operator`]).
//!
//! Objects are written through [`Engine::write`] or the [`ClusterOwner`], which know their identity when they return;
//! Services with their endpoints come in through `tell_services`, in place of DNS; what is made of both shows in the
//! [`View`]. SIGTERM and SIGINT end them, as they end `igw up` and `igw operator`.

mod cluster;
mod machine;

use std::thread;

use anyhow::anyhow;
use tokio::task;

pub use crate::dialect::cluster::Owner as ClusterOwner;
pub use crate::dialect::{Mirror, Owner, Writes};
pub use crate::objects::view::{Record, Shown, View};
pub use crate::standalone::outside::Write;
pub use cluster::{Operator, OperatorSettings};
pub(crate) use machine::Link;
pub use machine::{Engine, Settings};

/// What runs, until a signal ends it.
#[derive(Debug)]
pub enum Running {
    /// The threads of an engine.
    Thread(thread::JoinHandle<anyhow::Result<()>>),
    /// The loop of an operator.
    Task(task::JoinHandle<anyhow::Result<()>>),
}

// === impl Running ===

impl Running {
    /// Waits until a signal has ended it, and its proxy with it if that is its own.
    ///
    /// # Errors
    /// What ended it otherwise.
    pub async fn ended(self) -> anyhow::Result<()> {
        match self {
            Self::Thread(thread) => {
                let joined = task::spawn_blocking(move || thread.join()).await?;
                joined.map_err(|_| anyhow!("the engine failed"))?
            }
            Self::Task(task) => task.await.map_err(|_| anyhow!("the operator failed"))?,
        }
    }
}
