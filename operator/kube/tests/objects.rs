//! Objects are made, read, changed and deleted as on a Kubernetes server.

mod house;

use house::{GATEWAYS, House, ROUTES, gateway, route};
use serde_json::{Value, json};

#[tokio::test]
async fn an_object_lives_through_its_verbs() -> anyhow::Result<()> {
    let house = House::start().await?;
    let made = house.post(GATEWAYS, &gateway("web")).await?.expect(201);
    assert_eq!(made.text_at("/metadata/generation"), "1");
    assert_eq!(made.text_at("/metadata/namespace"), "shop");
    assert_eq!(made.text_at("/metadata/uid").len(), 36);
    let created = made.text_at("/metadata/creationTimestamp");
    assert!(created.ends_with('Z') && !created.contains('.'), "{created}");
    assert_eq!(made.text_at("/spec/listeners/0/allowedRoutes/namespaces/from"), "Same");

    let again = house.post(GATEWAYS, &gateway("web")).await?.expect(409);
    assert_eq!(again.text_at("/reason"), "AlreadyExists");
    assert_eq!(again.text_at("/message"), "gateways.gateway.networking.k8s.io \"web\" already exists");

    let patched = house
        .merge(&format!("{GATEWAYS}/web"), &json!({"metadata": {"labels": {"a": "b"}}}))
        .await?
        .expect(200);
    assert_eq!(patched.text_at("/metadata/generation"), "1");
    assert_ne!(patched.text_at("/metadata/resourceVersion"), made.text_at("/metadata/resourceVersion"));
    let listener = json!({"name": "http", "port": 81, "protocol": "HTTP"});
    let patched = house
        .merge(&format!("{GATEWAYS}/web"), &json!({"spec": {"listeners": [listener]}}))
        .await?
        .expect(200);
    assert_eq!(patched.text_at("/metadata/generation"), "2");
    let same = house
        .merge(&format!("{GATEWAYS}/web"), &json!({"spec": {"listeners": [listener]}}))
        .await?
        .expect(200);
    assert_eq!(same.text_at("/metadata/resourceVersion"), patched.text_at("/metadata/resourceVersion"));

    let list = house.get("/apis/gateway.networking.k8s.io/v1beta1/gateways").await?.expect(200);
    assert_eq!(list.text_at("/kind"), "GatewayList");
    assert_eq!(list.text_at("/items/0/apiVersion"), "gateway.networking.k8s.io/v1beta1");
    let gone = house.delete(&format!("{GATEWAYS}/web")).await?.expect(200);
    assert_eq!(gone.text_at("/details/uid"), made.text_at("/metadata/uid"));
    let missing = house.delete(&format!("{GATEWAYS}/web")).await?.expect(404);
    assert_eq!(missing.text_at("/details/kind"), "gateways");
    let list = house.get(GATEWAYS).await?.expect(200);
    assert_eq!(list.value()["items"], json!([]));
    Ok(())
}

#[tokio::test]
async fn replacements_need_the_latest_version() -> anyhow::Result<()> {
    let house = House::start().await?;
    let made = house.post(ROUTES, &route("a")).await?.expect(201).value();
    let path = format!("{ROUTES}/a");
    let mut next = made.clone();
    next["spec"]["hostnames"] = json!(["other.example"]);
    let replaced = house.put(&path, &next).await?.expect(200);
    assert_eq!(replaced.text_at("/metadata/generation"), "2");
    let stale = house.put(&path, &next).await?.expect(409);
    assert_eq!(stale.text_at("/reason"), "Conflict");
    next["metadata"]["resourceVersion"] = Value::Null;
    let unversioned = house.put(&path, &next).await?.expect(422);
    assert_eq!(unversioned.text_at("/details/causes/0/field"), "metadata.resourceVersion");
    let mut stranger = replaced.value();
    stranger["metadata"]["uid"] = json!("6dcb7a4e-0000-4000-8000-000000000000");
    house.put(&path, &stranger).await?.expect(409);
    let missing = house.put(&format!("{ROUTES}/b"), &route("b")).await?.expect(404);
    assert_eq!(missing.text_at("/message"), "httproutes.gateway.networking.k8s.io \"b\" not found");

    // Kinds that are compiled into Kubernetes may be replaced without a version.
    let maps = "/api/v1/namespaces/shop/configmaps";
    house.post(maps, &json!({"metadata": {"name": "m"}, "data": {"a": "1"}})).await?.expect(201);
    let map = house
        .put(&format!("{maps}/m"), &json!({"metadata": {"name": "m"}, "data": {"a": "2"}}))
        .await?
        .expect(200);
    assert_eq!(map.text_at("/data/a"), "2");
    Ok(())
}

#[tokio::test]
async fn content_and_status_change_apart() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut wish = route("a");
    wish["status"] = json!({"parents": null});
    let made = house.post(ROUTES, &wish).await?.expect(201);
    assert_eq!(made.value().get("status"), None);
    let path = format!("{ROUTES}/a");
    let mut status = made.value();
    status["status"] = json!({"parents": []});
    status["spec"]["hostnames"] = json!(["ignored.example"]);
    let written = house.put(&format!("{path}/status"), &status).await?.expect(200);
    assert_eq!(written.value()["status"], json!({"parents": []}));
    assert_eq!(written.text_at("/spec/hostnames/0"), "shop.example");
    assert_eq!(written.text_at("/metadata/generation"), "1");
    let patched = house
        .merge(&path, &json!({"spec": {"hostnames": ["new.example"]}, "status": {"parents": [1]}}))
        .await?;
    assert_eq!(patched.value()["status"], json!({"parents": []}));
    assert_eq!(patched.text_at("/metadata/generation"), "2");
    let read = house.get(&format!("{path}/status")).await?.expect(200);
    assert_eq!(read.value(), patched.value());
    house.get("/api/v1/namespaces/shop/secrets/x/status").await?.expect(404);
    Ok(())
}

#[tokio::test]
async fn dry_runs_do_everything_but_store() -> anyhow::Result<()> {
    let house = House::start().await?;
    let dry = house.post(&format!("{ROUTES}?dryRun=All"), &route("a")).await?.expect(201);
    assert_eq!(dry.text_at("/spec/rules/0/matches/0/path/value"), "/");
    house.get(&format!("{ROUTES}/a")).await?.expect(404);
    house.post(ROUTES, &route("a")).await?.expect(201);
    house.post(&format!("{ROUTES}?dryRun=All"), &route("a")).await?.expect(409);
    let patch = json!({"spec": {"hostnames": ["new.example"]}});
    let dry = house.merge(&format!("{ROUTES}/a?dryRun=All"), &patch).await?.expect(200);
    assert_eq!(dry.text_at("/metadata/generation"), "2");
    house.send("DELETE", &format!("{ROUTES}/a?dryRun=All"), &[], "").await?.expect(200);
    let kept = house.get(&format!("{ROUTES}/a")).await?.expect(200);
    assert_eq!(kept.text_at("/spec/hostnames/0"), "shop.example");
    assert_eq!(kept.text_at("/metadata/generation"), "1");
    Ok(())
}

#[tokio::test]
async fn namespaces_hold_objects_and_take_them_along() -> anyhow::Result<()> {
    let house = House::strict().await?;
    let refused = house.post(ROUTES, &route("a")).await?.expect(404);
    assert_eq!(refused.text_at("/message"), "namespaces \"shop\" not found");
    let made = house.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await?.expect(201);
    assert_eq!(made.value()["metadata"]["labels"]["kubernetes.io/metadata.name"], "shop");
    assert_eq!(made.text_at("/status/phase"), "Active");
    house.post(ROUTES, &route("a")).await?.expect(201);
    house.post("/api/v1/namespaces/shop/secrets", &json!({"metadata": {"name": "s"}})).await?.expect(201);
    house.delete("/api/v1/namespaces/shop").await?.expect(200);
    house.get(&format!("{ROUTES}/a")).await?.expect(404);
    house.get("/api/v1/namespaces/shop/secrets/s").await?.expect(404);
    house.get("/api/v1/namespaces/shop").await?.expect(404);
    // Elsewhere nobody has to make namespaces.
    let house = House::start().await?;
    house.post(ROUTES, &route("a")).await?.expect(201);
    Ok(())
}

#[tokio::test]
async fn collections_preconditions_and_finalizers() -> anyhow::Result<()> {
    let house = House::start().await?;
    for name in ["a", "b", "c"] {
        let mut wish = route(name);
        wish["metadata"]["labels"] = json!({"app": if name == "c" { "other" } else { "web" }});
        house.post(ROUTES, &wish).await?.expect(201);
    }
    let wrong = json!({"preconditions": {"uid": "no"}}).to_string();
    let json_body = [("content-type", "application/json")];
    house.send("DELETE", &format!("{ROUTES}/a"), &json_body, wrong).await?.expect(409);
    let list = house.send("DELETE", &format!("{ROUTES}?labelSelector=app%3Dweb"), &[], "").await?.expect(200);
    assert_eq!(list.value()["items"].as_array().map(Vec::len), Some(2));
    let rest = house.get(ROUTES).await?.value();
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));

    let hold = json!({"metadata": {"finalizers": ["igw.opensvc.com/hold"]}});
    house.merge(&format!("{ROUTES}/c"), &hold).await?.expect(200);
    let held = house.delete(&format!("{ROUTES}/c")).await?.expect(200);
    assert!(!held.text_at("/metadata/deletionTimestamp").is_empty());
    house.get(&format!("{ROUTES}/c")).await?.expect(200);
    house.merge(&format!("{ROUTES}/c"), &json!({"metadata": {"finalizers": null}})).await?.expect(200);
    house.get(&format!("{ROUTES}/c")).await?.expect(404);
    Ok(())
}

#[tokio::test]
async fn lists_are_selected_and_paged() -> anyhow::Result<()> {
    let house = House::start().await?;
    for name in ["a", "b", "c", "d", "e"] {
        house.post(ROUTES, &route(name)).await?.expect(201);
    }
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page = house.get(&format!("{ROUTES}?limit=2&continue={token}")).await?.expect(200);
        let items = page.value()["items"].as_array().cloned().unwrap_or_default();
        assert!(items.len() <= 2);
        names.extend(
            items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned()),
        );
        token = page.text_at("/metadata/continue");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let one = house.get(&format!("{ROUTES}?fieldSelector=metadata.name%3Dc")).await?.value();
    assert_eq!(one["items"][0]["metadata"]["name"], "c");
    assert_eq!(one["items"].as_array().map(Vec::len), Some(1));
    house.get(&format!("{ROUTES}?labelSelector=a%20b")).await?.expect(400);
    house.get(&format!("{ROUTES}?continue=nonsense!")).await?.expect(410);
    Ok(())
}

#[tokio::test]
async fn tables_come_in_long_pages() -> anyhow::Result<()> {
    let house = House::start().await?;
    for n in 0..600 {
        house.post(ROUTES, &route(&format!("r{n}"))).await?.expect(201);
    }
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    for (limit, n_rows, n_items) in [(2, 2, 2), (499, 499, 499), (500, 600, 500), (1_000, 600, 600)] {
        let path = format!("{ROUTES}?limit={limit}");
        let table = house.send("GET", &path, &accept, "").await?.expect(200).value();
        assert_eq!(table["rows"].as_array().map(Vec::len), Some(n_rows), "{limit}");
        let list = house.get(&path).await?.expect(200).value();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(n_items), "{limit}");
    }
    Ok(())
}

#[tokio::test]
async fn names_are_generated() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut wish = route("x");
    wish["metadata"] = json!({"generateName": "web-"});
    let one = house.post(ROUTES, &wish).await?.expect(201).text_at("/metadata/name");
    let other = house.post(ROUTES, &wish).await?.expect(201).text_at("/metadata/name");
    assert!(one.starts_with("web-") && one.len() == 9, "{one}");
    assert_ne!(one, other);
    Ok(())
}
