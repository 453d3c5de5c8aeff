//! The comparison with other proxies runs, with igw alone.

use std::process::Command;

use anyhow::{Context as _, ensure};

#[test]
fn scenarios_run_with_igw_alone() -> anyhow::Result<()> {
    let bench = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_igw-bench")).args(arguments).output();
    let output = bench(&[
        "peers",
        "--peer",
        "none",
        "--cpus",
        "none",
        "--rounds",
        "1",
        "--seconds",
        "0.3",
        "--scenario",
        "h1,h2,upload-tls,l4",
    ])?;
    let (text, told) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.success(), "{text}\n{told}");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| igw |"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 4, "{text}\n{told}");
    let header: Vec<&str> =
        text.lines().find(|line| line.starts_with("| proxy |")).context("a table")?.split('|').collect();
    let errors = header.iter().position(|name| name.trim() == "errors").context("a column of errors")?;
    for row in rows {
        let throughput: f64 = row.get(3).context("throughput")?.parse().with_context(|| text.clone())?;
        assert!(throughput > 0.0, "{text}\n{told}");
        assert_eq!(row.get(errors), Some(&"0"), "{text}\n{told}");
    }
    let output = bench(&["peers", "--scenario", "nothing"])?;
    let told = String::from_utf8(output.stderr)?;
    assert!(!output.status.success() && told.contains("there are h1, tls, handshakes"), "{told}");
    Ok(())
}
