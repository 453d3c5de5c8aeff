//! Changes of inputs that came through this operator: it reads them at once and tells whoever wrote what it knows of
//! their objects then.
//!
//! ```text
//! arrive --> waiting --(a read begins)--> reading --(it ends)--> read --(a decision)--> answered
//!               ^-----------------(it fails)--+
//! ```

use std::collections::{BTreeMap, BTreeSet};

use igw_crds::objects::ObjectKey;
use igw_opensvc::ObjectPath;
use tokio::sync::oneshot;

use crate::objects::view::Record;

/// A change of one object that is on every node.
#[derive(Debug)]
pub struct Arrival {
    /// The object.
    pub key: ObjectKey,
    /// The `cfg` that holds it, or held it.
    pub path: ObjectPath,
    /// Keys of that `cfg` that are gone because the object is: their absence is meant.
    pub gone: BTreeSet<String>,
    /// Hears what is known of the object; nothing if it is deleted, or does not count.
    pub done: oneshot::Sender<Option<Record>>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Arrivals {
    waiting: BTreeMap<ObjectPath, Vec<Arrival>>,
    reading: BTreeMap<ObjectPath, Vec<Arrival>>,
    read: Vec<Arrival>,
    n_answered: u64,
}

// === impl Arrivals ===

impl Arrivals {
    /// Takes one in; its `cfg` has to be read.
    pub fn arrive(&mut self, arrival: Arrival) {
        self.waiting.entry(arrival.path.clone()).or_default().push(arrival);
    }

    /// A read of a `cfg` begins. Gives the keys whose absence is meant.
    pub fn begin(&mut self, path: &ObjectPath) -> BTreeSet<String> {
        let begun = self.waiting.remove(path).unwrap_or_default();
        let gone = begun.iter().flat_map(|arrival| arrival.gone.iter().cloned()).collect();
        self.reading.entry(path.clone()).or_default().extend(begun);
        gone
    }

    /// The read has ended well. True if the `cfg` has to be read once more.
    pub fn end(&mut self, path: &ObjectPath) -> bool {
        self.read.extend(self.reading.remove(path).unwrap_or_default());
        self.waiting.contains_key(path)
    }

    /// The read has failed: it has to be done again.
    pub fn fail(&mut self, path: &ObjectPath) {
        if let Some(failed) = self.reading.remove(path).filter(|failed| !failed.is_empty()) {
            self.waiting.entry(path.clone()).or_default().extend(failed);
        }
    }

    /// What was read has been taken in: tells what is known of the objects.
    pub fn answer(&mut self, records: &BTreeMap<ObjectKey, Record>) {
        for arrival in self.read.drain(..) {
            self.n_answered += 1;
            // Whoever wrote it may have gone.
            let _ = arrival.done.send(records.get(&arrival.key).cloned());
        }
    }

    /// Changes that have been taken in.
    #[must_use]
    pub fn n_answered(&self) -> u64 {
        self.n_answered
    }

    /// Whether somebody waits for a decision.
    #[must_use]
    pub fn has_read(&self) -> bool {
        !self.read.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use igw_crds::objects::Kind;
    use jiff::Timestamp;

    use super::*;

    fn arrival(name: &str, gone: &[&str]) -> (Arrival, oneshot::Receiver<Option<Record>>) {
        let (done, answer) = oneshot::channel();
        let key = ObjectKey::new(Kind::HttpRoute, "shop", name);
        let gone = gone.iter().map(|name| (*name).to_owned()).collect();
        (Arrival { key, path: "shop/cfg/igw".parse().unwrap(), gone, done }, answer)
    }

    #[test]
    fn nothing_is_answered_before_a_read_that_began_after_it() {
        let path: ObjectPath = "shop/cfg/igw".parse().unwrap();
        let record = Record { uid: "u".into(), created: Timestamp::UNIX_EPOCH, generation: 3 };
        let records = [(ObjectKey::new(Kind::HttpRoute, "shop", "a"), record.clone())].into();
        let mut arrivals = Arrivals::default();
        let (first, mut told) = arrival("a", &[]);
        let (second, mut gone) = arrival("b", &["httproute/b.yaml"]);
        arrivals.arrive(first);
        assert!(arrivals.begin(&path).is_empty());
        arrivals.arrive(second);
        // The read that failed is done again, for both.
        arrivals.fail(&path);
        arrivals.answer(&records);
        assert!(told.try_recv().is_err());
        assert_eq!(arrivals.begin(&path).into_iter().collect::<Vec<_>>(), ["httproute/b.yaml"]);
        let (third, mut late) = arrival("a", &[]);
        arrivals.arrive(third);
        assert!(arrivals.end(&path) && arrivals.has_read());
        arrivals.answer(&records);
        assert_eq!((told.try_recv().unwrap(), gone.try_recv().unwrap()), (Some(record), None));
        assert!(late.try_recv().is_err());
        assert_eq!(arrivals.n_answered(), 2);
        arrivals.begin(&path);
        assert!(!arrivals.end(&path));
        arrivals.answer(&records);
        assert!(late.try_recv().is_ok());
    }
}
