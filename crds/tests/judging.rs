//! All mistakes of one object at once, for clients of an API.

use igw_crds::objects::{Kind, Metadata, ObjectKey};
use igw_crds::yaml::{Fault, Verdict, judge, parse_value};

fn judged(kind: Kind, text: &str) -> Verdict {
    let tree = parse_value(text).expect("a tree");
    judge(kind, &ObjectKey::new(kind, "default", "x"), Metadata::default(), &tree, None)
}

#[track_caller]
fn check(kind: Kind, text: &str, unknown: &[&str], mistakes: &[(&str, Fault)]) {
    let verdict = judged(kind, text);
    assert_eq!(verdict.unknown, unknown, "unknown fields of {text}");
    let found: Vec<(&str, Fault)> =
        verdict.mistakes.iter().map(|mistake| (mistake.field.as_str(), mistake.fault)).collect();
    assert_eq!(found, mistakes, "mistakes of {text}");
    assert_eq!(verdict.object.is_some(), mistakes.is_empty());
}

#[test]
fn every_mistake_is_found_once() {
    check(
        Kind::Gateway,
        "spec: {gatewayClassName: 5, listeners: [{name: a, port: 0, protocol: 3, x: 1}, {name: b, port: 1}]}",
        &["spec.listeners[0].x"],
        &[
            ("spec.gatewayClassName", Fault::Type),
            ("spec.listeners[0].port", Fault::Invalid),
            ("spec.listeners[0].protocol", Fault::Type),
            ("spec.listeners[1].protocol", Fault::Missing),
        ],
    );
    check(
        Kind::HttpRoute,
        "spec: {rules: [{matches: [{path: {type: Bad}}, {method: get}]}, {nope: 1, filters: [{}]}], more: 1}",
        &["spec.more", "spec.rules[1].nope"],
        &[
            ("spec.rules[0].matches[0].path.type", Fault::Unsupported),
            ("spec.rules[0].matches[1].method", Fault::Unsupported),
            ("spec.rules[1].filters[0].type", Fault::Missing),
        ],
    );
}

#[test]
fn rules_count_when_the_fields_are_right() {
    check(
        Kind::Gateway,
        "spec: {gatewayClassName: a, listeners: [{name: a, port: 1, protocol: HTTP}, {name: a, port: 2, protocol: HTTP}]}",
        &[],
        &[("spec.listeners[1]", Fault::Duplicate), ("spec.listeners", Fault::Invalid)],
    );
    let many = vec!["{}"; 17].join(", ");
    check(Kind::HttpRoute, &format!("spec: {{rules: [{many}]}}"), &[], &[("spec.rules", Fault::TooMany)]);
    check(Kind::HttpRoute, "spec: {}", &[], &[]);
}

#[test]
fn what_is_no_spec_is_told_once() {
    check(Kind::Gateway, "{}", &[], &[("spec", Fault::Missing)]);
    check(Kind::Gateway, "spec: text", &[], &[("spec", Fault::Type)]);
    check(Kind::ConfigMap, "{data: {a: 1}, nope: 2}", &["nope"], &[("data.a", Fault::Type)]);
}
