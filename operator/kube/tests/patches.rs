//! Patches in their five forms, and who owns which fields.

mod house;

use house::{GATEWAYS, House, ROUTES, gateway, route};
use serde_json::{Value, json};

#[tokio::test]
async fn json_patches_follow_their_rules() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.post(ROUTES, &route("a")).await?.expect(201);
    let path = format!("{ROUTES}/a");
    let media = [("content-type", "application/json-patch+json")];
    let send = |patch: Value| house.send("PATCH", &path, &media, patch.to_string());
    let add = json!([
        {"op": "test", "path": "/spec/hostnames/0", "value": "shop.example"},
        {"op": "add", "path": "/spec/hostnames/-", "value": "more.example"},
    ]);
    assert_eq!(
        send(add.clone()).await?.expect(200).value()["spec"]["hostnames"],
        json!(["shop.example", "more.example"])
    );
    send(json!([{"op": "test", "path": "/spec/hostnames/0", "value": "other"}])).await?.expect(422);
    send(json!([{"op": "remove", "path": "/spec/none"}])).await?.expect(422);
    send(json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}])).await?.expect(409);
    send(json!({"op": "add"})).await?.expect(400);
    send(json!([{"op": "replace", "path": "/spec/hostnames", "value": ["A_b"]}])).await?.expect(422);
    Ok(())
}

#[tokio::test]
async fn merge_patches_name_a_version_if_they_care() -> anyhow::Result<()> {
    let house = House::start().await?;
    let made = house.post(ROUTES, &route("a")).await?.expect(201);
    let path = format!("{ROUTES}/a");
    let patch = |version: &str| json!({"metadata": {"resourceVersion": version, "labels": {"a": "b"}}});
    house.merge(&path, &patch(&made.text_at("/metadata/resourceVersion"))).await?.expect(200);
    house.merge(&path, &json!({"metadata": {"labels": {"a": "c"}}})).await?.expect(200);
    house.merge(&path, &patch(&made.text_at("/metadata/resourceVersion"))).await?.expect(409);
    let removed = house
        .merge(&path, &json!({"metadata": {"labels": null}, "spec": {"hostnames": null}}))
        .await?
        .expect(200);
    assert_eq!(removed.value()["metadata"].get("labels"), None);
    assert_eq!(removed.value()["spec"].get("hostnames"), None);
    house.merge(&format!("{ROUTES}/none"), &json!({})).await?.expect(404);
    Ok(())
}

#[tokio::test]
async fn strategic_patches_are_for_kinds_of_the_core() -> anyhow::Result<()> {
    let house = House::start().await?;
    let services = "/api/v1/namespaces/shop/services";
    let ports = json!([{"port": 80, "protocol": "TCP", "name": "a"}, {"port": 81, "protocol": "TCP"}]);
    house.post(services, &json!({"metadata": {"name": "s"}, "spec": {"ports": ports}})).await?.expect(201);
    let media = [("content-type", "application/strategic-merge-patch+json")];
    let patch =
        json!({"spec": {"ports": [{"port": 81, "$patch": "delete"}, {"port": 80, "name": "b"}]}}).to_string();
    let patched = house.send("PATCH", &format!("{services}/s"), &media, patch.clone()).await?.expect(200);
    assert_eq!(patched.value()["spec"]["ports"], json!([{"port": 80, "protocol": "TCP", "name": "b"}]));
    house.post(ROUTES, &route("a")).await?.expect(201);
    let refused = house.send("PATCH", &format!("{ROUTES}/a"), &media, patch).await?.expect(415);
    assert!(refused.text_at("/message").contains("application/merge-patch+json"));
    Ok(())
}

#[tokio::test]
async fn applied_fields_have_owners() -> anyhow::Result<()> {
    let house = House::start().await?;
    let path = format!("{GATEWAYS}/web");
    let with = |listeners: Value| {
        let mut wish = gateway("web");
        wish["spec"]["listeners"] = listeners;
        wish
    };
    let one = json!({"name": "one", "port": 80, "protocol": "HTTP"});
    let two = json!({"name": "two", "port": 81, "protocol": "HTTP"});
    house.apply(&path, "first", &with(json!([one]))).await?.expect(201);
    // Another adds a listener of its own beside it.
    let both = house.apply(&path, "second", &with(json!([two]))).await?.expect(200).value();
    let names = |object: &Value| -> Vec<String> {
        let listeners = object["spec"]["listeners"].as_array().cloned().unwrap_or_default();
        listeners.iter().map(|listener| listener["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(&both), ["one", "two"]);
    assert_eq!(both["metadata"]["managedFields"].as_array().map(Vec::len), Some(2));
    // What belongs to another is not taken without force.
    let mut stolen = one.clone();
    stolen["port"] = json!(8080);
    let refused = house.apply(&path, "second", &with(json!([stolen, two]))).await?.expect(409);
    let cause = refused.value()["details"]["causes"][0].clone();
    assert_eq!(cause["reason"], "FieldManagerConflict");
    assert_eq!(cause["message"], "conflict with \"first\"");
    assert_eq!(cause["field"], ".spec.listeners[name=\"one\"].port");
    let forced = house
        .apply(&format!("{path}?force=true"), "second", &with(json!([stolen, two])))
        .await?
        .expect(200)
        .value();
    assert_eq!(forced["spec"]["listeners"][0]["port"], 8080);
    // A value that both want belongs to both.
    house.apply(&path, "first", &with(json!([stolen]))).await?.expect(200);
    // What somebody does not name any more goes, if nobody else owns it.
    let mut less = with(json!([two]));
    less["metadata"]["labels"] = json!({"a": "b"});
    let left = house.apply(&path, "second", &less).await?.expect(200).value();
    assert_eq!(names(&left), ["one", "two"], "the first owns its listener still");
    less["metadata"]["labels"] = json!({});
    less["spec"]["listeners"] = json!([]);
    let left = house.apply(&path, "second", &less).await?.expect(200).value();
    assert_eq!(names(&left), ["one"]);
    assert_eq!(left["metadata"].get("labels"), None);
    // Applying the same again changes nothing.
    let again = house.apply(&path, "second", &less).await?.expect(200).value();
    assert_eq!(again["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
    Ok(())
}

#[tokio::test]
async fn whoever_writes_otherwise_owns_what_they_changed() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.post(&format!("{ROUTES}?fieldManager=maker"), &route("a")).await?.expect(201);
    let path = format!("{ROUTES}/a");
    house
        .merge(&format!("{path}?fieldManager=editor"), &json!({"spec": {"hostnames": ["new.example"]}}))
        .await?
        .expect(200);
    let mut wish = route("a");
    wish["spec"]["rules"] = json!([{"backendRefs": [{"name": "other", "port": 1}]}]);
    let refused = house.apply(&path, "applier", &wish).await?.expect(409).value();
    let causes = refused["details"]["causes"].as_array().cloned().unwrap_or_default();
    let told: Vec<(&str, &str)> = causes
        .iter()
        .map(|cause| {
            (cause["message"].as_str().unwrap_or_default(), cause["field"].as_str().unwrap_or_default())
        })
        .collect();
    let version = "gateway.networking.k8s.io/v1";
    assert!(
        told.contains(&(&*format!("conflict with \"maker\" using {version}"), ".spec.rules")),
        "{told:?}"
    );
    assert!(
        told.contains(&(&*format!("conflict with \"editor\" using {version}"), ".spec.hostnames")),
        "{told:?}"
    );
    house.apply(&format!("{path}?force=true"), "applier", &wish).await?.expect(200);
    house
        .send("PATCH", &path, &[("content-type", "application/apply-patch+yaml")], wish.to_string())
        .await?
        .expect(400);
    let dry = house.apply(&format!("{ROUTES}/new?dryRun=All"), "applier", &route("new")).await?.expect(201);
    assert_eq!(dry.text_at("/metadata/name"), "new");
    house.get(&format!("{ROUTES}/new")).await?.expect(404);
    Ok(())
}

/// Patches that would grow or nest an object without end.
#[tokio::test]
async fn patches_are_bounded() -> anyhow::Result<()> {
    let house = House::start().await?;
    let maps = "/api/v1/namespaces/shop/configmaps";
    let text = "x".repeat(600_000);
    house.post(maps, &json!({"metadata": {"name": "m"}, "data": {"a": text}})).await?.expect(201);
    let path = format!("{maps}/m");
    let media = [("content-type", "application/json-patch+json")];
    let send = |patch: Value| house.send("PATCH", &path, &media, patch.to_string());
    let copy = |to: &str| json!({"op": "copy", "from": "/data", "path": to});
    let copies: Vec<Value> = (0..10).map(|index| copy(&format!("/data/c{index}"))).collect();
    send(Value::Array(copies)).await?.expect(413);
    let deep: Vec<Value> = (1..9_000)
        .map(|depth| json!({"op": "add", "path": "/d".repeat(depth), "value": {}}))
        .take(400)
        .collect();
    send(Value::Array(deep)).await?.expect(413);
    send(Value::Array(vec![json!({"op": "test", "path": "/kind", "value": "ConfigMap"}); 10_001]))
        .await?
        .expect(413);
    house.merge(&path, &json!({"data": {"b": text}})).await?.expect(200);
    house.merge(&path, &json!({"data": {"c": text}})).await?.expect(413);
    let kept = house.get(&path).await?.value();
    assert_eq!(kept["data"].as_object().map(|data| data.len()), Some(2));
    Ok(())
}
