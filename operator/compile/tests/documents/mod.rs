//! Objects of a case.

use igw_compile::{ObjectSet, Stored};
use igw_crds::yaml::{Cache, read_in};
use jiff::Timestamp;

/// Objects of documents of namespace `a` unless they name another; those written first are older.
#[track_caller]
pub fn objects(text: &str) -> ObjectSet {
    let reading = read_in("a", "case", text, &mut Cache::default());
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    let stored = reading.documents.iter().enumerate().map(|(age, document)| {
        let created = Timestamp::from_second(age as i64).expect("a time");
        let stored = Stored { object: document.object.clone(), uid: "".into(), created, generation: 1 };
        (document.object.key.clone(), stored)
    });
    stored.collect()
}
