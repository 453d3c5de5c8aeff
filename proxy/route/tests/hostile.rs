//! Tables from snapshots that nobody compiled: no panic, whatever the bytes say.

use std::path::Path;

use igw_crds::snapshot::Snapshot;
use igw_crds::sync::Envelope;
use proptest::prelude::*;

mod snapshots;

fn corpus() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/fuzz/corpus/snapshot");
    let entries = std::fs::read_dir(folder).expect("a corpus");
    entries.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("an input")).collect()
}

#[test]
fn the_corpus_holds() {
    let corpus = corpus();
    assert!(corpus.len() >= 20, "only {} inputs", corpus.len());
    for text in &corpus {
        let is_envelope =
            serde_json::from_str::<Envelope>(text).is_ok_and(|envelope| envelope.open().is_ok());
        assert!(is_envelope || serde_json::from_str::<Snapshot>(text).is_ok(), "{text}");
        snapshots::tables(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edited_snapshots_hold(
        seed in prop::sample::select(corpus()),
        edits in prop::collection::vec((any::<usize>(), prop::sample::select(WORDS), prop::sample::select(WORDS)), 1..5),
    ) {
        let mut text = seed;
        for (at, old, new) in edits {
            let places: Vec<usize> = text.match_indices(old).map(|(place, _)| place).collect();
            if let Some(place) = places.get(at % places.len().max(1)) {
                text.replace_range(*place..place + old.len(), new);
            }
        }
        snapshots::tables(text.as_bytes());
    }
}

/// Pieces of snapshots that take each other's place.
const WORDS: &[&str] = &[
    "0",
    "1",
    "4294967295",
    "80",
    "null",
    "[]",
    "\"\"",
    "\"/\"",
    "\"/a\"",
    "\"a.test\"",
    "\"*.test\"",
    "\"*\"",
    "Prefix",
    "Exact",
    "Regex",
    "\"(\"",
    "\"[a-z]*\"",
    "\".\"",
    "\"GET\"",
    "Forward",
    "Respond",
    "HTTP",
];
