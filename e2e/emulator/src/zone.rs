//! The zone of the cluster: addresses of all instances, whatever their health.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::dns::Data;
use crate::shapes;
use crate::world::World;

/// A record.
pub struct Record {
    name: String,
    ttl_s: u32,
    data: Data,
}

/// Gives the name server the zone as it is now.
pub fn publish(world: &Arc<World>) {
    let mut zone: BTreeMap<String, Vec<Data>> = BTreeMap::new();
    for record in records(world) {
        let of_name = zone.entry(record.name.trim_end_matches('.').to_owned()).or_default();
        if !of_name.contains(&record.data) {
            of_name.push(record.data);
        }
    }
    for data in zone.values_mut() {
        data.sort_unstable_by_key(Data::text);
    }
    world.names.replace(zone);
}

/// The zone as a node tells it.
#[must_use]
pub fn dump(world: &World) -> Value {
    let of = |record: Record| {
        json!({
            "qname": record.name, "qtype": record.data.kind(), "ttl": record.ttl_s, "content": record.data.text(),
            "domain_id": -1,
        })
    };
    records(world).into_iter().map(of).collect()
}

fn records(world: &World) -> Vec<Record> {
    let cluster = &world.name;
    let mut records = Vec::new();
    let mut add = |name: String, ttl_s: u32, data: Data| records.push(Record { name, ttl_s, data });
    let soa = format!("dns.{cluster}. contact@opensvc.com 1 7200 3600 432000 86400");
    add(format!("{cluster}."), 60, Data::Soa(soa));
    add(format!("ns1.{cluster}."), 60, Data::Address(world.names.address.ip()));
    add(format!("{cluster}."), 3600, Data::Ns(format!("ns1.{cluster}.")));
    let inner = world.lock();
    for (node, state) in inner.nodes.iter().filter(|(_, state)| !state.is_lost) {
        for (path, status) in state.statuses.iter().filter(|(path, _)| path.kind == "svc") {
            for (rid, resource) in &status.resources {
                let Some(address) =
                    resource.facts["ipaddr"].as_str().and_then(|text| text.parse::<IpAddr>().ok())
                else {
                    continue;
                };
                let of_all = format!("{}.{}.svc.{cluster}.", path.name, path.namespace);
                let of_node = format!("{}.{}.svc.{node}.node.{cluster}.", path.name, path.namespace);
                let index = rid.split('#').nth(1).unwrap_or_default();
                for name in [&of_all, &of_node] {
                    add(name.clone(), 60, Data::Address(address));
                    add(format!("{index}.{name}"), 60, Data::Address(address));
                    add(reverse(address), 60, Data::Ptr(format!("{index}.{name}")));
                }
                for exposed in
                    resource.facts["expose"].as_array().into_iter().flatten().filter_map(Value::as_str)
                {
                    let (back, front) = exposed.split_once(':').unwrap_or((exposed, ""));
                    let (port, protocol) = back.split_once('/').unwrap_or((back, "tcp"));
                    let label = if front.is_empty() { port } else { front };
                    let name = format!("_{label}._{}.{of_all}", protocol.trim_end_matches(['4', '6']));
                    let Ok(port) = port.parse() else { continue };
                    add(name, 60, Data::Srv(shapes::score(node), port, of_node.clone()));
                }
            }
        }
    }
    records
}

fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let text: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            format!("{text}ip6.arpa.")
        }
    }
}
