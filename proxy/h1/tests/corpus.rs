//! Replays the corpus of the fuzz targets: one input of each kind, and every one that ever found something.

use std::fs;
use std::path::Path;

mod oracle;

use oracle::Cuts;

#[test]
fn requests_of_the_corpus_hold() {
    check("request", |message| oracle::request(message, Cuts::All));
}

#[test]
fn responses_of_the_corpus_hold() {
    check("response", |message| oracle::response(message, Cuts::All));
}

#[test]
fn chunked_bodies_of_the_corpus_hold() {
    check("chunked", |message| oracle::chunked(message, Cuts::All));
}

/// Runs `property` over all inputs of a target.
fn check(target: &str, property: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/fuzz/corpus").join(target);
    let mut n_inputs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        property(&fs::read(&path).unwrap());
        n_inputs += 1;
    }
    assert!(n_inputs >= 20, "only {n_inputs} inputs in {}", folder.display());
}
