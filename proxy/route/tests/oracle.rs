//! Look-ups against an oracle that scans everything, over generated sets.

use std::cmp::Reverse;
use std::sync::Arc;

use igw_crds::snapshot::{
    Action, Attachment, Gateway, HostBinding, Listener, Match, PathMatch, Protocol, Route, RouteId, Rule,
    Settings, Snapshot, StringMatch, ValueMatch,
};
use igw_route::{PortRoutes, RequestView, Selection, Verdict};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Request {
    host: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static str,
    headers: Vec<(&'static str, &'static str)>,
}

impl RequestView for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn query(&self) -> &[u8] {
        self.query.as_bytes()
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.headers.iter().filter(|(known, _)| *known == name).for_each(|(_, value)| each(value.as_bytes()));
    }
}

fn covers(pattern: Option<&str>, host: &str) -> bool {
    match pattern {
        None => true,
        Some(pattern) => match pattern.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => pattern == host,
        },
    }
}

/// Exact before wildcard, longer before shorter, none last.
fn specificity(pattern: Option<&str>) -> (u8, Reverse<usize>) {
    match pattern {
        Some(pattern) if !pattern.starts_with('*') => (0, Reverse(pattern.len())),
        Some(pattern) => (1, Reverse(pattern.len())),
        None => (2, Reverse(0)),
    }
}

fn path_holds(path: &PathMatch, request: &str) -> bool {
    match path {
        PathMatch::Exact(exact) => exact == request,
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            request.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        // The generator knows one pattern.
        PathMatch::Regex(_) => request.starts_with("/a"),
        PathMatch::Method(method) => {
            let parts: Vec<&str> = request.split('/').collect();
            matches!(parts[..], ["", service, last] if !service.is_empty() && last == method)
        }
    }
}

fn holds(one: &Match, request: &Request) -> bool {
    path_holds(&one.path, request.path)
        && one.method.as_deref().is_none_or(|method| method == request.method)
        && one.headers.iter().all(|wanted| {
            let values: Vec<&str> = request
                .headers
                .iter()
                .filter(|(name, _)| *name == wanted.name)
                .map(|(_, value)| *value)
                .collect();
            !values.is_empty() && wanted.value == StringMatch::Exact(values.join(","))
        })
        && one.query.iter().all(|wanted| {
            let found = request
                .query
                .split('&')
                .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == wanted.name));
            found.is_some_and(|(_, value)| wanted.value == StringMatch::Exact(value.to_owned()))
        })
}

/// The rule by scanning: route and rule, or nothing.
fn scan(snapshot: &Snapshot, request: &Request) -> Option<(u32, usize, usize)> {
    let gateway = &snapshot.gateways[0];
    let listener = gateway
        .listeners
        .iter()
        .filter(|listener| covers(listener.hostname.as_deref(), request.host))
        .min_by_key(|listener| specificity(listener.hostname.as_deref()))?;
    let mut found = Vec::new();
    for attachment in &listener.attachments {
        for binding in
            attachment.hosts.iter().filter(|binding| covers(binding.ranks.as_deref(), request.host))
        {
            for (rule, of_route) in snapshot.routes[attachment.route.0 as usize].rules.iter().enumerate() {
                for (matched, one) in
                    of_route.matches.iter().enumerate().filter(|(_, one)| holds(one, request))
                {
                    let (kind, length) = match &one.path {
                        PathMatch::Exact(path) => (0, path.len()),
                        PathMatch::Regex(path) => (1, path.len()),
                        PathMatch::Prefix(path) if path == "/" => (4, 0),
                        PathMatch::Prefix(path) => (2, path.trim_end_matches('/').len()),
                        PathMatch::Method(method) => (3, method.len()),
                    };
                    let rank = (
                        specificity(binding.ranks.as_deref()),
                        (kind, Reverse(length)),
                        Reverse(one.method.is_some()),
                        Reverse(one.headers.len()),
                        Reverse(one.query.len()),
                        (attachment.route.0, rule, matched),
                    );
                    found.push(rank);
                }
            }
        }
    }
    found.into_iter().min().map(|rank| rank.5)
}

fn hosts() -> impl Strategy<Value = Option<String>> {
    prop::sample::select(vec![None, Some("a.test"), Some("b.a.test"), Some("*.test"), Some("*.a.test")])
        .prop_map(|host| host.map(str::to_owned))
}

fn matches() -> impl Strategy<Value = Match> {
    let path = prop::sample::select(vec![
        PathMatch::Prefix("/".into()),
        PathMatch::Prefix("/a".into()),
        PathMatch::Prefix("/a/b".into()),
        PathMatch::Exact("/a".into()),
        PathMatch::Exact("/a/b".into()),
        PathMatch::Regex("/a.*".into()),
        PathMatch::Method("b".into()),
    ]);
    let method = prop::sample::select(vec![None, None, Some("GET".to_owned()), Some("POST".to_owned())]);
    (path, method, any::<bool>(), any::<bool>()).prop_map(|(path, method, header, query)| {
        let one = |name: &str, value: &str| {
            vec![ValueMatch { name: name.into(), value: StringMatch::Exact(value.into()) }]
        };
        Match {
            path,
            method,
            headers: if header { one("x-a", "1,2") } else { Vec::new() },
            query: if query { one("q", "1") } else { Vec::new() },
        }
    })
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let rule = prop::collection::vec(matches(), 1..3).prop_map(|matches| Rule {
        name: None,
        matches,
        filters: Vec::new(),
        action: Action::Respond { status: 204, cause: String::new() },
        request_timeout_ms: 0,
        backend_timeout_ms: None,
        retry: None,
        session: None,
    });
    let route = (prop::collection::vec(rule, 1..3), prop::collection::vec(hosts(), 1..3));
    let listeners =
        prop::sample::subsequence(vec![None, Some("a.test"), Some("*.test"), Some("*.a.test")], 1..4);
    (prop::collection::vec(route, 1..6), listeners).prop_map(|(routes, listeners)| {
        let mut snapshot = Snapshot::default();
        let mut attachments = Vec::new();
        for (index, (rules, hosts)) in routes.into_iter().enumerate() {
            let name = format!("r{index}");
            snapshot.routes.push(Route {
                kind: "HTTPRoute".into(),
                namespace: "n".into(),
                name: name.into(),
                rules,
            });
            let hosts = hosts
                .into_iter()
                .map(|host| host.map(Arc::from))
                .map(|host: Option<Arc<str>>| HostBinding { serves: host.clone(), ranks: host })
                .collect();
            attachments.push(Attachment { route: RouteId(index as u32), hosts });
        }
        let listeners = listeners.into_iter().enumerate().map(|(index, hostname)| Listener {
            name: format!("l{index}"),
            port: 80,
            protocol: Protocol::Http,
            tls: None,
            client: None,
            hostname: hostname.map(str::to_owned),
            filters: Vec::new(),
            attachments: attachments.clone(),
        });
        snapshot.gateways.push(Gateway {
            namespace: "n".into(),
            name: "g".into(),
            addresses: Vec::new(),
            node_addresses: Default::default(),
            tracing: None,
            client_certificate: None,
            settings: Settings::default(),
            listeners: listeners.collect(),
        });
        snapshot
    })
}

fn requests() -> impl Strategy<Value = Request> {
    (
        prop::sample::select(vec!["a.test", "b.a.test", "c.b.a.test", "x.test", "other"]),
        prop::sample::select(vec!["GET", "POST"]),
        prop::sample::select(vec!["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/x"]),
        prop::sample::select(vec!["", "q=1", "q=2&q=1", "x=1&q=1"]),
        prop::sample::select(vec![
            vec![],
            vec![("x-a", "1,2")],
            vec![("x-a", "1"), ("x-a", "2")],
            vec![("x-a", "1")],
        ]),
    )
        .prop_map(|(host, method, path, query, headers)| Request { host, method, path, query, headers })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_choose_what_a_scan_chooses(snapshot in snapshots(), requests in prop::collection::vec(requests(), 1..8)) {
        let n_listeners = snapshot.gateways[0].listeners.len();
        let tables = PortRoutes::build(&snapshot, 0, &(0..n_listeners).collect::<Vec<_>>());
        for request in &requests {
            let selection = tables.select(request);
            let chosen = match selection {
                Selection::Rule { target, matched } => {
                    let target = tables.targets()[target as usize];
                    Some((target.route.0, target.rule, usize::from(matched)))
                }
                Selection::NoRoute { .. } | Selection::NoListener => None,
            };
            prop_assert_eq!(chosen, scan(&snapshot, request), "{:?}", request);
            let explained = tables.explain(request);
            prop_assert_eq!(explained.selection, selection);
            let told = explained.considered.iter().filter(|one| one.verdict == Verdict::Chosen).count();
            prop_assert_eq!(told, usize::from(chosen.is_some()), "{:?}", explained);
        }
    }
}
