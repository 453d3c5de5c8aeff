//! What compile reads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use igw_crds::objects::{Kind, Object, ObjectKey, Spec};
use igw_crds::snapshot::Challenge;
use jiff::Timestamp;

use crate::material::Material;
use crate::services::Services;

/// Every object that is known, by key. Collected from pairs; of two with one key the later counts.
#[derive(Clone, Debug, Default)]
pub struct ObjectSet {
    objects: BTreeMap<ObjectKey, Stored>,
}

/// An object with what the ledger knows of it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object.
    pub object: Arc<Object>,
    /// Identity.
    pub uid: Arc<str>,
    /// When it was seen first; decides precedence.
    pub created: Timestamp,
    /// Counts changes of its spec, from 1.
    pub generation: u64,
}

/// What is known besides objects.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Name of the cluster.
    pub cluster: String,
    /// Servers of the default resolver; empty: the host's resolv.conf.
    pub nameservers: Vec<SocketAddr>,
    /// The cluster; nothing in standalone mode.
    pub members: Option<Members>,
    /// Services with their endpoints, where somebody tells them; nothing where DNS does.
    pub services: Option<Services>,
    /// Addresses of gateways that name none, by `namespace/name`: what became of [`crate::askers`].
    pub leases: BTreeMap<String, IpAddr>,
    /// Certificates and authorities, at least those of [`crate::references`].
    pub material: Material,
    /// What certificate authorities may ask every proxy for.
    pub challenges: Vec<Challenge>,
}

/// What a cluster has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Services by `namespace/name`.
    pub services: BTreeSet<String>,
    /// Services by the addresses of their instances. Needed only where a Backend names addresses.
    pub addresses: BTreeMap<IpAddr, BTreeSet<String>>,
    /// Addresses of nodes by name.
    pub nodes: BTreeMap<String, Vec<IpAddr>>,
}

// === impl ObjectSet ===

impl ObjectSet {
    /// Adds an object; one of the same key is replaced.
    pub fn insert(&mut self, key: ObjectKey, stored: Stored) {
        self.objects.insert(key, stored);
    }

    /// The object of a key.
    #[must_use]
    pub fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Stored> {
        self.objects.get(&ObjectKey::new(kind, namespace, name))
    }

    /// The content of the object of a key.
    #[must_use]
    pub fn spec(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Spec> {
        self.find(kind, namespace, name).map(|stored| &stored.object.spec)
    }

    /// Objects of a kind in order of namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&ObjectKey, &Stored)> {
        let first = ObjectKey { kind, namespace: "".into(), name: "".into() };
        self.objects.range(first..).take_while(move |(key, _)| key.kind == kind)
    }

    /// Objects of a kind in order of precedence: oldest first, then by namespace and name.
    #[must_use]
    pub fn by_age(&self, kind: Kind) -> Vec<(&ObjectKey, &Stored)> {
        let mut objects: Vec<_> = self.of_kind(kind).collect();
        // The sort is stable: equal ages keep the order of their names.
        objects.sort_by_key(|(_, stored)| stored.created);
        objects
    }

    /// Labels of a namespace, with the one that every namespace has.
    #[must_use]
    pub fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        let mut labels = self
            .find(Kind::Namespace, "", namespace)
            .map(|stored| stored.object.metadata.labels.clone())
            .unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        labels
    }
}

impl FromIterator<(ObjectKey, Stored)> for ObjectSet {
    fn from_iter<I: IntoIterator<Item = (ObjectKey, Stored)>>(pairs: I) -> Self {
        Self { objects: pairs.into_iter().collect() }
    }
}

// === impl Stored ===

impl Stored {
    /// The content.
    pub(crate) fn spec(&self) -> &Spec {
        &self.object.spec
    }
}
