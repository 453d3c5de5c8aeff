//! The first command of the README, as a newcomer runs it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use igw_e2e::client::{eventually, get};
use igw_e2e::process::signal;

#[test]
fn it_starts_follows_edits_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the root")?;
    // Whoever runs the tests in the background ignores SIGINT; a newcomer's terminal does not.
    let mut child = Command::new("env")
        .arg("--default-signal=INT")
        .arg(root.join("deploy/quickstart"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let mut after = |mark: &str| -> anyhow::Result<String> {
        for line in &mut lines {
            if let Some((_, rest)) = line?.split_once(mark) {
                return Ok(rest.to_owned());
            }
        }
        anyhow::bail!("it never printed `{mark}`")
    };
    let told = after("curl -i http://127.0.0.1:").and_then(|port| {
        after("call again")?;
        let file = loop {
            let line = after("")?;
            if line.trim().ends_with(".yaml") {
                break PathBuf::from(line.trim());
            }
        };
        Ok((port.trim_end_matches('/').parse::<u16>()?, file))
    });
    let outcome = told.and_then(|(port, file)| {
        let address = ([127, 0, 0, 1], port).into();
        let greeting = || get(address, "127.0.0.1", "/").ok()?.field("x-greeting").map(str::to_owned);
        eventually("it answers from a back end", Duration::from_secs(5), || {
            greeting().as_deref() == Some("hello")
        })?;
        let objects = std::fs::read_to_string(&file)?.replace("value: hello", "value: changed");
        std::fs::write(&file, objects)?;
        eventually("the edit is live", Duration::from_secs(3), || greeting().as_deref() == Some("changed"))?;
        Ok(file)
    });
    // What Ctrl-C does: a signal to the whole group of the terminal.
    let ended = Command::new("kill").args(["-INT", "--", &format!("-{}", child.id())]).status()?.success();
    let gone = eventually("it ends", Duration::from_secs(15), || matches!(child.try_wait(), Ok(Some(_))));
    if gone.is_err() {
        let _ = signal(child.id(), "KILL");
    }
    let file = outcome?;
    gone?;
    assert!(ended);
    let scratch = file.ancestors().nth(2).context("its folder")?;
    assert!(!scratch.exists(), "{} is left behind", scratch.display());
    let name = scratch.display().to_string();
    let left = std::fs::read_dir("/proc")?.flatten().any(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&name)
    });
    assert!(!left, "a process is left behind");
    Ok(())
}
