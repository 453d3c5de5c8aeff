//! Traces of requests: what back ends and logs see of them, and what collectors are told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use igw_e2e::client::{Answer, Connection, eventually};
use igw_e2e::collector::{Collector, Span};
use igw_e2e::objects::{backend, beside, gateway, route_of, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::peer::{self, Server};
use igw_e2e::process::{Up, free};
use igw_e2e::raw::server;

const HOST: &str = "a.test";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A policy for gateway `main`, which tells Backend `otel` unless `tracing` says another provider.
fn policy(tracing: &str) -> String {
    policy_for("main", tracing)
}

fn policy_for(gateway: &str, tracing: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XTelemetryPolicy
metadata: {{name: {gateway}}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: {gateway}}}]
  tracing: {{{tracing}}}
"
    )
}

fn enabled(more: &str) -> String {
    format!("mode: Enabled, provider: {{backendRef: {{{}}}}}{more}", to_backend("otel"))
}

fn nobody(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(beside(ip, 251), 1)
}

/// Asks with more fields, each with its end of line.
fn ask(connection: &mut Connection, path: &str, fields: &str) -> anyhow::Result<Answer> {
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n").as_bytes())?;
    connection.read("GET")
}

/// The parts of `traceparent` as the back end saw it: trace, parent and flags.
fn told(answer: &Answer) -> anyhow::Result<(String, String, String)> {
    let value = answer.seen("traceparent").context("no traceparent")?;
    let parts: Vec<&str> = value.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { anyhow::bail!("{value}") };
    let is_hex = |text: &str| text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    anyhow::ensure!(version == "00" && trace.len() == 32 && parent.len() == 16 && is_hex(trace), "{value}");
    anyhow::ensure!(
        is_hex(parent) && !trace.trim_matches('0').is_empty() && !parent.trim_matches('0').is_empty(),
        "{value}"
    );
    Ok((trace.to_owned(), parent.to_owned(), flags.to_owned()))
}

#[test]
fn traces_go_on_and_begin() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let log = up.folder.with_file_name("access.log");
    let settings = format!(
        "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: default, namespace: system}}\nspec:\n  accessLog: {{format: json, output: {}}}\n",
        log.display()
    );
    let edit = "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-edit, value: e}]}}], matches: [{path: {value: /edit}}], ";
    let to = format!("backendRefs: [{{{}}}]", to_backend("b"));
    let base = gateway(address)
        + &route_of("r", HOST, &[to.clone(), format!("{edit}{to}")])
        + &backend("b", &[origin.address])
        + &backend("otel", &[nobody(up.ip)])
        + &settings;
    up.write("all.yaml", &(base.clone() + &policy(&enabled(""))))?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;

    for path in ["/", "/edit"] {
        let fields = format!("Traceparent: {PARENT}\r\ntracestate: a=1\r\nTraceState: b=2\r\n");
        let answer = ask(&mut connection, path, &fields)?;
        let (trace, parent, flags) = told(&answer)?;
        assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"), "{path}");
        assert_ne!(parent, "b7ad6b7169203331", "the gateway's own span");
        assert_eq!(answer.seen("tracestate").as_deref(), Some("a=1,b=2"));
        let report = answer.report()?.to_string();
        assert_eq!(report.matches("traceparent").count(), 1, "{report}");
    }
    let answer = ask(&mut connection, "/", &format!("traceparent: {}00\r\n", &PARENT[..53]))?;
    assert_eq!(told(&answer)?.2, "00", "what others do not tell is not told here");
    assert_eq!(told(&answer)?.0, TRACE);

    // What is said wrongly, twice, or for this connection alone is as good as not said.
    let mut traces = Vec::new();
    for fields in [
        String::new(),
        format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n"),
        format!("traceparent: {PARENT}\r\nconnection: traceparent\r\n"),
        format!("traceparent: ff{}\r\n", &PARENT[2..]),
        format!("traceparent: {}\r\n", PARENT.to_uppercase()),
        format!("traceparent: {PARENT}-more\r\n"),
        format!("traceparent: 00-{}-b7ad6b7169203331-01\r\n", "0".repeat(32)),
        "traceparent: \r\n".to_owned(),
    ] {
        let answer = ask(&mut connection, "/", &(fields.clone() + "tracestate: lost=1\r\n"))?;
        let (trace, _, flags) = told(&answer)?;
        assert_eq!(flags, "01", "{fields}");
        assert_ne!(trace, TRACE, "{fields}");
        assert_eq!(answer.seen("tracestate"), None, "{fields}");
        traces.push(trace);
    }
    let n_traces = traces.len();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), n_traces, "each begins one of its own");

    let later = format!("traceparent: 01{}-more\r\n", &PARENT[2..]);
    assert_eq!(told(&ask(&mut connection, "/", &later)?)?.0, TRACE, "a later version");

    // Logs name traces, also of what the gateway answers itself.
    connection
        .send(format!("GET / HTTP/1.1\r\nhost: none.test\r\ntraceparent: {PARENT}\r\n\r\n").as_bytes())?;
    assert_eq!(connection.read("GET")?.status, 404);
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let is_named =
        |line: &serde_json::Value, status: u16| line["status"] == status && line["trace_id"] == TRACE;
    eventually("the log names the trace", Duration::from_secs(5), || {
        let lines = lines();
        lines.iter().filter(|line| is_named(line, 200)).count() == 4
            && lines.iter().any(|line| is_named(line, 404))
            && lines.iter().all(|line| line["trace_id"].as_str().is_some_and(|name| name.len() == 32))
    })?;

    // Without a policy, or with one that says no, what clients say passes untouched.
    let n_before = lines().len();
    for text in [base.clone() + &policy("mode: Disabled"), base + &policy("mode: ImplementationDefault")] {
        up.write("all.yaml", &text)?;
        let odd = "traceparent: anything\r\ntracestate: kept=1\r\n";
        eventually("traces are left alone", Duration::from_secs(5), || {
            let answer = ask(&mut connection, "/", odd);
            answer.is_ok_and(|answer| answer.seen("traceparent").as_deref() == Some("anything"))
        })?;
        let answer = ask(&mut connection, "/", odd)?;
        assert_eq!(answer.seen("tracestate").as_deref(), Some("kept=1"));
        let answer = ask(&mut connection, "/", "")?;
        assert_eq!(answer.seen("traceparent"), None);
    }
    eventually("logs name none", Duration::from_secs(5), || {
        lines().iter().skip(n_before).any(|line| line.get("trace_id").is_none())
    })?;
    Ok(())
}

#[test]
fn shares_of_requests_are_told() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let base = gateway(address)
        + &route_of("r", HOST, &[format!("backendRefs: [{{{}}}]", to_backend("b"))])
        + &backend("b", &[origin.address])
        + &backend("otel", &[nobody(up.ip)]);
    let none = "numerator: 0";
    // Rates of new traces and of those of others, and whether what others decide counts.
    let cases = [
        ("", "01", "01", "00"),
        (", samplingRate: {NONE}", "00", "01", "00"),
        (", parentBasedSampling: {mode: Enabled, samplingRate: {NONE}}", "01", "00", "00"),
        (", samplingRate: {NONE}, parentBasedSampling: {mode: Disabled}", "00", "00", "00"),
        (", parentBasedSampling: {mode: Disabled}", "01", "01", "01"),
    ];
    up.write("all.yaml", &(base.clone() + &policy("mode: Disabled")))?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    for (number, (more, new, of_told, of_silent)) in cases.into_iter().enumerate() {
        // A name that tells that the policy has arrived.
        let edit = format!(
            "filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-case, value: \"{number}\"}}]}}}}], "
        );
        let text = base.replace("{backendRefs", &format!("{{{edit}backendRefs"));
        up.write("all.yaml", &(text + &policy(&enabled(&more.replace("NONE", none)))))?;
        let arrived = number.to_string();
        eventually("the policy is served", Duration::from_secs(5), || {
            let answer = ask(&mut connection, "/", "");
            answer.is_ok_and(|answer| answer.field("x-case") == Some(arrived.as_str()))
        })?;
        let told_here = format!("traceparent: {PARENT}\r\n");
        let silent = format!("traceparent: {}00\r\n", &PARENT[..53]);
        for (fields, flags) in [("", new), (told_here.as_str(), of_told), (silent.as_str(), of_silent)] {
            for _ in 0..10 {
                assert_eq!(told(&ask(&mut connection, "/", fields)?)?.2, flags, "{more}: {fields}");
            }
        }
    }
    let half = enabled(", samplingRate: {numerator: 1, denominator: 2}");
    up.write("all.yaml", &(base + &policy(&half)))?;
    eventually("the policy is served", Duration::from_secs(5), || {
        ask(&mut connection, "/", "").is_ok_and(|answer| answer.field("x-case").is_none())
    })?;
    let mut n_told = 0;
    for _ in 0..400 {
        n_told += u32::from(told(&ask(&mut connection, "/", "")?)?.2 == "01");
    }
    assert!((120..280).contains(&n_told), "{n_told} of 400");
    Ok(())
}

#[test]
fn tries_stay_in_one_trace() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heads);
    let bad = server(beside(up.ip, 250), move |stream| refuse(stream, &kept))?;
    let rule =
        format!("retry: {{codes: [503], attempts: 2, backoff: 1ms}}, backendRefs: [{{{}}}]", to_backend("b"));
    let objects = gateway(address)
        + &route_of("r", HOST, &[rule])
        + &backend("b", &[bad])
        + &backend("otel", &[nobody(up.ip)])
        + &policy(&enabled(""));
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let answer = ask(&mut Connection::open(address)?, "/", &format!("traceparent: {PARENT}\r\n"))?;
    assert_eq!(answer.status, 503);
    let heads = heads.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(heads.len(), 3, "{heads:?}");
    assert!(
        heads[0].starts_with(&format!("00-{TRACE}-")) && heads.iter().all(|head| *head == heads[0]),
        "{heads:?}"
    );
    Ok(())
}

/// Keeps the `traceparent` of each request and refuses it.
fn refuse(stream: TcpStream, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut parent = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => parent.push_str(line.strip_prefix("traceparent: ").unwrap_or_default()),
            }
        }
        heads.lock().unwrap_or_else(PoisonError::into_inner).push(parent);
        stream.write_all(b"HTTP/1.1 503 Full\r\ncontent-length: 0\r\n\r\n")?;
    }
}

#[test]
fn traces_go_on_over_http2_and_grpc() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (front, back) = (free(up.ip)?, free(up.ip)?);
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let place = beside(up.ip, 252);
    let calls = Server::start("grpc_server.py", place, &[&format!("{place}:0")])?;
    let gateway_to = |name: &str, address: SocketAddr| {
        gateway(address).replace("name: main", &format!("name: {name}"))
            + &route_of(name, HOST, &[format!("backendRefs: [{{{}}}]", to_backend(name))])
                .replace("parentRefs: [{name: main}]", &format!("parentRefs: [{{name: {name}}}]"))
    };
    let objects = gateway_to("front", front)
        + "---\n"
        + &gateway_to("back", back)
        + &backend("front", &[back])
        + &backend("back", &[origin.address])
        + &backend("calls", &[calls.address])
        + &backend("otel", &[nobody(up.ip)])
        + &format!(
            "---
apiVersion: igw.opensvc.com/v1alpha1
kind: BackendPolicy
metadata: {{name: front}}
spec:
  targetRefs: [{{group: igw.opensvc.com, kind: Backend, name: front}}]
  appProtocol: kubernetes.io/h2c
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: calls}}
spec:
  parentRefs: [{{name: front}}]
  hostnames: [grpc.test]
  rules: [{{backendRefs: [{{{}}}]}}]
",
            to_backend("calls")
        )
        + &policy_for("front", &enabled(""));
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    // The second gateway has no policy: the origin sees what came to it over HTTP/2.
    let answer =
        ask(&mut Connection::open(front)?, "/", &format!("traceparent: {PARENT}\r\ntracestate: a=1\r\n"))?;
    let (trace, parent, flags) = told(&answer)?;
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_ne!(parent, "b7ad6b7169203331");
    assert_eq!(answer.seen("tracestate").as_deref(), Some("a=1"));
    peer::run("grpc_trace.py", &[&front.to_string(), "grpc.test", PARENT], 4)
}

#[test]
fn collectors_are_told_of_requests() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let collector = Collector::start(beside(up.ip, 252))?;
    let rules = [
        format!("name: all, backendRefs: [{{{}}}]", to_backend("b")),
        format!("matches: [{{path: {{value: /down}}}}], backendRefs: [{{{}}}]", to_backend("down")),
    ];
    let tracing = format!(
        "mode: Enabled, provider: {{backendRef: {{{}}}, headers: [{{name: X-Tenant, value: shop}}, {{name: Content-Length, value: \"1\"}}]}}, attributes: [{{name: env, sourceType: Literal, literalValue: test}}, {{name: customer, sourceType: Header, headerName: X-Customer}}, {{name: code, sourceType: Attribute, attributeKey: http.response.status_code}}, {{name: url.path, sourceType: Literal, literalValue: hidden}}, {{name: none, sourceType: Attribute, attributeKey: no.such}}]",
        to_backend("otel")
    );
    let objects = gateway(address)
        + &route_of("r", HOST, &rules)
        + &backend("b", &[origin.address])
        + &backend("down", &[nobody(up.ip)])
        + &backend("otel", &[collector.address]);
    up.write("all.yaml", &(objects.clone() + &policy(&tracing)))?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    let fields =
        format!("traceparent: {PARENT}\r\ntracestate: a=1\r\nx-customer: c\u{e9}\r\nuser-agent: test/1\r\n");
    let answer = ask(&mut connection, "/shop?secret=1", &fields)?;
    let (_, parent, _) = told(&answer)?;
    let other = told(&ask(&mut connection, "/", "")?)?;
    assert_eq!(ask(&mut connection, "/down", "")?.status, 502);
    connection
        .send(format!("BREW / HTTP/1.1\r\nhost: none.test\r\ntraceparent: {PARENT}\r\n\r\n").as_bytes())?;
    assert_eq!(connection.read("BREW")?.status, 404);
    // One that others do not tell.
    ask(&mut connection, "/silent", &format!("traceparent: {}00\r\n", &PARENT[..53]))?;
    eventually("the collector is told", Duration::from_secs(10), || collector.spans().len() >= 4)?;

    let exports = collector.exports();
    for export in &exports {
        assert_eq!(export.line.trim_end(), "POST /v1/traces HTTP/1.1");
        let field = |name: &str| export.fields.get(name).map(String::as_str);
        assert_eq!(field("content-type"), Some("application/x-protobuf"));
        assert_eq!(field("x-tenant"), Some("shop"));
        assert_eq!(field("host"), Some("otel.default"));
    }
    let spans = collector.spans();
    assert_eq!(spans.len(), 4, "{spans:?}");
    let of =
        |wanted: &dyn Fn(&Span) -> bool| spans.iter().find(|span| wanted(span)).cloned().context("a span");
    let shop = of(&|span| span.id == parent)?;
    assert_eq!(
        (shop.trace.as_str(), shop.parent.as_str(), shop.state.as_str()),
        (TRACE, "b7ad6b7169203331", "a=1")
    );
    assert_eq!((shop.name.as_str(), shop.kind, shop.status, shop.flags), ("GET", 2, 0, 0x301));
    assert_eq!((shop.scope.as_str(), shop.resource["service.name"].as_str()), ("igw", "main.default"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64;
    assert!(shop.start < shop.end && shop.end < now && now - shop.start < 60_000_000_000, "{shop:?}");
    let address_text = origin.address.to_string();
    let port = address.port().to_string();
    let expected = [
        ("code", "200"),
        ("customer", "c\u{e9}"),
        ("env", "test"),
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("igw.backend", "Backend/default/b"),
        ("igw.endpoint", &address_text),
        ("igw.gateway", "default/main"),
        ("igw.listener", "web"),
        ("igw.route", "default/r"),
        ("igw.rule", "all"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "1.1"),
        ("server.address", HOST),
        ("server.port", &port),
        ("url.path", "hidden"),
        ("url.scheme", "http"),
        ("user_agent.original", "test/1"),
    ];
    let client: IpAddr = shop.attributes["client.address"].parse()?;
    assert!(client.is_loopback(), "{client}");
    let told = shop.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let got: Vec<(&str, &str)> = told.filter(|(name, _)| *name != "client.address").collect();
    assert_eq!(got, expected, "and nothing of the query");
    let begun = of(&|span| span.trace == other.0)?;
    assert_eq!((begun.parent.as_str(), begun.flags & 0x3ff), ("", 0x101));
    let down = of(&|span| span.attributes.get("igw.cause").is_some_and(|cause| cause == "connect_refused"))?;
    assert_eq!((down.status, down.attributes["error.type"].as_str()), (2, "connect_refused"));
    let odd = of(&|span| span.name == "HTTP")?;
    assert_eq!(odd.attributes["http.request.method"], "_OTHER");
    assert_eq!(odd.attributes["http.request.method_original"], "BREW");
    assert_eq!((odd.status, odd.attributes["http.response.status_code"].as_str()), (0, "404"));
    let count = |result: &str| up.metric(&["igw_trace_spans_total", result]);
    eventually("spans are counted", Duration::from_secs(5), || count("exported").is_ok_and(|n| n >= 4.0))?;

    // Names of its own, and of the service.
    let named = enabled(", serviceName: edge, spanName: in bound");
    up.write("all.yaml", &(objects + &policy(&named)))?;
    eventually("spans have new names", Duration::from_secs(15), || {
        let _ = ask(&mut connection, "/", "");
        collector.spans().iter().any(|span| {
            span.name == "in bound" && span.resource.get("service.name").is_some_and(|name| name == "edge")
        })
    })
    .map(drop)
}

#[test]
fn a_collector_that_is_slow_or_gone_changes_nothing() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    up.n_workers = 1;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let collector = Collector::start(beside(up.ip, 252))?;
    collector.hang(true);
    let objects = gateway(address)
        + &route_of("r", HOST, &[format!("backendRefs: [{{{}}}]", to_backend("b"))])
        + &backend("b", &[origin.address])
        + &backend("otel", &[collector.address])
        + &policy(&enabled(""));
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    let count = |result: &str| up.metric(&["igw_trace_spans_total", result]);
    // More than fit: some are on their way, as many as may wait do, and the rest is lost.
    let mut slowest = Duration::ZERO;
    let mut n_requests: u32 = 0;
    while n_requests < 4_000 {
        let begun = Instant::now();
        let answer = ask(&mut connection, "/", "")?;
        slowest = slowest.max(begun.elapsed());
        assert_eq!(answer.status, 200);
        n_requests += 1;
    }
    assert_eq!(collector.n_connections(), 1, "one request to a collector at a time");
    let n_dropped = count("dropped")?;
    assert!(n_dropped > 0.0 && n_dropped <= f64::from(n_requests) - 2_048.0, "{n_dropped} dropped");
    assert_eq!(count("exported")?, 0.0);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    // Whoever takes too long gets nothing of that again; what waited goes to him once he answers.
    collector.hang(false);
    eventually("what waited is told", Duration::from_secs(30), || {
        count("exported").is_ok_and(|n| n >= 2_048.0) && count("failed").is_ok_and(|n| n >= 1.0)
    })?;
    let told: f64 = ["exported", "failed", "dropped"].iter().filter_map(|result| count(result).ok()).sum();
    assert_eq!(told, f64::from(n_requests), "every span is counted once");
    assert_eq!(collector.spans().len() as f64, count("exported")?);
    Ok(())
}
