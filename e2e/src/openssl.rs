//! `openssl s_server` and `s_client` as they are installed: TLS that nobody here wrote.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::client::{dial, eventually};
use crate::tls::Pair;

/// A running `openssl s_server` that answers each line with the same line, backwards.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// What a client saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the server sent inside TLS, and what `s_client` says of the connection.
    pub output: String,
    /// Alerts and other complaints.
    pub complaints: String,
}

// === impl Server ===

impl Server {
    /// Starts one.
    ///
    /// # Errors
    /// Fails if it does not listen.
    pub fn start(address: SocketAddr, pair: &Pair) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&certificate, &pair.certificate)?;
        std::fs::write(&key, &pair.key)?;
        let shown = |path: &Path| path.display().to_string();
        let child = Command::new("openssl")
            .args(["s_server", "-rev", "-quiet", "-accept", &address.to_string()])
            .args(["-cert", &shown(&certificate), "-key", &shown(&key)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("openssl is not installed")?;
        let server = Self { child, address, _folder: folder };
        eventually("openssl s_server listens", Duration::from_secs(10), || dial(address).is_ok())?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects with `openssl s_client`, sends a line and reads until the line that comes back ends, or the connection.
///
/// # Errors
/// Fails if `s_client` cannot be started, or nothing of this happens within 10 s.
pub fn connect(address: SocketAddr, name: Option<&str>, line: &str) -> anyhow::Result<Seen> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-ign_eof"]);
    match name {
        Some(name) => command.args(["-servername", name]),
        None => command.arg("-noservername"),
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("openssl is not installed")?;
    let mut stdin = child.stdin.take().context("standard input")?;
    let mut stdout = child.stdout.take().context("standard output")?;
    let mut stderr = child.stderr.take().context("standard error")?;
    // A server that refuses has closed before the line is written.
    let _ = stdin.write_all(format!("{line}\n").as_bytes());
    let wanted: String = line.chars().rev().collect();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut output = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            match stdout.read(&mut buffer) {
                Ok(n_read) if n_read > 0 => output.extend_from_slice(&buffer[..n_read]),
                _ => break,
            }
            if String::from_utf8_lossy(&output).contains(&format!("{wanted}\n")) {
                break;
            }
        }
        let _ = sender.send(String::from_utf8_lossy(&output).into_owned());
    });
    let output = receiver.recv_timeout(Duration::from_secs(10));
    drop(stdin);
    let _ = child.kill();
    let mut complaints = String::new();
    stderr.read_to_string(&mut complaints)?;
    child.wait()?;
    match output {
        Ok(output) => Ok(Seen { output, complaints }),
        Err(_) => bail!("s_client said nothing to the end; complaints:\n{complaints}"),
    }
}

/// What `openssl` says of its input.
///
/// # Errors
/// Fails if it cannot be started, or refuses.
pub fn run(arguments: &[&str], input: &[u8]) -> anyhow::Result<String> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.context("openssl is not installed")?;
    child.stdin.take().context("standard input")?.write_all(input)?;
    let done = child.wait_with_output()?;
    if !done.status.success() {
        bail!("openssl {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
