//! Mistakes in bulk: every one is told with its place, and none touches what is good.

use std::net::SocketAddr;
use std::process::Command;

use igw_e2e::client::get;
use igw_e2e::objects::{backend, beside, gateway, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, binary, free};

/// Broken documents of ten kinds, each with the line in it that is wrong, from 1.
fn broken(n: usize) -> (String, u32) {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: bad";
    let head = format!("{route}{n}}}\nspec:\n");
    match n % 10 {
        0 => (format!("{head}  hostnmes: [a]\n"), 5),
        1 => (format!("{head}  hostnames: [UPPER]\n"), 5),
        2 => (format!("{head}  rules:\n    - backendRefs: [{{name: a, port: 99999}}]\n"), 6),
        3 => (format!("{head}  rules:\n    - matches: [{{path: {{value: nope}}}}]\n"), 6),
        4 => (format!("{head}  parentRefs: [\n"), 5),
        5 => (
            format!("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRout\nmetadata: {{name: bad{n}}}\n"),
            2,
        ),
        6 => (format!("{head}  rules:\n    - timeouts: {{request: fast}}\n"), 6),
        7 => (format!("{head}  hostnames: &anchor [a.test]\n"), 5),
        8 => (format!("{head}  rules: []\n  rules: []\n"), 6),
        _ => (
            format!(
                "apiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {{name: bad{n}}}\nspec: {{}}\n"
            ),
            4,
        ),
    }
}

#[test]
fn a_hundred_mistakes_are_told_and_a_hundred_good_documents_serve() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let mut good = gateway(address) + &backend("b", &[origin.address]);
    for index in 0..98 {
        good += &route(&format!("r{index}"), &format!("h{index}.test"), &to_backend("b"));
    }
    up.write("good.yaml", &good)?;
    // Ten files of ten broken documents each.
    let mut expected = Vec::new();
    for file in 0..10 {
        let mut text = String::new();
        for index in 0..10 {
            let (document, line) = broken(file * 10 + index);
            let before = u32::try_from(text.lines().count())?;
            text += "---\n";
            text += &document;
            expected.push((format!("bad{file}.yaml"), before + 1 + line));
        }
        up.write(&format!("bad{file}.yaml"), &text)?;
    }
    let output = Command::new(binary("igw")?).args(["validate", "-f"]).arg(&up.folder).output()?;
    let printed =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{printed}");
    let told: Vec<&str> = printed.lines().filter(|line| line.trim_start().starts_with("--> ")).collect();
    assert_eq!(told.len(), 100, "{printed}");
    for (file, line) in &expected {
        let place = format!("{file}:{line}:");
        assert!(told.iter().any(|told| told.contains(&place)), "nothing at {place}\n{printed}");
    }
    assert!(printed.contains("100 errors"), "{printed}");

    up.start(&[])?;
    for index in 0..98 {
        assert_eq!(get(address, &format!("h{index}.test"), "/")?.status, 200, "h{index}");
    }
    assert!(up.printed().contains("bad3.yaml"), "igw up tells the mistakes too");
    Ok(())
}

#[test]
fn a_port_in_use_is_told_and_taken_when_it_is_free() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let held = std::net::TcpListener::bind(free(up.ip)?)?;
    let taken = held.local_addr()?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let two = gateway(address).replace(
        "protocol: HTTP}]",
        &format!("protocol: HTTP}}, {{name: second, port: {}, protocol: HTTP}}]", taken.port()),
    );
    up.write(
        "all.yaml",
        &(two + &route("r", "a.test", &to_backend("b")) + &backend("b", &[origin.address])),
    )?;
    up.start(&[])?;
    assert_eq!(get(address, "a.test", "/")?.status, 200, "the other listener serves");
    let described = || -> String {
        let output = binary("igw").and_then(|igw| {
            Ok(Command::new(igw).args(["describe", "gateway", "main", "--state"]).arg(&up.state).output()?)
        });
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    assert!(described().contains("PortUnavailable"), "{}", described());
    assert!(described().contains("held by another program"), "{}", described());
    drop(held);
    igw_e2e::client::eventually("the port is taken", std::time::Duration::from_secs(5), || {
        get(taken, "a.test", "/").is_ok_and(|answer| answer.status == 200)
    })?;
    Ok(())
}

#[test]
fn a_second_igw_up_on_the_same_state_is_refused() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    up.write("all.yaml", &gateway(free(up.ip)?))?;
    up.start(&[])?;
    let output =
        Command::new(binary("igw")?).arg("up").arg(&up.folder).arg("--state").arg(&up.state).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
    Ok(())
}
