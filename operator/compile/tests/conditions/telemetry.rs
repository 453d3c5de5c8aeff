//! Conditions of policies for telemetry, and what gateways have of them.

use igw_crds::snapshot::{AttributeValue, Share, Tracing};

use super::{WEB, check, compiled, conditions, gateway};

fn policy(name: &str, targets: &[&str], tracing: &str) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|name| format!("{{group: gateway.networking.k8s.io, kind: Gateway, name: {name}}}"))
        .collect();
    format!(
        "---\napiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XTelemetryPolicy\nmetadata: {{name: {name}}}\nspec:\n  targetRefs: [{}]\n  tracing: {{{tracing}}}\n",
        targets.join(", ")
    )
}

fn tracings(text: &str) -> Vec<Option<Tracing>> {
    let gateways = compiled(text).snapshot.gateways;
    gateways.into_iter().map(|gateway| gateway.tracing.map(|tracing| *tracing)).collect()
}

const PLAIN: &str = "mode: Enabled, provider: {backendRef: {name: otel, port: 4318}}";

#[test]
fn one_policy_counts_for_a_gateway() {
    let two = gateway("g", WEB) + &gateway("h", "{name: web, port: 81, protocol: HTTP}");
    let old = policy("old", &["g", "g", "none"], PLAIN);
    let new = policy("new", &["g", "h"], "mode: Disabled");
    let text = two + &old + &new;
    check(
        &text,
        &[
            "XTelemetryPolicy old g Accepted=True/Accepted",
            "XTelemetryPolicy old g ResolvedRefs=True/ResolvedRefs",
            "XTelemetryPolicy old none Accepted=False/TargetNotFound",
            "XTelemetryPolicy new g Accepted=False/Conflicted",
            "XTelemetryPolicy new h Accepted=True/Accepted",
        ],
    );
    let told = conditions(&compiled(&text).statuses);
    assert_eq!(told.iter().filter(|line| line.starts_with("XTelemetryPolicy old g ")).count(), 2, "{told:?}");
    let [g, h] = &tracings(&text)[..] else { panic!("two gateways") };
    assert!(g.is_some() && h.is_none());
    // Nothing is said of gateways that somebody else serves.
    let class = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: other}\nspec: {controllerName: other.example/c}\n";
    let foreign = gateway("g", WEB).replace("gatewayClassName: igw", "gatewayClassName: other");
    let told = conditions(&compiled(&(class.to_owned() + &foreign + &policy("p", &["g"], PLAIN))).statuses);
    assert!(!told.iter().any(|line| line.starts_with("XTelemetryPolicy")), "{told:?}");
    let service = policy("p", &["g"], PLAIN)
        .replace("group: gateway.networking.k8s.io, kind: Gateway", "group: \"\", kind: Service");
    check(&(gateway("g", WEB) + &service), &["XTelemetryPolicy p g Accepted=False/Invalid"]);
}

#[test]
fn traces_are_told_where_the_reference_leads() {
    let base = gateway("g", WEB);
    let found = compiled(&(base.clone() + &policy("p", &["g"], PLAIN)));
    assert_eq!(found.snapshot.backends[0].key, "Service/default/otel:4318");
    let part = igw_compile::share(&found.snapshot, 0);
    assert_eq!(part.backends.len(), 1, "a proxy knows whom it tells");
    let elsewhere = policy("p", &["g"], &PLAIN.replace("name: otel", "name: otel, namespace: other"));
    let grant = |kind: &str, group: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{name: x, namespace: other}}\nspec:\n  from: [{{group: {group}, kind: {kind}, namespace: default}}]\n  to: [{{group: \"\", kind: Service}}]\n"
        )
    };
    let ours = grant("XTelemetryPolicy", "gateway.networking.x-k8s.io");
    for (more, reason) in [
        (String::new(), "ResolvedRefs=False/RefNotPermitted"),
        (grant("Gateway", "gateway.networking.k8s.io"), "ResolvedRefs=False/RefNotPermitted"),
        (ours, "ResolvedRefs=True/ResolvedRefs"),
    ] {
        let text = base.clone() + &elsewhere + &more;
        check(
            &text,
            &[&format!("XTelemetryPolicy p g {reason}"), "XTelemetryPolicy p g Accepted=True/Accepted"],
        );
        let tracing = tracings(&text).remove(0).expect("traces go on without a collector");
        assert_eq!(tracing.backend.is_some(), reason.contains("True"), "{reason}");
    }
    for (reference, reason) in [
        ("group: example.test, kind: Other, name: x", "InvalidKind"),
        ("group: igw.opensvc.com, kind: Backend, name: none", "BackendNotFound"),
    ] {
        let tracing = format!("mode: Enabled, provider: {{backendRef: {{{reference}}}}}");
        let text = base.clone() + &policy("p", &["g"], &tracing);
        check(&text, &[&format!("XTelemetryPolicy p g ResolvedRefs=False/{reason}")]);
    }
    // A policy for TLS with the collector counts, and is told on the gateway.
    let tls = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: t}\nspec:\n  targetRefs: [{group: \"\", kind: Service, name: otel}]\n  validation: {hostname: otel.test, wellKnownCACertificates: System}\n";
    let text = base + &policy("p", &["g"], PLAIN) + tls;
    check(&text, &["BackendTLSPolicy t g Accepted=True/Accepted"]);
    assert!(compiled(&text).snapshot.backends[0].tls.is_some());
}

#[test]
fn everything_that_a_policy_says_arrives() {
    let all = Share { numerator: 1, denominator: 1 };
    let plain = tracings(&(gateway("g", WEB) + &policy("p", &["g"], PLAIN))).remove(0).expect("traces");
    assert_eq!((plain.share, plain.parent_share, plain.service.as_str()), (all, Some(all), "g.default"));
    let more = format!(
        "{}, samplingRate: {{numerator: 5}}, parentBasedSampling: {{mode: Enabled, samplingRate: {{numerator: 1, denominator: 3}}}}, serviceName: edge, spanName: in, attributes: [{{name: a, sourceType: Literal, literalValue: x}}, {{name: b, sourceType: Header, headerName: X-B}}, {{name: c, sourceType: Attribute, attributeKey: url.path}}]",
        PLAIN.replace("}}", "}, headers: [{name: X-Key, value: k}]}")
    );
    let rich = tracings(&(gateway("g", WEB) + &policy("p", &["g"], &more))).remove(0).expect("traces");
    assert_eq!(rich.share, Share { numerator: 5, denominator: 100 });
    assert_eq!(rich.parent_share, Some(Share { numerator: 1, denominator: 3 }));
    assert_eq!((rich.service.as_str(), rich.span.as_deref()), ("edge", Some("in")));
    assert_eq!(rich.fields, [("x-key".to_owned(), "k".to_owned())]);
    let named = |name: &str, value| (name.to_owned(), value);
    let expected = [
        named("a", AttributeValue::Literal("x".to_owned())),
        named("b", AttributeValue::Field("x-b".to_owned())),
        named("c", AttributeValue::Attribute("url.path".to_owned())),
    ];
    assert_eq!(rich.attributes, expected);
    let own = format!("{PLAIN}, parentBasedSampling: {{mode: Disabled}}");
    let own = tracings(&(gateway("g", WEB) + &policy("p", &["g"], &own))).remove(0).expect("traces");
    assert_eq!(own.parent_share, None);
    let silent = policy("p", &["g"], "mode: ImplementationDefault");
    assert_eq!(tracings(&(gateway("g", WEB) + &silent)), [None]);
}
