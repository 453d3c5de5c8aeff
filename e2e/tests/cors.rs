//! Requests from other origins, as browsers send them.

use std::net::SocketAddr;

use anyhow::ensure;
use igw_e2e::client::{Answer, Connection};
use igw_e2e::objects::{backend, beside, gateway, to_backend};
use igw_e2e::origin::{Manners, Origin};
use igw_e2e::process::{Up, free};

/// A route whose rules differ in their filters.
fn rules(target: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r}}
spec:
  parentRefs: [{{name: main}}]
  hostnames: [a.test]
  rules:
    - matches: [{{path: {{value: /listed}}}}]
      filters:
        - type: CORS
          cors:
            allowOrigins: [\"https://*.shop.test\", \"http://localhost:8080\"]
            allowCredentials: true
            allowMethods: [PUT, DELETE]
            allowHeaders: [x-token]
            exposeHeaders: [x-total]
            maxAge: 600
      backendRefs: [{{{target}}}]
    - matches: [{{path: {{value: /open}}}}]
      filters: [{{type: CORS, cors: {{allowOrigins: [\"*\"], allowMethods: [\"*\"], allowHeaders: [\"*\"]}}}}]
      backendRefs: [{{{target}}}]
    - matches: [{{path: {{value: /backend}}}}]
      backendRefs: [{{{target}, filters: [{{type: CORS, cors: {{allowOrigins: [\"https://www.shop.test\"]}}}}]}}]
    - matches: [{{path: {{value: /moved}}}}]
      filters:
        - {{type: CORS, cors: {{allowOrigins: [\"https://www.shop.test\"]}}}}
        - {{type: RequestRedirect, requestRedirect: {{hostname: b.test}}}}
    - matches: [{{path: {{value: /none}}}}]
      backendRefs: [{{{target}}}]
    - matches: [{{path: {{value: /dead}}}}]
      filters: [{{type: CORS, cors: {{allowOrigins: [\"*\"]}}}}]
      backendRefs: [{{name: nowhere, port: 80}}]
"
    )
}

fn ask(connection: &mut Connection, method: &str, path: &str, fields: &str) -> anyhow::Result<Answer> {
    connection.send(format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n").as_bytes())?;
    connection.read(method)
}

/// Every field that tells of origins, sorted.
fn told(answer: &Answer) -> Vec<String> {
    let is_told = |name: &str| name.starts_with("access-control-") || name == "vary";
    let mut told: Vec<String> = answer
        .fields
        .iter()
        .filter(|(name, _)| is_told(name))
        .map(|(name, value)| format!("{}: {value}", name.trim_start_matches("access-control-")))
        .collect();
    told.sort();
    told
}

#[test]
fn browsers_are_told_what_other_origins_may() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    up.write("all.yaml", &(gateway(address) + &rules(&to_backend("b")) + &backend("b", &[origin.address])))?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    let preflight = |origin: &str| {
        format!(
            "origin: {origin}\r\naccess-control-request-method: PUT\r\naccess-control-request-headers: x-token, x-more\r\n"
        )
    };

    // A preflight is answered here.
    let answer = ask(&mut connection, "OPTIONS", "/listed", &preflight("https://www.shop.test"))?;
    ensure!(answer.status == 204, "{answer:?}");
    let granted = [
        "allow-credentials: true",
        "allow-headers: x-token",
        "allow-methods: PUT, DELETE",
        "allow-origin: https://www.shop.test",
        "expose-headers: x-total",
        "max-age: 600",
        "vary: origin",
    ];
    assert_eq!(told(&answer), granted);
    let answer = ask(&mut connection, "OPTIONS", "/listed", &preflight("https://evil.test"))?;
    assert_eq!((answer.status, told(&answer)), (204, vec!["vary: origin".to_owned()]));
    let answer = ask(&mut connection, "OPTIONS", "/open", &preflight("https://any.test"))?;
    assert_eq!(answer.status, 204);
    assert_eq!(told(&answer), ["allow-headers: *", "allow-methods: *", "allow-origin: *", "max-age: 5"]);
    let answer = ask(&mut connection, "OPTIONS", "/moved", &preflight("https://www.shop.test"))?;
    assert_eq!((answer.status, answer.field("location")), (204, None));
    assert_eq!(origin.n_requests(), 0, "no back end sees a preflight");

    // Requests go on, and their answers tell; what a back end says of origins does not pass.
    origin.behave(Manners::OpenToAll);
    let answer = ask(&mut connection, "GET", "/backend", "origin: https://www.shop.test\r\n")?;
    assert_eq!(answer.status, 200);
    assert_eq!(told(&answer), ["allow-origin: https://www.shop.test", "vary: origin"]);
    let answer = ask(&mut connection, "GET", "/none", "origin: https://www.shop.test\r\n")?;
    assert_eq!(told(&answer), ["allow-origin: *", "max-age: 1"], "without a filter it passes");
    origin.behave(Manners::Echo);
    let answer = ask(&mut connection, "GET", "/listed", "origin: http://localhost:8080\r\n")?;
    assert_eq!(
        told(&answer),
        [
            "allow-credentials: true",
            "allow-origin: http://localhost:8080",
            "expose-headers: x-total",
            "vary: origin"
        ]
    );
    for other in [
        "origin: http://localhost\r\n",
        "origin: null\r\n",
        "",
        "origin: https://a.shop.test\r\norigin: x\r\n",
    ] {
        let answer = ask(&mut connection, "GET", "/listed", other)?;
        assert_eq!((answer.status, told(&answer)), (200, vec!["vary: origin".to_owned()]), "{other}");
    }

    // OPTIONS alone is no preflight, and where there is no filter nothing is said.
    let before = origin.n_requests();
    assert_eq!(ask(&mut connection, "OPTIONS", "/listed", "origin: https://www.shop.test\r\n")?.status, 200);
    let answer = ask(&mut connection, "OPTIONS", "/none", &preflight("https://www.shop.test"))?;
    assert_eq!((answer.status, told(&answer)), (200, vec![]));
    assert_eq!(origin.n_requests(), before + 2);

    // Scripts may read why a request failed, and where it is to go.
    let answer = ask(&mut connection, "GET", "/dead", "origin: https://any.test\r\n")?;
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (503, Some("*")));
    let answer = ask(&mut connection, "GET", "/moved", "origin: https://www.shop.test\r\n")?;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://www.shop.test"));
    Ok(())
}
