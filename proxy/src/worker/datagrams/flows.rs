//! The flows of one socket by client, within bounds: where there are too many, the one that was silent for longest goes.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// What is kept for a client.
pub(super) trait Entry {
    /// Unique among the entries of a table.
    fn id(&self) -> u64;

    /// Whether it was used since it was asked last.
    fn was_used(&self) -> bool;
}

/// Entries by client.
pub(super) struct Flows<E> {
    by_client: HashMap<SocketAddr, Rc<E>>,
    sources: HashMap<IpAddr, Source>,
    order: Order,
}

#[derive(Default)]
struct Source {
    n_flows: usize,
    order: Order,
}

/// Clients in the order in which they are asked to make room. Those of entries that are gone are passed over.
#[derive(Default)]
struct Order(VecDeque<(SocketAddr, u64)>);

// === impl Flows ===

impl<E: Entry> Flows<E> {
    pub(super) fn get(&self, client: SocketAddr) -> Option<&Rc<E>> {
        self.by_client.get(&client)
    }

    /// Adds an entry, and gives what has to go for it: of the same source where that has as many as it may (0 = without
    /// limit), of anybody where all have.
    pub(super) fn insert(
        &mut self,
        client: SocketAddr,
        entry: Rc<E>,
        per_source: usize,
        in_all: usize,
    ) -> Vec<Rc<E>> {
        let mut gone = Vec::new();
        if let Some(source) = self.sources.get_mut(&client.ip())
            && per_source > 0
            && source.n_flows >= per_source
        {
            gone.extend(source.order.coldest(&self.by_client));
        }
        if gone.is_empty() && self.by_client.len() >= in_all {
            gone.extend(self.order.coldest(&self.by_client));
        }
        for (client, entry) in &gone {
            self.remove(*client, entry.id());
        }
        let id = entry.id();
        if let Some(before) = self.by_client.insert(client, entry) {
            // One client has one entry.
            self.forget(client);
            gone.push((client, before));
        }
        let source = self.sources.entry(client.ip()).or_default();
        source.n_flows += 1;
        source.order.push(client, id, source.n_flows, &self.by_client);
        self.order.push(client, id, self.by_client.len(), &self.by_client);
        gone.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Removes the entry of a client if it is still the one of this id.
    pub(super) fn remove(&mut self, client: SocketAddr, id: u64) {
        if self.by_client.get(&client).is_some_and(|entry| entry.id() == id) {
            self.by_client.remove(&client);
            self.forget(client);
        }
    }

    fn forget(&mut self, client: SocketAddr) {
        if let Some(source) = self.sources.get_mut(&client.ip()) {
            source.n_flows -= 1;
            if source.n_flows == 0 {
                self.sources.remove(&client.ip());
            }
        }
    }
}

impl<E> Default for Flows<E> {
    fn default() -> Self {
        Self { by_client: HashMap::new(), sources: HashMap::new(), order: Order::default() }
    }
}

// === impl Order ===

impl Order {
    fn push<E: Entry>(
        &mut self,
        client: SocketAddr,
        id: u64,
        n_live: usize,
        known: &HashMap<SocketAddr, Rc<E>>,
    ) {
        if self.0.len() > n_live * 2 + SPARE {
            self.0.retain(|(client, id)| known.get(client).is_some_and(|entry| entry.id() == *id));
        }
        self.0.push_back((client, id));
    }

    /// The first that nobody used since it was asked last; each is asked once, and then the first.
    fn coldest<E: Entry>(&mut self, known: &HashMap<SocketAddr, Rc<E>>) -> Option<(SocketAddr, Rc<E>)> {
        for _ in 0..=self.0.len() * 2 {
            let (client, id) = self.0.pop_front()?;
            let Some(entry) = known.get(&client).filter(|entry| entry.id() == id) else { continue };
            if !entry.was_used() {
                return Some((client, Rc::clone(entry)));
            }
            self.0.push_back((client, id));
        }
        None
    }
}

/// Clients whose entries are gone that an order may hold besides twice the live ones.
const SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Probe {
        id: u64,
        used: Cell<bool>,
    }

    impl Entry for Probe {
        fn id(&self) -> u64 {
            self.id
        }

        fn was_used(&self) -> bool {
            self.used.take()
        }
    }

    fn client(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn probe(id: u64) -> Rc<Probe> {
        Rc::new(Probe { id, used: Cell::new(false) })
    }

    #[track_caller]
    fn check_gone(gone: &[Rc<Probe>], expected: &[u64]) {
        assert_eq!(gone.iter().map(|entry| entry.id).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_source_with_too_many_gives_up_its_coldest() {
        let mut flows = Flows::default();
        let first = probe(1);
        check_gone(&flows.insert(client("10.0.0.1:1"), Rc::clone(&first), 2, 100), &[]);
        check_gone(&flows.insert(client("10.0.0.1:2"), probe(2), 2, 100), &[]);
        check_gone(&flows.insert(client("10.0.0.2:1"), probe(3), 2, 100), &[]);
        first.used.set(true);
        check_gone(&flows.insert(client("10.0.0.1:3"), probe(4), 2, 100), &[2]);
        assert!(flows.get(client("10.0.0.1:2")).is_none() && flows.get(client("10.0.0.2:1")).is_some());
        check_gone(&flows.insert(client("10.0.0.1:4"), probe(5), 0, 100), &[]);
    }

    #[test]
    fn all_together_are_bounded() {
        let mut flows = Flows::default();
        for id in 0..10_u16 {
            let gone = flows.insert(client(&format!("10.0.{id}.1:1")), probe(id.into()), 2, 4);
            assert_eq!(gone.len(), usize::from(id >= 4));
        }
        assert_eq!((flows.by_client.len(), flows.sources.len()), (4, 4));
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing() {
        let mut flows = Flows::default();
        for id in 0..10_000 {
            let from = client(&format!("10.0.0.1:{}", 1 + id % 7));
            flows.insert(from, probe(id), 100, 100);
            flows.remove(from, id);
            flows.remove(from, id);
        }
        assert!(flows.by_client.is_empty() && flows.sources.is_empty());
        assert!(flows.order.0.len() <= SPARE + 3, "{}", flows.order.0.len());
    }

    #[test]
    fn the_same_client_has_one_entry() {
        let mut flows = Flows::default();
        flows.insert(client("10.0.0.1:1"), probe(1), 2, 100);
        check_gone(&flows.insert(client("10.0.0.1:1"), probe(2), 2, 100), &[1]);
        flows.remove(client("10.0.0.1:1"), 1);
        assert_eq!(flows.get(client("10.0.0.1:1")).map(|entry| entry.id), Some(2));
    }
}
