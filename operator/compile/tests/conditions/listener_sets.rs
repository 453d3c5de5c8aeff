//! Of ListenerSets and what attaches to them.

use igw_compile::{ObjectSet, Status, Stored, program, references};
use igw_crds::sync::{BindFailure, BindFailureKind, ListenerReport, Report};
use igw_crds::yaml::read;
use jiff::Timestamp;

use super::{TO_WEB, WEB, check, compiled, conditions, gateway, route, told};

/// A set of gateway `default/g` in a namespace.
fn set(namespace: &str, name: &str, listeners: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  parentRef: {{name: g, namespace: default}}\n  listeners: [{listeners}]\n"
    )
}

/// Gateway `g` that takes sets as told.
fn open_gateway(from: &str) -> String {
    gateway("g", WEB) + &format!("  allowedListeners: {{namespaces: {{{from}}}}}\n")
}

#[test]
fn sets_attach_where_their_gateway_takes_them() {
    let more = "{name: more, port: 81, protocol: HTTP}";
    let labelled = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n";
    let select = "from: Selector, selector: {matchLabels: {team: a}}";
    for (head, namespace, is_taken) in [
        (gateway("g", WEB), "default", false),
        (open_gateway("from: None"), "default", false),
        (open_gateway("from: Same"), "default", true),
        (open_gateway("from: Same"), "shop", false),
        (open_gateway("from: All"), "shop", true),
        (open_gateway(select) + labelled, "shop", true),
        (open_gateway(select) + labelled, "other", false),
    ] {
        let text = head + &set(namespace, "s", more);
        let snapshot = compiled(&text).snapshot;
        let names: Vec<&str> =
            snapshot.gateways[0].listeners.iter().map(|listener| listener.name.as_str()).collect();
        if is_taken {
            check(
                &text,
                &[
                    "ListenerSet s Accepted=True/Accepted",
                    "ListenerSet s Programmed=Unknown/Pending",
                    "ListenerSet s more Accepted=True/Accepted",
                    "ListenerSet s more Conflicted=False/NoConflicts",
                ],
            );
            assert_eq!(names, ["web", &format!("{namespace}/s/more")]);
        } else {
            check(
                &text,
                &["ListenerSet s Accepted=False/NotAllowed", "ListenerSet s Programmed=False/NotAllowed"],
            );
            assert_eq!(names, ["web"]);
        }
        let compiled = compiled(&text);
        let n_attached = compiled.statuses.iter().find_map(|(_, status)| match &**status {
            Status::Gateway(gateway) => Some(gateway.attached_listener_sets),
            _ => None,
        });
        assert_eq!(n_attached, Some(i32::from(is_taken)));
    }
    // Of a gateway that is not accepted, or not there.
    let refused = open_gateway("from: All")
        .replace("  listeners", "  addresses: [{type: NamedAddress, value: x}]\n  listeners");
    check(
        &(refused + &set("shop", "s", more)),
        &[
            "ListenerSet s Accepted=False/ParentNotAccepted",
            "ListenerSet s Programmed=False/ParentNotProgrammed",
        ],
    );
    assert!(compiled(&set("shop", "s", more)).statuses.iter().all(|(key, _)| &*key.name != "s"));
}

#[test]
fn the_gateway_comes_before_its_sets_and_the_older_set_before_the_younger() {
    let all = open_gateway("from: All")
        + &set(
            "b",
            "older",
            "{name: x, port: 81, protocol: HTTP, hostname: a.test}, {name: web, port: 80, protocol: HTTP}",
        )
        + &set(
            "a",
            "younger",
            "{name: x, port: 81, protocol: HTTP, hostname: a.test}, {name: y, port: 81, protocol: HTTP, hostname: b.test}",
        )
        + &set("a", "tcp", "{name: x, port: 80, protocol: TCP}");
    check(
        &all,
        &[
            "Gateway g Accepted=True/Accepted",
            "Gateway g web Accepted=True/Accepted",
            "ListenerSet older Accepted=True/ListenersNotValid",
            "ListenerSet older x Accepted=True/Accepted",
            "ListenerSet older web Accepted=False/HostnameConflict",
            "ListenerSet older web Conflicted=True/HostnameConflict",
            "ListenerSet older web Programmed=False/HostnameConflict",
            "ListenerSet younger x Accepted=False/HostnameConflict",
            "ListenerSet younger y Accepted=True/Accepted",
            "ListenerSet tcp Accepted=False/ListenersNotValid",
            "ListenerSet tcp Programmed=False/ListenersNotValid",
            "ListenerSet tcp x Conflicted=True/ProtocolConflict",
        ],
    );
}

#[test]
fn a_set_without_any_certificate_is_not_accepted() {
    let bare = "{name: bare, port: 443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: nobody}]}}";
    let whole = "{name: whole, port: 81, protocol: HTTP}";
    check(
        &(open_gateway("from: All") + &set("shop", "s", bare)),
        &[
            "ListenerSet s Accepted=False/ListenersNotValid",
            "ListenerSet s Programmed=False/ListenersNotValid",
            "ListenerSet s bare ResolvedRefs=False/InvalidCertificateRef",
        ],
    );
    check(
        &(open_gateway("from: All") + &set("shop", "s", &format!("{bare}, {whole}"))),
        &["ListenerSet s Accepted=True/ListenersNotValid", "ListenerSet s Programmed=Unknown/Pending"],
    );
}

#[test]
fn a_set_takes_no_hostname_that_its_namespace_may_not_use() {
    let rules = "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\nspec: {allowedHostnames: [{hostnames: [\"*.shop.test\"], namespaces: [shop]}]}\n";
    let listener =
        |name: &str, hostname: &str| format!("{{name: {name}, port: 80, protocol: HTTP{hostname}}}");
    let listeners = [
        listener("own", ", hostname: www.shop.test"),
        listener("foreign", ", hostname: www.pay.test"),
        listener("all", "").replace("80", "81"),
    ];
    check(
        &(open_gateway("from: All") + &set("shop", "s", &listeners.join(", ")) + rules),
        &[
            "ListenerSet s own Accepted=True/Accepted",
            "ListenerSet s foreign Accepted=False/UnsupportedValue",
            "ListenerSet s all Accepted=False/UnsupportedValue",
        ],
    );
}

#[test]
fn routes_attach_to_the_parent_that_they_name() {
    let to_set = "{kind: ListenerSet, name: s, namespace: shop}";
    let own = |name: &str, parents: &str| {
        route(name, &format!("parentRefs: [{parents}], {TO_WEB}"))
            .replace("metadata: {", "metadata: {namespace: shop, ")
    };
    let all = open_gateway("from: All")
        + &set(
            "shop",
            "s",
            "{name: more, port: 81, protocol: HTTP}, {name: open, port: 82, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}",
        )
        + &own("both", to_set)
        + &own("one", "{kind: ListenerSet, name: s, sectionName: more}")
        + &own("none", "{kind: ListenerSet, name: s, sectionName: web}")
        + &route("foreign", &format!("parentRefs: [{to_set}], {TO_WEB}"))
        + &route("crossed", &format!("parentRefs: [{{name: g, sectionName: more}}], {TO_WEB}"))
        + &route("direct", &format!("parentRefs: [{{name: g}}], {TO_WEB}"));
    check(
        &all,
        &[
            "HTTPRoute both s Accepted=True/Accepted",
            "HTTPRoute one s Accepted=True/Accepted",
            "HTTPRoute none s Accepted=False/NoMatchingParent",
            "HTTPRoute foreign s Accepted=True/Accepted",
            "HTTPRoute crossed g Accepted=False/NoMatchingParent",
            "HTTPRoute direct g Accepted=True/Accepted",
        ],
    );
    let compiled = compiled(&all);
    let attached: Vec<(&str, usize)> = compiled.snapshot.gateways[0]
        .listeners
        .iter()
        .map(|listener| (listener.name.as_str(), listener.attachments.len()))
        .collect();
    assert_eq!(attached, [("web", 1), ("shop/s/more", 2), ("shop/s/open", 2)]);
    // What proxies say reaches the set, and the gateway only what is its own.
    let heard = |listener: &str, port: u16, error| ListenerReport {
        gateway: "default/g".into(),
        listener: listener.into(),
        bound: if error { Vec::new() } else { vec![([127, 0, 0, 1], port).into()] },
        error: error.then(|| BindFailure {
            address: ([127, 0, 0, 1], port).into(),
            kind: BindFailureKind::PortInUse,
            message: "taken".into(),
        }),
    };
    let listeners =
        vec![heard("web", 80, true), heard("shop/s/more", 81, false), heard("shop/s/open", 82, true)];
    let report = Report { listeners, serving: true, ..Report::default() };
    let found = conditions(&program(&compiled, &told(report)));
    for wanted in [
        "Gateway g Programmed=False/Invalid",
        "Gateway g web Programmed=False/PortUnavailable",
        "ListenerSet s Programmed=True/Programmed",
        "ListenerSet s more Programmed=True/Programmed",
        "ListenerSet s open Programmed=False/PortUnavailable",
    ] {
        assert!(found.iter().any(|found| found == wanted), "no {wanted} in\n{}", found.join("\n"));
    }
}

#[test]
fn secrets_are_read_for_sets_that_are_taken_and_where_these_may() {
    let tls = |name: &str, more: &str| {
        format!(
            "{{name: {name}, port: 443, protocol: HTTPS, hostname: {name}.test, tls: {{certificateRefs: [{{name: {name}{more}}}]}}}}"
        )
    };
    let listeners = format!("{}, {}", tls("own", ""), tls("foreign", ", namespace: default"));
    let grant = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: x}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}]\n  to: [{group: \"\", kind: Secret}]\n";
    let secrets = |text: &str| -> Vec<(String, String)> {
        let reading = read("case", text);
        let mut set = ObjectSet::default();
        for document in reading.documents {
            let stored = Stored {
                object: document.object.clone(),
                uid: "".into(),
                created: Timestamp::UNIX_EPOCH,
                generation: 1,
            };
            set.insert(document.object.key.clone(), stored);
        }
        references(&set).secrets.into_iter().collect()
    };
    let pair = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
    assert_eq!(secrets(&(gateway("g", WEB) + &set("shop", "s", &listeners))), []);
    let open = open_gateway("from: All") + &set("shop", "s", &listeners);
    // A grant for Gateways is none for sets.
    assert_eq!(secrets(&(open.clone() + grant)), [pair("shop", "own")]);
    check(&(open.clone() + grant), &["ListenerSet s foreign ResolvedRefs=False/RefNotPermitted"]);
    let granted = open + &grant.replace("kind: Gateway", "kind: ListenerSet");
    assert_eq!(secrets(&granted), [pair("default", "foreign"), pair("shop", "own")]);
}
