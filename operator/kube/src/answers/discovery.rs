//! Which groups, versions and kinds there are, in the plain form and in the one that tells all at once.

use hyper::header::{HeaderValue, VARY};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::registry::Registry;
use crate::reply::{self, Body};
use crate::request::Asked;
use crate::resource::{Resource, Verbs};

/// Answers `/api` and `/apis`, and the paths below them that name no kind.
pub(crate) fn answer(registry: &Registry, asked: &Asked, path: &[&str]) -> Result<Response<Body>, Failure> {
    if let ([root], Some(version)) = (path, asked.accept.discovery) {
        return Ok(aggregated(registry, root, version));
    }
    let groups = registry.groups();
    let found = match path {
        ["api"] => json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }),
        ["apis"] => {
            let listed = groups.iter().filter(|(group, _)| !group.is_empty());
            let listed: Vec<Value> = listed.map(|(group, versions)| group_of(group, versions)).collect();
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": listed })
        }
        ["apis", wanted] => {
            let group = groups.iter().find(|(group, _)| **group == **wanted && !group.is_empty());
            let (group, versions) = group.ok_or_else(Failure::no_such_path)?;
            let mut object = group_of(group, versions);
            if let Some(fields) = object.as_object_mut() {
                fields.insert("kind".to_owned(), "APIGroup".into());
                fields.insert("apiVersion".to_owned(), "v1".into());
            }
            object
        }
        ["api", version] => resources(registry, "", version)?,
        ["apis", group, version] => resources(registry, group, version)?,
        _ => return Err(Failure::no_such_path()),
    };
    Ok(reply::json(StatusCode::OK, &found))
}

fn group_of(group: &str, versions: &[std::sync::Arc<str>]) -> Value {
    let named = |version: &str| json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    let all: Vec<Value> = versions.iter().map(|version| named(version)).collect();
    let preferred = all.first().cloned().unwrap_or_default();
    json!({ "name": group, "versions": all, "preferredVersion": preferred })
}

fn resources(registry: &Registry, group: &str, version: &str) -> Result<Value, Failure> {
    let mut listed = Vec::new();
    for one in registry.of_version(group, version) {
        listed.push(json!({
            "name": &*one.plural, "singularName": &*one.singular, "namespaced": one.is_namespaced(),
            "kind": &*one.kind, "verbs": one.verb_names(), "shortNames": texts(&one.short_names),
            "categories": texts(&one.categories),
        }));
        for (name, verbs) in parts(one) {
            listed.push(json!({
                "name": format!("{}/{name}", one.plural), "singularName": "", "namespaced": one.is_namespaced(),
                "kind": &*one.kind, "verbs": verbs,
            }));
        }
    }
    if listed.is_empty() {
        return Err(Failure::no_such_path());
    }
    let group_version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    Ok(
        json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed }),
    )
}

/// Paths below an object with their verbs.
fn parts(resource: &Resource) -> Vec<(&str, &'static [&'static str])> {
    let status = (resource.has_status && resource.verbs == Verbs::All)
        .then_some(("status", ["get", "patch", "update"].as_slice()));
    let others = resource.subresources.iter().map(|(name, _)| (name.as_ref(), ["get"].as_slice()));
    status.into_iter().chain(others).collect()
}

fn texts(list: &[std::sync::Arc<str>]) -> Vec<&str> {
    list.iter().map(AsRef::as_ref).collect()
}

fn aggregated(registry: &Registry, root: &str, form: &str) -> Response<Body> {
    let groups = registry.groups();
    let wanted = groups.iter().filter(|(group, _)| group.is_empty() == (root == "api"));
    let items: Vec<Value> = wanted
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let listed: Vec<Value> =
                        registry.of_version(group, version).map(|one| entry(one, version)).collect();
                    json!({ "version": &**version, "freshness": "Current", "resources": listed })
                })
                .collect();
            json!({ "metadata": { "name": &**group, "creationTimestamp": null }, "versions": versions })
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{form}"), "metadata": {},
        "items": items,
    });
    let content_type = match form {
        "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    let mut response = reply::json_as(StatusCode::OK, content_type, &list);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

fn entry(resource: &Resource, version: &str) -> Value {
    let kind = json!({ "group": &*resource.group, "version": version, "kind": &*resource.kind });
    let scope = if resource.is_namespaced() { "Namespaced" } else { "Cluster" };
    let mut entry = json!({
        "resource": &*resource.plural, "responseKind": kind, "scope": scope,
        "singularResource": &*resource.singular, "verbs": resource.verb_names(),
    });
    let below: Vec<Value> = parts(resource)
        .into_iter()
        .map(|(name, verbs)| json!({ "subresource": name, "responseKind": kind, "verbs": verbs }))
        .collect();
    let more = [
        ("shortNames", json!(texts(&resource.short_names))),
        ("categories", json!(texts(&resource.categories))),
        ("subresources", Value::Array(below)),
    ];
    if let Some(fields) = entry.as_object_mut() {
        for (name, list) in more {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                fields.insert(name.to_owned(), list);
            }
        }
    }
    entry
}
