//! What clients ask before anything else: groups, versions, kinds, schemas, tables.

mod house;

use std::sync::Arc;

use house::{GATEWAYS, House, gateway};
use igw_kube::{Accept, Door, Everybody, Registry, Server, ServerSettings, Settings, Store, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn groups_and_kinds_are_told_in_every_form() -> anyhow::Result<()> {
    let house = House::start().await?;
    assert_eq!(house.get("/api").await?.expect(200).value()["versions"], json!(["v1"]));
    let groups = house.get("/apis").await?.expect(200).value();
    assert_eq!(groups["groups"][0]["name"], "gateway.networking.k8s.io");
    assert_eq!(groups["groups"][0]["preferredVersion"]["version"], "v1");
    let versions: Vec<&Value> =
        groups["groups"][0]["versions"].as_array().into_iter().flatten().map(|one| &one["version"]).collect();
    assert_eq!(versions, ["v1", "v1beta1", "v1alpha3", "v1alpha2"]);
    assert_eq!(house.get("/apis/igw.opensvc.com").await?.expect(200).text_at("/kind"), "APIGroup");
    house.get("/apis/nowhere.example").await?.expect(404);
    house.get("/apis/gateway.networking.k8s.io/v9").await?.expect(404);
    house.send("POST", "/apis", &[], "").await?.expect(405);

    let list = house.get("/apis/gateway.networking.k8s.io/v1").await?.expect(200).value();
    let resources = list["resources"].as_array().cloned().unwrap_or_default();
    let find = |name: &str| resources.iter().find(|one| one["name"] == name).cloned().unwrap_or_default();
    assert_eq!(find("gateways")["shortNames"], json!(["gtw", "gw"]));
    assert_eq!(find("gateways")["categories"], json!(["gateway-api"]));
    assert_eq!(find("gateways/status")["verbs"], json!(["get", "patch", "update"]));
    assert_eq!(find("gatewayclasses")["namespaced"], false);
    assert_eq!(find("referencegrants/status"), Value::Null);

    for form in ["v2", "v2beta1"] {
        let accept = format!(
            "application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList,application/json"
        );
        let all = house.send("GET", "/apis", &[("accept", &accept)], "").await?.expect(200);
        let media = all.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(
            media,
            format!("application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList")
        );
        assert_eq!(all.text_at("/apiVersion"), format!("apidiscovery.k8s.io/{form}"));
        assert_eq!(all.text_at("/items/0/versions/0/resources/0/scope"), "Cluster");
        let core = house.send("GET", "/api", &[("accept", &accept)], "").await?.value();
        assert_eq!(core["items"][0]["metadata"]["name"], "");
        assert_eq!(core["items"].as_array().map(Vec::len), Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn schemas_have_what_kubectl_looks_for() -> anyhow::Result<()> {
    let house = House::start().await?;
    let index = house.get("/openapi/v3").await?.expect(200).value();
    let paths = index["paths"].as_object().cloned().unwrap_or_default();
    for wanted in ["api/v1", "apis/gateway.networking.k8s.io/v1", "apis/igw.opensvc.com/v1alpha1"] {
        assert!(paths.contains_key(wanted), "{wanted}");
    }
    let mut n_kinds = 0;
    for entry in paths.values() {
        let url = entry["serverRelativeURL"].as_str().unwrap_or_default();
        assert!(url.contains("?hash="), "{url}");
        let document = house.get(url).await?.expect(200).value();
        for operations in document["paths"].as_object().into_iter().flat_map(|paths| paths.values()) {
            let parameters = operations["patch"]["parameters"].as_array().cloned().unwrap_or_default();
            assert!(parameters.iter().any(|one| one["name"] == "fieldValidation"));
            assert!(operations["get"]["x-kubernetes-group-version-kind"]["kind"].is_string());
        }
        for schema in
            document["components"]["schemas"].as_object().into_iter().flat_map(|schemas| schemas.values())
        {
            n_kinds += 1;
            assert_eq!(schema["x-kubernetes-group-version-kind"].as_array().map(Vec::len), Some(1));
            let text = schema.to_string();
            assert!(
                !text.contains("$ref") && !text.contains("anyOf") && !text.contains("\"const\""),
                "{text}"
            );
        }
    }
    assert!(n_kinds >= 25, "{n_kinds}");
    let document = house.get("/openapi/v3/apis/gateway.networking.k8s.io/v1").await?.value();
    let route = &document["components"]["schemas"]["io.k8s.networking.gateway.v1.HTTPRoute"];
    let rule = &route["properties"]["spec"]["properties"]["rules"]["items"]["properties"];
    assert!(rule["matches"]["description"].as_str().is_some_and(|text| text.contains("path")));
    assert_eq!(rule["timeouts"]["type"], "object");
    house.get("/openapi/v2").await?.expect(404);
    Ok(())
}

#[tokio::test]
async fn tables_have_columns_and_rows() -> anyhow::Result<()> {
    let house = House::start().await?;
    let made = house.post(GATEWAYS, &gateway("web")).await?.expect(201).value();
    let mut status = made;
    status["status"] = json!({
        "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
        "conditions": [{"type": "Programmed", "status": "True"}],
    });
    house.put(&format!("{GATEWAYS}/web/status"), &status).await?.expect(200);
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let table = house.send("GET", GATEWAYS, &accept, "").await?.expect(200).value();
    let names: Vec<&Value> =
        table["columnDefinitions"].as_array().into_iter().flatten().map(|column| &column["name"]).collect();
    assert_eq!(names, ["Name", "Class", "Address", "Programmed", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().cloned().unwrap_or_default();
    assert_eq!(
        cells.get(..4),
        Some([json!("web"), json!("igw"), json!("127.0.0.1"), json!("True")].as_slice())
    );
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let whole = house.send("GET", &format!("{GATEWAYS}?includeObject=Object"), &accept, "").await?.value();
    assert_eq!(whole["rows"][0]["object"]["kind"], "Gateway");
    let one = house.send("GET", &format!("{GATEWAYS}/web?includeObject=None"), &accept, "").await?.value();
    assert_eq!(one["rows"][0]["object"], Value::Null);

    let partial = [("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")];
    let one = house.send("GET", &format!("{GATEWAYS}/web"), &partial, "").await?.value();
    assert_eq!((one["kind"].as_str(), one.get("spec")), (Some("PartialObjectMetadata"), None));
    let partial = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")];
    let list = house.send("GET", GATEWAYS, &partial, "").await?.value();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"]["name"], "web");
    Ok(())
}

#[tokio::test]
async fn paths_and_methods_that_are_not_served() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.get("/nowhere").await?.expect(404);
    house.get("/api/v1/nowhere").await?.expect(404);
    house.get("/apis/gateway.networking.k8s.io/v1alpha2/gateways").await?.expect(404);
    house.get("/apis/gateway.networking.k8s.io/v1/namespaces/shop/gatewayclasses").await?.expect(404);
    house.send("DELETE", &format!("{GATEWAYS}/web/status"), &[], "").await?.expect(405);
    house.post("/api/v1/namespaces/shop/events", &json!({"metadata": {"name": "e"}})).await?.expect(405);
    assert_eq!(house.get("/api/v1/events").await?.expect(200).value()["items"], json!([]));
    assert_eq!(house.get("/version").await?.expect(200).text_at("/minor"), "32");
    assert_eq!(house.get("/healthz").await?.expect(200).text, "ok");
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_is_a_door_too() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let socket = scratch.path().join("kube.sock");
    let store = Store::new(Arc::new(Registry::builtin()), Settings::default(), Arc::new(Accept));
    let server = Arc::new(Server::new(Arc::new(store), Arc::new(Everybody), ServerSettings::default()));
    let task = tokio::spawn(serve(Door::Unix(tokio::net::UnixListener::bind(&socket)?), server));
    let stream = tokio::net::UnixStream::connect(&socket).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(connection);
    let body = http_body_util::Full::new(bytes::Bytes::new());
    let request = hyper::Request::builder().uri("/readyz").header("host", "igw").body(body)?;
    assert_eq!(sender.send_request(request).await?.status(), 200);
    task.abort();
    Ok(())
}

/// A page in a browser whose name resolves to this machine reaches the port, and nothing behind it.
#[tokio::test]
async fn plain_ports_answer_under_their_own_names_alone() -> anyhow::Result<()> {
    let house = House::start().await?;
    for (host, code) in [
        ("127.0.0.1:1", "200"),
        ("127.0.0.1", "200"),
        ("[::1]:80", "200"),
        ("localhost", "200"),
        ("localhost:80", "200"),
        ("evil.example", "403"),
        ("evil.example:80", "403"),
        ("", "403"),
        ("127.0.0.1.evil.example", "403"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(house.address).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert_eq!(answer.split_whitespace().nth(1), Some(code), "{host}: {answer}");
    }
    Ok(())
}
