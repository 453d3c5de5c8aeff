//! A look-up among 1 to 10,000 hosts, and among 10,000 paths of one host.

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use igw_crds::snapshot::{
    Action, Attachment, Gateway, HostBinding, Listener, Match, PathMatch, Protocol, Route, RouteId, Rule,
    Settings, Snapshot,
};
use igw_route::{PortRoutes, RequestView};

struct Get {
    host: String,
    path: String,
}

impl RequestView for Get {
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
        b""
    }

    fn header(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

/// One route for each pair of host and prefix.
fn tables(routes: impl Iterator<Item = (String, String)>) -> PortRoutes {
    let mut snapshot = Snapshot::default();
    let mut attachments = Vec::new();
    for (index, (host, prefix)) in routes.enumerate() {
        let one =
            Match { path: PathMatch::Prefix(prefix), method: None, headers: Vec::new(), query: Vec::new() };
        let rule = Rule {
            name: None,
            matches: vec![one],
            filters: Vec::new(),
            action: Action::Respond { status: 204, cause: String::new() },
            request_timeout_ms: 0,
            backend_timeout_ms: None,
            retry: None,
            session: None,
        };
        let name = format!("r{index}");
        snapshot.routes.push(Route {
            kind: "HTTPRoute".into(),
            namespace: "n".into(),
            name: name.into(),
            rules: vec![rule],
        });
        let host: Arc<str> = host.into();
        let binding = HostBinding { serves: Some(host.clone()), ranks: Some(host) };
        attachments.push(Attachment { route: RouteId(index as u32), hosts: vec![binding] });
    }
    let listener = Listener {
        name: "l".into(),
        port: 80,
        protocol: Protocol::Http,
        hostname: None,
        tls: None,
        client: None,
        filters: Vec::new(),
        attachments,
    };
    snapshot.gateways.push(Gateway {
        namespace: "n".into(),
        name: "g".into(),
        addresses: Vec::new(),
        node_addresses: Default::default(),
        tracing: None,
        client_certificate: None,
        settings: Settings::default(),
        listeners: vec![listener],
    });
    PortRoutes::build(&snapshot, 0, &[0])
}

fn select(c: &mut Criterion) {
    let mut group = c.benchmark_group("hosts");
    for n_hosts in [1_usize, 1_000, 10_000] {
        let tables = tables((0..n_hosts).map(|index| (format!("h{index}.example.com"), "/".to_owned())));
        let requests: Vec<Get> = (0..512)
            .map(|index| Get {
                host: format!("h{}.example.com", index * 7 % n_hosts),
                path: "/cart/items".to_owned(),
            })
            .collect();
        group.bench_function(BenchmarkId::from_parameter(n_hosts), |bencher| {
            let mut next = 0;
            bencher.iter_batched(
                || {
                    next = (next + 1) % requests.len();
                    &requests[next]
                },
                |request| tables.select(request),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    let tables = tables((0..10_000).map(|index| ("a.example.com".to_owned(), format!("/p{index}/x"))));
    let request = Get { host: "a.example.com".to_owned(), path: "/p7777/x/y/z".to_owned() };
    c.bench_function("10000 paths", |bencher| bencher.iter(|| tables.select(&request)));
}

criterion_group!(benches, select);
criterion_main!(benches);
