//! What a namespace of a cluster may and may not do without a grant of another, and how it is told.

mod documents;

use igw_compile::status::Condition;
use igw_compile::{Compiled, Facts, Members, Status, compile, share};
use igw_crds::snapshot::{Action, EndpointSource};

use documents::objects;

/// Compiles documents of namespace `a` unless they name another, on a cluster with services `a/web` and `b/web`.
#[track_caller]
fn compiled(text: &str) -> Compiled {
    let members = Members {
        services: ["a/web".to_owned(), "b/web".to_owned()].into(),
        addresses: [
            ("10.0.0.7".parse().expect("an address"), ["b/web".to_owned()].into()),
            ("10.0.0.8".parse().expect("an address"), ["a/web".to_owned()].into()),
        ]
        .into(),
        nodes: [("n1".to_owned(), vec!["10.0.0.1".parse().expect("an address")])].into(),
    };
    compile(&objects(text), &Facts { cluster: "blue".to_owned(), members: Some(members), ..Facts::default() })
}

/// A condition of route `r`.
#[track_caller]
fn condition(compiled: &Compiled, name: &str) -> Condition {
    let route = compiled.statuses.iter().find_map(|(key, status)| match &**status {
        Status::Route(route) if &*key.name == "r" => Some(route),
        _ => None,
    });
    let parent = route.expect("a route").parents.first().expect("a parent");
    parent.conditions.iter().find(|condition| condition.r#type == name).expect("a condition").clone()
}

/// Whether route `r` forwards to anything.
fn forwards(compiled: &Compiled) -> bool {
    let rules = compiled.snapshot.routes.iter().flat_map(|route| &route.rules);
    rules.into_iter().any(|rule| match &rule.action {
        Action::Forward { backends } => backends.iter().any(|backend| backend.backend.is_some()),
        Action::Respond { .. } => false,
    })
}

fn route(hosts: &str, target: &str) -> String {
    format!(
        "{GATEWAY}apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: g}}], hostnames: [{hosts}], rules: [{{backendRefs: [{target}]}}]}}\n---\n"
    )
}

fn backend(endpoint: &str) -> String {
    format!(
        "apiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {{name: x}}\nspec: {{endpoints: [{endpoint}]}}\n---\n"
    )
}

fn policy(discovery: &str) -> String {
    format!(
        "apiVersion: igw.opensvc.com/v1alpha1\nkind: BackendPolicy\nmetadata: {{name: p}}\nspec: {{targetRefs: [{{group: \"\", kind: Service, name: web}}], discovery: {discovery}}}\n---\n"
    )
}

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {gatewayClassName: igw-per-node, listeners: [{name: web, port: 80, protocol: HTTP}]}\n---\n";
const TO_X: &str = "{group: igw.opensvc.com, kind: Backend, name: x}";

#[test]
fn nothing_of_another_namespace_is_reached_without_its_grant() {
    let cases = [
        // By Service.
        (
            route("a.test", "{name: web, namespace: b, port: 80}"),
            "RefNotPermitted",
            "ReferenceGrant in namespace b",
        ),
        // By the name of the service, in a Backend.
        (
            route("a.test", TO_X) + &backend("{fqdn: {hostname: web.b.svc.blue, port: 80}}"),
            "RefNotPermitted",
            "ReferenceGrant in namespace b",
        ),
        // By one of its instances' names.
        (
            route("a.test", TO_X) + &backend("{fqdn: {hostname: 1.web.b.svc.blue, port: 80}}"),
            "RefNotPermitted",
            "ReferenceGrant in namespace b",
        ),
        // By the name of its instance on a node.
        (
            route("a.test", TO_X) + &backend("{fqdn: {hostname: web.b.svc.n1.node.blue, port: 80}}"),
            "RefNotPermitted",
            "ReferenceGrant in namespace b",
        ),
        // By the address of an instance.
        (
            route("a.test", TO_X) + &backend("{ip: {address: 10.0.0.7, port: 80}}"),
            "RefNotPermitted",
            "names an address of service b/web",
        ),
        // By address: a cluster allows none unless its administrator does.
        (
            route("a.test", TO_X) + &backend("{ip: {address: 10.0.0.9, port: 80}}"),
            "RefNotPermitted",
            "GatewayConfig system/default",
        ),
        (
            route("a.test", TO_X) + &backend("{fqdn: {hostname: elsewhere.example, port: 80}}"),
            "RefNotPermitted",
            "GatewayConfig system/default",
        ),
        // By another name that a policy asks for.
        (
            route("a.test", "{name: web, port: 80}") + &policy("{name: web.b.svc.blue}"),
            "RefNotPermitted",
            "lets BackendPolicy of a refer to Service web",
        ),
        (
            route("a.test", "{name: web, port: 80}")
                + &policy("{record: SRV, srv: {name: _80._tcp.web.b.svc.blue}}"),
            "RefNotPermitted",
            "asks for _80._tcp.web.b.svc.blue",
        ),
        (
            route("a.test", "{name: web, port: 80}") + &policy("{name: elsewhere.example}"),
            "RefNotPermitted",
            "GatewayConfig system/default",
        ),
        // A service that is not there.
        (route("a.test", "{name: gone, port: 80}"), "BackendNotFound", "a/svc/gone"),
    ];
    for (text, reason, words) in cases {
        let compiled = compiled(&text);
        let resolved = condition(&compiled, "ResolvedRefs");
        assert_eq!((resolved.status, resolved.reason), ("False", reason), "{text}");
        assert!(resolved.message.contains(words), "{}", resolved.message);
        assert!(!forwards(&compiled), "{text}");
    }
}

#[test]
fn grants_and_rules_open_what_they_name() {
    let grant = |from: &str, kind: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{name: grant, namespace: b}}\nspec: {{from: [{{group: {from}, kind: {kind}, namespace: a}}], to: [{{group: \"\", kind: Service, name: web}}]}}\n---\n"
        )
    };
    let rules = "apiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\nspec: {backends: {allow: [{namespaces: [a], cidrs: [10.0.0.0/8], names: [\"*.example\"]}]}}\n---\n";
    for text in [
        route("a.test", "{name: web, port: 80}"),
        route("a.test", "{name: web, namespace: b, port: 80}")
            + &grant("gateway.networking.k8s.io", "HTTPRoute"),
        route("a.test", TO_X)
            + &backend("{fqdn: {hostname: web.b.svc.blue, port: 80}}")
            + &grant("igw.opensvc.com", "Backend"),
        route("a.test", TO_X) + &backend("{fqdn: {hostname: web.a.svc.blue, port: 80}}"),
        route("a.test", TO_X) + &backend("{ip: {address: 10.0.0.9, port: 80}}") + rules,
        // The address of a service is opened by the service's grant.
        route("a.test", TO_X) + &backend("{ip: {address: 10.0.0.8, port: 80}}"),
        route("a.test", TO_X)
            + &backend("{ip: {address: 10.0.0.7, port: 80}}")
            + &grant("igw.opensvc.com", "Backend"),
        route("a.test", TO_X) + &backend("{fqdn: {hostname: x.example, port: 80}}") + rules,
    ] {
        let compiled = compiled(&text);
        assert_eq!(condition(&compiled, "ResolvedRefs").status, "True", "{text}");
        assert!(forwards(&compiled), "{text}");
    }
}

#[test]
fn a_hostname_outside_the_list_is_refused() {
    let rules = "apiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\nspec: {allowedHostnames: [{hostnames: [\"*.a.example\"], namespaces: [a]}]}\n---\n";
    let refused = compiled(&(route("www.b.example", "{name: web, port: 80}") + rules));
    let accepted = condition(&refused, "Accepted");
    assert_eq!((accepted.status, accepted.reason), ("False", "NotAllowedByListeners"));
    assert!(accepted.message.contains("www.b.example"), "{}", accepted.message);
    let taken = compiled(&(route("www.a.example", "{name: web, port: 80}") + rules));
    assert_eq!(condition(&taken, "Accepted").status, "True");
}

#[test]
fn a_gateway_gets_its_own_share_and_no_more() {
    let second = GATEWAY.replace("name: g}", "name: h}");
    let foreign = route("h.test", "{name: web, namespace: b, port: 81}")
        .replace(GATEWAY, "")
        .replace("name: r}", "name: s}")
        .replace("name: g}", "name: h}");
    let grant = "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: grant, namespace: b}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: \"\", kind: Service}]}\n---\n";
    let compiled = compiled(&(route("g.test", "{name: web, port: 80}") + &second + &foreign + grant));
    assert_eq!(compiled.snapshot.gateways.len(), 2);
    for (index, host, service) in [(0, "g.test", "web.a.svc.blue"), (1, "h.test", "web.b.svc.blue")] {
        let part = share(&compiled.snapshot, index);
        assert_eq!((part.gateways.len(), part.routes.len(), part.backends.len()), (1, 1, 1), "{host}");
        let attachment = &part.gateways[0].listeners[0].attachments[0];
        assert_eq!(attachment.hosts[0].ranks.as_deref(), Some(host));
        let Action::Forward { backends } = &part.routes[attachment.route.0 as usize].rules[0].action else {
            panic!("no back end")
        };
        let id = backends[0].backend.expect("a back end");
        let EndpointSource::Template(template) = &part.backends[id.0 as usize].sources[0] else {
            panic!("no template")
        };
        assert_eq!(template.fqdn, service);
        assert!(part.resolvers.len() > template.resolver.0 as usize);
    }
    assert_eq!(share(&compiled.snapshot, 2).gateways.len(), 0);
}

#[test]
fn filters_of_a_share_name_its_own_back_ends() {
    let first = route("g.test", "{name: web, port: 80}");
    let second = GATEWAY.replace("name: g}", "name: h}");
    let filters = "filters: [{type: CORS, cors: {allowOrigins: [\"*\"]}}, {type: RequestMirror, requestMirror: {backendRef: {name: web, port: 83}}}], ";
    let copied = route("h.test", "{name: web, port: 82}")
        .replace(GATEWAY, "")
        .replace("name: r}", "name: s}")
        .replace("name: g}", "name: h}")
        .replace("backendRefs:", &format!("{filters}backendRefs:"));
    let compiled = compiled(&(first + &second + &copied));
    let part = share(&compiled.snapshot, 1);
    let keys: Vec<&str> = part.backends.iter().map(|backend| backend.key.as_str()).collect();
    let targets: Vec<&str> = part.routes[0].rules[0].backends().map(|id| keys[id.0 as usize]).collect();
    assert_eq!(targets, ["Service/a/web:82", "Service/a/web:83"]);
    assert_eq!(keys.len(), 2);
}

#[test]
fn services_are_made_as_classes_and_settings_say() {
    use igw_crds::objects::gateway_config::Topology;
    let of = |class: &str, more: &str| {
        let text = GATEWAY.replace("igw-per-node", class) + more;
        compiled(&text).deployments.first().map(|deployment| (deployment.topology, deployment.nodes.clone()))
    };
    assert_eq!(of("igw-failover", ""), Some((Topology::Failover, "*".to_owned())));
    assert_eq!(of("igw-per-node", ""), Some((Topology::PerNode, "*".to_owned())));
    assert_eq!(of("igw-external", ""), Some((Topology::External, "*".to_owned())));
    let default = "apiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\nspec: {topology: perNode, service: {nodes: \"n1 n2\"}}\n---\n";
    assert_eq!(of("igw", default), Some((Topology::PerNode, "n1 n2".to_owned())));
    assert_eq!(of("igw-failover", default), Some((Topology::Failover, "n1 n2".to_owned())));
    assert_eq!(of("nobody", ""), None);
}

#[test]
fn what_names_lead_to_is_guarded() {
    let templates = |text: String| -> Vec<igw_crds::snapshot::Template> {
        let compiled = compiled(&text);
        let sources = compiled.snapshot.backends.iter().flat_map(|backend| backend.sources.clone());
        sources
            .filter_map(|source| match source {
                EndpointSource::Template(template) => Some(template),
                _ => None,
            })
            .collect()
    };
    let rules = "apiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\nspec: {backends: {allow: [{namespaces: [a], cidrs: [10.1.0.0/16], names: [\"*.example\"]}]}}\n---\n";
    let resolver = "apiVersion: igw.opensvc.com/v1alpha1\nkind: Resolver\nmetadata: {name: mine}\nspec: {nameservers: [{address: 192.0.2.53}]}\n---\n";
    let mine = "{resolverRef: {name: mine}, initAddr: [10.1.2.3, 10.9.9.9, none]}";

    // A service's name: asked of the cluster's servers, whatever a policy says.
    let service = templates(route("a.test", "{name: web, port: 80}") + &policy(mine) + resolver + rules);
    let guard = service[0].guard.clone().expect("a guard");
    assert_eq!((service[0].resolver.0, guard.only_allowed, guard.never.len()), (0, false, 0));
    assert_eq!(
        (guard.allow, guard.nodes),
        (vec!["10.1.0.0/16".to_owned()], vec!["10.0.0.1".parse().expect("an address")])
    );
    assert_eq!(
        service[0].init.len(),
        2,
        "an address that no rule opens is none to begin with: {:?}",
        service[0].init
    );

    // Another name: services of others are never used, and a server of one's own is believed what rules open alone.
    let target = policy(mine)
        .replace("group: \"\", kind: Service, name: web", "group: igw.opensvc.com, kind: Backend, name: x");
    let other = templates(
        route("a.test", TO_X)
            + &backend("{fqdn: {hostname: app.example, port: 80}}")
            + &target
            + resolver
            + rules,
    );
    let guard = other[0].guard.clone().expect("a guard");
    assert_eq!((guard.only_allowed, guard.never), (true, vec!["10.0.0.7".parse().expect("an address")]));
    assert_ne!(other[0].resolver.0, 0);
}
