//! What complete lists of names say: which objects a cluster has, and which services of others are among them.
//!
//! A name that is missing once proves nothing: lists right after a daemon's start are short, and those of a partition
//! too. What two equal lists do not have for [`LIST_GRACE`] is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use igw_opensvc::{Kind, ObjectPath};

use super::inputs::LIST_GRACE;

/// All names, and services of others.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// Services, with the moment since when lists do not have them.
    services: BTreeMap<ObjectPath, Option<Instant>>,
    last: BTreeSet<ObjectPath>,
    /// Since when lists name the same objects.
    equal_since: Option<Instant>,
    listed_at: Option<Instant>,
}

// === impl Neighbours ===

impl Neighbours {
    /// A service has shown itself; true if it is new.
    pub fn meet(&mut self, service: &ObjectPath) -> bool {
        self.services.insert(service.clone(), None).is_none()
    }

    /// Lists have to agree anew before they prove anything.
    pub fn distrust(&mut self) {
        self.equal_since = None;
        self.listed_at = None;
    }

    /// Takes a list in; true if services came or went. One that does not cover every node ends none.
    pub fn list(&mut self, names: BTreeSet<ObjectPath>, is_complete: bool, now: Instant) -> bool {
        let is_equal = names == self.last && !names.is_empty();
        if !is_equal {
            self.equal_since = None;
        }
        if !names.is_empty() {
            self.equal_since.get_or_insert(now);
        }
        self.listed_at = Some(now);
        let mut changed = false;
        for path in names.iter().filter(|path| path.kind() == Kind::Svc) {
            changed |= self.meet(path);
        }
        if is_complete {
            let n_before = self.services.len();
            self.services.retain(|path, since| {
                if names.contains(path) {
                    return true;
                }
                let first = *since.get_or_insert(now);
                if !is_equal {
                    *since = Some(now);
                }
                !(is_equal && now.saturating_duration_since(first) >= LIST_GRACE)
            });
            changed |= n_before != self.services.len();
        }
        self.last = names;
        changed
    }

    /// For how long lists have been equal.
    #[must_use]
    pub fn equal_for(&self, now: Instant) -> Option<Duration> {
        self.equal_since.map(|since| now.saturating_duration_since(since))
    }

    /// How old the last list is.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.listed_at.map(|at| now.saturating_duration_since(at))
    }

    /// Whether the last list has an object.
    #[must_use]
    pub fn names(&self, path: &ObjectPath) -> bool {
        self.last.contains(path)
    }

    /// Namespaces that have something.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(ObjectPath::namespace)
    }

    /// The services.
    pub fn services(&self) -> impl Iterator<Item = &ObjectPath> {
        self.services.keys()
    }

    /// Whether a service is missing, and not proven to be gone.
    #[must_use]
    pub fn has_missing(&self) -> bool {
        self.services.values().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<ObjectPath> {
        list.iter().map(|path| path.parse().unwrap()).collect()
    }

    #[test]
    fn a_service_goes_once_equal_lists_have_done_without_it_for_long_enough() {
        let mut neighbours = Neighbours::default();
        let start = Instant::now();
        assert!(neighbours.list(names(&["shop/svc/web", "shop/cfg/igw"]), true, start));
        assert!(!neighbours.list(names(&["shop/cfg/igw"]), true, start + LIST_GRACE * 2));
        // The first list without it is another one than that before: time begins with it.
        assert!(neighbours.has_missing());
        assert!(!neighbours.list(names(&["shop/cfg/igw"]), false, start + LIST_GRACE * 4));
        assert!(neighbours.list(names(&["shop/cfg/igw"]), true, start + LIST_GRACE * 5));
        assert_eq!(neighbours.services().count(), 0);
    }

    #[test]
    fn an_empty_list_proves_nothing() {
        let mut neighbours = Neighbours::default();
        let start = Instant::now();
        neighbours.list(names(&["shop/svc/web"]), true, start);
        for n in 1..5 {
            assert!(!neighbours.list(BTreeSet::new(), true, start + LIST_GRACE * n));
        }
        assert_eq!((neighbours.services().count(), neighbours.equal_for(start)), (1, None));
    }
}
