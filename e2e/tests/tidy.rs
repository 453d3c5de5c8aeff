//! The house itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Crates of ours that each crate may use.
const DIRECTION: [(&str, &[&str]); 12] = [
    ("igw-crds", &[]),
    ("igw-compile", &["igw-crds", "igw-route"]),
    ("igw-opensvc", &[]),
    ("igw-kube", &["igw-crds"]),
    ("igw-route", &["igw-crds"]),
    ("igw-h1", &[]),
    ("igw-dns", &[]),
    ("igw", &["igw-crds", "igw-compile", "igw-opensvc", "igw-kube", "igw-route"]),
    ("igw-proxy", &["igw-crds", "igw-route", "igw-h1", "igw-dns"]),
    // The walkthrough reaches any cluster through the client.
    ("igw-e2e", &["igw-crds", "igw-emulator", "igw-opensvc"]),
    ("igw-emulator", &[]),
    // The suite's server is a program around the engine.
    ("igw-conformance", &["igw", "igw-crds", "igw-compile", "igw-kube", "igw-emulator"]),
];

/// Crates of others that only these crates of ours may use.
const RESERVED: [(&str, &[&str]); 7] = [
    // The contexts of OpenSVC's clients are YAML too.
    ("serde-saphyr", &["igw-crds", "igw-opensvc"]),
    // The daemon of a cluster, and directories of ACME.
    ("reqwest", &["igw-opensvc", "igw"]),
    ("granit-parser", &["igw-crds"]),
    ("hickory-proto", &["igw-dns"]),
    ("resolv-conf", &["igw-dns"]),
    ("httparse", &["igw-h1"]),
    ("prometheus", &["igw", "igw-proxy"]),
];

#[test]
fn crate_direction() -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let mut seen = BTreeSet::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let (_, allowed) = DIRECTION
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("{name} is not in the table"))?;
        seen.insert(name);
        for dependency in package["dependencies"].as_array().context("dependencies")? {
            let used = dependency["name"].as_str().unwrap_or_default();
            let is_test = dependency["kind"] == "dev";
            if used.starts_with("igw") && !is_test {
                assert!(allowed.contains(&used), "{name} must not use {used}");
            }
            if let Some((_, users)) = RESERVED.iter().find(|(reserved, _)| *reserved == used) {
                assert!(users.contains(&name) || is_test, "{name} must not use {used}");
            }
        }
    }
    assert_eq!(seen.len(), DIRECTION.len());
    Ok(())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found)?;
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn files_are_short_and_finished() -> anyhow::Result<()> {
    let mut files = Vec::new();
    sources(&root(), &mut files)?;
    assert!(files.len() > 50);
    let unfinished = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ign", "ore"),
    ];
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        assert!(text.lines().count() <= 800, "{} is too long", file.display());
        for mark in unfinished {
            assert!(!text.contains(mark), "{} has {mark}", file.display());
        }
    }
    Ok(())
}

#[test]
fn invariants_name_tests_that_exist() -> anyhow::Result<()> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let mut n_rows = 0;
    for line in text.lines().filter(|line| line.starts_with('|') && line.contains("` in `")) {
        let mut parts = line.split('`').skip_while(|part| !part.contains('_'));
        let (name, file) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
        let source = std::fs::read_to_string(root().join(file)).with_context(|| format!("{line}: {file}"))?;
        let is_there = source.contains(&format!("fn {name}(")) || source.contains(name);
        assert!(is_there, "{file} has no {name}");
        n_rows += 1;
    }
    assert!(n_rows >= 8);
    Ok(())
}
