//! Compile over generated sets of objects: what is broken changes nothing else, and the same objects give
//! the same bytes in whatever order they come.

use std::collections::BTreeMap;
use std::sync::Arc;

use igw_compile::status::Condition;
use igw_compile::{Compiled, Facts, ObjectSet, Status, Stored, compile};
use igw_crds::snapshot::{Action, Snapshot};
use igw_crds::yaml::read;
use jiff::Timestamp;
use proptest::prelude::*;

/// One document; objects of one name are told apart by `index`.
fn route(index: usize, namespace: &str, parent: &str, host: &str, rule: &str) -> String {
    format!(
        "{API}kind: HTTPRoute\nmetadata: {{name: r{index}, namespace: {namespace}}}\nspec:\n  parentRefs: [{{{parent}}}]\n  \
         hostnames: [{host}]\n  rules:\n    - {rule}\n"
    )
}

fn pick(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

fn routes() -> impl Strategy<Value = Vec<String>> {
    let one = (pick(NAMESPACES), pick(PARENTS), pick(HOSTS), pick(RULES));
    prop::collection::vec(one, 1..12).prop_map(|all| {
        let all = all.into_iter().enumerate();
        all.map(|(index, (namespace, parent, host, rule))| route(index, namespace, parent, host, rule))
            .collect()
    })
}

/// Compiles documents; an object is one second younger than the one before it in `documents`.
fn compiled(documents: &[String], is_reversed: bool) -> Compiled {
    let mut stored: Vec<_> = documents
        .iter()
        .enumerate()
        .map(|(age, text)| {
            let reading = read("case", text);
            assert!(reading.diagnostics.is_empty(), "{text}\n{:?}", reading.diagnostics);
            let object = Arc::clone(&reading.documents[0].object);
            let created = Timestamp::from_second(age as i64).expect("a time");
            (object.key.clone(), Stored { object, uid: "".into(), created, generation: 1 })
        })
        .collect();
    if is_reversed {
        stored.reverse();
    }
    compile(&stored.into_iter().collect::<ObjectSet>(), &Facts { cluster: "test".into(), ..Facts::default() })
}

/// What each route does, with names in place of numbers.
fn meaning(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let name = |index: u32| {
        snapshot.routes.get(index as usize).map(|route| format!("{}/{}", route.namespace, route.name))
    };
    let mut found = BTreeMap::new();
    for (index, route) in snapshot.routes.iter().enumerate() {
        let mut rules = route.rules.clone();
        let mut targets = Vec::new();
        for rule in &mut rules {
            let Action::Forward { backends } = &mut rule.action else { continue };
            for candidate in backends {
                let backend = candidate.backend.take();
                targets.push(backend.and_then(|id| snapshot.backends.get(id.0 as usize)).cloned());
            }
        }
        let key = name(u32::try_from(index).expect("few routes")).expect("a route");
        found.insert(key, format!("{rules:?} {targets:?}"));
    }
    for gateway in &snapshot.gateways {
        for listener in &gateway.listeners {
            for attachment in &listener.attachments {
                let Some(route) = name(attachment.route.0) else { continue };
                let place = format!("{route} on {}/{}/{}", gateway.namespace, gateway.name, listener.name);
                found.insert(place, format!("{:?} {:?}", attachment.hosts, gateway.settings));
            }
        }
    }
    found
}

/// Conditions of everything, without what rightly counts the others: attached routes.
fn conditions(compiled: &Compiled) -> BTreeMap<String, Vec<Condition>> {
    let mut found = BTreeMap::new();
    for (key, status) in &compiled.statuses {
        let mut all = Vec::new();
        match &**status {
            Status::Certificate(certificate) => all.extend(certificate.conditions.clone()),
            Status::Issuer(issuer) => all.extend(issuer.conditions.clone()),
            Status::Class(class) => all.extend(class.conditions.clone()),
            Status::Gateway(gateway) => {
                all.extend(gateway.conditions.clone());
                all.extend(gateway.listeners.iter().flat_map(|listener| listener.conditions.clone()));
            }
            Status::ListenerSet(set) => {
                all.extend(set.conditions.clone());
                all.extend(set.listeners.iter().flat_map(|listener| listener.conditions.clone()));
            }
            Status::Policy(policy) => {
                all.extend(policy.ancestors.iter().flat_map(|ancestor| ancestor.conditions.clone()));
            }
            Status::Route(route) => {
                all.extend(route.parents.iter().flat_map(|parent| parent.conditions.clone()))
            }
        }
        found.insert(key.to_string(), all);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_broken_changes_nothing_else(routes in routes(), broken in pick(BROKEN)) {
        let mut documents: Vec<String> = BASE.iter().map(|text| (*text).to_owned()).collect();
        documents.extend(routes);
        let alone = compiled(&documents, false);
        documents.push(broken.to_owned());
        let with = compiled(&documents, false);
        let (meant, means) = (meaning(&alone.snapshot), meaning(&with.snapshot));
        for (key, meaning) in &meant {
            prop_assert_eq!(means.get(key), Some(meaning), "{}", key);
        }
        let (judged, judges) = (conditions(&alone), conditions(&with));
        for (key, conditions) in &judged {
            prop_assert_eq!(judges.get(key), Some(conditions), "{}", key);
        }
    }

    #[test]
    fn the_order_of_objects_changes_nothing(routes in routes()) {
        let mut documents: Vec<String> = BASE.iter().map(|text| (*text).to_owned()).collect();
        documents.extend(routes);
        let (one, other) = (compiled(&documents, false), compiled(&documents, true));
        prop_assert_eq!(&one.snapshot, &other.snapshot);
        prop_assert_eq!(&one.statuses, &other.statuses);
        prop_assert_eq!(one.warnings, other.warnings);
    }
}

/// First line of objects of the Gateway API.
const API: &str = "apiVersion: gateway.networking.k8s.io/v1\n";
const NAMESPACES: &[&str] = &["default", "shop", "other"];
const PARENTS: &[&str] = &[
    "name: g, namespace: default",
    "name: g, namespace: default, sectionName: web",
    "name: g, namespace: default, sectionName: nowhere",
    "name: g, namespace: default, port: 81",
    "name: h, namespace: shop",
    "name: missing",
];
const HOSTS: &[&str] = &["a.test", "b.a.test", "\"*.a.test\"", "c.test, a.test", "far.away"];
const RULES: &[&str] = &[
    "backendRefs: [{name: web, port: 80}]",
    "backendRefs: [{name: web, port: 80, weight: 3}, {name: web, port: 81}]",
    "backendRefs: [{group: igw.opensvc.com, kind: Backend, name: b}]",
    "backendRefs: [{group: igw.opensvc.com, kind: Backend, name: missing}]",
    "backendRefs: [{name: web, namespace: shop, port: 80}]",
    "matches: [{path: {type: RegularExpression, value: \"/[a-z]+\"}}]",
    "matches: [{path: {type: RegularExpression, value: \"/(\"}}]",
    "filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]",
    "filters: [{type: CORS, cors: {}}]",
    "name: one",
];
const BASE: &[&str] = &[
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec:\n  gatewayClassName: igw\n  listeners:\n    - {name: web, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}\n    - {name: own, port: 81, protocol: HTTP, hostname: \"*.a.test\"}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: h, namespace: shop}\nspec: {gatewayClassName: igw, addresses: [{value: 127.0.0.2}], listeners: [{name: web, port: 80, protocol: HTTP}]}\n",
    "apiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {name: b}\nspec: {endpoints: [{ip: {address: 127.0.0.1, port: 9}}]}\n",
    "apiVersion: igw.opensvc.com/v1alpha1\nkind: BackendPolicy\nmetadata: {name: p}\nspec: {targetRefs: [{group: igw.opensvc.com, kind: Backend, name: b}], loadBalancer: {type: Random}}\n",
    "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: x, namespace: shop}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}], to: [{group: \"\", kind: Service}]}\n",
];
/// Objects that are valid by themselves and wrong where they stand, younger than all others.
const BROKEN: &[&str] = &[
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: z}\nspec: {parentRefs: [{name: g}], hostnames: [a.test], rules: [{backendRefs: [{name: x, kind: Pod}]}]}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: z}\nspec: {parentRefs: [{name: nowhere}]}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: z}\nspec: {parentRefs: [{name: g, sectionName: nowhere}]}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: z}\nspec: {parentRefs: [{name: g}], rules: [{matches: [{path: {type: RegularExpression, value: \"(\"}}]}]}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: z, namespace: shop}\nspec: {parentRefs: [{name: g, namespace: default, sectionName: own}]}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: z}\nspec: {gatewayClassName: igw, listeners: [{name: a, port: 80, protocol: TCP}]}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: z}\nspec: {gatewayClassName: missing, listeners: [{name: a, port: 80, protocol: HTTP}]}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: z}\nspec: {gatewayClassName: igw, addresses: [{type: Hostname, value: a.test}], listeners: [{name: a, port: 82, protocol: HTTP}]}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: z}\nspec: {controllerName: example.net/other}\n",
    "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: z}\nspec: {controllerName: igw.opensvc.com/gateway, parametersRef: {group: igw.opensvc.com, kind: GatewayConfig, name: missing}}\n",
    "apiVersion: igw.opensvc.com/v1alpha1\nkind: BackendPolicy\nmetadata: {name: z}\nspec: {targetRefs: [{group: igw.opensvc.com, kind: Backend, name: missing}]}\n",
    "apiVersion: igw.opensvc.com/v1alpha1\nkind: BackendPolicy\nmetadata: {name: z}\nspec: {targetRefs: [{group: igw.opensvc.com, kind: Backend, name: b}], loadBalancer: {type: LeastRequest}}\n",
    "apiVersion: igw.opensvc.com/v1alpha1\nkind: BackendPolicy\nmetadata: {name: z}\nspec: {targetRefs: [{kind: Service, group: \"\", name: web}], discovery: {resolverRef: {name: missing}}}\n",
    "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: z, namespace: nowhere}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: \"\", kind: Service}]}\n",
];
