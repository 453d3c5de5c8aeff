//! Every kind of mistake, with its exact place and what is said about it.

use igw_crds::yaml::{Severity, read};

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n";
const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec:\n  gatewayClassName: igw\n";
const OURS: &str = "apiVersion: igw.opensvc.com/v1alpha1\n";

/// The first finding, as `line:column field: message | allowed | hint`.
#[track_caller]
fn check(text: &str, expected: &str) {
    let reading = read("f", text);
    let Some(first) = reading.diagnostics.first() else { panic!("no finding in\n{text}") };
    let got = format!(
        "{}:{} {}: {} | {} | {}",
        first.line,
        first.column,
        first.field,
        first.message,
        first.allowed.as_deref().unwrap_or("-"),
        first.hint.as_deref().unwrap_or("-")
    );
    assert_eq!(got, expected, "in\n{text}");
    assert_eq!(first.severity, Severity::Error);
    assert!(reading.documents.is_empty(), "a broken document is not used");
    assert_eq!(reading.broken.len(), 1);
}

fn route(body: &str) -> String {
    format!("{ROUTE}{body}")
}

fn gateway(body: &str) -> String {
    format!("{GATEWAY}{body}")
}

#[test]
fn mistakes_of_form() {
    check(
        "- a\n",
        "1:1 : a document must be a mapping | - | begin with `apiVersion:`, `kind:` and `metadata:`",
    );
    check("a: 1\n", "1:1 apiVersion: field `apiVersion` is missing | - | add `apiVersion`");
    check("apiVersion: v1\n", "1:1 kind: field `kind` is missing | - | add `kind`");
    check(&route("  a: &x 1\n"), "5:9 : anchors are not allowed | - | write the value out where it is used");
    check(
        &route("  a: !t 1\n"),
        "5:9 : tags are not allowed | - | remove the `!…`; types come from the field",
    );
    check(&route("  <<: {}\n"), "5:3 : merge keys are not allowed | - | write the fields out");
    check(&route("  rules: []\n  rules: []\n"), "6:3 : key `rules` stands twice | - | remove one of the two");
    let deep = format!("a: {}{}\n", "[".repeat(40), "]".repeat(40));
    check(&deep, "1:36 : nested deeper than 32 levels | - | no object nests that deep");
}

#[test]
fn mistakes_of_identity() {
    check(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoutes\nmetadata: {name: r}\n",
        "2:7 kind: unknown kind `HTTPRoutes` of gateway.networking.k8s.io | GatewayClass, Gateway, HTTPRoute, ReferenceGrant | did you mean `HTTPRoute`?",
    );
    check(
        "apiVersion: gateway.networking.k8s.io/v2\nkind: HTTPRoute\nmetadata: {name: r}\n",
        "1:13 apiVersion: unknown version `gateway.networking.k8s.io/v2` of HTTPRoute | gateway.networking.k8s.io/v1, gateway.networking.k8s.io/v1beta1 | write `gateway.networking.k8s.io/v1`",
    );
    check(
        "apiVersion: gateway.networking.k8s.oi/v1\nkind: HTTPRoute\nmetadata: {name: r}\n",
        "1:13 apiVersion: unknown group `gateway.networking.k8s.oi` | gateway.networking.k8s.io, igw.opensvc.com | did you mean `gateway.networking.k8s.io`?",
    );
    let kind = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n";
    check(kind, "1:1 metadata: field `metadata` is missing | - | add `metadata`");
    check(
        &format!("{kind}metadata: {{}}\nspec: {{}}\n"),
        "3:11 metadata.name: field `name` is missing | - | add `name`",
    );
    check(
        &format!("{kind}metadata: {{name: R}}\nspec: {{}}\n"),
        "3:18 metadata.name: `R` is not valid | lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit, at most 253 | -",
    );
    check(&format!("{kind}metadata: {{name: r}}\n"), "1:1 spec: field `spec` is missing | - | add `spec`");
    check(
        &format!("{kind}metadata: {{name: r}}\nspecs: {{}}\n"),
        "4:1 specs: unknown field `specs` | apiVersion, kind, metadata, spec, status | did you mean `spec`?",
    );
    check(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c, namespace: n}\nspec: {controllerName: a.b/c}\n",
        "3:32 metadata.namespace: GatewayClass belongs to the whole cluster and has no namespace | - | remove `namespace`",
    );
}

#[test]
fn mistakes_of_type() {
    check(
        &route("  hostnmes: [a.test]\n"),
        "5:3 spec.hostnmes: unknown field `hostnmes` | parentRefs, useDefaultGateways, hostnames, rules | did you mean `hostnames`?",
    );
    check(
        &route("  hostnames: a.test\n"),
        "5:14 spec.hostnames: string \"a.test\", expected a sequence | - | -",
    );
    check(
        &route("  parentRefs:\n    - name: g\n      port: 70000\n"),
        "7:13 spec.parentRefs[0].port: 70000 is not a port | 1 to 65535 | -",
    );
    check(
        &route("  rules:\n    - matches:\n        - path: {type: Prefix, value: /}\n"),
        "7:24 spec.rules[0].matches[0].path.type: unknown value `Prefix` | Exact, PathPrefix, RegularExpression | -",
    );
    check(
        &route("  rules:\n    - matches:\n        - headers: [{name: a, value: 1}]\n"),
        "7:38 spec.rules[0].matches[0].headers[0].value: integer `1`, expected a string | - | write it in quotes if text is meant",
    );
    check(
        &route("  rules:\n    - timeouts: {request: 1.5s}\n"),
        "6:27 spec.rules[0].timeouts.request: `1.5s` is not valid | numbers with h, m, s or ms, like `500ms`, `30s` or `1h30m` | -",
    );
    check(
        &route("  rules:\n    - backendRefs: [{name: a, port: 1, weight: -1}]\n"),
        "6:48 spec.rules[0].backendRefs[0].weight: -1 is not a weight | 0 to 1000000 | -",
    );
    check(
        &route("  hostnames: [A.test]\n"),
        "5:15 spec.hostnames[0]: `A.test` is not valid | a DNS name in lower case, `*` only as its first label, no IP address, no port | -",
    );
    check(
        &route("  hostnames: [127.0.0.1]\n"),
        "5:15 spec.hostnames[0]: `127.0.0.1` is not valid | a DNS name in lower case, `*` only as its first label, no IP address, no port | -",
    );
    check(
        &gateway("  listeners:\n    - {name: w, port: 80}\n"),
        "7:7 spec.listeners[0]: field `protocol` is missing | - | add `protocol`",
    );
    check(
        &format!(
            "{OURS}kind: Backend\nmetadata: {{name: b}}\nspec: {{endpoints: [{{ip: {{address: 1.2.3, port: 1}}}}]}}\n"
        ),
        "4:35 spec.endpoints[0].ip.address: invalid IP address syntax | - | -",
    );
}

#[test]
fn mistakes_of_rules() {
    check(&gateway("  listeners: []\n"), "6:14 spec.listeners: 0 listeners | 1 to 64 listeners | -");
    check(
        &gateway(
            "  listeners:\n    - {name: w, port: 80, protocol: HTTP}\n    - {name: w, port: 81, protocol: HTTP}\n",
        ),
        "8:14 spec.listeners[1].name: `w` stands twice | - | every one needs a name of its own",
    );
    check(
        &gateway("  listeners:\n    - {name: w, port: 80, protocol: HTTP, tls: {}}\n"),
        "7:48 spec.listeners[0].tls: a HTTP listener has no TLS | - | remove `tls`, or use HTTPS or TLS",
    );
    check(
        &gateway("  listeners:\n    - {name: w, port: 80, protocol: TCP, hostname: a.test}\n"),
        "7:52 spec.listeners[0].hostname: a TCP listener has no hostname | - | remove `hostname`",
    );
    check(
        &route("  rules:\n    - matches: [{path: {value: a}}]\n"),
        "6:32 spec.rules[0].matches[0].path.value: `a` does not begin with `/` | - | write `/a`",
    );
    check(
        &route("  rules:\n    - matches: [{path: {value: /a//b}}]\n"),
        "6:32 spec.rules[0].matches[0].path.value: `/a//b` contains `//` | - | such a path never matches; write the plain path",
    );
    check(
        &route("  rules:\n    - filters: [{type: RequestRedirect}]\n"),
        "6:17 spec.rules[0].filters[0]: `requestRedirect` is missing | - | add `requestRedirect`",
    );
    check(
        &route("  rules:\n    - filters: [{type: RequestRedirect, requestRedirect: {statusCode: 304}}]\n"),
        "6:71 spec.rules[0].filters[0].requestRedirect.statusCode: 304 is no redirection | 301, 302, 303, 307, 308 | -",
    );
    check(
        &route("  rules:\n    - timeouts: {request: 1s, backendRequest: 2s}\n"),
        "6:47 spec.rules[0].timeouts.backendRequest: 2s is longer than `request` | at most 1s | -",
    );
    check(
        &route("  rules:\n    - backendRefs: [{name: a}]\n"),
        "6:21 spec.rules[0].backendRefs[0]: a Service reference needs a port | - | add `port`",
    );
    check(
        &route(
            "  rules:\n    - filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: a}]}}]\n",
        ),
        "6:84 spec.rules[0].filters[0].requestHeaderModifier.set[0].name: Host is not changed by header modifiers | - | use URLRewrite with `hostname`",
    );
    check(
        &format!("{OURS}kind: Backend\nmetadata: {{name: b}}\nspec: {{endpoints: [{{}}]}}\n"),
        "4:20 spec.endpoints[0]: 0 of `ip`, `fqdn` and `unix` | exactly one | -",
    );
    check(
        &format!("{OURS}kind: Resolver\nmetadata: {{name: b}}\nspec: {{ednsPayload: 100}}\n"),
        "4:21 spec.ednsPayload: is out of range | 512 to 8192 | -",
    );
    check(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: \"%\"}\n",
        "4:11 data.a: is not base64 | - | encode the value, or write it as text under `stringData`",
    );
}

#[test]
fn one_bad_document_hides_no_other() {
    let good = |name: &str| format!("{OURS}kind: Resolver\nmetadata: {{name: {name}}}\nspec: {{}}\n");
    let text = format!("{}---\nkind: [\n---\n{}---\n- 1\n---\n{}", good("a"), good("b"), good("c"));
    let reading = read("f", &text);
    let names: Vec<&str> = reading.documents.iter().map(|document| &*document.object.key.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(reading.broken.len(), 2);
    assert_eq!(reading.documents.iter().map(|document| document.line).collect::<Vec<_>>(), [1, 8, 15]);
}

#[test]
fn hostile_input_ends() {
    for text in [
        "[".repeat(200_000),
        "{".repeat(200_000),
        "- ".repeat(100_000),
        "a: ".repeat(50_000),
        "\u{0}".repeat(1_000),
        "? ".repeat(50_000),
    ] {
        let reading = read("f", &text);
        assert!(reading.documents.is_empty() && !reading.broken.is_empty(), "{}", &text[..4]);
    }
    let reading = read("f", &"a".repeat(17 * 1024 * 1024));
    assert_eq!(reading.diagnostics.len(), 1);
    let many = "---\na: 1\n".repeat(20_100);
    assert!(read("f", &many).diagnostics.iter().any(|finding| finding.message.contains("20000 documents")));
}

#[test]
fn foreign_kinds_and_later_kinds_are_no_errors() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {name: t}\n";
    let reading = read("f", text);
    assert_eq!((reading.foreign[0].kind.as_str(), reading.foreign[0].line), ("Deployment", 1));
    assert_eq!(reading.diagnostics.len(), 1);
    assert_eq!(reading.diagnostics[0].severity, Severity::Warning);
    assert!(reading.broken.is_empty());
}
