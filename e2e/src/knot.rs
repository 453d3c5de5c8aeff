//! A real name server: Debian's knot.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::client::eventually;
use crate::process::free;

/// Knot with one zone.
pub struct Knot {
    child: Child,
    folder: tempfile::TempDir,
    /// Where it answers, over UDP and TCP.
    pub address: SocketAddr,
}

impl Knot {
    /// Starts it on a free port; the zone is `svc.test`.
    ///
    /// # Errors
    /// Fails if it is not installed.
    pub fn start(ip: IpAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free(ip)?;
        let path = folder.path().display();
        let zone = format!(
            "zone:\n  - domain: svc.test\n    storage: {path}\n    file: zone\n    zonefile-load: whole\n    journal-content: none\n"
        );
        let child = spawn(folder.path(), address, &zone)?;
        Ok(Self { child, folder, address })
    }

    /// Writes the zone with the addresses of `svc1.default`.
    ///
    /// # Errors
    /// Fails if its folder is gone.
    pub fn set(&self, serial: u32, addresses: &[IpAddr]) -> anyhow::Result<()> {
        self.set_name("svc1.default", serial, addresses)
    }

    /// Writes the zone with the addresses of one name.
    ///
    /// # Errors
    /// Fails if its folder is gone.
    pub fn set_name(&self, name: &str, serial: u32, addresses: &[IpAddr]) -> anyhow::Result<()> {
        let mut zone = format!("@ 1 SOA ns hostmaster {serial} 60 60 60 1\n@ 1 NS ns\nns 1 A 127.0.0.1\n");
        for address in addresses {
            zone.push_str(&format!("{name} 1 A {address}\n"));
        }
        std::fs::write(self.folder.path().join("zone"), zone)?;
        Ok(())
    }

    /// Lets it read the zone again.
    ///
    /// # Errors
    /// Fails if it does not do so within five seconds.
    pub fn reload(&self) -> anyhow::Result<()> {
        let socket = self.folder.path().join("knot.sock").display().to_string();
        let reloaded = || {
            Command::new("/usr/sbin/knotc")
                .args(["-b", "-s", &socket, "zone-reload", "svc.test"])
                .output()
                .is_ok_and(|output| output.status.success())
        };
        eventually("knot reloads", Duration::from_secs(5), reloaded).map(|_| ())
    }
}

/// Starts knot with these sections; what it keeps is in the folder.
pub(crate) fn spawn(folder: &Path, address: SocketAddr, sections: &str) -> anyhow::Result<Child> {
    let (path, file) = (folder.display(), folder.join("knot.conf"));
    let (ip, port) = (address.ip(), address.port());
    std::fs::write(
        &file,
        format!(
            "server:\n  rundir: {path}\n  listen: {ip}@{port}\nlog:\n  - target: stderr\n    any: warning\n\
             database:\n  storage: {path}\n{sections}"
        ),
    )?;
    Command::new("/usr/sbin/knotd")
        .arg("-c")
        .arg(file)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("knotd is installed by e2e/test")
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
