//! Filters of listeners: whom they ask, before a route is looked for (GEP-5224). Found once back ends can be named.

use igw_crds::objects::gateway::{Listener, ListenerFilterType, ListenerRequestFilter};
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::snapshot::Filter;

use crate::backends::Backends;
use crate::filters::{Elsewhere, elsewhere};
use crate::input::ObjectSet;
use crate::listeners::{GatewayNode, ListenerNode};

/// Why a listener is not served because of its filters.
pub(crate) fn unserved_filter(listener: &Listener) -> Option<String> {
    let filters = listener.filters.as_ref()?;
    let is_unserved = filters.requests.iter().any(|filter| filter.r#type == ListenerFilterType::ExtensionRef);
    let message = "filter ExtensionRef is not served by this version; remove it from `filters`";
    is_unserved.then(|| message.to_owned())
}

/// Gives listeners their filters. What leads nowhere answers an error: a filter is never skipped.
pub(crate) fn find<'o>(objects: &'o ObjectSet, gateways: &mut [GatewayNode], backends: &mut Backends<'o>) {
    for kind in [Kind::Gateway, Kind::ListenerSet] {
        for (owner, stored) in objects.of_kind(kind) {
            let listeners = match stored.spec() {
                Spec::Gateway(spec) => &spec.listeners,
                Spec::ListenerSet(spec) => &spec.listeners,
                _ => continue,
            };
            for listener in listeners {
                let wanted = listener.filters.as_ref().map_or(&[][..], |filters| &filters.requests);
                if wanted.is_empty() {
                    continue;
                }
                let Some(node) = node_of(gateways, owner, listener.name.as_str()) else { continue };
                let mut bad = Vec::new();
                let mut resolve = elsewhere(owner, backends, &mut bad);
                let one = |filter: &'o ListenerRequestFilter| {
                    let found =
                        filter.external_auth.as_ref().map(Elsewhere::Authorize).and_then(&mut resolve);
                    found.unwrap_or_else(|| Filter::Fail { status: 500, cause: "auth_invalid".to_owned() })
                };
                node.filters = wanted.iter().map(one).collect();
                drop(resolve);
                for bad in bad {
                    node.unresolve(bad.reason, bad.message);
                }
            }
        }
    }
}

/// The listener of an owner that is served, if a gateway of ours has it.
fn node_of<'g>(
    gateways: &'g mut [GatewayNode],
    owner: &ObjectKey,
    name: &str,
) -> Option<&'g mut ListenerNode> {
    gateways.iter_mut().find_map(|gateway| {
        let GatewayNode { key, sets, listeners, .. } = gateway;
        let is_owners = |listener: &&mut ListenerNode| {
            let of = listener.set.map_or(Some(&*key), |set| sets.get(set).map(|set| &set.key));
            of == Some(owner) && listener.name == name && !listener.is_refused()
        };
        listeners.iter_mut().find(is_owners)
    })
}
