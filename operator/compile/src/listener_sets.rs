//! ListenerSets: which gateway serves them, and what becomes of them (semantics A.14).

use std::collections::HashMap;

use igw_crds::objects::gateway::{FromListenerNamespaces, GatewaySpec};
use igw_crds::objects::listener_set::ListenerSetSpec;
use igw_crds::objects::{Kind, ObjectKey, Spec};

use crate::input::{ObjectSet, Stored};
use crate::listeners::{GATEWAY_GROUP, selects};
use crate::status::{Condition, ListenerSetStatus, ListenerStatus, Status};

/// Sets by namespace and name of the gateway that they name, oldest first.
pub(crate) struct Sets<'o>(HashMap<(String, String), Vec<Set<'o>>>);

/// A set that names a gateway.
#[derive(Clone, Copy)]
pub(crate) struct Set<'o> {
    pub(crate) key: &'o ObjectKey,
    pub(crate) stored: &'o Stored,
    pub(crate) spec: &'o ListenerSetSpec,
}

/// What a gateway of ours makes of a set.
pub(crate) struct SetNode {
    pub(crate) key: ObjectKey,
    pub(crate) generation: u64,
    /// The gateway takes no listeners of its namespace.
    pub(crate) is_refused: bool,
}

// === impl Sets ===

impl<'o> Sets<'o> {
    pub(crate) fn new(objects: &'o ObjectSet) -> Self {
        let mut sets: HashMap<_, Vec<Set<'o>>> = HashMap::new();
        for (key, stored) in objects.by_age(Kind::ListenerSet) {
            let Spec::ListenerSet(spec) = stored.spec() else { continue };
            let parent = &spec.parent_ref;
            if parent.group.as_str() == GATEWAY_GROUP && parent.kind.as_str() == "Gateway" {
                let namespace =
                    parent.namespace.as_ref().map_or(&*key.namespace, |namespace| namespace.as_str());
                let gateway = (namespace.to_owned(), parent.name.clone());
                sets.entry(gateway).or_default().push(Set { key, stored, spec });
            }
        }
        Self(sets)
    }

    pub(crate) fn of(&self, gateway: &ObjectKey) -> &[Set<'o>] {
        let key = (gateway.namespace.to_string(), gateway.name.to_string());
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// The gateway takes the listeners of a set.
pub(crate) fn takes(objects: &ObjectSet, gateway: &ObjectKey, spec: &GatewaySpec, set: &ObjectKey) -> bool {
    let Some(allowed) = &spec.allowed_listeners else { return false };
    match allowed.namespaces.from {
        FromListenerNamespaces::None => false,
        FromListenerNamespaces::All => true,
        FromListenerNamespaces::Same => set.namespace == gateway.namespace,
        FromListenerNamespaces::Selector => {
            let selector = allowed.namespaces.selector.clone().unwrap_or_default();
            selects(&selector, &objects.namespace_labels(&set.namespace))
        }
    }
}

/// Name of a set's listener, unique in the gateway.
pub(crate) fn listener_id(set: &ObjectKey, listener: &str) -> String {
    format!("{}/{}/{listener}", set.namespace, set.name)
}

// === impl SetNode ===

impl SetNode {
    /// The status of a set whose listeners are these; each with whether it can be served.
    pub(crate) fn status(
        &self,
        gateway: &ObjectKey,
        is_gateway_refused: bool,
        listeners: Vec<(ListenerStatus, bool)>,
    ) -> Status {
        let generation = self.generation;
        let bad: Vec<&str> = listeners
            .iter()
            .filter(|(_, is_valid)| !is_valid)
            .map(|(listener, _)| listener.name.as_str())
            .collect();
        let refused = |accepted: &'static str, programmed: &'static str, message: String| {
            vec![
                Condition::no("Accepted", accepted, message.clone(), generation),
                Condition::no("Programmed", programmed, message, generation),
            ]
        };
        let name = format!("{}/{}", gateway.namespace, gateway.name);
        let conditions = if self.is_refused {
            let message = format!(
                "gateway {name} takes no listeners of namespace {}; its owner must change `allowedListeners`",
                self.key.namespace
            );
            refused("NotAllowed", "NotAllowed", message)
        } else if is_gateway_refused {
            let message = format!("gateway {name} is not accepted; see its conditions");
            refused("ParentNotAccepted", "ParentNotProgrammed", message)
        } else if bad.len() == listeners.len() {
            let message = format!("no listener is valid: {}; see their conditions", bad.join(", "));
            refused("ListenersNotValid", "ListenersNotValid", message)
        } else {
            let accepted = if bad.is_empty() {
                Condition::yes("Accepted", "Accepted", "the listeners are valid", generation)
            } else {
                let message =
                    format!("some listeners are not valid: {}; see their conditions", bad.join(", "));
                Condition::yes("Accepted", "ListenersNotValid", message, generation)
            };
            vec![
                accepted,
                Condition::unknown("Programmed", "Pending", "no proxy has reported yet", generation),
            ]
        };
        Status::ListenerSet(ListenerSetStatus {
            gateway: name,
            conditions,
            listeners: listeners.into_iter().map(|(listener, _)| listener).collect(),
        })
    }
}
