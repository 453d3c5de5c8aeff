//! Makes changes of clients last: as keys of the `cfg` objects of their namespace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use igw_crds::objects::Kind;
use igw_kube::{Change, Identity, Persist, Reason, Refusal, User};
use igw_opensvc::Client;
use tokio::sync::{mpsc, oneshot};

use super::pen::{Job, Pen};
use super::stores::Stores;
use crate::cluster::arrivals::Arrival;
use crate::cluster::plan::home;
use crate::dialect::document::{document, identity, key};
use crate::dialect::writes::Writes;

/// Hands changes to those who hold the pens.
pub struct Owner {
    client: Client,
    arrivals: mpsc::UnboundedSender<Arrival>,
    stores: Arc<Stores>,
    writes: Arc<Writes>,
    pens: Mutex<HashMap<String, mpsc::UnboundedSender<Job>>>,
}

// === impl Owner ===

impl Owner {
    /// One for the kinds of igw, Secrets and ConfigMaps; others are the store's alone.
    #[must_use]
    pub fn new(client: Client, arrivals: mpsc::UnboundedSender<Arrival>, stores: Arc<Stores>) -> Self {
        Self { client, arrivals, stores, writes: Arc::default(), pens: Mutex::default() }
    }

    /// Counts its writes.
    #[must_use]
    pub fn writes(&self) -> Arc<Writes> {
        Arc::clone(&self.writes)
    }

    /// The pen of a namespace, which somebody holds from the first change on.
    fn pen(&self, namespace: &str) -> mpsc::UnboundedSender<Job> {
        let mut pens = self.pens.lock().unwrap_or_else(PoisonError::into_inner);
        let pen = pens.entry(namespace.to_owned()).or_insert_with(|| {
            let (jobs, received) = mpsc::unbounded_channel();
            let pen =
                Pen::new(namespace, self.client.clone(), self.arrivals.clone(), self.writes(), received);
            tokio::spawn(pen.run());
            jobs
        });
        pen.clone()
    }
}

impl Persist for Owner {
    fn write<'a>(
        &'a self,
        _: &'a User,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Option<Identity>, Refusal>> {
        Box::pin(async move {
            // Statuses are the operator's own.
            let Some(key) = key(&change.place).filter(|_| !change.is_status) else { return Ok(None) };
            if matches!(key.kind, Kind::Secret | Kind::ConfigMap) {
                return self.stores.write(change).await;
            }
            let (done, answer) = oneshot::channel();
            let pen = self.pen(home(&key));
            let of = |object: &Option<Arc<serde_json::Value>>| object.as_deref().map(document);
            let job = Job { key, before: of(&change.before), after: of(&change.after), done };
            let ended =
                || Refusal::new(Reason::ServiceUnavailable, "the operator is about to end; try again");
            pen.send(job).map_err(|_| ended())?;
            let record = answer.await.map_err(|_| ended())??;
            Ok(record.as_ref().map(identity))
        })
    }
}
