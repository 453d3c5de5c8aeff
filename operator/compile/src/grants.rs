//! ReferenceGrants: who may refer to what in another namespace.

use igw_crds::objects::{Kind, Spec};

use crate::input::ObjectSet;

/// A reference from one namespace to another.
pub(crate) struct Reference<'r> {
    pub(crate) from_group: &'r str,
    pub(crate) from_kind: &'r str,
    pub(crate) from_namespace: &'r str,
    pub(crate) to_group: &'r str,
    pub(crate) to_kind: &'r str,
    pub(crate) to_namespace: &'r str,
    pub(crate) to_name: &'r str,
}

/// True if the reference stays in its namespace or a grant there allows it.
pub(crate) fn is_allowed(objects: &ObjectSet, reference: &Reference<'_>) -> bool {
    if reference.from_namespace == reference.to_namespace {
        return true;
    }
    objects.of_kind(Kind::ReferenceGrant).filter(|(key, _)| &*key.namespace == reference.to_namespace).any(
        |(_, stored)| {
            let Spec::ReferenceGrant(grant) = stored.spec() else { return false };
            let from = grant.from.iter().any(|from| {
                from.group.as_str() == reference.from_group
                    && from.kind.as_str() == reference.from_kind
                    && from.namespace.as_str() == reference.from_namespace
            });
            let to = grant.to.iter().any(|to| {
                to.group.as_str() == reference.to_group
                    && to.kind.as_str() == reference.to_kind
                    && to.name.as_ref().is_none_or(|name| name == reference.to_name)
            });
            from && to
        },
    )
}
