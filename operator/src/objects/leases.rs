//! Addresses of pools, and which gateway has which.
//!
//! A gateway keeps its address as long as it asks for one of a pool that holds it, over restarts too. Addresses are given
//! in turn, so that one that was given back rests as long as it can. An address that some gateway names is never given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use igw_compile::{ObjectSet, askers};
use igw_crds::objects::names::Cidr;
use igw_crds::objects::{Kind, Spec};
use serde::{Deserialize, Serialize};
use tracing::warn;

/// Who has which address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leases {
    /// By `namespace/name` of the gateway.
    held: BTreeMap<String, IpAddr>,
    /// By network: the place of the address that was given last.
    last: BTreeMap<String, u64>,
}

// === impl Leases ===

impl Leases {
    /// Reads what an earlier run gave: [`Leases::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|error| {
            warn!(%error, "addresses of gateways cannot be read; gateways get new ones");
            Self::default()
        })
    }

    /// Takes in what an earlier run gave to a gateway, `namespace/name`.
    pub fn recall(&mut self, gateway: String, address: IpAddr) {
        self.held.insert(gateway, address);
    }

    /// Gives addresses to who asks for one, and takes them from who does not any more. True if something changed.
    pub fn renew(&mut self, objects: &ObjectSet) -> bool {
        let asked = askers(objects);
        let before = self.clone();
        let named = named(objects);
        let pools: BTreeMap<&str, &[Cidr]> =
            asked.iter().map(|(name, pool)| (name.as_str(), *pool)).collect();
        self.held.retain(|gateway, address| {
            let pool = pools.get(gateway.as_str()).copied().unwrap_or_default();
            pool.iter().any(|network| network.contains(*address)) && !named.contains(address)
        });
        for (gateway, pool) in asked {
            if self.held.contains_key(&gateway) {
                continue;
            }
            match self.free(pool, &named) {
                Some(address) => {
                    self.held.insert(gateway, address);
                }
                None => warn!(gateway, "no address of its pool is free; it binds every address"),
            }
        }
        *self != before
    }

    /// Addresses by `namespace/name`.
    #[must_use]
    pub fn held(&self) -> BTreeMap<String, IpAddr> {
        self.held.clone()
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys always encode.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The next address of the first network that has one. The first address of a network of several is its name.
    fn free(&mut self, pool: &[Cidr], named: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let taken: BTreeSet<IpAddr> = self.held.values().copied().chain(named.iter().copied()).collect();
        for network in pool {
            let first = u64::from(network.address(1).is_some());
            let last = self.last.get(network.as_str()).map_or(first, |last| last + 1);
            let later = (last..).map_while(|place| Some((place, network.address(place)?)));
            let earlier = (first..last).map_while(|place| Some((place, network.address(place)?)));
            // Of more places than are taken one is free.
            let found =
                later.chain(earlier).take(taken.len() + 1).find(|(_, address)| !taken.contains(address));
            if let Some((place, address)) = found {
                self.last.insert(network.as_str().to_owned(), place);
                return Some(address);
            }
        }
        None
    }
}

/// Addresses that gateways name.
fn named(objects: &ObjectSet) -> BTreeSet<IpAddr> {
    let gateways = objects.of_kind(Kind::Gateway).filter_map(|(_, stored)| match &stored.object.spec {
        Spec::Gateway(spec) => Some(spec),
        _ => None,
    });
    gateways.flat_map(|spec| &spec.addresses).filter_map(|address| address.value.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use igw_compile::Stored;
    use igw_crds::yaml::{Cache, read_in};
    use jiff::Timestamp;

    use super::*;

    const CONFIG: &str = "apiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\n\
        metadata: {name: default, namespace: system}\nspec: {addressPool: [127.9.0.0/30, 127.8.0.1/32]}\n";

    fn gateway(name: &str, addresses: &str) -> String {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\n\
             spec: {{gatewayClassName: igw, addresses: [{addresses}], listeners: [{{name: a, port: 80, protocol: HTTP}}]}}\n"
        )
    }

    fn objects(text: &str) -> ObjectSet {
        let reading = read_in("ns", "case", text, &mut Cache::default());
        assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
        let stored = reading.documents.iter().map(|document| {
            let object = Arc::clone(&document.object);
            let stored = Stored { object, uid: "".into(), created: Timestamp::UNIX_EPOCH, generation: 1 };
            (document.object.key.clone(), stored)
        });
        stored.collect()
    }

    fn held(leases: &Leases, gateway: &str) -> Option<String> {
        leases.held.get(&format!("ns/{gateway}")).map(ToString::to_string)
    }

    #[test]
    fn gateways_keep_their_address_and_none_is_given_twice() {
        let mut leases = Leases::default();
        let two = format!("{CONFIG}{}{}", gateway("a", ""), gateway("b", "{type: IPAddress}"));
        assert!(leases.renew(&objects(&two)));
        assert!(!leases.renew(&objects(&two)));
        assert_eq!(held(&leases, "a").as_deref(), Some("127.9.0.1"));
        assert_eq!(held(&leases, "b").as_deref(), Some("127.9.0.2"));

        let without_a = format!("{CONFIG}{}{}", gateway("b", ""), gateway("c", ""));
        assert!(leases.renew(&objects(&without_a)));
        assert_eq!(held(&leases, "b").as_deref(), Some("127.9.0.2"));
        assert_eq!(held(&leases, "c").as_deref(), Some("127.9.0.3"));

        let mut again: Leases = serde_json::from_slice(&leases.to_bytes()).unwrap();
        assert!(!again.renew(&objects(&without_a)));
        let more = format!("{without_a}{}{}{}", gateway("d", ""), gateway("e", ""), gateway("f", ""));
        again.renew(&objects(&more));
        assert_eq!(held(&again, "d").as_deref(), Some("127.9.0.1"));
        assert_eq!(held(&again, "e").as_deref(), Some("127.8.0.1"));
        assert_eq!(held(&again, "f"), None);
    }

    #[test]
    fn an_address_that_is_named_is_not_given() {
        let mut leases = Leases::default();
        let named = gateway("x", "{value: 127.9.0.1}");
        leases.renew(&objects(&format!("{CONFIG}{named}{}", gateway("a", ""))));
        assert_eq!(held(&leases, "x"), None);
        assert_eq!(held(&leases, "a").as_deref(), Some("127.9.0.2"));
    }
}
