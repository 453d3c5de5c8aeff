//! Conditions and reasons of the Gateway API, one case each, from YAML to status.

use std::sync::Arc;

use igw_compile::{Compiled, Facts, ObjectSet, Proxies, Status, Stored, compile, program};
use igw_crds::snapshot::Action;
use igw_crds::sync::{BindFailure, BindFailureKind, ListenerReport, Report};
use igw_crds::yaml::read;
use jiff::Timestamp;

/// Compiles documents; each is one second younger than the one before.
#[track_caller]
fn compiled(text: &str) -> Compiled {
    let reading = read("case", text);
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    let mut set = ObjectSet::default();
    for (age, document) in reading.documents.iter().enumerate() {
        let stored = Stored {
            object: document.object.clone(),
            uid: "".into(),
            created: Timestamp::from_second(age as i64).expect("a time"),
            generation: 7,
        };
        set.insert(document.object.key.clone(), stored);
    }
    compile(&set, &Facts { cluster: "test".to_owned(), ..Facts::default() })
}

/// Every condition as `Kind name [part] Type=Status/Reason`, sorted.
fn conditions(statuses: &[(igw_crds::objects::ObjectKey, Arc<Status>)]) -> Vec<String> {
    let mut found = Vec::new();
    for (key, status) in statuses {
        let mut add = |part: &str, conditions: &[igw_compile::status::Condition]| {
            for condition in conditions {
                assert_eq!(condition.observed_generation, 7);
                let part = if part.is_empty() { String::new() } else { format!(" {part}") };
                found.push(format!(
                    "{} {}{part} {}={}/{}",
                    key.kind, key.name, condition.r#type, condition.status, condition.reason
                ));
            }
        };
        match &**status {
            Status::Certificate(certificate) => add("", &certificate.conditions),
            Status::Issuer(issuer) => add("", &issuer.conditions),
            Status::Class(class) => add("", &class.conditions),
            Status::Gateway(gateway) => {
                add("", &gateway.conditions);
                gateway.listeners.iter().for_each(|listener| add(&listener.name, &listener.conditions));
            }
            Status::Route(route) => {
                route.parents.iter().for_each(|parent| add(&parent.parent_ref.name, &parent.conditions))
            }
            Status::Policy(policy) => policy
                .ancestors
                .iter()
                .for_each(|ancestor| add(&ancestor.ancestor_ref.name, &ancestor.conditions)),
        }
    }
    found
}

#[track_caller]
fn check(text: &str, wanted: &[&str]) {
    let found = conditions(&compiled(text).statuses);
    for one in wanted {
        assert!(found.iter().any(|found| found == one), "no {one} in\n{}", found.join("\n"));
    }
}

fn gateway(name: &str, listeners: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\nspec:\n  gatewayClassName: igw\n  listeners: [{listeners}]\n"
    )
}

fn route(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
}

const WEB: &str = "{name: web, port: 80, protocol: HTTP}";
const TO_WEB: &str = "rules: [{backendRefs: [{name: s, port: 80}]}]";

#[test]
fn gateways_and_listeners() {
    check(
        &gateway("g", WEB),
        &[
            "Gateway g Accepted=True/Accepted",
            "Gateway g Programmed=Unknown/Pending",
            "Gateway g web Accepted=True/Accepted",
            "Gateway g web Conflicted=False/NoConflicts",
            "Gateway g web ResolvedRefs=True/ResolvedRefs",
        ],
    );
    check(
        &gateway("g", "{name: a, port: 80, protocol: HTTP}, {name: b, port: 81, protocol: UDP}"),
        &["Gateway g Accepted=True/ListenersNotValid", "Gateway g b Accepted=False/UnsupportedProtocol"],
    );
    check(
        &gateway("g", "{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: TCP}"),
        &[
            "Gateway g Accepted=False/ListenersNotValid",
            "Gateway g a Accepted=False/ProtocolConflict",
            "Gateway g b Conflicted=True/ProtocolConflict",
        ],
    );
    check(
        &gateway("g", "{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: TCPRoute}]}}"),
        &["Gateway g a ResolvedRefs=False/InvalidRouteKinds"],
    );
    check(
        &(gateway("g1", WEB) + &gateway("g2", WEB)),
        &["Gateway g1 web Accepted=True/Accepted", "Gateway g2 web Accepted=False/PortUnavailable"],
    );
    let addressed = gateway("g", WEB)
        .replace("  listeners", "  addresses: [{type: NamedAddress, value: x}]\n  listeners");
    check(
        &addressed,
        &["Gateway g Accepted=False/UnsupportedAddress", "Gateway g web Programmed=False/Invalid"],
    );
    let parameters = gateway("g", WEB).replace(
        "  listeners",
        "  infrastructure: {parametersRef: {group: igw.opensvc.com, kind: GatewayConfig, name: no}}\n  listeners",
    );
    check(&parameters, &["Gateway g Accepted=False/InvalidParameters"]);
}

#[test]
fn foreign_classes_are_left_alone() {
    let class = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: other}\nspec: {controllerName: other.example/c}\n";
    let text =
        class.to_owned() + &gateway("g", WEB).replace("gatewayClassName: igw", "gatewayClassName: other");
    let compiled = compiled(&text);
    assert!(
        compiled.statuses.is_empty() && compiled.snapshot.gateways.is_empty() && compiled.warnings.is_empty()
    );
    let unknown =
        self::compiled(&gateway("g", WEB).replace("gatewayClassName: igw", "gatewayClassName: none"));
    assert_eq!(unknown.warnings.len(), 1);
}

#[test]
fn attachment() {
    let scene = |spec: &str| {
        gateway("g", "{name: web, port: 80, protocol: HTTP, hostname: \"*.a.test\"}") + &route("r", spec)
    };
    for (spec, wanted) in [
        (format!("parentRefs: [{{name: g}}], {TO_WEB}"), "HTTPRoute r g Accepted=True/Accepted"),
        (
            format!("parentRefs: [{{name: g, sectionName: no}}], {TO_WEB}"),
            "HTTPRoute r g Accepted=False/NoMatchingParent",
        ),
        (
            format!("parentRefs: [{{name: g, port: 81}}], {TO_WEB}"),
            "HTTPRoute r g Accepted=False/NoMatchingParent",
        ),
        (
            format!("parentRefs: [{{name: g}}], hostnames: [b.test], {TO_WEB}"),
            "HTTPRoute r g Accepted=False/NoMatchingListenerHostname",
        ),
    ] {
        check(&scene(&spec), &[wanted]);
    }
    let elsewhere = scene(&format!("parentRefs: [{{name: g, namespace: default}}], {TO_WEB}"))
        .replace("{name: r}", "{name: r, namespace: other}");
    check(&elsewhere, &["HTTPRoute r g Accepted=False/NotAllowedByListeners"]);
    let all = elsewhere.replace("hostname:", "allowedRoutes: {namespaces: {from: All}}, hostname:");
    check(&all, &["HTTPRoute r g Accepted=True/Accepted"]);
    let selected = elsewhere.replace(
        "hostname:",
        "allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: x}}}}, hostname:",
    );
    check(&selected, &["HTTPRoute r g Accepted=False/NotAllowedByListeners"]);
    let labelled =
        selected + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: x}}\n";
    check(&labelled, &["HTTPRoute r g Accepted=True/Accepted"]);
}

#[test]
fn references() {
    let scene = |reference: &str| {
        gateway("g", WEB)
            + &route("r", &format!("parentRefs: [{{name: g}}], rules: [{{backendRefs: [{{{reference}}}]}}]"))
    };
    check(&scene("name: s, port: 80"), &["HTTPRoute r g ResolvedRefs=True/ResolvedRefs"]);
    check(
        &scene("name: s, kind: Pod, port: 80"),
        &["HTTPRoute r g ResolvedRefs=False/InvalidKind", "HTTPRoute r g Accepted=True/Accepted"],
    );
    check(
        &scene("name: b, group: igw.opensvc.com, kind: Backend"),
        &["HTTPRoute r g ResolvedRefs=False/BackendNotFound"],
    );
    let crossing = scene("name: s, namespace: pay, port: 80");
    check(&crossing, &["HTTPRoute r g ResolvedRefs=False/RefNotPermitted"]);
    let grant = |from: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{name: x, namespace: pay}}\nspec:\n  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}]\n  to: [{{group: \"\", kind: Service, name: s}}]\n"
        )
    };
    check(&(crossing.clone() + &grant("default")), &["HTTPRoute r g ResolvedRefs=True/ResolvedRefs"]);
    check(&(crossing + &grant("other")), &["HTTPRoute r g ResolvedRefs=False/RefNotPermitted"]);
}

#[test]
fn what_is_not_served_is_told_and_answers_500() {
    let mirror = "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 1}}}], backendRefs: [{name: s, port: 80}]}";
    let good = "{matches: [{path: {value: /good}}], backendRefs: [{name: s, port: 80}]}";
    let all = gateway("g", WEB) + &route("r", &format!("parentRefs: [{{name: g}}], rules: [{mirror}]"));
    check(&all, &["HTTPRoute r g Accepted=False/UnsupportedValue"]);
    let some =
        gateway("g", WEB) + &route("r", &format!("parentRefs: [{{name: g}}], rules: [{mirror}, {good}]"));
    check(
        &some,
        &["HTTPRoute r g Accepted=True/Accepted", "HTTPRoute r g PartiallyInvalid=True/UnsupportedValue"],
    );
    let compiled = compiled(&some);
    assert!(matches!(compiled.snapshot.routes[0].rules[0].action, Action::Respond { status: 500, .. }));
    assert!(matches!(compiled.snapshot.routes[0].rules[1].action, Action::Forward { .. }));
    let regex = gateway("g", WEB)
        + &route(
            "r",
            "parentRefs: [{name: g}], rules: [{matches: [{path: {type: RegularExpression, value: \"(\"}}]}]",
        );
    check(&regex, &["HTTPRoute r g Accepted=False/UnsupportedValue"]);
}

#[test]
fn policies() {
    let backend = "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {name: b}\nspec: {endpoints: [{ip: {address: 127.0.0.1, port: 1}}]}\n";
    let policy = |name: &str, more: &str| {
        format!(
            "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: BackendPolicy\nmetadata: {{name: {name}}}\nspec: {{targetRefs: [{{group: igw.opensvc.com, kind: Backend, name: b}}]{more}}}\n"
        )
    };
    check(&policy("p", ""), &["BackendPolicy p b Accepted=False/TargetNotFound"]);
    check(
        &(backend.to_owned() + &policy("z", "") + &policy("a", "")),
        &["BackendPolicy z b Accepted=True/Accepted", "BackendPolicy a b Accepted=False/Conflicted"],
    );
    check(
        &(backend.to_owned() + &policy("p", ", discovery: {networks: [10.0.0.0/8]}")),
        &["BackendPolicy p b Accepted=False/Invalid"],
    );
}

#[test]
fn programmed_is_what_proxies_say() {
    let compiled =
        compiled(&gateway("g", "{name: a, port: 80, protocol: HTTP}, {name: b, port: 81, protocol: HTTP}"));
    let listener = |name: &str, bound: bool, error: Option<BindFailureKind>| ListenerReport {
        gateway: "default/g".to_owned(),
        listener: name.to_owned(),
        bound: if bound { vec!["127.0.0.1:80".parse().expect("an address")] } else { Vec::new() },
        error: error.map(|kind| BindFailure {
            address: "127.0.0.1:81".parse().expect("an address"),
            kind,
            message: "why".to_owned(),
        }),
    };
    let report = Report {
        listeners: vec![listener("a", true, None), listener("b", false, Some(BindFailureKind::PortInUse))],
        serving: true,
        refused: None,
    };
    let found = conditions(&program(&compiled, &told(report)));
    for wanted in [
        "Gateway g Programmed=True/Programmed",
        "Gateway g a Programmed=True/Programmed",
        "Gateway g b Programmed=False/PortUnavailable",
    ] {
        assert!(found.iter().any(|found| found == wanted), "no {wanted} in {found:?}");
    }
    let unusable = Report {
        listeners: vec![listener("a", false, Some(BindFailureKind::AddressNotUsable))],
        serving: true,
        refused: None,
    };
    let found = conditions(&program(&compiled, &told(unusable)));
    assert!(found.contains(&"Gateway g Programmed=False/AddressNotUsable".to_owned()), "{found:?}");
    assert_eq!(conditions(&program(&compiled, &Proxies::default())), conditions(&compiled.statuses));
}

fn told(report: Report) -> Proxies {
    Proxies { report, ..Proxies::default() }
}

#[test]
fn a_broken_object_changes_no_other() {
    let steady =
        gateway("g", WEB) + &route("a", &format!("parentRefs: [{{name: g}}], hostnames: [a.test], {TO_WEB}"));
    let alone = compiled(&steady);
    for broken in [
        route(
            "z",
            "parentRefs: [{name: g}], hostnames: [z.test], rules: [{backendRefs: [{name: x, kind: Pod}]}]",
        ),
        route("z", "parentRefs: [{name: no}]"),
        route("z", "parentRefs: [{name: g, sectionName: no}]"),
        gateway("z", "{name: a, port: 80, protocol: TCP}"),
    ] {
        let with = compiled(&(steady.clone() + &broken));
        assert_eq!(with.snapshot.routes[0], alone.snapshot.routes[0]);
        assert_eq!(with.snapshot.backends[0], alone.snapshot.backends[0]);
        let listener = &with.snapshot.gateways[0].listeners[0];
        assert_eq!(listener.attachments[0], alone.snapshot.gateways[0].listeners[0].attachments[0]);
        let status = |compiled: &Compiled| {
            compiled.statuses.iter().find(|(key, _)| &*key.name == "a").map(|(_, status)| status.clone())
        };
        assert_eq!(status(&with), status(&alone));
    }
    let again = compiled(&steady);
    assert_eq!((again.snapshot, again.statuses), (alone.snapshot, alone.statuses), "same input, same output");
}

#[test]
fn hostnames_and_endpoints_that_a_gateway_config_does_not_allow() {
    let config = |fields: &str| {
        format!(
            "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: default, namespace: system}}\nspec: {{{fields}}}\n"
        )
    };
    let hostnames = config("allowedHostnames: [{hostnames: [\"*.test\"], namespaces: [default]}]");
    for (route_fields, is_accepted) in [
        ("hostnames: [a.test]", true),
        ("hostnames: [a.test, b.example]", false),
        ("hostnames: [b.example]", false),
        ("rules: [{name: all}]", false),
    ] {
        let route = route("a", &format!("parentRefs: [{{name: g}}], {route_fields}"));
        let compiled = compiled(&(gateway("g", WEB) + &route + &hostnames));
        let expected = if is_accepted {
            "HTTPRoute a g Accepted=True/Accepted"
        } else {
            "HTTPRoute a g Accepted=False/NotAllowedByListeners"
        };
        let found = conditions(&compiled.statuses);
        assert!(found.iter().any(|found| found == expected), "{route_fields}: {found:?}");
    }
    let rules = config(
        "backends: {allow: [{namespaces: [\"*\"], cidrs: [10.0.0.0/8, \"fd00::/8\"], names: [\"*.example.net\"]}]}",
    );
    for (endpoint, is_allowed) in [
        ("ip: {address: 10.255.0.1, port: 1}", true),
        ("ip: {address: 11.0.0.1, port: 1}", false),
        ("ip: {address: \"fd12::1\", port: 1}", true),
        ("ip: {address: \"fe80::1\", port: 1}", false),
        ("fqdn: {hostname: a.example.net, port: 1}", true),
        ("fqdn: {hostname: example.net, port: 1}", false),
        ("unix: {path: /run/a.sock}", false),
    ] {
        let backend = format!(
            "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {{name: b}}\nspec: {{endpoints: [{{{endpoint}}}]}}\n"
        );
        let to_backend = "rules: [{backendRefs: [{group: igw.opensvc.com, kind: Backend, name: b}]}]";
        let route = route("a", &format!("parentRefs: [{{name: g}}], {to_backend}"));
        let compiled = compiled(&(gateway("g", WEB) + &route + &backend + &rules));
        let expected = if is_allowed {
            "HTTPRoute a g ResolvedRefs=True/ResolvedRefs"
        } else {
            "HTTPRoute a g ResolvedRefs=False/RefNotPermitted"
        };
        let found = conditions(&compiled.statuses);
        assert!(found.iter().any(|found| found == expected), "{endpoint}: {found:?}");
    }
}
