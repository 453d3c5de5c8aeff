//! The resolver against servers that behave in every way.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use igw_dns::message::{QueryKind, RECORDS_MAX};
use igw_dns::resolver::{Lookup, Resolver, ResolverSpec, TRIES_MAX, UDP_BYTES_MAX};
use tokio::time::{Instant, timeout};

use crate::server::{Asked, Server, Wire, address, answer, bytes, ip, name, negative, reply, truncated};

/// A server that says nothing costs a test this long; one that speaks is expected to be quicker.
const TRY: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(20);

/// What a server says to a question.
type Script = fn(&Asked) -> Vec<Vec<u8>>;

fn spec(nameservers: &[SocketAddr]) -> ResolverSpec {
    ResolverSpec {
        name: "lab".to_owned(),
        nameservers: nameservers.to_vec(),
        resolv_conf: None,
        search: false,
        edns_payload: 8_192,
        timeout: TRY,
        retries: 1,
    }
}

async fn lookup(spec: ResolverSpec) -> anyhow::Result<Lookup> {
    Ok(timeout(LONG, Resolver::new(spec).lookup("app.test", QueryKind::A)).await?)
}

fn n_addresses(lookup: &Lookup) -> usize {
    match lookup {
        Lookup::Found(records) => records.addresses.len(),
        _ => 0,
    }
}

fn count(resolver: &Resolver, result: &str) -> u64 {
    resolver.counts().all().into_iter().find(|(name, _)| *name == result).map_or(0, |(_, count)| count)
}

fn good(asked: &Asked) -> Vec<Vec<u8>> {
    vec![answer(&asked.message, vec![address("app.test", ip(1), 60)])]
}

fn many(asked: &Asked, n: u16) -> Vec<u8> {
    answer(&asked.message, (0..n).map(|n| address("app.test", ip(n), 60)).collect())
}

fn refuse(asked: &Asked) -> Vec<Vec<u8>> {
    vec![negative(&asked.message, ResponseCode::Refused, 60, 60)]
}

fn fail(asked: &Asked) -> Vec<Vec<u8>> {
    vec![negative(&asked.message, ResponseCode::ServFail, 60, 60)]
}

/// An address where nobody listens.
fn nobody() -> anyhow::Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[tokio::test]
async fn large_answers_come_over_udp() -> anyhow::Result<()> {
    let server = Server::start(|asked| {
        let answer = many(asked, 300);
        assert!((4_097..8_192).contains(&answer.len()), "{} bytes", answer.len());
        vec![answer]
    })
    .await?;
    assert_eq!(n_addresses(&lookup(spec(&[server.address])).await?), 300);
    assert_eq!((server.n_asked(Wire::Udp), server.n_asked(Wire::Tcp)), (1, 0));
    let asked = &server.asked()[0].message;
    assert_eq!(asked.edns.as_ref().map(|edns| edns.max_payload()), Some(8_192));
    Ok(())
}

#[tokio::test]
async fn room_for_udp_is_bounded() -> anyhow::Result<()> {
    let server = Server::start(good).await?;
    for (wanted, asked_for) in [(0, 512), (1_232, 1_232), (u16::MAX, UDP_BYTES_MAX)] {
        let spec = ResolverSpec { edns_payload: wanted, ..spec(&[server.address]) };
        assert_eq!(n_addresses(&lookup(spec).await?), 1);
        let last = server.asked().pop().and_then(|asked| asked.message.edns);
        assert_eq!(last.map(|edns| edns.max_payload()), Some(asked_for));
    }
    Ok(())
}

#[tokio::test]
async fn truncated_answers_are_asked_for_again_over_tcp() -> anyhow::Result<()> {
    let server = Server::start(|asked| match asked.wire {
        Wire::Udp => vec![truncated(&asked.message)],
        Wire::Tcp => vec![many(asked, 1_500)],
    })
    .await?;
    assert_eq!(n_addresses(&lookup(spec(&[server.address])).await?), RECORDS_MAX);
    assert_eq!((server.n_asked(Wire::Udp), server.n_asked(Wire::Tcp)), (1, 1));

    // Truncated over TCP too: that is no answer.
    let hopeless = Server::start(|asked| vec![truncated(&asked.message)]).await?;
    assert_eq!(lookup(spec(&[hopeless.address])).await?, Lookup::Failed);
    Ok(())
}

#[tokio::test]
async fn noise_is_passed_over() -> anyhow::Result<()> {
    let server = Server::start(|asked| {
        let forged = |change: &dyn Fn(&mut Message)| {
            let records = vec![address("app.test", ip(666), 60)];
            let mut message = reply(&asked.message, ResponseCode::NoError, records);
            change(&mut message);
            bytes(&message)
        };
        // From a port nobody asked.
        if let Ok(elsewhere) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = elsewhere.send_to(&forged(&|_| {}), asked.peer);
        }
        vec![
            Vec::new(),
            vec![0; 5],
            forged(&|message| message.metadata.id = message.metadata.id.wrapping_add(1)),
            forged(&|message| message.metadata.message_type = MessageType::Query),
            forged(&|message| {
                message.queries[0].set_name(name("other.test"));
            }),
            {
                // Ours as far as the question, then cut.
                let mut cut = forged(&|_| {});
                cut.truncate(cut.len() - 13);
                cut
            },
            good(asked).remove(0),
        ]
    })
    .await?;
    let Lookup::Found(records) = lookup(spec(&[server.address])).await? else {
        anyhow::bail!("noise hid the answer")
    };
    assert_eq!(records.addresses, [ip(1)]);
    assert_eq!(server.asked().len(), 1);
    Ok(())
}

#[tokio::test]
async fn ids_and_ports_differ_from_question_to_question() -> anyhow::Result<()> {
    let server = Server::start(good).await?;
    let resolver = Resolver::new(spec(&[server.address]));
    for _ in 0..16 {
        timeout(LONG, resolver.lookup("app.test", QueryKind::A)).await?;
    }
    let asked = server.asked();
    let ids: std::collections::HashSet<u16> = asked.iter().map(|asked| asked.message.metadata.id).collect();
    let ports: std::collections::HashSet<u16> = asked.iter().map(|asked| asked.peer.port()).collect();
    assert!(ids.len() > 8, "{} ids in 16 questions", ids.len());
    assert!(ports.len() > 8, "{} ports in 16 questions", ports.len());
    Ok(())
}

#[tokio::test]
async fn another_server_is_asked_and_remembered() -> anyhow::Result<()> {
    let cases: [(&str, Script); 3] = [("silent", |_| Vec::new()), ("servfail", fail), ("refused", refuse)];
    for (what, script) in cases {
        let bad = Server::start(script).await?;
        let fine = Server::start(good).await?;
        let resolver = Resolver::new(spec(&[bad.address, fine.address]));
        for _ in 0..3 {
            let found = timeout(LONG, resolver.lookup("app.test", QueryKind::A)).await?;
            assert_eq!(n_addresses(&found), 1, "{what}");
        }
        assert_eq!(bad.asked().len(), 1, "{what}: the one that answered comes first");
        assert_eq!(fine.asked().len(), 3, "{what}");
        assert_eq!(count(&resolver, "success"), 3, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn a_port_without_a_server_fails_at_once() -> anyhow::Result<()> {
    let patient = |servers: &[SocketAddr]| ResolverSpec { timeout: LONG * 2, ..spec(servers) };
    assert_eq!(lookup(patient(&[nobody()?])).await?, Lookup::Failed);
    let fine = Server::start(good).await?;
    assert_eq!(n_addresses(&lookup(patient(&[nobody()?, fine.address])).await?), 1);
    Ok(())
}

#[tokio::test]
async fn results_tell_what_happened() -> anyhow::Result<()> {
    let cases: [(Script, Lookup, &str, u64); 5] = [
        (refuse, Lookup::Refused, "refused", 2),
        (fail, Lookup::Failed, "servfail", 2),
        (|_| Vec::new(), Lookup::Timeout, "timeout", 2),
        (
            |asked| vec![negative(&asked.message, ResponseCode::NXDomain, 60, 7)],
            Lookup::Nothing(Duration::from_secs(7)),
            "nxdomain",
            1,
        ),
        (
            |asked| vec![negative(&asked.message, ResponseCode::NoError, 60, 8)],
            Lookup::Nothing(Duration::from_secs(8)),
            "nodata",
            1,
        ),
    ];
    for (script, expected, result, n_tries) in cases {
        let server = Server::start(script).await?;
        let resolver = Resolver::new(ResolverSpec { timeout: TRY / 4, ..spec(&[server.address]) });
        let lookup = timeout(LONG, resolver.lookup("app.test", QueryKind::A)).await?;
        assert_eq!(lookup, expected, "{result}");
        assert_eq!(count(&resolver, result), n_tries, "{result}");
        assert_eq!(server.asked().len() as u64, n_tries, "{result}");
    }
    let resolver = Resolver::new(spec(&[]));
    assert_eq!(resolver.lookup("app.test", QueryKind::A).await, Lookup::Failed, "no servers");
    let resolver = Resolver::new(spec(&[nobody()?]));
    assert_eq!(resolver.lookup("not..a.name", QueryKind::A).await, Lookup::Failed, "no name");
    Ok(())
}

#[tokio::test]
async fn the_file_says_tcp_and_where_to_search() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("resolv.conf");
    // The server of the file is never reached: that of the resolver answers first.
    let text = |search: &str| format!("nameserver 192.0.2.1\nsearch {search}\noptions use-vc ndots:2\n");
    std::fs::write(&path, text("one.test two.test"))?;
    let server = Server::start(|asked| {
        if asked.message.queries[0].name() == &name("app.ns.two.test") {
            vec![answer(&asked.message, vec![address("app.ns.two.test", ip(1), 60)])]
        } else {
            vec![negative(&asked.message, ResponseCode::NXDomain, 60, 60)]
        }
    })
    .await?;
    let spec = ResolverSpec { resolv_conf: Some(path.clone()), search: true, ..spec(&[server.address]) };
    let resolver = Resolver::new(spec.clone());
    let names = |server: &Server, from: usize| -> Vec<String> {
        server.asked()[from..].iter().map(|asked| asked.message.queries[0].name().to_ascii()).collect()
    };
    let ask = async |resolver: &Resolver, name: &str| -> anyhow::Result<usize> {
        Ok(n_addresses(&timeout(LONG, resolver.lookup(name, QueryKind::A)).await?))
    };

    assert_eq!(ask(&resolver, "app.ns").await?, 1);
    assert_eq!(names(&server, 0), ["app.ns.one.test.", "app.ns.two.test."]);
    assert_eq!(ask(&resolver, "a.b.c").await?, 0);
    assert_eq!(names(&server, 2), ["a.b.c.", "a.b.c.one.test.", "a.b.c.two.test."], "enough dots");
    assert_eq!(ask(&resolver, "app.ns.").await?, 0);
    assert_eq!(names(&server, 5), ["app.ns."], "absolute");
    assert_eq!(ask(&Resolver::new(ResolverSpec { search: false, ..spec }), "app.ns").await?, 0);
    assert_eq!(names(&server, 6), ["app.ns."], "not asked to search");
    assert_eq!(server.n_asked(Wire::Udp), 0, "use-vc");

    std::fs::write(&path, text("two.test"))?;
    let deadline = Instant::now() + LONG;
    loop {
        let before = server.asked().len();
        assert_eq!(ask(&resolver, "app.ns").await?, 1);
        if names(&server, before) == ["app.ns.two.test."] {
            break;
        }
        assert!(Instant::now() < deadline, "the change was not seen");
    }
    Ok(())
}

#[tokio::test]
async fn questions_under_way_are_bounded() -> anyhow::Result<()> {
    let server = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let spec = ResolverSpec { timeout: LONG * 2, ..spec(&[server.local_addr()?]) };
    let resolver = Arc::new(Resolver::new(spec));
    let mut lookups = tokio::task::JoinSet::new();
    let n_lookups = TRIES_MAX + 50;
    for _ in 0..n_lookups {
        let resolver = Arc::clone(&resolver);
        lookups.spawn(async move { resolver.lookup("app.test", QueryKind::A).await });
    }
    let mut buffer = [0; 512];
    let mut waiting = Vec::new();
    for _ in 0..TRIES_MAX {
        let (n_bytes, peer) = timeout(LONG, server.recv_from(&mut buffer)).await??;
        waiting.push((Message::from_vec(&buffer[..n_bytes])?, peer));
    }
    let more = timeout(Duration::from_millis(200), server.recv_from(&mut buffer)).await;
    assert!(more.is_err(), "more than {TRIES_MAX} questions under way");

    // Each answer makes room for one more.
    for index in 0..n_lookups {
        let (question, peer) = &waiting[index];
        let answer = answer(question, vec![address("app.test", ip(1), 60)]);
        server.send_to(&answer, *peer).await?;
        if waiting.len() < n_lookups {
            let (n_bytes, peer) = timeout(LONG, server.recv_from(&mut buffer)).await??;
            waiting.push((Message::from_vec(&buffer[..n_bytes])?, peer));
        }
    }
    let found = timeout(LONG, lookups.join_all()).await?;
    assert_eq!(found.iter().map(n_addresses).sum::<usize>(), n_lookups);
    Ok(())
}
