//! Examples and the README's objects are valid, and what is written is read again.

use std::path::Path;

use igw_crds::yaml::{read, to_yaml};

#[test]
fn examples_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).expect("there are examples") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("an example");
        let reading = read(&path.display().to_string(), &text);
        let shown: Vec<String> = reading.diagnostics.iter().map(|finding| finding.render(&text)).collect();
        assert!(shown.is_empty() && reading.foreign.is_empty(), "{}", shown.join("\n"));
        assert!(!reading.documents.is_empty());
        for document in &reading.documents {
            let written = to_yaml(&document.object);
            let again = read("written", &written);
            assert!(again.diagnostics.is_empty(), "{written}\n{:?}", again.diagnostics);
            assert_eq!(again.documents[0].object.spec, document.object.spec, "{written}");
        }
        n_files += 1;
    }
    assert!(n_files >= 5);
}

#[test]
fn objects_of_the_readme_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(path).expect("the README");
    let block =
        text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of YAML");
    let reading = read("README.md", block);
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    assert_eq!(reading.documents.len(), 3);
}
