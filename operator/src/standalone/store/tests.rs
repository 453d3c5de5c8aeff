//! What counts after each change of a directory.

use std::fs;

use super::*;

struct Stage {
    scratch: tempfile::TempDir,
    store: Store,
}

impl Stage {
    fn new(files: &[(&str, &str)]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("root")).unwrap();
        let store = Store::new(vec![scratch.path().join("root")], None, Memory::default());
        let mut stage = Self { scratch, store };
        stage.write(files);
        stage.pass();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join("root").join(name)
    }

    fn write(&mut self, files: &[(&str, &str)]) {
        for (name, text) in files {
            fs::write(self.path(name), text).unwrap();
        }
    }

    fn pass(&mut self) -> bool {
        self.store.pass(&Hints::default(), SystemTime::now()).changed
    }

    fn confirm(&mut self) -> bool {
        self.store.pass(&Hints { confirmed: true, ..Hints::default() }, SystemTime::now()).changed
    }

    /// Names of the objects that count, kept ones with a star, and the number of errors.
    fn check(&self, want: &str, n_errors: usize) {
        let gathered = self.store.gather();
        let names: Vec<_> = gathered
            .objects
            .iter()
            .map(|(key, taken)| format!("{}{}", key.name, if taken.source.kept { "*" } else { "" }))
            .collect();
        let errors = gathered.notices.iter().filter(|notice| notice.severity == Severity::Error).count();
        assert_eq!((names.join(" ").as_str(), errors), (want, n_errors), "{:#?}", gathered.notices);
    }

    /// The next run on the same directory.
    fn restart(&mut self) {
        let file = self.scratch.path().join("objects.json");
        fs::write(&file, self.store.remember().to_bytes()).unwrap();
        self.store = Store::new(vec![self.path("")], None, Memory::load(&file));
        self.pass();
    }
}

/// A good document.
fn backend(name: &str) -> String {
    format!(
        "apiVersion: igw.opensvc.com/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\n\
         spec:\n  endpoints:\n  - ip: {{address: 127.0.0.1, port: 9001}}\n"
    )
}

/// A document with an unknown field, whose name can be read.
fn broken(name: &str) -> String {
    backend(name).replace("endpoints", "endpoinds")
}

fn stream(documents: &[String]) -> String {
    documents.join("---\n")
}

/// A document that is no YAML.
const NONSENSE: &str = "kind: [Backend\n";

#[test]
fn a_pass_without_changes_changes_nothing() {
    let mut stage = Stage::new(&[("a.yaml", &backend("a"))]);
    stage.check("a", 0);
    assert!(!stage.pass());
    stage.write(&[("a.yaml", &backend("a"))]);
    assert!(!stage.pass(), "same bytes, new time");
    stage.write(&[("a.yaml", &backend("b"))]);
    assert!(stage.pass());
    stage.check("b", 0);
}

#[test]
fn a_broken_document_keeps_its_object_by_name() {
    let mut stage = Stage::new(&[("a.yaml", &stream(&[backend("a"), backend("b"), backend("c")]))]);
    stage.write(&[("a.yaml", &stream(&[backend("a"), broken("b")]))]);
    assert!(stage.pass());
    stage.check("a b*", 1);
    stage.write(&[("a.yaml", &stream(&[backend("a2"), broken("b")]))]);
    stage.pass();
    stage.check("a2 b*", 1);
    stage.write(&[("a.yaml", &stream(&[backend("a2"), backend("b")]))]);
    stage.pass();
    stage.check("a2 b", 0);
}

#[test]
fn a_document_beyond_reading_keeps_everything_its_file_held() {
    let mut stage =
        Stage::new(&[("a.yaml", &stream(&[backend("a"), backend("b")])), ("z.yaml", &backend("z"))]);
    stage.write(&[("a.yaml", &stream(&[backend("a"), NONSENSE.to_owned()]))]);
    stage.pass();
    stage.check("a b* z", 1);
    assert!(stage.store.gather().uncertain);
    stage.write(&[("a.yaml", &backend("a"))]);
    stage.pass();
    stage.check("a z", 0);
}

#[test]
fn the_first_path_wins_and_good_goes_before_kept() {
    let mut stage = Stage::new(&[("a.yaml", &backend("x")), ("b.yaml", &backend("x"))]);
    stage.check("x", 1);
    let gathered = stage.store.gather();
    assert!(gathered.objects.values().next().unwrap().source.file.ends_with("a.yaml"));
    stage.write(&[("a.yaml", &broken("x"))]);
    stage.pass();
    stage.check("x", 1);
    let gathered = stage.store.gather();
    assert!(gathered.objects.values().next().unwrap().source.file.ends_with("b.yaml"));
}

#[test]
fn deleted_files_take_their_objects_along() {
    let mut stage = Stage::new(&[("a.yaml", &backend("a")), ("b.yaml", &backend("b"))]);
    fs::remove_file(stage.path("b.yaml")).unwrap();
    assert!(stage.pass());
    stage.check("a", 0);
}

#[test]
fn objects_that_vanish_all_at_once_are_held_until_confirmed() {
    for vanish in [
        (|stage: &Stage| fs::remove_file(stage.path("a.yaml")).unwrap()) as fn(&Stage),
        |stage| fs::write(stage.path("a.yaml"), "").unwrap(),
        |stage| fs::rename(stage.path(""), stage.scratch.path().join("away")).unwrap(),
    ] {
        let mut stage = Stage::new(&[("a.yaml", &backend("a"))]);
        vanish(&stage);
        stage.pass();
        assert_eq!(stage.store.gather().objects.len(), 1);
        assert_eq!(stage.store.gather().notices.len(), 1);
        assert!(!stage.pass());
        fs::create_dir_all(stage.path("")).unwrap();
        stage.write(&[("new.yaml", &backend("b"))]);
        assert!(stage.pass());
        stage.check("b", 0);
        fs::remove_dir_all(stage.path("")).unwrap();
        stage.pass();
        assert_eq!(stage.store.gather().objects.len(), 1);
        assert!(stage.confirm());
        assert_eq!(stage.store.gather().objects.len(), 0);
    }
}

#[test]
fn the_next_run_keeps_what_this_one_knew() {
    let mut stage =
        Stage::new(&[("a.yaml", &stream(&[backend("a"), backend("b")])), ("c.yaml", &backend("c"))]);
    stage.write(&[("a.yaml", NONSENSE)]);
    stage.restart();
    stage.check("a* b* c", 1);
    stage.restart();
    stage.check("a* b* c", 1);
    fs::remove_dir_all(stage.path("")).unwrap();
    stage.restart();
    assert_eq!(stage.store.gather().objects.len(), 3);
    stage.pass();
    assert_eq!(stage.store.gather().objects.len(), 3);
    fs::create_dir(stage.path("")).unwrap();
    stage.pass();
    assert_eq!(stage.store.gather().objects.len(), 3, "an empty folder is no confirmation");
    stage.confirm();
    stage.check("", 0);
}

#[test]
fn foreign_kinds_are_named_once() {
    let foreign = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n";
    let stage = Stage::new(&[("a.yaml", &stream(&[backend("a"), foreign.into(), foreign.into()]))]);
    stage.check("a", 0);
    let notices = stage.store.gather().notices;
    assert_eq!(notices.len(), 1);
    assert!(notices[0].message.contains("apps/v1 Deployment"), "{}", notices[0].message);
}
