//! Watches tell every change in order, and end cleanly.

mod house;

use house::{House, Lines, ROUTES, route};
use serde_json::{Value, json};

async fn watch(house: &House, query: &str, accept: &str) -> anyhow::Result<Lines> {
    let path = format!("{ROUTES}?watch=true&{query}");
    Ok(Lines::of(house.open("GET", &path, &[("accept", accept)], "").await?))
}

async fn told(lines: &mut Lines) -> anyhow::Result<(String, String)> {
    let line = lines.next().await?.unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&line["type"]), text(&line["object"]["metadata"]["name"])))
}

fn is(word: &str, name: &str) -> (String, String) {
    (word.to_owned(), name.to_owned())
}

#[tokio::test]
async fn changes_come_in_order_from_a_revision() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.post(ROUTES, &route("a")).await?.expect(201);
    let revision = house.get(ROUTES).await?.text_at("/metadata/resourceVersion");
    house.post(ROUTES, &route("b")).await?.expect(201);
    let mut lines = watch(&house, &format!("resourceVersion={revision}"), "application/json").await?;
    let mut anew = watch(&house, "", "application/json").await?;
    assert_eq!(told(&mut lines).await?, is("ADDED", "b"));
    assert_eq!(told(&mut anew).await?, is("ADDED", "a"));
    assert_eq!(told(&mut anew).await?, is("ADDED", "b"));
    house.merge(&format!("{ROUTES}/a"), &json!({"metadata": {"labels": {"x": "y"}}})).await?.expect(200);
    house.delete(&format!("{ROUTES}/b")).await?.expect(200);
    for lines in [&mut lines, &mut anew] {
        assert_eq!(told(lines).await?, is("MODIFIED", "a"));
        assert_eq!(told(lines).await?, is("DELETED", "b"));
    }
    Ok(())
}

#[tokio::test]
async fn what_stops_being_meant_is_told_as_deleted() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut lines = watch(&house, "labelSelector=x%3Dy", "application/json").await?;
    house.post(ROUTES, &route("a")).await?.expect(201);
    let label = |value: Value| json!({"metadata": {"labels": {"x": value}}});
    let path = format!("{ROUTES}/a");
    house.merge(&path, &label(json!("y"))).await?.expect(200);
    house.merge(&path, &label(json!("z"))).await?.expect(200);
    house.merge(&path, &label(json!("y"))).await?.expect(200);
    house.delete(&path).await?.expect(200);
    for word in ["ADDED", "DELETED", "ADDED", "DELETED"] {
        assert_eq!(told(&mut lines).await?, is(word, "a"));
    }
    Ok(())
}

#[tokio::test]
async fn watches_end_in_time_and_old_revisions_are_refused() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut short = watch(&house, "timeoutSeconds=1&resourceVersion=0", "application/json").await?;
    assert_eq!(short.next().await?, None);
    for revision in ["1", "99999999999999999"] {
        let mut lines = watch(&house, &format!("resourceVersion={revision}"), "application/json").await?;
        let line = lines.next().await?.unwrap_or_default();
        assert_eq!((line["type"].as_str(), line["object"]["code"].as_u64()), (Some("ERROR"), Some(410)));
        assert_eq!(line["object"]["reason"], "Expired");
        assert_eq!(lines.next().await?, None);
    }
    house.get(&format!("{ROUTES}?watch=true&resourceVersion=x")).await?.expect(400);
    Ok(())
}

#[tokio::test]
async fn a_watch_can_begin_with_what_is_there_and_say_so() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.post(ROUTES, &route("a")).await?.expect(201);
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = watch(&house, query, "application/json").await?;
    assert_eq!(told(&mut lines).await?, is("ADDED", "a"));
    let mark = lines.next().await?.unwrap_or_default();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    Ok(())
}

#[tokio::test]
async fn tables_are_watched_too() -> anyhow::Result<()> {
    let house = House::start().await?;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut lines = watch(&house, "", accept).await?;
    house.post(ROUTES, &route("a")).await?.expect(201);
    let line = lines.next().await?.unwrap_or_default();
    assert_eq!(line["object"]["kind"], "Table");
    assert_eq!(line["object"]["rows"][0]["cells"][1], "[\"shop.example\"]");
    Ok(())
}

/// A thousand watches are told of one change, and one that reads nothing holds up nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_watches_and_a_lazy_one() -> anyhow::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wide = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wide)?;
    let house = House::start().await?;
    let mut watches = Vec::new();
    for _ in 0..1_000 {
        watches.push(watch(&house, "", "application/json").await?);
    }
    let lazy = watch(&house, "", "application/json").await?;
    house.post(ROUTES, &route("a")).await?.expect(201);
    for lines in &mut watches {
        assert_eq!(told(lines).await?, is("ADDED", "a"));
    }
    drop(lazy);
    Ok(())
}

/// Changes that nobody remembers any more are not left out in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_lags_is_told() -> anyhow::Result<()> {
    let house = House::start().await?;
    let made = house.post(ROUTES, &route("a")).await?.expect(201);
    let resource = house.store.registry().find("gateway.networking.k8s.io", "httproutes").cloned();
    let place = igw_kube::Place::new(&resource.expect("a kind"), "shop", "a");
    for count in 0..9_000 {
        house.store.set_status(&place, json!({ "count": count }));
    }
    let revision = made.text_at("/metadata/resourceVersion");
    let mut lines = watch(&house, &format!("resourceVersion={revision}"), "application/json").await?;
    assert_eq!(lines.next().await?.unwrap_or_default()["object"]["code"], 410);
    assert_eq!(lines.next().await?, None);
    Ok(())
}

/// What changes of large objects hold is bounded too.
#[tokio::test]
async fn history_is_bounded_in_bytes() -> anyhow::Result<()> {
    let house = House::start().await?;
    let maps = "/api/v1/namespaces/shop/configmaps";
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "x".repeat(1_000_000)}});
    let made = house.post(maps, &map).await?.expect(201);
    let mut last = String::new();
    for count in 0..80 {
        let patch = json!({"data": {"n": count.to_string()}});
        last =
            house.merge(&format!("{maps}/m"), &patch).await?.expect(200).text_at("/metadata/resourceVersion");
    }
    let first = made.text_at("/metadata/resourceVersion");
    let watch = |revision: String| {
        let path = format!("{maps}?watch=true&timeoutSeconds=1&resourceVersion={revision}");
        let house = &house;
        async move { anyhow::Ok(Lines::of(house.open("GET", &path, &[], "").await?)) }
    };
    assert_eq!(watch(first).await?.next().await?.unwrap_or_default()["object"]["code"], 410);
    assert_eq!(watch(last).await?.next().await?, None, "the latest is known");
    Ok(())
}
