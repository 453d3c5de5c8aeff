//! Faults of back ends, of names and of the state folder that must not reach a client.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::dns::NameServer;
use igw_e2e::objects::{backend, beside, gateway, one_route, route, service_policy, to_backend};
use igw_e2e::origin::{Manners, Origin};
use igw_e2e::process::{Up, free};

const HOST: &str = "a.test";

/// Two back ends behind one Backend, with these fields in its policy.
fn pair(fields: &str) -> anyhow::Result<(Up, [Origin; 2], SocketAddr)> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origins = [
        Origin::start("1", SocketAddr::new(beside(up.ip, 251), 0))?,
        Origin::start("2", SocketAddr::new(beside(up.ip, 252), 0))?,
    ];
    let addresses = [origins[0].address, origins[1].address];
    let policy = service_policy("b", fields)
        .replace("{group: \"\", kind: Service,", "{group: igw.opensvc.com, kind: Backend,");
    up.write("all.yaml", &(one_route(address, HOST, &addresses) + &policy))?;
    up.start(&[])?;
    Ok((up, origins, address))
}

fn post(address: SocketAddr) -> anyhow::Result<(u16, Option<String>)> {
    let mut connection = Connection::open(address)?;
    connection.send(b"POST /once HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi")?;
    let answer = connection.read("POST")?;
    Ok((answer.status, answer.field("igw-cause").map(str::to_owned)))
}

#[test]
fn one_refusing_back_end_fails_no_request() -> anyhow::Result<()> {
    let (_up, origins, address) = pair("  healthCheck: {active: {}, passive: {}}\n")?;
    let [first, second] = origins;
    let gone = first.address;
    drop(first);
    eventually("it refuses", Duration::from_secs(2), || std::net::TcpStream::connect(gone).is_err())?;
    // Few enough for the retries that quiet times have saved; a POST of which nothing was sent goes on too.
    for _ in 0..4 {
        assert_eq!(get(address, HOST, "/")?.field("x-origin"), Some("2"));
        assert_eq!(post(address)?.0, 200);
    }
    assert_eq!(second.n_requests(), 8, "nothing is asked twice");
    Ok(())
}

#[test]
fn a_post_that_reached_a_back_end_is_sent_once() -> anyhow::Result<()> {
    let (_up, origins, address) = pair("  healthCheck: {active: {}, passive: {}}\n")?;
    for origin in &origins {
        origin.behave(Manners::Reset);
    }
    assert_eq!(post(address)?, (502, Some("upstream_reset".to_owned())));
    assert_eq!(origins.iter().map(Origin::n_requests).sum::<u64>(), 1);
    // A GET is asked again elsewhere, and answered by the one that works.
    origins[1].behave(Manners::Echo);
    for _ in 0..4 {
        assert_eq!(get(address, HOST, "/")?.field("x-origin"), Some("2"));
    }
    Ok(())
}

#[test]
fn names_that_flap_away_fail_nothing() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let names = NameServer::start(up.ip, 0)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 251), 0))?;
    let name = "svc1.default.svc.test";
    names.set(name, &[origin.address.ip()]);
    up.write(
        "all.yaml",
        &(gateway(address)
            + &route("svc1", HOST, &format!("name: svc1, port: {}", origin.address.port()))
            + &service_policy("svc1", "  discovery: {initAddr: [none], maxTTL: 1s}\n")),
    )?;
    up.start(&["--nameserver", &names.address.to_string()])?;
    eventually("the name is found", Duration::from_secs(7), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })?;
    for flap in 0..2 {
        names.set(name, &[]);
        let before = names.n_queries();
        // The resolver hears several times that there is no such name while requests go on.
        eventually("the name is asked for again", Duration::from_secs(15), || {
            let is_served = get(address, HOST, "/").is_ok_and(|answer| answer.status == 200);
            assert!(is_served, "flap {flap}");
            names.n_queries() >= before + 4
        })?;
        names.set(name, &[origin.address.ip()]);
        assert_eq!(get(address, HOST, "/")?.status, 200, "flap {flap}");
    }
    Ok(())
}

#[test]
fn a_state_that_cannot_be_written_costs_no_service() -> anyhow::Result<()> {
    let (up, origins, address) = pair("  healthCheck: {active: {}}\n")?;
    let at_rest = up.state.join("proxy/snapshot.json");
    eventually("the snapshot is at rest", Duration::from_secs(5), || at_rest.exists())?;
    // A file in the place of the folder fails every write, for root too.
    let (folder, aside) = (up.state.join("proxy"), up.state.join("aside"));
    std::fs::rename(&folder, &aside)?;
    std::fs::write(&folder, "in the way")?;
    let edit = |name: &str| -> anyhow::Result<()> {
        let host = format!("{name}.test");
        up.write(
            "all.yaml",
            &(gateway(address)
                + &route(name, &host, &to_backend("b"))
                + &backend("b", &[origins[0].address])),
        )?;
        eventually("the edit is live", Duration::from_secs(5), || {
            get(address, &host, "/").is_ok_and(|answer| answer.status == 200)
        })?;
        Ok(())
    };
    edit("new")?;
    eventually("the fault is told", Duration::from_secs(5), || up.printed().contains("state not written"))?;
    // Each worker takes the new tables by itself.
    eventually("the old route is gone", Duration::from_secs(2), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 404)
    })?;
    // The proxy writes again as soon as it can.
    std::fs::remove_file(&folder)?;
    std::fs::rename(&aside, &folder)?;
    edit("newer")?;
    eventually("the news are at rest", Duration::from_secs(5), || {
        std::fs::read_to_string(&at_rest).is_ok_and(|text| text.contains("newer.test"))
    })?;
    Ok(())
}

#[test]
fn a_back_end_that_does_not_answer_costs_its_time_and_no_more() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    // Nobody accepts here, and the queue of the kernel is full: a connection attempt hangs.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(beside(up.ip, 253), 0).into())?;
    socket.listen(0)?;
    let full = socket.local_addr()?.as_socket().context("an address")?;
    let mut fillers = Vec::new();
    eventually("the queue is full", Duration::from_secs(20), || match std::net::TcpStream::connect_timeout(
        &full,
        Duration::from_millis(300),
    ) {
        Ok(stream) => {
            fillers.push(stream);
            false
        }
        Err(_) => true,
    })?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 251), 0))?;
    let limits = "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {name: default, namespace: system}\n\
                  spec: {timeouts: {connect: 300ms, backendRequest: 500ms}}\n";
    let route_of = |name: &str, target: &str| route(name, &format!("{name}.test"), &to_backend(target));
    up.write(
        "all.yaml",
        &(gateway(address)
            + &route_of("full", "full")
            + &route_of("slow", "slow")
            + &route_of("both", "both")
            + &backend("full", &[full])
            + &backend("slow", &[origin.address])
            + &backend("both", &[full, origin.address])
            + limits),
    )?;
    up.start(&[])?;
    // A GET goes on to the endpoint that answers; where there is none, the client is told in time.
    for _ in 0..4 {
        assert_eq!(get(address, "both.test", "/")?.status, 200);
    }
    let timed = |host: &str| -> anyhow::Result<(u16, Option<String>, Duration)> {
        let started = std::time::Instant::now();
        let answer = get(address, host, "/")?;
        Ok((answer.status, answer.field("igw-cause").map(str::to_owned), started.elapsed()))
    };
    let (status, cause, took) = timed("full.test")?;
    assert_eq!((status, cause.as_deref()), (504, Some("connect_timeout")));
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(2), "{took:?}");
    origin.behave(Manners::Hang);
    let (status, cause, took) = timed("slow.test")?;
    assert_eq!((status, cause.as_deref()), (504, Some("backend_timeout")));
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(2), "{took:?}");
    origin.behave(Manners::Echo);
    assert_eq!(timed("slow.test")?.0, 200, "and it works again");
    drop(fillers);
    Ok(())
}

#[test]
fn when_all_are_gone_the_answer_is_fast_and_recovery_too() -> anyhow::Result<()> {
    let checks = "  healthCheck: {active: {tcp: {}, interval: 100ms, timeout: 100ms, rise: 2, fall: 2}, panicThreshold: 0}\n";
    let (up, origins, address) = pair(checks)?;
    eventually("it serves", Duration::from_secs(3), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })?;
    let [first, second] = origins;
    let place = first.address;
    drop((first, second));
    // Requests that are refused meanwhile eject one, which must not outlast its recovery.
    eventually("nobody is left", Duration::from_secs(3), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.field("igw-cause") == Some("no_endpoint"))
    })?;
    // The checks see it of both: one that requests have ejected has to be seen failing and passing to be back early.
    eventually("checks see both fail", Duration::from_secs(3), || {
        up.printed().matches("health=Failing").count() >= 2
    })?;
    let started = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(get(address, HOST, "/")?.status, 503);
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let mut again = None;
    eventually("the address is free", Duration::from_secs(3), || {
        again = Origin::start("1", place).ok();
        again.is_some()
    })?;
    // Two checks of 100 ms, and time for a machine that does other things too.
    eventually("it serves again", Duration::from_secs(3), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 200)
    })
    .with_context(|| format!("it printed:\n{}", up.printed()))?;
    Ok(())
}

#[test]
fn a_full_disk_costs_memory_of_the_past_and_no_service() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("only root may mount the small disk; a state that cannot be written is tested without");
        return Ok(());
    }
    let mut up = Up::prepare()?;
    up.is_disk_small = true;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 251), 0))?;
    let many = |n: usize| -> String {
        let routes =
            (0..n).map(|index| route(&format!("r{index}"), &format!("h{index}.test"), &to_backend("b")));
        gateway(address) + &backend("b", &[origin.address]) + &routes.collect::<String>()
    };
    // Statuses and snapshots of 3,000 routes do not fit into 1 MiB.
    up.write("all.yaml", &many(3_000))?;
    up.start(&[])?;
    assert_eq!(get(address, "h2999.test", "/")?.status, 200);
    eventually("the full disk is told", Duration::from_secs(10), || {
        up.printed().contains("No space left on device")
    })?;
    up.write("all.yaml", &many(3_001))?;
    eventually("an edit is live", Duration::from_secs(5), || {
        get(address, "h3000.test", "/").is_ok_and(|answer| answer.status == 200)
    })?;
    // A server that finds nothing at rest is told everything by the control side.
    igw_e2e::process::signal(up.server_pid()?, "KILL")?;
    eventually("it serves again", Duration::from_secs(5), || {
        get(address, "h3000.test", "/").is_ok_and(|answer| answer.status == 200)
    })?;
    Ok(())
}
