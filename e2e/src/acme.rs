//! A real certificate authority: Debian's pebble with its name server, on loopback.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::client::eventually;
use crate::knot::spawn;
use crate::process::free;
use crate::tls::{Authority, Client, Use};

/// The authority.
pub struct Pebble {
    /// Where its directory is.
    pub address: SocketAddr,
    management: SocketAddr,
    /// The name server that it asks.
    pub dns: SocketAddr,
    authority: Authority,
    pebble: Option<Child>,
    names: Option<Child>,
    /// Roots of all its runs, PEM: it makes a new one at each start.
    pub roots: Vec<String>,
    folder: TempDir,
}

/// How it is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Address of everything.
    pub ip: IpAddr,
    /// Port that it asks over HTTP.
    pub http: u16,
    /// Port that it asks for handshakes.
    pub tls: u16,
    /// Name server to ask; its own one says the address for every name.
    pub dns: Option<SocketAddr>,
    /// Nonces that are refused, of a hundred.
    pub refused_nonces: u8,
    /// Accounts must be bound to key `kid-1` of [`EXTERNAL_KEY`].
    pub is_bound: bool,
}

// === impl Pebble ===

impl Pebble {
    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// Fails if pebble is not installed or does not come up.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new("tests")?;
        let own = authority.issue(Use::Server, &[&setup.ip.to_string()])?;
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("cert.pem"), &own.certificate)?;
        std::fs::write(path("key.pem"), &own.key)?;
        let (address, management) = (free(setup.ip)?, free(setup.ip)?);
        let config = serde_json::json!({"pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": path("cert.pem"),
            "privateKey": path("key.pem"),
            "httpPort": setup.http,
            "tlsPort": setup.tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": setup.is_bound,
            "externalAccountMACKeys": {"kid-1": EXTERNAL_KEY},
        }});
        std::fs::write(path("pebble.json"), config.to_string())?;
        std::fs::write(path("nonces"), setup.refused_nonces.to_string())?;
        let (dns, names) = match setup.dns {
            Some(dns) => (dns, None),
            None => {
                let dns = free(setup.ip)?;
                let child = Command::new("pebble-challtestsrv")
                    .args(["-defaultIPv4", &setup.ip.to_string(), "-defaultIPv6", ""])
                    .args(["-dns01", &dns.to_string(), "-http01", "", "-https01", "", "-tlsalpn01", ""])
                    .args(["-management", &free(setup.ip)?.to_string()])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .context("pebble-challtestsrv is installed by e2e/test")?;
                (dns, Some(child))
            }
        };
        let mut pebble =
            Self { address, management, dns, authority, pebble: None, names, roots: Vec::new(), folder };
        pebble.restart()?;
        Ok(pebble)
    }

    /// Starts it, again with nothing known of accounts, orders and its own root.
    ///
    /// # Errors
    /// Fails if it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = Command::new("pebble")
            .args(["-config", &self.folder.path().join("pebble.json").display().to_string()])
            .args(["-dnsserver", &self.dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_ALTERNATE_ROOTS", "1")
            .env("PEBBLE_WFE_NONCEREJECT", std::fs::read_to_string(self.folder.path().join("nonces"))?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("pebble is installed by e2e/test")?;
        self.pebble = Some(child);
        eventually("pebble answers", Duration::from_secs(10), || {
            self.fetch(self.address, "/dir").is_ok() && self.root().is_ok()
        })
        .with_context(|| self.printed())?;
        self.roots.push(self.root()?);
        Ok(())
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// Fails if it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.pebble.take().context("pebble does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// What it printed.
    #[must_use]
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Its root, PEM.
    fn root(&self) -> anyhow::Result<String> {
        self.fetch(self.management, "/roots/0")
    }

    /// The other root that it offers a chain to, PEM.
    ///
    /// # Errors
    /// Fails if it does not answer.
    pub fn other_root(&self) -> anyhow::Result<String> {
        self.fetch(self.management, "/roots/1")
    }

    /// CertificateIssuer `pebble` with the ConfigMap of its server's authority; `more` is further YAML of `acme`.
    #[must_use]
    pub fn issuer(&self, more: &str) -> String {
        issuer(self.address, &self.authority.certificate, "/dir", more)
    }

    /// Authority of its own server, PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority.certificate
    }

    fn fetch(&self, address: SocketAddr, path: &str) -> anyhow::Result<String> {
        let client = Client::trusting(&[&self.authority.certificate])?;
        let answer = client.connect(address, &address.ip().to_string())?.get(&address.to_string(), path)?;
        if answer.status != 200 {
            bail!("{path}: status {}", answer.status);
        }
        Ok(String::from_utf8(answer.body)?)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in [&mut self.pebble, &mut self.names].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Debian's knot with zone `test`, where every name has one address, and which takes signed updates.
pub struct Zone {
    /// Where it answers.
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

// === impl Zone ===

impl Zone {
    /// Starts it.
    ///
    /// # Errors
    /// Fails if knot is not installed or does not come up.
    pub fn start(ip: IpAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free(ip)?;
        let path = folder.path().display();
        let zone = format!("@ 60 SOA ns hostmaster 1 60 60 60 1\n@ 60 NS ns\nns 60 A {ip}\n* 60 A {ip}\n");
        std::fs::write(folder.path().join("zone"), zone)?;
        let sections = format!(
            "key:\n  - id: acme-key\n    algorithm: hmac-sha256\n    secret: {TSIG_SECRET}\n\
             acl:\n  - id: acme\n    key: acme-key\n    action: update\n\
             zone:\n  - domain: test\n    storage: {path}\n    file: zone\n    acl: acme\n"
        );
        let child = spawn(folder.path(), address, &sections)?;
        let zone = Self { address, child, _folder: folder };
        eventually("knot listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect(address).is_ok()
        })?;
        Ok(zone)
    }

    /// Secret `dns-key` with the key of updates.
    #[must_use]
    pub fn secret(&self) -> String {
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: dns-key}}\nstringData: {{name: acme-key, secret: {TSIG_SECRET}}}\n"
        )
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CertificateIssuer `pebble` for a directory, with the ConfigMap of its server's authority.
#[must_use]
pub fn issuer(address: SocketAddr, authority: &str, path: &str, more: &str) -> String {
    let mut text = format!(
        "---
apiVersion: igw.opensvc.com/v1alpha1
kind: CertificateIssuer
metadata: {{name: pebble}}
spec:
  acme:
    directory: https://{address}{path}
    email: ops@example.test
    accountKeyRef: {{name: acme-account}}
    caBundleRef: {{name: pebble-ca}}
{more}---
apiVersion: v1
kind: ConfigMap
metadata: {{name: pebble-ca}}
data:
  ca.crt: |
"
    );
    for line in authority.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text
}

/// Certificate for names, into the Secret of the same name, by issuer `pebble`.
#[must_use]
pub fn certificate(name: &str, hostnames: &[&str]) -> String {
    let hostnames: Vec<String> = hostnames.iter().map(|name| format!("\"{name}\"")).collect();
    format!(
        "---
apiVersion: igw.opensvc.com/v1alpha1
kind: Certificate
metadata: {{name: {name}}}
spec:
  secretName: {name}
  hostnames: [{}]
  issuerRef: {{name: pebble}}
",
        hostnames.join(", ")
    )
}

/// Key that accounts can be bound to, base64url.
pub const EXTERNAL_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
/// Key of updates, base64.
pub const TSIG_SECRET: &str = "WFlUeHdQc0tsNGY2dm9WbG5KTXZHUXVYQmhZdzNmMDc=";
