//! The page of features says what the code says.

use igw_compile::features::SUPPORTED;
use igw_crds::objects::Kind;

const PAGE: &str = include_str!("../../../docs/gateway-api.md");

#[test]
fn the_page_lists_every_feature_once_and_in_order() {
    let (_, table) = PAGE.split_once("## Features").expect("the section");
    let (table, _) = table.split_once("\n## ").expect("the next one");
    let listed: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(listed, SUPPORTED);
}

#[test]
fn the_page_lists_every_version_of_every_kind() {
    let rows: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| ")).collect();
    let is_upstream = |kind: &Kind| kind.group().starts_with("gateway.networking.");
    for kind in Kind::ALL.into_iter().filter(is_upstream) {
        let is_named = |row: &&&str| {
            row.split('|')
                .nth(1)
                .is_some_and(|names| names.split(',').any(|name| name.trim() == kind.as_str()))
        };
        let row = rows.iter().find(is_named).unwrap_or_else(|| panic!("{kind} is not listed"));
        let versions: Vec<String> = kind.versions().iter().map(|version| format!("`{version}`")).collect();
        let told = row.split('|').nth(2).and_then(|cell| cell.trim().split(" of the group").next());
        assert_eq!(told, Some(versions.join(", ").as_str()), "{kind}");
    }
}
