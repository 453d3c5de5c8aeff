//! Session persistence: whoever was answered by an endpoint stays with it, over restarts and nodes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use igw_e2e::client::{Answer, Connection, answers, eventually};
use igw_e2e::objects::{backend, beside, gateway, route_of, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};
use igw_e2e::stage::Stage;
use igw_emulator::Delays;

const HOST: &str = "www.test";

fn route(name: &str, path: &str, session: &str, targets: &str) -> String {
    let rule = format!(
        "matches: [{{path: {{value: {path}}}}}], sessionPersistence: {{{session}}}, backendRefs: [{targets}]"
    );
    route_of(name, HOST, &[rule])
}

fn origins(up: &Up, names: &[&str]) -> anyhow::Result<Vec<Origin>> {
    names
        .iter()
        .enumerate()
        .map(|(index, name)| Origin::start(name, SocketAddr::new(beside(up.ip, 200 + index as u8), 0)))
        .collect()
}

/// Asks for a path with a field.
fn ask(address: SocketAddr, path: &str, field: &str) -> anyhow::Result<Answer> {
    let mut connection = Connection::open(address)?;
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{field}\r\n").as_bytes())?;
    connection.read("GET")
}

fn origin(answer: &Answer) -> anyhow::Result<String> {
    answer.field("x-origin").map(str::to_owned).context("an answer of a back end")
}

/// Begins a session; who answered, and the field that goes on with it.
fn begin(address: SocketAddr, path: &str) -> anyhow::Result<(String, String)> {
    let answer = ask(address, path, "")?;
    let cookie = answer.field("set-cookie").context("a session begins")?;
    let pair = cookie.split(';').next().unwrap_or_default();
    Ok((origin(&answer)?, format!("cookie: other=1; {pair}\r\n")))
}

#[test]
fn a_client_stays_with_its_endpoint() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let all = origins(&up, &["1", "2", "3", "4"])?;
    let names = |range: std::ops::Range<usize>| -> Vec<SocketAddr> {
        all[range].iter().map(|origin| origin.address).collect()
    };
    let weighted = |a: u32, b: u32| {
        format!("{{{}, weight: {a}}}, {{{}, weight: {b}}}", to_backend("old"), to_backend("new"))
    };
    let objects = |weights: &str, of_old: std::ops::Range<usize>| {
        gateway(address)
            + &route("r", "/", "cookie: {}", weights)
            + &backend("old", &names(of_old))
            + &backend("new", &names(2..4))
    };
    up.write("all.yaml", &objects(&weighted(1, 1), 0..2))?;
    up.start(&[])?;
    let sessions: Vec<(String, String)> = (0..24).map(|_| begin(address, "/")).collect::<Result<_, _>>()?;
    let seen: BTreeSet<&str> = sessions.iter().map(|(origin, _)| origin.as_str()).collect();
    assert_eq!(seen.len(), 4, "new clients are spread: {seen:?}");
    let stay = |why: &str, sessions: &[(String, String)]| -> anyhow::Result<()> {
        for (wanted, field) in sessions {
            for _ in 0..3 {
                let answer = ask(address, "/", field)?;
                ensure!(origin(&answer)? == *wanted, "{why}: {answer:?}");
                ensure!(answer.field("set-cookie").is_none(), "{why}: nothing is new");
            }
        }
        Ok(())
    };
    stay("at once", &sessions)?;

    // Weights are for those who have no session.
    up.write("all.yaml", &objects(&weighted(0, 1), 0..2))?;
    eventually("new clients go to the new one", Duration::from_secs(5), || {
        (0..8).all(|_| begin(address, "/").is_ok_and(|(origin, _)| origin == "3" || origin == "4"))
    })?;
    stay("after a change of weights", &sessions)?;

    // Neither a new gateway nor a new proxy has forgotten anybody.
    up.stop()?;
    up.restart()?;
    stay("after a restart", &sessions)?;

    // Who has lost its endpoint gets another one, and a new session.
    up.write("all.yaml", &objects(&weighted(1, 1), 0..1))?;
    let (_, of_lost) = sessions.iter().find(|(origin, _)| origin == "2").context("a session with 2")?;
    let mut moved = None;
    eventually("another one takes over", Duration::from_secs(5), || {
        moved = ask(address, "/", of_lost).ok().filter(|answer| answer.field("set-cookie").is_some());
        moved.is_some()
    })?;
    let moved = moved.context("an answer")?;
    assert_eq!(origin(&moved)?, "1", "of the same back end");
    let rest: Vec<_> = sessions.into_iter().filter(|(origin, _)| origin != "2").collect();
    stay("after the loss of another one", &rest)
}

#[test]
fn tokens_are_bound_and_limited() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let all = origins(&up, &["1", "2"])?;
    let target = format!("{{{}}}", to_backend("b"));
    let objects = gateway(address)
        + &route("named", "/named", "cookie: {name: sid, path: /named}", &target)
        + &route(
            "short",
            "/short",
            "absoluteTimeout: 2s, cookie: {name: sid, lifetimeType: Permanent}",
            &target,
        )
        + &route("header", "/header", "type: Header, header: {name: X-Session}", &target)
        + &backend("b", &[all[0].address, all[1].address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let answer = ask(address, "/named/x", "")?;
    let cookie = answer.field("set-cookie").context("a session")?;
    assert!(cookie.starts_with("sid=") && cookie.ends_with("; Path=/named; HttpOnly"), "{cookie}");
    assert!(!cookie.contains(&all[0].address.ip().to_string()), "nobody reads an address in it: {cookie}");

    // A header does the same for clients that are no browsers.
    let first = ask(address, "/header", "")?;
    let token = first.field("x-session").context("a session in a header")?;
    for _ in 0..4 {
        let answer = ask(address, "/header", &format!("x-session: {token}\r\n"))?;
        assert_eq!(origin(&answer)?, origin(&first)?);
        assert!(answer.field("x-session").is_none());
    }
    // What another rule made, or nobody, begins a new session.
    for forged in [cookie.split(';').next().unwrap_or_default(), "sid=x", "sid=", "sid"] {
        let answer = ask(address, "/short", &format!("cookie: {forged}\r\n"))?;
        let new = answer.field("set-cookie").with_context(|| forged.to_owned())?;
        assert!(new.ends_with("; Path=/; HttpOnly; Max-Age=2"), "{new}");
    }
    // A session ends when its time has come, whatever the client keeps.
    let (_, field) = begin(address, "/short")?;
    assert!(ask(address, "/short", &field)?.field("set-cookie").is_none());
    eventually("the session has ended", Duration::from_secs(5), || {
        ask(address, "/short", &field).is_ok_and(|answer| answer.field("set-cookie").is_some())
    })?;
    Ok(())
}

#[test]
fn an_answer_of_the_gateway_begins_no_session() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let (address, gone) = (free(up.ip)?, free(beside(up.ip, 250))?);
    let all = origins(&up, &["1"])?;
    let target = |name: &str| format!("{{{}}}", to_backend(name));
    let objects = gateway(address)
        + &route("gone", "/gone", "cookie: {}", &target("gone"))
        + &route("half", "/half", "cookie: {}", &target("half"))
        + &backend("gone", &[gone])
        + &backend("half", &[gone, all[0].address]);
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let answer = ask(address, "/gone", "")?;
    assert_eq!((answer.status, answer.field("set-cookie")), (502, None));
    // A try that failed is not whom the session is with.
    for _ in 0..8 {
        let (first, field) = begin(address, "/half")?;
        let again = ask(address, "/half", &field)?;
        assert_eq!((origin(&again)?.as_str(), again.field("set-cookie")), (first.as_str(), None));
    }
    Ok(())
}

#[test]
fn a_client_stays_with_its_endpoint_whatever_node_it_comes_to() -> anyhow::Result<()> {
    let (mut stage, addresses) = Stage::serving(Delays::none())?;
    let kept = igw_e2e::stage::route("kept", "public", HOST, "web", 9001)
        .replace("- backendRefs", "- sessionPersistence: {cookie: {}}\n      backendRefs");
    stage.apply("n1", "shop", &kept)?;
    let mut sessions = Vec::new();
    for address in &addresses {
        let mut begun = None;
        eventually("a session begins", Duration::from_secs(30), || {
            begun = begin(*address, "/").ok();
            begun.is_some()
        })
        .with_context(|| stage.logs())?;
        sessions.extend(begun);
    }
    let stay = |sessions: &[(String, String)]| -> anyhow::Result<()> {
        for (wanted, field) in sessions {
            for address in &addresses {
                for _ in 0..4 {
                    let answer = ask(*address, "/", field)?;
                    let is_kept = origin(&answer)? == *wanted && answer.field("set-cookie").is_none();
                    ensure!(is_kept, "{wanted} at {address}: {answer:?}");
                }
            }
        }
        Ok(())
    };
    stay(&sessions)?;
    // Another operator derives the same keys.
    stage.kill_operator()?;
    stage.start_operator("n1", &[])?;
    stage.apply("n1", "shop", &igw_e2e::stage::route("more", "public", "more.test", "web", 9001))?;
    eventually("the new operator's snapshot is live", Duration::from_secs(30), || {
        addresses.iter().all(|address| answers(*address, "more.test"))
    })
    .with_context(|| stage.logs())?;
    stay(&sessions)
}
