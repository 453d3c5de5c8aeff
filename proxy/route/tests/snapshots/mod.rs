//! What holds for tables whatever snapshot they are built from. Shared with the fuzz target.

use std::collections::BTreeMap;

use igw_crds::snapshot::Snapshot;
use igw_crds::sync::Envelope;
use igw_route::{PortRoutes, RequestView};

struct Request {
    host: &'static str,
    path: &'static str,
}

impl RequestView for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn query(&self) -> &[u8] {
        b"a=1"
    }

    fn header(&self, _: &str, each: &mut dyn FnMut(&[u8])) {
        each(b"value");
    }
}

/// Bytes that are a snapshot, or an envelope, become tables; these answer every request.
pub fn tables(bytes: &[u8]) {
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes)
        && let Ok(snapshot) = envelope.open()
    {
        build(&snapshot);
    }
    if let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) {
        build(&snapshot);
    }
}

fn build(snapshot: &Snapshot) {
    for (index, gateway) in snapshot.gateways.iter().enumerate() {
        let mut ports: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (position, listener) in gateway.listeners.iter().enumerate() {
            ports.entry(listener.port).or_default().push(position);
        }
        for positions in ports.values() {
            let routes = PortRoutes::build(snapshot, index, positions);
            for host in ["", "a.test", "b.a.test", "*"] {
                for path in ["/", "/a", "/a/b", "/%41"] {
                    let _ = routes.select(&Request { host, path });
                }
            }
            for target in routes.targets() {
                assert!(positions.contains(&target.listener), "a target of another port");
            }
        }
    }
}
