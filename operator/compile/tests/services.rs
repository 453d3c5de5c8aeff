//! Services whose endpoints are told.

mod documents;

use igw_compile::status::Condition;
use igw_compile::{Compiled, Facts, ServicePort, Services, Status, compile};
use igw_crds::snapshot::{Action, Backend, BackendProtocol, EndpointSource};

use documents::objects;

/// Compiles documents of namespace `a` with services `a/web` (ports 80, 81, 82, 83) and `b/web` (80).
#[track_caller]
fn compiled(text: &str) -> Compiled {
    let port = |name: &str, protocol: Option<&str>, endpoints: &[&str]| ServicePort {
        name: Some(name.to_owned()),
        app_protocol: protocol.map(str::to_owned),
        endpoints: endpoints.iter().map(|address| address.parse().expect("an address")).collect(),
    };
    let web = [
        (80, port("plain", Some("http"), &["10.0.0.2:3000", "10.0.0.1:3000", "10.0.0.2:3000"])),
        (81, port("second", Some("kubernetes.io/h2c"), &["10.0.0.1:3001"])),
        (82, port("empty", Some("kubernetes.io/ws"), &[])),
        (83, port("other", Some("kubernetes.io/wss"), &["10.0.0.1:3003"])),
    ];
    let services = Services(
        [
            ("a/web".to_owned(), web.into_iter().collect()),
            ("b/web".to_owned(), [(80, port("plain", None, &["10.0.0.9:80"]))].into()),
        ]
        .into(),
    );
    let facts = Facts { cluster: "blue".to_owned(), services: Some(services), ..Facts::default() };
    compile(&objects(text), &facts)
}

/// A route of namespace `a` to one back end.
fn route(target: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g}}\n\
         spec: {{gatewayClassName: igw, listeners: [{{name: web, port: 80, protocol: HTTP}}]}}\n---\n\
         apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\n\
         spec: {{parentRefs: [{{name: g}}], rules: [{{backendRefs: [{{{target}}}]}}]}}\n"
    )
}

#[track_caller]
fn backend(target: &str) -> Backend {
    let compiled = compiled(&route(target));
    assert_eq!(resolved(&compiled).status, "True");
    compiled.snapshot.backends.first().expect("a back end").clone()
}

fn resolved(compiled: &Compiled) -> Condition {
    let found = compiled.statuses.iter().find_map(|(key, status)| match &**status {
        Status::Route(route) if &*key.name == "r" => route.parents.first(),
        _ => None,
    });
    let conditions = &found.expect("a parent").conditions;
    conditions.iter().find(|condition| condition.r#type == "ResolvedRefs").expect("a condition").clone()
}

#[test]
fn a_known_service_is_its_endpoints() {
    let plain = backend("name: web, port: 80");
    let addresses = ["10.0.0.1:3000", "10.0.0.2:3000"];
    let sources =
        addresses.map(|address| EndpointSource::Address { address: address.parse().expect("an address") });
    assert_eq!(plain.sources, sources);
    assert_eq!(plain.active, None);
    assert_eq!(plain.protocol, BackendProtocol::Http1);
    assert_eq!(backend("name: web, port: 81").protocol, BackendProtocol::Http2);
    let empty = backend("name: web, port: 82");
    assert_eq!((empty.sources.len(), empty.protocol), (0, BackendProtocol::Http1));
}

#[test]
fn what_is_not_known_is_a_bad_reference() {
    let cases = [
        ("name: nobody, port: 80", "BackendNotFound", "Service a/nobody does not exist"),
        ("name: web, port: 8", "BackendNotFound", "has no port 8; it has: 80, 81, 82, 83"),
        ("name: web, port: 83", "UnsupportedProtocol", "speaks kubernetes.io/wss"),
        ("name: web, namespace: b, port: 80", "RefNotPermitted", "no ReferenceGrant in namespace b"),
    ];
    for (target, reason, message) in cases {
        let compiled = compiled(&route(target));
        let condition = resolved(&compiled);
        assert_eq!((condition.status, condition.reason), ("False", reason), "{target}");
        assert!(condition.message.contains(message), "{}", condition.message);
        let rule = compiled.snapshot.routes.first().and_then(|route| route.rules.first()).expect("a rule");
        let Action::Forward { backends } = &rule.action else { panic!("{target}: {:?}", rule.action) };
        assert!(backends.iter().all(|backend| backend.backend.is_none()), "{target}");
    }
}

#[test]
fn policies_name_ports_as_services_do() {
    let policy = |name: &str, section: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: {name}}}\n\
             spec: {{targetRefs: [{{group: '', kind: Service, name: web{section}}}], \
             validation: {{hostname: {name}.test, wellKnownCACertificates: System}}}}\n"
        )
    };
    let policies =
        [policy("all", ""), policy("named", ", sectionName: plain"), policy("late", ", sectionName: plain")];
    let server = |target: &str| {
        let compiled = compiled(&format!("{}{}", route(target), policies.concat()));
        let tls = compiled.snapshot.backends.first().and_then(|backend| backend.tls.clone());
        (tls.expect("TLS").server_name, compiled)
    };
    let (name, compiled) = server("name: web, port: 80");
    assert_eq!(name, "named.test");
    let accepted = |name: &str| {
        let found = compiled.statuses.iter().find_map(|(key, status)| match &**status {
            Status::Policy(policy) if &*key.name == name => policy.ancestors.first(),
            _ => None,
        });
        found.expect("an ancestor").conditions.first().expect("a condition").reason.to_string()
    };
    assert_eq!(accepted("named"), "Accepted");
    assert_eq!(accepted("all"), "Accepted");
    assert_eq!(accepted("late"), "Conflicted");
    assert_eq!(server("name: web, port: 81").0, "all.test");
}
