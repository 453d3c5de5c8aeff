//! TLS as strangers see it: scanners, load, WebSocket, certificates that change, keys that stay where they belong.
//! Lengths are set by `IGW_SWAPS`, `IGW_REQUESTS` and `IGW_MESSAGE_BYTES`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::client::{eventually, get};
use igw_e2e::objects::{backend, beside, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::peer::{self, Server};
use igw_e2e::process::{Up, binary, free};
use igw_e2e::tls::{Authority, Client, Pair, Use, secret};
use igw_e2e::usage::number;

fn gateway(address: SocketAddr, secrets: &[&str]) -> String {
    let secrets: Vec<String> = secrets.iter().map(|name| format!("{{name: {name}}}")).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: main}}
spec:
  gatewayClassName: igw
  addresses: [{{value: {}}}]
  listeners: [{{name: web, port: {}, protocol: HTTPS, tls: {{certificateRefs: [{}]}}}}]
",
        address.ip(),
        address.port(),
        secrets.join(", ")
    )
}

/// A gateway that serves `www.test` over TLS from one back end.
fn serving(secrets: &[&str], more: &str) -> anyhow::Result<(Up, SocketAddr, Origin)> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("one", SocketAddr::new(beside(up.ip, 250), 0))?;
    let objects = gateway(address, secrets)
        + &route("www", "www.test", &to_backend("one"))
        + &backend("one", &[origin.address]);
    up.write("all.yaml", &objects)?;
    up.write("secrets.yaml", more)?;
    up.start(&[])?;
    Ok((up, address, origin))
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let done = command.output().with_context(|| format!("{command:?}"))?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}

#[test]
fn a_scanner_finds_nothing_wrong() -> anyhow::Result<()> {
    let pair = Authority::new("tests")?.issue(Use::Server, &["www.test"])?;
    let (_up, address, _origin) = serving(&["pair"], &pair.secret("pair"))?;
    let printed = output(
        Command::new("testssl")
            .args(["--quiet", "--color", "0", "--fast", "--ip", "one", "-p", "-f", "-s", "--vulnerable"])
            .args(["--warnings", "off", "--openssl-timeout", "5"])
            .arg(address.to_string()),
    )?;
    println!("{printed}");
    ensure!(printed.contains("TLS 1.3    offered (OK)"), "the scan was not run:\n{printed}");
    for line in printed.lines() {
        ensure!(!line.contains("NOT ok"), "{line}\n{printed}");
        let is_lucky = line.contains("LUCKY13") && !line.contains("not vulnerable");
        ensure!(!is_lucky && !line.contains("potentially VULNERABLE"), "{line}\n{printed}");
    }
    Ok(())
}

#[test]
fn many_streams_pass() -> anyhow::Result<()> {
    let pair = Authority::new("tests")?.issue(Use::Server, &["www.test"])?;
    let (_up, address, origin) = serving(&["pair"], &pair.secret("pair"))?;
    let n_requests = number("IGW_REQUESTS", 20_000);
    let printed = output(
        Command::new("h2load")
            .args(["-n", &n_requests.to_string(), "-c", "8", "-m", "32", "-t", "1"])
            .args(["-H", ":authority: www.test"])
            .arg(format!("https://{address}/")),
    )?;
    println!("{printed}");
    let wanted = format!("{n_requests} succeeded, 0 failed, 0 errored, 0 timeout");
    ensure!(printed.contains(&wanted), "{printed}");
    ensure!(printed.contains(&format!("status codes: {n_requests} 2xx")), "{printed}");
    ensure!(origin.n_requests() >= n_requests, "{} requests", origin.n_requests());
    Ok(())
}

#[test]
fn websockets_pass_over_both_versions() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let place = beside(up.ip, 250);
    let server = Server::start("websocket_server.py", place, &[&place.to_string()])?;
    let authority = Authority::new("tests")?;
    let pair = authority.issue(Use::Server, &["www.test"])?;
    let objects = gateway(address, &["pair"])
        + &route("www", "www.test", &to_backend("one"))
        + &backend("one", &[server.address])
        + &pair.secret("pair");
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, &authority.certificate)?;
    let n_bytes = number("IGW_MESSAGE_BYTES", 16 * 1024 * 1024).to_string();
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let arguments = [&ip, &port, "www.test", &file.display().to_string(), &n_bytes];
    peer::run("websocket_client.py", &arguments, 12)
}

#[test]
fn certificates_change_under_new_connections() -> anyhow::Result<()> {
    let authority = Authority::new("tests")?;
    let pair = || authority.issue(Use::Server, &["www.test"]);
    let first = pair()?;
    let (up, address, _origin) = serving(&["pair"], &first.secret("pair"))?;
    let client = Client::trusting(&[&authority.certificate])?;
    let is_over = Arc::new(AtomicBool::new(false));
    let n_shaken = Arc::new(AtomicU64::new(0));
    // Pairs that may be shown: each writer's step puts the new one in before it is written.
    let shown: Arc<std::sync::Mutex<Vec<Pair>>> = Arc::new(std::sync::Mutex::new(vec![first]));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (client, is_over, n_shaken, shown) =
                (client.clone(), Arc::clone(&is_over), Arc::clone(&n_shaken), Arc::clone(&shown));
            std::thread::spawn(move || -> anyhow::Result<()> {
                let mut due = Instant::now();
                while !is_over.load(Ordering::Relaxed) {
                    // 250 connections a second from each caller.
                    due += Duration::from_millis(4);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    // The handshake itself proves that the key belongs to the certificate.
                    let mut connection = client.connect(address, "www.test")?;
                    let certificates = connection.stream().conn.peer_certificates().unwrap_or_default();
                    let certificate = certificates.first().cloned().context("no certificate")?;
                    let known = shown.lock().map_err(|_| anyhow::anyhow!("a caller failed"))?;
                    ensure!(known.iter().any(|pair| pair.is(&certificate)), "a pair of nobody");
                    n_shaken.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    let n_swaps = number("IGW_SWAPS", 30);
    let all_begun = Instant::now();
    let mut slowest = Duration::ZERO;
    for _ in 0..n_swaps {
        let next = pair()?;
        shown.lock().map_err(|_| anyhow::anyhow!("a caller failed"))?.push(next.clone());
        let begun = Instant::now();
        up.write("secrets.yaml", &next.secret("pair"))?;
        eventually("the new pair is shown", Duration::from_secs(5), || {
            let Ok(mut connection) = client.connect(address, "www.test") else { return false };
            let shown = connection.stream().conn.peer_certificates().and_then(<[_]>::first).cloned();
            shown.is_some_and(|shown| next.is(&shown))
        })?;
        slowest = slowest.max(begun.elapsed());
    }
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
    }
    let n_shaken = n_shaken.load(Ordering::Relaxed);
    let rate = n_shaken as f64 / all_begun.elapsed().as_secs_f64();
    println!(
        "{n_swaps} pairs, {n_shaken} handshakes ({rate:.0}/s), 0 failed, a new pair shown after at most {slowest:?}"
    );
    ensure!(n_shaken >= n_swaps, "{n_shaken} handshakes");
    Ok(())
}

/// Every file below a folder but private keys.
fn texts(folder: &Path, found: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.is_dir() && !path.ends_with("keys") {
            texts(&path, found)?;
        } else if path.is_file() {
            let bytes = std::fs::read(&path)?;
            found.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(())
}

#[test]
fn no_byte_of_a_key_is_anywhere_else() -> anyhow::Result<()> {
    let authority = Authority::new("tests")?;
    let canaries: Vec<Pair> =
        (0..5).map(|_| authority.issue(Use::Server, &["www.test"])).collect::<Result<_, _>>()?;
    let expired =
        authority.issue_with(Use::Server, &["www.test"], &rcgen::KeyPair::generate()?, |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        })?;
    let broken = canaries[3].key.replace("-----END", "!!-----END");
    let secrets = canaries[0].secret("good")
        + &secret("foreign", &[("tls.crt", &canaries[0].certificate), ("tls.key", &canaries[1].key)])
        + &secret("swapped", &[("tls.crt", &canaries[2].key), ("tls.key", &canaries[2].certificate)])
        + &secret("broken", &[("tls.crt", &canaries[3].certificate), ("tls.key", &broken)])
        + &secret("nameless", &[("key.pem", &canaries[4].key)])
        + &expired.secret("expired");
    let names = ["good", "foreign", "swapped", "broken", "nameless", "expired"];
    let (mut up, address, _origin) = serving(&names, &secrets)?;
    let client = Client::trusting(&[&authority.certificate])?;
    ensure!(client.connect(address, "www.test")?.get("www.test", "/")?.status == 200);
    // One fault after the other is the condition's.
    for name in &names[1..] {
        let listed = names.iter().filter(|other| *other != name && **other == "good").chain([name]);
        let listed: Vec<&str> = listed.copied().collect();
        let objects = gateway(address, &listed);
        up.write("gateway.yaml", &objects)?;
        up.write(
            "all.yaml",
            &(route("www", "www.test", &to_backend("one")) + &backend("one", &[SocketAddr::new(up.ip, 1)])),
        )?;
        let state = up.state.display().to_string();
        eventually(name, Duration::from_secs(5), || {
            let page = output(Command::new(binary("igw").unwrap_or_default()).args([
                "get",
                "gateway/main",
                "-o",
                "yaml",
                "--state",
                &state,
            ]));
            page.is_ok_and(|page| page.contains(&format!("Secret default/{name}: ")))
        })?;
    }
    let mut seen: Vec<(String, String)> = vec![("what it printed".to_owned(), up.printed())];
    for path in ["/metrics", "/api/v1/backends", "/api/v1/listeners", "/api/v1/snapshot", "/"] {
        for admin in [up.proxy_admin, up.admin] {
            let body = get(admin, "localhost", path)?.body;
            seen.push((format!("{admin}{path}"), String::from_utf8_lossy(&body).into_owned()));
        }
    }
    let (state, folder) = (up.state.display().to_string(), up.folder.display().to_string());
    let rendered = up.state.join("rendered").display().to_string();
    for arguments in [
        &["get", "gateways,httproutes", "-o", "json", "--state", &state][..],
        &["describe", "gateway/main", "--state", &state],
        &["status", "--state", &state],
        &["validate", "-f", &folder],
        &["describe", "gateway/main", "--dir", &folder],
        &["explain", "GET", &format!("https://www.test:{}/", address.port()), "--dir", &folder],
        &["render", &folder, "--out", &rendered],
    ] {
        let printed = output(Command::new(binary("igw")?).args(arguments))?;
        seen.push((arguments.join(" "), printed));
    }
    up.kill_operator()?;
    up.restart()?;
    seen.push(("what it printed after a restart".to_owned(), up.printed()));
    texts(&up.state, &mut seen)?;
    ensure!(seen.len() > 20, "{} texts", seen.len());
    for pair in canaries.iter().chain([&expired]) {
        // Any line of the key tells; the first of its body is random from its second half on.
        let lines = pair.key.lines().filter(|line| line.len() > 40 && !line.starts_with("-----"));
        for line in lines {
            let tail = &line[line.len() - 24..];
            for (place, text) in &seen {
                ensure!(!text.contains(tail), "a private key is in {place}");
            }
        }
    }
    Ok(())
}
