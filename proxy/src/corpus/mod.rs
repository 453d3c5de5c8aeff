//! Replays the corpora of the fuzz targets whose subjects are in this crate: inputs of each kind, and every one that ever
//! found something. The properties are shared with the targets in `e2e/fuzz`.

#[path = "../../h1/tests/oracle/cuts.rs"]
mod cuts;
mod hello;
mod http2;
mod log_line;
mod proxy_protocol;

use std::fs;
use std::path::Path;

use cuts::Cuts;

#[test]
fn headers_of_the_corpus_hold() {
    check("proxy_protocol", |bytes| proxy_protocol::header(bytes, Cuts::All));
}

#[test]
fn client_hellos_of_the_corpus_hold() {
    check("hello", |bytes| hello::beginning(bytes, Cuts::All));
}

#[test]
fn http2_heads_of_the_corpus_hold() {
    check("http2", |input| http2::head(input, Cuts::All));
}

#[test]
fn log_lines_of_the_corpus_hold() {
    check("log_line", |input| {
        log_line::line(input, Cuts::All);
        assert!(log_line::written(input).ends_with(b"}\n"));
    });
}

/// Runs `property` over all inputs of a target.
fn check(target: &str, property: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/fuzz/corpus").join(target);
    let mut n_inputs = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        property(&fs::read(&path).expect("an input"));
        n_inputs += 1;
    }
    assert!(n_inputs >= 20, "only {n_inputs} inputs in {}", folder.display());
}
