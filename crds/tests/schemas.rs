//! Committed schemas are those of the types.

use std::path::Path;

use serde_json::Value;

/// The value with lists of words in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(sorted).collect();
            if items.iter().all(Value::is_string) {
                items.sort_by_key(|item| item.as_str().map(str::to_owned));
            }
            Value::Array(items)
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, sorted(value))).collect(),
        other => other,
    }
}

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
        // The order of fields and names depends on how the libraries were built; the content does not.
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let committed: Value = serde_json::from_str(&committed).unwrap_or_default();
        assert!(
            sorted(committed) == sorted(schema),
            "{name} differs; run IGW_BLESS=1 cargo test -p igw-crds"
        );
    }
}
