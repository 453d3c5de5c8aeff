//! Services and EndpointSlices become the Services of what is behind.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use igw_compile::{ServicePort, Services};
use igw_kube::{Resource, Store};
use serde_json::Value;
use tokio::sync::watch;

use super::behind::Tell;
use super::kinds::Core;

/// From the store to what is behind it.
pub(crate) struct Endpoints {
    store: Arc<Store>,
    tell: Tell,
    services: (Arc<Resource>, watch::Receiver<u64>),
    slices: (Arc<Resource>, watch::Receiver<u64>),
}

// === impl Endpoints ===

impl Endpoints {
    pub(crate) fn new(store: Arc<Store>, core: &Core, tell: Tell) -> anyhow::Result<Self> {
        let follow = |kind: &Arc<Resource>| {
            let changes = store.subscribe(kind).context("the store knows no Services")?;
            anyhow::Ok((Arc::clone(kind), changes))
        };
        let (services, slices) = (follow(&core.services)?, follow(&core.slices)?);
        Ok(Self { store, tell, services, slices })
    }

    /// Tells of every change, as long as the store lives.
    pub(crate) async fn run(mut self) {
        loop {
            self.services.1.mark_unchanged();
            self.slices.1.mark_unchanged();
            let (services, _) = self.store.list(&self.services.0, "");
            let (slices, _) = self.store.list(&self.slices.0, "");
            (self.tell)(known(&services, &slices));
            // Arms: a Service changes; a slice does.
            let changed = tokio::select! {
                changed = self.services.1.changed() => changed,
                changed = self.slices.1.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }
}

/// Services with the ready endpoints of their slices.
fn known(services: &[Arc<Value>], slices: &[Arc<Value>]) -> Services {
    let mut by_service: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for slice in slices {
        let labels = &slice["metadata"]["labels"];
        if let Some(service) = labels["kubernetes.io/service-name"].as_str() {
            let namespace = text(slice, "/metadata/namespace");
            by_service.entry(format!("{namespace}/{service}")).or_default().push(slice);
        }
    }
    let known = services.iter().map(|service| {
        let name = format!("{}/{}", text(service, "/metadata/namespace"), text(service, "/metadata/name"));
        let slices = by_service.remove(&name).unwrap_or_default();
        let ports = items(service.pointer("/spec/ports"));
        let ports = ports.filter_map(|port| {
            let number = u16::try_from(port["port"].as_u64()?).ok()?;
            let name = port["name"].as_str().filter(|name| !name.is_empty());
            let endpoints = slices.iter().flat_map(|slice| addresses(slice, name.unwrap_or_default()));
            let made = ServicePort {
                name: name.map(str::to_owned),
                app_protocol: port["appProtocol"].as_str().map(str::to_owned),
                endpoints: endpoints.collect(),
            };
            Some((number, made))
        });
        (name, ports.collect())
    });
    Services(known.collect())
}

/// Who takes requests on the port of a name.
fn addresses(slice: &Value, port: &str) -> Vec<SocketAddr> {
    let named = items(slice.get("ports")).find(|one| one["name"].as_str().unwrap_or_default() == port);
    let number = named.and_then(|one| one["port"].as_u64()).and_then(|number| u16::try_from(number).ok());
    let Some(number) = number else { return Vec::new() };
    // Whoever says nothing of it is ready.
    let ready = items(slice.get("endpoints")).filter(|one| one["conditions"]["ready"] != Value::Bool(false));
    let addresses = ready.flat_map(|one| items(one.get("addresses"))).filter_map(Value::as_str);
    let addresses = addresses.filter_map(|address| address.parse::<IpAddr>().ok());
    addresses.map(|address| SocketAddr::new(address, number)).collect()
}

fn items(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(object: &'v Value, path: &str) -> &'v str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_meet_those_of_slices_by_name_and_who_is_not_ready_is_left_out() {
        let service = json!({
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"ports": [{"name": "a", "port": 80, "appProtocol": "kubernetes.io/h2c"}, {"port": 81}]},
        });
        let slice = |name: &str, ports: Value, endpoints: Value| {
            Arc::new(json!({
                "metadata": {"namespace": "shop", "name": name, "labels": {"kubernetes.io/service-name": "web"}},
                "ports": ports,
                "endpoints": endpoints,
            }))
        };
        let slices = [
            slice(
                "one",
                json!([{"name": "a", "port": 3001}, {"name": "", "port": 3000}]),
                json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}, {"addresses": ["10.0.0.2"], "conditions": {"ready": false}}]),
            ),
            slice("six", json!([{"name": "a", "port": 3001}]), json!([{"addresses": ["fd00::1"]}])),
            slice("none", json!([{"name": "a", "port": 3001}]), Value::Null),
        ];
        let known = known(&[Arc::new(service)], &slices);
        let web = &known.0["shop/web"];
        let shown =
            |port: u16| web[&port].endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(shown(80), "10.0.0.1:3001 [fd00::1]:3001");
        assert_eq!(shown(81), "10.0.0.1:3000");
        assert_eq!(web[&80].app_protocol.as_deref(), Some("kubernetes.io/h2c"));
        assert_eq!((web[&80].name.as_deref(), web[&81].name.as_deref()), (Some("a"), None));
    }
}
