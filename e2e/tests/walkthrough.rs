//! The two deployments of an ingress gateway, from nothing to purge, as `e2e/walkthrough` plays them.

use std::process::Command;

use anyhow::ensure;
use igw_e2e::process::binary;

fn play(form: &str) -> anyhow::Result<()> {
    let done = Command::new(binary("igw-walkthrough")?).arg(form).output()?;
    let words = String::from_utf8_lossy(&done.stdout);
    println!("{words}");
    ensure!(done.status.success(), "{words}\n{}", String::from_utf8_lossy(&done.stderr));
    ensure!(words.contains(", 0 failed"), "{words}");
    Ok(())
}

#[test]
fn intra_cluster() -> anyhow::Result<()> {
    play("intra-cluster")
}

#[test]
fn extra_cluster() -> anyhow::Result<()> {
    play("extra-cluster")
}
