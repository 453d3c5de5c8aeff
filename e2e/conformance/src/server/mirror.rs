//! Shows clients what the engine says: at first everything, then statuses.

use std::sync::Arc;
use std::time::Duration;

use igw::embedded::{Shown, View};
use igw_kube::{Place, Seen, Store};
use serde_json::Value;
use tokio::sync::watch;

use super::owner::identity;

/// From views of the engine to the store.
pub(crate) struct Mirror {
    store: Arc<Store>,
    view: watch::Receiver<Arc<View>>,
    /// What the store was told last, so that only what is new costs something.
    told: Vec<Arc<Shown>>,
}

// === impl Mirror ===

impl Mirror {
    pub(crate) fn new(store: Arc<Store>, view: watch::Receiver<Arc<View>>) -> Self {
        Self { store, view, told: Vec::new() }
    }

    /// Waits for statuses of what the folder held at the start, and shows all of it. Nobody else writes yet.
    pub(crate) async fn begin(&mut self) {
        let has_status = |view: &Arc<View>| view.shown.iter().any(|shown| shown.status.is_some());
        let Ok(view) = self.view.wait_for(has_status).await.map(|view| Arc::clone(&view)) else { return };
        let seen = view.shown.iter().filter_map(|shown| {
            Some(Seen {
                place: self.place(shown)?,
                object: shown.object.to_value(),
                status: shown.status.as_deref().cloned(),
                identity: shown.record.as_ref().map(identity).unwrap_or_default(),
            })
        });
        self.store.observe(&[], seen.collect(), self.store.revision());
    }

    /// Shows statuses as long as the engine runs.
    pub(crate) async fn run(mut self) {
        loop {
            let view = Arc::clone(&self.view.borrow_and_update());
            // An object that is being written shows in a moment.
            let patience = if self.show(&view) { NEVER } else { RETRY };
            if let Ok(Err(_)) = tokio::time::timeout(patience, self.view.changed()).await {
                return;
            }
        }
    }

    /// Shows the statuses that are new; false if some object of them does not show yet.
    fn show(&mut self, view: &View) -> bool {
        let mut before = std::mem::take(&mut self.told).into_iter().peekable();
        let mut is_whole = true;
        let mut told = Vec::with_capacity(view.shown.len());
        for shown in &view.shown {
            let key = &shown.object.key;
            while before.next_if(|earlier| earlier.object.key < *key).is_some() {}
            let is_old = before.next_if(|earlier| earlier.object.key == *key);
            if is_old.is_some_and(|earlier| Arc::ptr_eq(&earlier, shown)) || self.show_one(shown) {
                told.push(Arc::clone(shown));
            } else {
                is_whole = false;
            }
        }
        self.told = told;
        is_whole
    }

    fn show_one(&self, shown: &Shown) -> bool {
        let Some(status) = &shown.status else { return true };
        let Some(place) = self.place(shown) else { return true };
        let uid = shown.record.as_ref().map(|record| &*record.uid);
        let there = self.store.get(&place);
        // A status is for the object that it was made of, not for the next one of the same name.
        let is_it = there.is_some_and(|object| object["metadata"]["uid"].as_str() == uid);
        if is_it {
            self.store.set_status(&place, Value::clone(status));
        }
        is_it
    }

    fn place(&self, shown: &Shown) -> Option<Place> {
        let key = &shown.object.key;
        Some(Place::new(self.store.registry().of_kind(key.kind)?, &key.namespace, &key.name))
    }
}

/// Time after which nothing would be different.
const NEVER: Duration = Duration::from_secs(3_600);
/// Time between two looks at an object that does not show yet.
const RETRY: Duration = Duration::from_millis(20);
