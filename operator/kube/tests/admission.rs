//! What is wrong is refused with every cause; what is absent gets its default; what is unknown goes.

mod house;

use house::{GATEWAYS, House, ROUTES, gateway, route};
use serde_json::{Value, json};

fn causes(answer: &house::Answer) -> Vec<(String, String)> {
    let body = answer.value();
    let list = body["details"]["causes"].as_array().cloned().unwrap_or_default();
    let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
    list.iter().map(|cause| (text(cause, "reason"), text(cause, "field"))).collect()
}

#[tokio::test]
async fn every_cause_is_told_with_its_field() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut wish = route("web");
    wish["spec"]["rules"] =
        json!([{"matches": [{"path": {"type": "Bad", "value": "/"}}]}, {"filters": [{}]}]);
    wish["metadata"]["labels"] = json!({"a b": "c"});
    let refused = house.post(ROUTES, &wish).await?.expect(422);
    assert_eq!(refused.text_at("/reason"), "Invalid");
    assert_eq!(refused.text_at("/details/kind"), "HTTPRoute");
    let expected = [
        ("FieldValueInvalid", "metadata.labels"),
        ("FieldValueNotSupported", "spec.rules[0].matches[0].path.type"),
        ("FieldValueRequired", "spec.rules[1].filters[0].type"),
        // Rules are looked at later.
        ("FieldValueInvalid", "<nil>"),
    ];
    let expected = expected.map(|(reason, field)| (reason.to_owned(), field.to_owned()));
    assert_eq!(causes(&refused), expected);
    let message = refused.text_at("/message");
    let told = "spec.rules[0].matches[0].path.type: Unsupported value: \"Bad\": supported values: \"Exact\", \
                \"PathPrefix\", \"RegularExpression\"";
    assert!(message.starts_with("HTTPRoute.gateway.networking.k8s.io \"web\" is invalid: ["), "{message}");
    assert!(message.contains(told), "{message}");

    // A rule stands above what is wrong, which the message tells.
    let mut wish = gateway("web");
    wish["spec"]["listeners"] = json!([
        {"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "a", "port": 81, "protocol": "HTTP"},
    ]);
    let refused = house.post(GATEWAYS, &wish).await?.expect(422);
    let expected = [("FieldValueDuplicate", "spec.listeners[1]"), ("FieldValueInvalid", "spec.listeners")];
    let expected = expected.map(|(reason, field)| (reason.to_owned(), field.to_owned()));
    assert_eq!(causes(&refused), expected);
    assert!(refused.text_at("/message").contains("spec.listeners[1].name"), "{}", refused.text);

    let mut wish = gateway("web");
    wish["spec"]["listeners"] = json!([{"protocol": "HTTP"}]);
    let refused = house.post(GATEWAYS, &wish).await?.expect(422);
    let expected = [
        ("FieldValueRequired", "spec.listeners[0].name"),
        ("FieldValueRequired", "spec.listeners[0].port"),
        ("FieldValueInvalid", "<nil>"),
    ];
    assert_eq!(causes(&refused), expected.map(|(reason, field)| (reason.to_owned(), field.to_owned())));
    Ok(())
}

#[tokio::test]
async fn unknown_fields_go_as_the_client_wishes() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut wish = route("web");
    wish["spec"]["parentRefs"][0]["nope"] = json!(1);
    wish["metadata"]["more"] = json!(1);
    let strict = house.post(&format!("{ROUTES}?fieldValidation=Strict"), &wish).await?.expect(400);
    let message = strict.text_at("/message");
    let told = "HTTPRoute in version \"v1\" cannot be handled as a HTTPRoute: strict decoding error: unknown field \
                \"metadata.more\", unknown field \"spec.parentRefs[0].nope\"";
    assert_eq!(message, told);
    let warned = house.post(&format!("{ROUTES}?dryRun=All"), &wish).await?.expect(201);
    let warnings: Vec<&str> =
        warned.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok()).collect();
    assert_eq!(
        warnings,
        [
            r#"299 - "unknown field \"metadata.more\"""#,
            r#"299 - "unknown field \"spec.parentRefs[0].nope\"""#
        ]
    );
    let made = house.post(&format!("{ROUTES}?fieldValidation=Ignore"), &wish).await?.expect(201);
    assert!(made.headers.get("warning").is_none());
    assert_eq!(made.value()["spec"]["parentRefs"][0].get("nope"), None);

    let twice = r#"{"metadata":{"name":"m"},"data":{"a":"1","a":"2"}}"#;
    let maps = "/api/v1/namespaces/shop/configmaps?fieldValidation=Strict";
    let refused = house.send("POST", maps, &[("content-type", "application/json")], twice).await?.expect(400);
    assert!(refused.text.contains("duplicate field \\\"data.a\\\""), "{}", refused.text);
    Ok(())
}

#[tokio::test]
async fn defaults_are_kept_and_nothing_written_is_lost() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut wish = route("web");
    wish["spec"]["rules"][0]["matches"] =
        json!([{"headers": [{"name": "a", "value": "b"}], "queryParams": []}]);
    wish["spec"]["rules"][0]["name"] = Value::Null;
    let made = house.post(ROUTES, &wish).await?.expect(201).value();
    let group = "gateway.networking.k8s.io";
    let expected = json!({
        "parentRefs": [{"group": group, "kind": "Gateway", "name": "web"}],
        "hostnames": ["shop.example"],
        "rules": [{
            "matches": [{
                "path": {"type": "PathPrefix", "value": "/"},
                "headers": [{"type": "Exact", "name": "a", "value": "b"}],
                "queryParams": [],
            }],
            "backendRefs": [{"group": "", "kind": "Service", "name": "shop", "port": 8080, "weight": 1}],
        }],
    });
    assert_eq!(made["spec"], expected);
    let read = house.get(&format!("{ROUTES}/web")).await?.value();
    assert_eq!(read, made);

    let secrets = "/api/v1/namespaces/shop/secrets";
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"a": "text"}});
    let made = house.post(secrets, &secret).await?.expect(201).value();
    assert_eq!((&made["type"], &made["data"]["a"]), (&json!("Opaque"), &json!("dGV4dA==")));
    assert_eq!(made.get("stringData"), None);
    Ok(())
}

#[tokio::test]
async fn bodies_of_other_kinds_names_and_forms_are_refused() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.post(ROUTES, &gateway("web")).await?.expect(400);
    let mut wish = route("a");
    wish["metadata"]["namespace"] = json!("other");
    house.post(ROUTES, &wish).await?.expect(400);
    house.post(ROUTES, &json!({"spec": {}})).await?.expect(422);
    house.post(ROUTES, &json!([1])).await?.expect(400);
    house.post(ROUTES, &json!({"metadata": {"name": "Not_a_name"}, "spec": {}})).await?.expect(422);
    let media = |kind: &'static str| [("content-type", kind)];
    house.send("POST", ROUTES, &media("application/json"), "{").await?.expect(400);
    house.send("POST", ROUTES, &media("text/plain"), "{}").await?.expect(415);
    house.send("POST", ROUTES, &media("application/yaml"), "a: &x 1").await?.expect(400);
    house.send("POST", ROUTES, &[], route("b").to_string()).await?.expect(415);
    let many: serde_json::Map<String, Value> =
        (0..300).map(|index| (format!("f{index}"), json!(1))).collect();
    let mut wish = route("many");
    wish["spec"]["rules"][0]["matches"] = json!([{"path": many}]);
    house.post(ROUTES, &wish).await?.expect(422);
    let yaml = "metadata: {name: y}\nspec:\n  rules: [{}]\n";
    house.send("POST", ROUTES, &media("application/yaml"), yaml).await?.expect(201);
    let large = vec![b' '; 3 * 1024 * 1024 + 1];
    house.send("POST", ROUTES, &media("application/json"), large).await?.expect(413);
    Ok(())
}

#[tokio::test]
async fn immutable_objects_stay() -> anyhow::Result<()> {
    let house = House::start().await?;
    let maps = "/api/v1/namespaces/shop/configmaps";
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "1"}, "immutable": true});
    house.post(maps, &map).await?.expect(201);
    house.merge(&format!("{maps}/m"), &json!({"data": {"a": "2"}})).await?.expect(422);
    house.merge(&format!("{maps}/m"), &json!({"metadata": {"labels": {"a": "b"}}})).await?.expect(200);
    Ok(())
}

/// The defaults of the Gateway API that objects meet most.
#[tokio::test]
async fn defaults_are_those_of_the_gateway_api() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut wish = gateway("web");
    wish["spec"]["addresses"] = json!([{"value": "127.0.0.1"}, {"type": "IPAddress"}]);
    wish["spec"]["allowedListeners"] = json!({});
    wish["spec"]["listeners"] = json!([{
        "name": "tls", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c"}]},
        "allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}]},
    }]);
    let made = house.post(GATEWAYS, &wish).await?.expect(201).value();
    let expected = json!({
        "gatewayClassName": "igw",
        "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}, {"type": "IPAddress"}],
        "allowedListeners": {"namespaces": {"from": "None"}},
        "listeners": [{
            "name": "tls", "port": 443, "protocol": "HTTPS",
            "tls": {"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": "c"}]},
            "allowedRoutes": {
                "namespaces": {"from": "Same"},
                "kinds": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}],
            },
        }],
    });
    assert_eq!(made["spec"], expected);
    let mut wish = route("a");
    wish["spec"] = json!({"rules": [{"filters": [
        {"type": "RequestRedirect", "requestRedirect": {}},
        {"type": "CORS", "cors": {"allowOrigins": ["https://a.example"]}},
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "m", "port": 1}, "fraction": {"numerator": 1}}},
    ]}]});
    let made = house.post(ROUTES, &wish).await?.expect(201).value();
    let filters = &made["spec"]["rules"][0]["filters"];
    assert_eq!(filters[0]["requestRedirect"], json!({"statusCode": 302}));
    assert_eq!(filters[1]["cors"]["maxAge"], 5);
    assert_eq!(filters[2]["requestMirror"]["fraction"]["denominator"], 100);
    Ok(())
}
