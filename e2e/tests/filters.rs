//! Filters, weights and time limits of routes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use igw_e2e::client::{Connection, get};
use igw_e2e::objects::{backend, beside, gateway};
use igw_e2e::origin::{Manners, Origin};
use igw_e2e::process::{Up, free};

const RULES: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: main}]
  hostnames: [a.test]
  rules:
    - matches: [{path: {value: /moved}}]
      filters:
        - type: RequestRedirect
          requestRedirect: {scheme: https, hostname: b.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}, statusCode: 308}
    - matches: [{path: {value: /api}}]
      filters:
        - type: URLRewrite
          urlRewrite: {hostname: internal.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: x-set, value: s}], add: [{name: x-add, value: new}], remove: [x-gone]}
        - type: ResponseHeaderModifier
          responseHeaderModifier: {set: [{name: x-answer, value: v}], remove: [content-type]}
      backendRefs: [{group: igw.opensvc.com, kind: Backend, name: one}]
    - matches: [{path: {value: /split}}]
      backendRefs:
        - {group: igw.opensvc.com, kind: Backend, name: one, weight: 9}
        - {group: igw.opensvc.com, kind: Backend, name: two, weight: 1}
    - matches: [{path: {value: /slow}}]
      timeouts: {request: 400ms}
      backendRefs: [{group: igw.opensvc.com, kind: Backend, name: two}]
    - matches: [{path: {value: /wrong}}]
      backendRefs:
        - {group: igw.opensvc.com, kind: Backend, name: missing}
    - matches: [{path: {value: /asked}}]
      filters:
        - type: ExtensionRef
          extensionRef: {group: example.test, kind: Whatever, name: two}
      backendRefs: [{group: igw.opensvc.com, kind: Backend, name: one}]
";

#[test]
fn rules_do_what_they_say() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let one = Origin::start("one", SocketAddr::new(beside(up.ip, 250), 0))?;
    let two = Origin::start("two", SocketAddr::new(beside(up.ip, 251), 0))?;
    up.write(
        "all.yaml",
        &(gateway(address) + RULES + &backend("one", &[one.address]) + &backend("two", &[two.address])),
    )?;
    up.start(&[])?;

    let answer = get(address, "a.test", "/moved/x?q=1")?;
    assert_eq!((answer.status, answer.field("location")), (308, Some("https://b.test/new/x?q=1")));

    let mut connection = Connection::open(address)?;
    connection
        .send(b"GET /api/v1?q=1 HTTP/1.1\r\nhost: a.test\r\nx-set: old\r\nX-Add: old\r\nx-gone: 1\r\n\r\n")?;
    let answer = connection.read("GET")?;
    assert_eq!(answer.report()?["line"], "GET /v1?q=1 HTTP/1.1");
    assert_eq!(answer.seen("host").as_deref(), Some("internal.test"));
    assert_eq!(answer.seen("x-forwarded-host").as_deref(), Some("a.test"));
    assert_eq!(answer.seen("x-set").as_deref(), Some("s"));
    assert_eq!(answer.seen("x-add").as_deref(), Some("old,new"));
    assert_eq!(answer.seen("x-gone"), None);
    assert_eq!((answer.field("x-answer"), answer.field("content-type")), (Some("v"), None));

    for _ in 0..200 {
        assert_eq!(get(address, "a.test", "/split")?.status, 200);
    }
    let share = two.n_requests();
    assert!((14..=26).contains(&share), "{share} of 200 requests at weight 1 of 10");

    two.behave(Manners::Hang);
    let started = Instant::now();
    let answer = get(address, "a.test", "/slow")?;
    assert_eq!((answer.status, answer.field("igw-cause")), (504, Some("request_timeout")));
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());

    // What cannot be served answers 500 and never falls to another rule.
    assert_eq!(get(address, "a.test", "/wrong")?.status, 500);
    assert_eq!(get(address, "a.test", "/asked")?.status, 500);
    assert_eq!(get(address, "a.test", "/elsewhere")?.status, 404);
    Ok(())
}
