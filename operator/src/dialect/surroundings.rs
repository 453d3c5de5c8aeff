//! What a cluster has beside the objects of igw: namespaces, and services. Both show as what clients of Kubernetes know,
//! and cannot be written here, but for the labels of a namespace.

use std::collections::BTreeSet;

use igw_crds::objects::{Kind, ObjectKey};
use igw_kube::{Identity, Place, Registry, Seen};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use crate::objects::ledger::uid_of;
use crate::objects::view::{Surroundings, View};

/// Places that something of the surroundings has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told(BTreeSet<(&'static str, String, String)>);

// === impl Told ===

impl Told {
    /// What a view has of them; namespaces whose labels are written show with those.
    pub(super) fn of(view: &View) -> Self {
        let Surroundings { namespaces, services, .. } = &*view.surroundings;
        let is_written = |name: &String| {
            let key = ObjectKey::new(Kind::Namespace, "", name);
            view.shown.binary_search_by(|shown| shown.object.key.cmp(&key)).is_ok()
        };
        let namespaces = namespaces.iter().filter(|name| !is_written(name));
        let namespaces = namespaces.map(|name| (NAMESPACES, String::new(), name.clone()));
        let services = services.iter().map(|(namespace, name)| (SERVICES, namespace.clone(), name.clone()));
        Self(namespaces.chain(services).collect())
    }

    /// What is here and not there, as clients see it.
    pub(super) fn seen_beside(&self, other: &Self, registry: &Registry, cluster: &str) -> Vec<Seen> {
        self.beside(other, registry).map(|place| seen(place, cluster)).collect()
    }

    /// Where something is here and not there.
    pub(super) fn beside<'t>(
        &'t self,
        other: &'t Self,
        registry: &'t Registry,
    ) -> impl Iterator<Item = Place> + 't {
        self.0.difference(&other.0).filter_map(|(plural, namespace, name)| {
            Some(Place::new(registry.find("", plural)?, namespace, name))
        })
    }
}

fn seen(place: Place, cluster: &str) -> Seen {
    let (namespace, name) = (&place.namespace, &place.name);
    let is_service = &*place.resource.plural == SERVICES;
    let (object, status) = if is_service {
        let name = format!("{name}.{namespace}.svc.{cluster}");
        (json!({ "spec": { "type": "ExternalName", "externalName": name } }), json!({ "loadBalancer": {} }))
    } else {
        (json!({}), json!({ "phase": "Active" }))
    };
    // The same for as long as the name is.
    let uid = uid_of(xxh3_128(format!("{}/{namespace}/{name}", place.resource.plural).as_bytes()));
    let identity = Identity { uid: Some(uid), ..Identity::default() };
    Seen { place, object, status: Some(status), identity }
}

const NAMESPACES: &str = "namespaces";
const SERVICES: &str = "services";
