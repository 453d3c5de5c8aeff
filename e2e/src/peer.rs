//! Programs that were not written here: servers behind the gateway and clients before it (`e2e/peers`).

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

/// A server that prints its port and ends with its input.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

// === impl Server ===

impl Server {
    /// Starts a script of `e2e/peers` for an address.
    ///
    /// # Errors
    /// Fails if it does not start or tells no port.
    pub fn start(script: &str, ip: IpAddr, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = python(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{script} not started"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("{script} tells no port"))?;
        Ok(Self { child, address: SocketAddr::new(ip, port) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Runs a client of `e2e/peers`, which prints a line `good: …` for each of `n_checks`.
///
/// # Errors
/// Fails with what it printed if a check went wrong or is missing.
pub fn run(script: &str, arguments: &[&str], n_checks: usize) -> anyhow::Result<()> {
    let done = python(script).args(arguments).output()?;
    let printed = String::from_utf8_lossy(&done.stdout);
    println!("{printed}");
    ensure!(done.status.success(), "{printed}\n{}", String::from_utf8_lossy(&done.stderr));
    let n_good = printed.lines().filter(|line| line.starts_with("good: ")).count();
    ensure!(n_good == n_checks, "{n_good} checks of {n_checks}:\n{printed}");
    Ok(())
}

/// Debian's packages are those of Debian's interpreter.
fn python(script: &str) -> Command {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    let mut command = Command::new("/usr/bin/python3");
    command.arg(path);
    command
}
