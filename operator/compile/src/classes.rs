//! Which classes are ours. [`BUILT_IN`] exist without being written.

use std::collections::BTreeMap;

use igw_crds::objects::meta::ObjectReference;
use igw_crds::objects::{Kind, ObjectKey, Spec};

use crate::features::SUPPORTED;
use crate::input::ObjectSet;
use crate::status::{CONTROLLER, ClassStatus, Condition, Feature, Status};

/// Classes by name.
pub(crate) struct Classes {
    ours: BTreeMap<String, Option<ObjectReference>>,
    foreign: Vec<String>,
}

/// What a class name means.
pub(crate) enum ClassOf<'c> {
    /// Ours, with its parameters.
    Ours(Option<&'c ObjectReference>),
    /// Somebody else's: not to be touched.
    Foreign,
    /// Nobody's.
    Unknown,
}

pub(crate) fn classes(objects: &ObjectSet) -> Classes {
    let mut classes = Classes { ours: BTreeMap::new(), foreign: Vec::new() };
    for (key, stored) in objects.of_kind(Kind::GatewayClass) {
        let Spec::GatewayClass(spec) = stored.spec() else { continue };
        if spec.controller_name.as_str() == CONTROLLER {
            classes.ours.insert(key.name.to_string(), spec.parameters_ref.clone());
        } else {
            classes.foreign.push(key.name.to_string());
        }
    }
    for built_in in BUILT_IN {
        if !classes.foreign.iter().any(|name| name == built_in) {
            classes.ours.entry(built_in.to_owned()).or_insert(None);
        }
    }
    classes
}

// === impl Classes ===

impl Classes {
    pub(crate) fn find(&self, name: &str) -> ClassOf<'_> {
        match self.ours.get(name) {
            Some(parameters) => ClassOf::Ours(parameters.as_ref()),
            None if self.foreign.iter().any(|foreign| foreign == name) => ClassOf::Foreign,
            None => ClassOf::Unknown,
        }
    }

    /// Statuses of the classes that are written and ours.
    pub(crate) fn statuses(&self, objects: &ObjectSet) -> Vec<(ObjectKey, Status)> {
        objects
            .of_kind(Kind::GatewayClass)
            .filter(|(key, _)| self.ours.contains_key(&*key.name))
            .map(|(key, stored)| {
                let parameters = self.ours.get(&*key.name).and_then(Option::as_ref);
                let accepted = match parameters.map(|reference| crate::settings::find(objects, reference)) {
                    Some(Err(message)) => {
                        Condition::no("Accepted", "InvalidParameters", message, stored.generation)
                    }
                    _ => Condition::yes(
                        "Accepted",
                        "Accepted",
                        "the class is served by igw",
                        stored.generation,
                    ),
                };
                let supported_features = SUPPORTED.iter().map(|name| Feature { name }).collect();
                (key.clone(), Status::Class(ClassStatus { conditions: vec![accepted], supported_features }))
            })
            .collect()
    }
}

/// Classes that need no object. The names of the last three say where proxies run.
const BUILT_IN: [&str; 4] = ["igw", "igw-failover", "igw-per-node", "igw-external"];
