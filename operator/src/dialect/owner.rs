//! Makes changes of clients last: in files, which the engine reads at once and whose identity it knows.

use std::sync::Arc;

use futures::future::BoxFuture;
use igw_kube::{Change, Identity, Persist, Reason, Refusal, User};

use super::document::{document, identity, key};
use super::writes::Writes;
use crate::embedded::Engine;

/// Asks the engine.
#[derive(Debug)]
pub struct Owner {
    engine: Engine,
    writes: Arc<Writes>,
}

// === impl Owner ===

impl Owner {
    /// One for the kinds of igw; others are the store's alone.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, writes: Arc::default() }
    }

    /// Counts its writes.
    #[must_use]
    pub fn writes(&self) -> Arc<Writes> {
        Arc::clone(&self.writes)
    }
}

impl Persist for Owner {
    fn write<'a>(
        &'a self,
        _: &'a User,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Option<Identity>, Refusal>> {
        Box::pin(async move {
            // Statuses are the engine's own.
            let Some(key) = key(&change.place).filter(|_| !change.is_status) else { return Ok(None) };
            let document = change.after.as_deref().map(document);
            let refused = |error: anyhow::Error| Refusal::new(Reason::Invalid, format!("{error:#}"));
            let write = self.engine.write(key, document.as_ref()).map_err(refused)?;
            let _done = self.writes.begin();
            Ok(write.await.map_err(refused)?.as_ref().map(identity))
        })
    }
}

#[cfg(test)]
mod tests {
    use igw_kube::{Place, Registry};
    use serde_json::json;
    use tokio::sync::watch;

    use super::*;
    use crate::embedded::Link;

    #[tokio::test]
    async fn what_the_engine_never_got_does_not_count() {
        let (events, _received) = std::sync::mpsc::channel();
        let (_, view) = watch::channel(Arc::default());
        // Without a folder there is no place for a new object.
        let owner = Owner::new(Engine::linked(None, Link { events, view }));
        let registry = Registry::builtin();
        let place = Place::new(registry.find("", "configmaps").unwrap(), "a", "x");
        let after = Some(Arc::new(json!({"metadata": {"name": "x"}})));
        let change = Change { place, before: None, after, is_status: false };
        let refusal = owner.write(&User::new("u"), &change).await.unwrap_err();
        assert!(refusal.message.contains("folder"), "{refusal}");
        assert_eq!(owner.writes().n_done(), 0);
    }
}
