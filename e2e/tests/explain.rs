//! `igw explain` and the proxy say the same of generated routes and requests.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use igw_e2e::client::Connection;
use igw_e2e::objects::{backend, beside, gateway};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, binary, free};
use igw_e2e::usage::number;

/// A generator that gives the same numbers for the same seed (a linear congruence, upper bits).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

const HOSTS: [&str; 5] = ["", "a.test", "b.a.test", "*.test", "*.a.test"];
const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/x", "/a/"];

/// Routes that name themselves in a header of the answer.
fn routes(random: &mut Seeded, set: usize) -> String {
    let mut text = String::new();
    for route in 0..1 + random.below(5) {
        let host = random.of(&HOSTS);
        let _ = write!(
            text,
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: s{set}r{route}}}\nspec:\n  parentRefs: [{{name: main}}]\n"
        );
        // Every set has hosts of its own below its number, so that sets do not meet.
        let own = match host.strip_prefix("*.") {
            Some(rest) => format!("*.{rest}{set}"),
            None if host.is_empty() => format!("*.only{set}"),
            None => format!("{host}{set}"),
        };
        let _ = write!(text, "  hostnames: [\"{own}\"]\n  rules:\n");
        for rule in 0..1 + random.below(2) {
            let kind = random.of(&["Exact", "PathPrefix", "PathPrefix", "RegularExpression"]);
            let path = if kind == "RegularExpression" { "/a.*" } else { random.of(&PATHS) };
            let mut one = format!("path: {{type: {kind}, value: \"{path}\"}}");
            if random.below(3) == 0 {
                one += &format!(", method: {}", random.of(&["GET", "POST"]));
            }
            if random.below(3) == 0 {
                one += ", headers: [{name: x-a, value: \"1\"}]";
            }
            if random.below(4) == 0 {
                one += ", queryParams: [{name: q, value: \"1\"}]";
            }
            let _ = write!(
                text,
                "    - matches: [{{{one}}}]\n      filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-rule, value: s{set}r{route}-{rule}}}]}}}}]\n      backendRefs: [{{group: igw.opensvc.com, kind: Backend, name: b}}]\n"
            );
        }
    }
    text
}

#[test]
fn explain_agrees_with_the_proxy() -> anyhow::Result<()> {
    let seed = number("IGW_SEED", 20_261_123_u64);
    println!("IGW_SEED={seed}");
    let mut random = Seeded(seed);
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    let n_sets = 500;
    let mut text = gateway(address) + &backend("b", &[origin.address]);
    for set in 0..n_sets {
        text += &routes(&mut random, set);
    }
    up.write("all.yaml", &text)?;
    up.start(&[])?;
    let mut connection = Connection::open(address)?;
    let (mut n_hits, mut n_misses) = (0, 0);
    for set in 0..n_sets {
        let host = format!("{}{set}", random.of(&["a.test", "b.a.test", "c.b.a.test", "d.test", "x.only"]));
        let path = random.of(&["/", "/a", "/a/b", "/ab", "/x/y", "/a/b/c", "/nope"]);
        let query = random.of(&["", "?q=1"]);
        let method = random.of(&["GET", "POST"]);
        let header = random.of(&["", "x-a: 1\r\n"]);
        connection.send(
            format!("{method} {path}{query} HTTP/1.1\r\nhost: {host}\r\n{header}content-length: 0\r\n\r\n")
                .as_bytes(),
        )?;
        let answer = connection.read(method)?;
        let done = answer.field("x-rule").map(str::to_owned);
        let mut command = Command::new(binary("igw")?);
        command.args([
            "explain",
            method,
            &format!("http://{host}:{}{path}{query}", address.port()),
            "-o",
            "json",
            "--state",
        ]);
        command.arg(&up.state);
        if !header.is_empty() {
            command.args(["-H", "x-a: 1"]);
        }
        let output = command.output()?;
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let rule = said["rule"]["route"].as_str().or(said["route"].as_str()).map(str::to_owned);
        match done {
            Some(done) => {
                n_hits += 1;
                assert_eq!(output.status.code(), Some(0), "set {set}: {said}");
                let text = said.to_string();
                let (route, _) = done.split_once('-').unwrap_or((&done, ""));
                assert!(
                    text.contains(&format!("\"{route}\"")) || text.contains(&format!("/{route}\"")),
                    "set {set}: proxy chose {done}, {rule:?} in {said}"
                );
            }
            None => {
                n_misses += 1;
                assert_eq!(answer.status, 404, "set {set}");
                assert_eq!(output.status.code(), Some(1), "set {set}: {said}");
            }
        }
    }
    println!("{n_hits} hits, {n_misses} misses");
    assert!(n_hits > 100 && n_misses > 50);
    Ok(())
}
