//! What holds for the YAML door whatever it is given. Shared with the fuzz target.

use igw_crds::yaml::{Severity, read, to_yaml};

/// Every finding has a place inside the text, and every good document survives being written and read.
pub fn yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let n_lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    let reading = read("f", text);
    for finding in &reading.diagnostics {
        assert!(finding.line <= n_lines + 1, "{finding} in {n_lines} lines");
        assert!(!finding.message.is_empty());
        assert!(!finding.render(text).is_empty());
    }
    let n_errors = reading.diagnostics.iter().filter(|finding| finding.severity == Severity::Error).count();
    assert!(n_errors >= reading.broken.len(), "a broken document without an error");
    for document in &reading.documents {
        let written = to_yaml(&document.object);
        let again = read("written", &written);
        assert!(again.broken.is_empty(), "{written}\n{:?}", again.diagnostics);
        let object = &again.documents.first().expect("one document").object;
        assert_eq!(object.key, document.object.key, "{written}");
        assert_eq!(object.spec, document.object.spec, "{written}");
    }
}
