//! Replays the corpus of the fuzz target: answers of each kind, and every input that ever found something.

use std::fs;
use std::path::Path;

use igw_dns::message::Question;

use crate::oracle::{self, Cuts};

#[test]
fn answers_of_the_corpus_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/fuzz/corpus/dns");
    let mut n_inputs = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        oracle::answer(&fs::read(&path).expect("an input"), Cuts::All, Question::decode);
        n_inputs += 1;
    }
    assert!(n_inputs >= 20, "only {n_inputs} inputs in {}", folder.display());
}
