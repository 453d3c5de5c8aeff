//! What breaks a rule of the table, at the place where it stands.

use serde_json::{Value, json};

/// Tells values in place of `value` that break a rule, or are at its edge.
pub fn breaks(rule: &str, value: &Value, to: &mut impl FnMut(&str, Value)) {
    let mut tell = |value: Value| to(&format!("rule `{rule}`"), value);
    let with = |more: Value| {
        let mut changed = value.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            changed[name] = value.clone();
        }
        changed
    };
    let without = |name: &str| {
        let mut changed = value.clone();
        changed.as_object_mut().map(|fields| fields.remove(name));
        changed
    };
    let items = |more: Value| {
        let known = value.as_array().cloned().unwrap_or_default();
        Value::Array([known.as_slice(), more.as_array().map_or(&[][..], Vec::as_slice)].concat())
    };
    let words: Vec<&str> = rule.trim_start_matches("text ").split(' ').collect();
    match words.as_slice() {
        [field, "if", key, word] => {
            let mut bare = without(field);
            bare[*key] = json!(word);
            tell(bare);
        }
        [field, "only", "if", key, word] => {
            if value.get(*field).is_some() {
                for other in OTHERS.iter().filter(|other| *other != word) {
                    tell(with(json!({ *key: other })));
                }
            }
            tell(with(json!({ *field: member(field) })));
        }
        ["one", word] => {
            let field = format!("{}{}", word[..1].to_lowercase(), &word[1..]);
            let field = match *word {
                "CORS" => "cors",
                "URLRewrite" => "urlRewrite",
                _ => &field,
            };
            let filter = json!({"type": word, field: {}});
            tell(items(json!([filter.clone(), filter])));
        }
        ["path", "without", word] => tell(with(json!({"value": format!("/a{word}b"), "type": "PathPrefix"}))),
        ["path", "not", "to", word] => tell(with(json!({"value": format!("/a{word}"), "type": "Exact"}))),
        ["path", "begins", ..] => tell(with(json!({"value": "a", "type": "Exact"}))),
        ["path", "characters"] => {
            for path in ["/a b", "/a%2", "/a[b]", "", "/é", "/%41"] {
                tell(with(json!({"value": path, "type": "PathPrefix"})));
            }
        }
        ["prefix", "for", ..] => {
            tell(with(json!({"matches": [{"path": {"type": "Exact", "value": "/a"}}]})));
            tell(with(json!({"matches": []})));
            tell(with(json!({"matches": [{}, {"method": "GET"}]})));
        }
        _ => named(rule, &mut tell, &with, &items),
    }
}

fn named(
    rule: &str,
    tell: &mut impl FnMut(Value),
    with: &impl Fn(Value) -> Value,
    items: &impl Fn(Value) -> Value,
) {
    let listener = |more: Value| {
        let mut listener = json!({"name": "zz", "port": 999, "protocol": "HTTP"});
        for (name, value) in more.as_object().into_iter().flatten() {
            listener[name] = value.clone();
        }
        items(json!([listener]))
    };
    match rule {
        "no tls without TLS" => tell(listener(json!({"tls": {"certificateRefs": [{"name": "c"}]}}))),
        "HTTPS ends here" => tell(listener(json!({"protocol": "HTTPS", "tls": {"mode": "Passthrough"}}))),
        "TLS has a mode" => tell(listener(json!({"protocol": "TLS"}))),
        "no hostname without names" => tell(listener(json!({"protocol": "UDP", "hostname": "a.example"}))),
        "distinct name" => tell(items(
            json!([{"name": "zz", "port": 1, "protocol": "HTTP"}, {"name": "zz", "port": 2, "protocol": "HTTP"}]),
        )),
        "distinct places" => tell(items(
            json!([{"name": "y", "port": 1, "protocol": "HTTP"}, {"name": "z", "port": 1, "protocol": "HTTP"}]),
        )),
        "distinct port" => tell(items(json!([{"port": 1, "tls": {}}, {"port": 1, "tls": {}}]))),
        "distinct values of IPAddress" => {
            tell(items(json!([{"value": "10.0.0.9"}, {"value": "10.0.0.9"}])));
            tell(items(json!([{"value": "nothing"}])));
            tell(items(json!([{"value": "fe80::1"}, {"value": ""}])));
        }
        "distinct values of Hostname" => {
            tell(items(json!([{"type": "Hostname", "value": "b"}, {"type": "Hostname", "value": "b"}])));
            tell(items(
                json!([{"type": "NamedAddress", "value": "b"}, {"type": "NamedAddress", "value": "b"}]),
            ));
        }
        "host name" => tell(json!({"type": "Hostname", "value": "A_b"})),
        "routability" => {
            for word in ["", "x", "k8s.io/x", "a.k8s.io/x", "A/b", "a.example/", "a.example/b/c"] {
                tell(json!(word));
            }
        }
        "label keys" => {
            for key in ["a b", "/a", "A/b", "a/b/c", "a.example/b", "-a"] {
                tell(with(json!({ key: "v" })));
            }
        }
        "short domains of keys" => tell(with(json!({ format!("{}/b", "a".repeat(253)): "v" }))),
        "filters of HTTP" => tell(json!({"name": "zz", "port": 99, "protocol": "TCP", "filters": {}})),
        "certificates" => tell(json!({"mode": "Terminate"})),
        "no namespace of bundles" => tell(
            json!([{"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "b", "namespace": "n"}]),
        ),
        "port of a Service" => tell(json!({"name": "s"})),
        "no port of an XBackend" => {
            tell(with(json!({"group": "gateway.networking.x-k8s.io", "kind": "XBackend", "port": 1})))
        }
        "parents once" => tell(json!([{"name": "g"}, {"name": "g"}])),
        "parents told apart in one way" => {
            tell(json!([{"name": "g", "sectionName": "a"}, {"name": "g", "port": 1}]))
        }
        "targets once" => tell(
            json!([{"group": "", "kind": "Service", "name": "s"}, {"group": "", "kind": "Service", "name": "s"}]),
        ),
        "targets told apart in one way" => tell(
            json!([{"group": "", "kind": "Service", "name": "s"}, {"group": "", "kind": "Service", "name": "s", "sectionName": "a"}]),
        ),
        "caCertificateRefs or wellKnownCACertificates" => {
            tell(json!({"hostname": "a.example"}));
            tell(
                json!({"hostname": "a.example", "wellKnownCACertificates": "System", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "c"}]}),
            );
        }
        "128 matches" => {
            let rules = |n: usize| vec![json!({"matches": vec![json!({}); 43]}); n];
            tell(Value::Array(rules(3)));
            tell(Value::Array(rules(2)));
        }
        "not percent with fraction" => tell(with(json!({"percent": 1, "fraction": {"numerator": 1}}))),
        "something to tell" => {
            tell(json!({"targetRefs": [{"group": "", "kind": "Service", "name": "s"}]}));
        }
        "fraction of one at most" => tell(json!({"numerator": 101})),
        "service or method" => tell(json!({"type": "Exact"})),
        "service of Exact" => {
            for service in ["a/b", "", ".A.b", "a..b", "1a"] {
                tell(json!({"service": service}));
            }
        }
        "method of Exact" => tell(json!({"method": "a.b"})),
        "end of a permanent cookie" => tell(json!({"cookie": {"lifetimeType": "Permanent"}})),
        "no backendRefs with requestRedirect" => tell(
            json!({"filters": [{"type": "RequestRedirect", "requestRedirect": {}}], "backendRefs": [{"name": "s", "port": 1}]}),
        ),
        "RequestRedirect or URLRewrite" => tell(
            json!([{"type": "RequestRedirect", "requestRedirect": {}}, {"type": "URLRewrite", "urlRewrite": {}}]),
        ),
        "* alone" => tell(json!(["*", "GET"])),
        "backendRequest within request" => {
            tell(json!({"request": "1s", "backendRequest": "2s"}));
            tell(json!({"request": "0s", "backendRequest": "2s"}));
            tell(json!({"request": "1x", "backendRequest": "2s"}));
            tell(json!({"request": "1.5s", "backendRequest": "1600ms"}));
        }
        "no addresses" => tell(json!(["10.0.0.1"])),
        "plain names" => tell(json!(["A.example"])),
        "wildcard names" => tell(json!(["a.*.example", "*"])),
        _ => {}
    }
}

fn member(field: &str) -> Value {
    match field {
        "hostname" => json!("a.example"),
        "uri" => json!("spiffe://a/b"),
        "replaceFullPath" | "replacePrefixMatch" => json!("/x"),
        "extensionRef" => json!({"group": "g.example", "kind": "K", "name": "n"}),
        "header" => json!({"name": "x"}),
        "provider" => json!({"backendRef": {"name": "s", "port": 1}}),
        "samplingRate" => json!({"numerator": 1}),
        "attributes" => json!([{"name": "z", "sourceType": "Literal", "literalValue": "x"}]),
        "serviceName" | "spanName" | "headerName" | "literalValue" | "attributeKey" => json!("x"),
        "requestMirror" => json!({"backendRef": {"name": "s", "port": 1}}),
        _ => json!({}),
    }
}

/// Words of types.
const OTHERS: [&str; 11] = [
    "Cookie",
    "Header",
    "ExtensionRef",
    "RequestMirror",
    "HTTP",
    "GRPC",
    "ReplaceFullPath",
    "ReplacePrefixMatch",
    "Disabled",
    "Literal",
    "Attribute",
];
