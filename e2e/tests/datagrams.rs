//! Datagrams of UDPRoutes: flows that keep their back end, their bounds, and what changes under them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use igw_e2e::client::{eventually, get};
use igw_e2e::datagram::{Server, ask, client, client_of};
use igw_e2e::knot::Knot;
use igw_e2e::objects::{
    backend, beside, gateway_with, http_listener, l4_route, route, tcp_listener, to_backend, udp_listener,
};
use igw_e2e::process::{Up, binary, free, signal};
use igw_e2e::raw::{echo, said};

/// A GatewayConfig that counts for all gateways.
fn config(spec: &str) -> String {
    format!(
        "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: default, namespace: system}}\n\
         spec: {{{spec}}}\n"
    )
}

#[test]
fn flows_keep_their_back_end_and_are_spread_by_weight() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let main = free(up.ip)?;
    let place = beside(up.ip, 250);
    let (one, two) = (Server::echo(place, "one:")?, Server::echo(place, "two:")?);
    let tcp = echo(place, "tcp:")?;
    let weighted = |name: &str, weight: u32| format!("{}, weight: {weight}", to_backend(name));
    let older = l4_route(
        "UDPRoute",
        "older",
        "main",
        "",
        &[weighted("one", 3), weighted("two", 1), weighted("nobody", 0)],
    );
    // Connections have the same port.
    let objects = gateway_with(up.ip, &[udp_listener("main", main), tcp_listener("connections", main)])
        + &older
        + &l4_route("TCPRoute", "beside", "connections", "", &[to_backend("tcp")])
        + &backend("one", &[one.address])
        + &backend("two", &[two.address])
        + &backend("tcp", &[tcp])
        + &config("accessLog: {format: json, output: stdout}, timeouts: {udpIdle: 1s}");
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    assert!(up.printed().contains(&format!("udp://{main}")), "{}", up.printed());
    assert_eq!(said(main, b"x")?, b"tcp:x");
    let mut counts = BTreeMap::new();
    // Ports that are not given to another one meanwhile.
    let clients: Vec<_> = (0..200).map(|_| client(up.ip, main)).collect::<Result<_, _>>()?;
    for (n, from) in clients.iter().enumerate() {
        let first = ask(from, b"hello")?;
        for _ in 0..3 {
            assert_eq!(ask(from, b"hello")?, first, "flow {n} keeps its back end");
        }
        *counts.entry(first).or_insert(0) += 1;
    }
    let (n_one, n_two) = (counts[&b"one:hello"[..]], counts[&b"two:hello"[..]]);
    assert!((140..=160).contains(&n_one) && n_one + n_two == 200, "{counts:?}");

    let of_one = ["route=\"default/older\"", "Backend/default/one/udp"];
    eventually("flows end when they are silent", Duration::from_secs(5), || {
        up.metric(&[&["igw_l4_connections_total", "\"idle\""][..], &of_one].concat())
            .is_ok_and(|count| count == f64::from(n_one))
    })?;
    assert_eq!(up.metric(&[&["igw_l4_connections_active"][..], &of_one].concat())?, 0.0);
    assert_eq!(up.metric(&[&["igw_l4_bytes_total", "\"in\""][..], &of_one].concat())?, f64::from(20 * n_one));
    assert_eq!(
        up.metric(&[&["igw_l4_bytes_total", "\"out\""][..], &of_one].concat())?,
        f64::from(36 * n_one)
    );
    eventually("the log has a line for each", Duration::from_secs(5), || {
        up.printed().matches("\"method\":\"UDP\"").count() == 200
    })?;

    let explained = Command::new(binary("igw")?)
        .args(["explain", "UDP", &format!(":{}", main.port()), "--dir"])
        .arg(&up.folder)
        .output()?;
    let words = String::from_utf8(explained.stdout)?;
    assert!(explained.status.success() && words.contains("UDPRoute default/older"), "{words}");

    // A route that is younger waits for its turn; a flow whose back end is gone goes on with another one.
    up.write("more.yaml", &l4_route("UDPRoute", "younger", "main", "", &[to_backend("two")]))?;
    eventually("both routes are counted", Duration::from_secs(5), || {
        get(up.admin, "a", "/").is_ok_and(|page| String::from_utf8_lossy(&page.body).contains("younger"))
    })?;
    let flow = loop {
        let flow = client(up.ip, main)?;
        if ask(&flow, b"")? == b"one:" {
            break flow;
        }
    };
    up.write("all.yaml", &objects.replace(&older, ""))?;
    eventually("the flow goes on with the younger route", Duration::from_secs(5), || {
        ask(&flow, b"").is_ok_and(|answer| answer == b"two:")
    })?;
    Ok(())
}

#[test]
fn a_client_that_comes_again_is_a_new_flow() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let main = free(up.ip)?;
    let server = Server::echo(beside(up.ip, 250), "")?;
    let objects = gateway_with(up.ip, &[udp_listener("main", main)])
        + &l4_route("UDPRoute", "main", "main", "", &[to_backend("b")])
        + &backend("b", &[server.address])
        + &config("timeouts: {udpIdle: 500ms}");
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let first = client(up.ip, main)?;
    let from = first.local_addr()?;
    assert_eq!(ask(&first, b"one")?, b"one");
    drop(first);
    eventually("the flow ends", Duration::from_secs(5), || {
        up.metric(&["igw_l4_connections_total", "\"idle\""]).is_ok_and(|count| count == 1.0)
    })?;
    let again = client_of(from, main)?;
    assert_eq!(ask(&again, b"two")?, b"two");
    assert_eq!(server.peers().len(), 2, "whoever has the port now has nothing of the one before");
    Ok(())
}

#[test]
fn answers_come_from_the_address_that_was_asked() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let port = free(up.ip)?.port();
    let server = Server::echo(beside(up.ip, 250), "")?;
    let large = vec![b'x'; 60_000];
    // All addresses of the machine, IPv4 and IPv6.
    let gateway = gateway_with(up.ip, &[udp_listener("main", SocketAddr::new(up.ip, port))]);
    let objects = gateway.replace(&format!("addresses: [{{value: {}}}]", up.ip), "addresses: []")
        + &l4_route("UDPRoute", "main", "main", "", &[to_backend("b")])
        + &backend("b", &[server.address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    for ip in [up.ip, beside(up.ip, 77), "127.0.0.1".parse()?, "::1".parse()?] {
        // A client that is connected hears nobody else.
        let from = if ip.is_ipv6() { ip } else { beside(up.ip, 99) };
        let flow = client(from, SocketAddr::new(ip, port))?;
        assert_eq!(ask(&flow, b"small")?, b"small");
        assert_eq!(ask(&flow, &large)?, large);
        assert_eq!(ask(&flow, b"")?, b"");
    }
    Ok(())
}

#[test]
fn a_forged_sender_gets_little_and_takes_no_room() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    up.n_workers = 1;
    let main = free(up.ip)?;
    // As many bytes as the request says.
    let server = Server::start((beside(up.ip, 250), 0).into(), |datagram| {
        let words = String::from_utf8_lossy(datagram);
        let sizes = words.split_whitespace().filter_map(|word| word.parse().ok());
        sizes.map(|size| vec![b'a'; size]).collect()
    })?;
    let objects = gateway_with(up.ip, &[udp_listener("main", main)])
        + &l4_route("UDPRoute", "main", "main", "", &[to_backend("b")])
        + &backend("b", &[server.address]);
    let bounds = |bounds: &str| config(&format!("limits: {{{bounds}}}"));
    up.write("all.yaml", &objects)?;
    up.write("config.yaml", &bounds("udpFlowsPerSource: 4"))?;
    up.start(&[])?;
    let dropped = |reason: &str| up.metric(&["igw_udp_dropped_datagrams_total", reason]);

    // 512 bytes are free; more is bounded by what was asked, until the client goes on.
    let flow = client(up.ip, main)?;
    assert_eq!(ask(&flow, b"600 512 1")?.len(), 512);
    // The last of the three is dropped after the one that arrives.
    eventually("two are dropped", Duration::from_secs(5), || dropped("unasked").is_ok_and(|n| n == 2.0))?;
    assert_eq!(ask(&flow, b"9000")?.len(), 9_000, "it has seen the answer");
    let flow = client(up.ip, main)?;
    let question = [&b"901 900 "[..], &[b' '; 292]].concat();
    assert_eq!(ask(&flow, &question)?.len(), 900, "three times 300");
    assert_eq!(dropped("unasked")?, 3.0);
    assert!(up.printed().contains("limits.udpReplyFactor"), "{}", up.printed());

    // A source has so many flows; the one that was silent for longest makes room.
    let flows: Vec<_> = (0..8).map(|_| client(up.ip, main)).collect::<Result<_, _>>()?;
    for flow in &flows {
        assert_eq!(ask(flow, b"1")?.len(), 1);
    }
    let active = || up.metric(&["igw_l4_connections_active", "default/main"]);
    assert_eq!(active()?, 4.0);
    assert_eq!(up.metric(&["igw_l4_connections_total", "\"broken\""])?, 6.0);
    let n_before = server.peers().len();
    for flow in &flows[4..] {
        assert_eq!(ask(flow, b"1")?.len(), 1);
    }
    assert_eq!(server.peers().len(), n_before, "the last four are the same flows");
    // Another source is another matter.
    let other = client(beside(up.ip, 99), main)?;
    assert_eq!(ask(&other, b"1")?.len(), 1);
    assert_eq!(active()?, 5.0);

    up.write("config.yaml", &bounds("udpReplyFactor: 0"))?;
    eventually("there is no bound", Duration::from_secs(5), || {
        client(up.ip, main).is_ok_and(|flow| ask(&flow, b"5000").is_ok_and(|answer| answer.len() == 5_000))
    })?;
    Ok(())
}

#[test]
fn what_cannot_be_sent_is_dropped_and_counted() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let names = ["bare", "invalid", "empty", "own", "secret"];
    let addresses = names.map(|_| free(up.ip));
    let place = beside(up.ip, 250);
    let server = Server::echo(place, "")?;
    let mut listeners = Vec::new();
    for (name, address) in names.iter().zip(&addresses) {
        listeners.push(udp_listener(name, *address.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?));
    }
    let [bare, invalid, empty, own, secret] = addresses.map(Result::unwrap);
    let objects = gateway_with(up.ip, &listeners)
        + &l4_route("UDPRoute", "invalid", "invalid", "", &[to_backend("nobody")])
        + &l4_route("UDPRoute", "empty", "empty", "", &["name: nobody, port: 53".to_owned()])
        + &l4_route("UDPRoute", "own", "own", "", &[to_backend("own")])
        + &l4_route("UDPRoute", "secret", "secret", "", &[to_backend("secret")])
        + &backend("own", &[own])
        + &backend("secret", &[server.address])
        + "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: secret}\nspec:\n  \
           targetRefs: [{group: igw.opensvc.com, kind: Backend, name: secret}]\n  \
           validation: {wellKnownCACertificates: System, hostname: secret.test}\n";
    up.write("all.yaml", &objects)?;
    up.start(&["--nameserver", &free(up.ip)?.to_string()])?;
    for (address, reason) in [
        (bare, "no_route"),
        (invalid, "backend_invalid"),
        (empty, "no_endpoint"),
        (own, "loop"),
        (secret, "backend_invalid"),
    ] {
        let before = up.metric(&["igw_udp_dropped_datagrams_total", reason])?;
        client(up.ip, address)?.send(b"x")?;
        eventually(&format!("a datagram is dropped: {reason}"), Duration::from_secs(5), || {
            up.metric(&["igw_udp_dropped_datagrams_total", reason]).is_ok_and(|count| count == before + 1.0)
        })?;
    }
    assert!(server.peers().is_empty(), "what shall be secret is not sent in cleartext");
    Ok(())
}

#[test]
fn an_endpoint_that_does_not_listen_is_left() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let main = free(up.ip)?;
    let place = beside(up.ip, 250);
    let (well, gone) = (Server::echo(place, "")?, free(place)?);
    let objects = gateway_with(up.ip, &[udp_listener("main", main)])
        + &l4_route("UDPRoute", "main", "main", "", &[to_backend("b")])
        + &backend("b", &[gone, well.address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    // Whoever asks again is answered, and nobody is sent there any more after a few.
    for _ in 0..40 {
        let flow = client(up.ip, main)?;
        flow.set_read_timeout(Some(Duration::from_millis(300)))?;
        eventually("an answer", Duration::from_secs(5), || ask(&flow, b"x").is_ok())?;
    }
    assert_eq!(up.metric(&["igw_backend_endpoints", "Backend/default/b/udp", "ejected"])?, 1.0);
    for _ in 0..20 {
        assert_eq!(ask(&client(up.ip, main)?, b"x")?, b"x");
    }
    Ok(())
}

#[test]
fn a_name_server_is_asked_through_the_gateway() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (udp, web) = (free(up.ip)?, free(up.ip)?);
    let knot = Knot::start(beside(up.ip, 250))?;
    knot.set(1, &["192.0.2.7".parse()?])?;
    knot.reload()?;
    // As a Service whose endpoints DNS names; that server is the endpoint itself.
    knot.set_name("dns.default", 2, &[knot.address.ip()])?;
    knot.reload()?;
    let objects = gateway_with(up.ip, &[udp_listener("dns", udp), http_listener("web", web)])
        + &l4_route("UDPRoute", "dns", "dns", "", &[format!("name: dns, port: {}", knot.address.port())])
        + &route("web", "www.test", &to_backend("nobody"));
    up.write("all.yaml", &objects)?;
    up.start(&["--nameserver", &knot.address.to_string()])?;
    let question = |id: u8| {
        let mut question = vec![0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in ["dns", "default", "svc", "test"] {
            question.push(label.len() as u8);
            question.extend_from_slice(label.as_bytes());
        }
        question.extend_from_slice(&[0, 0, 1, 0, 1]);
        question
    };
    let std::net::IpAddr::V4(wanted) = knot.address.ip() else { anyhow::bail!("IPv4 is tested") };
    let resolver = client(up.ip, udp)?;
    resolver.set_read_timeout(Some(Duration::from_millis(300)))?;
    eventually("the name server answers", Duration::from_secs(5), || {
        ask(&resolver, &question(1)).is_ok_and(|answer| answer.ends_with(&wanted.octets()))
    })?;
    for id in 2..100 {
        let answer = ask(&client(up.ip, udp)?, &question(id))?;
        assert_eq!((answer[1], answer[7]), (id, 1), "one record for this very question");
        assert!(answer.ends_with(&wanted.octets()));
    }
    Ok(())
}

/// Asks without pause from eight ports; how many answers did not come, of how many.
fn questions(from: std::net::IpAddr, to: SocketAddr, until: Instant) -> anyhow::Result<(u32, u32)> {
    let flows: Vec<_> = (0..8).map(|_| client(from, to)).collect::<Result<_, _>>()?;
    let (mut n_lost, mut n_asked) = (0, 0);
    while Instant::now() < until {
        for flow in &flows {
            n_asked += 1;
            let question = n_asked.to_string();
            if ask(flow, question.as_bytes()).ok().as_deref() != Some(question.as_bytes()) {
                n_lost += 1;
            }
        }
    }
    Ok((n_lost, n_asked))
}

#[test]
fn changes_kills_and_upgrades_lose_no_datagram() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    up.own_binaries()?;
    let main = free(up.ip)?;
    let place = beside(up.ip, 250);
    let (one, two) = (Server::echo(place, "")?, Server::echo(place, "")?);
    let objects = gateway_with(up.ip, &[udp_listener("main", main)])
        + &l4_route("UDPRoute", "main", "main", "", &[to_backend("one")])
        + &backend("one", &[one.address])
        + &backend("two", &[two.address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let ip = up.ip;
    let until = Instant::now() + Duration::from_secs(6);
    let asking = std::thread::spawn(move || questions(ip, main, until));
    for n in 0..10 {
        let target = if n % 2 == 0 { "two" } else { "one" };
        up.write("all.yaml", &objects.replace(&to_backend("one"), &to_backend(target)))?;
        let server = if n % 2 == 0 { &two } else { &one };
        let before = server.peers().len();
        eventually("the change is live", Duration::from_secs(5), || server.peers().len() > before)?;
    }
    for n in 1..=2 {
        up.release(n)?;
        signal(up.supervisor_pid()?, "USR2")?;
        eventually("the new release leads", Duration::from_secs(10), || {
            up.metric(&["igw_proxy_upgrades_total", "done"]).is_ok_and(|count| count == f64::from(n))
        })?;
    }
    let (n_lost, n_asked) = asking.join().map_err(|_| anyhow::anyhow!("the clients panicked"))??;
    println!("{n_asked} questions under 10 changes and 2 upgrades, {n_lost} without an answer");
    assert_eq!(n_lost, 0, "of {n_asked}");

    // A server that is killed takes what it was about to pass on with it, and nothing that comes later.
    signal(up.server_pid()?, "KILL")?;
    let flow = client(ip, main)?;
    assert_eq!(ask(&flow, b"after the kill")?, b"after the kill");
    Ok(())
}
