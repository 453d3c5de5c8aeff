//! igw beside a Kubernetes server with the CRDs of the Gateway API: the same objects are taken, completed and counted
//! alike, and what is wrong with the others is told of the same fields.
//!
//! The objects are made here from the table of fields; what the server said to them is recorded in `answers.txt`, a
//! line of JSON for each. `e2e/oracle/run` asks a server anew and writes the record.

#[path = "../house/mod.rs"]
mod house;
mod objects;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use house::House;
use igw_crds::objects::Kind;
use objects::{Case, cases};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// A case as a server is asked it; its name is what it holds.
fn question(case: &Case) -> Value {
    let mut question = json!({"object": case.object, "steps": case.steps});
    let id = format!("{:016x}", xxh3_64(question.to_string().as_bytes()));
    question["id"] = id.into();
    question
}

/// How a tree became another, as the record tells it.
fn changes(path: &str, from: &Value, to: &Value, found: &mut Vec<String>) {
    match (from, to) {
        (Value::Object(was), Value::Object(is)) => {
            let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let below = format!("{path}.{name}");
                match (was.get(name), is.get(name)) {
                    (Some(was), Some(is)) => changes(&below, was, is, found),
                    (None, Some(is)) => found.push(format!("+{below}={is}")),
                    _ => found.push(format!("-{below}")),
                }
            }
        }
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            for (index, (was, is)) in was.iter().zip(is).enumerate() {
                changes(&format!("{path}[{index}]"), was, is, found);
            }
        }
        (Value::Number(was), Value::Number(is)) if was.as_f64() == is.as_f64() => {}
        (was, is) if was != is => found.push(format!("~{path}={is}")),
        _ => {}
    }
}

/// Causes as the record tells them: the sort of each, and its field.
fn causes(answer: &Value) -> Vec<String> {
    let list = answer["details"]["causes"].as_array().cloned().unwrap_or_default();
    let mut causes: Vec<String> = list
        .iter()
        .map(|cause| {
            let text = |name: &str| cause[name].as_str().unwrap_or_default();
            let reason = text("reason");
            format!("{} {}", reason.strip_prefix("FieldValue").unwrap_or(reason), text("field"))
        })
        .collect();
    causes.sort_unstable();
    causes.dedup();
    causes
}

/// What igw says to a case, in the form of the record.
async fn ours(house: &House, case: &Case) -> anyhow::Result<Value> {
    let kind = case.object["kind"].as_str().unwrap_or_default();
    let kind = Kind::ALL.into_iter().find(|one| one.as_str() == kind).expect("a kind");
    let scope = if kind.is_namespaced() { "/namespaces/default" } else { "" };
    let path = format!("/apis/{}{scope}/{}", kind.api_version(), kind.plural());
    let made = house.post(&path, &case.object).await?;
    let mut said = serde_json::Map::new();
    let warnings: Vec<Value> = made
        .headers
        .get_all("warning")
        .iter()
        .filter_map(|warning| warning.to_str().ok()?.split("unknown field \\\"").nth(1)?.split("\\\"").next())
        .map(Value::from)
        .collect();
    if !warnings.is_empty() && made.code < 300 {
        said.insert("unknown".to_owned(), warnings.into());
    }
    let answer = made.value();
    if made.code >= 300 {
        said.insert("causes".to_owned(), causes(&answer).into());
        return Ok(said.into());
    }
    let mut found = Vec::new();
    changes("spec", &case.object["spec"], &answer["spec"], &mut found);
    if !found.is_empty() {
        said.insert("change".to_owned(), found.into());
    }
    let mut steps = Vec::new();
    let one = format!("{path}/{}", case.object["metadata"]["name"].as_str().unwrap_or_default());
    for step in &case.steps {
        let before = house.get(&one).await?.value();
        let written = match step.get("put") {
            Some(put) => {
                let mut whole = before.clone();
                whole["spec"] = put["spec"].clone();
                house.put(&one, &whole).await?
            }
            None => house.merge(&one, &step["merge"]).await?,
        };
        let now = if written.code >= 300 { before } else { written.value() };
        let mut outcome = json!({"generation": now["metadata"]["generation"]});
        if written.code >= 300 {
            outcome["causes"] = causes(&written.value()).into();
        }
        steps.push(outcome);
    }
    house.delete(&one).await?.expect(200);
    if !steps.is_empty() {
        said.insert("steps".to_owned(), steps.into());
    }
    Ok(said.into())
}

#[tokio::test]
async fn objects_are_judged_as_by_a_server_with_the_crds() -> anyhow::Result<()> {
    let cases = cases();
    if let Some(file) = std::env::var_os("IGW_ORACLE_QUESTIONS") {
        let lines: Vec<String> = cases.iter().map(|case| question(case).to_string() + "\n").collect();
        std::fs::write(file, lines.concat())?;
        return Ok(());
    }
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/answers.txt");
    let record = std::fs::read_to_string(record)?;
    let mut answers = BTreeMap::new();
    for line in record.lines() {
        let mut answer: Value = serde_json::from_str(line)?;
        let id = answer.as_object_mut().and_then(|answer| answer.remove("id")).unwrap_or_default();
        answers.insert(id.as_str().unwrap_or_default().to_owned(), answer);
    }
    let house = House::start().await?;
    let mut explained: BTreeMap<&str, usize> = BTreeMap::new();
    let mut others = Vec::new();
    let (mut n_equal, mut n_refused) = (0, 0);
    let mut unbroken: BTreeSet<String> =
        igw_crds::limits::rules().into_iter().map(|(rule, _)| rule).collect();
    for case in &cases {
        let id = question(case)["id"].as_str().unwrap_or_default().to_owned();
        let Some(theirs) = answers.get(&id) else {
            anyhow::bail!("{} is not in the record; run e2e/oracle/run", case.name);
        };
        let mut theirs = theirs.clone();
        if theirs.get("causes").is_some() {
            n_refused += 1;
            let rule = case.name.split('`').nth(1).unwrap_or_default();
            unbroken.remove(rule);
            // What is refused comes back without warnings.
            theirs.as_object_mut().map(|theirs| theirs.remove("unknown"));
        }
        let ours = ours(&house, case).await?;
        if ours == theirs {
            n_equal += 1;
            continue;
        }
        match EXPLAINED.iter().find(|(_, fields, _)| is_explained(fields, &theirs, &ours)) {
            Some((name, ..)) => *explained.entry(name).or_default() += 1,
            None => others.push(format!("{}\n  server {theirs}\n  igw    {ours}", case.name)),
        }
    }
    println!(
        "{} objects, {n_refused} of them refused by the server; {n_equal} judged alike, {} with an explained difference",
        cases.len(),
        explained.values().sum::<usize>(),
    );
    for (name, _, reason) in EXPLAINED {
        println!("  {} {name}: {reason}", explained.get(name).copied().unwrap_or_default());
    }
    println!("rules that no object breaks: {UNBROKEN:?}");
    assert_eq!(unbroken.iter().map(String::as_str).collect::<Vec<_>>(), UNBROKEN);
    println!("{} other differences\n{}", others.len(), others.join("\n"));
    assert!(others.is_empty(), "{} differences that nobody explained", others.len());
    assert!(cases.len() >= 2000, "{} objects", cases.len());
    for (name, ..) in EXPLAINED {
        assert!(explained.contains_key(name), "`{name}` does not occur any more");
    }
    Ok(())
}

/// Whether a difference is of a sort that is explained: igw refuses what the server takes, for one reason.
fn is_explained(fields: &[&str], theirs: &Value, ours: &Value) -> bool {
    let causes = ours["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_of = |cause: &Value| {
        let cause = cause.as_str().unwrap_or_default();
        let shape: String = cause.chars().filter(|character| !character.is_ascii_digit()).collect();
        fields.iter().any(|field| shape.ends_with(field))
    };
    theirs.get("causes").is_none() && !causes.is_empty() && causes.iter().all(is_of)
}

/// Differences that are meant, in all of which igw refuses what the server takes: fields, and why.
const EXPLAINED: [(&str, &[&str], &str); 5] = [
    (
        "addresses as host names",
        &["hostname", "hostnames[]"],
        "a host name is no IP address, says the API's text",
    ),
    (
        "text that no request can hold",
        &["replacePrefixMatch", "replaceFullPath", "headers[].value"],
        "it would break the head that it is written into",
    ),
    ("one authorization after another", &["filters"], "a rule has one ExternalAuth"),
    ("a selector that is missing", &["allowedRoutes.namespaces"], "it would select every namespace, or none"),
    ("CONNECT", &["matches[].method"], "such requests are not forwarded"),
];
/// Rules that no new object breaks: one that an enum holds already, one of updates (which the writes after the first
/// break), and two of a kind that is not served.
const UNBROKEN: [&str; 4] = ["path type", "stays", "time above 0s to 1h", "time from 1s to 1h"];
