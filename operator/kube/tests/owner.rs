//! The owner of the objects is asked before a change shows, and tells what it saw. Who may not, may not.

mod house;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use house::{GATEWAYS, House, ROUTES, gateway, route};
use igw_kube::{
    Accept, Access, Act, Caller, Change, Everybody, Failure, Identity, Persist, Place, Reason, Refusal, Seen,
    User,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// An owner whose answers are given out by a test.
struct Careful {
    /// Who may pass, by name of the object.
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    n_asked: AtomicUsize,
}

impl Careful {
    fn new() -> Arc<Self> {
        Arc::new(Self { gates: Mutex::default(), n_asked: AtomicUsize::new(0) })
    }

    fn close(&self, name: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.gates.lock().unwrap().insert(name.to_owned(), Arc::clone(&gate));
        gate
    }

    fn gate(&self, name: &str) -> Option<Arc<Semaphore>> {
        self.gates.lock().unwrap().get(name).cloned()
    }
}

impl Persist for Careful {
    fn write<'a>(
        &'a self,
        _: &'a User,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Option<Identity>, Refusal>> {
        Box::pin(async move {
            self.n_asked.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = self.gate(&change.place.name) {
                gate.acquire().await.unwrap().forget();
            }
            match &*change.place.name {
                "refused" => Err(Refusal::new(Reason::Forbidden, "the disk is not yours")),
                "known" => Ok(Some(Identity {
                    uid: Some("of-the-owner".to_owned()),
                    creation_timestamp: Some("2020-01-02T03:04:05Z".to_owned()),
                    generation: Some(7),
                })),
                _ => Ok(None),
            }
        })
    }
}

async fn asked(owner: &Careful, n_wanted: usize) -> anyhow::Result<()> {
    let reached = async {
        while owner.n_asked.load(Ordering::SeqCst) < n_wanted {
            tokio::task::yield_now().await;
        }
    };
    Ok(tokio::time::timeout(std::time::Duration::from_secs(10), reached).await?)
}

#[tokio::test]
async fn nothing_shows_before_the_owner_has_it() -> anyhow::Result<()> {
    let owner = Careful::new();
    let house =
        Arc::new(House::with(Arc::clone(&owner) as Arc<dyn Persist>, Arc::new(Everybody), false).await?);
    let gate = owner.close("slow");
    let writer = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.post(ROUTES, &route("slow")).await }
    });
    asked(&owner, 1).await?;
    house.get(&format!("{ROUTES}/slow")).await?.expect(404);
    // Another object is not held up.
    house.post(ROUTES, &route("quick")).await?.expect(201);
    gate.add_permits(1);
    writer.await??.expect(201);
    house.get(&format!("{ROUTES}/slow")).await?.expect(200);

    let refused = house.post(ROUTES, &route("refused")).await?.expect(403);
    assert_eq!(refused.text_at("/message"), "the disk is not yours");
    house.get(&format!("{ROUTES}/refused")).await?.expect(404);
    let known = house.post(ROUTES, &route("known")).await?.expect(201);
    assert_eq!(known.text_at("/metadata/uid"), "of-the-owner");
    assert_eq!(known.text_at("/metadata/creationTimestamp"), "2020-01-02T03:04:05Z");
    assert_eq!(known.text_at("/metadata/generation"), "7");
    let n_asked = owner.n_asked.load(Ordering::SeqCst);
    house.post(&format!("{ROUTES}?dryRun=All"), &route("dry")).await?.expect(201);
    house.merge(&format!("{ROUTES}/quick"), &json!({})).await?.expect(200);
    assert_eq!(
        owner.n_asked.load(Ordering::SeqCst),
        n_asked,
        "a dry run and no change are nobody's business"
    );
    Ok(())
}

#[tokio::test]
async fn two_writers_of_one_object_lose_nothing() -> anyhow::Result<()> {
    let owner = Careful::new();
    let house =
        Arc::new(House::with(Arc::clone(&owner) as Arc<dyn Persist>, Arc::new(Everybody), false).await?);
    let made = house.post(ROUTES, &route("a")).await?.expect(201).value();
    let gate = owner.close("a");
    let patch = |house: &Arc<House>, key: &'static str| {
        let house = Arc::clone(house);
        tokio::spawn(async move {
            house.merge(&format!("{ROUTES}/a"), &json!({"metadata": {"labels": {key: "1"}}})).await
        })
    };
    let first = patch(&house, "x");
    asked(&owner, 2).await?;
    let second = patch(&house, "y");
    let mut stale = made.clone();
    stale["spec"]["hostnames"] = json!(["stale.example"]);
    let third = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.put(&format!("{ROUTES}/a"), &stale).await }
    });
    gate.add_permits(8);
    first.await??.expect(200);
    second.await??.expect(200);
    third.await??.expect(409);
    let now = house.get(&format!("{ROUTES}/a")).await?.value();
    assert_eq!(now["metadata"]["labels"], json!({"x": "1", "y": "1"}));
    Ok(())
}

fn seen(house: &House, plural: &str, name: &str, object: Value, status: Option<Value>) -> Seen {
    let resource = house.store.registry().find("gateway.networking.k8s.io", plural).cloned();
    let place = Place::new(&resource.expect("a kind"), "shop", name);
    Seen { place, object, status, identity: Identity::default() }
}

#[tokio::test]
async fn what_the_owner_saw_shows_and_is_not_echoed() -> anyhow::Result<()> {
    let owner = Careful::new();
    let house = House::with(Arc::clone(&owner) as Arc<dyn Persist>, Arc::new(Everybody), false).await?;
    let kinds: Vec<_> =
        house.store.registry().iter().filter(|kind| &*kind.plural == "gateways").cloned().collect();
    let status = json!({"conditions": [{"type": "Programmed", "status": "True"}]});
    let since = house.store.revision();
    house.store.observe(
        &kinds,
        vec![seen(&house, "gateways", "web", gateway("web"), Some(status.clone()))],
        since,
    );
    let first = house.get(&format!("{GATEWAYS}/web")).await?.expect(200).value();
    assert_eq!(first["status"], status);
    assert_eq!(first["metadata"]["generation"], 1);
    // The same again, and what differs only in what is as good as absent, is no change.
    let mut same = gateway("web");
    same["spec"]["addresses"] = json!([]);
    let since = house.store.revision();
    house.store.observe(&kinds, vec![seen(&house, "gateways", "web", same, None)], since);
    assert_eq!(house.store.revision(), since);
    // An edit by hand is one.
    let mut edited = gateway("web");
    edited["spec"]["listeners"][0]["port"] = json!(81);
    house.store.observe(&kinds, vec![seen(&house, "gateways", "web", edited, None)], since);
    let second = house.get(&format!("{GATEWAYS}/web")).await?.value();
    assert_eq!(second["metadata"]["generation"], 2);
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(second["status"], status);
    // What is not seen any more is gone; what a client wrote after the look is not.
    let since = house.store.revision();
    house.post(GATEWAYS, &gateway("new")).await?.expect(201);
    house.store.observe(&kinds, Vec::new(), since);
    house.get(&format!("{GATEWAYS}/web")).await?.expect(404);
    house.get(&format!("{GATEWAYS}/new")).await?.expect(200);
    assert_eq!(owner.n_asked.load(Ordering::SeqCst), 1, "only the client's write");
    Ok(())
}

#[tokio::test]
async fn a_status_that_comes_while_a_spec_is_written_stays() -> anyhow::Result<()> {
    let owner = Careful::new();
    let house =
        Arc::new(House::with(Arc::clone(&owner) as Arc<dyn Persist>, Arc::new(Everybody), false).await?);
    house.post(GATEWAYS, &gateway("web")).await?.expect(201);
    let gate = owner.close("web");
    let writer = tokio::spawn({
        let house = Arc::clone(&house);
        let listeners = json!([{"name": "http", "port": 81, "protocol": "HTTP"}]);
        async move { house.merge(&format!("{GATEWAYS}/web"), &json!({"spec": {"listeners": listeners}})).await }
    });
    asked(&owner, 2).await?;
    let status = json!({"conditions": [{"type": "Accepted", "status": "True"}]});
    let since = house.store.revision();
    let kinds: Vec<_> =
        house.store.registry().iter().filter(|kind| &*kind.plural == "gateways").cloned().collect();
    house.store.observe(
        &kinds,
        vec![seen(&house, "gateways", "web", gateway("web"), Some(status.clone()))],
        since,
    );
    gate.add_permits(1);
    writer.await??.expect(200);
    let now = house.get(&format!("{GATEWAYS}/web")).await?.value();
    assert_eq!(now["status"], status);
    assert_eq!(now["spec"]["listeners"][0]["port"], 81);
    Ok(())
}

#[tokio::test]
async fn a_status_that_comes_before_its_object_shows_waits_for_it() -> anyhow::Result<()> {
    let owner = Careful::new();
    let house =
        Arc::new(House::with(Arc::clone(&owner) as Arc<dyn Persist>, Arc::new(Everybody), false).await?);
    let status = json!({"conditions": [{"type": "Accepted", "status": "True"}]});
    // The owner of `known` says which object it is; a status of another object of the name is not its own.
    for (uid, wanted) in [("of-the-owner", &status), ("of-an-earlier-one", &Value::Null)] {
        let gate = owner.close("known");
        let n_asked = owner.n_asked.load(Ordering::SeqCst);
        let writer = tokio::spawn({
            let house = Arc::clone(&house);
            async move { house.post(GATEWAYS, &gateway("known")).await }
        });
        asked(&owner, n_asked + 1).await?;
        let mut early = seen(&house, "gateways", "known", gateway("known"), Some(status.clone()));
        early.identity.uid = Some(uid.to_owned());
        house.store.observe(&[], vec![early], house.store.revision());
        house.get(&format!("{GATEWAYS}/known")).await?.expect(404);
        gate.add_permits(2);
        writer.await??.expect(201);
        let now = house.get(&format!("{GATEWAYS}/known")).await?.value();
        assert_eq!(now["status"], *wanted, "{uid}");
        house.delete(&format!("{GATEWAYS}/known")).await?.expect(200);
    }
    Ok(())
}

/// Knows one token, whose holder may read routes of one namespace.
struct Guarded;

impl Access for Guarded {
    fn user<'a>(&'a self, _: &'a Caller, token: Option<&'a str>) -> BoxFuture<'a, Result<User, Failure>> {
        Box::pin(async move {
            match token {
                Some("good") => Ok(User::new("reader")),
                _ => Err(Failure::new(Reason::Unauthorized, "Unauthorized")),
            }
        })
    }

    fn may<'a>(&'a self, _: &'a User, act: &'a Act<'a>) -> BoxFuture<'a, bool> {
        let may = matches!(act.verb, "get" | "list") && act.plural == "httproutes" && act.namespace == "shop";
        Box::pin(async move { may })
    }
}

#[tokio::test]
async fn who_may_not_may_not() -> anyhow::Result<()> {
    let house = House::with(Arc::new(Accept), Arc::new(Guarded), false).await?;
    house.get("/version").await?.expect(200);
    house.get("/readyz").await?.expect(200);
    house.get("/apis").await?.expect(401);
    house.get(ROUTES).await?.expect(401);
    let token = [("authorization", "Bearer good")];
    house.send("GET", "/apis", &token, "").await?.expect(200);
    house.send("GET", ROUTES, &token, "").await?.expect(200);
    let refused = house.send("GET", "/api/v1/namespaces/shop/secrets/s", &token, "").await?.expect(403);
    assert_eq!(
        refused.text_at("/message"),
        "secrets \"s\" is forbidden: User \"reader\" cannot get resource \"secrets\" in API group \"\" in the namespace \"shop\""
    );
    house.send("GET", &format!("{ROUTES}?watch=true"), &token, "").await?.expect(403);
    let json_body = [("authorization", "Bearer good"), ("content-type", "application/json")];
    house.send("POST", ROUTES, &json_body, route("a").to_string()).await?.expect(403);
    house.send("GET", "/apis/gateway.networking.k8s.io/v1/httproutes", &token, "").await?.expect(403);
    Ok(())
}
