//! What is believed of clients and told of them: the PROXY protocol both ways, trusted proxies, HSTS, TLS by policy.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use igw_e2e::client::{Connection, dial, eventually, get};
use igw_e2e::objects::{
    backend, backend_policy, beside, client_policy, gateway_with, http_listener, https_listener, l4_route,
    tcp_listener, to_backend,
};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};
use igw_e2e::raw::{echo, server};
use igw_e2e::tls::{Authority, Client, Use};
use rustls::pki_types::pem::PemObject as _;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// An HTTPRoute of one listener for a host.
fn http_route(name: &str, listener: &str, host: &str, target: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n  \
         parentRefs: [{{name: main, sectionName: {listener}}}]\n  hostnames: [{host}]\n  \
         rules: [{{backendRefs: [{{{target}}}]}}]\n"
    )
}

/// A connection from an address of the client's choice.
fn dial_from(ip: IpAddr, address: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(ip, 0).into())?;
    socket.connect(&address.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// A header of version 2 for IPv4.
fn binary(source: SocketAddr, destination: SocketAddr, more: &[u8]) -> Vec<u8> {
    let mut bytes = [SIGNATURE, &[0x21, 0x11]].concat();
    bytes.extend_from_slice(&u16::try_from(12 + more.len()).unwrap_or(u16::MAX).to_be_bytes());
    for address in [source, destination] {
        if let IpAddr::V4(ip) = address.ip() {
            bytes.extend_from_slice(&ip.octets());
        }
    }
    bytes.extend_from_slice(&source.port().to_be_bytes());
    bytes.extend_from_slice(&destination.port().to_be_bytes());
    bytes.extend_from_slice(more);
    bytes
}

/// A back end that notes what each connection begins with and answers requests behind it.
fn noting(ip: IpAddr, notes: &Arc<Mutex<Vec<Vec<u8>>>>) -> anyhow::Result<SocketAddr> {
    let notes = Arc::clone(notes);
    server(ip, move |mut stream| {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            let n_read = stream.read(&mut buffer)?;
            bytes.extend_from_slice(&buffer[..n_read]);
            let rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
            if n_read == 0 {
                return Ok(());
            }
            if rest.windows(4).any(|four| four == b"\r\n\r\n") {
                if let Ok(mut notes) = notes.lock() {
                    notes.push(std::mem::take(&mut bytes));
                }
                stream.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nstrict-transport-security: max-age=1\r\n\r\nok",
                )?;
            }
        }
    })
}

#[test]
fn back_ends_are_told_of_clients() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (one, two, web) = (free(up.ip)?, free(up.ip)?, free(up.ip)?);
    let place = beside(up.ip, 250);
    let notes = Arc::new(Mutex::new(Vec::new()));
    let checked = "  connections: {proxyProtocol: v1}\n  healthCheck: {active: {http: {path: /health}, interval: 50ms}}\n";
    let objects =
        gateway_with(up.ip, &[tcp_listener("one", one), tcp_listener("two", two), http_listener("web", web)])
            + &l4_route("TCPRoute", "one", "one", "", &[to_backend("one")])
            + &l4_route("TCPRoute", "two", "two", "", &[to_backend("two")])
            + &http_route("web", "web", "a.test", &to_backend("web"))
            + &http_route("checked", "web", "b.test", &to_backend("checked"))
            + &backend("one", &[echo(place, "")?])
            + &backend("two", &[echo(place, "")?])
            + &backend("web", &[noting(place, &notes)?])
            + &backend("checked", &[noting(place, &notes)?])
            + &backend_policy("one", "  connections: {proxyProtocol: v1}\n")
            + &backend_policy("two", "  connections: {proxyProtocol: v2}\n")
            + &backend_policy("web", "  connections: {proxyProtocol: v2}\n")
            + &backend_policy("checked", checked);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;

    let told = |address: SocketAddr| -> anyhow::Result<(SocketAddr, Vec<u8>)> {
        let mut stream = dial(address)?;
        stream.write_all(b"hello")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok((stream.local_addr()?, answer))
    };
    let (client, answer) = told(one)?;
    let line = format!("PROXY TCP4 {} {} {} {}\r\nhello", client.ip(), one.ip(), client.port(), one.port());
    assert_eq!(String::from_utf8_lossy(&answer), line);
    let (client, answer) = told(two)?;
    assert_eq!(answer, [&binary(client, two, &[])[..], b"hello"].concat());

    // Each request of a connection has a connection of its own, which begins with the header.
    let mut connection = Connection::open(web)?;
    let client = connection.stream().local_addr()?;
    for _ in 0..2 {
        assert_eq!(connection.get("a.test", "/x")?.status, 200);
    }
    let header = binary(client, web, b"");
    let taken = |begins: &[u8]| {
        notes.lock().map_or(0, |notes| notes.iter().filter(|note| note.starts_with(begins)).count())
    };
    assert_eq!(taken(&[&header[..], b"GET /x "].concat()), 2);
    // Checks speak for the gateway itself.
    eventually("checks begin with a header", Duration::from_secs(10), || {
        taken(b"PROXY UNKNOWN\r\nGET /health ") >= 2
    })?;
    assert_eq!(get(web, "b.test", "/y")?.status, 200);
    assert_eq!(taken(b"PROXY TCP4 127.0.0.1 "), 1);
    Ok(())
}

#[test]
fn trusted_peers_tell_of_clients() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (web, secure, raw) = (free(up.ip)?, free(up.ip)?, free(up.ip)?);
    let place = beside(up.ip, 250);
    let origin = Origin::start("one", SocketAddr::new(place, 0))?;
    let authority = Authority::new("tests")?;
    let own = authority.issue(Use::Server, &["a.test"])?;
    let objects = gateway_with(
        up.ip,
        &[http_listener("web", web), https_listener("secure", secure, "own"), tcp_listener("raw", raw)],
    ) + &http_route("web", "web", "a.test", &to_backend("origin"))
        + &http_route("secure", "secure", "a.test", &to_backend("origin"))
        + &l4_route("TCPRoute", "raw", "raw", "", &[to_backend("echo")])
        + &backend("origin", &[origin.address])
        + &backend("echo", &[echo(place, "")?])
        + &backend_policy("echo", "  connections: {proxyProtocol: v1}\n")
        + &client_policy("clients", None, "  proxyProtocol: {trusted: [127.0.0.1/32]}\n")
        + &own.secret("own")
        + "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\n\
           spec: {limits: {connectionsPerSource: 2}, accessLog: {format: text, output: stdout}}\n";
    up.write("all.yaml", &objects)?;
    up.start(&[])?;

    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n";
    let far: SocketAddr = "192.0.2.8:1234".parse()?;
    let with = |address: SocketAddr, header: &[u8]| -> anyhow::Result<Connection> {
        let mut connection = Connection::open(address)?;
        connection.send(header)?;
        Ok(connection)
    };
    let client = |mut connection: Connection| -> anyhow::Result<Option<String>> {
        Ok(connection.get("a.test", "/x")?.seen("x-forwarded-for"))
    };
    assert_eq!(client(with(web, line)?)?.as_deref(), Some("192.0.2.7"));
    let header = binary(far, web, &[1, 0, 3, b'a', b'b', b'c']);
    assert_eq!(client(with(web, &header)?)?.as_deref(), Some("192.0.2.8"));
    // In pieces, and together with the first request.
    let mut connection = Connection::open(web)?;
    for piece in
        [&header[..5], &header[5..20], &[&header[20..], b"GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n"].concat()]
    {
        connection.send(piece)?;
    }
    assert_eq!(connection.read("GET")?.seen("x-forwarded-for").as_deref(), Some("192.0.2.8"));
    drop(connection);
    // A peer that speaks for itself.
    for header in [&b"PROXY UNKNOWN\r\n"[..], &[SIGNATURE, &[0x20, 0, 0, 0]].concat()] {
        assert_eq!(client(with(web, header)?)?.as_deref(), Some("127.0.0.1"));
    }
    // Trusted and silent, or wrong: nobody is answered.
    for header in [&b""[..], b"PROXY TCP4 1.2.3.4\r\n", b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0"] {
        let mut connection = with(web, header)?;
        connection.send(b"GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
        assert_eq!(connection.rest()?, b"", "{header:?}");
    }
    // From others it is payload, and no request.
    let stranger = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let mut connection = Connection::over(dial_from(stranger, web)?);
    assert_eq!(connection.get("a.test", "/x")?.seen("x-forwarded-for").as_deref(), Some("127.0.0.9"));
    drop(connection);
    let mut connection = Connection::over(dial_from(stranger, web)?);
    connection.send(line)?;
    assert_eq!(connection.read("GET")?.status, 400);
    drop(connection);
    // The limit counts the connections before for as long as their end is not noticed.
    eventually("a stranger is told of by its own address", Duration::from_secs(5), || {
        let told = dial_from(stranger, raw).and_then(|stream| {
            let mut connection = Connection::over(stream);
            connection.send(line)?;
            connection.take(b"PROXY TCP4 127.0.0.9".len())
        });
        told.is_ok_and(|told| told == b"PROXY TCP4 127.0.0.9")
    })?;

    // Before TLS, and handed on to a back end that asks.
    let mut stream = dial(secure)?;
    stream.write_all(line)?;
    let trusting = Client::trusting(&[&authority.certificate])?;
    let mut connection = trusting.over(stream, "a.test")?;
    let answer = connection.get("a.test", "/x")?;
    assert_eq!(answer.seen("x-forwarded-for").as_deref(), Some("192.0.2.7"));
    drop(connection);
    let mut connection = with(raw, line)?;
    connection.send(b"hello")?;
    assert_eq!(connection.take(line.len() + 5)?, [&line[..], b"hello"].concat());
    drop(connection);

    // Limits and logs are about who was told of.
    eventually("earlier connections are forgotten", Duration::from_secs(5), || {
        let held: Vec<_> = (0..2).filter_map(|_| with(web, line).ok()).collect();
        let mut held: Vec<_> =
            held.into_iter().map(|mut one| (one.get("a.test", "/x").is_ok(), one)).collect();
        let all = held.iter().all(|(answered, _)| *answered);
        let third = with(web, line).and_then(|mut one| one.get("a.test", "/x"));
        let other = with(web, &binary(far, web, &[])).and_then(|mut one| one.get("a.test", "/x"));
        held.clear();
        all && third.is_err() && other.is_ok()
    })?;
    eventually("the log names who was told of", Duration::from_secs(5), || {
        up.printed().contains("\n192.0.2.8 [")
    })?;
    Ok(())
}

#[test]
fn policies_say_what_is_asked_and_believed() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (web, secure, other) = (free(up.ip)?, free(up.ip)?, free(up.ip)?);
    let place = beside(up.ip, 250);
    let origin = Origin::start("one", SocketAddr::new(place, 0))?;
    let notes = Arc::new(Mutex::new(Vec::new()));
    let authority = Authority::new("tests")?;
    let own = authority.issue(Use::Server, &["a.test", "b.test"])?;
    let frontend = format!(
        "  tls: {{frontend: {{default: {{}}, perPort: [{{port: {}, tls: {{validation: {{caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: ca}}]}}}}}}]}}}}\n",
        other.port()
    );
    let mut authorities =
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndata:\n  ca.crt: |\n".to_owned();
    for line in authority.certificate.lines() {
        authorities.push_str(&format!("    {line}\n"));
    }
    let objects = gateway_with(
        up.ip,
        &[
            http_listener("web", web),
            https_listener("secure", secure, "own"),
            https_listener("other", other, "own"),
        ],
    ) + &frontend
        + &http_route("web", "web", "a.test", &to_backend("origin"))
        + &http_route("noting", "web", "b.test", &to_backend("noting"))
        + &http_route("secure", "secure", "a.test", &to_backend("origin"))
        + &http_route("own", "secure", "b.test", &to_backend("noting"))
        + &http_route("other", "other", "a.test", &to_backend("origin"))
        + &backend("origin", &[origin.address])
        + &backend("noting", &[noting(place, &notes)?])
        + &client_policy(
            "all",
            None,
            "  trustedProxies: [127.0.0.1/32]\n  hsts: {includeSubDomains: true}\n  http2: {maxConcurrentStreams: 7}\n",
        )
        + &client_policy(
            "other",
            Some("other"),
            "  tls: {minVersion: \"1.3\", alpn: [http/1.1], clientSubjectHeader: X-Subject}\n",
        )
        + &own.secret("own")
        + &authorities;
    up.write("all.yaml", &objects)?;
    up.start(&[])?;

    // Believed of some alone.
    let fields = "x-forwarded-for: 192.0.2.1, 192.0.2.2\r\nx-forwarded-proto: https\r\nx-forwarded-host: first.test\r\n\
                  x-forwarded-port: 8443\r\nx-request-id: theirs\r\nx-real-ip: 192.0.2.1\r\nforwarded: for=192.0.2.1\r\n";
    let request = format!("GET /x HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n");
    let mut connection = Connection::open(web)?;
    connection.send(request.as_bytes())?;
    let answer = connection.read("GET")?;
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1, 192.0.2.2, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "first.test"),
        ("x-forwarded-port", "8443"),
        ("x-request-id", "theirs"),
        ("x-real-ip", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1"),
    ] {
        assert_eq!(answer.seen(name).as_deref(), Some(value), "{name}");
    }
    let mut connection = Connection::over(dial_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)), web)?);
    connection.send(request.as_bytes())?;
    let answer = connection.read("GET")?;
    assert_eq!(answer.seen("x-forwarded-for").as_deref(), Some("127.0.0.9"));
    assert_eq!(answer.seen("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!((answer.seen("x-real-ip"), answer.seen("forwarded")), (None, None));
    assert_ne!(answer.seen("x-request-id").as_deref(), Some("theirs"));

    // HSTS: over TLS, whoever answers; never without it.
    let hsts = "max-age=31536000; includeSubDomains";
    let client = Client::trusting(&[&authority.certificate])?;
    let mut connection = client.connect(secure, "a.test")?;
    for (host, status) in [("a.test", 200), ("b.test", 200), ("c.test", 404)] {
        let answer = connection.get(host, "/x")?;
        let said: Vec<&str> = answer
            .fields
            .iter()
            .filter(|(name, _)| name == "strict-transport-security")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!((answer.status, said), (status, vec![hsts]), "{host}");
    }
    connection.send(b"GET /x HTTP/1.1\r\nno field\r\n\r\n")?;
    let answer = connection.read("GET")?;
    assert_eq!((answer.status, answer.field("strict-transport-security")), (400, Some(hsts)));
    for host in ["a.test", "b.test", "c.test"] {
        assert_eq!(get(web, host, "/x")?.field("strict-transport-security"), None, "{host}");
    }
    let listed = |host: &str, more: &[&str]| -> anyhow::Result<String> {
        let output = std::process::Command::new("curl")
            .args(["-sk", "--http2", "-o", "/dev/null", "-D", "-"])
            .args(more)
            .arg("--resolve")
            .arg(format!("{host}:{}:{}", secure.port(), secure.ip()))
            .arg(format!("https://{host}:{}/x", secure.port()))
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let of_grpc = ["-X", "POST", "-H", "content-type: application/grpc"];
    for (host, more) in [("b.test", &[][..]), ("c.test", &of_grpc[..])] {
        let listed = listed(host, more)?;
        assert!(listed.starts_with("HTTP/2 200"), "{listed}");
        assert_eq!(listed.contains("grpc-status: 12"), !more.is_empty(), "{listed}");
        assert_eq!(listed.matches("strict-transport-security").count(), 1, "{listed}");
        assert!(listed.contains(hsts), "{listed}");
    }

    // Streams at a time, as the settings of HTTP/2 say.
    let mut speaks_http2 = client.clone();
    speaks_http2.alpn = vec!["h2".to_owned()];
    let mut connection = speaks_http2.connect(secure, "a.test")?;
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let start = connection.take(9)?;
    assert_eq!(start[3], 4, "settings come first");
    let settings = connection.take(usize::from(start[2]) + (usize::from(start[1]) << 8))?;
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 7]), "{settings:?}");

    // The listener's own policy counts in place of the gateway's.
    let mut known = client.clone();
    known.pair = Some(authority.issue_with(Use::Client, &["x"], &igw_e2e::tls::key()?, |params| {
        params.distinguished_name = igw_e2e::tls::name(&[("O", "Shop, Ltd"), ("CN", "J\u{f6}rg")]);
    })?);
    let mut connection = known.connect(other, "a.test")?;
    connection.send(b"GET /x HTTP/1.1\r\nhost: a.test\r\nx-subject: forged\r\nX_Subject: forged\r\n\r\n")?;
    let answer = connection.read("GET")?;
    let told: Vec<String> = answer.report()?["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|field| field[0].as_str().is_some_and(|name| name.contains("subject")))
        .map(|field| field[1].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(told, ["CN=J\\C3\\B6rg,O=Shop\\, Ltd"]);
    assert_eq!(answer.field("strict-transport-security"), None);
    let mut older = known.clone();
    older.versions = vec![&rustls::version::TLS12];
    assert!(older.connect(other, "a.test").is_err());
    let mut newer = known.clone();
    newer.alpn = vec!["h2".to_owned()];
    assert!(newer.connect(other, "a.test").is_err());
    Ok(())
}

/// The recipe with TLS, as committed: only the places of listeners and of the service's servers are those of the test.
#[test]
fn the_recipe_with_tls_redirects_and_serves() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (plain, secure) = (free(up.ip)?, free(up.ip)?);
    let origin = Origin::start("one", SocketAddr::new(beside(up.ip, 250), 0))?;
    let mut objects = include_str!("../../crds/examples/ingress-gateway-tls.yaml").to_owned();
    let at = |n: u16, address: SocketAddr| {
        (
            format!("      port: {n}\n      protocol"),
            format!("      port: {}\n      protocol", address.port()),
        )
    };
    for (from, to) in [
        (
            "  gatewayClassName: igw\n".to_owned(),
            format!("  gatewayClassName: igw\n  addresses: [{{value: {}}}]\n", up.ip),
        ),
        at(80, plain),
        at(443, secure),
        ("          port: 8080\n".to_owned(), format!("          port: {}\n", origin.address.port())),
        // What DNS would say.
        ("    initAddr: [none]\n".to_owned(), format!("    initAddr: [{}]\n", origin.address.ip())),
    ] {
        assert_eq!(objects.matches(&from).count(), 1, "{from}");
        objects = objects.replace(&from, &to);
    }
    up.write("ingress-gateway-tls.yaml", &objects)?;
    up.start(&[])?;
    let host = "svc1.opensvc.com";
    let answer = get(plain, host, "/a?b=c")?;
    let told = (answer.status, answer.field("location"), answer.field("strict-transport-security"));
    assert_eq!(told, (301, Some("https://svc1.opensvc.com/a?b=c"), None));
    let certificate = objects.split("  tls.crt: |\n").nth(1).and_then(|rest| rest.split("  tls.key").next());
    let certificate: String =
        certificate.unwrap_or_default().lines().map(|line| format!("{}\n", line.trim())).collect();
    // Self-signed: shown as it is, believed by nobody who was not told to.
    let trusting = Client::trusting(&[])?;
    let mut connection = trusting.connect(secure, host)?;
    let shown = connection.stream().conn.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
    let wanted = rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes())?;
    assert_eq!(shown, [wanted]);
    eventually("the server is checked and serves", Duration::from_secs(10), || {
        let answer = trusting.connect(secure, host).and_then(|mut one| one.get(host, "/a"));
        answer.is_ok_and(|answer| {
            answer.status == 200 && answer.field("strict-transport-security") == Some("max-age=31536000")
        })
    })?;
    Ok(())
}
