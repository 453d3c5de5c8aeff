//! Which kinds are served.

use std::sync::Arc;

use igw_crds::objects::Kind;

use crate::builtin;
use crate::resource::Resource;
use crate::source::Source;

/// The kinds that are served. It is complete before a store is made of it.
#[derive(Clone, Default)]
pub struct Registry {
    resources: Vec<Arc<Resource>>,
}

// === impl Registry ===

impl Registry {
    /// Every kind of igw, Services, which cannot be written, and events, of which there are none.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        for kind in Kind::ALL {
            registry.add(builtin::resource(kind));
        }
        registry.add(builtin::events());
        registry.add(builtin::services());
        registry
    }

    /// Adds a kind, in place of one of the same group and plural.
    pub fn add(&mut self, mut resource: Resource) {
        let same = |other: &Arc<Resource>| other.group == resource.group && other.plural == resource.plural;
        match self.resources.iter().position(same) {
            Some(id) => {
                resource.id = id;
                if let Some(place) = self.resources.get_mut(id) {
                    *place = Arc::new(resource);
                }
            }
            None => {
                resource.id = self.resources.len();
                self.resources.push(Arc::new(resource));
            }
        }
    }

    /// Says who keeps the objects of the kind with a plural. A kind that is not there stays so.
    pub fn keep(&mut self, group: &str, plural: &str, source: &Arc<dyn Source>) {
        let same = |one: &&mut Arc<Resource>| *one.group == *group && *one.plural == *plural;
        if let Some(resource) = self.resources.iter_mut().find(same).and_then(Arc::get_mut) {
            resource.source = Some(Arc::clone(source));
        }
    }

    /// The kinds in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// The kind with a plural.
    #[must_use]
    pub fn find(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources.iter().find(|one| *one.group == *group && *one.plural == *plural)
    }

    /// The kind of igw.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Option<&Arc<Resource>> {
        self.find(kind.group(), kind.plural())
    }

    /// Groups, the core group first, each with its versions, the preferred one first.
    #[must_use]
    pub fn groups(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        let mut groups: Vec<(Arc<str>, Vec<Arc<str>>)> = vec![("".into(), Vec::new())];
        for resource in &self.resources {
            let at = groups.iter().position(|(group, _)| *group == resource.group).unwrap_or_else(|| {
                groups.push((Arc::clone(&resource.group), Vec::new()));
                groups.len() - 1
            });
            let Some((_, versions)) = groups.get_mut(at) else { continue };
            for version in &resource.versions {
                if !versions.contains(version) {
                    versions.push(Arc::clone(version));
                }
            }
        }
        for (_, versions) in &mut groups {
            versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        }
        groups.retain(|(_, versions)| !versions.is_empty());
        groups
    }

    /// Kinds of one version of a group.
    pub fn of_version<'r>(
        &'r self,
        group: &'r str,
        version: &'r str,
    ) -> impl Iterator<Item = &'r Arc<Resource>> {
        self.resources
            .iter()
            .filter(move |one| *one.group == *group && one.versions.iter().any(|served| **served == *version))
    }
}

/// Kubernetes prefers stable versions, then later ones.
fn rank(version: &str) -> (u8, u32, u32) {
    let rest = version.strip_prefix('v').unwrap_or(version);
    let number = |text: &str| text.parse().unwrap_or(0);
    match (rest.split_once("alpha"), rest.split_once("beta")) {
        (Some((major, minor)), _) => (0, number(major), number(minor)),
        (_, Some((major, minor))) => (1, number(major), number(minor)),
        _ => (2, number(rest), 0),
    }
}
