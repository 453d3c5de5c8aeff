//! The YAML door on texts that are almost objects: no panic, no loss, every finding in its place.

use std::path::Path;

use proptest::prelude::*;

mod oracle;

/// Examples and mistakes, document by document, and the corpus of the fuzz target.
fn seeds() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(folder.join("examples")).expect("examples") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("an example");
        seeds.extend(text.split("---\n").map(str::to_owned));
    }
    let mistakes = std::fs::read_to_string(folder.join("tests/mistakes.txt")).expect("mistakes");
    let head = |kind: &str| format!("{API}kind: {kind}\nmetadata: {{name: a}}\nspec:");
    let mistakes = mistakes.replace("@route", &head("HTTPRoute")).replace("@gateway", &head("Gateway"));
    seeds.extend(mistakes.split("\n=> ").map(str::to_owned));
    let corpus = std::fs::read_dir(folder.join("../e2e/fuzz/corpus/yaml")).expect("a corpus");
    let inputs = corpus.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("an input"));
    let n_before = seeds.len();
    seeds.extend(inputs.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    assert!(seeds.len() - n_before >= 20, "only {} inputs", seeds.len() - n_before);
    seeds
}

#[test]
fn seeds_hold() {
    let seeds = seeds();
    assert!(seeds.len() > 150, "{} seeds", seeds.len());
    seeds.iter().for_each(|seed| oracle::yaml(seed.as_bytes()));
}

/// One change of a text.
fn edit(text: &str, at: usize, kind: u8, piece: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = at % (characters.len() + 1);
    let (before, after) = characters.split_at(at);
    let after = match kind % 3 {
        0 => after,
        1 => after.get(1..).unwrap_or_default(),
        _ => after.get(7..).unwrap_or_default(),
    };
    before.iter().collect::<String>() + piece + &after.iter().collect::<String>()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edited_seeds_hold(
        seed in prop::sample::select(seeds()),
        edits in prop::collection::vec((any::<usize>(), any::<u8>(), prop::sample::select(PIECES)), 1..4),
    ) {
        let text = edits.iter().fold(seed, |text, (at, kind, piece)| edit(&text, *at, *kind, piece));
        oracle::yaml(text.as_bytes());
    }
}

/// What is put into texts.
const PIECES: &[&str] = &[
    "",
    " ",
    "\n",
    "  ",
    "\t",
    ":",
    ": ",
    "-",
    "- ",
    "---\n",
    "...\n",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!t ",
    "|",
    ">",
    "#",
    "'",
    "\"",
    "\\",
    "%",
    "@",
    "`",
    "?",
    "? ",
    "<<: ",
    "null",
    "~",
    "true",
    "0",
    "-1",
    "1e9",
    "99999999999999999999",
    "a",
    "\u{fffd}",
    "\u{0}",
    "\r",
    "\u{feff}",
    "\u{2028}",
    "name: ",
    "spec:\n",
    "rules:\n",
    "127.0.0.1",
    "*.",
    "/",
];

/// First line of objects of the Gateway API.
const API: &str = "apiVersion: gateway.networking.k8s.io/v1\n";
