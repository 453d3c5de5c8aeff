//! Which gateways want an address of a pool.

use igw_crds::objects::gateway_config::GatewayConfigSpec;
use igw_crds::objects::meta::ObjectReference;
use igw_crds::objects::names::Cidr;
use igw_crds::objects::{Kind, Spec};

use crate::classes::{ClassOf, classes};
use crate::input::ObjectSet;
use crate::permissions::default_config;
use crate::settings;

/// Gateways that name no address, as `namespace/name`, oldest first, with the networks of the most specific GatewayConfig
/// that has some: the gateway's own, the class's, the default one.
#[must_use]
pub fn askers(objects: &ObjectSet) -> Vec<(String, &[Cidr])> {
    let classes = classes(objects);
    let mut askers = Vec::new();
    for (key, stored) in objects.by_age(Kind::Gateway) {
        let Spec::Gateway(spec) = stored.spec() else { continue };
        let ClassOf::Ours(of_class) = classes.find(&spec.gateway_class_name) else { continue };
        if spec.addresses.iter().any(|address| !address.value.is_empty()) {
            continue;
        }
        let own = settings::own_reference(key, spec);
        let named = |reference: Option<&ObjectReference>| -> Option<&GatewayConfigSpec> {
            settings::find(objects, reference?).ok()
        };
        let configs = [named(own.as_ref()), named(of_class), default_config(objects)];
        let pool = configs.into_iter().flatten().map(|config| config.address_pool.as_slice());
        if let Some(pool) = pool.into_iter().find(|pool| !pool.is_empty()) {
            askers.push((format!("{}/{}", key.namespace, key.name), pool));
        }
    }
    askers
}
