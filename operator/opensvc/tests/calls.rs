//! Calls as a controller makes them: several requests for one answer, or none.

mod served;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use igw_opensvc::{
    Action, Budget, Client, Credentials, Error, Filter, KeyChange, KeyName, ObjectPath, RefreshToken,
    Settings, Signal, Subscription, Target, TokenRequest, Trust,
};
use secrecy::SecretString;
use served::{Reply, Served};

fn path(text: &str) -> ObjectPath {
    text.parse().expect("a path")
}

fn key_list(keys: &[(String, usize)]) -> Reply {
    let items =
        keys.iter().map(|(name, size)| format!("{{\"name\":\"{name}\",\"node\":\"n1\",\"size\":{size}}}"));
    let items: Vec<String> = items.collect();
    Reply::json(200, &format!("{{\"kind\":\"DataKeyList\",\"items\":[{}]}}", items.join(",")))
}

fn values(names: &[&str]) -> Reply {
    let item = |name: &&str| format!("{{\"name\":\"{name}\",\"bytes\":\"{}\"}}", STANDARD.encode(name));
    let items: Vec<String> = names.iter().map(item).collect();
    Reply::json(200, &format!("[{}]", items.join(",")))
}

#[tokio::test]
async fn keys_are_read_in_batches_by_their_stored_size() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    let big = 5 << 20;
    let listed = [("a/1", big), ("skip", big), ("a/2", big), ("a/3", 10), ("a/4", 10)];
    served.will_answer(key_list(&listed.map(|(name, size)| (name.to_owned(), size))));
    served.will_answer(values(&["a/1"]));
    served.will_answer(values(&["a/2", "a/3", "a/4"]));
    let read = client.read_keys(&path("edge/cfg/gw"), |name| name.starts_with("a/")).await?;
    let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a/1", "a/2", "a/3", "a/4"]);
    assert_eq!(read[2].1, Bytes::from_static(b"a/3"));
    let asked = served.take_asked();
    let queries: Vec<&str> = asked.iter().map(|asked| asked.query.as_str()).collect();
    assert_eq!(queries, ["", "name=a%2F1", "name=a%2F2&name=a%2F3&name=a%2F4"]);
    Ok(())
}

#[tokio::test]
async fn many_names_become_several_queries_and_none_becomes_no_call() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    let names: Vec<KeyName> =
        (0..1000).map(|i| KeyName::parse(&format!("routes/{i}/é.yaml"))).collect::<Result<_, _>>()?;
    for _ in 0..10 {
        served.will_answer(Reply::json(200, "[]"));
    }
    client.key_values(&path("edge/cfg/gw"), &names).await?;
    let asked = served.take_asked();
    assert!(asked.len() > 1 && asked.len() < 6, "{}", asked.len());
    assert!(asked.iter().all(|asked| asked.query.len() <= igw_opensvc::MAX_QUERY));
    let n_names: usize = asked.iter().map(|asked| asked.parameters().len()).sum();
    assert_eq!(n_names, 1000);
    assert_eq!(client.key_values(&path("edge/cfg/gw"), &[]).await?, []);
    client.change_keys(&path("edge/cfg/gw"), &[]).await?;
    assert_eq!(served.take_asked(), []);
    Ok(())
}

#[tokio::test]
async fn all_changes_of_an_object_are_one_request() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    let name = |text| KeyName::parse(text);
    served.will_answer(Reply::empty(204));
    let changes = [
        KeyChange::Set { name: name("a")?, value: Bytes::from_static(&[0, 255]) },
        KeyChange::Set { name: name("empty")?, value: Bytes::new() },
        KeyChange::Remove { name: name("b")? },
        KeyChange::Rename { name: name("c")?, to: name("d")? },
    ];
    client.change_keys(&path("edge/cfg/gw"), &changes).await?;
    let asked = served.take_asked();
    assert_eq!(asked.len(), 1);
    let body: serde_json::Value = serde_json::from_slice(&asked[0].body)?;
    let expected = serde_json::json!([
        {"action": "change", "name": "a", "bytes": "AP8="},
        {"action": "change", "name": "empty", "bytes": ""},
        {"action": "remove", "name": "b"},
        {"action": "rename", "name": "c", "to": "d"},
    ]);
    assert_eq!(body, expected);
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_empty_and_an_object_that_is_unknown_are_told_apart() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    let (object, key) = (path("edge/cfg/gw"), KeyName::parse("k")?);
    let typed = |kind: &str| Reply {
        headers: vec![("content-type".to_owned(), kind.to_owned())],
        ..Reply::empty(200)
    };
    served.will_answer(typed("text/plain"));
    assert_eq!(client.key(&object, &key).await?, Bytes::new());
    for reply in [Reply::empty(200), typed("")] {
        served.will_answer(reply);
        assert!(matches!(client.key(&object, &key).await, Err(Error::UnknownObject { .. })));
    }
    // A forwarder gives a type to nothing.
    served.will_answer(typed("application/json"));
    assert!(matches!(client.keys(&object).await, Err(Error::UnknownObject { .. })));
    Ok(())
}

#[tokio::test]
async fn refusals_say_which_grant_is_missing_on_which_object() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    let object = path("edge/sec/tls");
    served.will_answer(Reply::json(
        403,
        "{\"detail\":\"need one of [admin:edge admin root] grant\",\"status\":403,\"title\":\"Forbidden\"}",
    ));
    let error = client.key(&object, &KeyName::parse("k")?).await.expect_err("forbidden");
    let (needs, about) = error.missing_grants().expect("grants");
    assert_eq!((needs.to_string().as_str(), about), ("admin:edge, admin, root", Some(&object)));
    assert!(
        error.to_string().starts_with("edge/sec/tls: GET /api/object/path/edge/sec/tls/data/key: "),
        "{error}"
    );
    served.will_answer(Reply::json(
        403,
        "{\"detail\":\"Config validation: denied: app#1.type=simple: this driver group requires the root grant\"}",
    ));
    let error = client.create(&path("edge/svc/a"), Bytes::new()).await.expect_err("denied");
    assert_eq!(error.missing_grants().map(|(needs, _)| needs.to_string()).as_deref(), Some("root"));
    Ok(())
}

#[tokio::test]
async fn names_of_nodes_cannot_leave_their_place_in_a_path() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    for node in ["../../x", "a/b", "a?b=c", "a#b", "%2e%2e"] {
        served.will_answer(Reply::empty(204));
        client.ping(node).await?;
        let asked = served.take_asked();
        assert_eq!(asked[0].segments(), ["api", "node", "name", node, "ping"], "{node}");
        assert_eq!(asked[0].query, "");
    }
    Ok(())
}

#[tokio::test]
async fn clients_of_two_nodes_can_share_a_budget() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let budget = Budget::new(20, 2);
    let settings = Settings { budget: Some(budget), ..Settings::default() };
    let first = Client::connect_with(Target::Unix(served.socket.clone()), &settings)?;
    let second = Client::connect_with(Target::Unix(served.socket.clone()), &settings)?;
    let start = Instant::now();
    for client in [&first, &second, &first, &second, &first, &second] {
        served.will_answer(Reply::empty(204));
        client.ping("n1").await?;
    }
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
    assert_eq!(first.requests_by_code().get(&204), Some(&3));
    Ok(())
}

#[tokio::test]
async fn a_stream_renews_its_token_and_a_refused_filter_is_named() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Tcp {
        url: format!("https://{}", served.address),
        trust: Trust::AuthorityPem(served.authority.ca.clone()),
        server_name: None,
        credentials: Credentials::Login { user: "igw".to_owned(), password: SecretString::from("p") },
    })?;
    served.will_answer(Reply::json(200, "{\"access_token\":\"first\",\"refresh_token\":\"renewer\"}"));
    served.will_answer(Reply::json(401, "{}"));
    served.will_answer(Reply::json(200, "{\"access_token\":\"second\"}"));
    let event = "event: NodeStale\nid: 0\ndata: {\"labels\":{\"node\":\"n2\"},\"node\":\"n1\"}\n\n";
    served.will_answer(Reply { body: event.as_bytes().to_vec(), ..Reply::empty(200) });
    let mut stream = client.events(Subscription::to([Filter::default().with_namespace("edge")]));
    assert!(matches!(stream.next().await, Some(Signal::Relist(_))));
    assert!(
        matches!(stream.next().await, Some(Signal::Event(received)) if received.node.as_deref() == Some("n1"))
    );
    drop(stream);
    let asked = served.take_asked();
    let seen: Vec<_> = asked.iter().map(|asked| asked.header("authorization").unwrap_or_default()).collect();
    assert_eq!(seen[1..4], ["Bearer first", "Bearer renewer", "Bearer second"]);
    assert_eq!(asked[3].path, "/api/node/name/localhost/daemon/event");
    assert_eq!(asked[3].parameters(), [("filter".to_owned(), "namespace=edge".to_owned())]);

    served.clear();
    served.will_answer(Reply::json(
        400,
        "{\"detail\":\"can't find type for kind: Bogus\",\"title\":\"Invalid\"}",
    ));
    let mut stream = client.events(Subscription::default());
    assert!(matches!(stream.next().await, Some(Signal::Down(why)) if why.contains("kind: Bogus")));
    Ok(())
}

#[tokio::test]
async fn tokens_for_others_are_narrowed_and_actions_carry_their_words() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    served.will_answer(Reply::json(200, "{\"access_token\":\"t\",\"refresh_token\":\"r\"}"));
    let wanted = TokenRequest {
        subject: Some("igw".to_owned()),
        access_duration: Some(Duration::from_secs(90)),
        refresh: RefreshToken::Lasting(Duration::from_secs(7200)),
        roles: vec!["admin".to_owned(), "guest".to_owned()],
        scope: Some("edge".to_owned()),
    };
    client.create_token(&wanted).await?;
    let parameters = served.take_asked()[0].parameters();
    let shown: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected =
        "access_duration=90s refresh=true refresh_duration=2h role=admin role=guest scope=edge subject=igw";
    assert_eq!(shown.join(" "), expected);

    served.will_answer(Reply::json(200, "{\"orchestration_id\":\"an-id\"}"));
    let action = Action::Switch { destination: vec!["n2".to_owned()] };
    assert_eq!(client.act(&path("edge/svc/web"), &action).await?.to_string(), "an-id");
    assert_eq!(served.take_asked()[0].body, b"{\"destination\":[\"n2\"]}");
    Ok(())
}
