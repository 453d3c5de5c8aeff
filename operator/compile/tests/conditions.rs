//! Conditions and reasons of the Gateway API, one case each, from YAML to status.

#[path = "conditions/listener_sets.rs"]
mod listener_sets;
#[path = "conditions/telemetry.rs"]
mod telemetry;

use std::sync::Arc;

use igw_compile::{Compiled, Facts, ObjectSet, Proxies, Status, Stored, compile, program};
use igw_crds::snapshot::{Action, Filter, Probe};
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
            Status::ListenerSet(set) => {
                add("", &set.conditions);
                set.listeners.iter().for_each(|listener| add(&listener.name, &listener.conditions));
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
        &gateway("g", "{name: a, port: 80, protocol: HTTP}, {name: b, port: 81, protocol: example.org/QUIC}"),
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
    let strange = "{filters: [{type: ExtensionRef, extensionRef: {group: a.test, kind: A, name: a}}], backendRefs: [{name: s, port: 80}]}";
    let good = "{matches: [{path: {value: /good}}], backendRefs: [{name: s, port: 80}]}";
    let all = gateway("g", WEB) + &route("r", &format!("parentRefs: [{{name: g}}], rules: [{strange}]"));
    check(&all, &["HTTPRoute r g Accepted=False/UnsupportedValue"]);
    let some =
        gateway("g", WEB) + &route("r", &format!("parentRefs: [{{name: g}}], rules: [{strange}, {good}]"));
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
fn a_mirror_that_leads_nowhere_is_left_out_and_told() {
    let mirrors = "[{type: RequestMirror, requestMirror: {backendRef: {group: igw.opensvc.com, kind: Backend, name: none}}}, {type: RequestMirror, requestMirror: {backendRef: {name: m, port: 1}, percent: 5}}]";
    let all = gateway("g", WEB)
        + &route(
            "r",
            &format!(
                "parentRefs: [{{name: g}}], rules: [{{filters: {mirrors}, backendRefs: [{{name: s, port: 80}}]}}]"
            ),
        );
    check(
        &all,
        &["HTTPRoute r g Accepted=True/Accepted", "HTTPRoute r g ResolvedRefs=False/BackendNotFound"],
    );
    let snapshot = compiled(&all).snapshot;
    let rule = &snapshot.routes[0].rules[0];
    assert!(matches!(rule.action, Action::Forward { .. }));
    let [Filter::Mirror(mirror)] = rule.filters.as_slice() else { panic!("{:?}", rule.filters) };
    assert_eq!((mirror.numerator, mirror.denominator), (5, 100));
    assert_eq!(snapshot.backends[mirror.backend.0 as usize].key, "Service/default/m:1");
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

fn l4(kind: &str, name: &str, spec: &str) -> String {
    route(name, spec).replace("HTTPRoute", kind)
}

#[test]
fn routes_of_connections() {
    let two = "{name: tcp, port: 80, protocol: TCP}, {name: web, port: 81, protocol: HTTP}";
    let to_tcp = format!("parentRefs: [{{name: g, sectionName: tcp}}], {TO_WEB}");
    let text = gateway("g", two) + &l4("TCPRoute", "older", &to_tcp) + &l4("TCPRoute", "younger", &to_tcp);
    check(&text, &["TCPRoute older g Accepted=True/Accepted", "TCPRoute younger g Accepted=True/Accepted"]);
    let compiled = compiled(&text);
    let Some((_, status)) = compiled.statuses.iter().find(|(key, _)| &*key.name == "g") else {
        panic!("no g")
    };
    let Status::Gateway(status) = &**status else { panic!("no gateway") };
    let attached: Vec<i32> = status.listeners.iter().map(|listener| listener.attached_routes).collect();
    assert_eq!(attached, [2, 0], "all are counted, though the oldest has the traffic");
    let kinds: Vec<&str> = status
        .listeners
        .iter()
        .flat_map(|listener| &listener.supported_kinds)
        .map(|kind| &*kind.kind)
        .collect();
    assert_eq!(kinds.first(), Some(&"TCPRoute"));

    let to_web = TO_WEB.replace("name: s", "name: s, namespace: other");
    check(
        &(gateway("g", two)
            + &l4("TCPRoute", "wrong", &format!("parentRefs: [{{name: g, sectionName: web}}], {TO_WEB}"))
            + &l4("TCPRoute", "far", &format!("parentRefs: [{{name: g}}], {to_web}"))
            + &l4(
                "TCPRoute",
                "none",
                "parentRefs: [{name: g}], rules: [{backendRefs: [{group: igw.opensvc.com, kind: Backend, name: b}]}]",
            )
            + &l4("TLSRoute", "tls", &format!("parentRefs: [{{name: g}}], hostnames: [a.test], {TO_WEB}"))),
        &[
            "TCPRoute wrong g Accepted=False/NotAllowedByListeners",
            "TCPRoute far g ResolvedRefs=False/RefNotPermitted",
            "TCPRoute none g Accepted=True/Accepted",
            "TCPRoute none g ResolvedRefs=False/BackendNotFound",
            "TLSRoute tls g Accepted=False/NotAllowedByListeners",
        ],
    );
    let grant = |kind: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{name: r, namespace: other}}\nspec:\n  \
             from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: default}}]\n  to: [{{group: \"\", kind: Service}}]\n"
        )
    };
    let far = gateway("g", two) + &l4("TCPRoute", "far", &format!("parentRefs: [{{name: g}}], {to_web}"));
    check(&(far.clone() + &grant("TCPRoute")), &["TCPRoute far g ResolvedRefs=True/ResolvedRefs"]);
    check(&(far + &grant("HTTPRoute")), &["TCPRoute far g ResolvedRefs=False/RefNotPermitted"]);
}

#[test]
fn routes_of_datagrams() {
    let listeners = "{name: dns, port: 53, protocol: UDP}, {name: tcp, port: 53, protocol: TCP}, {name: log, port: 514, protocol: UDP}";
    let to = |section: &str| format!("parentRefs: [{{name: g{section}}}], {TO_WEB}");
    let text = gateway("g", listeners)
        + &l4("UDPRoute", "all", &to(""))
        + &l4("UDPRoute", "by-port", &to(", port: 53"))
        + &l4("UDPRoute", "wrong", &to(", sectionName: tcp"))
        + &l4("TCPRoute", "too", &to(", sectionName: dns"))
        + &l4("TCPRoute", "right", &to(", port: 53"));
    check(
        &text,
        &[
            "Gateway g dns Conflicted=False/NoConflicts",
            "Gateway g tcp Conflicted=False/NoConflicts",
            "UDPRoute all g Accepted=True/Accepted",
            "UDPRoute by-port g Accepted=True/Accepted",
            "UDPRoute wrong g Accepted=False/NotAllowedByListeners",
            "TCPRoute too g Accepted=False/NotAllowedByListeners",
            "TCPRoute right g Accepted=True/Accepted",
        ],
    );
    let compiled = compiled(&text);
    let listeners = &compiled.snapshot.gateways[0].listeners;
    let attached: Vec<usize> = listeners.iter().map(|listener| listener.attachments.len()).collect();
    assert_eq!(attached, [2, 1, 1], "datagrams and connections of one port have routes of their own");
    let found: Vec<(&str, Option<&Probe>)> = (compiled.snapshot.backends.iter())
        .map(|backend| (&*backend.key, backend.active.as_ref().map(|check| &check.probe)))
        .collect();
    assert!(
        found.iter().any(|(key, probe)| key.ends_with("/udp") && probe.is_none())
            && found.iter().any(|(key, probe)| !key.ends_with("/udp") && *probe == Some(&Probe::Tcp)),
        "whoever takes datagrams need not take connections: {found:?}"
    );

    let unix = gateway("g", "{name: dns, port: 53, protocol: UDP}")
        + &l4(
            "UDPRoute",
            "u",
            "parentRefs: [{name: g}], rules: [{backendRefs: [{group: igw.opensvc.com, kind: Backend, name: b}]}]",
        )
        + "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {name: b}\nspec: {endpoints: [{unix: {path: /run/b.sock}}]}\n";
    check(&unix, &["UDPRoute u g ResolvedRefs=False/UnsupportedProtocol"]);
}

#[test]
fn listeners_of_names() {
    let pass = "{name: pass, port: 443, protocol: TLS, hostname: \"*.a.test\", tls: {mode: Passthrough}}";
    let ended = "{name: ended, port: 443, protocol: TLS, hostname: b.test, tls: {mode: Terminate, certificateRefs: [{name: s}]}}";
    let web =
        "{name: web, port: 443, protocol: HTTPS, hostname: c.test, tls: {certificateRefs: [{name: s}]}}";
    let of = |names: &str| format!("parentRefs: [{{name: g}}], hostnames: [{names}], {TO_WEB}");
    check(
        &(gateway("g", &[pass, ended, web].join(", "))
            + &l4("TLSRoute", "a", &of("x.a.test"))
            + &l4("TLSRoute", "b", &of("b.test"))
            + &l4("TLSRoute", "c", &of("c.test"))
            + &l4("TCPRoute", "t", &format!("parentRefs: [{{name: g}}], {TO_WEB}"))),
        &[
            "Gateway g pass Accepted=True/Accepted",
            "Gateway g pass Programmed=Unknown/Pending",
            "Gateway g ended Accepted=True/Accepted",
            "Gateway g ended ResolvedRefs=False/InvalidCertificateRef",
            "Gateway g web Accepted=True/Accepted",
            "TLSRoute a g Accepted=True/Accepted",
            "TLSRoute b g Accepted=True/Accepted",
            "TLSRoute c g Accepted=False/NoMatchingListenerHostname",
            "TCPRoute t g Accepted=True/Accepted",
        ],
    );
    let twice = web.replace("web", "twice").replace("c.test", "\"*.a.test\"");
    let tcp = "{name: tcp, port: 443, protocol: TCP}";
    let http = "{name: http, port: 443, protocol: HTTP}";
    for (other, reason) in [(tcp, "ProtocolConflict"), (http, "ProtocolConflict")] {
        let wanted = format!("Gateway g pass Accepted=False/{reason}");
        check(
            &gateway("g", &format!("{pass}, {other}")),
            &[&wanted, "Gateway g Accepted=False/ListenersNotValid"],
        );
    }
    check(&gateway("g", &format!("{pass}, {twice}")), &["Gateway g twice Accepted=False/HostnameConflict"]);
}

#[test]
fn policies_of_clients() {
    let policy = |name: &str, target: &str, fields: &str| {
        format!(
            "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: ClientPolicy\nmetadata: {{name: {name}}}\nspec: {{targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, {target}}}], {fields}}}\n"
        )
    };
    let text = gateway("g", "{name: web, port: 80, protocol: HTTP}, {name: more, port: 81, protocol: HTTP}")
        + &policy("whole", "name: g", "hsts: {includeSubDomains: true}, trustedProxies: [10.0.0.0/8]")
        + &policy("again", "name: g", "hsts: {}")
        + &policy(
            "part",
            "name: g, sectionName: more",
            "hsts: {maxAge: 90s}, http2: {maxConcurrentStreams: 7}",
        )
        + &policy("lost", "name: other", "hsts: {}")
        + &policy("astray", "name: g, sectionName: none", "hsts: {}");
    check(
        &text,
        &[
            "ClientPolicy whole g Accepted=True/Accepted",
            "ClientPolicy again g Accepted=False/Conflicted",
            "ClientPolicy part g Accepted=True/Accepted",
            "ClientPolicy lost other Accepted=False/TargetNotFound",
            "ClientPolicy astray g Accepted=False/TargetNotFound",
        ],
    );
    let compiled = compiled(&text);
    let found: Vec<_> =
        compiled.snapshot.gateways[0].listeners.iter().map(|listener| listener.client.clone()).collect();
    let [Some(web), Some(more)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(web.hsts.as_deref(), Some("max-age=31536000; includeSubDomains"));
    assert_eq!(web.trusted_proxies, ["10.0.0.0/8"]);
    assert_eq!((more.hsts.as_deref(), more.http2_streams), (Some("max-age=90"), Some(7)));
    assert!(more.trusted_proxies.is_empty(), "the policy of a listener counts alone");
}

fn grpc_route(name: &str, spec: &str) -> String {
    route(name, spec).replace("HTTPRoute", "GRPCRoute")
}

#[test]
fn calls_and_requests_share_listeners_and_no_hostname() {
    let calls = "parentRefs: [{name: g}], hostnames: [a.test], rules: [{backendRefs: [{name: s, port: 80}]}]";
    let text = gateway("g", WEB)
        + &grpc_route("calls", calls)
        + &route("same", &format!("parentRefs: [{{name: g}}], hostnames: [a.test, b.test], {TO_WEB}"))
        + &route("other", &format!("parentRefs: [{{name: g}}], hostnames: [c.test], {TO_WEB}"));
    check(
        &text,
        &[
            "GRPCRoute calls g Accepted=True/Accepted",
            "HTTPRoute same g Accepted=False/NotAllowedByListeners",
            "HTTPRoute other g Accepted=True/Accepted",
        ],
    );
    let Compiled { snapshot, .. } = compiled(
        &(gateway("g", WEB)
            + &grpc_route(
                "calls",
                "parentRefs: [{name: g}], rules: [{matches: [{method: {service: a.B, method: C}}, {method: {service: a.B}}, {method: {method: C}}, {method: {type: RegularExpression, service: 'a[.].*'}}], backendRefs: [{name: s, port: 80}]}, {}]",
            )),
    );
    let paths: Vec<String> = snapshot.routes[0]
        .rules
        .iter()
        .flat_map(|rule| &rule.matches)
        .map(|one| serde_json::to_string(&one.path).unwrap_or_default())
        .collect();
    assert_eq!(
        paths,
        [
            r#"{"type":"Exact","value":"/a.B/C"}"#,
            r#"{"type":"Prefix","value":"/a.B"}"#,
            r#"{"type":"Method","value":"C"}"#,
            r#"{"type":"Regex","value":"/(?:a[.].*)/(?:[^/]+)"}"#,
            r#"{"type":"Prefix","value":"/"}"#,
        ]
    );
    // Without a back end every call is answered with an error.
    assert!(matches!(snapshot.routes[0].rules[1].action, Action::Respond { status: 500, .. }));
}

#[test]
fn policies_for_tls_with_back_ends() {
    let policy = |name: &str, target: &str, validation: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: {name}}}\nspec:\n  targetRefs: [{{group: \"\", kind: Service, {target}}}]\n  validation: {{hostname: s.test, {validation}}}\n"
        )
    };
    let system = "wellKnownCACertificates: System";
    let nowhere = "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: none}]";
    let secret = "caCertificateRefs: [{group: \"\", kind: Secret, name: none}]";
    let base = gateway("g", WEB) + &route("r", &format!("parentRefs: [{{name: g}}], {TO_WEB}"));
    let cases = [
        (policy("p", "name: s", system), "Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"),
        (
            policy("p", "name: s", nowhere),
            "Accepted=False/NoValidCACertificate",
            "ResolvedRefs=False/InvalidCACertificateRef",
        ),
        (
            policy("p", "name: s", secret),
            "Accepted=False/NoValidCACertificate",
            "ResolvedRefs=False/InvalidKind",
        ),
        (
            policy("p", "name: s", "wellKnownCACertificates: other.test/set"),
            "Accepted=False/Invalid",
            "ResolvedRefs=True/ResolvedRefs",
        ),
    ];
    for (policy, accepted, resolved) in cases {
        let wanted = [accepted, resolved].map(|condition| format!("BackendTLSPolicy p g {condition}"));
        check(&(base.clone() + &policy), &[&wanted[0], &wanted[1]]);
        let compiled = compiled(&(base.clone() + &policy));
        assert!(compiled.snapshot.backends[0].tls.is_some(), "never in cleartext: {policy}");
    }
    // Of two for one target the older counts; one for the port comes before both.
    let old = policy("old", "name: s", system);
    let new = policy("new", "name: s", nowhere);
    let port = policy("port", "name: s, sectionName: \"80\"", system).replace("s.test", "port.test");
    check(
        &(base.clone() + &old + &new + &port),
        &[
            "BackendTLSPolicy old g Accepted=True/Accepted",
            "BackendTLSPolicy new g Accepted=False/Conflicted",
            "BackendTLSPolicy port g Accepted=True/Accepted",
        ],
    );
    let compiled = compiled(&(base.clone() + &old + &new + &port));
    let tls = compiled.snapshot.backends[0].tls.as_ref().map(|tls| tls.server_name.as_str());
    assert_eq!(tls, Some("port.test"));
    // One that no gateway uses says nothing of any.
    let elsewhere = conditions(&self::compiled(&(base + &policy("p", "name: other", system))).statuses);
    assert!(!elsewhere.iter().any(|line| line.starts_with("BackendTLSPolicy")), "{elsewhere:?}");
}

#[test]
fn filters_of_listeners_are_found_or_told() {
    let listener =
        |filter: &str| format!("{{name: web, port: 80, protocol: HTTP, filters: {{requests: [{filter}]}}}}");
    let auth = |namespace: &str| {
        format!(
            "{{type: ExternalAuth, externalAuth: {{protocol: GRPC, grpc: {{}}, backendRef: {{name: auth, namespace: {namespace}, port: 80}}}}}}"
        )
    };
    let text = |filter: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g}}\nspec: {{gatewayClassName: igw, listeners: [{}]}}\n",
            listener(filter)
        )
    };
    let gateway = |filter: &str| compiled(&text(filter));
    let made = gateway(&auth("default"));
    let filters = &made.snapshot.gateways[0].listeners[0].filters;
    assert!(matches!(filters[..], [Filter::Authorize(_)]), "{filters:?}");
    assert_eq!(made.snapshot.backends.len(), 1);
    let part = igw_compile::share(&made.snapshot, 0);
    assert_eq!(part.backends.len(), 1, "a proxy knows whom it asks");
    // Without a grant nothing goes on.
    let made = gateway(&auth("elsewhere"));
    let filters = &made.snapshot.gateways[0].listeners[0].filters;
    assert!(matches!(filters[..], [Filter::Fail { status: 500, .. }]), "{filters:?}");
    let told = conditions(&made.statuses);
    assert!(told.contains(&"Gateway g web ResolvedRefs=False/RefNotPermitted".to_owned()), "{told:?}");
    // A grant is for the kind that refers.
    for (kind, is_granted) in [("Gateway", true), ("ListenerSet", false), ("HTTPRoute", false)] {
        let made = compiled(&format!(
            "{}---\napiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{name: x, namespace: elsewhere}}\nspec:\n  from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: default}}]\n  to: [{{group: \"\", kind: Service, name: auth}}]\n",
            text(&auth("elsewhere"))
        ));
        let filters = &made.snapshot.gateways[0].listeners[0].filters;
        assert_eq!(matches!(filters[..], [Filter::Authorize(_)]), is_granted, "{kind}: {filters:?}");
    }
    let made = gateway("{type: ExtensionRef, extensionRef: {group: example.test, kind: Other, name: x}}");
    assert!(made.snapshot.gateways.iter().all(|gateway| gateway.listeners.is_empty()));
    let told = conditions(&made.statuses);
    assert!(told.contains(&"Gateway g web Accepted=False/UnsupportedValue".to_owned()), "{told:?}");
}
