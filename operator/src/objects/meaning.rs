//! The seam between what was read and what it means: the conversions around `compile`.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use igw_compile::{
    Compiled, Facts, Material, ObjectSet, Proxies, References, Status, Stored, program, references,
};
use igw_crds::objects::gateway_config::GatewayConfigSpec;
use igw_crds::objects::{Kind, ObjectKey, Spec};
use igw_crds::sync::Report;
use jiff::Timestamp;

use super::gathered::{Gathered, Taken};
use super::listing::{Notice, Severity};
use super::reading::object_name;
use super::sorted::Sorted;
use super::view::Record;
use crate::acme::made::Values;
use crate::certificates::authorities;
use crate::certificates::pair::{PAIR_VALUES, Purpose};
use crate::certificates::vault::{Place, Vault};

/// Facts of a machine without a cluster.
#[must_use]
pub fn facts(cluster: &str, nameservers: &[SocketAddr]) -> Facts {
    Facts { cluster: cluster.to_owned(), nameservers: nameservers.to_vec(), ..Facts::default() }
}

/// The objects with what is known of each.
#[must_use]
pub fn objects(gathered: &Gathered, records: &BTreeMap<ObjectKey, Record>) -> ObjectSet {
    let mut records = Sorted::new(records);
    let stored = gathered.objects.iter().map(|(key, taken)| {
        let record = records.take(&key);
        let stored = Stored {
            object: taken.object.clone(),
            uid: record.map_or_else(|| "".into(), |record| Arc::clone(&record.uid)),
            created: record.map_or(Timestamp::UNIX_EPOCH, |record| record.created),
            generation: record.map_or(1, |record| record.generation),
        };
        (key.clone(), stored)
    });
    stored.collect()
}

/// What Secret and ConfigMap documents are worth, as far as objects refer to them; `issued` are Secrets that igw made and
/// nobody wrote.
pub fn material(
    objects: &ObjectSet,
    issued: &BTreeMap<Place, Values>,
    vault: &mut Vault,
    now: Timestamp,
) -> Material {
    let References { secrets, client_secrets, config_maps } = references(objects);
    // What is for listeners and for back ends must do for listeners at least.
    let clients = client_secrets.difference(&secrets).map(|place| (place, Purpose::Client));
    let used: BTreeMap<&Place, Purpose> =
        secrets.iter().map(|place| (place, Purpose::Server)).chain(clients).collect();
    for (place, purpose) in &used {
        let place = (*place).clone();
        if let Some(Spec::Secret(content)) = objects.spec(Kind::Secret, &place.0, &place.1) {
            vault.observe(place, *purpose, &PAIR_VALUES, &|value| content.value(value));
        } else if let Some(values) = issued.get(&place) {
            vault.observe(place, *purpose, &PAIR_VALUES, &|value| {
                Some(values.text(value)?.as_bytes().to_vec())
            });
        }
    }
    vault.retain(|place| {
        used.contains_key(place)
            && (objects.find(Kind::Secret, &place.0, &place.1).is_some() || issued.contains_key(place))
    });
    let authorities = config_maps.into_iter().filter_map(|(namespace, name)| {
        let Some(Spec::ConfigMap(content)) = objects.spec(Kind::ConfigMap, &namespace, &name) else {
            return None;
        };
        let found = authorities::examine(content.value(authorities::CA).as_deref());
        Some(((namespace, name), found))
    });
    Material { authorities: authorities.collect(), pairs: vault.states(now) }
}

/// The statuses, given what the proxy says.
#[must_use]
pub fn statuses(compiled: &Compiled, report: &Report) -> Vec<(ObjectKey, Arc<Status>)> {
    program(compiled, &Proxies { report: report.clone(), ..Proxies::default() })
}

/// The warnings of a compilation, with their places, and the routes that no gateway can have a status for.
#[must_use]
pub fn notices_of(compiled: &Compiled, gathered: &Gathered, is_cluster: bool) -> Vec<Notice> {
    let warnings = compiled.warnings.iter().map(|warning| {
        let taken = gathered.objects.get(&warning.object);
        notice(&warning.object, taken, warning.field.clone(), warning.message.clone())
    });
    let mut notices: Vec<_> = warnings.collect();
    const PARENTS: [Kind; 2] = [Kind::Gateway, Kind::ListenerSet];
    let known: HashSet<(Kind, &str, &str)> = gathered
        .objects
        .keys()
        .filter(|key| PARENTS.contains(&key.kind))
        .map(|key| (key.kind, &*key.namespace, &*key.name))
        .collect();
    // Most routes name the gateway that the one before names.
    let mut found_last = (Kind::Gateway, "", "");
    for (key, taken) in &gathered.objects {
        if let Spec::GatewayConfig(spec) = &taken.object.spec {
            let idle = idle_fields(key, spec, is_cluster);
            notices.extend(idle.into_iter().map(|(field, message)| notice(key, Some(taken), field, message)));
        }
        if let Spec::ListenerSet(set) = &taken.object.spec {
            let parent = &set.parent_ref;
            let namespace = parent.namespace.as_ref().map_or(&*key.namespace, |namespace| namespace.as_str());
            let named = Kind::find(parent.group.as_str(), parent.kind.as_str());
            if named == Some(Kind::Gateway) && !known.contains(&(Kind::Gateway, namespace, &parent.name)) {
                let gateway = ObjectKey::new(Kind::Gateway, namespace, &parent.name);
                let message = format!("there is no {gateway}; write it, or correct the reference");
                notices.push(notice(key, Some(taken), "spec.parentRef".to_owned(), message));
            }
        }
        let parents = match &taken.object.spec {
            Spec::HttpRoute(route) => &route.parent_refs,
            Spec::GrpcRoute(route) => &route.parent_refs,
            Spec::TcpRoute(route) | Spec::UdpRoute(route) => &route.parent_refs,
            Spec::TlsRoute(route) => &route.parent_refs,
            _ => continue,
        };
        for (index, parent) in parents.iter().enumerate() {
            let namespace = parent.namespace.as_ref().map_or(&*key.namespace, |namespace| namespace.as_str());
            let kind = Kind::find(parent.group.as_str(), parent.kind.as_str());
            let Some(kind) = kind.filter(|kind| PARENTS.contains(kind)) else { continue };
            let named = (kind, namespace, parent.name.as_str());
            if found_last == named {
                continue;
            }
            if known.contains(&named) {
                found_last = named;
            } else {
                let parent = ObjectKey::new(kind, namespace, &parent.name);
                let message = format!("there is no {parent}; write it, or correct the reference");
                notices.push(notice(key, Some(taken), format!("spec.parentRefs[{index}]"), message));
            }
        }
    }
    notices
}

/// Fields of a GatewayConfig that do nothing where it stands.
fn idle_fields(key: &ObjectKey, spec: &GatewayConfigSpec, is_cluster: bool) -> Vec<(String, String)> {
    if is_cluster {
        return Vec::new();
    }
    let of_cluster = [
        ("topology", spec.topology.is_some()),
        ("runtime", spec.runtime.is_some()),
        ("bind", spec.bind.is_some()),
        ("service", spec.service.is_some()),
        ("quotas", spec.quotas.is_some()),
    ];
    let is_default = (&*key.namespace, &*key.name) == ("system", "default");
    let elsewhere = (!is_default && spec.backends.is_some()).then(|| {
        (
            "spec.backends".to_owned(),
            "only the one of GatewayConfig system/default counts; move it there".to_owned(),
        )
    });
    let idle = of_cluster.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| {
        (format!("spec.{field}"), "takes effect in a cluster only; igw up goes on without it".to_owned())
    });
    idle.chain(elsewhere).collect()
}

fn notice(key: &ObjectKey, taken: Option<&Taken>, field: String, message: String) -> Notice {
    let source = taken.map(|taken| taken.source.clone()).unwrap_or_default();
    Notice {
        file: source.file.to_string(),
        line: source.line,
        severity: Severity::Warning,
        object: Some(object_name(key)),
        field,
        message,
        ..Notice::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_do_nothing_are_told() {
        let spec = serde_json::json!({"addressPool": ["10.0.0.0/24"], "topology": "perNode", "backends": {}});
        let spec: GatewayConfigSpec = serde_json::from_value(spec).unwrap();
        let told = |name: &str, is_cluster| -> Vec<String> {
            let key = ObjectKey::new(Kind::GatewayConfig, "system", name);
            idle_fields(&key, &spec, is_cluster).into_iter().map(|(field, _)| field).collect()
        };
        assert_eq!(told("default", false), ["spec.topology"]);
        assert_eq!(told("other", false), ["spec.topology", "spec.backends"]);
        assert!(told("default", true).is_empty());
    }
}
