//! Connections that are passed on as they are: TCPRoute, TLSRoute, and what is said before them.

use std::hash::Hasher as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use igw_e2e::client::{Connection, dial, eventually, get};
use igw_e2e::objects::{backend, beside, gateway_with, l4_route, tcp_listener, to_backend};
use igw_e2e::openssl;
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, binary, free};
use igw_e2e::raw::{echo, said, server};
use igw_e2e::tls::{Authority, Client, Use};

#[test]
fn connections_go_to_back_ends_by_weight() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (main, second, third) = (free(up.ip)?, free(up.ip)?, free(up.ip)?);
    let place = beside(up.ip, 250);
    let (one, two) = (echo(place, "one:")?, echo(place, "two:")?);
    let gone = free(place)?;
    let socket = up.folder.parent().unwrap_or(&up.folder).join("echo.sock");
    let listener = UnixListener::bind(&socket)?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"unix:");
        }
    });
    let weighted = |name: &str, weight: u32| format!("{}, weight: {weight}", to_backend(name));
    let objects = gateway_with(
        up.ip,
        &[tcp_listener("main", main), tcp_listener("second", second), tcp_listener("third", third)],
    ) + &l4_route(
        "TCPRoute",
        "older",
        "main",
        "",
        &[weighted("one", 3), weighted("two", 1), weighted("one", 0)],
    ) + &l4_route("TCPRoute", "retried", "second", "", &[to_backend("mixed")])
        + &l4_route("TCPRoute", "unix", "third", "", &[to_backend("unix")])
        + &backend("one", &[one])
        + &backend("two", &[two])
        + &backend("mixed", &[gone, one])
        + &format!(
            "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {{name: unix}}\nspec: \
             {{endpoints: [{{unix: {{path: {}}}}}]}}\n",
            socket.display()
        )
        + "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\n\
           spec: {accessLog: {format: json, output: stdout}}\n";
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let (mut n_one, mut n_two) = (0, 0);
    for _ in 0..200 {
        match &said(main, b"hello")?[..] {
            b"one:hello" => n_one += 1,
            b"two:hello" => n_two += 1,
            other => anyhow::bail!("{}", String::from_utf8_lossy(other)),
        }
    }
    assert!((140..=160).contains(&n_one) && n_one + n_two == 200, "{n_one} and {n_two}");
    // An endpoint that refuses is not the last word.
    for _ in 0..10 {
        assert_eq!(said(second, b"x")?, b"one:x");
    }
    let mut stream = dial(third)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    assert_eq!(answer, b"unix:");
    drop(stream);

    let counted = |route: &str, parts: &[&str]| {
        let route = format!("route=\"default/{route}\"");
        up.metric(&[parts, &[&route]].concat())
    };
    eventually("all is counted", Duration::from_secs(5), || {
        counted("unix", &["igw_l4_connections_total", "result=\"done\""]).is_ok_and(|count| count == 1.0)
    })?;
    assert_eq!(counted("older", &["igw_l4_connections_total", "Backend/default/one"])?, f64::from(n_one));
    assert_eq!(
        counted("older", &["igw_l4_bytes_total", "\"in\"", "Backend/default/one"])?,
        f64::from(5 * n_one)
    );
    assert_eq!(
        counted("older", &["igw_l4_bytes_total", "\"out\"", "Backend/default/two"])?,
        f64::from(9 * n_two)
    );
    assert_eq!(counted("retried", &["igw_l4_connections_active"])?, 0.0);
    eventually("the log has a line for each", Duration::from_secs(5), || {
        up.printed().matches("\"method\":\"TCP\"").count() == 211
    })?;

    // A route that is younger waits for its turn.
    let more = l4_route("TCPRoute", "younger", "main", "", &[to_backend("two")]);
    up.write("more.yaml", &more)?;
    eventually("both routes are counted", Duration::from_secs(5), || {
        get(up.admin, "a", "/").is_ok_and(|page| String::from_utf8_lossy(&page.body).contains("younger"))
    })?;
    let (mut saw_one, mut all_known) = (false, true);
    for _ in 0..20 {
        let answer = said(main, b"")?;
        saw_one |= answer == b"one:";
        all_known &= answer == b"one:" || answer == b"two:";
    }
    assert!(saw_one && all_known, "the older route has the listener");
    let without = objects.replace(
        &l4_route(
            "TCPRoute",
            "older",
            "main",
            "",
            &[weighted("one", 3), weighted("two", 1), weighted("one", 0)],
        ),
        "",
    );
    up.write("all.yaml", &without)?;
    eventually("the younger one takes over", Duration::from_secs(5), || {
        (0..8).all(|_| said(main, b"").is_ok_and(|answer| answer == b"two:"))
    })?;
    Ok(())
}

#[test]
fn nobody_there_is_a_closed_connection() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let addresses = [free(up.ip)?, free(up.ip)?, free(up.ip)?, free(up.ip)?, free(up.ip)?];
    let [bare, half, empty, gone, own] = addresses;
    let place = beside(up.ip, 250);
    let names = ["bare", "half", "empty", "gone", "own"];
    let listeners: Vec<String> =
        names.iter().zip(addresses).map(|(name, address)| tcp_listener(name, address)).collect();
    let objects = gateway_with(up.ip, &listeners)
        + &l4_route("TCPRoute", "half", "half", "", &[to_backend("one"), to_backend("nowhere")])
        + &l4_route("TCPRoute", "empty", "empty", "", &["name: nobody, port: 80".to_owned()])
        + &l4_route("TCPRoute", "gone", "gone", "", &[to_backend("gone")])
        + &l4_route("TCPRoute", "own", "own", "", &[to_backend("own")])
        + &backend("one", &[echo(place, "one:")?])
        + &backend("gone", &[free(place)?])
        + &backend("own", &[own]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let mut n_answered = 0;
    for _ in 0..20 {
        n_answered += u32::from(said(half, b"x").is_ok_and(|answer| answer == b"one:x"));
    }
    assert!((9..=11).contains(&n_answered), "{n_answered} of 20");
    for address in [bare, empty, gone, own] {
        let started = Instant::now();
        // The reset may come before the client has looked.
        let answer = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.read(&mut [0; 16])
        });
        let is_closed = match &answer {
            Ok(n_read) => *n_read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        assert!(is_closed && started.elapsed() < Duration::from_secs(5), "{address}: {answer:?}");
    }
    for (listener, result) in
        [("bare", "refused"), ("empty", "failed"), ("gone", "failed"), ("own", "failed")]
    {
        let parts =
            ["igw_l4_connections_total", &format!("listener=\"{listener}\""), &format!("\"{result}\"")];
        assert_eq!(up.metric(&parts)?, 1.0, "{listener}");
    }
    Ok(())
}

#[test]
fn each_side_ends_for_itself() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (ends, breaks, idles) = (free(up.ip)?, free(up.ip)?, free(up.ip)?);
    let place = beside(up.ip, 250);
    // Answers only when it has heard everything, as many protocols do.
    let late = server(place, |mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard)?;
        stream.write_all(format!("{} bytes", heard.len()).as_bytes())
    })?;
    let breaking = server(place, |mut stream| {
        stream.write_all(b"half")?;
        stream.read_exact(&mut [0; 1])?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    })?;
    let objects = gateway_with(
        up.ip,
        &[tcp_listener("ends", ends), tcp_listener("breaks", breaks), tcp_listener("idles", idles)],
    ) + &l4_route("TCPRoute", "ends", "ends", "", &[to_backend("late")])
        + &l4_route("TCPRoute", "breaks", "breaks", "", &[to_backend("breaking")])
        + &l4_route("TCPRoute", "idles", "idles", "", &[to_backend("late")])
        + &backend("late", &[late])
        + &backend("breaking", &[breaking])
        + "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\n\
           spec: {timeouts: {tunnelIdle: 1s}}\n";
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    assert_eq!(said(ends, &[7; 300_000])?, b"300000 bytes");
    // Of the other side: an end that is none arrives as one that is none.
    let mut stream = dial(breaks)?;
    let mut half = [0; 4];
    stream.read_exact(&mut half)?;
    stream.write_all(b"x")?;
    let broken = stream.read(&mut [0; 1]).err().map(|error| error.kind());
    assert_eq!(broken, Some(ErrorKind::ConnectionReset));
    let started = Instant::now();
    let idle = dial(idles)?.read(&mut [0; 1]);
    let waited = started.elapsed();
    assert!(
        idle.is_err() && waited > Duration::from_millis(900) && waited < Duration::from_secs(3),
        "{waited:?}"
    );
    assert_eq!(up.metric(&["igw_l4_connections_total", "\"idle\""])?, 1.0);
    assert_eq!(up.metric(&["igw_l4_connections_total", "\"broken\""])?, 1.0);
    Ok(())
}

/// Bytes that nobody else sends: a counter, mixed.
struct Stream {
    state: u64,
    digest: std::hash::DefaultHasher,
}

impl Stream {
    fn new(seed: u64) -> Self {
        Self { state: seed, digest: std::hash::DefaultHasher::new() }
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for word in buffer.chunks_mut(8) {
            self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.state ^ (self.state >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word.copy_from_slice(&mixed.to_le_bytes()[..word.len()]);
        }
        self.digest.write(buffer);
    }
}

/// Sends and receives at once; digests of what was sent and what came.
fn both_ways(stream: TcpStream, seed: u64, n_bytes: u64) -> anyhow::Result<(u64, u64)> {
    let mut sink = stream.try_clone()?;
    let sending = std::thread::spawn(move || -> anyhow::Result<u64> {
        let mut made = Stream::new(seed);
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..n_bytes / buffer.len() as u64 {
            made.fill(&mut buffer);
            sink.write_all(&buffer)?;
        }
        sink.shutdown(Shutdown::Write)?;
        Ok(made.digest.finish())
    });
    let mut source = stream;
    let mut came = Stream::new(0);
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..n_bytes / buffer.len() as u64 {
        source.read_exact(&mut buffer)?;
        came.digest.write(&buffer);
    }
    anyhow::ensure!(source.read(&mut buffer)? == 0, "more bytes than were sent");
    let sent = sending.join().map_err(|_| anyhow::anyhow!("sending panicked"))??;
    Ok((sent, came.digest.finish()))
}

#[test]
fn not_a_byte_is_lost_or_changed() -> anyhow::Result<()> {
    let n_bytes: u64 = match std::env::var("IGW_RELAY_BYTES") {
        Ok(bytes) => bytes.parse()?,
        Err(_) => 64 << 20,
    };
    let mut up = Up::prepare()?;
    let (bulk, small) = (free(up.ip)?, free(up.ip)?);
    let digests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&digests);
    let place = beside(up.ip, 250);
    let relay = server(place, move |stream| {
        if let (Ok(pair), Ok(mut seen)) = (both_ways(stream, 2, n_bytes), seen.lock()) {
            seen.push(pair);
        }
        Ok(())
    })?;
    let objects = gateway_with(up.ip, &[tcp_listener("bulk", bulk), tcp_listener("small", small)])
        + &l4_route("TCPRoute", "bulk", "bulk", "", &[to_backend("bulk")])
        + &l4_route("TCPRoute", "small", "small", "", &[to_backend("small")])
        + &backend("bulk", &[relay])
        + &backend("small", &[echo(place, "s:")?]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let moving = std::thread::spawn(move || both_ways(dial(bulk)?, 1, n_bytes));
    // Whoever asks for little is served beside it.
    let mut slowest = Duration::ZERO;
    while !moving.is_finished() {
        let started = Instant::now();
        assert_eq!(said(small, b"hello")?, b"s:hello");
        slowest = slowest.max(started.elapsed());
    }
    let (sent, came) = moving.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    eventually("the server has its digests", Duration::from_secs(10), || {
        digests.lock().is_ok_and(|seen| !seen.is_empty())
    })?;
    let seen = digests.lock().map_err(|_| anyhow::anyhow!("the server panicked"))?[0];
    assert_eq!((sent, came), (seen.1, seen.0), "what one side sent is what the other got");
    println!(
        "{} MiB each way at once, digests {sent:016x} {came:016x}; slowest small one {slowest:?}",
        n_bytes >> 20
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    Ok(())
}

#[test]
fn names_choose_who_ends_tls() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let place = beside(up.ip, 250);
    let authority = Authority::new("gateway")?;
    let own = authority.issue(Use::Server, &["end.test", "*.w.test", "web.test"])?;
    let theirs = igw_e2e::tls::self_signed(&["back.test"])?;
    let passed = openssl::Server::start(free(place)?, &theirs)?;
    let deeper = openssl::Server::start(free(place)?, &igw_e2e::tls::self_signed(&["deeper.test"])?)?;
    let origin = Origin::start("one", SocketAddr::new(place, 0))?;
    let port = address.port();
    let listener = |name: &str, protocol: &str, hostname: &str, tls: &str| {
        format!(
            "{{name: {name}, port: {port}, protocol: {protocol}, hostname: \"{hostname}\", tls: {{{tls}}}}}"
        )
    };
    let certificate = "certificateRefs: [{name: own}]";
    let listeners = [
        listener("pass", "TLS", "*.pass.test", "mode: Passthrough"),
        listener("end", "TLS", "end.test", &format!("mode: Terminate, {certificate}")),
        listener("wild", "TLS", "*.w.test", &format!("mode: Terminate, {certificate}")),
        listener("web", "HTTPS", "web.test", certificate),
    ];
    let names = |names: &str| format!("  hostnames: [{names}]\n");
    let objects = gateway_with(up.ip, &listeners)
        + &l4_route("TLSRoute", "wide", "pass", &names("\"*.pass.test\""), &[to_backend("passed")])
        + &l4_route("TLSRoute", "narrow", "pass", &names("\"*.deep.pass.test\""), &[to_backend("deeper")])
        + &l4_route("TLSRoute", "exact", "pass", &names("\"a.deep.pass.test\""), &[to_backend("passed")])
        + &l4_route("TLSRoute", "end", "end", &names("end.test"), &[to_backend("echo")])
        + &l4_route("TCPRoute", "wild", "wild", "", &[to_backend("echo")])
        + &format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: web}}\nspec:\n  \
             parentRefs: [{{name: main, sectionName: web}}]\n  rules: [{{backendRefs: [{{{}}}]}}]\n",
            to_backend("origin")
        )
        + &backend("passed", &[passed.address])
        + &backend("deeper", &[deeper.address])
        + &backend("echo", &[echo(place, "plain:")?])
        + &backend("origin", &[origin.address])
        + &own.secret("own");
    up.write("all.yaml", &objects)?;
    up.start(&[])?;

    // Passed through: the back end's certificate, and its answer.
    for (name, subject) in
        [("x.pass.test", "back.test"), ("b.deep.pass.test", "deeper.test"), ("a.deep.pass.test", "back.test")]
    {
        let seen = openssl::connect(address, Some(name), "hello")?;
        assert!(seen.output.contains("olleh"), "{name}: {seen:?}");
        assert!(
            seen.output.contains(&format!("subject=CN = {subject}"))
                || seen.output.contains(&format!("subject=CN={subject}")),
            "{name}: {}",
            seen.output
        );
    }
    // Ended here: the gateway's certificate, and plain bytes behind it, to the end of each side.
    let client = Client::trusting(&[&authority.certificate])?;
    for name in ["end.test", "any.w.test"] {
        let mut connection = client.connect(address, name)?;
        connection.send(b"hello")?;
        assert_eq!(connection.take(11)?, b"plain:hello", "{name}");
        connection.stream().conn.send_close_notify();
        connection.stream().flush()?;
        assert_eq!(connection.rest()?, b"", "the end is answered with the end");
    }
    let mut connection = client.connect(address, "web.test")?;
    assert_eq!(connection.get("web.test", "/x")?.status, 200);
    assert_eq!(connection.get("end.test", "/x")?.status, 421, "a name of a listener that serves no requests");
    // Names of nobody: a reset.
    for name in [Some("unknown.test"), None, Some("pass.test")] {
        let seen = openssl::connect(address, name, "hello")?;
        assert!(!seen.output.contains("olleh"), "{name:?}");
        assert!(seen.complaints.contains("errno=104"), "{name:?}: {}", seen.complaints);
    }
    assert!(up.metric(&["igw_l4_bytes_total", "\"out\"", "default/wide"])? > 0.0);
    // A ClientHello that does not come whole.
    let started = Instant::now();
    let mut slow = dial(address)?;
    slow.write_all(&[22, 3, 1, 1, 0])?;
    let ended = slow.read(&mut [0; 16]);
    assert!(started.elapsed() > Duration::from_secs(4), "{:?} {ended:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let mut huge = dial(address)?;
    huge.write_all(&[22, 3, 1, 64, 0, 1, 0, 255, 255])?;
    let mut alert = [0; 7];
    huge.read_exact(&mut alert)?;
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 50], "longer than any ClientHello: decode_error");
    Ok(())
}

/// What `igw explain` prints of the folder of objects, and whether it found a way.
fn explained(up: &Up, words: &[&str]) -> anyhow::Result<(bool, String)> {
    let output =
        Command::new(binary("igw")?).arg("explain").args(words).arg("--dir").arg(&up.folder).output()?;
    Ok((output.status.success(), String::from_utf8(output.stdout)?))
}

#[test]
fn tls_to_back_ends_is_verified_and_explained() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let ip = up.ip;
    let (address, raw) = (free(ip)?, free(ip)?);
    let place = beside(ip, 250);
    let (ours, theirs) = (Authority::new("gateway")?, Authority::new("back ends")?);
    let own = ours.issue(Use::Server, &["end.test"])?;
    let server = openssl::Server::start(free(place)?, &theirs.issue(Use::Server, &["inner.test"])?)?;
    let port = address.port();
    let listeners = [
        format!(
            "{{name: end, port: {port}, protocol: TLS, hostname: end.test, tls: {{mode: Terminate, certificateRefs: [{{name: own}}]}}}}"
        ),
        format!(
            "{{name: pass, port: {port}, protocol: TLS, hostname: pass.test, tls: {{mode: Passthrough}}}}"
        ),
        tcp_listener("raw", raw),
    ];
    let objects = |authority: &str| {
        let mut config_map =
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndata:\n  ca.crt: |\n".to_owned();
        authority.lines().for_each(|line| config_map.push_str(&format!("    {line}\n")));
        gateway_with(ip, &listeners)
            + &l4_route("TLSRoute", "end", "end", "  hostnames: [end.test]\n", &[to_backend("server")])
            + &l4_route("TLSRoute", "pass", "pass", "  hostnames: [pass.test]\n", &[to_backend("server")])
            + &l4_route("TCPRoute", "raw", "raw", "", &[to_backend("server")])
            + &backend("server", &[server.address])
            + "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: server}\nspec:\n  \
               targetRefs: [{group: igw.opensvc.com, kind: Backend, name: server}]\n  \
               validation: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}], hostname: inner.test}\n"
            + &own.secret("own")
            + &config_map
    };
    up.write("all.yaml", &objects(&theirs.certificate))?;
    up.start(&[])?;
    let client = Client::trusting(&[&ours.certificate])?;
    let through = || -> anyhow::Result<Vec<u8>> {
        let mut connection = client.connect(address, "end.test")?;
        connection.send(b"hello\n")?;
        connection.take(6)
    };
    assert_eq!(through()?, b"olleh\n", "TLS on both sides");
    // Plain bytes in, TLS out; and TLS that goes through stays as it is.
    let mut plain = Connection::open(raw)?;
    plain.send(b"hello\n")?;
    assert_eq!(plain.take(6)?, b"olleh\n");
    // s_server takes one connection at a time.
    drop(plain);
    assert!(openssl::connect(address, Some("pass.test"), "hello")?.output.contains("inner.test"));

    let (found, said) = explained(&up, &["TLS", &format!("END.test:{port}")])?;
    assert!(
        found && said.contains("ended by the gateway") && said.contains("TLSRoute default/end"),
        "{said}"
    );
    let (found, said) = explained(&up, &["TLS", &format!("pass.test:{port}")])?;
    assert!(found && said.contains("passed through") && said.contains("Backend/default/server"), "{said}");
    let (found, said) = explained(&up, &["TLS", &format!("other.test:{port}")])?;
    assert!(!found && said.contains("no listener of the port serves the name"), "{said}");
    let (found, said) = explained(&up, &["TCP", &format!(":{}", raw.port())])?;
    assert!(found && said.contains("TCPRoute default/raw"), "{said}");
    let (found, said) = explained(&up, &["GET", &format!("http://pass.test:{port}/")])?;
    assert!(!found && said.contains("igw explain TLS pass.test"), "{said}");

    // An endpoint that cannot prove who it is gets nothing.
    up.write("all.yaml", &objects(&ours.certificate))?;
    eventually("the endpoint is not believed", Duration::from_secs(5), || through().is_err())?;
    eventually("and that is counted", Duration::from_secs(5), || {
        up.metric(&["igw_l4_connections_total", "default/end", "\"failed\""]).is_ok_and(|count| count >= 1.0)
    })?;
    Ok(())
}

#[test]
fn connections_outlive_the_drain_as_long_as_they_may() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let objects = gateway_with(up.ip, &[tcp_listener("main", address)])
        + &l4_route("TCPRoute", "main", "main", "", &[to_backend("echo")])
        + &backend("echo", &[echo(beside(up.ip, 250), "")?])
        + "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\n\
           spec: {drain: {timeout: 500ms, tunnels: 3s}}\n";
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    connection.send(b"one")?;
    assert_eq!(connection.take(3)?, b"one");
    // A change of routes ends no connection.
    up.write("all.yaml", &objects.replace(&to_backend("echo"), &to_backend("other")))?;
    eventually("new connections find nobody", Duration::from_secs(5), || said(address, b"x").is_err())?;
    connection.send(b"two")?;
    assert_eq!(connection.take(3)?, b"two");
    let started = Instant::now();
    let stopping = std::thread::spawn(move || up.stop());
    eventually("nobody listens", Duration::from_secs(5), || TcpStream::connect(address).is_err())?;
    connection.send(b"three")?;
    assert_eq!(connection.take(5)?, b"three");
    assert_eq!(connection.rest()?, b"", "and then it ends");
    let lasted = started.elapsed();
    assert!(lasted > Duration::from_millis(2_500) && lasted < Duration::from_secs(8), "{lasted:?}");
    stopping.join().map_err(|_| anyhow::anyhow!("stopping panicked"))?
}
