//! Shows clients what the engine sees: files that people edit, and statuses.

use std::sync::Arc;
use std::time::Duration;

use igw_crds::objects::{Kind, ObjectKey};
use igw_kube::{Place, Seen, Store};
use serde_json::Value;
use tokio::sync::watch;

use super::document::identity;
use super::services;
use super::surroundings;
use super::writes::Writes;
use crate::objects::view::{Shown, View};

/// From views of the engine to the store.
pub struct Mirror {
    store: Arc<Store>,
    view: watch::Receiver<Arc<View>>,
    writes: Arc<Writes>,
    /// What the store was told last, so that only what is new costs something.
    told: Vec<Arc<Shown>>,
    /// And of what is around.
    around: surroundings::Told,
}

// === impl Mirror ===

impl Mirror {
    /// A mirror of views for a store whose clients' writes are counted.
    #[must_use]
    pub fn new(store: Arc<Store>, view: watch::Receiver<Arc<View>>, writes: Arc<Writes>) -> Self {
        Self { store, view, writes, told: Vec::new(), around: surroundings::Told::default() }
    }

    /// Waits for what there is at the start, and shows all of it; false if the engine ended before.
    pub async fn begin(&mut self) -> bool {
        let Ok(view) = self.view.wait_for(|view| view.epoch > 0).await.map(|view| Arc::clone(&view)) else {
            return false;
        };
        self.show(&view)
    }

    /// Shows what is new as long as the engine runs.
    pub async fn run(mut self) {
        loop {
            let view = Arc::clone(&self.view.borrow_and_update());
            let is_whole = self.show(&view);
            if is_whole {
                if self.view.changed().await.is_err() {
                    return;
                }
            } else if let Ok(Err(_)) = tokio::time::timeout(RETRY, self.view.changed()).await {
                return;
            }
        }
    }

    /// Shows what is new; false if a client's write is on its way, so that the view may be older than what shows.
    fn show(&mut self, view: &View) -> bool {
        let since = self.store.revision();
        let is_newest = view.n_writes == self.writes.n_done();
        let mut before = std::mem::take(&mut self.told).into_iter().peekable();
        let mut told = Vec::with_capacity(view.shown.len());
        let mut seen = Vec::new();
        let mut gone = Vec::new();
        for shown in &view.shown {
            let key = &shown.object.key;
            while let Some(lost) = before.next_if(|earlier| earlier.object.key < *key) {
                gone.push(lost);
            }
            let earlier = before.next_if(|earlier| earlier.object.key == *key);
            match earlier {
                Some(earlier) if Arc::ptr_eq(&earlier, shown) => told.push(earlier),
                earlier => {
                    seen.extend(self.seen(shown));
                    seen.extend(services::seen(self.store.registry(), shown));
                    // What is not told for good is told again with the next view.
                    told.extend(if is_newest { Some(Arc::clone(shown)) } else { earlier });
                }
            }
        }
        gone.extend(before);
        if is_newest {
            self.store.observe(&[], seen, since);
            for key in gone.iter().map(|lost| &lost.object.key) {
                let of_gateway = || services::place(self.store.registry(), key);
                let service = if key.kind == Kind::Gateway { of_gateway() } else { None };
                for place in self.place(key).into_iter().chain(service) {
                    self.store.forget(&place, since);
                }
            }
            self.show_surroundings(view, since);
        } else {
            for one in seen {
                self.show_status(one);
            }
            told.extend(gone);
            told.sort_by(|one, other| one.object.key.cmp(&other.object.key));
        }
        self.told = told;
        is_newest
    }

    fn show_surroundings(&mut self, view: &View, since: u64) {
        let around = surroundings::Told::of(view);
        if around == self.around {
            return;
        }
        let registry = self.store.registry();
        let new = around.seen_beside(&self.around, registry, &view.surroundings.cluster);
        let gone: Vec<Place> = self.around.beside(&around, registry).collect();
        self.store.observe(&[], new, since);
        for place in gone {
            // A namespace whose labels are written now is there as an object.
            let is_there = |shown: &Arc<Shown>| self.place(&shown.object.key).as_ref() == Some(&place);
            if !self.told.iter().chain(&view.shown).any(is_there) {
                self.store.forget(&place, since);
            }
        }
        self.around = around;
    }

    /// A status is for the object that it was made of, not for the next one of the same name.
    fn show_status(&self, seen: Seen) {
        let there = self.store.get(&seen.place);
        let is_it = there.is_some_and(|object| {
            object.pointer("/metadata/uid").and_then(Value::as_str) == seen.identity.uid.as_deref()
        });
        if let Some(status) = seen.status.filter(|_| is_it) {
            self.store.set_status(&seen.place, status);
        }
    }

    fn seen(&self, shown: &Shown) -> Option<Seen> {
        Some(Seen {
            place: self.place(&shown.object.key)?,
            object: shown.object.to_value(),
            status: shown.status.as_deref().cloned(),
            identity: shown.record.as_ref().map(identity).unwrap_or_default(),
        })
    }

    fn place(&self, key: &ObjectKey) -> Option<Place> {
        Some(Place::new(self.store.registry().of_kind(key.kind)?, &key.namespace, &key.name))
    }
}

/// Time between two looks while a write is on its way.
const RETRY: Duration = Duration::from_millis(20);
