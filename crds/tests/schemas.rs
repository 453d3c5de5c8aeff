//! Committed schemas are those of the types.

use std::path::Path;

#[test]
fn schemas_are_committed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let bless = std::env::var_os("IGW_BLESS").is_some();
    let schemas = igw_crds::schema::all();
    assert_eq!(schemas.len(), igw_crds::objects::Kind::ALL.len());
    for (name, schema) in schemas {
        let path = folder.join(&name);
        let text = serde_json::to_string_pretty(&schema).expect("a schema is encodable") + "\n";
        if bless {
            std::fs::create_dir_all(&folder).expect("the folder can be made");
            std::fs::write(&path, &text).expect("the file can be written");
        }
        // The order of fields depends on how the JSON library was built; the content does not.
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let committed: serde_json::Value = serde_json::from_str(&committed).unwrap_or_default();
        assert!(committed == schema, "{name} differs; run IGW_BLESS=1 cargo test -p igw-crds");
    }
}
