//! A real name server: Debian's knot.

use std::net::{IpAddr, SocketAddr};
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
        std::fs::write(
            folder.path().join("knot.conf"),
            format!(
                "server:\n  rundir: {path}\n  listen: {ip}@{}\nlog:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: {path}\n\
                 zone:\n  - domain: svc.test\n    storage: {path}\n    file: zone\n    zonefile-load: whole\n    journal-content: none\n",
                address.port()
            ),
        )?;
        let child = Command::new("/usr/sbin/knotd")
            .args(["-c", &folder.path().join("knot.conf").display().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("knotd is installed by e2e/test")?;
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

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
