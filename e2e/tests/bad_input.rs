//! Mistakes in bulk: every one is told with its place, and none touches what is good.

use std::net::SocketAddr;
use std::process::Command;

use igw_e2e::client::get;
use igw_e2e::objects::{backend, beside, gateway, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, binary, free};

/// A hundred broken documents of the table of mistakes, each with the place in it that is wrong.
fn broken() -> Vec<(String, u32, u32)> {
    let mut found = Vec::new();
    let mut document = String::new();
    for line in include_str!("../../crds/tests/mistakes.txt").lines() {
        if let Some(expected) = line.strip_prefix("=> ") {
            let place = expected.split(' ').next().and_then(|place| place.split_once(':'));
            let number = |text: &str| text.parse().expect("a place in the table");
            let (line, column) = place.expect("a place in the table");
            // Objects of their own: two mistakes must not be about one.
            let name = format!("name: bad{}", found.len());
            let document = std::mem::take(&mut document).replacen("name: bad", &name, 1);
            let line = number(line);
            let is_moved = document.lines().nth(line as usize - 1).is_some_and(|text| text.contains(&name));
            let column = number(column);
            found.push((document, line, if is_moved { 0 } else { column }));
            continue;
        }
        document += &match line {
            "@route" => format!("{API}kind: HTTPRoute\nmetadata: {{name: bad}}\nspec:\n"),
            "@gateway" => {
                format!("{API}kind: Gateway\nmetadata: {{name: bad}}\nspec:\n  gatewayClassName: igw\n")
            }
            line => format!("{line}\n"),
        };
    }
    // Three of four: a hundred, of every part of the table.
    found
        .into_iter()
        .enumerate()
        .filter(|(index, _)| index % 4 != 3)
        .map(|(_, entry)| entry)
        .take(100)
        .collect()
}

/// First line of objects of the Gateway API.
const API: &str = "apiVersion: gateway.networking.k8s.io/v1\n";

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
    for (index, ten) in broken().chunks(10).enumerate() {
        let mut text = String::new();
        for (document, line, column) in ten {
            let before = u32::try_from(text.lines().count())?;
            text += "---\n";
            text += document;
            // The name of the object moved what stands behind it in its line.
            let column = if *column == 0 { String::new() } else { column.to_string() };
            expected.push(format!("bad{index}.yaml:{}:{column}", before + 1 + line));
        }
        up.write(&format!("bad{index}.yaml"), &text)?;
    }
    assert_eq!(expected.len(), 100);
    let output = Command::new(binary("igw")?).args(["validate", "-f"]).arg(&up.folder).output()?;
    let printed =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{printed}");
    let told: Vec<&str> = printed.lines().filter(|line| line.trim_start().starts_with("--> ")).collect();
    assert_eq!(told.len(), 100, "{printed}");
    for place in &expected {
        let is_there =
            |told: &&str| if place.ends_with(':') { told.contains(place) } else { told.ends_with(place) };
        assert!(told.iter().any(is_there), "nothing at {place}\n{printed}");
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
