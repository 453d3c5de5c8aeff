//! Requests that another service has to allow before a route is looked for.

use std::net::SocketAddr;
use std::time::Duration;

use igw_e2e::client::{Answer, Connection, eventually};
use igw_e2e::objects::{backend, beside, gateway_with, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::peer::{self, Server};
use igw_e2e::process::{Up, free};

fn ask(address: SocketAddr, request: &str) -> anyhow::Result<Answer> {
    let mut connection = Connection::open(address)?;
    connection.send(request.as_bytes())?;
    connection.read(request.split(' ').next().unwrap_or_default())
}

fn get(host: &str, path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n")
}

/// Listeners of one port: one that asks these, one for `open.test` that asks nobody.
fn listeners(address: SocketAddr, filters: &[String]) -> String {
    let port = address.port();
    let filters = match filters {
        [] => String::new(),
        filters => format!(", filters: {{requests: [{}]}}", filters.join(", ")),
    };
    gateway_with(
        address.ip(),
        &[
            format!("{{name: asking, port: {port}, protocol: HTTP{filters}}}"),
            format!("{{name: open, port: {port}, protocol: HTTP, hostname: open.test}}"),
        ],
    )
}

fn filter(service: &str, more: &str) -> String {
    let auth = to_backend(service);
    format!(
        "{{type: ExternalAuth, externalAuth: {{protocol: GRPC, backendRef: {{{auth}}}, grpc: {{}}{more}}}}}"
    )
}

/// A route that only clients get whom the service named, by a field that the listener's filter adds.
fn route_for(name: &str, user: &str, more: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: main, sectionName: asking}}]
  hostnames: [www.test]
  rules:
    - matches: [{{path: {{value: /{name}}}, headers: [{{name: x-user, value: {user}}}]}}]
{more}      backendRefs: [{{{}}}]
",
        to_backend("b")
    )
}

#[test]
fn nobody_is_routed_who_was_not_allowed() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let places = [beside(up.ip, 251), beside(up.ip, 252)];
    let service = Server::start("authorization_server.py", places[0], &[&format!("{}:0", places[0])])?;
    let other = Server::start("authorization_server.py", places[1], &[&format!("{}:0", places[1])])?;
    let gone = free(beside(up.ip, 249))?;
    let copied = Origin::start("copy", SocketAddr::new(beside(up.ip, 248), 0))?;
    let of_route = format!("      filters:\n        - {}\n", filter("auth", ""));
    let mirror = format!(
        "      filters:\n        - {{type: RequestMirror, requestMirror: {{backendRef: {{{}}}}}}}\n",
        to_backend("copy")
    );
    let rest = route_for("alice", "alice", "")
        + &route_for("bob", "bob", "")
        + &route_for("twice", "alice", &of_route)
        + &route_for("copied", "alice", &mirror)
        + &route("open", "open.test", &to_backend("b"))
        + &backend("b", &[origin.address])
        + &backend("copy", &[copied.address])
        + &backend("auth", &[service.address])
        + &backend("other", &[other.address])
        + &backend("gone", &[gone]);
    let written = |filters: &[String]| listeners(address, filters) + &rest;
    up.write("all.yaml", &written(&[filter("auth", ", forwardBody: {maxSize: 1000}")]))?;
    up.start(&[])?;

    // Before a route is looked for: also where there is none.
    for path in ["/alice", "/nowhere"] {
        let answer = ask(address, &get("www.test", path, ""))?;
        assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Bearer")), "{path}");
    }
    assert_eq!(ask(address, &get("www.test", "/nowhere", "x-do: allow\r\n"))?.status, 404);
    assert_eq!(origin.n_requests(), 0);
    // Another listener asks nobody.
    assert_eq!(ask(address, &get("open.test", "/", ""))?.status, 200);

    // Routes are looked for with what the service says, whatever the client says or takes away.
    let fields = "x-do: allow\r\nx-user: bob\r\nconnection: x-user\r\nauthorization: t\r\n";
    assert_eq!(ask(address, &get("www.test", "/bob", fields))?.status, 404);
    let answer = ask(address, &get("www.test", "/alice?token=1", fields))?;
    assert_eq!((answer.status, answer.seen("x-user").as_deref()), (200, Some("alice")));
    assert_eq!((answer.seen("authorization"), answer.field("x-granted")), (None, Some("yes")));
    assert_eq!(answer.report()?["line"], "GET /alice?who=a%20b HTTP/1.1");
    let body = "b".repeat(500);
    let mut connection = Connection::open(address)?;
    for framed in [
        format!("content-length: 500\r\n\r\n{body}"),
        format!("transfer-encoding: chunked\r\n\r\n1f4\r\n{body}\r\n0\r\n\r\n"),
    ] {
        connection
            .send(format!("POST /alice HTTP/1.1\r\nhost: www.test\r\nx-do: allow\r\n{framed}").as_bytes())?;
        let answer = connection.read("POST")?;
        assert_eq!((answer.status, answer.report()?["body_bytes"].as_u64()), (200, Some(500)));
        assert_eq!(answer.seen("x-saw-text"), Some(body.clone()));
    }
    let announced = "POST /alice HTTP/1.1\r\nhost: www.test\r\nx-do: allow\r\ncontent-length: 1001\r\n\r\n";
    let answer = ask(address, announced)?;
    assert_eq!((answer.status, answer.field("igw-cause")), (413, Some("auth_body")));
    // The route's own filter runs behind it, and copies are of what was allowed.
    let n_allowed = || up.metric(&["igw_authorizations_total", "allowed"]);
    let n_before = n_allowed()?;
    assert_eq!(ask(address, &get("www.test", "/twice", "x-do: allow\r\n"))?.status, 200);
    assert_eq!(n_allowed()?, n_before + 2.0);
    assert_eq!(ask(address, &get("www.test", "/copied", ""))?.status, 401);
    assert_eq!(ask(address, &get("www.test", "/copied", "x-do: allow\r\n"))?.status, 200);
    eventually("the copy comes", Duration::from_secs(5), || copied.n_requests() == 1)?;

    // Every one of several has to allow, in order.
    up.write("all.yaml", &written(&[filter("auth", ""), filter("other", "")]))?;
    eventually("both are asked", Duration::from_secs(5), || {
        let n_before = n_allowed().unwrap_or_default();
        let is_there = ask(address, &get("www.test", "/alice", "x-do: allow\r\n"))
            .is_ok_and(|answer| answer.status == 200);
        is_there && n_allowed().is_ok_and(|n_now| n_now == n_before + 2.0)
    })?;
    // Without an answer nothing goes on, and nobody behind is asked.
    up.write("all.yaml", &written(&[filter("gone", ""), filter("auth", "")]))?;
    let cause = |wanted: (u16, &str)| {
        let answer = ask(address, &get("www.test", "/alice", "x-do: allow\r\n"));
        answer.is_ok_and(|answer| (answer.status, answer.field("igw-cause").unwrap_or_default()) == wanted)
    };
    eventually("the first is gone", Duration::from_secs(5), || cause((503, "auth_failed")))?;
    up.write("all.yaml", &written(&[filter("nobody", "")]))?;
    eventually("the first leads nowhere", Duration::from_secs(5), || cause((500, "auth_invalid")))?;
    // A filter that is removed is removed.
    up.write("all.yaml", &written(&[]))?;
    eventually("nobody is asked", Duration::from_secs(5), || {
        ask(address, &get("www.test", "/bob", "x-user: bob\r\n")).is_ok_and(|answer| answer.status == 200)
    })?;
    Ok(())
}

#[test]
fn calls_over_http2_are_allowed_first() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let places = [beside(up.ip, 250), beside(up.ip, 251)];
    let service = Server::start("authorization_server.py", places[0], &[&format!("{}:0", places[0])])?;
    let server = Server::start("grpc_server.py", places[1], &[&format!("{}:0", places[1])])?;
    let objects = |filters: &[String]| {
        listeners(address, filters)
            + &format!(
                "---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: calls}}
spec:
  parentRefs: [{{name: main}}]
  hostnames: [grpc.test, other.test]
  rules:
    - filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {{set: [{{name: x-route, value: set}}]}}
        - type: ResponseHeaderModifier
          responseHeaderModifier: {{set: [{{name: x-answer, value: set}}]}}
      matches: [{{method: {{service: igw.test.Shapes}}}}]
      backendRefs: [{{{}}}]
    - matches: [{{method: {{service: igw.test.Nowhere}}}}]
      backendRefs: [{{{}}}]
",
                to_backend("server"),
                to_backend("nowhere")
            )
            + &backend("server", &[server.address])
            + &backend("nowhere", &[SocketAddr::new(beside(up.ip, 252), 1)])
            + &backend("auth", &[service.address])
    };
    up.write("all.yaml", &objects(&[filter("auth", "")]))?;
    up.start(&[])?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path().display().to_string();
    peer::run("grpc_client.py", &[&address.to_string(), "grpc.test", "-", &folder, "100000"], 15)?;
    let arguments = [&*address.to_string(), "other.test", "-", &folder, "100000"];
    let refused = peer::run("grpc_client.py", &arguments, 15).err().map(|error| error.to_string());
    let denied = up.metric(&["igw_authorizations_total", "denied"])?;
    assert!(refused.is_some_and(|printed| printed.contains("UNAUTHENTICATED")) && denied >= 1.0);
    Ok(())
}
