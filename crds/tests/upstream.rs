//! Our schemas against the CRDs of Gateway API v1.7.0: the same fields, the same required ones, the same enums
//! and bounds. The CRDs are data beside the project; where they are not, the test says so and passes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use igw_crds::objects::Kind;
use igw_crds::schema::schema;
use serde_json::Value;

const FILES: [(Kind, &str); 10] = [
    (Kind::BackendTlsPolicy, "backendtlspolicies"),
    (Kind::Gateway, "gateways"),
    (Kind::GatewayClass, "gatewayclasses"),
    (Kind::GrpcRoute, "grpcroutes"),
    (Kind::HttpRoute, "httproutes"),
    (Kind::ReferenceGrant, "referencegrants"),
    (Kind::TcpRoute, "tcproutes"),
    (Kind::TlsRoute, "tlsroutes"),
    (Kind::UdpRoute, "udproutes"),
    (Kind::XTelemetryPolicy, "xtelemetrypolicies"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/gateway-api/crds")
}

/// The schema that counts: references followed, "or null" left out.
fn plain<'s>(mut schema: &'s Value, root: &'s Value) -> &'s Value {
    loop {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            schema = &root["$defs"][reference.rsplit('/').next().unwrap_or_default()];
        } else if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            let Some(option) = options.iter().find(|option| option["type"] != "null") else { return schema };
            schema = option;
        } else {
            return schema;
        }
    }
}

fn words(value: &Value) -> BTreeSet<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter(|word| !word.is_null())
        .map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned))
        .collect()
}

/// Enum values of ours, which schemars writes as `enum` or as `oneOf` of constants.
fn enumerated(ours: &Value) -> BTreeSet<String> {
    if ours.get("enum").is_some() {
        return words(&ours["enum"]);
    }
    let options = ours["oneOf"].as_array().into_iter().flatten();
    options
        .flat_map(|option| match option.get("const") {
            Some(Value::String(word)) => BTreeSet::from([word.clone()]),
            _ => words(&option["enum"]),
        })
        .collect()
}

fn compare(path: &str, theirs: &Value, ours: &Value, root: &Value, found: &mut Vec<String>) {
    let ours = plain(ours, root);
    if let Some(properties) = theirs.get("properties").and_then(Value::as_object) {
        let mine = ours["properties"].as_object().cloned().unwrap_or_default();
        let known: BTreeSet<&String> = properties.keys().collect();
        let have: BTreeSet<&String> = mine.keys().collect();
        for name in known.symmetric_difference(&have) {
            found.push(format!(
                "{path}.{name}: only {}",
                if known.contains(name) { "upstream" } else { "ours" }
            ));
        }
        if words(&theirs["required"]) != words(&ours["required"]) {
            found.push(format!(
                "{path}: required {:?}, ours {:?}",
                words(&theirs["required"]),
                words(&ours["required"])
            ));
        }
        for (name, property) in properties {
            if let Some(own) = mine.get(name) {
                compare(&format!("{path}.{name}"), property, own, root, found);
            }
        }
    }
    if let Some(items) = theirs.get("items") {
        compare(&format!("{path}[]"), items, &ours["items"], root, found);
    }
    let statuses_of_redirects = path.ends_with(".statusCode");
    if theirs.get("enum").is_some() && !statuses_of_redirects {
        let (want, have) = (words(&theirs["enum"]), enumerated(ours));
        if want != have {
            found.push(format!("{path}: enum {want:?}, ours {have:?}"));
        }
    }
    for bound in ["maxItems", "minItems", "maxLength", "maximum"] {
        let (want, have) =
            (theirs.get(bound).and_then(Value::as_f64), ours.get(bound).and_then(Value::as_f64));
        // Bounds that the validator alone knows are tested there; a pattern may bound a length by itself.
        let is_implied = bound == "maxLength" && want.is_none() && theirs.get("pattern").is_some();
        if have.is_some() && want != have && !is_implied {
            found.push(format!("{path}: {bound} {want:?}, ours {have:?}"));
        }
        if bound == "maxItems" && want.is_some() && have.is_none() {
            found.push(format!("{path}: {bound} {want:?} is missing"));
        }
    }
}

#[test]
fn schemas_agree_with_upstream() {
    if !folder().exists() {
        println!("the CRDs of the Gateway API are not beside the project; nothing was compared");
        return;
    }
    let mut found = Vec::new();
    for (kind, plural) in FILES {
        let path = folder().join(format!("{}_{plural}.yaml", kind.group()));
        let text = std::fs::read_to_string(&path).expect("a CRD");
        let mut options = serde_yaml::Options::default();
        options.budget = None;
        let crd: Value = serde_yaml::from_str_with_options(&text, options).expect("a CRD is YAML");
        let versions = crd["spec"]["versions"].as_array().expect("versions");
        let written = versions.iter().find(|version| version["name"] == kind.version()).expect("a version");
        let served: BTreeSet<&str> = versions
            .iter()
            .filter(|version| version["served"] == true)
            .filter_map(|version| version["name"].as_str())
            .collect();
        assert_eq!(served, kind.versions().iter().copied().collect(), "{kind}");
        let ours = schema(kind);
        compare(
            kind.as_str(),
            &written["schema"]["openAPIV3Schema"]["properties"]["spec"],
            &ours["properties"]["spec"],
            &ours,
            &mut found,
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
